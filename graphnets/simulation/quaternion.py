"""Unit quaternions ``(w, x, y, z)`` and three-vectors along the last axis, vectorised over any leading ones.

Results lie in memory with the components outermost, and NumPy keeps that order in what follows, so that every operation
runs over long contiguous rows. Shapes are as documented all the same.
"""

from __future__ import annotations

import numpy as np

from graphnets.simulation.kinematics import Array, dot


def vectors(shape: tuple[int, ...]) -> Array:
    """Uninitialised ``[..., n]`` whose components are outermost in memory, then the axis before them (links)."""
    if len(shape) < 3:
        return np.empty(shape)
    return np.empty((shape[-1], shape[-2], *shape[:-2])).transpose(*range(2, len(shape)), 1, 0)


def cross(a: Array, b: Array) -> Array:
    """Vector product of ``[..., 3]``, leading axes broadcast; several times faster than ``numpy.cross``."""
    out = vectors(np.broadcast_shapes(a.shape, b.shape))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.multiply(a[..., j], b[..., k], out=out[..., i])
        out[..., i] -= a[..., k] * b[..., j]
    return out


def square_of(q: Array) -> Array:
    """Squared lengths of quaternions ``[..., 4]``, with a last axis of one."""
    return (q[..., 0] ** 2 + q[..., 1] ** 2 + q[..., 2] ** 2 + q[..., 3] ** 2)[..., None]


def product(p: Array, q: Array) -> Array:
    """Hamilton product: the rotation ``q`` first, then ``p``; ``[..., 4]``."""
    w, v, u, r = p[..., :1], p[..., 1:], q[..., :1], q[..., 1:]
    out = vectors(np.broadcast_shapes(p.shape, q.shape))
    out[..., 0] = p[..., 0] * q[..., 0] - dot(v, r)
    out[..., 1:] = w * r + u * v + cross(v, r)
    return out


def turned(q: Array, v: Array) -> Array:
    """Vectors ``[..., 3]`` rotated by unit quaternions ``[..., 4]``."""
    twice = 2.0 * cross(q[..., 1:], v)
    return v + q[..., :1] * twice + cross(q[..., 1:], twice)


def swing(a: Array, b: Array) -> Array:
    """The shortest rotations that take the unit vectors ``a`` to ``b``, ``[..., 4]``; not defined if they oppose."""
    turn = cross(a, b)
    q = vectors((*turn.shape[:-1], 4))
    q[..., 0], q[..., 1:] = 1.0 + dot(a, b), turn
    return q / np.sqrt(np.maximum(square_of(q), 1e-24))


def from_axes(x: Array, y: Array, z: Array) -> Array:
    """Quaternions of the right-handed orthonormal frames whose axes are ``x``, ``y``, ``z``, each ``[..., 3]``.

    Bar-Itzhack's symmetric matrix, of which the row with the largest diagonal entry is taken: no loss of digits at any
    angle.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = ((v[..., 0], v[..., 1], v[..., 2]) for v in (x, y, z))
    a, b, c, d, e, f = yz - zy, zx - xz, xy - yx, xy + yx, zx + xz, yz + zy
    square = np.stack([1.0 + xx + yy + zz, 1.0 + xx - yy - zz, 1.0 - xx + yy - zz, 1.0 - xx - yy + zz])
    rows = [(square[0], a, b, c), (a, square[1], d, e), (b, d, square[2], f), (c, e, f, square[3])]
    best = square.argmax(axis=0)
    out = vectors((*xx.shape, 4))
    for k in range(4):
        out[..., k] = np.choose(best, [row[k] for row in rows])
    return out / np.sqrt(square_of(out))


def matrices(q: Array) -> Array:
    """Rotation matrices ``[..., L, 3, 3]`` of quaternions ``[..., L, 4]`` of any length."""
    w, x, y, z = np.moveaxis(q * np.sqrt(2.0 / square_of(q)), -1, 0)
    # Rows and columns outermost in memory, then links.
    out = np.moveaxis(np.empty((3, 3, q.shape[-2], *q.shape[:-2])), (0, 1, 2), (-2, -1, -3))
    xx, yy, zz = x * x, y * y, z * z
    for i, (a, b) in enumerate(((yy, zz), (xx, zz), (xx, yy))):
        np.subtract(1.0 - a, b, out=out[..., i, i])
    for i, j, even, odd in ((1, 0, x * y, w * z), (0, 2, x * z, w * y), (2, 1, y * z, w * x)):
        np.add(even, odd, out=out[..., i, j])
        np.subtract(even, odd, out=out[..., j, i])
    return out


def continuous(q: Array, axis: int = 1) -> Array:
    """The same rotations with signs chosen so that neighbours along ``axis`` (time) lie in one half space."""
    q = np.moveaxis(q, axis, 0)
    along = sum(q[1:, ..., i] * q[:-1, ..., i] for i in range(4))
    if np.all(along >= 0.0):
        return np.moveaxis(q, 0, axis)
    flips = np.where(along < 0.0, -1.0, 1.0)
    sign = np.concatenate([np.ones((1, *flips.shape[1:])), np.cumprod(flips, axis=0)])
    return np.moveaxis(q * sign[..., None], 0, axis)
