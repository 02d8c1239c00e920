"""Bringing samples with time stamps, and fast recordings, to a uniform clock."""

from __future__ import annotations

import numpy as np
from scipy.signal import firwin, upfirdn

from graphnets.data.raw import BadFileError

LONGEST = 600.0
"""Seconds. No clip of the data sets here comes near it: a stamp farther from the others is wrong."""
BACK = 1.0
"""Seconds that a stamp may lie before an earlier row's: jitter is sorted away, a clock that was set back is not."""


def in_order(times: np.ndarray, values: np.ndarray, first: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Samples by time; of several with the same stamp the first stays.

    Args:
        times: Seconds ``[T]`` in the order of the file.
        values: ``[T, C]``.
        first: Row of the first sample in its file, for messages.

    Returns:
        Times, strictly increasing, and their values.

    Raises:
        BadFileError: A stamp lies more than :data:`BACK` before an earlier one, or all together span more than
            :data:`LONGEST`.
    """
    if len(times) == 0:
        return times, values
    latest = np.maximum.accumulate(times)
    back = latest - times
    if (back > BACK).any():
        row = int(np.argmax(back > BACK))
        message = f"time goes back by {back[row]:.3f} s; up to {BACK:g} s is sorted, more is a clock that was set back"
        raise BadFileError(f"{times[row]:.3f}", message, first + row)
    if latest[-1] - times.min() > LONGEST:
        row = int(np.argmax(np.diff(times))) + 1
        message = f"the file spans {latest[-1] - times.min():.0f} s; a clip has at most {LONGEST:g} s"
        raise BadFileError(f"{times[row]:.3f}", f"{message}; the longest step is before this row", first + row)
    times, kept = np.unique(times, return_index=True)
    return times, values[kept]


def uniform(begin: float, end: float, fps: float) -> np.ndarray:
    """Instants ``begin, begin + 1 / fps, ...`` up to ``end`` (float64 seconds); the end counts despite rounding."""
    return begin + np.arange(int(np.floor((end - begin) * fps + 1e-3)) + 1) / fps


def interpolate(
    times: np.ndarray, values: np.ndarray, clock: np.ndarray, max_gap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation on a clock, without extrapolation.

    There is no low-pass: where the clock is slower than the samples, what is faster than half its rate folds.

    Args:
        times: Seconds ``[T]``, strictly increasing.
        values: ``[T, C]``.
        clock: Seconds ``[K]``.
        max_gap: Seconds. An instant farther than this from every sample is not observed.

    Returns:
        Values ``[K, C]`` and what of them is observed, bool ``[K]``: within the span of the samples (but for a
        microsecond of rounding) and near enough to one.
    """
    if len(times) < 2:
        return np.zeros((len(clock), values.shape[1])), np.zeros(len(clock), dtype=bool)
    right = np.clip(np.searchsorted(times, clock), 1, len(times) - 1)
    before, after = times[right - 1], times[right]
    share = np.clip((clock - before) / (after - before), 0.0, 1.0)[:, None]
    out = values[right - 1] * (1 - share) + values[right] * share
    distance = np.minimum(np.abs(clock - before), np.abs(after - clock))
    inside = (clock >= times[0] - 1e-6) & (clock <= times[-1] + 1e-6)
    return out, inside & (distance <= max_gap)


def decimate(x: np.ndarray, factor: int) -> np.ndarray:
    """Every ``factor``-th frame after a low-pass below half the new rate.

    The filter is the linear-phase FIR of ``scipy.signal.decimate`` (Hamming window, ``20 * factor + 1`` taps), without
    delay. Zeros beyond the ends would pull these towards the origin, so the recording is continued by its point
    reflection there: whatever moves at constant speed passes unchanged, also at the ends.

    Args:
        x: ``[T, ...]``, T >= 1.
        factor: At least 1.

    Returns:
        Frames 0, factor, 2 factor, ... of the filtered ``x``, ``[ceil(T / factor), ...]``.
    """
    if factor == 1:
        return x
    taps = firwin(20 * factor + 1, 1.0 / factor, window="hamming")
    half = 10 * factor
    padded = np.pad(x, [(half, half)] + [(0, 0)] * (x.ndim - 1), mode="reflect", reflect_type="odd")
    filtered = upfirdn(taps / taps.sum(), padded, down=factor, axis=0)
    return filtered[20 : 20 + -(-len(x) // factor)]  # the first 20 have not seen all taps yet
