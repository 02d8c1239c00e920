from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from graphnets.simulation import CORRECT, EXERCISES, Clip, Motion, move, person_of
from graphnets.simulation.balance import Points
from graphnets.simulation.body import PROPORTIONS
from graphnets.simulation.exercises import CHANNELS, SINES
from graphnets.simulation.exercises.base import SIDES
from graphnets.simulation.exercises.fatigue import TIRED, UNSTEADY, tiredness
from graphnets.skeleton import Skeleton

SKELETON = Skeleton.load("kinect20")
SUBJECTS, FPS = 10, 40.0
MISTAKES = [(e, m) for e in EXERCISES for m in EXERCISES[e].mistakes]


@cache
def motion(exercise: str, mistake: str = CORRECT, fps: float = FPS, subjects: int = SUBJECTS) -> Motion:
    return move([Clip(exercise, mistake, s, r) for s in range(1, subjects + 1) for r in (1, 2)], seed=5, fps=fps)


def everything(exercise: str):
    return [motion(exercise, m) for m in (CORRECT, *EXERCISES[exercise].mistakes)]


def joint(m: Motion, name: str) -> np.ndarray:
    return np.broadcast_to(m.joints[name], (len(m.clips), int(m.lengths.max()), 3))


def angle(m: Motion, a: str, b: str, c: str) -> np.ndarray:
    u, v = joint(m, a) - joint(m, b), joint(m, c) - joint(m, b)
    cosine = (u * v).sum(-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def knees(m: Motion) -> np.ndarray:
    return np.stack([angle(m, f"{s}_hip", f"{s}_knee", f"{s}_ankle") for s in ("left", "right")], -1)


def elbows(m: Motion) -> np.ndarray:
    return np.stack([angle(m, f"{s}_shoulder", f"{s}_elbow", f"{s}_wrist") for s in ("left", "right")], -1)


def lean(m: Motion) -> np.ndarray:
    trunk = joint(m, "neck") - joint(m, "pelvis")
    return np.degrees(np.arccos(trunk[..., 1] / np.linalg.norm(trunk, axis=-1)))


def apart(m: Motion, name: str) -> np.ndarray:
    return np.linalg.norm(joint(m, f"left_{name}") - joint(m, f"right_{name}"), axis=-1)


def lead(m: Motion) -> list[str]:
    ahead = joint(m, "left_ankle")[:, m.lengths.min() // 2, 2] > joint(m, "right_ankle")[:, m.lengths.min() // 2, 2]
    return ["left" if a else "right" for a in ahead]


def knee_past_toe(m: Motion) -> np.ndarray:
    """How far the leading knee gets ahead of the toes, in the direction of the step."""
    out = []
    for i, side in enumerate(lead(m)):
        ankle, foot, knee = (joint(m, f"{side}_{n}")[i] for n in ("ankle", "foot", "knee"))
        t = np.argmax(knee[:, 2])
        way = (foot - ankle)[t] * [1, 0, 1]
        out.append(np.dot(knee[t] - foot[t], way / np.linalg.norm(way)))
    return np.array(out)


def lowest(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).min(1)


def highest(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).max(1)


def raised(m: Motion) -> np.ndarray:
    """Height of the lower hand above the shoulders, where it is greatest."""
    hands = np.minimum(joint(m, "left_wrist")[..., 1], joint(m, "right_wrist")[..., 1])
    return highest(hands - joint(m, "neck")[..., 1])


def hip_line(m: Motion) -> np.ndarray:
    """Height of the pelvis above the line from ankles to neck at the start."""
    ankle = 0.5 * (joint(m, "left_ankle") + joint(m, "right_ankle"))[:, 0]
    neck, pelvis = joint(m, "neck")[:, 0], joint(m, "pelvis")[:, 0]
    share = ((pelvis - ankle) * (neck - ankle)).sum(-1) / ((neck - ankle) ** 2).sum(-1)
    return (pelvis - ankle - share[:, None] * (neck - ankle))[:, 1]


def hands_to_thighs(m: Motion) -> np.ndarray:
    """Share of the time that the left hand spends near the left thigh."""
    thigh = 0.3 * joint(m, "left_hip") + 0.7 * joint(m, "left_knee")
    near = np.linalg.norm(joint(m, "left_wrist") - thigh, axis=-1) < 0.17
    return (near & (np.arange(near.shape[1]) < m.lengths[:, None])).sum(1) / m.lengths


def shoulders_over_neck(m: Motion) -> np.ndarray:
    return highest(0.5 * (joint(m, "left_shoulder") + joint(m, "right_shoulder"))[..., 1] - joint(m, "neck")[..., 1])


def flare(m: Motion) -> np.ndarray:
    return highest(apart(m, "elbow"))


def arms_late(m: Motion) -> np.ndarray:
    """Seconds from when the feet are half apart to when the hands pass the shoulders."""
    feet = apart(m, "ankle")
    half = (feet > 0.5 * (feet.min(1) + feet.max(1))[:, None]).argmax(1)
    return ((joint(m, "left_wrist") - joint(m, "neck"))[..., 1] > 0).argmax(1) / m.fps - half / m.fps


def widest(m: Motion) -> np.ndarray:
    return highest(apart(m, "ankle"))


def knee_to_ankle(m: Motion) -> np.ndarray:
    """Distance of the knees over that of the ankles when the pelvis is lowest."""
    deepest = joint(m, "pelvis")[..., 1].argmin(1)[:, None]
    return np.take_along_axis(apart(m, "knee") / apart(m, "ankle"), deepest, 1)[:, 0]


def uneven(m: Motion) -> np.ndarray:
    return highest(np.abs(joint(m, "left_wrist") - joint(m, "right_wrist"))[..., 1])


def heel_height(m: Motion) -> np.ndarray:
    """Of the lower ankle, where it is highest."""
    return highest(np.minimum(joint(m, "left_ankle")[..., 1], joint(m, "right_ankle")[..., 1]))


def uneven_heels(m: Motion) -> np.ndarray:
    return highest(np.abs(joint(m, "left_ankle") - joint(m, "right_ankle"))[..., 1])


def ahead(m: Motion, a: str, b: str) -> np.ndarray:
    """How far joint ``a`` is ahead of joint ``b`` in the direction of the person, metres."""
    heading = m.controls["heading"]
    way = joint(m, a) - joint(m, b)
    return way[..., 0] * np.sin(heading) + way[..., 2] * np.cos(heading)


def aside(m: Motion, a: str, b: str) -> np.ndarray:
    """How far joint ``a`` is to the left of joint ``b``."""
    heading = m.controls["heading"]
    way = joint(m, a) - joint(m, b)
    return way[..., 0] * np.cos(heading) - way[..., 2] * np.sin(heading)


def neck_flexion(m: Motion) -> np.ndarray:
    chest, head = joint(m, "neck") - joint(m, "spine"), joint(m, "head") - joint(m, "neck")
    cosine = (chest * head).sum(-1) / np.linalg.norm(chest, axis=-1) / np.linalg.norm(head, axis=-1)
    return highest(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def shoulder_turn(m: Motion) -> np.ndarray:
    """Greatest angle by which the line of the shoulders leaves the plane of symmetry's normal."""
    line = ahead(m, "left_shoulder", "right_shoulder"), aside(m, "left_shoulder", "right_shoulder")
    return highest(np.abs(np.degrees(np.arctan2(*line))))


def steps(m: Motion) -> np.ndarray:
    """Greatest distance between the feet, for the left and for the right one ahead, ``[R, 2]``."""
    way = ahead(m, "left_ankle", "right_ankle")
    return np.stack([way.max(1), -way.min(1)], -1)


def weak_side(m: Motion) -> np.ndarray:
    return np.where(m.controls["weaker_left"][:, 0] > 0.5, 0, 1)


def foot_turn(m: Motion) -> np.ndarray:
    """Mean outward turn of the feet where they are on the floor, degrees."""
    way = aside(m, "left_foot", "left_ankle"), ahead(m, "left_foot", "left_ankle")
    return np.degrees(np.median(np.arctan2(*way), axis=1))


# What each mistake changes, and in which direction.
EFFECTS = {
    ("squat", "knees_inward"): (knee_to_ankle, -1),
    ("squat", "not_low_enough"): (lambda m: lowest(knees(m)), 1),
    ("squat", "front_bent"): (lambda m: highest(lean(m)), 1),
    ("lunge", "not_low_enough"): (lambda m: lowest(joint(m, "pelvis")[..., 1]), 1),
    ("lunge", "knee_passes_toe"): (knee_past_toe, 1),
    ("lunge", "trunk_bent"): (lambda m: highest(lean(m)), 1),
    ("sit_to_stand", "uses_arms"): (hands_to_thighs, 1),
    ("sit_to_stand", "trunk_swing"): (lambda m: highest(lean(m)), 1),
    ("sit_to_stand", "incomplete_stand"): (lambda m: highest(knees(m)), -1),
    ("arm_raise", "not_high_enough"): (raised, -1),
    ("arm_raise", "elbows_bent"): (lambda m: lowest(elbows(m)), -1),
    ("arm_raise", "asymmetric"): (uneven, 1),
    ("arm_raise", "shrug"): (shoulders_over_neck, 1),
    ("jumping_jack", "arms_too_low"): (raised, -1),
    ("jumping_jack", "feet_too_narrow"): (widest, -1),
    ("jumping_jack", "arms_late"): (arms_late, 1),
    ("jumping_jack", "elbows_bent"): (lambda m: lowest(elbows(m)), -1),
    ("push_up", "not_low_enough"): (lambda m: lowest(elbows(m)), 1),
    ("push_up", "hips_sagging"): (hip_line, -1),
    ("push_up", "hips_piked"): (hip_line, 1),
    ("push_up", "elbows_flared"): (flare, 1),
    ("calf_raise", "not_high_enough"): (heel_height, -1),
    ("calf_raise", "knees_bent"): (lambda m: lowest(knees(m)), -1),
    ("calf_raise", "asymmetric"): (uneven_heels, 1),
    ("calf_raise", "trunk_bent"): (lambda m: highest(lean(m)), 1),
    ("biceps_curl", "trunk_swing"): (lambda m: highest(-ahead(m, "neck", "pelvis")), 1),
    ("biceps_curl", "elbows_forward"): (lambda m: highest(ahead(m, "left_elbow", "left_shoulder")), 1),
    ("biceps_curl", "not_high_enough"): (lambda m: lowest(elbows(m)), 1),
    ("biceps_curl", "not_straightened"): (lambda m: highest(elbows(m)), -1),
    ("sit_up", "not_high_enough"): (lambda m: highest(joint(m, "neck")[..., 1]), -1),
    ("sit_up", "feet_lifted"): (lambda m: highest(joint(m, "left_ankle")[..., 1]), 1),
    ("sit_up", "neck_bent"): (neck_flexion, 1),
    ("sit_up", "twisted"): (shoulder_turn, 1),
    ("walking", "limp"): (lambda m: np.take_along_axis(steps(m), (1 - weak_side(m))[:, None], 1)[:, 0], -1),
    ("walking", "short_steps"): (lambda m: steps(m).mean(1), -1),
    ("walking", "trunk_sway"): (lambda m: np.ptp(aside(m, "neck", "pelvis"), axis=1), 1),
    ("walking", "toes_out"): (foot_turn, 1),
}


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_a_mistake_changes_what_it_is_named_after(exercise, mistake):
    measure, sign = EFFECTS[exercise, mistake]
    wrong, right = motion(exercise, mistake), motion(exercise)
    change = sign * (measure(wrong) - measure(right))
    assert np.all(change > 0)
    assert np.corrcoef(change, wrong.severity)[0, 1] > 0.5, "the more severe, the larger"


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_a_mistake_leaves_the_rest_of_the_repetition_alone(exercise, mistake):
    wrong, right = motion(exercise, mistake), motion(exercise)
    shifted = EXERCISES[exercise].mistakes[mistake].shifts
    for name, value in right.controls.items():
        assert np.array_equal(value, wrong.controls[name]) == (name not in shifted)
    assert np.array_equal(wrong.lengths, right.lengths)
    assert np.all((wrong.severity > 0) & (wrong.severity <= 1))
    np.testing.assert_array_equal(right.severity, 0)


def test_knees_inward_is_seen_as_knees_closer_than_ankles():
    wrong = motion("squat", "knees_inward")
    strong = wrong.severity > 0.5
    assert np.all(knee_to_ankle(wrong)[strong] < 0.95)
    assert np.all(knee_to_ankle(motion("squat")) > 0.95)


def test_other_quantities_stay_when_the_knees_fall_inward():
    wrong, right = motion("squat", "knees_inward"), motion("squat")
    np.testing.assert_allclose(lean(wrong), lean(right), atol=1e-9)
    # Knees elsewhere are masses elsewhere: balance moves the pelvis by millimetres.
    np.testing.assert_allclose(joint(wrong, "pelvis"), joint(right, "pelvis"), atol=0.006)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_bones_keep_their_length_over_all_repetitions_of_a_person(exercise):
    lengths = []
    for m in everything(exercise):
        x = m.stack(SKELETON.joints)
        lengths.append(
            np.linalg.norm(x[:, :, [c for c, _ in SKELETON.bones]] - x[:, :, [p for _, p in SKELETON.bones]], axis=-1)
        )
    each = np.concatenate(lengths, axis=1).reshape(SUBJECTS, -1, len(SKELETON.bones))
    assert np.ptp(each, axis=1).max() < 1e-9


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_bones_are_those_of_the_body(exercise):
    m = motion(exercise)
    for name, a, b in (("thigh", "hip", "knee"), ("shank", "knee", "ankle"), ("forearm", "elbow", "wrist")):
        for i, side in enumerate(("left", "right")):
            length = np.linalg.norm(joint(m, f"{side}_{a}") - joint(m, f"{side}_{b}"), axis=-1)
            np.testing.assert_allclose(length, getattr(m.body, name)[..., i] + 0 * length, atol=1e-9)


PLANTED = {
    "squat": ("left_ankle", "right_ankle", "left_foot", "right_foot"),
    "sit_to_stand": ("left_ankle", "right_ankle", "left_foot", "right_foot"),
    "arm_raise": ("left_ankle", "right_ankle", "left_foot", "right_foot"),
    "push_up": ("left_ankle", "right_ankle", "left_foot", "right_foot", "left_wrist", "left_hand", "right_hand"),
    "calf_raise": ("left_foot", "right_foot"),
    "biceps_curl": ("left_ankle", "right_ankle", "left_foot", "right_foot"),
    "sit_up": ("pelvis", "left_hip", "right_hip"),
}


@pytest.mark.parametrize("exercise", list(PLANTED))
def test_what_is_planted_does_not_slide(exercise):
    for m in everything(exercise):
        for name in PLANTED[exercise]:
            assert np.ptp(joint(m, name), axis=1).max() < 1e-9, name


def test_the_rear_foot_of_a_lunge_turns_about_its_toes():
    for m in everything("lunge"):
        for i, side in enumerate(lead(m)):
            rear = "right" if side == "left" else "left"
            assert np.ptp(joint(m, f"{rear}_foot")[i], axis=0).max() < 1e-9
            assert np.ptp(joint(m, f"{rear}_ankle")[i, :, 1]) > 0.05


@pytest.mark.parametrize("exercise", ["lunge", "jumping_jack"])
def test_feet_travel_in_the_air_alone(exercise):
    for m in everything(exercise):
        for side in ("left", "right"):
            foot = joint(m, f"{side}_foot")
            on_floor = foot[..., 1] < foot[..., 1].min(1, keepdims=True) + 1e-5
            both = on_floor[:, 1:] & on_floor[:, :-1]
            steps = np.linalg.norm(np.diff(foot, axis=1), axis=-1)
            assert steps[both].max() < 1e-5
            if exercise == "jumping_jack":
                assert np.all((~on_floor).any(1))


def test_a_jumper_falls_freely():
    m = motion("jumping_jack", fps=240.0, subjects=6)
    place, mass = Points(m.body).moved(m.joints)
    centre = (mass * place).sum(-1) / m.body.mass
    for i in range(len(m.clips)):
        toes = np.minimum(joint(m, "left_foot")[i, :, 1], joint(m, "right_foot")[i, :, 1])
        flying = toes > toes.min() + 2e-3
        push = [np.gradient(np.gradient(x)) * 240.0**2 for x in centre[:, i]]
        inside = np.convolve(flying, np.ones(13), "same") == 13
        assert inside.sum() > 20
        np.testing.assert_allclose(push[1][inside], -9.81, atol=1.5)
        np.testing.assert_allclose(push[0][inside], 0.0, atol=0.3)
        np.testing.assert_allclose(push[2][inside], 0.0, atol=1.5)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_nothing_goes_through_the_floor(exercise):
    for m in everything(exercise):
        assert m.stack(SKELETON.joints)[..., 1].min() > 0.005


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_knees_bend_forwards(exercise):
    for m in everything(exercise):
        left, right = joint(m, "left_hip"), joint(m, "right_hip")
        across = (left - right) / np.linalg.norm(left - right, axis=-1, keepdims=True)
        for side in ("left", "right"):
            hip, knee, ankle = (joint(m, f"{side}_{n}") for n in ("hip", "knee", "ankle"))
            # left x along-the-leg points to the front of the leg, whatever the body's pose
            front = np.cross(across, hip - ankle)
            share = ((knee - ankle) * (hip - ankle)).sum(-1) / ((hip - ankle) ** 2).sum(-1)
            bulge = knee - ankle - share[..., None] * (hip - ankle)
            assert ((bulge * front).sum(-1) > 0).all()


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_elbows_and_knees_are_never_overstretched(exercise):
    for m in everything(exercise):
        assert elbows(m).max() < 179.0
        assert knees(m).max() < 179.0
        assert elbows(m).min() > 40.0
        assert knees(m).min() > 45.0


def test_elbows_of_hanging_arms_point_backwards():
    for exercise in ("squat", "lunge", "arm_raise", "jumping_jack"):
        m = motion(exercise)
        for side in ("left", "right"):
            shoulder, elbow, wrist = (joint(m, f"{side}_{n}")[:, 0] for n in ("shoulder", "elbow", "wrist"))
            share = ((elbow - shoulder) * (wrist - shoulder)).sum(-1) / ((wrist - shoulder) ** 2).sum(-1)
            assert ((elbow - shoulder - share[:, None] * (wrist - shoulder))[:, 2] < 0).all()


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_the_head_stays_beyond_the_shoulders_and_faces_turn_no_further_than_necks_do(exercise):
    for m in everything(exercise):
        chest = joint(m, "neck") - joint(m, "spine")
        head = joint(m, "head") - joint(m, "neck")
        cosine = (chest * head).sum(-1) / np.linalg.norm(chest, axis=-1) / np.linalg.norm(head, axis=-1)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 65


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_movement_is_smooth_and_of_human_speed(exercise):
    for m in everything(exercise):
        x = m.stack(SKELETON.joints)
        speed = np.linalg.norm(np.diff(x, axis=1), axis=-1) * FPS
        assert speed.max() < 10.0
        # Twice as many frames a second: half the step, hence no jump anywhere.
    fine, coarse = motion(exercise, fps=240.0, subjects=2), motion(exercise, fps=120.0, subjects=2)
    jumps = [np.abs(np.diff(x.stack(SKELETON.joints), axis=1)).max() for x in (fine, coarse)]
    assert jumps[0] < 0.55 * jumps[1]


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if not EXERCISES[e].endless])
def test_a_repetition_ends_where_it_began(exercise):
    m = motion(exercise)
    x = m.stack(SKELETON.joints)
    last = x[np.arange(len(x)), m.lengths - 1]
    assert np.linalg.norm(last - x[:, 0], axis=-1).max() < 0.13


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_the_right_side_is_right(exercise):
    m = motion(exercise)
    ahead = np.stack([np.sin(m.controls["heading"]), 0 * m.controls["heading"], np.cos(m.controls["heading"])], -1)
    leftwards = np.cross([0.0, 1.0, 0.0], ahead)
    for name in ("shoulder", "hip", "ankle"):
        assert ((joint(m, f"left_{name}") - joint(m, f"right_{name}")) * leftwards).sum(-1).min() > 0.03


def test_people_have_human_proportions_and_differ():
    people = [person_of(0, s) for s in range(1, 201)]
    height = np.array([p.body.height[0, 0] for p in people])
    assert 1.5 < height.min() < height.max() < 1.95
    for name, (female, male) in PROPORTIONS.items():
        share = np.array([np.mean(getattr(p.body, name)) / p.body.height[0, 0] for p in people])
        assert min(female, male) * 0.95 < share.min() and share.max() < max(female, male) * 1.05
        assert share.std() > 0.01 * share.mean()
    uneven = np.array([np.ptp(p.body.thigh) / p.body.thigh.mean() for p in people])
    assert 0 < uneven.max() < 0.02
    assert {p.male > 0.5 for p in people} == {True, False}


def test_segments_of_an_upright_person_add_up_to_stature():
    for s in range(1, 50):
        body = person_of(1, s).body
        top = body.ankle + body.shank.mean() + body.thigh.mean() + body.trunk + body.neck + 0.058 * body.height
        assert top[0, 0] == pytest.approx(body.height[0, 0], rel=0.07)


def test_an_unknown_mistake_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"squat has no mistake 'flying'; it has knees_inward"):
        move([Clip("squat", "flying", 1, 1)])


def test_every_mistake_shifts_controls_that_exist():
    for exercise in EXERCISES.values():
        assert exercise.own["duration"].unit == "s"
        for mistake in exercise.mistakes.values():
            assert mistake.says.endswith(".")
            assert set(mistake.shifts) <= set(exercise.controls)


def test_the_feet_of_a_sit_up_stay_unless_they_are_lifted():
    for m in everything("sit_up"):
        lifted = np.ptp(joint(m, "left_ankle"), axis=1).max(-1) > 1e-9
        assert lifted.all() if m.clips[0].mistake == "feet_lifted" else not lifted.any()


def rolling(m: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of both feet: heels by the geometry of the foot, toes, and whether the contact says that the foot bears."""
    time = np.broadcast_to(np.arange(m.lengths.max()) / m.fps, (len(m.clips), m.lengths.max()))
    bears = m.exercise.contacts(m.body, m.controls, time)
    heels, toes, on = [], [], []
    for side in ("left", "right"):
        ankle, toe = joint(m, f"{side}_ankle"), joint(m, f"{side}_foot")
        # The foot keeps to a vertical plane: pitch from ankle and toes, then the heel behind and below the ankle.
        level = np.hypot(toe[..., 0] - ankle[..., 0], toe[..., 2] - ankle[..., 2])
        flat = np.arctan2(m.body.toe_height - m.body.ankle, m.body.forefoot)
        pitch = flat - np.arctan2(toe[..., 1] - ankle[..., 1], level)
        way = (toe - ankle) * [1.0, 0.0, 1.0] / level[..., None]
        back, down = -0.030 * m.body.height, -m.body.ankle
        along = back * np.cos(pitch) + down * np.sin(pitch)
        height = down * np.cos(pitch) - back * np.sin(pitch)
        heels.append(ankle + along[..., None] * way + height[..., None] * [0.0, 1.0, 0.0])
        toes.append(toe)
        on.append(bears[f"{side}_foot"] > 0)
    return np.stack(heels, 2), np.stack(toes, 2), np.stack(on, 2)


def test_the_feet_of_a_walker_roll_from_heel_to_toes_without_sliding():
    for m in everything("walking"):
        heels, toes, on = rolling(m)
        assert heels[on, 1].min() > -1e-9 and heels[..., 1].min() > -0.008, "a heel that swings may touch the floor"
        both_frames = on[:, 1:] & on[:, :-1]
        moved = np.minimum(
            np.linalg.norm(np.diff(heels, axis=1), axis=-1), np.linalg.norm(np.diff(toes, axis=1), axis=-1)
        )
        assert moved[both_frames].max() < 1e-9, "heel or toes stay where they are"
        assert on.any(2).all(), "a walker never flies"
        assert not on.all((1, 2)).any()


def test_a_walker_goes_at_the_speed_and_goes_on():
    m = motion("walking")
    way = ahead(m, "pelvis", "pelvis")
    heading = m.controls["heading"]
    z = joint(m, "pelvis")[..., 0] * np.sin(heading) + joint(m, "pelvis")[..., 2] * np.cos(heading)
    seconds = (m.lengths.max() - 1) / m.fps
    np.testing.assert_allclose((z[:, -1] - z[:, 0]) / seconds, m.controls["speed"][:, 0], atol=0.04)
    assert np.diff(z, axis=1).min() > 0, "also after the duration"
    np.testing.assert_array_equal(way, 0)


# Published ranges of motion of adults (American Academy of Orthopaedic Surgeons, "Joint motion", 1965; Kapandji, "The
# physiology of the joints": hips to 145 with bent knees; Bennell et al., Aust. J. Physiother. 44(3), 1998: ankles to 48
# under load), degrees.
RANGES = {
    "knee": (1.0, 140.0),
    "elbow": (0.0, 145.0),
    "hip": (-35.0, 145.0),
    "ankle": (-55.0, 48.0),
    "spine": (-30.0, 60.0),
}


def anatomical(x: dict[str, np.ndarray], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Flexion of knees, elbows, hips, ankles (dorsiflexion) and of the spine in the body's own axes, degrees."""
    p = {name: np.broadcast_to(v, (*shape, 3)) for name, v in x.items()}

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.linalg.norm(v, axis=-1, keepdims=True)

    def between(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.degrees(np.arccos(np.clip((unit(u) * unit(v)).sum(-1), -1.0, 1.0)))

    left = unit(p["left_hip"] - p["right_hip"])
    up = unit(p["spine"] - p["pelvis"])
    ahead = np.cross(left, up)
    out: dict[str, list[np.ndarray]] = {name: [] for name in RANGES}
    for side in ("left", "right"):
        hip, knee, ankle, foot = (p[f"{side}_{n}"] for n in ("hip", "knee", "ankle", "foot"))
        shoulder, elbow, wrist = (p[f"{side}_{n}"] for n in ("shoulder", "elbow", "wrist"))
        out["knee"].append(between(knee - hip, ankle - knee))
        out["elbow"].append(between(elbow - shoulder, wrist - elbow))
        thigh = knee - hip
        out["hip"].append(np.degrees(np.arctan2((thigh * ahead).sum(-1), -(thigh * up).sum(-1))))
        # The line from ankle to ball falls by about 20 degrees on a flat foot.
        out["ankle"].append(90.0 - between(knee - ankle, foot - ankle) + 20.0)
    chest = p["neck"] - p["spine"]
    out["spine"].append(np.degrees(np.arctan2((chest * ahead).sum(-1), (chest * up).sum(-1))))
    return {name: np.stack(values) for name, values in out.items()}


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_joints_keep_to_published_ranges_at_every_severity(exercise):
    e, correct = EXERCISES[exercise], motion(exercise)
    waves = np.random.default_rng(0).uniform(0.12, 0.9, (len(correct.clips), len(CHANNELS), SINES, 2))
    time = np.broadcast_to(np.linspace(0, 1, 61), (len(correct.clips), 61)) * correct.controls["duration"]
    for mistake in e.mistakes:
        for severity in (0.0, 0.5, 1.0):
            drawn = [{k: float(v[i, 0]) for k, v in correct.controls.items()} for i in range(len(correct.clips))]
            spoilt = [e.spoil(d, float(correct.body.height[i, 0]), mistake, severity) for i, d in enumerate(drawn)]
            controls = {k: np.array([[d[k]] for d in spoilt]) for k in correct.controls}
            angles = anatomical(e.perform(correct.body, controls, time, waves), time.shape)
            for name, (low, high) in RANGES.items():
                assert low < angles[name].min() and angles[name].max() < high, (mistake, severity, name)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_contacts_are_smooth_shares(exercise):
    for m in everything(exercise):
        time = np.broadcast_to(np.linspace(0, 1, 2001), (len(m.clips), 2001)) * m.controls["duration"]
        active = m.exercise.contacts(m.body, m.controls, time)
        assert set(active) <= {"left_foot", "right_foot", "left_hand", "right_hand", "pelvis", "back"}
        for value in active.values():
            assert value.shape == time.shape
            assert value.min() > -1e-9 and value.max() < 1.0 + 1e-9
            assert np.abs(np.diff(value, axis=1)).max() < 0.12


def test_the_first_repetition_is_not_tired_and_later_ones_are_more_and_more():
    strong, weak = sorted((person_of(5, s) for s in range(1, 20)), key=lambda p: -p.traits["strength"])[::18]
    for person in (strong, weak):
        tired = [tiredness(n, person) for n in (1, 2, 5, 20, 40)]
        assert tired[0] == 0.0 and np.all(np.diff(tired) > 0) and tired[-1] < 1.0
    assert tiredness(5, strong) < tiredness(5, weak)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_tired_repetitions_shift_what_they_should_and_stay_correct(exercise):
    e = EXERCISES[exercise]
    for name in TIRED[exercise]:
        assert name in e.controls
    style = e.style(person_of(5, 3), np.random.default_rng(1))
    fresh, tired = (e.draw(style, np.random.default_rng(2), t) for t in (0.0, 0.6))
    height = float(person_of(5, 3).body.height[0, 0])
    for name, control in e.controls.items():
        change = (tired[name] - fresh[name]) / control.scale(height)
        shift = TIRED[exercise].get(name, UNSTEADY if name == "unsteady" else 0.0)
        if name in SIDES:
            assert fresh[name] == 0.0 and change != 0.0
        else:
            assert change * shift >= 0.0 and abs(change) <= abs(0.6 * shift) + 1e-9
            assert control.low - 1e-9 <= tired[name] / control.scale(height) <= control.high + 1e-9


def test_tired_people_are_slower_and_shallower_on_average():
    first = move([Clip("squat", CORRECT, s, 1) for s in range(1, 31)], seed=5)
    late = move([Clip("squat", CORRECT, s, 12) for s in range(1, 31)], seed=5)
    assert late.controls["duration"].mean() > first.controls["duration"].mean() + 0.15
    assert lowest(knees(late)).mean() > lowest(knees(first)).mean() + 3.0
    assert np.abs(late.controls["side_arm"]).mean() > np.abs(first.controls["side_arm"]).max()
