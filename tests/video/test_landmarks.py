from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_videos import retimed, write

from graphnets.video import Landmarks, Person, VideoReader, find_landmarks
from graphnets.video import landmarks as module
from graphnets.video.quality import quality

Somebody = Callable[..., Landmarks]


def changed(landmarks: Landmarks, **fields: object) -> Landmarks:
    return dataclasses.replace(landmarks, **fields)  # type: ignore[arg-type]


def test_an_even_video_is_handed_on_as_it_is(somebody: Somebody) -> None:
    clip = somebody(fps=29.97)
    clip.visibility[3, 5] = 0.49
    clip.followed[7] = False
    modalities = clip.modalities()
    flat, mask, fps = modalities["pose2d"]
    solid, same, _ = modalities["pose3d"]
    assert fps == pytest.approx(29.97) and clip.even
    np.testing.assert_array_equal(flat, np.concatenate([clip.pixels, clip.visibility[..., None]], -1))
    np.testing.assert_array_equal(solid, clip.world)
    expected = np.ones((40, 33), dtype=bool)
    expected[3, 5] = expected[7] = False
    assert mask is not None and np.array_equal(mask, expected) and np.array_equal(same, expected)
    assert clip.mask(0.4)[3, 5]


def test_a_variable_rate_is_put_on_a_regular_clock(somebody: Somebody) -> None:
    """At constant speed interpolation must find every place exactly."""
    clip = somebody(60)
    steps = np.random.default_rng(0).choice([1 / 30, 1 / 30, 1 / 30, 2 / 30, 0.02], 59)
    seconds = np.concatenate([[0.0], np.cumsum(steps)])
    start, speed = clip.world[0], (clip.world[1] - clip.world[0]) * 30
    clip = changed(clip, seconds=seconds, world=start + seconds[:, None, None] * speed)
    clip.followed[20] = False
    assert not clip.even and clip.fps == pytest.approx(30)
    world, mask, fps = clip.modalities()["pose3d"]
    clock = np.arange(len(world)) / fps
    assert mask is not None and clock[-1] <= seconds[-1] < clock[-1] + 1 / fps + 1e-9
    seen = mask.all(1)
    np.testing.assert_allclose(world[seen], (start + clock[:, None, None] * speed)[seen], atol=0.05 / 30)
    far = np.abs(clock[:, None] - seconds[None, [19, 21]]).min(1) > np.abs(clock - seconds[20])
    assert not mask[far].any() and mask[~far].all()


def test_jitter_in_the_stamps_is_no_variable_rate(somebody: Somebody) -> None:
    clip = somebody(300, 60.0)
    rounded = np.round(clip.seconds, 3)
    assert changed(clip, seconds=rounded).even
    dropped = np.delete(clip.seconds, [50, 120])
    assert not changed(somebody(298), seconds=dropped).even


class Scripted:
    """In place of MediaPipe: finds in frame k whom ``script(k)`` says; the frames' brightness tells k."""

    def __init__(self, script: Callable[[int], list[Person]]) -> None:
        self.script, self.calls = script, []

    def __call__(self, model: object, people: int = 1, video: bool = True) -> Scripted._Detector:
        return self._Detector(self, people, video)

    class _Detector:
        def __init__(self, owner: Scripted, people: int, video: bool) -> None:
            self.owner, self.people, self.video = owner, people, video

        def __enter__(self) -> Scripted._Detector:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __call__(self, picture: np.ndarray, seconds: float = 0.0) -> list[Person]:
            k = round((picture[4, 4].mean() - 60) / 12)
            self.owner.calls.append((k, self.people, self.video))
            return self.owner.script(k)[: self.people]


def person(x: float) -> Person:
    pixels = np.random.default_rng(1).uniform(0, 10, (33, 2)) + np.array([x, 5])
    return Person(pixels, np.full((33, 3), x), np.full(33, 0.8))


def test_one_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Scripted(lambda k: [] if k in (3, 4) else [person(k)])
    monkeypatch.setattr(module, "PoseDetector", script)
    done: list[int] = []
    clip = find_landmarks(write(tmp_path / "a.mp4", 8, 4.0), tick=done.append)
    assert clip.followed.tolist() == [k not in (3, 4) for k in range(8)] and done == list(range(1, 9))
    assert clip.world[:, 0, 0].tolist() == [0, 1, 2, 0, 0, 5, 6, 7]
    assert clip.fps == pytest.approx(4) and clip.size == (64, 48) and set(clip.people) == {0, 1}
    assert [k for k, people, video in script.calls if people == 2 and not video] == [0, 4], "a look a second"
    assert not clip.mask()[3:5].any() and clip.mask()[[0, 7]].all()


def test_a_second_person_is_noticed_and_the_first_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Scripted(
        lambda k: [person(10), person(40)] if k % 2 else [person(40), person(10)] if k > 5 else [person(10)]
    )
    monkeypatch.setattr(module, "PoseDetector", script)
    clip = find_landmarks(write(tmp_path / "a.mp4", 12, 10.0))
    assert clip.world[:, 0, 0].tolist() == [10] * 12
    assert clip.people.tolist() == [1, 2, 1, 2, 1] + [2] * 7
    only = find_landmarks(tmp_path / "a.mp4", people=1)
    assert only.people.max() == 1
    with pytest.raises(ValueError, match="people is 0"):
        find_landmarks(tmp_path / "a.mp4", people=0)


def test_a_single_frame_is_no_movement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PoseDetector", Scripted(lambda k: [person(0)]))
    with pytest.raises(ValueError, match=r"a\.mp4: holds 1 frame; a movement needs 2 at least"):
        find_landmarks(write(tmp_path / "a.mp4", 1))


def test_variable_rate_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PoseDetector", Scripted(lambda k: [person(k)]))
    clip = find_landmarks(retimed(write(tmp_path / "a.mp4", 8), [40, 40, 120, 40, 40, 40, 40, 40]))
    world, mask, fps = clip.modalities()["pose3d"]
    assert fps == pytest.approx(25, abs=0.1) and not clip.even and mask is not None and mask.all()
    np.testing.assert_allclose(world[:, 0, 0], [0, 1, 2, 2 + 1 / 3, 2 + 2 / 3, 3, 4, 5, 6, 7], atol=0.05)


def test_quality_of_a_rigid_body(somebody: Somebody) -> None:
    good = quality(somebody())
    assert (good.detection_rate, good.visible, good.several, good.most_people) == (1, 1, 0, 1)
    assert good.jitter < 1e-9 and good.bone_variation < 1e-9 and good.out_of_frame == 0


def test_quality_of_known_faults(somebody: Somebody) -> None:
    clip = somebody(2000)
    noise = np.random.default_rng(0).normal(0, 0.01, clip.world.shape)
    trunk = np.linalg.norm(clip.world[0, 11:13].mean(0) - clip.world[0, 23:25].mean(0))
    noisy = quality(changed(clip, world=clip.world + noise))
    # The second difference of noise has 1 + 4 + 1 times its variance in each of three coordinates.
    assert noisy.jitter == pytest.approx(0.01 * np.sqrt(18) / trunk, rel=0.05)
    limbs = [(11, 13), (13, 15), (23, 25), (25, 27), (12, 14), (14, 16), (24, 26), (26, 28)]
    lengths = [np.linalg.norm(clip.world[0, a] - clip.world[0, b]) for a, b in limbs]
    assert noisy.bone_variation == pytest.approx(np.mean([0.01 * np.sqrt(2) / x for x in lengths]), rel=0.1)

    clip = somebody(10)
    clip.followed[:4] = False
    clip.pixels[5, :11] = -1
    clip.people[8:] = 3
    clip.visibility[9, 0] = 0
    some = quality(clip)
    assert some.detection_rate == 0.6 and some.out_of_frame == pytest.approx(11 / (6 * 33))
    assert some.several == 0.2 and some.most_people == 3 and some.visible == pytest.approx(1 - 1 / (6 * 33))


def test_quality_without_anybody(somebody: Somebody) -> None:
    clip = changed(somebody(), followed=np.zeros(40, dtype=bool), people=np.zeros(40, dtype=int))
    nothing = quality(clip)
    assert nothing.detection_rate == nothing.most_people == 0
    assert all(np.isnan(x) for x in (nothing.jitter, nothing.bone_variation, nothing.out_of_frame, nothing.visible))


@pytest.fixture(scope="module")
def two_people(raw_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real people side by side: a large one at the left who squats, a smaller one at the right."""
    import cv2

    sources = [raw_root / "opencap" / name / "video.mp4" for name in ("squat", "STS")]
    if not all(source.is_file() for source in sources):
        pytest.skip("the OpenCap videos are not there")
    path = tmp_path_factory.mktemp("two") / "two.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 60, (780, 750))
    with VideoReader(sources[0]) as one, VideoReader(sources[1]) as other:
        for k, ((_, a), (_, b)) in enumerate(zip(one, other, strict=False)):
            if k == 40:
                break
            frame = np.zeros((750, 780, 3), np.uint8)
            frame[:, :450], frame[200:, 450:] = a[400:1150, 150:600], cv2.resize(b[500:1250, 100:550], (330, 550))
            writer.write(frame[..., ::-1])
    writer.release()
    return path


def test_two_real_people(two_people: Path, pose_model: Path) -> None:
    clip = find_landmarks(two_people, pose_model)
    assert quality(clip).several > 0.5 and quality(clip).detection_rate == 1
    assert (clip.pixels[:, 0, 0] < 450).all(), "the larger one is kept from the first frame to the last"
