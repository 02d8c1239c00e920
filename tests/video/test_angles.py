from __future__ import annotations

import math

import numpy as np
import pytest

from graphnets.skeleton import Skeleton
from graphnets.video.angles import all_angles, both_sides, fill, joint_angle, low_pass

SKELETON = Skeleton.load("coco17")


def legs(left: list[float], right: list[float], dims: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Upright thighs, and shanks that make these angles at the knee with them."""
    x = np.zeros((len(left), 17, dims))
    for side, angles in (("left", left), ("right", right)):
        hip, knee, ankle = (SKELETON.index(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
        x[:, hip, 1] = 1.0
        radians = np.radians(angles)
        x[:, ankle, 1], x[:, ankle, dims - 1 if dims == 3 else 0] = 0.9 * np.cos(radians), 0.9 * np.sin(radians)
        x[:, [hip, knee, ankle]] += 3.0
    return x, np.ones((len(left), 17), dtype=bool)


@pytest.mark.parametrize("dims", [2, 3])
def test_angles_by_construction(dims: int) -> None:
    angles = [0.0, 30.0, 90.0, 135.0, 180.0]
    x, mask = legs(angles, angles, dims)
    found = joint_angle(x, mask, SKELETON, ("left_hip", "left_knee", "left_ankle"))
    np.testing.assert_allclose(found, angles, atol=1e-5)


def test_the_plane_agrees_with_the_textbook() -> None:
    """The difference of two arc tangents, folded to 180 degrees."""
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(50, 17, 2)), np.ones((50, 17), dtype=bool)
    found = joint_angle(x, mask, SKELETON, ("left_hip", "left_knee", "left_ankle"))
    a, b, c = (x[:, SKELETON.index(f"left_{part}")] for part in ("hip", "knee", "ankle"))
    for k in range(50):
        turn = math.degrees(math.atan2(*(c - b)[k, ::-1]) - math.atan2(*(a - b)[k, ::-1]))
        turn = abs(turn)
        assert found[k] == pytest.approx(360 - turn if turn > 180 else turn, abs=1e-6)


def test_what_was_not_observed_is_not_read() -> None:
    x, mask = legs([90, 90, 90, 90], [120, 120, 120, 120])
    mask[1, SKELETON.index("left_ankle")] = mask[2, SKELETON.index("right_hip")] = mask[3] = False
    x[~mask] = np.nan
    x[0, SKELETON.index("right_knee")] = x[0, SKELETON.index("right_hip")]
    np.testing.assert_allclose(both_sides(x, mask, SKELETON, "knee"), [90, 120, 90, np.nan])


def test_all_angles_that_a_skeleton_has() -> None:
    counts = {"coco17": 8, "kinect20": 10, "mediapipe33": 10, "body25": 10, "tan_imu8": 0}
    for name, count in counts.items():
        skeleton = Skeleton.load(name)
        x = np.random.default_rng(0).normal(size=(4, skeleton.num_joints, 3))
        assert all_angles(x, np.ones(x.shape[:2], dtype=bool), skeleton).shape == (4, count)
    with pytest.raises(ValueError, match="left_elbow"):
        both_sides(np.zeros((2, 11, 2)), np.ones((2, 11), dtype=bool), Skeleton.load("tan_video11"), "elbow")


def test_fill_and_low_pass() -> None:
    nan = np.nan
    signal = np.array([[nan, nan], [1, nan], [nan, nan], [3, nan], [nan, nan]])
    assert fill(signal).tolist() == [[1, 0], [1, 0], [2, 0], [3, 0], [3, 0]]
    t = np.arange(200) / 50
    wave = np.sin(2 * np.pi * t) + 0.3 * np.sin(2 * np.pi * 20 * t)
    np.testing.assert_allclose(low_pass(wave, 50, 5.0)[40:-40], np.sin(2 * np.pi * t)[40:-40], atol=0.02)
    assert low_pass(wave, 8.0, 5.0) is wave and low_pass(wave[:3], 50, 5.0).shape == (3,)
