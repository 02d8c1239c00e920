from __future__ import annotations

import numpy as np
import pytest
from chains import positions, random_pose
from scipy.spatial.transform import Rotation

from graphnets.simulation import EXERCISES, Clip, move
from graphnets.simulation.chain import INDEX, forward
from graphnets.simulation.inverse import JOINTS, invert
from graphnets.simulation.quaternion import continuous, from_axes, matrices, product, swing, turned
from graphnets.simulation.segments import LINKS


def rotations(pose, name):
    return Rotation.from_quat(pose.quaternion[:, :, INDEX[name]].reshape(-1, 4), scalar_first=True)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_the_chain_reproduces_the_joints(exercise):
    motion = move([Clip(exercise, "correct", s, 1) for s in (1, 2)], seed=3, fps=25.0)
    pose = invert(motion.joints)
    frames = pose.root.shape[1]
    joints = forward(pose, 25.0, np.arange(frames) / 25.0).joints
    for name in JOINTS:
        np.testing.assert_allclose(joints[name], motion.joints[name] + 0 * joints[name], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_orientations_are_continuous_unit_quaternions_and_segments_stand_upright_in_standing(exercise):
    motion = move([Clip(exercise, "correct", s, 1) for s in (1, 2)], seed=3, fps=100.0)
    q = invert(motion.joints).quaternion
    np.testing.assert_allclose((q**2).sum(-1), 1.0, atol=1e-12)
    steps = 2 * np.degrees(np.arccos(np.clip((q[:, 1:] * q[:, :-1]).sum(-1), -1, 1)))
    assert steps.max() < 15.0, LINKS[np.unravel_index(steps.argmax(), steps.shape)[2]]  # 1500 degrees a second


def test_frames_are_anatomical():
    """Standing, every frame is close to the world's turned by the heading: x left, y up, z ahead."""
    motion = move([Clip("arm_raise", "correct", s, 1) for s in (1, 2, 3)], seed=3)
    pose = invert(motion.joints, np.arctan2(motion.body.ankle - motion.body.toe_height, motion.body.forefoot)[:, 0])
    for r in range(3):
        heading = Rotation.from_rotvec([0.0, motion.controls["heading"][r, 0], 0.0])
        for i, name in enumerate(LINKS):
            turn = heading.inv() * Rotation.from_quat(pose.quaternion[r, 0, i], scalar_first=True)
            limit = 60 if "arm" in name or "hand" in name else 25  # elbows point backwards and outwards
            assert np.degrees(turn.magnitude()) < limit, name
            if name.endswith("foot"):
                out = np.degrees(turn.as_rotvec()) * (1 if name == "left_foot" else -1)
                assert out[1] == pytest.approx(np.degrees(motion.controls["toe_out"][r, 0]), abs=1e-6)
                np.testing.assert_allclose(out[[0, 2]], 0.0, atol=1e-6)


def test_hinges_are_the_axes_of_knees_and_elbows():
    motion = move([Clip("squat", "correct", 1, 1)], seed=3)
    pose = invert(motion.joints, straight=1e-6)
    for side in ("left", "right"):
        hip, knee, ankle = (motion.joints[f"{side}_{n}"] + 0 for n in ("hip", "knee", "ankle"))
        normal = np.cross(knee - hip, ankle - knee)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        for link in ("thigh", "shank"):
            axis = rotations(pose, f"{side}_{link}").apply([1.0, 0, 0])
            np.testing.assert_allclose(axis, normal[0], atol=1e-6)
        # Flexion of the knee is a turn of the shank about +x relative to the thigh.
        relative = rotations(pose, f"{side}_thigh").inv() * rotations(pose, f"{side}_shank")
        vector = relative.as_rotvec()
        np.testing.assert_allclose(vector[:, 1:], 0.0, atol=1e-6)
        bend = np.pi - np.arccos(
            ((hip - knee) * (ankle - knee)).sum(-1)
            / np.linalg.norm(hip - knee, axis=-1)
            / np.linalg.norm(ankle - knee, axis=-1)
        )
        np.testing.assert_allclose(vector[:, 0], bend[0], atol=1e-6)


def leg(flexion: np.ndarray, twist: np.ndarray) -> dict[str, np.ndarray]:
    """A standing chain whose left knee bends about an axis turned about the leg by ``twist``."""
    motion = move([Clip("arm_raise", "correct", 1, 1)], seed=3)
    joints = {name: np.broadcast_to(motion.joints[name][:, :1], (1, len(flexion), 3)).copy() for name in JOINTS}
    hip = joints["left_hip"]
    joints["left_knee"] = hip + np.array([0.0, -0.42, 0.0])
    way = np.stack([-np.sin(flexion) * np.sin(twist), -np.cos(flexion), -np.sin(flexion) * np.cos(twist)], axis=-1)
    joints["left_ankle"] = joints["left_knee"] + 0.42 * way[None]
    joints["left_foot"] = joints["left_ankle"] + [0.02, -0.05, 0.14]
    return joints


@pytest.mark.parametrize("window", [0.0, 2.0])
def test_axial_rotation_stays_continuous_through_a_straight_knee(window):
    time = np.linspace(0, 1, 200)
    flexion = np.radians(25.0) * np.cos(2 * np.pi * time) ** 2  # exactly straight twice
    joints = leg(flexion, np.radians(10.0) * np.ones_like(time))
    pose = invert(joints, straight=np.radians(4.0), window=window)
    thigh = rotations(pose, "left_thigh")
    steps = np.degrees((thigh[1:] * thigh[:-1].inv()).magnitude())
    assert steps.max() < 1.0
    bent = flexion > np.radians(20)
    axis = thigh.apply([1.0, 0, 0])[bent]
    assert np.degrees(np.arctan2(axis[:, 2], axis[:, 0])) == pytest.approx(-10.0, abs=1.0)


def test_a_limb_that_hyperextends_a_little_does_not_flip():
    flexion = np.radians(np.linspace(6.0, -1.0, 100))
    pose = invert(leg(flexion, np.zeros(100)), straight=np.radians(6.0))
    thigh = rotations(pose, "left_thigh")
    assert np.degrees((thigh[1:] * thigh[:-1].inv()).magnitude()).max() < 3.0
    assert (thigh.apply([1.0, 0, 0])[:, 0] > 0.9).all()


def test_noisy_joints_give_the_median_bones_and_stay_near():
    rng = np.random.default_rng(0)
    motion = move([Clip("squat", "correct", 1, 1)], seed=3)
    frames = int(motion.lengths[0])
    noisy = {n: motion.joints[n] + 0.005 * rng.standard_normal((1, frames, 3)) for n in JOINTS}
    pose = invert(noisy, straight=0.2, window=3.0)
    assert np.linalg.norm(pose.offset[0, INDEX["left_shank"]]) == pytest.approx(motion.body.thigh[0, 0, 0], abs=0.004)
    joints = forward(pose, 30.0, np.arange(frames) / 30.0).joints
    assert max(np.sqrt(((joints[n] - motion.joints[n]) ** 2).sum(-1).mean()) for n in JOINTS) < 0.03


def test_missing_joints_are_named():
    joints = dict(move([Clip("squat", "correct", 1, 1)], seed=3).joints)
    del joints["left_knee"]
    with pytest.raises(ValueError, match="joints lack left_knee"):
        invert(joints)


def test_forward_kinematics_against_plain_loops():
    pose = random_pose(n=2, knots=6)
    motion = forward(pose, 30.0, np.arange(6) / 30.0)
    expected = positions(pose)
    for name, x in motion.joints.items():
        np.testing.assert_allclose(x, expected[name], atol=1e-12)


def test_quaternions_against_scipy():
    rng = np.random.default_rng(1)
    a, b = (Rotation.random(400, rng) for _ in range(2))
    p, q = (r.as_quat(scalar_first=True).reshape(20, 4, 5, 4) for r in (a, b))
    v = rng.standard_normal((20, 4, 5, 3))
    np.testing.assert_allclose(turned(p, v).reshape(-1, 3), a.apply(v.reshape(-1, 3)), atol=1e-12)
    np.testing.assert_allclose(matrices(3.0 * p).reshape(-1, 3, 3), a.as_matrix(), atol=1e-12)
    both = product(p, q)
    np.testing.assert_allclose(matrices(both).reshape(-1, 3, 3), (a * b).as_matrix(), atol=1e-12)
    m = a.as_matrix()
    back = from_axes(m[..., 0], m[..., 1], m[..., 2])
    assert np.abs((back * a.as_quat(scalar_first=True)).sum(-1)) == pytest.approx(1.0, abs=1e-12)
    half_turns = Rotation.from_rotvec(np.pi * np.eye(3)).as_matrix()
    back = from_axes(half_turns[..., 0], half_turns[..., 1], half_turns[..., 2])
    np.testing.assert_allclose(matrices(back[:, None])[:, 0], half_turns, atol=1e-12)


def test_swings_are_the_shortest_and_signs_are_made_continuous():
    rng = np.random.default_rng(2)
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in rng.standard_normal((2, 50, 3)))
    q = swing(a, b)
    np.testing.assert_allclose(turned(q, a), b, atol=1e-12)
    np.testing.assert_allclose(2 * np.arccos(q[:, 0]), np.arccos((a * b).sum(-1)), atol=1e-7)
    turn = Rotation.from_rotvec(np.linspace(0, 12, 100)[:, None] * [[0.0, 0.6, 0.8]])
    q = turn.as_quat(scalar_first=True, canonical=True)[None, :, None]
    smooth = continuous(q)
    assert np.abs(np.diff(smooth, axis=1)).max() < 0.1 < np.abs(np.diff(q, axis=1)).max()
    np.testing.assert_allclose(np.abs((smooth * q).sum(-1)), 1.0)
