"""Biceps curl: both forearms are lifted from hanging arms to the shoulders and lowered, standing still."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body, hip_offsets, shortest, swing_arm
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import (
    assemble,
    both,
    pelvis_height,
    pelvis_rotation,
    pointing,
    standing_feet,
    swung,
    upright,
)
from graphnets.simulation.kinematics import Array, quintic, smooth_min, span, vector

FOLDED = np.radians(138.0)
"""Flexion beyond which the muscles of an arm are in the way."""


class BicepsCurl(Exercise):
    """The elbows bend beside the trunk. What the hands hold has no mass here."""

    name = "biceps_curl"
    title = "Biceps curl"
    focus = 0.52
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(2.7, 0.4, 0.18, 1.7, 4.2, "s", "-tempo"),
        "up": Control(0.40, 0.03, 0.015, 0.32, 0.47),
        "hold": Control(0.07, 0.025, 0.012, 0.02, 0.16),
        "top": Control(126.0, 5.0, 2.5, 114.0, 134.0, "deg"),
        "elbow": Control(14.0, 4.0, 2.0, 6.0, 24.0, "deg", "-flexibility"),
        "uneven": Control(0.0, 3.0, 2.0, -8.0, 8.0, "deg"),
        "drift": Control(8.0, 3.0, 1.5, 0.0, 16.0, "deg", "-strength"),
        "aside": Control(8.0, 2.5, 1.0, 3.0, 15.0, "deg"),
        "momentum": Control(1.5, 1.0, 0.5, 0.0, 4.0, "deg", "-strength"),
        "stance": Control(0.075, 0.012, 0.002, 0.050, 0.105, "height", "stance"),
        "toe_out": Control(10.0, 5.0, 1.0, 0.0, 22.0, "deg"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "trunk_swing": Mistake("The trunk swings back to throw the weight up.", {"momentum": (5.0, 17.0)}),
        "elbows_forward": Mistake("The elbows travel far forward.", {"drift": (12.0, 48.0)}),
        "not_high_enough": Mistake("The hands stop far from the shoulders.", {"top": (-18.0, -62.0)}),
        "not_straightened": Mistake("The arms stay bent at the lower end.", {"elbow": (14.0, 48.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        high = quintic(u, [0.05, c["up"], c["up"] + c["hold"], 0.95], [0.0, 1.0, 1.0, 0.0])
        # First a nod forward, then the throw back; gone by the time that the hands have arrived.
        early = 0.05 + 0.35 * (c["up"] - 0.05)
        throw = quintic(u, [0.02, early, c["up"], c["up"] + 0.22], [0.0, -0.25, 1.0, 0.0])
        ankles, toes = standing_feet(body, c["stance"], c["toe_out"])
        thigh, shank = shortest(body.thigh, body.shank)
        lean = c["posture"] - c["momentum"] * throw
        curl = np.radians(4.0) - 0.5 * c["momentum"] * throw
        # The hips go forward under a trunk that leans back.
        z = 0.012 * body.height + 0.12 * body.height * np.sin(c["momentum"]) * throw + noise["sway_z"]
        x = noise["sway_x"]
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        knee = c["straight_knee"] - 0.4 * c["momentum"] * np.abs(throw) ** 3 + noise["knee"]
        y = pelvis_height(x, z, offsets, ankles, both(span(knee, thigh, shank)))
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, np.zeros(2), gaze=0.7)
        ahead = both(np.radians(-1.0) + c["drift"] * high - 0.6 * c["momentum"] * throw) + 0.6 * noise["arm"]
        elevation, plane = swung(both(c["aside"]) + 0.2 * noise["plane"], ahead)
        bend = both(c["elbow"] + (c["top"] - c["elbow"]) * high) + 0.5 * LEFT_RIGHT * both(c["uneven"] * high)
        bend = smooth_min(bend + noise["elbow"], FOLDED, 0.06)
        arms = swing_arm(body, frame.shoulders, elevation, plane, bend)
        return assemble(body, frame, ankles, toes, pointing(both(c["toe_out"]) + np.zeros(2)), arms)
