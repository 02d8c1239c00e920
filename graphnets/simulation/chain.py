"""Forward kinematics of the rigid chain, with exact velocities and accelerations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.inverse import JOINTS, ORIGIN, PARENT, TIP, Pose
from graphnets.simulation.kinematics import Array, dot
from graphnets.simulation.quaternion import cross, matrices, square_of, vectors
from graphnets.simulation.segments import LINKS
from graphnets.simulation.spline import spline

INDEX = {name: i for i, name in enumerate(LINKS)}
UPWARDS = tuple((INDEX[name], INDEX[PARENT[name]]) for name in reversed(PARENT))
"""Pairs of a link and its parent, leaves first."""


@dataclass(frozen=True)
class Kinematics:
    """The moving chain at ``T`` times: all in the world frame, SI units; links in the order of ``LINKS``.

    Attributes:
        time: Seconds, ``[T]``.
        rotation: From the link's frame to the world, ``[R, T, L, 3, 3]``.
        omega: Angular velocity, ``[R, T, L, 3]``.
        alpha: Angular acceleration, ``[R, T, L, 3]``.
        position: Of the link's origin, ``[R, T, L, 3]``.
        velocity: Of the origin.
        acceleration: Of the origin.
        outer: Outer end of head, hands and feet in the link's frame, ``[R, L, 3]``.
        links: What the axis of links holds; all of ``LINKS`` unless :func:`forward` was asked for some.
    """

    time: Array
    rotation: Array
    omega: Array
    alpha: Array
    position: Array
    velocity: Array
    acceleration: Array
    outer: Array
    links: tuple[str, ...] = LINKS

    @property
    def joints(self) -> dict[str, Array]:
        """Positions by joint name, ``[R, T, 3]``."""
        origins = {joint: self.position[:, :, INDEX[link]] for link, joint in ORIGIN.items()}
        out = origins | {joint: self.tip(link) for link, joint in TIP.items()}
        return {name: out[name] for name in JOINTS}

    def tip(self, link: str) -> Array:
        """Position of a link's outer end, ``[R, T, 3]``."""
        i = INDEX[link]
        return self.position[:, :, i] + apply(self.rotation[:, :, i], self.outer[:, None, i])

    def point(self, local: Array) -> tuple[Array, Array]:
        """World position and acceleration of one point a link: ``x + r``, ``a + alpha x r + omega x (omega x r)``.

        Args:
            local: In the links' frames, ``[R, L, 3]``, broadcastable.

        Returns:
            Two ``[R, T, L, 3]``.
        """
        arm = apply(self.rotation, local[:, None])
        return self.position + arm, self.acceleration + _whirl(self.omega, self.alpha, arm)


def apply(rotation: Array, vector: Array) -> Array:
    """Rotated vectors: ``[..., 3, 3]`` times ``[..., 3]``, leading axes broadcast."""
    out = vectors(np.broadcast_shapes(rotation.shape[:-1], vector.shape))
    for i in range(3):
        out[..., i] = dot(rotation[..., i, :], vector)
    return out


def apply_back(rotation: Array, vector: Array) -> Array:
    """Vectors in the frame of the rotations: the transposed ones times ``[..., 3]``."""
    out = vectors(np.broadcast_shapes(rotation.shape[:-1], vector.shape))
    for i in range(3):
        out[..., i] = dot(rotation[..., i], vector)
    return out


def with_ancestors(links: Collection[str]) -> tuple[str, ...]:
    """Links and all that lie between them and the root, in the order of ``LINKS``."""
    needed = {"pelvis"}
    for link in links:
        while link not in needed:
            needed.add(link)
            link = PARENT[link]
    return tuple(name for name in LINKS if name in needed)


def forward(
    pose: Pose,
    rate: float,
    times: Array,
    degree: int = 5,
    lengths: NDArray[np.int64] | None = None,
    links: Collection[str] | None = None,
) -> Kinematics:
    """Kinematics of the motion that interpolates poses.

    Quaternion components and root are splines ``Q(t)`` (not of unit length between knots); the orientation is
    ``Q / |Q|``. Since ``Q' Q*`` and ``|Q|^2 q' q*`` have the same vector part, with ``N = Q . Q``

        omega = 2 vec(Q' Q*) / N,    alpha = (2 vec(Q'' Q*) - 2 (Q . Q') omega) / N,

    the exact derivatives of the normalised curve. Positions follow by the chain from the root outwards.

    Args:
        pose: At uniform knots.
        rate: Knots a second.
        times: Increasing, seconds, ``[T]``, from 0 to the last knot.
        degree: Of the splines, 5 or 3.
        lengths: Knots of each repetition, ``[R]``, all if None. After its last one a repetition stands still; none
            depends on how long others are.
        links: Only these and their ancestors are computed, which saves time; the properties of the result that need
            others then can't be had. All if None.

    Returns:
        The moving chain.
    """
    names = LINKS if links is None else with_ancestors(links)
    chosen = [INDEX[name] for name in names]
    quaternion, offset, outer = pose.quaternion, pose.offset, pose.tip
    if names != LINKS:
        quaternion, offset, outer = quaternion[:, :, chosen], offset[:, chosen], outer[:, chosen]
    people, knots, count = quaternion.shape[:3]
    times = np.asarray(times, np.float64)
    # Components, links, repetitions, knots: the products come out in the order that vectors() has.
    turns = np.ascontiguousarray(quaternion.transpose(3, 2, 0, 1)).reshape(-1, people, knots)
    state = np.concatenate([turns, pose.root.transpose(2, 0, 1)])
    moved = _interpolate(state, np.full(people, knots) if lengths is None else lengths, rate, times, degree)
    q, q1, q2 = moved[:, :-3].reshape(3, 4, count, people, -1).transpose(0, 3, 4, 2, 1)
    inverse = 1.0 / square_of(q)
    growth = 2.0 * inverse * (q[..., 0] * q1[..., 0] + dot(q[..., 1:], q1[..., 1:]))[..., None]
    omega = _rate(q1, q) * inverse
    alpha = _rate(q2, q) * inverse - growth * omega
    rotation = matrices(q)
    place = [vectors(omega.shape) for _ in range(3)]
    where = {name: i for i, name in enumerate(names)}
    root = where["pelvis"]
    for out, value in zip(place, moved[:, -3:], strict=True):
        out[:, :, root] = value.transpose(1, 2, 0)
    # Arms from each parent's origin to the link's, then summed from the root outwards.
    parents = [where.get(PARENT.get(name, ""), root) for name in names]
    arm, spin, turn = vectors(omega.shape), vectors(omega.shape), vectors(omega.shape)
    for i, j in enumerate(parents):
        arm[:, :, i] = apply(rotation[:, :, j], offset[:, None, i])
        spin[:, :, i], turn[:, :, i] = omega[:, :, j], alpha[:, :, j]
    speed = cross(spin, arm)
    push = cross(turn, arm) + cross(spin, speed)
    for child, parent in reversed(UPWARDS):
        if LINKS[child] in where:
            i, j = where[LINKS[child]], where[LINKS[parent]]
            for out, change in zip(place, (arm, speed, push), strict=True):
                np.add(out[:, :, j], change[:, :, i], out=out[:, :, i])
    return Kinematics(times, rotation, omega, alpha, place[0], place[1], place[2], outer, names)


def _interpolate(knots: Array, lengths: NDArray[np.int64], rate: float, times: Array, degree: int) -> Array:
    """Value and two derivatives ``[3, K, R, T]`` of splines through ``[K, R, knots]``."""
    out = np.zeros((3, *knots.shape[:2], len(times)))
    for i, n in enumerate(lengths):
        inside = int(np.searchsorted(times, (n - 1) / rate + 1e-9))
        basis = spline(int(n), rate, times[:inside], degree)
        # A spline goes through its knots: where just these are asked for, a third of the work is done.
        known = int(inside == n and np.abs(times[:n] * rate - np.arange(n)).max() < 1e-9)
        if known:
            out[0, :, i, :n] = knots[:, i, :n]
        np.matmul(knots[:, i, :n], basis[known:].swapaxes(1, 2), out=out[known:, :, i, :inside])
        out[0, :, i, inside:] = knots[:, i, n - 1, None]
    return out


def _rate(d: Array, q: Array) -> Array:
    """``2 vec(d q*)``."""
    out = cross(q[..., 1:], d[..., 1:])
    out += q[..., :1] * d[..., 1:]
    out -= d[..., :1] * q[..., 1:]
    out *= 2.0
    return out


def _whirl(omega: Array, alpha: Array, arm: Array) -> Array:
    return cross(alpha, arm) + cross(omega, cross(omega, arm))
