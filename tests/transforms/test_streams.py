from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.transforms import Center, Resample, Streams
from graphnets.transforms.streams import STREAMS


def signal(batch: MotionBatch, name: str, clip: int, frame: int, joint: int) -> np.ndarray | None:
    """A stream by its definition; None where something it needs isn't observed."""
    pose = batch["pose"]
    if name in ("joint", "bone"):
        if frame < 0 or not pose.mask[clip, frame, joint]:
            return None
        here = pose.x[clip, frame, joint, :2].double().numpy()
        if name == "joint":
            return here
        parent = pose.skeleton.parents[joint]
        there = here if parent < 0 else signal(batch, "joint", clip, frame, parent)
        return None if there is None else here - there
    source = {"velocity": "joint", "acceleration": "velocity"}[name.removeprefix("bone_")]
    if name.startswith("bone_"):
        source = {"joint": "bone", "velocity": "bone_velocity"}[source]
    now, before = (signal(batch, source, clip, t, joint) for t in (frame, frame - 1))
    return None if now is None or before is None else (now - before) * float(pose.fps[clip])


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(STREAMS), missing=st.sampled_from([0.0, 0.3]))
def test_streams_against_a_loop(make_batch, seed, order, missing):
    batch = make_batch(seed, clips=2, frames=6, skeleton="tan_imu8", channels=("x", "y", "confidence"), missing=missing)
    result = Streams(order)(batch)["pose"]
    assert result.channels == (*(f"{name}_{axis}" for name in order for axis in "xy"), "confidence")
    assert torch.equal(result.mask, batch["pose"].mask)
    expected = np.zeros(result.x.shape)
    for clip, frame, joint in np.ndindex(*result.mask.shape):
        for i, name in enumerate(order):
            value = signal(batch, name, clip, frame, joint)
            if value is not None:
                expected[clip, frame, joint, 2 * i : 2 * i + 2] = value
        if result.mask[clip, frame, joint]:
            expected[clip, frame, joint, -1] = batch["pose"].x[clip, frame, joint, -1]
    np.testing.assert_allclose(result.x.numpy(), expected, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("length", [None, 50])
def test_linear_motion_has_a_constant_velocity_in_units_per_second(length):
    slope = torch.tensor([1.5, -0.25, 4.0])
    fps = torch.tensor([25.0, 100.0])
    seconds = torch.arange(20) / fps[:, None]
    x = (seconds[..., None, None] * slope).expand(2, 20, 20, 3)
    pose = {"x": x, "fps": fps, "skeleton": Skeleton.load("kinect20"), "channels": ("x", "y", "z")}
    batch = MotionBatch.from_arrays({"pose": {**pose, "mask": torch.ones(2, 20, 20, dtype=torch.bool)}})
    if length is not None:
        batch = Resample(length)(batch)
    result = Streams(["velocity", "acceleration", "bone_velocity"])(batch)["pose"].x
    velocity, acceleration, bone_velocity = result.split(3, -1)
    assert (velocity[:, 0] == 0).all()
    torch.testing.assert_close(velocity[:, 1:], slope.expand_as(velocity[:, 1:]), rtol=1e-3, atol=1e-3)
    assert (acceleration[:, :2] == 0).all()
    torch.testing.assert_close(acceleration, torch.zeros_like(acceleration), rtol=0, atol=0.2)
    torch.testing.assert_close(bone_velocity, torch.zeros_like(bone_velocity), rtol=0, atol=1e-3)


def test_kinematics_relative_to_the_pelvis_are_those_of_a_centred_body():
    """Position, velocity and acceleration against a root, as a loop over one clip makes them; padding changes nothing."""
    skeleton, fps = Skeleton.load("tan_video11"), 100.0
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 8, 11, 2))).float().cumsum(1)
    mask = torch.ones(1, 8, 11, dtype=torch.bool)
    mask[0, 6:] = False
    pose = {"x": x, "mask": mask, "fps": torch.tensor([fps]), "skeleton": skeleton, "channels": ("x", "y")}
    kinematics = torch.nn.Sequential(Center("frame", ["pelvis"]), Streams(["joint", "velocity", "acceleration"]))
    result = kinematics(MotionBatch.from_arrays({"pose": pose}))["pose"]
    root = skeleton.index("pelvis")
    for joint in range(11):
        place = (x[0, :6, joint] - x[0, :6, root]).double().numpy()
        velocity, acceleration = np.zeros((6, 2)), np.zeros((6, 2))
        for t in range(1, 6):
            velocity[t] = (place[t] - place[t - 1]) * fps
        for t in range(2, 6):
            acceleration[t] = (velocity[t] - velocity[t - 1]) * fps
        expected = np.concatenate([place, velocity, acceleration], axis=1)
        np.testing.assert_allclose(result.x[0, :6, joint].numpy(), expected, rtol=1e-3, atol=1e-1)
    assert (result.x[0, 6:] == 0).all() and result.channels[0] == "joint_x"


def test_what_is_masked_is_zero(make_batch):
    batch = make_batch(3)
    batch["pose"].x[~batch["pose"].mask] = float("nan")
    result = Streams(list(STREAMS))(batch)["pose"]
    assert (result.x[~result.mask] == 0).all()


def test_other_channels_come_with_the_joints_only(make_batch):
    batch = make_batch(channels=("x", "y", "confidence"))
    assert Streams(["joint"])(batch)["pose"].channels == ("joint_x", "joint_y", "confidence")
    assert Streams(["velocity", "joint"])(batch)["pose"].channels[-1] == "confidence"
    assert Streams(["bone"])(batch)["pose"].channels == ("bone_x", "bone_y")


@pytest.mark.parametrize("streams", [["joints"], [], ["joint", "joint"], ["joint", "speed"]])
def test_unknown_streams_are_refused_with_those_there_are(streams):
    with pytest.raises(ValueError, match=r"streams must be different ones of \['joint', 'bone', 'velocity'"):
        Streams(streams)


def test_streams_of_streams_are_refused(make_batch):
    with pytest.raises(ValueError, match="streams are made after the geometry"):
        Streams(["bone"])(Streams(["joint"])(make_batch()))


def test_gradients_pass(make_batch):
    batch = make_batch(1)
    batch["pose"].x = batch["pose"].x.requires_grad_()
    Streams(["joint", "bone", "velocity"])(batch)["pose"].x.square().sum().backward()
    gradient = batch["pose"].x.grad
    assert gradient[batch["pose"].mask].abs().sum() > 0
    assert (gradient[~batch["pose"].mask] == 0).all()
