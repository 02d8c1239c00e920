from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.transforms import FrameDrop, Jitter, JointDrop, lengths


def test_jitter_has_the_deviation_it_says(make_batch):
    batch = make_batch(clips=20, frames=60, missing=0.0, channels=("x", "y", "confidence"))
    batch["pose"].mask[:] = True
    noise = Jitter(0.05)(batch)["pose"].x - batch["pose"].x
    assert (noise[..., 2] == 0).all()
    assert noise[..., :2].std() == pytest.approx(0.05, rel=0.02)
    assert noise[..., :2].mean() == pytest.approx(0.0, abs=1e-3)
    assert (noise[:, 1:, :, :2] != noise[:, :-1, :, :2]).float().mean() > 0.99


def test_jitter_per_clip_is_an_offset_of_each_joint(make_batch):
    batch = make_batch(clips=200, missing=0.0, channels=("x", "y", "confidence"), dtype=torch.float64)
    noise = Jitter(0.05, per="clip")(batch)["pose"].x - batch["pose"].x
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise))
    assert (noise[..., 2] == 0).all()
    assert noise[:, 0, :, :2].std() == pytest.approx(0.05, rel=0.03)


def test_jitter_of_a_sensor_is_in_every_channel(make_batch):
    batch = make_batch(skeleton="imu_axes6", channels=("value",), missing=0.0)
    noise = Jitter(0.1)(batch)["pose"].x - batch["pose"].x
    assert (noise[batch["pose"].mask] != 0).all()


def test_jitter_errors():
    with pytest.raises(ValueError, match=r"std must be in \[0, inf\), got -1"):
        Jitter(-1.0)
    with pytest.raises(ValueError, match="per must be 'frame' or 'clip', got 'joint'"):
        Jitter(0.1, per="joint")  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rate=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_joint_drop_takes_whole_joints_but_never_all(make_batch, seed, rate):
    torch.manual_seed(seed)
    batch = make_batch(seed, clips=20, missing=0.5, frames=4)
    before, after = batch["pose"].mask, JointDrop(rate)(batch)["pose"].mask
    there, left = before.any(1), after.any(1)
    assert torch.equal(after, before & left[:, None])
    assert left.any(1).all()
    if rate == 0:
        assert torch.equal(after, before)
    if rate == 1:
        assert (left.sum(1) == 1).all()
    assert not (left & ~there).any()


def test_joint_drop_has_the_rate_it_says(make_batch):
    batch = make_batch(clips=400, missing=0.0)
    left = JointDrop(0.25)(batch)["pose"].mask.any(1)
    assert left.float().mean() == pytest.approx(0.75, abs=0.02)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rate=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_frame_drop_takes_whole_frames_between_the_first_and_the_last(make_batch, seed, rate):
    torch.manual_seed(seed)
    batch = make_batch(seed, clips=20, missing=0.9)
    before, after = batch["pose"].mask, FrameDrop(rate)(batch)["pose"].mask
    frames = after.any(2)
    assert torch.equal(after, before & frames[:, :, None])
    assert torch.equal(lengths(after), lengths(before))
    first = before.any(2).int().argmax(1)
    assert frames[torch.arange(20), first].all()
    if rate == 0:
        assert torch.equal(after, before)
    if rate == 1:
        assert (frames.sum(1) <= 2).all()


def test_frame_drop_has_the_rate_it_says(make_batch):
    batch = make_batch(clips=300, frames=40, missing=0.0)
    before, after = batch["pose"].mask.any(2), FrameDrop(0.25)(batch)["pose"].mask.any(2)
    inner = before[:, 2:] & before[:, 1:-1]
    lost = inner & ~after[:, 1:-1]
    assert lost.sum() / inner.sum() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("cls", [JointDrop, FrameDrop])
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_impossible_rates_are_refused(cls, rate):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\], got"):
        cls(rate)
