from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, filtfilt, freqz

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.transforms import Butterworth, FillGaps, OneEuro

FPS = (30.0, 25.0, 50.0, 29.97)


def one(values: list[float], fps: float = 10.0) -> MotionBatch:
    """A single node and channel; NaN = missing."""
    x = torch.tensor(values, dtype=torch.float32)[None, :, None, None].expand(1, -1, 6, 1).clone()
    pose = {
        "x": x,
        "mask": ~x[..., 0].isnan(),
        "fps": fps,
        "skeleton": Skeleton.load("imu_axes6"),
        "channels": ("value",),
    }
    return MotionBatch.from_arrays({"pose": pose})


def shown(batch: MotionBatch) -> list[float]:
    """NaN where masked."""
    return batch["pose"].x[0, :, 0, 0].masked_fill(~batch["pose"].mask[0, :, 0], torch.nan).tolist()


nan = float("nan")
GAPS = [nan, 1, nan, 3, nan, nan, 6, nan, nan, nan, 10, nan, nan]


@pytest.mark.parametrize(
    ("max_gap", "unit", "filled"),
    [(0, "frames", []), (1, "frames", [2]), (2, "frames", [2, 4, 5]), (3, "frames", [2, 4, 5, 7, 8, 9]),
     (0.1, "seconds", [2]), (0.199, "seconds", [2]), (0.2, "seconds", [2, 4, 5]), (9.0, "seconds", [2, 4, 5, 7, 8, 9])],
)  # fmt: skip
def test_gaps_are_filled_up_to_their_limit(max_gap: float, unit: str, filled: list[int]) -> None:
    expected = [float(t) if t in filled or not math.isnan(v) else nan for t, v in enumerate(GAPS)]
    np.testing.assert_allclose(shown(FillGaps(max_gap, unit)(one(GAPS))), expected, atol=1e-6)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), limit=st.integers(0, 5), missing=st.floats(0.0, 0.8))
def test_gaps_of_a_batch(make_batch, seed: int, limit: int, missing: float) -> None:
    batch = make_batch(seed, missing=missing)
    result = FillGaps(limit, "frames")(batch)["pose"]
    x, mask = batch["pose"].x.double().numpy(), batch["pose"].mask.numpy()
    for clip in range(len(x)):
        for joint in range(x.shape[2]):
            (seen,) = np.nonzero(mask[clip, :, joint])
            expected = mask[clip, :, joint].copy()
            for a, b in itertools.pairwise(seen):
                expected[a:b] |= b - a - 1 <= limit
            assert np.array_equal(result.mask[clip, :, joint], expected)
            for channel in range(3):
                line = np.interp(np.arange(len(expected)), seen, x[clip, seen, joint, channel]) if len(seen) else 0
                actual = result.x[clip, :, joint, channel].numpy()
                np.testing.assert_allclose(actual[expected], np.broadcast_to(line, actual.shape)[expected], atol=1e-4)


class Reference:
    """Algorithm 1 of the paper, value by value."""

    def __init__(self, min_cutoff: float, beta: float, d_cutoff: float) -> None:
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self.hat: float | None = None
        self.derivative = 0.0

    @staticmethod
    def alpha(cutoff: float, period: float) -> float:
        return 1.0 / (1.0 + (1.0 / (2 * math.pi * cutoff)) / period)

    def __call__(self, x: float, period: float) -> float:
        if self.hat is None:
            self.hat = x
            return x
        a = self.alpha(self.d_cutoff, period)
        self.derivative = a * (x - self.hat) / period + (1 - a) * self.derivative
        a = self.alpha(self.min_cutoff + self.beta * abs(self.derivative), period)
        self.hat = a * x + (1 - a) * self.hat
        return self.hat


@pytest.mark.parametrize("settings_", [(1.0, 0.0, 1.0), (0.5, 0.8, 2.0), (4.0, 3.0, 0.5)])
def test_one_euro_is_that_of_the_paper(make_batch, settings_: tuple[float, float, float]) -> None:
    batch = make_batch(1, clips=3, frames=25, missing=0.3, dtype=torch.float64)
    pose = batch["pose"]
    result = OneEuro(*settings_)(batch)["pose"]
    assert torch.equal(result.mask, pose.mask)
    fps = pose.fps.double()
    for clip, joint, channel in np.ndindex(3, 20, 3):
        smooth, last = Reference(*settings_), 0
        for t in range(25):
            if pose.mask[clip, t, joint]:
                expected = smooth(float(pose.x[clip, t, joint, channel]), (t - last) / float(fps[clip]) if t else 1.0)
                assert float(result.x[clip, t, joint, channel]) == pytest.approx(expected, abs=1e-9)
                last = t


def test_one_euro_looks_at_no_later_frame(make_batch) -> None:
    batch = make_batch(2, frames=20)
    changed = copy.copy(batch)
    changed["pose"].x = batch["pose"].x.clone()
    changed["pose"].x[:, 11:] += 5
    a, b = OneEuro(beta=1.0)(batch)["pose"].x, OneEuro(beta=1.0)(changed)["pose"].x
    mask = batch["pose"].mask
    assert torch.equal(a[:, :11][mask[:, :11]], b[:, :11][mask[:, :11]]) and not torch.equal(a[mask], b[mask])


def test_one_euro_takes_noise_away_and_follows_speed() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 300)
    rest = np.array(shown(OneEuro(1.0, 5.0)(one(noise.tolist(), 60.0))))
    assert rest[60:].std() < 0.4 * noise[60:].std()
    ramp = np.arange(300) / 60 * 2.0
    lag = [np.abs(np.array(shown(OneEuro(1.0, beta)(one(ramp.tolist(), 60.0)))) - ramp)[200] for beta in (0.0, 5.0)]
    assert lag[1] < 0.15 * lag[0]


@pytest.mark.parametrize(("cutoff", "order"), [(6.0, 2), (3.0, 4), (9.0, 1)])
def test_butterworth_is_scipys(make_batch, cutoff: float, order: int) -> None:
    batch = make_batch(3, clips=8, frames=60, missing=0.0, dtype=torch.float64)
    result = Butterworth(cutoff, order)(batch)["pose"]
    for clip in range(8):
        length = int(batch["pose"].mask[clip].any(1).sum())
        b, a = butter(order, cutoff, fs=float(batch["pose"].fps[clip]))
        x = batch["pose"].x[clip, :length].numpy()
        expected = filtfilt(b, a, x, axis=0, padlen=min(3 * max(len(a), len(b)), length - 1))
        np.testing.assert_allclose(result.x[clip, :length], expected, atol=1e-7)
    assert torch.equal(result.mask, batch["pose"].mask)


def test_butterworth_over_gaps(make_batch) -> None:
    batch = make_batch(4, clips=3, frames=40, missing=0.3, dtype=torch.float64)
    pose, result = batch["pose"], Butterworth(5.0)(batch)["pose"]
    assert torch.equal(result.mask, pose.mask)
    for clip, joint in np.ndindex(3, 20):
        length = int(pose.mask[clip].any(1).nonzero().max()) + 1
        mask = pose.mask[clip, :length, joint].numpy()
        (seen,) = np.nonzero(mask)
        if len(seen) == 0:
            continue
        line = np.interp(np.arange(length), seen, pose.x[clip, seen, joint, 1])
        b, a = butter(2, 5.0, fs=float(pose.fps[clip]))
        expected = filtfilt(b, a, line, padlen=min(9, length - 1))
        np.testing.assert_allclose(result.x[clip, :length, joint, 1][mask], expected[mask], atol=1e-7)


def test_butterworth_halves_at_the_cut_off_and_delays_nothing() -> None:
    t = np.arange(600) / 60
    for frequency, gain in ((1.0, 1.0), (6.0, 0.5), (15.0, 0.01)):
        wave = np.sin(2 * np.pi * frequency * t)
        smooth = np.array(shown(Butterworth(6.0)(one(wave.tolist(), 60.0))))[120:-120]
        b, a = butter(2, 6.0, fs=60.0)
        exact = abs(freqz(b, a, [frequency], fs=60.0)[1][0]) ** 2
        np.testing.assert_allclose(smooth, exact * wave[120:-120], atol=1e-3)
        assert exact == pytest.approx(gain, abs=0.02)


def test_a_confidence_stays(make_batch) -> None:
    batch = make_batch(6, channels=("x", "y", "confidence"))
    mask = batch["pose"].mask
    for transform in (OneEuro(), Butterworth(4.0)):
        result = transform(batch)["pose"]
        assert torch.equal(result.x[..., 2][mask], batch["pose"].x[..., 2][mask])
        assert not torch.equal(result.x[..., :2][mask], batch["pose"].x[..., :2][mask])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FillGaps(-1), r"max_gap must be in \[0, inf\]"),
        (lambda: FillGaps(nan), "max_gap must be in"),
        (lambda: FillGaps(1, "hours"), "unit must be 'seconds' or 'frames', got 'hours'"),  # type: ignore[arg-type]
        (lambda: OneEuro(0.0), r"min_cutoff must be in \(0, inf\)"),
        (lambda: OneEuro(1.0, -1.0), "beta must be in"),
        (lambda: OneEuro(1.0, 0.0, nan), "d_cutoff must be in"),
        (lambda: Butterworth(0.0), "cutoff must be in"),
        (lambda: Butterworth(6.0, 0), r"order must be in \[1, 10\]"),
        (
            lambda: Butterworth(15.0)(one([1.0, 2.0], 30.0)),
            "cut-off frequency of 15 Hz needs over 30 frames a second.*of 30",
        ),
    ],
)
def test_wrong_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
