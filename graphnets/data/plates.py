"""Force plates: when a foot is on one, and what it measured at the frames of the markers.

Axes of the room: x forward, y up, z to the right. Forces are those of the ground on the body.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.signal import butter, sosfiltfilt


def contacts(vertical: np.ndarray, low: float = 20.0, high: float = 100.0) -> list[slice]:
    """Stretches of samples in which something stands on a plate.

    A contact begins and ends where the force passes ``low``, and counts if it reaches ``high`` in between (hysteresis):
    a ripple around either threshold makes no contact, and none is cut in two by a dip that stays above ``low``.

    Args:
        vertical: Vertical force, N, ``[T]``.
        low: N, from which on a sample belongs to a contact.
        high: N, that a contact has to reach.

    Returns:
        The stretches in their order.

    Raises:
        ValueError: The thresholds are not 0 < low <= high.
    """
    if not 0 < low <= high:
        raise ValueError(f"thresholds must be 0 < low <= high, got {low:g} and {high:g} N")
    regions, _ = label(vertical >= low)
    return [found[0] for found in find_objects(regions) if found and vertical[found[0]].max() >= high]


def low_pass(values: np.ndarray, rate: float, cutoff: float) -> np.ndarray:
    """Butterworth filter of order 4 without delay: order 2 forwards, then backwards, over the first axis.

    The cutoff is that of both passes together, which is where the amplitude is ``1 / sqrt(2)``: each pass gets it
    divided by 0.802 (Winter, *Biomechanics and Motor Control of Human Movement*, 4th ed., 2009, section 3.4.4.2; exact
    for a rate far above the cutoff).

    Args:
        values: ``[T, ...]``.
        rate: Samples a second.
        cutoff: Hz, below half the rate.

    Raises:
        ValueError: The cutoff is not between 0 and 0.4 times the rate.
    """
    if not 0 < cutoff < 0.4 * rate:
        raise ValueError(
            f"cutoff is {cutoff:g} Hz; with {rate:g} samples a second, allowed is above 0, below {0.4 * rate:g}"
        )
    each = cutoff / (np.sqrt(2) - 1) ** 0.25
    return np.asarray(sosfiltfilt(butter(2, each, fs=rate, output="sos"), values, axis=0))


def reaction(
    force: np.ndarray, centre: np.ndarray, rate: float, cutoff: float, least: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    """Low-passed force, and the centre of pressure that goes with it.

    What is filtered is the force and its moment about the origin, which are 0 without contact. The centre itself is
    not: it jumps to nowhere where a foot leaves, and a filter would carry that into the stance.

    Args:
        force: On the body, N, ``[T, 3]``; 0 without contact.
        centre: Centre of pressure, metres, ``[T, 3]``; whatever it is without contact.
        rate: Samples a second.
        cutoff: Hz, see :func:`low_pass`.
        least: N; below this vertical force there is no centre.

    Returns:
        Force ``[T, 3]`` and centre ``[T, 3]``, NaN where there is none. It lies at the height of the one measured while
        the foot was on the plate.
    """
    on = np.abs(force).max(-1) > 0
    height = float(np.median(centre[on, 1])) if on.any() else 0.0
    arm = np.where(on[:, None], centre, 0.0)
    arm[:, 1] = height
    smooth = low_pass(np.concatenate([force, np.cross(arm, force)], axis=1), rate, cutoff)
    pushed, moment = smooth[:, :3], smooth[:, 3:]
    up = np.where(pushed[:, 1] >= least, pushed[:, 1], np.nan)
    # (x, height, z) x F = moment, solved for x and z.
    x = (moment[:, 2] + height * pushed[:, 0]) / up
    z = (height * pushed[:, 2] - moment[:, 0]) / up
    return pushed, np.stack([x, np.where(np.isnan(up), np.nan, height), z], axis=1)


def at_times(times: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Linear interpolation of ``[T, C]`` at other times; NaN outside, and next to a NaN."""
    columns = [np.interp(wanted, times, column, left=np.nan, right=np.nan) for column in values.T]
    return np.stack(columns, axis=1)
