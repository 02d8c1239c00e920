"""Masses, centres of mass and moments of inertia of the segments.

From de Leva, "Adjustments to Zatsiorsky-Seluyanov's segment inertia parameters", J. Biomech. 29(9), 1996, table 4:
relative masses, centres of mass and radii of gyration, female and male, blended by ``Body.male`` and scaled by our
segment lengths (ends: joint centres; third knuckle; suprasternal notch; heel and longest toe).

Recombined by us: her trunk has three parts (bounded by the notch, xiphoid process, navel and middle of the hips), ours
two. The spine joint cuts her middle part, which we take as evenly filled along its length; then
``I = sum(I_part + m_part d^2)``. Its two pieces give the whole part again. The masses, which add up to 99.99 % for
women, are scaled to the body's. Estimated by us: the ankle's place above the foot, the height of the foot's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphnets.simulation.body import LOWER_TRUNK, Body
from graphnets.simulation.kinematics import Array, vector

SIDES = ("left", "right")
LIMBS = ("upper_arm", "forearm", "hand", "thigh", "shank", "foot")
SEGMENTS = ("pelvis", "thorax", "head", *(f"{side}_{name}" for name in LIMBS for side in SIDES))
"""The 15 segments that have mass."""
LINKS = (*SEGMENTS, "left_clavicle", "right_clavicle")
"""The links of the chain: the segments and two massless ones from the neck to the shoulders, which shrug."""

# Mass (of the body's), centre (from the upper end, of the length), radii of gyration about the sagittal (forward),
# transverse (sideways) and longitudinal axis (of the length); female, male. The foot's centre counts from the heel.
Row = tuple[float, float, float, float, float]
DE_LEVA: dict[str, tuple[Row, Row]] = {
    "head": ((0.0668, 0.5894, 0.330, 0.359, 0.318), (0.0694, 0.5976, 0.362, 0.376, 0.312)),
    "upper_trunk": ((0.1545, 0.2077, 0.746, 0.502, 0.718), (0.1596, 0.2999, 0.716, 0.454, 0.659)),
    "middle_trunk": ((0.1465, 0.4512, 0.433, 0.354, 0.415), (0.1633, 0.4502, 0.482, 0.383, 0.468)),
    "lower_trunk": ((0.1247, 0.4920, 0.433, 0.402, 0.444), (0.1117, 0.6115, 0.615, 0.551, 0.587)),
    "upper_arm": ((0.0255, 0.5754, 0.278, 0.260, 0.148), (0.0271, 0.5772, 0.285, 0.269, 0.158)),
    "forearm": ((0.0138, 0.4559, 0.261, 0.257, 0.094), (0.0162, 0.4574, 0.276, 0.265, 0.121)),
    "hand": ((0.0056, 0.7474, 0.531, 0.454, 0.335), (0.0061, 0.7900, 0.628, 0.513, 0.401)),
    "thigh": ((0.1478, 0.3612, 0.369, 0.364, 0.162), (0.1416, 0.4095, 0.329, 0.329, 0.149)),
    "shank": ((0.0481, 0.4352, 0.267, 0.263, 0.092), (0.0433, 0.4395, 0.251, 0.246, 0.102)),
    "foot": ((0.0129, 0.4014, 0.299, 0.279, 0.139), (0.0137, 0.4415, 0.257, 0.245, 0.124)),
}
# Share of the trunk (notch to middle of the hips) that each of its parts is long: upper, middle, lower.
TRUNK_PARTS = (np.array([142.5, 205.3, 181.5]) / 529.3, np.array([170.7, 215.5, 145.7]) / 531.9)
HEAD_LENGTH = (0.1154, 0.1168)  # vertex to the middle of the gonia, fraction of stature
HEAD_CENTRE = (1.159, 1.107)  # centre of mass above the notch, fraction of our neck; from her vertex-cervicale lengths
FOREFOOT = 0.55  # our ankle to the ball of the foot, fraction of heel to longest toe
HEEL = 0.20  # heel behind the ankle, the same fraction


@dataclass(frozen=True)
class Inertia:
    """Mass properties of the links of ``R`` people, in the order of :data:`LINKS`.

    Segment frames coincide with the world's when a person stands upright with hanging arms and faces z: x left, y up,
    z forward. Origins: middle of the hips, spine joint, neck, shoulder, elbow, wrist, hip, knee, ankle.

    Attributes:
        mass: kg, ``[R, L]``; zero for massless links.
        centre: Centre of mass from the origin in the segment frame, metres, ``[R, L, 3]``.
        moments: Principal moments about the centre of mass along the frame's axes, kg m^2, ``[R, L, 3]``.
    """

    mass: Array
    centre: Array
    moments: Array


def _blend(body: Body, name: str) -> Array:
    """Row of the table for each person: five columns ``[R]`` each."""
    female, male = (np.array(row)[:, None] for row in DE_LEVA[name])
    blended: Array = female + (male - female) * body.male[:, 0]
    return blended


def trunk_parts(body: Body) -> tuple[Array, Array, Array]:
    """The trunk cut at navel, spine joint and xiphoid, from below: four pieces whose sum is her trunk.

    Args:
        body: Of ``R`` people.

    Returns:
        Relative mass ``[4, R]``, height of the centre above the hips ``[4, R]`` and squared radii of gyration about
        (x, y, z) ``[4, R, 3]``, in units of the length of the trunk.
    """
    upper, middle, lower = (_blend(body, f"{part}_trunk") for part in ("upper", "middle", "lower"))
    share = TRUNK_PARTS[0][:, None] + (TRUNK_PARTS[1] - TRUNK_PARTS[0])[:, None] * body.male[:, 0]
    navel, xiphoid = share[2], share[2] + share[1]
    cut = (LOWER_TRUNK - navel) / share[1]  # share of the middle part below the spine joint
    off = (0.5 - middle[1]) * share[1]  # her centre lies above the middle of the part
    mass = np.stack([lower[0], cut * middle[0], (1.0 - cut) * middle[0], upper[0]])
    centre = np.stack(
        [
            (1.0 - lower[1]) * share[2],
            0.5 * (navel + LOWER_TRUNK) + off,
            0.5 * (LOWER_TRUNK + xiphoid) + off,
            1.0 - upper[1] * share[0],
        ]
    )
    square = np.stack([_square(part, share[i]) for part, i in ((lower, 2), (middle, 1), (middle, 1), (upper, 0))])
    # A shorter piece of a homogeneous body: less of the L^2 / 12 of its length.
    for piece, part_of in ((1, cut), (2, 1.0 - cut)):
        square[piece][:, [0, 2]] += ((part_of**2 - 1.0) * share[1] ** 2 / 12.0)[:, None]
    return mass, centre, square


def _square(row: Array, length: Array) -> Array:
    """Squared radii of gyration about x (transverse), y (longitudinal), z (sagittal), ``[R, 3]``."""
    return np.stack([row[3], row[4], row[2]], axis=-1) ** 2 * length[:, None] ** 2


def _combine(mass: Array, centre: Array, square: Array) -> tuple[Array, Array, Array]:
    """Mass ``[R]``, centre ``[R]`` and squared radii ``[R, 3]`` of pieces on one longitudinal axis."""
    total = mass.sum(0)
    middle = (mass * centre).sum(0) / total
    spread = (mass * (centre - middle) ** 2).sum(0) / total
    radii: Array = (mass[..., None] * square).sum(0) / total[:, None]
    return total, middle, radii + spread[:, None] * np.array([1.0, 0.0, 1.0])


def inertia(body: Body) -> Inertia:
    """Mass properties of people.

    Args:
        body: Segment lengths, mass and sex of ``R`` people.

    Returns:
        One row a person; the masses add up to the body's.
    """
    height, people = body.height[:, 0], len(body.height)
    mass, centre, square = (np.zeros(shape) for shape in ((people, 17), (people, 17, 3), (people, 17, 3)))
    parts, length = trunk_parts(body), body.trunk[:, 0]
    for i, pieces in enumerate((slice(0, 2), slice(2, 4))):
        mass[:, i], level, radii = _combine(*(part[pieces] for part in parts))
        centre[:, i, 1] = (level - i * LOWER_TRUNK) * length
        square[:, i] = radii * length[:, None] ** 2
    sex = body.male[:, 0]
    row = _blend(body, "head")
    mass[:, 2] = row[0]
    centre[:, 2, 1] = (HEAD_CENTRE[0] + (HEAD_CENTRE[1] - HEAD_CENTRE[0]) * sex) * body.neck[:, 0]
    square[:, 2] = _square(row, (HEAD_LENGTH[0] + (HEAD_LENGTH[1] - HEAD_LENGTH[0]) * sex) * height)
    for side in range(2):
        for name in ("upper_arm", "forearm", "hand", "thigh", "shank"):
            at, bone, row = LINKS.index(f"{SIDES[side]}_{name}"), getattr(body, name)[:, 0, side], _blend(body, name)
            mass[:, at], centre[:, at, 1], square[:, at] = row[0], -row[1] * bone, _square(row, bone)
        at, row, bone = LINKS.index(f"{SIDES[side]}_foot"), _blend(body, "foot"), body.forefoot[:, 0] / FOREFOOT
        mass[:, at] = row[0]
        centre[:, at] = vector(0.0, -0.5 * body.ankle[:, 0], (row[1] - HEEL) * bone)
        square[:, at] = _square(row, bone)[:, [0, 2, 1]]  # the foot's length lies along z
    mass *= body.mass / mass.sum(1, keepdims=True)
    return Inertia(mass, centre, mass[..., None] * square)
