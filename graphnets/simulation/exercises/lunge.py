"""Forward lunge: step ahead, lower the body between both feet, rise and step back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import Body, foot_vector, hip_offsets, shortest, swing_arm
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import (
    assemble,
    both,
    pelvis_height,
    pelvis_rotation,
    pointing,
    standing_feet,
    upright,
)
from graphnets.simulation.kinematics import Array, quintic, smooth_min, span, vector


class Lunge(Exercise):
    """The toes of the rear foot stay where they are while its heel rises; the leading foot moves only in the air."""

    name = "lunge"
    title = "Lunge"
    balanced = True
    rounds, steps = 1, 4
    ease = 0.15
    play = (0.02, 0.10)
    ahead = 0.05
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(3.4, 0.45, 0.2, 2.2, 4.9, "s", "-tempo"),
        "leads_left": Control(0.5, 0.2, 0.6, 0.0, 1.0),
        "step": Control(0.45, 0.015, 0.008, 0.41, 0.49, "height", "flexibility"),
        "depth": Control(0.98, 0.05, 0.025, 0.84, 1.06, "", "flexibility"),
        "knee": Control(94.0, 3.0, 1.0, 88.0, 101.0, "deg"),
        "shin": Control(4.0, 3.5, 2.0, -4.0, 14.0, "deg"),
        "lean": Control(5.0, 3.0, 1.5, -1.0, 14.0, "deg"),
        "curl": Control(6.0, 3.0, 1.0, 0.0, 14.0, "deg"),
        "heel": Control(58.0, 4.0, 2.0, 48.0, 68.0, "deg"),
        "lift": Control(0.055, 0.010, 0.004, 0.035, 0.08, "height"),
        "stance": Control(0.070, 0.010, 0.002, 0.050, 0.095, "height", "stance"),
        "toe_out": Control(5.0, 3.0, 0.5, -2.0, 12.0, "deg"),
        "arms": Control(17.0, 6.0, 2.0, 10.0, 32.0, "deg"),
        "elbow": Control(30.0, 14.0, 4.0, 8.0, 65.0, "deg"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "not_low_enough": Mistake(
            "The body is lowered only part of the way, after a shorter step.",
            {"depth": (-0.2, -0.6), "step": (-0.02, -0.10)},
        ),
        "knee_passes_toe": Mistake(
            "After a short step the leading knee travels past the toes.",
            {"shin": (14.0, 27.0), "step": (-0.03, -0.08), "knee": (-3.0, -12.0)},
        ),
        "trunk_bent": Mistake(
            "The trunk bends forward over the leading leg.", {"lean": (13.0, 38.0), "curl": (2.0, 14.0)}
        ),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        left = np.where(c["leads_left"] > 0.5, 1.0, 0.0)
        lead = np.stack([left, 1.0 - left], axis=-1)  # [R, 1, 2]: one for the leading leg
        ankles, toes, pitch = self._feet(body, c, u, lead)
        low = quintic(u, [0.21, 0.49, 0.52, 0.80], [0.0, 1.0, 1.0, 0.0])
        ahead = quintic(u, [0.21, 0.44, 0.57, 0.80], [0.0, 1.0, 1.0, 0.0])
        thigh, shank = shortest(body.thigh, body.shank)
        # Where the hips are at the lowest point follows from the leading leg.
        fold = np.pi - c["knee"] - c["shin"]
        low_z = c["step"] + shank * np.sin(c["shin"]) - thigh * np.sin(fold)
        low_y = body.ankle + shank * np.cos(c["shin"]) + thigh * np.cos(fold)
        stand = body.ankle + span(c["straight_knee"], thigh, shank)
        x = noise["sway_x"] + noise["shift_x"]
        z = 0.01 * body.height + (low_z - 0.01 * body.height) * ahead + noise["sway_z"] + noise["shift_z"]
        lean = c["posture"] + c["lean"] * low
        curl = c["curl"] * (0.4 + 0.6 * low)
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        ceiling = pelvis_height(x, z, offsets, ankles, both(span(c["straight_knee"] + noise["knee"], thigh, shank)))
        y = smooth_min(stand + c["depth"] * (low_y - stand) * low, ceiling, 0.005)
        y = np.where(noise["level"] > 0.0, noise["level"], y)
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, np.zeros(2), gaze=0.3)
        arms = swing_arm(
            body,
            frame.shoulders,
            both(c["arms"]) + noise["arm"],
            np.radians(25.0) + noise["plane"],
            both(c["elbow"]) + noise["elbow"],
        )
        # The knee of the raised rear foot points where the toes do.
        hint = pointing(both(c["toe_out"]) + 0.0 * pitch) - vector(0.0, 0.3 * np.sin(pitch), 0.0)
        return assemble(body, frame, ankles, toes, hint, arms)

    def contacts(self, body: Body, controls: Controls, time: Array) -> dict[str, Array]:
        """The rear foot; the leading one while it is not in the air."""
        u = np.minimum(time / controls["duration"], 1.0)
        left = np.where(controls["leads_left"] > 0.5, 1.0, 0.0)
        down = quintic(
            u, [0.09, 0.14, 0.385, 0.415, 0.595, 0.625, 0.87, 0.92], [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
        )
        # The fall ahead is caught by the leading leg, which also starts the way back.
        rear = quintic(u, [0.39, 0.42, 0.44, 0.50, 0.51, 0.57, 0.59, 0.62], [1.0, 0.2, 0.2, 1.0, 1.0, 0.2, 0.2, 1.0])
        return {"left_foot": left * down + (1.0 - left) * rear, "right_foot": (1.0 - left) * down + left * rear}

    def _feet(self, body: Body, c: Controls, u: Array, lead: Array) -> tuple[Array, Array, Array]:
        """Ankles and toes ``[R, F, 2, 3]``, and the rise of the heels ``[R, F, 2]``."""
        _, stand = standing_feet(body, c["stance"], c["toe_out"])
        # A foot leaves the floor before it travels and has arrived before it lands.
        travel = quintic(u, [0.17, 0.395, 0.615, 0.84], [0.0, 1.0, 1.0, 0.0])
        air = quintic(u, [0.14, 0.25, 0.40, 0.61, 0.76, 0.87], [0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
        rear = quintic(u, [0.12, 0.47, 0.54, 0.90], [0.0, 1.0, 1.0, 0.0])
        pitch = (1.0 - lead) * both(c["heel"] * rear) + lead * both(np.radians(16.0) * air)
        toe_out = np.broadcast_to(both(c["toe_out"]), pitch.shape)
        moved = vector(0.0, lead * both(c["lift"] * air), lead * both(c["step"] * travel))
        toes = stand + moved
        return toes - foot_vector(body, pitch, toe_out), toes, pitch
