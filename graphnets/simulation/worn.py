"""Sensors worn on the body as nodes of a skeleton graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnets.simulation.imu import IMU
from graphnets.simulation.inverse import PARENT
from graphnets.simulation.kinematics import Array
from graphnets.simulation.landmarks import built_in
from graphnets.simulation.quaternion import matrices
from graphnets.simulation.segments import SIDES
from graphnets.skeleton import Skeleton

TAN = "tan_imu8"
PLACES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "waist": ("pelvis", (0.0, 0.08, -0.10)),
    "chest": ("thorax", (0.0, 0.20, 0.10)),
    "head": ("head", (0.0, 0.15, 0.08)),
    **{
        f"{side}_{node}": (f"{side}_{segment}", at)
        for node, segment, at in (
            ("upper_arm", "upper_arm", (0.0, -0.15, 0.04)),
            ("wrist", "forearm", (0.0, -0.20, 0.03)),
            ("hand", "hand", (0.0, -0.05, 0.02)),
            ("thigh", "thigh", (0.0, -0.20, 0.08)),
            ("shank", "shank", (0.0, -0.15, 0.05)),
            ("foot", "foot", (0.0, -0.02, 0.08)),
        )
        for side in SIDES
    },
}
"""Node -> segment and place on it in metres (x left, y up, z forward when standing); our estimates for any size."""


def worn(nodes: Sequence[str] | None = None, rate: float = 100.0) -> tuple[IMU, ...]:
    """Sensors at named places, with the errors of a usual MEMS part.

    Args:
        nodes: Names of :data:`PLACES`; those of ``tan_imu8`` if None.
        rate: Samples a second.

    Raises:
        ValueError: A place is unknown or there twice, or there is none.
    """
    names = built_in(TAN).joints if nodes is None else tuple(nodes)
    if unknown := [name for name in names if name not in PLACES]:
        raise ValueError(f"no sensor can be worn at {', '.join(map(repr, unknown))}; allowed are {', '.join(PLACES)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"sensors must be at different places, at least one; got {list(names)}")
    return tuple(IMU(PLACES[name][0], PLACES[name][1], rate=rate) for name in names)


def sensor_skeleton(nodes: Sequence[str] | None = None) -> Skeleton:
    """The graph over sensors: each hangs on the nearest one between it and the waist, or else on the first.

    Args:
        nodes: Names of :data:`PLACES`. Those of ``tan_imu8`` in its order, or None, give that skeleton itself.

    Raises:
        ValueError: As for :func:`worn`.
    """
    tan = built_in(TAN)
    if nodes is None or tuple(nodes) == tan.joints:
        return tan
    worn(nodes)
    node_at = {PLACES[name][0]: name for name in nodes}
    parents: dict[str, str | None] = {}
    for name in nodes:
        link: str | None = PARENT.get(PLACES[name][0])
        while link is not None and link not in node_at:
            link = PARENT.get(link)
        parents[name] = node_at[link] if link else None
    roots = [name for name in nodes if parents[name] is None]
    for name in roots[1:]:
        parents[name] = roots[0]
    mirror = [[f"left_{n}", f"right_{n}"] for n in (x.partition("_")[2] for x in nodes if x.startswith("left_"))]
    return Skeleton.from_dict(
        {
            "name": f"imu{len(nodes)}",
            "description": "Inertial sensors; the body between them gives the edges.",
            "joints": list(nodes),
            "parents": parents,
            "mirror": [pair for pair in mirror if set(pair) <= set(nodes)],
        }
    )


def askew(rng: np.random.Generator, sensors: int, degrees: float) -> Array:
    """Rotations of sensors that are mounted askew, ``[K, 3, 3]``.

    Args:
        rng: Source of chance.
        sensors: How many.
        degrees: Standard deviation of the rotation vector's components.
    """
    turn = np.radians(degrees) * rng.standard_normal((1, 1, sensors, 3))
    angle = np.sqrt((turn**2).sum(-1, keepdims=True))
    quaternion = np.concatenate([np.cos(angle / 2.0), 0.5 * np.sinc(angle / (2.0 * np.pi)) * turn], axis=-1)
    return np.ascontiguousarray(matrices(quaternion)[0, 0])
