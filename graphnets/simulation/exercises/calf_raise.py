"""Calf raise: both heels rise until the body stands on the balls of the feet, and sink again."""

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
from graphnets.simulation.kinematics import Array, quintic, span, vector


class CalfRaise(Exercise):
    """The feet turn about their toes, which stay where they are; the body moves forward until it is above them."""

    name = "calf_raise"
    title = "Calf raise"
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(2.4, 0.35, 0.15, 1.6, 3.8, "s", "-tempo"),
        "up": Control(0.40, 0.03, 0.015, 0.32, 0.46),
        "hold": Control(0.10, 0.03, 0.015, 0.03, 0.20),
        "heel": Control(37.0, 4.0, 2.0, 28.0, 46.0, "deg", "strength"),
        "uneven": Control(0.0, 0.05, 0.02, -0.12, 0.12),
        "weaker_left": Control(0.5, 0.6, 0.0, 0.0, 1.0),
        "bend": Control(0.0, 1.5, 1.0, -2.0, 4.0, "deg"),
        "lean": Control(1.0, 1.5, 0.7, -2.0, 5.0, "deg"),
        "stance": Control(0.062, 0.010, 0.002, 0.045, 0.09, "height", "stance"),
        "toe_out": Control(8.0, 4.0, 1.0, 0.0, 20.0, "deg"),
        "arms": Control(10.0, 3.0, 1.0, 6.0, 18.0, "deg"),
        "elbow": Control(15.0, 5.0, 2.0, 6.0, 30.0, "deg"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "not_high_enough": Mistake("The heels stay close to the floor.", {"heel": (-9.0, -27.0)}),
        "knees_bent": Mistake("The knees bend to help the heels up.", {"bend": (8.0, 34.0)}),
        "asymmetric": Mistake("One heel rises less than the other.", {"uneven": (0.2, 0.75)}),
        "trunk_bent": Mistake("The trunk bends forward.", {"lean": (8.0, 26.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        high = quintic(u, [0.05, c["up"], c["up"] + c["hold"], 0.95], [0.0, 1.0, 1.0, 0.0])
        _, toes = standing_feet(body, c["stance"], c["toe_out"])
        weaker = np.where(c["weaker_left"] > 0.5, 1.0, 0.0)
        share = 1.0 - np.stack([weaker, 1.0 - weaker], axis=-1) * both(c["uneven"])
        pitch = both(c["heel"] * high + 0.4 * noise["knee"] * high) * share
        ankles = toes - foot_vector(body, pitch, both(c["toe_out"]) + np.zeros_like(pitch))
        thigh, shank = shortest(body.thigh, body.shank)
        rest = 0.3 * body.forefoot
        x, z = noise["sway_x"], rest + (0.85 * body.forefoot - rest) * high + noise["sway_z"] * (1.0 - 0.5 * high)
        lean = c["posture"] + c["lean"] * high
        curl = np.radians(4.0) + 0.3 * c["lean"] * high
        # A trunk that bends forward takes the hips back, or the body would fall.
        z = z - 0.14 * body.height * np.sin(np.maximum(c["lean"], 0.0)) * high
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        knee = c["straight_knee"] - np.maximum(c["bend"], 0.0) * high + noise["knee"]
        y = pelvis_height(x, z, offsets, ankles, both(span(knee, thigh, shank)))
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, np.zeros(2))
        raised, bend = both(c["arms"]) + noise["arm"], both(c["elbow"]) + noise["elbow"]
        arms = swing_arm(body, frame.shoulders, raised, np.radians(30.0) + noise["plane"], bend)
        return assemble(body, frame, ankles, toes, pointing(both(c["toe_out"]) + np.zeros(2)), arms)
