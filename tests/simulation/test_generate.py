from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from graphnets.simulation import CORRECT, EXERCISES, Clip, Recording, generate, mistake_classes, move, plan, render
from graphnets.skeleton import Skeleton


def same(a: Recording, b: Recording) -> bool:
    arrays = all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("pose", "pose2d", "pose2d_mask"))
    return arrays and (a.id, a.severity, a.camera_azimuth) == (b.id, b.severity, b.camera_azimuth)


def test_the_plan_holds_every_mistake_of_every_exercise_of_every_subject_once():
    clips = plan(subjects=3, repetitions=2)
    assert len({c.id for c in clips}) == len(clips) == 3 * 2 * (len(EXERCISES) + len(mistake_classes()) - 1)
    assert {c.label for c in clips} == set(mistake_classes())
    assert {c.pair for c in clips} == {c.id for c in clips if c.mistake == CORRECT}
    assert Clip("squat", "knees_inward", 3, 2).id == "squat_knees_inward_s03_r02"
    assert Clip("squat", "knees_inward", 3, 2).pair == "squat_correct_s03_r02"


def test_each_exercise_has_at_least_three_mistakes():
    first = ["squat", "lunge", "sit_to_stand", "arm_raise", "jumping_jack", "push_up"]
    assert list(EXERCISES) == [*first, "calf_raise", "biceps_curl", "sit_up", "walking"]
    assert all(len(e.mistakes) >= 3 for e in EXERCISES.values())


def test_recordings_have_the_shapes_and_types_of_the_store():
    for r in generate(subjects=1, repetitions=1):
        frames = len(r.pose)
        assert r.pose.shape == (frames, 20, 3) and r.pose.dtype == np.float32
        assert r.pose2d.shape == (frames, 20, 3) and r.pose2d.dtype == np.float32
        assert r.pose2d_mask.shape == (frames, 20) and r.pose2d_mask.dtype == np.bool_
        assert 40 <= frames <= 150 and frames == round(r.duration * 30) + 1
        assert np.isfinite(r.pose).all() and np.isfinite(r.pose2d).all()
        assert (r.severity > 0) == (r.clip.mistake != CORRECT)


def test_joints_are_in_the_order_of_the_skeleton():
    names = Skeleton.load("kinect20").joints
    clip = [Clip("lunge", CORRECT, 2, 1)]
    recording, motion = render(clip)[0], move(clip)
    for i, name in enumerate(names):
        np.testing.assert_allclose(
            recording.pose[:, i], motion.joints[name][0] + np.zeros((len(recording.pose), 3)), atol=1e-6
        )


def test_the_same_seed_gives_the_same_and_another_seed_other_people():
    a, b, c = (list(islice(generate(seed=s), 3)) for s in (1, 1, 2))
    assert all(same(x, y) for x, y in zip(a, b, strict=True))
    assert a[0].height != c[0].height


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_any_subset_in_any_order_is_the_same(exercise):
    clips = plan(subjects=3, repetitions=2, exercises=[exercise])
    whole = {r.id: r for r in render(clips, seed=4)}
    some = [clips[i] for i in np.random.default_rng(0).permutation(len(clips))[:7]]
    alone = render([some[0]], seed=4) + render(some[1:], seed=4)
    assert [r.id for r in alone] == [c.id for c in some]
    assert all(same(r, whole[r.id]) for r in alone)


def test_more_subjects_repetitions_or_exercises_leave_the_others_as_they_were():
    small = {r.id: r for r in generate(1, 1, exercises=["push_up"])}
    large = {r.id: r for r in generate(2, 2, exercises=["squat", "push_up"])}
    assert set(small) < set(large)
    assert all(same(r, large[i]) for i, r in small.items())


def test_what_is_skipped_is_left_out_and_the_rest_is_the_same():
    all_of_them = list(generate(1, 2, exercises=["squat", "lunge"]))
    skip = {r.id for r in all_of_them[:5]}
    rest = list(generate(1, 2, exercises=["squat", "lunge"], skip=skip))
    assert [r.id for r in rest] == [r.id for r in all_of_them[5:]]
    assert all(same(a, b) for a, b in zip(rest, all_of_them[5:], strict=True))


def test_a_pair_shares_tempo_heading_camera_and_detector_noise():
    recordings = {r.id: r for r in generate(2, 1, seed=2)}
    for r in recordings.values():
        right = recordings[r.clip.pair]
        for name in ("duration", "heading", "camera_azimuth", "height", "fps"):
            assert getattr(r, name) == getattr(right, name)
        assert len(r.pose) == len(right.pose)
        assert right.clip.mistake == CORRECT and right.clip.pair == right.id
    wrong, right = recordings["squat_front_bent_s01_r01"], recordings["squat_correct_s01_r01"]
    at_rest = slice(0, 3)
    np.testing.assert_allclose(wrong.pose[at_rest], right.pose[at_rest], atol=0.02)


def test_severity_is_spread_over_its_range():
    severity = move(plan(30, 3, ["squat"]), fps=5.0).severity
    severity = severity[severity > 0]
    assert severity.min() < 0.1 and severity.max() > 0.9 and abs(severity.mean() - 0.5) < 0.08


def test_frames_a_second_change_the_sampling_alone():
    clip = [Clip("squat", CORRECT, 1, 1)]
    slow, fast = render(clip, fps=30.0)[0], render(clip, fps=60.0)[0]
    frames = min(len(slow.pose), len(fast.pose[::2]))
    np.testing.assert_allclose(fast.pose[::2][:frames], slow.pose[:frames], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"subjects": 0}, "subjects is 0; allowed are 1 to 999"),
        ({"repetitions": 1000}, "repetitions is 1000; allowed are 1 to 999"),
        ({"seed": -1}, "seed is -1; allowed are 0 and above"),
        ({"fps": 4.0}, "fps is 4.0; allowed are 5 to 240"),
        ({"exercises": ["squad"]}, "unknown exercise 'squad'; there are squat, lunge"),
        ({"exercises": []}, "at least one"),
        ({"exercises": ["squat", "squat"]}, "different names"),
    ],
)
def test_arguments_out_of_range_are_named_with_what_is_allowed(arguments, words):
    with pytest.raises(ValueError, match=words):
        next(generate(**arguments))


def test_clips_of_different_exercises_are_not_rendered_together():
    with pytest.raises(ValueError, match="clips must be of one exercise, got lunge, squat"):
        render([Clip("squat", CORRECT, 1, 1), Clip("lunge", CORRECT, 1, 1)])
    with pytest.raises(ValueError, match="got none"):
        render([])
