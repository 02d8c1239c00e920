"""How several contacts share what the body needs, and where the force acts under each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import Body
from graphnets.simulation.chain import INDEX, Kinematics
from graphnets.simulation.dynamics import Wrench
from graphnets.simulation.kinematics import Array, dot, vector
from graphnets.simulation.quaternion import cross
from graphnets.simulation.segments import FOREFOOT, HEEL

CONTACTS: dict[str, str] = {
    "left_foot": "left_foot",
    "right_foot": "right_foot",
    "left_hand": "left_hand",
    "right_hand": "right_hand",
    "pelvis": "pelvis",
    "back": "thorax",
}
"""What may rest on something, and the link that it loads. Feet and hands are taken to rest on the floor, y = 0."""
REACH = 0.06
"""Metres: a free moment costs what this lever arm would make of it as a force; about half a foot's width to length."""
AIM = 0.7
"""How far forces turn from the vertical to the centre of mass; between wide or long stances' feet they push inwards."""
UPRIGHT = 0.55
"""Height of the centre of mass of an upright body, fraction of stature."""
FRICTION = 0.4
"""Bound of that turn, as a ratio of horizontal to vertical force."""
BACK = 0.25
"""Where a heel bears behind the ankle, fraction of the way from the ankle to the ball."""
FIRM = 20.0
"""Newtons of vertical force above which there is a centre of pressure."""


def contact_point(name: str, motion: Kinematics, body: Body) -> Array:
    """Where a contact's force acts if nothing asks for more, ``[R, T, 3]``.

    A foot: see :func:`foot_point`. A hand: on the floor under the palm.
    The pelvis: at the sit bones. The back: behind the middle of the chest. The depths are our estimates.

    Args:
        name: One of :data:`CONTACTS`.
        motion: Of the chain.
        body: Whose it is.

    Raises:
        ValueError: There is no such contact.
    """
    if name not in CONTACTS:
        raise ValueError(f"there is no contact {name!r}; allowed are {', '.join(CONTACTS)}")
    i = INDEX[CONTACTS[name]]
    origin, tip = motion.position[:, :, i], motion.tip(CONTACTS[name])
    if name.endswith("foot"):
        return foot_point(origin, tip, body)
    if name.endswith("hand"):
        point = 0.5 * (origin + tip)
        return vector(point[..., 0], 0.0, point[..., 2])
    local = (0.0, -0.045, -0.02) if name == "pelvis" else (0.0, 0.1, -0.06)
    rotation = motion.rotation[:, :, i]
    return origin + sum(rotation[..., k] * (local[k] * body.height)[..., None] for k in range(3))


def foot_point(ankle: Array, toe: Array, body: Body) -> Array:
    """Where a foot bears if nothing asks for more: its middle, its ball as the heel rises, its heel as the toes do.

    Args:
        ankle: ``[R, T, 3]``.
        toe: Ball of the foot, ``[R, T, 3]``.
        body: Whose it is.

    Returns:
        On the floor, ``[R, T, 3]``.
    """
    # The middle of a flat foot lies between heel and toes.
    flat = (0.5 - HEEL) / FOREFOOT
    lift = ((ankle[..., 1] - toe[..., 1]) - (body.ankle - body.toe_height)) / 0.02
    up, down = (1.0 - 1.0 / (1.0 + np.maximum(way, 0.0) ** 2) for way in (lift, -lift))
    share = flat + (1.0 - flat) * up - (flat + BACK) * down
    point = ankle + share[..., None] * (toe - ankle)
    return vector(point[..., 0], 0.0, point[..., 2])


def support(activations: Array) -> Array:
    """Share of the needed wrench that contacts can bear: their sum, at most 1.

    Args:
        activations: ``[..., K]``.
    """
    share: Array = np.minimum(activations.sum(-1), 1.0)
    return share


def aims(points: Array, centre: Array, height: Array) -> Array:
    """Horizontal over vertical force that each contact tends to, ``[R, T, K, 3]``.

    Legs push roughly along themselves, so that ground reactions cross above the centre of mass (Maus et al., "Upright
    human gait did not provide a major mechanical challenge for our ancestors", Nat. Commun. 1, 2010); with ``d`` the
    horizontal way from the contact to the centre of mass and ``h`` its height above it, the slope is
    ``AIM d h / (UPRIGHT height)^2``, bounded smoothly by ``FRICTION``: small for a body close to the floor.

    Args:
        points: Of the contacts, ``[R, T, K, 3]``.
        centre: Of mass of the body, ``[R, T, 3]``.
        height: Stature, ``[R, 1]``.
    """
    way = centre[..., None, :] - points
    slope = AIM * np.maximum(way[..., 1:2], 0.0) * way / (UPRIGHT * height[..., None, None]) ** 2
    slope[..., 1] = 0.0
    bounded: Array = slope / np.sqrt(1.0 + dot(slope, slope)[..., None] / FRICTION**2)
    return bounded


def distribute(
    needed: Wrench, points: Array, activations: Array, slopes: Array | float = 0.0, reach: float = REACH
) -> tuple[Array, Array]:
    """Share a wrench among contacts: the least squares of forces and free moments, weighted by activation.

    Minimises ``sum_k (|f_k - F_y w_k t_k|^2 + |n_k|^2 / reach^2) / a_k``, ``w_k = a_k / sum a``, ``t_k`` the slopes,
    subject to ``sum f_k = F`` and ``sum (n_k + p_k x f_k) = M``. With ``r_k`` from the weighted mean of the points and
    ``M'`` the moment about it less that of the slopes' forces, ``sum r_k x w_k F_y t_k``, the solution is

        mu = (sum w_k (reach^2 + |r_k|^2 - r_k r_k^T))^-1 M',
        f_k = w_k (F + mu x r_k + F_y (t_k - sum w t)),  n_k = w_k reach^2 mu,

    all times :func:`support`. This rule is a choice: how people share a load between two feet is not determined by
    mechanics. Contacts may pull if the body is out of balance: :func:`pushed` sees to that.

    Args:
        needed: ``[R, T, 3]`` each.
        points: Of the contacts, ``[R, T, K, 3]``.
        activations: 0 to 1, ``[R, T, K]``.
        slopes: From :func:`aims`; 0 for the plain least squares.
        reach: Metres, above 0.

    Returns:
        Forces and free moments about the points, ``[R, T, K, 3]`` each; zero where a contact is inactive.
    """
    share = support(activations)[..., None]
    whole = activations.sum(-1, keepdims=True)
    weight = (activations / np.where(whole > 0.0, whole, 1.0))[..., None]  # adds up to one
    middle = (weight * points).sum(-2)
    arm = points - middle[..., None, :]
    push = share * needed.force
    tilt = slopes - (weight * slopes).sum(-2, keepdims=True)
    aim = weight * (push[..., None, :] + push[..., None, 1:2] * tilt)
    moment = share * needed.about(middle) - cross(arm, aim).sum(-2)
    spread = (weight[..., 0] * (reach**2 + dot(arm, arm))).sum(-1)
    matrix = spread[..., None, None] * np.eye(3) - np.matmul((weight * arm).swapaxes(-1, -2), arm)
    matrix += (whole[..., None] == 0.0) * np.eye(3)  # nothing is active: any regular matrix will do
    mu = _solve(matrix, moment)[..., None, :]
    return aim + weight * cross(mu, arm), weight * reach**2 * mu


def pushed(
    needed: Wrench, points: Array, activations: Array, slopes: Array | float, may_pull: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Share a wrench as :func:`distribute` does, among contacts that push.

    Where some would pull, the others bear it all; where all would, nobody does, and the wrench is left over.

    Args:
        needed: ``[R, T, 3]`` each.
        points: Of the contacts, ``[R, T, K, 3]``.
        activations: 0 to 1, ``[R, T, K]``.
        slopes: From :func:`aims`.
        may_pull: Which are held down, ``[K]``.

    Returns:
        Forces and free moments about the points, ``[R, T, K, 3]`` each.
    """
    force, free = distribute(needed, points, activations, slopes)
    pulls: NDArray[np.bool_] = (force[..., 1] < 0.0) & ~may_pull
    if pulls.any():
        left = np.where(pulls, 0.0, activations)
        whole = left.sum(-1, keepdims=True)
        left *= support(activations)[..., None] / np.where(whole > 0.0, whole, 1.0)
        again = np.any(pulls, axis=-1, keepdims=True)[..., None]
        other = distribute(needed, points, left, slopes)
        force, free = (np.where(again, b, a) for a, b in zip((force, free), other, strict=True))
        pushes = np.where(may_pull | (force[..., 1] > 0.0), 1.0, 0.0)[..., None]
        force, free = force * pushes, free * pushes
    return force, free


def _solve(matrix: Array, vector: Array) -> Array:
    """Solution of symmetric 3 x 3 systems by the adjugate; positive definite, so the determinant is positive."""
    a, b, c = matrix[..., 0, :], matrix[..., 1, :], matrix[..., 2, :]
    rows = (cross(b, c), cross(c, a), cross(a, b))
    solved = np.stack([dot(row, vector) for row in rows], axis=-1)
    return solved / dot(a, rows[0])[..., None]


@dataclass(frozen=True)
class Pressure:
    """Where a contact's force acts.

    Attributes:
        centre: Point of the contact's horizontal plane about which the moment is vertical, ``[..., 3]``; NaN where the
            vertical force is below ``FIRM``.
        twist: That vertical moment, N m, ``[...]``; zero there.
    """

    centre: Array
    twist: Array


def pressure(point: Array, force: Array, moment: Array) -> Pressure:
    """Centre of pressure from a force and its moment about ``point``, ``[..., 3]`` each."""
    firm = force[..., 1] > FIRM
    up = np.where(firm, force[..., 1], np.nan)
    x, z = moment[..., 2] / up, -moment[..., 0] / up
    twist = moment[..., 1] - (z * force[..., 0] - x * force[..., 2])
    return Pressure(point + vector(x, 0.0, z), np.where(firm, twist, 0.0))
