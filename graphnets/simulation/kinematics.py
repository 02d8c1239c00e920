"""The mathematics of a moving chain: rotations, two-bone reach, smooth profiles and smooth noise.

Every function is pure, works in float64 and is vectorised over any leading axes. The world frame is right-handed:
x to the left of a person who faces z (so to the right in a picture taken from the front), y up, z forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def rotation(lean: ArrayLike = 0.0, roll: ArrayLike = 0.0, twist: ArrayLike = 0.0) -> Array:
    """Rotation matrices ``R = R_y(twist) R_x(lean) R_z(roll)``, all in radians.

    Args:
        lean: About the x axis; positive tips the y axis forward, towards z.
        roll: About the z axis; positive tips the y axis to the right, away from x.
        twist: About the y axis; positive turns the z axis to the left, towards x.

    Returns:
        ``[..., 3, 3]``, the angles broadcast against each other.
    """
    lean, roll, twist = (np.asarray(a, np.float64) for a in (lean, roll, twist))
    cx, sx, cy, sy, cz, sz = np.cos(lean), np.sin(lean), np.cos(twist), np.sin(twist), np.cos(roll), np.sin(roll)
    rows = (
        (cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx),
        (cx * sz, cx * cz, -sx),
        (cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx),
    )
    out = np.empty((*np.broadcast(lean, roll, twist).shape, 3, 3))
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            out[..., i, j] = value
    return out


def rotate(matrix: Array, vector: ArrayLike) -> Array:
    """Apply rotation matrices ``[..., 3, 3]`` to vectors ``[..., 3]``, leading axes broadcast."""
    v = np.asarray(vector, np.float64)
    return matrix[..., 0] * v[..., 0:1] + matrix[..., 1] * v[..., 1:2] + matrix[..., 2] * v[..., 2:3]


def vector(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Array:
    """Stack three coordinates, broadcast against each other, into vectors ``[..., 3]``."""
    out = np.empty((*np.broadcast(x, y, z).shape, 3))
    out[..., 0], out[..., 1], out[..., 2] = x, y, z
    return out


def norm(v: Array) -> Array:
    """Euclidean length of vectors ``[..., 3]``."""
    return np.sqrt(v[..., 0] ** 2 + v[..., 1] ** 2 + v[..., 2] ** 2)


def dot(a: Array, b: Array) -> Array:
    """Scalar product of vectors ``[..., 3]``."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def perpendicular(hint: Array, axis: Array) -> Array:
    """Unit vectors along the part of ``hint`` that is perpendicular to the unit vectors ``axis``."""
    across = hint - dot(hint, axis)[..., None] * axis
    return across / norm(across)[..., None]


def span(angle: ArrayLike, upper: ArrayLike, lower: ArrayLike) -> Array:
    """Distance between the ends of two bones that meet at ``angle`` (law of cosines).

    Args:
        angle: Inner angle of the joint in radians; pi is a straight limb.
        upper: Length of the first bone.
        lower: Length of the second bone.

    Returns:
        The distance, in the unit of the lengths.
    """
    a, b = np.asarray(upper, np.float64), np.asarray(lower, np.float64)
    return np.sqrt(a**2 + b**2 - 2.0 * a * b * np.cos(angle))


def two_bone(root: Array, target: Array, hint: Array, upper: ArrayLike, lower: ArrayLike) -> Array:
    """Middle joint of a two-bone limb that spans from ``root`` to ``target`` (analytic inverse kinematics).

    The middle joint lies on a circle about the line from root to target; the hint picks the point of that circle.

    Args:
        root: Hip or shoulder, ``[..., 3]``.
        target: Ankle or wrist, ``[..., 3]``.
        hint: Direction in which the knee or elbow points, ``[..., 3]``, not parallel to the limb.
        upper: Length of the first bone, ``[...]``.
        lower: Length of the second bone, ``[...]``.

    Returns:
        The knee or elbow, ``[..., 3]``; both bones have their length to rounding.

    Raises:
        ValueError: A target lies farther than the stretched limb or nearer than the folded one.
    """
    a, b = np.asarray(upper, np.float64), np.asarray(lower, np.float64)
    line = target - root
    distance = norm(line)
    if np.any(distance >= a + b) or np.any(distance <= np.abs(a - b)):
        raise ValueError(
            f"a two-bone limb cannot reach its target: distances {distance.min():.4f}..{distance.max():.4f} m, "
            f"bones {a.min():.4f}..{a.max():.4f} and {b.min():.4f}..{b.max():.4f} m"
        )
    axis = line / distance[..., None]
    along = (a**2 - b**2 + distance**2) / (2.0 * distance)
    height = np.sqrt(np.maximum(a**2 - along**2, 0.0))
    return root + along[..., None] * axis + height[..., None] * perpendicular(hint, axis)


def smooth_min(a: ArrayLike, b: ArrayLike, width: float = 0.005) -> Array:
    """Smooth minimum, never above the true one: ``(a + b - sqrt((a - b)^2 + width^2)) / 2``."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return 0.5 * (a + b - np.sqrt((a - b) ** 2 + width**2))


def within_reach(root: Array, target: Array, reach: ArrayLike, width: float = 0.02) -> Array:
    """Draw targets ``[..., 3]`` towards their roots strictly within ``reach``, smoothly by ``width``."""
    line = target - root
    distance = norm(line)
    return root + line * (smooth_min(distance, reach, width) / distance)[..., None]


def quintic(
    time: Array,
    knots: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    velocities: Sequence[ArrayLike] | None = None,
    accelerations: Sequence[ArrayLike] | None = None,
) -> Array:
    """Piecewise quintic through knots with given value, velocity and acceleration; constant outside them.

    With zero velocities and accelerations (the default) every piece is a minimum-jerk movement (Flash & Hogan,
    "The coordination of arm movements", J. Neurosci. 5(7), 1985); between two ballistic states it is the parabola.

    Args:
        time: ``[R, F]``.
        knots: Increasing times, each broadcastable to ``[R, 1]``.
        values: One a knot, each broadcastable to ``[R, 1]``.
        velocities: One a knot; zero where None.
        accelerations: One a knot; zero where None.

    Returns:
        ``[R, F]``, twice continuously differentiable.

    Raises:
        ValueError: The knots do not increase, or the lists differ in length.
    """
    still = velocities is None and accelerations is None
    zeros = [0.0] * len(knots)
    speeds, pushes = velocities or zeros, accelerations or zeros
    if not len(knots) == len(values) == len(speeds) == len(pushes):
        raise ValueError(f"{len(knots)} knots need as many values, got {len(values)}, {len(speeds)}, {len(pushes)}")
    levels = [np.asarray(value, np.float64) for value in values]
    # Before its start a piece adds nothing, after its end its whole rise: no need to choose between pieces.
    out: Array = levels[0] + np.zeros(time.shape)
    for i in range(len(knots) - 1):
        start, end = np.asarray(knots[i], np.float64), np.asarray(knots[i + 1], np.float64)
        h = end - start
        if (h <= 0).any():
            raise ValueError(f"knots must increase, got a step of {np.min(h):.4g} after knot {i}")
        gap = levels[i + 1] - levels[i]
        if still and not gap.any():
            continue
        s = np.minimum(np.maximum((time - start) / h, 0.0), 1.0)
        if still:
            piece = gap * (s * s * s * (10.0 + s * (6.0 * s - 15.0)))
        else:
            v0, v1 = np.asarray(speeds[i], np.float64) * h, np.asarray(speeds[i + 1], np.float64) * h
            a0, a1 = np.asarray(pushes[i], np.float64) * h**2, np.asarray(pushes[i + 1], np.float64) * h**2
            c3 = 10.0 * gap - 6.0 * v0 - 4.0 * v1 - 1.5 * a0 + 0.5 * a1
            c4 = -15.0 * gap + 8.0 * v0 + 7.0 * v1 + 1.5 * a0 - a1
            c5 = 6.0 * gap - 3.0 * (v0 + v1) - 0.5 * (a0 - a1)
            piece = s * (v0 + s * (0.5 * a0 + s * (c3 + s * (c4 + s * c5))))
        out = out + piece
    return out


def wander(time: Array, waves: Array) -> Array:
    """Smooth noise of mean zero and unit variance: a sum of slow sines.

    Args:
        time: Seconds, evenly spaced, ``[R, F]``.
        waves: ``[R, channels, sines, 2]``: frequency in Hz and phase in radians.

    Returns:
        ``[channels, R, F]``.
    """
    frequency, phase = 2.0 * np.pi * waves[..., 0, None], waves[..., 1, None]
    frames = time.shape[1]
    block = int(np.ceil(np.sqrt(frames)))
    step = (time[:, -1] - time[:, 0])[:, None, None, None] / max(frames - 1, 1)
    # sin(a + b) = sin a cos b + cos a sin b, a at the first frame of every block and b within: few sines to compute.
    a = frequency * (time[:, :1, None, None] + step * block * np.arange(block)) + phase
    b = frequency * step * np.arange(block)
    left, right = np.concatenate([np.sin(a), np.cos(a)], axis=2), np.concatenate([np.cos(b), np.sin(b)], axis=2)
    total = (left.swapaxes(-1, -2) @ right).reshape(*waves.shape[:2], -1)[..., :frames]
    return np.moveaxis(total, 1, 0) * np.sqrt(2.0 / waves.shape[2])
