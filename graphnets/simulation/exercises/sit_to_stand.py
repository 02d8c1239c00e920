"""Sit to stand: from a chair to standing and back, arms crossed on the chest as in the clinical test."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body, Frame, hip_offsets, shortest
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import (
    assemble,
    both,
    pelvis_height,
    pelvis_rotation,
    pointing,
    reach_arm,
    standing_feet,
    upright,
)
from graphnets.simulation.kinematics import Array, quintic, rotate, span, two_bone, vector, within_reach


class SitToStand(Exercise):
    """The trunk bends forward, the hips leave the seat, body and legs straighten; then all of it backwards.

    The phases follow Schenkman et al., "Whole-body movements during rising to standing from sitting", Phys. Ther.
    70(10), 1990: flexion momentum, momentum transfer, extension, stabilisation.
    """

    name = "sit_to_stand"
    title = "Sit to stand"
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(3.6, 0.45, 0.2, 2.4, 4.9, "s", "-tempo"),
        "rise": Control(0.18, 0.02, 0.008, 0.13, 0.23),
        "seat_knee": Control(86.0, 4.0, 1.0, 76.0, 96.0, "deg"),
        "seat_shin": Control(15.0, 3.0, 1.0, 8.0, 22.0, "deg"),
        "shin": Control(9.0, 2.5, 1.0, 4.0, 15.0, "deg", "flexibility"),
        "swing": Control(36.0, 4.0, 2.0, 26.0, 46.0, "deg", "-strength"),
        "finish": Control(0.0, 2.0, 1.0, -4.0, 0.5, "deg"),
        "stoop": Control(0.0, 1.0, 0.7, -2.0, 3.0, "deg"),
        "curl": Control(9.0, 4.0, 1.0, 0.0, 18.0, "deg"),
        "stance": Control(0.075, 0.010, 0.002, 0.055, 0.10, "height", "stance"),
        "toe_out": Control(10.0, 5.0, 1.0, 0.0, 22.0, "deg"),
        "push": Control(0.0, 0.0, 0.0, 0.0, 0.0),
        "release": Control(0.27, 0.015, 0.01, 0.23, 0.31),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "uses_arms": Mistake(
            "The hands push on the thighs.", {"push": (0.92, 1.0), "release": (0.0, 0.10), "swing": (0.0, 8.0)}
        ),
        "trunk_swing": Mistake(
            "The trunk is thrown far forward to gain momentum.", {"swing": (8.0, 21.0), "curl": (2.0, 10.0)}
        ),
        "incomplete_stand": Mistake(
            "Knees and hips never straighten.", {"finish": (-14.0, -45.0), "stoop": (5.0, 20.0)}
        ),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        # The trunk is bent farthest as the hips leave the seat and upright before the legs are: the centre of pressure
        # then stays within the feet.
        rise = c["rise"]
        up = quintic(u, [rise, 0.51, 0.52, 1.02 - rise], [0.0, 1.0, 1.0, 0.0])
        bow = quintic(u, [0.0, rise, 0.44, 0.59, 1.0 - rise, 1.0], [0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
        thigh, shank = shortest(body.thigh, body.shank)
        knee = c["seat_knee"] + (c["straight_knee"] + c["finish"] - c["seat_knee"]) * up + noise["knee"] * up
        end_shin = np.radians(3.0) - 0.35 * np.minimum(c["finish"], 0.0)
        shin = c["seat_shin"] + (end_shin - c["seat_shin"]) * up + c["shin"] * 4.0 * up * (1.0 - up)
        x = noise["sway_x"] * up
        z = shank * np.sin(shin) - thigh * np.sin(np.pi - knee - shin) + noise["sway_z"] * up
        lean = c["posture"] + c["swing"] * bow + c["stoop"] * up
        curl = c["curl"] * (0.5 + 0.5 * bow)
        ankles, toes = standing_feet(body, c["stance"], c["toe_out"])
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        y = pelvis_height(x, z, offsets, ankles, both(span(knee, thigh, shank)))
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, np.zeros(2))
        hint = pointing(both(c["toe_out"]) + np.zeros(2))
        knees = two_bone(frame.hips, np.broadcast_to(ankles, frame.hips.shape), hint, body.thigh, body.shank)
        push = c["push"] * quintic(
            u,
            [0.02, 0.15, c["release"], c["release"] + 0.16, 0.60, 0.74, 0.84, 0.98],
            [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        )
        return assemble(body, frame, ankles, toes, hint, self._arms(body, frame, knees, push))

    def contacts(self, body: Body, controls: Controls, time: Array) -> dict[str, Array]:
        """Both feet; the seat until the hips leave it, and again when they are back."""
        u = np.minimum(time / controls["duration"], 1.0)
        off, back = controls["rise"], 1.02 - controls["rise"]  # when the hips begin and end to travel
        seat = quintic(u, [off - 0.05, off + 0.05, back - 0.05, back + 0.05], [1.0, 0.0, 0.0, 1.0])
        return super().contacts(body, controls, time) | {"pelvis": seat}

    def _arms(self, body: Body, frame: Frame, knees: Array, push: Array) -> tuple[Array, Array, Array]:
        """Wrists crossed in front of the chest, drawn to the thighs by ``push [R, F]``."""
        size = body.height[..., None]
        # The right forearm lies on the left one.
        across = vector(-0.045 * LEFT_RIGHT * size, -0.06 * size, size * np.array([0.075, 0.095]))
        chest = frame.joints["neck"][..., None, :] + rotate(frame.chest[..., None, :, :], across)
        thighs = frame.hips + 0.72 * (knees - frame.hips) + vector(0.0, 0.035 * size, 0.0)
        aim = chest + both(both(push)) * (thighs - chest)
        arm = 0.985 * (body.upper_arm + body.forearm)
        hint = vector(0.7 * LEFT_RIGHT, -0.9 + 0.5 * both(push), -0.35 - 0.35 * both(push))
        return reach_arm(body, frame.shoulders, within_reach(frame.shoulders, aim, arm), hint)
