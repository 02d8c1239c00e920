"""Ground reaction and knee moments of a stance: the targets that recipes of gait data sets have in common."""

from __future__ import annotations

import numpy as np

from graphnets.simulation.knee import knee_moments

KINETICS = ("KFM", "KAM", "vGRF", "apGRF", "mlGRF")
"""The nodes of the skeleton ``kinetics5``, in its order."""
GRAVITY = 9.81


def stance_kinetics(
    force: np.ndarray, centre: np.ndarray, knee: np.ndarray, shank: np.ndarray, mass: float
) -> np.ndarray:
    """Targets of a right leg; mirror a left one before.

    Axes of the room: x forward, y up, z to the right. KFM (flexion positive) and KAM (adduction positive) are the
    external moment of the ground reaction alone, ``(CoP - knee) x GRF`` in the frame of the shank, per mass: without
    weight and inertia of shank and foot and without the free moment. The force is that of the ground on the body: vGRF
    upwards, apGRF forwards (negative while braking), mlGRF towards the other leg, in the axes of the room.

    Args:
        force: On the foot, N, ``[T, 3]``.
        centre: Centre of pressure, metres, ``[T, 3]``; NaN where the foot bears nothing, where both moments are 0.
        knee: Joint centre, metres, ``[T, 3]``; NaN where unknown.
        shank: From :func:`graphnets.data.anatomy.shank_frame`, ``[T, 3, 3]``.
        mass: Of the body, kg.

    Returns:
        ``[T, 5]`` in the order of :data:`KINETICS`: moments in N m/kg, forces in body weights; moments are NaN where
        the knee is unknown.

    Raises:
        ValueError: The mass is no number above 0.
    """
    if not (np.isfinite(mass) and mass > 0):
        raise ValueError(f"mass is {mass!r} kg; allowed is a number above 0")
    kam, kfm = knee_moments(centre[None], force[None], knee[None], shank[None], np.array([[mass]]), "right")
    weights = force / (mass * GRAVITY)
    return np.stack([kfm[0], kam[0], weights[:, 1], weights[:, 0], -weights[:, 2]], axis=1)
