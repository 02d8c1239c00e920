from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import decimate as scipy_decimate

from graphnets.data.clock import decimate, in_order, interpolate, uniform
from graphnets.data.raw import BadFileError


def test_samples_are_sorted_and_the_first_of_equal_stamps_stays() -> None:
    times = np.array([10.0, 10.2, 10.1, 10.1, 10.3])
    ordered, values = in_order(times, np.arange(5.0)[:, None])
    assert ordered.tolist() == [10.0, 10.1, 10.2, 10.3] and values[:, 0].tolist() == [0, 2, 1, 4]
    assert len(in_order(np.empty(0), np.empty((0, 3)))[0]) == 0


def test_a_clock_that_was_set_back_is_no_jitter() -> None:
    times = np.array([10.0, 12.0, 11.5, 10.9, 13.0])
    with pytest.raises(BadFileError, match=r"goes back by 1\.100 s") as bad:
        in_order(times, np.zeros((5, 1)), first=2)
    assert (bad.value.row, bad.value.value) == (5, "10.900")
    with pytest.raises(BadFileError, match="spans 86400 s") as bad:
        in_order(np.array([0.0, 0.1, 86400.0]), np.zeros((3, 1)))
    assert bad.value.row == 3


def test_interpolation_is_linear_and_does_not_extrapolate() -> None:
    times = np.array([1.0, 1.1, 1.3, 1.35])
    values = np.stack([2 * times, 1 - times], -1)
    clock = uniform(0.9, 1.4, 20)
    out, seen = interpolate(times, values, clock, 0.2)
    assert seen.tolist() == [False, False, *[True] * 8, False]
    np.testing.assert_allclose(out[seen], np.stack([2 * clock, 1 - clock], -1)[seen], atol=1e-12)


def test_what_is_far_from_every_sample_is_not_observed() -> None:
    times = np.array([0.0, 0.1, 1.1, 1.2])
    _, seen = interpolate(times, np.zeros((4, 1)), uniform(0, 1.2, 10), 0.15)
    assert seen.tolist() == [True, True, True, *[False] * 7, True, True, True]
    assert not interpolate(times[:1], np.zeros((1, 1)), np.array([0.0]), 1.0)[1].any()


def test_unix_time_keeps_its_milliseconds() -> None:
    begin = 1.29e9
    times = begin + np.arange(100) / 30
    out, seen = interpolate(times, np.sin(times - begin)[:, None], times, 0.1)
    assert seen.all()
    np.testing.assert_allclose(out[:, 0], np.sin(times - begin), atol=1e-6)
    assert len(uniform(begin, begin + 2.0, 30)) == 61


@pytest.mark.parametrize("frames", [1, 2, 7, 160, 161, 500])
@pytest.mark.parametrize("factor", [1, 2, 16])
def test_steady_motion_passes_unchanged_at_the_ends_too(frames: int, factor: int) -> None:
    x = (3.0 + 0.01 * np.arange(frames))[:, None, None] * np.array([[1.0, -2.0], [100.0, 0.0]])
    np.testing.assert_allclose(decimate(x, factor), x[::factor], atol=1e-9)


def test_fast_motion_is_removed_and_slow_motion_kept() -> None:
    t = np.arange(4800) / 480
    slow, fast = np.sin(2 * np.pi * 3 * t), np.sin(2 * np.pi * 41 * t)  # 41 Hz would show as 11 Hz
    out = decimate((slow + fast)[:, None], 16)[:, 0]
    assert np.abs(out - slow[::16])[10:-10].max() < 0.02 and np.abs(fast[::16]).max() > 0.9


def test_it_is_the_filter_of_scipy() -> None:
    x = np.random.default_rng(0).normal(size=(2000, 3))
    expected = scipy_decimate(x, 8, ftype="fir", axis=0, zero_phase=True)
    np.testing.assert_allclose(decimate(x, 8)[10:-10], expected[10:-10], atol=1e-10)
