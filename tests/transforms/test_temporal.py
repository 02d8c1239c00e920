from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.transforms import RandomCrop, Resample, ResampleRate, TimeWarp, lengths
from graphnets.transforms.temporal import interpolate


def batch_of(x: torch.Tensor, mask: torch.Tensor | None = None, fps: float = 30.0) -> MotionBatch:
    """Values [N, T, V, C] on a skeleton of V sensors."""
    joints = tuple(f"j{i}" for i in range(x.shape[2]))
    skeleton = Skeleton("test", joints, (-1, *range(x.shape[2] - 1)), ())
    channels = tuple("xyzabc"[: x.shape[3]])
    mask = torch.ones(x.shape[:3], dtype=torch.bool) if mask is None else mask
    pose = {
        "x": x,
        "mask": mask,
        "fps": torch.full((len(x),), fps),
        "skeleton": skeleton,
        "channels": channels,
    }
    return MotionBatch.from_arrays({"pose": pose})


def read(x: np.ndarray, mask: np.ndarray, position: float) -> tuple[np.ndarray, bool]:
    """One joint [T, C] read at one time, by the rule as it is written down."""
    position = round(position, 6)
    low = int(np.floor(position))
    weight = position - low
    high = min(low + 1, len(x) - 1)
    if mask[low] and mask[high]:
        return (1 - weight) * x[low] + weight * x[high], True
    if mask[low] and 1 - weight >= 0.5:
        return x[low], True
    if mask[high] and weight >= 0.5:
        return x[high], True
    return np.zeros(x.shape[1]), False


def assert_reads(result: MotionBatch, batch: MotionBatch, clip: int, positions: list[float]) -> None:
    x, mask = batch["pose"].x[clip].double().numpy(), batch["pose"].mask[clip].numpy()
    out, seen = result["pose"].x[clip], result["pose"].mask[clip]
    assert not seen[len(positions) :].any()
    for frame, position in enumerate(positions):
        for joint in range(x.shape[1]):
            value, observed = read(x[:, joint], mask[:, joint], position)
            assert observed == bool(seen[frame, joint]), (frame, joint, position)
            if observed:
                np.testing.assert_allclose(out[frame, joint].numpy(), value, rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(2, 30))
def test_resample_against_a_loop(make_batch, seed, length):
    batch = make_batch(seed, skeleton="tan_imu8")
    result = Resample(length)(batch)
    for clip, n in enumerate(lengths(batch["pose"].mask).tolist()):
        assert_reads(result, batch, clip, [k * (n - 1) / (length - 1) for k in range(length)])


def test_resample_of_complete_clips_is_numpys_interpolation():
    x = torch.randn(1, 23, 2, 3, dtype=torch.float64)
    result = Resample(64)(batch_of(x))["pose"].x[0]
    assert result.dtype == torch.float64
    for joint in range(2):
        for channel in range(3):
            expected = np.interp(np.linspace(0, 22, 64), np.arange(23), x[0, :, joint, channel].numpy())
            np.testing.assert_allclose(result[:, joint, channel].numpy(), expected, atol=1e-12)


def test_resample_to_the_length_it_has_is_the_identity(make_batch):
    batch = make_batch(clips=1, frames=50)
    n = int(lengths(batch["pose"].mask)[0])
    result = Resample(n)(batch)["pose"]
    mask = batch["pose"].mask[:, :n]
    assert torch.equal(result.mask, mask)
    assert torch.equal(result.x[mask], batch["pose"].x[:, :n][mask])
    assert torch.equal(result.fps, batch["pose"].fps)


def test_resample_keeps_the_duration():
    mask = torch.zeros(3, 40, 2, dtype=torch.bool)
    for clip, n in enumerate((40, 11, 1)):
        mask[clip, :n] = True
    result = Resample(21)(batch_of(torch.randn(3, 40, 2, 3), mask))["pose"]
    torch.testing.assert_close(result.fps, torch.tensor([30 * 20 / 39, 60.0, 30.0]))
    assert result.mask.all()


def test_resample_holds_a_clip_of_one_frame():
    x = torch.randn(1, 5, 2, 3)
    mask = torch.zeros(1, 5, 2, dtype=torch.bool)
    mask[0, 0] = True
    result = Resample(4)(batch_of(x, mask))["pose"]
    assert torch.equal(result.x, x[:, :1].expand(1, 4, 2, 3))


def test_half_way_either_frame_will_do():
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    weight = torch.tensor([[0.0, 0.25, 0.5, 0.75, 1.0]])
    lower = torch.zeros(1, 5, dtype=torch.long)
    for seen, observed, values in [
        ((True, True), [1, 1, 1, 1, 1], [1, 1.5, 2, 2.5, 3]),
        ((True, False), [1, 1, 1, 0, 0], [1, 1, 1]),
        ((False, True), [0, 0, 1, 1, 1], [3, 3, 3]),
        ((False, False), [0, 0, 0, 0, 0], []),
    ]:
        out, mask = interpolate(x, torch.tensor(seen).view(1, 2, 1), lower, weight)
        assert mask.flatten().int().tolist() == observed
        assert out[mask].flatten().tolist() == values


@pytest.mark.parametrize("length", [1, 0, -3])
def test_resample_needs_two_frames(length):
    with pytest.raises(ValueError, match=rf"length must be in \[2, inf\], got {length}"):
        Resample(length)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), fps=st.sampled_from([10.0, 12.5, 25.0, 29.97, 30.0, 50.0, 64.0, 100.0]))
def test_resample_rate_against_a_loop(make_batch, seed, fps):
    batch = make_batch(seed, skeleton="tan_imu8")
    result = ResampleRate(fps)(batch)
    assert result["pose"].fps.tolist() == pytest.approx([fps] * 4)
    longest = 0
    for clip, n in enumerate(lengths(batch["pose"].mask).tolist()):
        old = (30.0, 25.0, 50.0, 29.97)[clip]
        positions, k = [], 0
        while round(k * old / fps, 4) <= n - 1:
            positions.append(min(k * old / fps, n - 1.0))
            k += 1
        longest = max(longest, k)
        assert_reads(result, batch, clip, positions)
    assert result["pose"].mask.shape[1] == longest


def test_resample_rate_at_the_rate_it_has_is_the_identity(make_batch):
    batch = make_batch(2, fps=(29.97,))
    result = ResampleRate(29.97)(batch)["pose"]
    frames = result.mask.shape[1]
    assert frames == int(lengths(batch["pose"].mask).max())
    assert torch.equal(result.mask, batch["pose"].mask[:, :frames])
    torch.testing.assert_close(result.x[result.mask], batch["pose"].x[:, :frames][result.mask])


def test_resample_rate_refuses_what_is_no_rate(make_batch):
    for fps in (0.0, -30.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="fps must be in"):
            ResampleRate(fps)
    for fps in (0.0, float("nan")):
        with pytest.raises(ValueError, match="frame rates must be positive"):
            ResampleRate(30.0)(make_batch(fps=(30.0, fps)))


def ramp(n: int, frames: int, clips: int) -> MotionBatch:
    """Clips of n frames whose value is the frame number."""
    mask = torch.zeros(clips, frames, 2, dtype=torch.bool)
    mask[:, :n] = True
    x = torch.arange(float(frames)).view(1, frames, 1, 1).expand(clips, frames, 2, 3)
    return batch_of(x.clone(), mask)


@pytest.mark.parametrize(("n", "fraction"), [(20, 0.75), (20, 0.01), (3, 0.2), (2, 0.5), (1, 0.5), (20, 1.0)])
def test_random_crop_keeps_a_window(n, fraction):
    torch.manual_seed(0)
    result = RandomCrop(fraction)(ramp(n, 25, 500))["pose"]
    shortest = max(int(np.ceil(fraction * n)), min(2, n))
    kept = lengths(result.mask)
    assert set(kept.tolist()) == set(range(shortest, n + 1))
    starts = set()
    for clip, length in enumerate(kept.tolist()):
        values = result.x[clip, :length, 0, 0].tolist()
        start = int(values[0])
        starts.add(start)
        assert values == [float(start + i) for i in range(length)]
        assert start + length <= n
        assert result.mask[clip, :length].all()
    assert starts == set(range(n - shortest + 1))
    assert result.fps.tolist() == [30.0] * 500


def test_random_crop_moves_the_mask_with_the_values(make_batch):
    batch = make_batch(7, clips=30, frames=20, missing=0.4)
    batch["pose"].x[~batch["pose"].mask] = float("nan")
    result = RandomCrop(0.3)(batch)["pose"]
    assert result.x[result.mask].isfinite().all()


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan")])
def test_random_crop_refuses_a_fraction_that_is_none(fraction):
    with pytest.raises(ValueError, match=r"min_fraction must be in \(0, 1\], got"):
        RandomCrop(fraction)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 40), strength=st.floats(0, 0.999))
def test_time_warp_is_monotone_with_fixed_ends(seed, n, strength):
    torch.manual_seed(seed)
    result = TimeWarp(strength)(ramp(n, 45, 20))["pose"]
    times = result.x[:, :n, 0, 0]
    assert (times.diff(dim=1) > -1e-5).all()
    torch.testing.assert_close(times[:, 0], torch.zeros(20))
    torch.testing.assert_close(times[:, -1], torch.full((20,), n - 1.0))
    assert lengths(result.mask).tolist() == [n] * 20
    assert result.fps.tolist() == [30.0] * 20


def test_time_warp_follows_its_formula():
    torch.manual_seed(3)
    result = TimeWarp(0.8)(ramp(30, 30, 50))["pose"].x[:, :, 0, 0].double().numpy()
    torch.manual_seed(3)
    bend = 0.8 * (2 * torch.rand(50, 1).double().numpy() - 1)
    tau = np.arange(30)[None] / 29
    np.testing.assert_allclose(result, 29 * (tau + bend * np.sin(np.pi * tau) / np.pi), atol=1e-4)


def test_time_warp_of_no_strength_changes_nothing(make_batch):
    batch = make_batch(1)
    result = TimeWarp(0.0)(batch)["pose"]
    mask = batch["pose"].mask
    assert torch.equal(result.mask, mask)
    torch.testing.assert_close(result.x[mask], batch["pose"].x[mask], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strength", [1.0, -0.1, float("nan")])
def test_time_warp_refuses_time_that_runs_backwards(strength):
    with pytest.raises(ValueError, match=r"strength must be in \[0, 1\), got"):
        TimeWarp(strength)
