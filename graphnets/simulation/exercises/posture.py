"""What exercises are put together from: trunks that stand, feet on the floor, legs and arms attached."""

from __future__ import annotations

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body, Frame, foot_vector, trunk, unit
from graphnets.simulation.exercises.base import Controls, Joints
from graphnets.simulation.kinematics import Array, rotation, smooth_min, two_bone, vector


def both(value: Array) -> Array:
    """Give ``[R, F]`` or ``[R, 1]`` values a last axis for left and right."""
    return value[..., None]


def upright(
    body: Body, pelvis: Array, lean: Array, curl: Array, c: Controls, noise: Controls, shrug: Array, gaze: float = 0.45
) -> Frame:
    """A trunk that stands or leans: pelvis, chest and head with sway.

    Args:
        body: Segment lengths.
        pelvis: ``[R, F, 3]``.
        lean: Forward lean of the trunk in radians, ``[R, F]``.
        curl: Rounding of the back, ``[R, F]``: the angle between lower and upper trunk.
        c: Controls; ``head`` is used.
        noise: Smooth noise.
        shrug: Elevation of the shoulder girdles, ``[R, F, 2]``.
        gaze: Share of the lean that the head follows; the rest keeps the eyes ahead.
    """
    whole = lean + noise["lean"]
    chest = rotation(whole + 0.5 * curl, noise["roll"], noise["twist"])
    head = rotation(gaze * whole + c["head"] + noise["head_lean"], noise["roll"], noise["twist"] + noise["head_twist"])
    return trunk(body, pelvis, pelvis_rotation(lean, curl, noise), chest, head, shrug + noise["shrug"])


def pelvis_rotation(lean: Array, curl: Array, noise: Controls) -> Array:
    """Orientation of the pelvis under :func:`upright`."""
    return rotation(lean + noise["lean"] - 0.5 * curl, 0.0, 0.5 * noise["twist"])


def standing_feet(body: Body, half_stance: Array, toe_out: Array) -> tuple[Array, Array]:
    """Ankles and toes of feet that stand flat beside the origin, each ``[R, 1, 2, 3]``.

    Args:
        body: Segment lengths.
        half_stance: Half the distance of the ankles, ``[R, 1]``.
        toe_out: Outward turn of the feet, ``[R, 1]``.
    """
    ankles = vector(LEFT_RIGHT * half_stance[..., None], body.ankle[..., None], 0.0)
    turned = np.broadcast_to(toe_out[..., None], ankles.shape[:-1])
    return ankles, ankles + foot_vector(body, np.zeros_like(turned), turned)


def pelvis_height(x: Array, z: Array, offsets: Array, ankles: Array, reach: Array) -> Array:
    """Greatest height of the pelvis at which both hips are within ``reach`` of their ankles, smoothly.

    Args:
        x: Of the pelvis, ``[R, F]``.
        z: Of the pelvis, ``[R, F]``.
        offsets: From the pelvis to the hips, ``[R, F, 2, 3]``.
        ankles: ``[R, F, 2, 3]``.
        reach: Distance of hip and ankle, ``[R, F, 2]``.

    Returns:
        ``[R, F]``; where both legs would allow the same, some millimetres less.

    Raises:
        ValueError: A foot stands too far away for any height.
    """
    dx, dz = ankles[..., 0] - both(x) - offsets[..., 0], ankles[..., 2] - both(z) - offsets[..., 2]
    square = reach**2 - dx**2 - dz**2
    if np.any(square <= 0):
        raise ValueError(f"a foot is {np.sqrt(np.max(dx**2 + dz**2)):.3f} m from under the hip, out of the leg's reach")
    height = ankles[..., 1] - offsets[..., 1] + np.sqrt(square)
    return smooth_min(height[..., 0], height[..., 1])


def assemble(body: Body, frame: Frame, ankles: Array, toes: Array, knee_hint: Array, arms: tuple[Array, ...]) -> Joints:
    """Put trunk, legs and arms together by joint name.

    Args:
        body: Segment lengths.
        frame: The trunk.
        ankles: ``[R, F, 2, 3]``.
        toes: ``[R, F, 2, 3]``.
        knee_hint: Where the knees point, ``[R, F, 2, 3]``.
        arms: Elbows, wrists and hands, each ``[R, F, 2, 3]``.
    """
    shape = frame.hips.shape
    ankles, toes = np.broadcast_to(ankles, shape), np.broadcast_to(toes, shape)
    knees = two_bone(frame.hips, ankles, knee_hint, body.thigh, body.shank)
    limbs = dict(zip(("elbow", "wrist", "hand"), arms, strict=True))
    limbs |= {"shoulder": frame.shoulders, "hip": frame.hips, "knee": knees, "ankle": ankles, "foot": toes}
    return frame.joints | {
        f"{side}_{name}": x[..., i, :] for name, x in limbs.items() for i, side in enumerate(("left", "right"))
    }


def reach_arm(body: Body, shoulders: Array, wrists: Array, hint: Array) -> tuple[Array, Array, Array]:
    """Arms by inverse kinematics: elbows, wrists and hands that go on along the forearms."""
    elbows = two_bone(shoulders, wrists, hint, body.upper_arm, body.forearm)
    return elbows, wrists, wrists + body.hand[..., None] * unit(wrists - elbows)


def pointing(turn: Array) -> Array:
    """Level unit vectors ``[R, F, 2, 3]`` ahead, turned outwards on each side by ``turn [R, F, 2]`` radians."""
    return vector(LEFT_RIGHT * np.sin(turn), 0.0, np.cos(turn))


def swung(aside: Array, ahead: Array) -> tuple[Array, Array]:
    """Elevation and plane, as :func:`~graphnets.simulation.body.swing_arm` has them, of an arm that hangs.

    Args:
        aside: Of the upper arm from the body, radians; above zero.
        ahead: Of the upper arm forwards, radians; below zero backwards.
    """
    x, z = np.sin(aside), np.sin(ahead)
    return np.arcsin(np.sqrt(x**2 + z**2)), np.arctan2(z, x)
