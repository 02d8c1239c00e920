from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import Store
from graphnets.skeleton import Skeleton
from graphnets.video import EXERCISES, Exercise, find_repetitions, in_form
from graphnets.video.repetitions import cut, turning_points

FPS = 30.0


def beats(count: int, seconds: float = 2.0, fps: float = FPS) -> np.ndarray:
    """So many repetitions, from rest (0) to 1 and back."""
    t = np.arange(round(count * seconds * fps) + 1) / fps
    return 0.5 - 0.5 * np.cos(2 * np.pi * t / seconds)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 20), seconds=st.floats(0.8, 5.0), fps=st.sampled_from([15.0, 25.0, 29.97, 60.0]))
def test_sinusoids(count: int, seconds: float, fps: float) -> None:
    found = cut(beats(count, seconds, fps), fps)
    assert len(found) == count
    for k, (start, turn, end) in enumerate(found):
        assert abs(turn - (k + 0.5) * seconds * fps) <= 1.01
        for frame, at in ((start, k), (end, k + 1)):
            assert abs(frame - at * seconds * fps) <= 0.11 * seconds * fps + 1, "a tenth of the way from rest"


@pytest.mark.parametrize("count", [1, 3, 10])
def test_what_disturbs_a_count(count: int) -> None:
    rng = np.random.default_rng(count)
    clean = beats(count)
    size = np.linspace(1.0, 0.45, len(clean))
    assert len(cut(clean * size, FPS)) == count, "people get tired"
    assert len(cut(clean + np.linspace(0, 0.6 * count, len(clean)) * 0.1, FPS)) == count, "a slow drift"
    assert len(cut(clean + 0.05 * rng.normal(size=len(clean)), FPS)) == count, "noise"
    pauses = np.concatenate([np.r_[part, np.full(50, part[-1])] for part in np.split(clean[:-1], count)])
    assert len(cut(np.r_[np.zeros(70), pauses], FPS)) == count, "pauses at rest"
    held = np.concatenate([np.r_[part[:30], np.ones(40), part[30:]] for part in np.split(clean[:-1], count)])
    assert len(cut(held, FPS)) == count, "pauses at the far end"


@pytest.mark.parametrize(("begin", "end"), [(0.5, 0), (0, 0.5), (0.5, 0.5), (0.25, 0), (0, 0.25), (0.75, 0), (0, 0.75)])
def test_half_repetitions_at_the_ends_do_not_count(begin: float, end: float) -> None:
    """``begin`` of the first of five is missing, ``end`` of the last."""
    signal = beats(5)
    whole = 5 - (begin > 0) - (end > 0)
    assert len(cut(signal[round(begin * 60) : len(signal) - round(end * 60)], FPS)) == whole


def test_what_is_no_repetition() -> None:
    assert cut(np.zeros(100), FPS) == cut(np.array([1.0]), FPS) == cut(np.linspace(0, 1, 100), FPS) == []
    assert cut(beats(5, 0.3), FPS) == [], "nobody is that fast"
    assert len(cut(beats(5) * 10, FPS, min_range=9)) == 5 and cut(beats(5) * 10, FPS, min_range=11) == []


def test_turning_points() -> None:
    signal = np.array([0, 1, 3, 2, 3, 5, 1, 0, 2, 1, 4, 3.5])
    assert turning_points(signal, 3) == [0, 5, 7, 10]
    assert turning_points(-signal, 3) == [0, 5, 7, 10]
    assert turning_points(signal, 100) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=60), st.integers(1, 10))
def test_turns_alternate_and_lie_a_swing_apart(values: list[int], swing: int) -> None:
    signal = np.array(values, dtype=float)
    turns = turning_points(signal, swing)
    assert turns == sorted(set(turns))
    steps = np.diff(signal[turns])
    assert (np.abs(steps) >= swing).all() and (np.sign(steps[1:]) == -np.sign(steps[:-1])).all()


def body(angles: dict[str, np.ndarray], skeleton: str = "coco17", dims: int = 3) -> tuple[np.ndarray, Skeleton]:
    """A stick figure in a plane whose limbs make these angles; the rest hangs straight down."""
    bones = Skeleton.load(skeleton)
    n = len(next(iter(angles.values())))
    straight = np.full(n, 180.0)
    trunk = np.zeros(n)  # direction of hip -> shoulder from upright
    at = {"hip": np.zeros((n, 2)), "shoulder": 0.5 * np.stack([np.sin(trunk), np.cos(trunk)], 1)}
    thigh = trunk + np.radians(angles.get("hip", straight))
    at["knee"] = at["hip"] + 0.4 * np.stack([np.sin(thigh), np.cos(thigh)], 1)
    shank = thigh + np.pi - np.radians(angles.get("knee", straight))
    at["ankle"] = at["knee"] + 0.4 * np.stack([np.sin(shank), np.cos(shank)], 1)
    arm = trunk + np.pi - np.radians(angles.get("shoulder", np.full(n, 10.0)))
    at["elbow"] = at["shoulder"] + 0.3 * np.stack([np.sin(arm), np.cos(arm)], 1)
    hand = arm + np.pi - np.radians(angles.get("elbow", straight))
    at["wrist"] = at["elbow"] + 0.25 * np.stack([np.sin(hand), np.cos(hand)], 1)
    x = np.zeros((n, bones.num_joints, dims))
    for name, place in at.items():
        for side in ("left", "right"):
            x[:, bones.index(f"{side}_{name}"), :2] = place
            if dims == 3:
                x[:, bones.index(f"{side}_{name}"), 2] = 0.2 if side == "left" else -0.2
    return x, bones


MOVES = {
    "push_up": ("elbow", 170, 80),
    "squat": ("knee", 175, 80),
    "sit_up": ("hip", 125, 50),
    "jumping_jack": ("shoulder", 15, 160),
    "biceps_curl": ("elbow", 165, 45),
    "sit_to_stand": ("knee", 90, 175),
    "lunge": ("knee", 170, 95),
    "arm_raise": ("shoulder", 12, 95),
}


@pytest.mark.parametrize("exercise", [*EXERCISES, None])
@pytest.mark.parametrize("skeleton", ["coco17", "mediapipe33", "kinect20", "openpose18", "h36m17"])
def test_named_exercises_on_any_skeleton(exercise: str | None, skeleton: str) -> None:
    angle, rest, far = MOVES[exercise or "squat"]
    wave = rest + (far - rest) * np.r_[np.zeros(30), beats(7), np.zeros(30)]
    rng = np.random.default_rng(0)
    for dims in (2, 3):
        x, bones = body({angle: wave}, skeleton, dims)
        noisy = x + rng.normal(0, 0.005, x.shape)
        found = find_repetitions(noisy, bones, FPS, exercise=exercise)
        assert len(found) == 7
        assert [abs(r.turn - 60 - 60 * k) <= 4 for k, r in enumerate(found)] == [True] * 7


def test_each_counts_its_own_only() -> None:
    x, bones = body({"elbow": 165 - 120 * beats(6), "knee": 175 - 10 * beats(6)})
    assert len(find_repetitions(x, bones, FPS, exercise="biceps_curl")) == 6
    assert find_repetitions(x, bones, FPS, exercise="squat") == [], "ten degrees are no squat"
    assert find_repetitions(x, bones, FPS, exercise="jumping_jack") == []


def test_missing_frames_and_joints() -> None:
    x, bones = body({"knee": 175 - 90 * beats(6)})
    mask = np.random.default_rng(0).random(x.shape[:2]) > 0.2
    mask[100:108] = False
    x[~mask] = np.nan
    for exercise in ("squat", None):
        assert len(find_repetitions(x, bones, FPS, mask, exercise)) == 6
        assert len(find_repetitions(x, bones, FPS, None, exercise)) == 6, "NaN is not observed"
    mask[:, [bones.index(f"left_{part}") for part in ("hip", "knee", "ankle")]] = False
    assert len(find_repetitions(x, bones, FPS, mask, "squat")) == 6, "one side will do"
    for exercise in ("squat", None):
        assert find_repetitions(x, bones, FPS, np.zeros_like(mask), exercise) == []
        assert find_repetitions(x[:1], bones, FPS, mask[:1], exercise) == []


def test_a_skeleton_without_limbs_moves_too() -> None:
    bones = Skeleton.load("tan_imu8")
    x = np.random.default_rng(1).normal(size=(1, 8, 3)) + np.zeros((len(beats(5)), 1, 1))
    x[:, 3, 1] += beats(5)
    assert len(find_repetitions(x, bones, FPS)) == 5


def test_good_form() -> None:
    deep = np.concatenate([175 - depth * beats(1) for depth in (95, 60, 100)])
    x, bones = body({"knee": deep})
    found = find_repetitions(x, bones, FPS, exercise="squat")
    assert in_form(x, bones, FPS, found, "squat") == [True, False, True]
    bent, _ = body({"knee": np.minimum(deep, 160)})
    assert in_form(bent, bones, FPS, find_repetitions(bent, bones, FPS, exercise="squat"), "squat") == [False] * 3
    assert in_form(x, bones, FPS, found, "lunge") == [True] * 3, "no bounds are known for it"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((9, 4, 3))}, r"positions of the skeleton 'coco17' are \[T, 17, 2 or 3\], not \[9, 4, 3\]"),
        ({"x": np.zeros((9, 17, 4))}, "2 or 3"),
        ({"fps": 0.0}, "fps is 0.0; it must be a number above 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"mask": np.ones((9, 17))}, "the mask must be bool"),
        ({"mask": np.ones((8, 17), dtype=bool)}, "the mask must be bool"),
        ({"exercise": "burpee"}, "no exercise 'burpee'; there are push_up, squat"),
        ({"exercise": Exercise("neck")}, "unknown angles neck; there are elbow"),
        ({"skeleton": Skeleton.load("imu_axes6"), "x": np.zeros((9, 6, 3)), "exercise": "squat"}, "left_hip"),
    ],
)
def test_wrong_arguments(change: dict, message: str) -> None:
    arguments = {"x": np.zeros((9, 17, 3)), "skeleton": Skeleton.load("coco17"), "fps": 30.0, **change}
    with pytest.raises(ValueError, match=message):
        find_repetitions(**arguments)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three people and what they do, from the simulation."""
    path = tmp_path_factory.mktemp("sets") / "synthetic"
    recipe = Path(__file__).parents[2] / "datasets/synthetic/prepare.py"
    exercises = ["squat", "push_up", "sit_up", "jumping_jack", "biceps_curl"]
    options = ["--subjects", "3", "--repetitions", "2", "--modalities", "pose", "--exercises", *exercises]
    spec = importlib.util.spec_from_file_location("synthetic_prepare_for_sets", recipe)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main([str(path), *options]) == 0
    return Store(path)


def test_simulated_people(sets: Store) -> None:
    """Repetitions of one person, one after the other, make a set of known count."""
    errors: dict[bool, list[int]] = {True: [], False: []}
    sets_of = sets.index.assign(good=sets.index["mistake"] == "correct").groupby(["good", "exercise", "subject"])
    for (good, exercise, _), rows in sets_of:
        clips = [sets[int(row)]["pose"] for row in rows.index]
        x = np.concatenate([clip.x.numpy() for clip in clips])
        for name in (exercise, None):
            errors[good].append(len(find_repetitions(x, clips[0].skeleton, clips[0].fps, exercise=name)) - len(clips))
    assert len(errors[True]) == 2 * 5 * 3 and not any(errors[True])
    assert np.mean(np.abs(errors[False])) < 0.3, "mild and strong mistakes side by side are harder"
