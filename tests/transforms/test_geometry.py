from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.transforms import (
    Center,
    RandomBoneScale,
    RandomMirror,
    RandomRotate,
    RandomScale,
    Remap,
    Scale,
)

seeds = st.integers(0, 10_000)


def observed(batch: MotionBatch, clip: int, frame: int) -> np.ndarray:
    """The observed joints of a frame, [joints, 3], in float64."""
    pose = batch["pose"]
    return pose.x[clip, frame][pose.mask[clip, frame]].double().numpy()


def center_of(batch: MotionBatch, clip: int, frame: int, joints: list[int]) -> tuple[np.ndarray | None, bool]:
    pose = batch["pose"]
    if all(pose.mask[clip, frame, j] for j in joints):
        return pose.x[clip, frame, joints].double().numpy().mean(0), True
    points = observed(batch, clip, frame)
    return (points.mean(0) if len(points) else None), False


@settings(max_examples=10, deadline=None)
@given(seed=seeds, missing=st.sampled_from([0.0, 0.2, 0.6, 0.95]))
@pytest.mark.parametrize("names", [None, ["left_hip", "right_hip"], ["head"]])
def test_center_per_frame_against_a_loop(make_batch, seed, missing, names):
    batch = make_batch(seed, missing=missing)
    joints = [batch["pose"].skeleton.index(name) for name in names or ["pelvis"]]
    result = Center("frame", names)(batch)
    for clip, frame in np.ndindex(*batch["pose"].mask.shape[:2]):
        middle, _ = center_of(batch, clip, frame, joints)
        if middle is not None:
            expected = observed(batch, clip, frame) - middle
            np.testing.assert_allclose(observed(result, clip, frame), expected, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, missing=st.sampled_from([0.0, 0.2, 0.6, 0.95]))
@pytest.mark.parametrize("names", [None, ["left_hip", "right_hip"]])
def test_center_per_clip_against_a_loop(make_batch, seed, missing, names):
    batch = make_batch(seed, missing=missing)
    joints = [batch["pose"].skeleton.index(name) for name in names or ["pelvis"]]
    result = Center("clip", names)(batch)
    for clip in range(4):
        frames = range(batch["pose"].mask.shape[1])
        found = [center_of(batch, clip, frame, joints) for frame in frames]
        centers = [middle for middle, seen in found if seen]
        points = np.concatenate([observed(batch, clip, frame) for frame in frames])
        middle = np.mean(centers, 0) if centers else points.mean(0)
        moved = np.concatenate([observed(result, clip, frame) for frame in frames])
        np.testing.assert_allclose(moved, points - middle, atol=1e-4)


def test_center_reads_composed_points(make_batch):
    batch = make_batch(skeleton="coco17", missing=0.0)
    composed = {k: v for k, v in batch["pose"].skeleton.composed.items() if len(v) > 1}
    name, parts = next(iter(composed.items()))
    by_name, by_parts = Center("frame", [name])(batch), Center("frame", list(parts))(batch)
    assert torch.equal(by_name["pose"].x, by_parts["pose"].x)


def test_center_leaves_the_confidence(make_batch):
    batch = make_batch(channels=("x", "y", "confidence"))
    result = Center()(batch)["pose"]
    assert torch.equal(result.x[..., 2], batch["pose"].x[..., 2])
    assert not torch.equal(result.x[..., :2], batch["pose"].x[..., :2])


def test_center_errors(make_batch):
    with pytest.raises(ValueError, match="per must be 'clip' or 'frame', got 'video'"):
        Center("video")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must name at least one joint"):
        Center(joints=[])
    with pytest.raises(ValueError, match="no joint 'tail'"):
        Center(joints=["tail"])(make_batch())
    with pytest.raises(ValueError, match=r"'imu_axes6' has no centre: name the joints"):
        Center()(make_batch(skeleton="imu_axes6"))
    with pytest.raises(ValueError, match="don't start with x, y"):
        Center()(make_batch(skeleton="imu_axes6", channels=("value",)))


@settings(max_examples=10, deadline=None)
@given(seed=seeds, missing=st.sampled_from([0.0, 0.3, 0.8]))
def test_scale_against_a_loop(make_batch, seed, missing):
    batch = make_batch(seed, missing=missing)
    pose, result = batch["pose"], Scale()(batch)["pose"]
    for clip in range(4):
        typical = []
        for child, parent in pose.skeleton.bones:
            seen = pose.mask[clip, :, child] & pose.mask[clip, :, parent]
            bone = (pose.x[clip, seen, child] - pose.x[clip, seen, parent]).double().numpy()
            if len(bone):
                typical.append(np.sort(np.linalg.norm(bone, axis=1))[(len(bone) - 1) // 2])
        size = np.mean(typical) if typical else 1.0
        mask = pose.mask[clip]
        expected = pose.x[clip][mask].double().numpy() / size
        np.testing.assert_allclose(result.x[clip][mask].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_bones_are_of_length_one_after_scale(make_batch):
    batch = make_batch(clips=2, missing=0.0, frames=1)
    result = Scale()(batch)["pose"]
    child, parent = zip(*result.skeleton.bones, strict=True)
    length = (result.x[:, 0, list(child)] - result.x[:, 0, list(parent)]).norm(dim=-1)
    torch.testing.assert_close(length.mean(1), torch.ones(2))


def test_scale_leaves_what_has_no_size(make_batch):
    batch = make_batch(missing=0.0)
    only_one = torch.zeros_like(batch["pose"].mask)
    only_one[..., 4] = True
    batch["pose"].mask = only_one
    assert torch.equal(Scale()(batch)["pose"].x, batch["pose"].x)
    batch["pose"].mask = torch.ones_like(only_one)
    batch["pose"].x = torch.full_like(batch["pose"].x, 2.0)
    assert torch.equal(Scale()(batch)["pose"].x, batch["pose"].x)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, degrees=st.floats(0, 180), channels=st.sampled_from([("x", "y"), ("x", "y", "z")]))
def test_rotation_keeps_distances(make_batch, seed, degrees, channels):
    batch = make_batch(seed, missing=0.0, channels=channels)
    torch.manual_seed(seed)
    before, after = batch["pose"].x.double(), RandomRotate(degrees)(batch)["pose"].x.double()
    torch.testing.assert_close(torch.cdist(after, after), torch.cdist(before, before), rtol=1e-4, atol=2e-3)
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), rtol=1e-4, atol=1e-4)


def test_rotation_is_scipys(make_batch):
    batch = make_batch(missing=0.0)
    limits = [20.0, 180.0, 5.0]
    torch.manual_seed(1)
    result = RandomRotate(limits)(batch)["pose"].x
    torch.manual_seed(1)
    angles = ((2 * torch.rand(4, 3) - 1) * torch.tensor(limits)).double().numpy()
    for clip in range(4):
        turn = Rotation.from_euler("xyz", angles[clip], degrees=True)
        expected = turn.apply(batch["pose"].x[clip].reshape(-1, 3).double().numpy())
        np.testing.assert_allclose(result[clip].reshape(-1, 3).numpy(), expected, rtol=1e-4, atol=1e-3)


def test_rotation_in_the_plane_turns_counterclockwise_and_leaves_the_confidence(make_batch):
    batch = make_batch(missing=0.0, channels=("x", "y", "confidence"))
    torch.manual_seed(1)
    result = RandomRotate(90.0)(batch)["pose"].x
    torch.manual_seed(1)
    angle = torch.deg2rad((2 * torch.rand(4, 1) - 1) * 90).double().view(4, 1, 1)
    x, y, confidence = batch["pose"].x.double().unbind(-1)
    expected = [x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos(), confidence]
    torch.testing.assert_close(result.double(), torch.stack(expected, -1), rtol=1e-4, atol=1e-3)


def test_rotation_about_one_axis_leaves_it(make_batch):
    batch = make_batch()
    result = RandomRotate([0, 180, 0])(batch)["pose"]
    mask = batch["pose"].mask
    torch.testing.assert_close(result.x[mask][:, 1], batch["pose"].x[mask][:, 1])
    assert not torch.allclose(result.x[mask][:, 0], batch["pose"].x[mask][:, 0])


@pytest.mark.parametrize("degrees", [-1, 181, [10, 20], [], [10, -20, 0], float("nan")])
def test_rotation_refuses_impossible_angles(degrees):
    with pytest.raises(ValueError, match="degrees must be"):
        RandomRotate(degrees)


def test_rotation_refuses_three_angles_in_a_plane(make_batch):
    with pytest.raises(ValueError, match=r"one angle for the channels x and y, got \[1, 2, 3\]"):
        RandomRotate([1, 2, 3])(make_batch(channels=("x", "y")))


@pytest.mark.parametrize("per_axis", [True, False])
def test_random_scale_multiplies_each_clip_within_its_range(make_batch, per_axis):
    batch = make_batch(clips=50, channels=("x", "y", "z", "confidence"))
    result = RandomScale(0.2, per_axis)(batch)["pose"]
    mask = batch["pose"].mask
    ratio = result.x / batch["pose"].x
    for clip in range(50):
        factors = ratio[clip][mask[clip]][:, :3]
        torch.testing.assert_close(factors, factors[:1].expand_as(factors), rtol=1e-4, atol=0)
        assert 0.8 - 1e-4 <= float(factors.min()) <= float(factors.max()) <= 1.2 + 1e-4
        assert (float(factors[0].max() - factors[0].min()) > 1e-3) == per_axis
    assert torch.equal(result.x[..., 3], batch["pose"].x[..., 3])


@settings(max_examples=10, deadline=None)
@given(seed=seeds, missing=st.sampled_from([0.0, 0.3]), name=st.sampled_from(["kinect20", "mediapipe33"]))
def test_bone_scale_changes_lengths_alone(make_batch, seed, missing, name):
    batch = make_batch(seed, skeleton=name, missing=missing)
    torch.manual_seed(seed)
    pose, result = batch["pose"], RandomBoneScale(0.3)(batch)["pose"]
    skeleton = pose.skeleton
    assert torch.equal(result.mask, pose.mask)
    ratios = torch.full((4, skeleton.num_joints), float("nan"), dtype=torch.float64)
    for child, parent in skeleton.bones:
        for clip in range(4):
            seen = pose.mask[clip, :, child] & pose.mask[clip, :, parent]
            if not seen.any():
                continue
            before = (pose.x[clip, seen, child] - pose.x[clip, seen, parent]).double()
            after = (result.x[clip, seen, child] - result.x[clip, seen, parent]).double()
            ratio = (before * after).sum(-1) / before.square().sum(-1)
            torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=0, atol=1e-3)
            torch.testing.assert_close(after, before * ratio[:1], rtol=0, atol=1e-3)
            assert 0.7 - 1e-3 <= ratio[0] <= 1.3 + 1e-3
            ratios[clip, child] = ratio[0]
    for left, right in skeleton.mirror_pairs:
        both = ~(ratios[:, left].isnan() | ratios[:, right].isnan())
        torch.testing.assert_close(ratios[both, left], ratios[both, right], rtol=0, atol=2e-3)
    root = pose.mask[..., skeleton.root]
    torch.testing.assert_close(result.x[..., skeleton.root, :][root], pose.x[..., skeleton.root, :][root])


@settings(max_examples=5, deadline=None)
@given(seed=seeds, axis=st.sampled_from(["x", "y"]))
def test_the_mirror_of_a_mirror_is_the_original(make_batch, seed, axis):
    batch = make_batch(seed, channels=("x", "y", "confidence"))
    mirror = RandomMirror(axis, probability=1.0)
    once = mirror(batch)
    twice = mirror(once)["pose"]
    assert torch.equal(twice.x, batch["pose"].x)
    assert torch.equal(twice.mask, batch["pose"].mask)
    left, right = (batch["pose"].skeleton.index(name) for name in ("left_hand", "right_hand"))
    sign = torch.tensor([-1.0 if name == axis else 1.0 for name in ("x", "y", "confidence")])
    assert torch.equal(once["pose"].x[:, :, left], batch["pose"].x[:, :, right] * sign)
    assert torch.equal(once["pose"].mask[:, :, left], batch["pose"].mask[:, :, right])


def test_mirror_errors(make_batch):
    with pytest.raises(ValueError, match=r"axis must be one of \['x', 'y', 'z'\], got 'w'"):
        RandomMirror("w")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"axis 'z' is not among the channels \('x', 'y'\)"):
        RandomMirror("z", probability=1.0)(make_batch(channels=("x", "y")))


def test_remap_by_joint_name(make_batch):
    batch = make_batch(channels=("x", "y", "z", "confidence"))
    target = batch["pose"].skeleton.subset(["right_foot", "pelvis", "head"])
    result = Remap(target)(batch)
    pose = result["pose"]
    picked = [19, 3, 0]
    assert torch.equal(pose.mask, batch["pose"].mask[:, :, picked])
    assert torch.equal(pose.x[pose.mask], batch["pose"].x[:, :, picked][pose.mask])
    assert pose.skeleton == target
    assert pose.num_nodes == 3
    assert torch.equal(result["pose", "bone", "pose"].edge_index, target.edge_index())
    assert batch["pose"].num_nodes == 20
    assert batch["pose", "bone", "pose"].edge_index.shape == (2, 38)
    assert result.sequence(0)["pose"].skeleton == target


def test_remap_by_the_name_of_a_built_in_skeleton(make_batch):
    batch = make_batch(skeleton="mediapipe33", missing=0.0)
    source = batch["pose"].skeleton
    result = Remap("coco17")(batch)["pose"]
    target = Skeleton.load("coco17")
    assert result.skeleton == target
    expected, mask = source.remap(target)(batch["pose"].x, batch["pose"].mask)
    assert torch.equal(result.x, expected)
    assert torch.equal(result.mask, mask)


def test_remap_refuses_joints_that_are_not_there(make_batch):
    with pytest.raises(ValueError, match=r"'kinect20' lacks .*nose"):
        Remap("openpose18")(make_batch())
    result = Remap("openpose18", allow_missing=True)(make_batch())["pose"]
    assert not result.mask[..., result.skeleton.index("left_eye")].any()
    with pytest.raises(ValueError, match="'octopus8' is neither"):
        Remap("octopus8")


@pytest.mark.parametrize("cls", [RandomScale, RandomBoneScale])
@pytest.mark.parametrize("factor", [1.0, -0.1, float("nan")])
def test_factors_that_turn_a_body_inside_out_are_refused(cls, factor):
    with pytest.raises(ValueError, match=r"factor must be in \[0, 1\), got"):
        cls(factor)
