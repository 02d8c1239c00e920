"""External knee moments: adduction (KAM) and flexion (KFM)."""

from __future__ import annotations

import numpy as np

from graphnets.simulation.chain import apply_back
from graphnets.simulation.kinematics import Array
from graphnets.simulation.quaternion import cross


def knee_moments(centre: Array, force: Array, knee: Array, shank: Array, mass: Array, side: str) -> tuple[Array, Array]:
    """Moment of the ground reaction force about the knee, in the frame of the shank, per body mass.

    ``M = (CoP - knee) x GRF``, as in Tan et al., "IMU and smartphone camera fusion for knee adduction and knee flexion
    moment estimation during walking", IEEE Trans. Ind. Inform. 19(2), 2023: without the weight and inertia of shank and
    foot and without the free vertical moment. Shank frame: x left (the hinge), y up, z forward.

    - KFM = ``M_x``: a force that passes behind the knee turns the lower end of the shank backwards: flexion, positive.
    - KAM = ``M_z`` on the right, ``-M_z`` on the left: a force that passes medially (right: towards +x) turns the lower
      end of the shank towards the other leg: adduction, positive.

    Args:
        centre: Centre of pressure, ``[R, T, 3]``; NaN where the foot bears nothing.
        force: On the foot, N, ``[R, T, 3]``.
        knee: Joint centre, ``[R, T, 3]``.
        shank: Rotation from shank to world, ``[R, T, 3, 3]``.
        mass: Of the body, kg, ``[R, 1]``.
        side: ``left`` or ``right``.

    Returns:
        KAM and KFM in N m/kg, ``[R, T]`` each; zero where the foot bears nothing.

    Raises:
        ValueError: The side is neither.
    """
    if side not in ("left", "right"):
        raise ValueError(f"side is {side!r}; allowed are left and right")
    bears = np.isfinite(centre).all(-1, keepdims=True)
    arm = np.where(bears, centre - knee, 0.0)
    moment = apply_back(shank, cross(arm, force)) / mass[..., None]
    return (1.0 if side == "right" else -1.0) * moment[..., 2], moment[..., 0]
