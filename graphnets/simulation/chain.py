"""Forward kinematics of the rigid chain, with exact velocities and accelerations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphnets.simulation.inverse import JOINTS, ORIGIN, PARENT, TIP, Pose
from graphnets.simulation.kinematics import Array, dot
from graphnets.simulation.quaternion import cross, matrices
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
        tip: Position of the outer end of head, hands and feet, ``[R, T, L, 3]``; elsewhere the origin.
    """

    time: Array
    rotation: Array
    omega: Array
    alpha: Array
    position: Array
    velocity: Array
    acceleration: Array
    tip: Array

    @property
    def joints(self) -> dict[str, Array]:
        """Positions by joint name, ``[R, T, 3]``."""
        origins = {joint: self.position[:, :, INDEX[link]] for link, joint in ORIGIN.items()}
        out = origins | {joint: self.tip[:, :, INDEX[link]] for link, joint in TIP.items()}
        return {name: out[name] for name in JOINTS}

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
    out = rotation[..., 0] * vector[..., 0:1]
    out += rotation[..., 1] * vector[..., 1:2]
    out += rotation[..., 2] * vector[..., 2:3]
    return out


def apply_back(rotation: Array, vector: Array) -> Array:
    """Vectors in the frame of the rotations: the transposed ones times ``[..., 3]``."""
    return np.stack([dot(rotation[..., i], vector) for i in range(3)], axis=-1)


def forward(pose: Pose, rate: float, times: Array, degree: int = 5) -> Kinematics:
    """Kinematics of the motion that interpolates poses.

    Quaternion components and root are splines ``Q(t)`` (not of unit length between knots); the orientation is
    ``Q / |Q|``. Since ``Q' Q*`` and ``|Q|^2 q' q*`` have the same vector part, with ``N = Q . Q``

        omega = 2 vec(Q' Q*) / N,    alpha = (2 vec(Q'' Q*) - 2 (Q . Q') omega) / N,

    the exact derivatives of the normalised curve. Positions follow by the chain from the root outwards.

    Args:
        pose: At uniform knots.
        rate: Knots a second.
        times: Seconds, ``[T]``, within the knots.
        degree: Of the splines, 5 or 3.

    Returns:
        The moving chain.
    """
    people, knots, links = pose.quaternion.shape[:3]
    basis = spline(knots, rate, times, degree)
    state = np.concatenate([pose.quaternion.reshape(people, knots, -1), pose.root], axis=-1)
    moved = np.matmul(basis.reshape(-1, knots), state).reshape(people, 3, len(times), -1)
    q, q1, q2 = moved[..., :-3].reshape(people, 3, len(times), links, 4).transpose(1, 0, 2, 3, 4)
    square = (q**2).sum(-1, keepdims=True)
    omega = _rate(q1, q) / square
    alpha = _rate(q2, q) / square - (2.0 * (q * q1).sum(-1, keepdims=True) / square) * omega
    rotation = matrices(q)
    place = [np.empty((people, len(times), links, 3)) for _ in range(3)]
    root = INDEX["pelvis"]
    for out, value in zip(place, moved[..., -3:].transpose(1, 0, 2, 3), strict=True):
        out[:, :, root] = value
    # Arms from each parent's origin to the link's, then summed from the root outwards.
    parents = np.array([INDEX.get(PARENT.get(name, ""), root) for name in LINKS])
    arm = apply(rotation[:, :, parents], pose.offset[:, None])
    spin = omega[:, :, parents]
    speed = cross(spin, arm)
    push = cross(alpha[:, :, parents], arm) + cross(spin, speed)
    for i, parent in reversed(UPWARDS):
        for out, change in zip(place, (arm, speed, push), strict=True):
            np.add(out[:, :, parent], change[:, :, i], out=out[:, :, i])
    tip = place[0] + apply(rotation, pose.tip[:, None])
    return Kinematics(np.asarray(times), rotation, omega, alpha, place[0], place[1], place[2], tip)


def _rate(d: Array, q: Array) -> Array:
    """``2 vec(d q*)``."""
    return 2.0 * (q[..., :1] * d[..., 1:] - d[..., :1] * q[..., 1:] - cross(d[..., 1:], q[..., 1:]))


def _whirl(omega: Array, alpha: Array, arm: Array) -> Array:
    return cross(alpha, arm) + cross(omega, cross(omega, arm))
