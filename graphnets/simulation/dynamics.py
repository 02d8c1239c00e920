"""Newton-Euler: what forces and moments a movement takes, segment by segment, joint by joint, and in all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphnets.simulation.chain import INDEX, UPWARDS, Kinematics, apply, apply_back
from graphnets.simulation.kinematics import Array
from graphnets.simulation.quaternion import cross
from graphnets.simulation.segments import Inertia

GRAVITY = np.array([0.0, -9.81, 0.0])
"""Acceleration of free fall, m/s^2."""


@dataclass(frozen=True)
class Wrench:
    """A force and its moment about a point: N and N m, ``[..., 3]`` each, in the world frame."""

    force: Array
    moment: Array
    point: Array

    def about(self, point: Array) -> Array:
        """Moment about another point: ``M + (p - p') x F``."""
        return self.moment + cross(self.point - point, self.force)


def demand(motion: Kinematics, inertia: Inertia) -> Wrench:
    """What everything else must exert on each link so that it moves as it does, gravity apart.

    ``F = m (a - g)`` and, about the centre of mass in the link's frame, ``M = I alpha + omega x I omega``.

    Args:
        motion: Of the chain.
        inertia: Of the links.

    Returns:
        ``[R, T, L, 3]``, the point being the centre of mass.
    """
    centre, push = motion.point(inertia.centre)
    spin, turn = (apply_back(motion.rotation, v) for v in (motion.omega, motion.alpha))
    moments = inertia.moments[:, None]
    moment = apply(motion.rotation, moments * turn + cross(spin, moments * spin))
    return Wrench(inertia.mass[:, None, :, None] * (push - GRAVITY), moment, centre)


def total(wrench: Wrench, about: Array) -> Wrench:
    """Sum over the links, with its moment about points ``[R, T, 3]``: for a body, what its contacts must exert."""
    return Wrench(wrench.force.sum(2), wrench.about(about[:, :, None]).sum(2), about)


def joint_moments(motion: Kinematics, needed: Wrench, contacts: dict[str, list[Wrench]]) -> tuple[Array, Array]:
    """Net joint moments and forces: what the parent exerts on the link at the link's origin.

    Summed from the leaves: everything beyond the joint takes ``sum(F)`` and ``sum(M + (c - p) x F)``; what the contacts
    give is taken off, the rest comes through the joint. At the root nothing is left but what the contacts do not give.

    Args:
        motion: Of the chain.
        needed: From :func:`demand`.
        contacts: What acts from outside, by name of the link, ``[R, T, 3]`` each.

    Returns:
        Moments (N m) and forces (N) in the world frame, ``[R, T, L, 3]``.
    """
    base = motion.position[:, :, INDEX["pelvis"]]  # short lever arms keep digits
    force, moment = needed.force.copy(), needed.about(base[:, :, None])
    for link, wrenches in contacts.items():
        for wrench in wrenches:
            force[:, :, INDEX[link]] -= wrench.force
            moment[:, :, INDEX[link]] -= wrench.about(base)
    for i, parent in UPWARDS:
        force[:, :, parent] += force[:, :, i]
        moment[:, :, parent] += moment[:, :, i]
    return moment - cross(motion.position - base[:, :, None], force), force
