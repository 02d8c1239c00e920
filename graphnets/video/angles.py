"""Joint angles of a skeleton sequence, and the low-pass that goes before any counting."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from graphnets.skeleton import Skeleton

SIDES = ("left", "right")
ANGLES: dict[str, tuple[str, str, str]] = {
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("elbow", "shoulder", "hip"),
    "hip": ("shoulder", "hip", "knee"),
    "knee": ("hip", "knee", "ankle"),
    "ankle": ("knee", "ankle", "foot"),
}
"""The joints of either side that make an angle, which lies at the second one."""
TOES = [("knee", "ankle", "foot_index"), ("knee", "ankle", "big_toe")]
"""The angle of the ankle in skeletons that call the tip of the foot otherwise."""


def joint_angle(x: np.ndarray, mask: np.ndarray, skeleton: Skeleton, joints: tuple[str, str, str]) -> np.ndarray:
    r"""The angle at a joint, :math:`\arccos \frac{(a - b) \cdot (c - b)}{|a - b| |c - b|}`.

    Args:
        x: Positions in the plane or in space, ``[T, V, 2 or 3]``.
        mask: True where observed, ``[T, V]``.
        skeleton: Of the V joints.
        joints: Names of a, b and c.

    Returns:
        Degrees from 0 to 180, ``[T]``; NaN where one of the three wasn't observed, or two lie in one point.

    Raises:
        ValueError: The skeleton lacks a joint.
    """
    at = [skeleton.index(name) for name in joints]
    a, b, c = (x[:, joint].astype(np.float64) for joint in at)
    u, v = a - b, c - b
    size = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    known = mask[:, at].all(1) & (size > 0)
    with np.errstate(invalid="ignore"):
        cosine = np.clip((u * v).sum(-1) / np.where(known, size, 1), -1, 1)
    return np.where(known, np.degrees(np.arccos(cosine)), np.nan)


def both_sides(x: np.ndarray, mask: np.ndarray, skeleton: Skeleton, angle: str) -> np.ndarray:
    """The mean of an angle of :data:`ANGLES` over left and right, or that of the side that was observed, ``[T]``.

    Args:
        x: ``[T, V, 2 or 3]``.
        mask: ``[T, V]``.
        skeleton: Of the V joints.
        angle: A name in :data:`ANGLES`.
    """
    a, b, c = ANGLES[angle]
    sides = np.stack([joint_angle(x, mask, skeleton, (f"{s}_{a}", f"{s}_{b}", f"{s}_{c}")) for s in SIDES])
    seen = np.isfinite(sides)
    count = seen.sum(0)
    return np.where(count > 0, np.where(seen, sides, 0).sum(0) / np.maximum(count, 1), np.nan)


def all_angles(x: np.ndarray, mask: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Every angle of :data:`ANGLES`, left and right, whose joints the skeleton has, ``[T, angles]``; NaN as above.

    Args:
        x: ``[T, V, 2 or 3]``.
        mask: ``[T, V]``.
        skeleton: Of the V joints.
    """
    known = set(skeleton.joints)
    names = [(f"{side}_{a}", f"{side}_{b}", f"{side}_{c}") for side in SIDES for a, b, c in (*ANGLES.values(), *TOES)]
    found = [joint_angle(x, mask, skeleton, joints) for joints in names if known.issuperset(joints)]
    return np.stack(found, 1) if found else np.empty((len(x), 0))


def fill(signal: np.ndarray) -> np.ndarray:
    """Straight lines instead of NaN along the first axis, level at the ends; 0 where nothing is known at all."""
    flat = signal.reshape(len(signal), -1).astype(np.float64, copy=True)
    time = np.arange(len(flat))
    for column in flat.T:
        known = np.isfinite(column)
        column[~known] = np.interp(time[~known], time[known], column[known]) if known.any() else 0.0
    return flat.reshape(signal.shape)


def low_pass(signal: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    """Butterworth of second order, forwards and backwards, along the first axis.

    Args:
        signal: ``[T, ...]``, finite.
        fps: Frames a second.
        cutoff: Hz; from half the frame rate on nothing is done.
    """
    if not 2 * cutoff < fps or len(signal) < 2:
        return signal
    sections = butter(2, cutoff, fs=fps, output="sos")
    return sosfiltfilt(sections, signal, axis=0, padlen=min(9, len(signal) - 1))
