"""Arm raise: both arms from the sides to overhead and back, standing still."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import Body, hip_offsets, shortest, swing_arm
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


class ArmRaise(Exercise):
    """The arms rise in a plane between sideways and ahead; the shoulder girdle lifts with them."""

    name = "arm_raise"
    title = "Arm raise"
    focus = 0.58
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(3.1, 0.45, 0.2, 1.9, 4.8, "s", "-tempo"),
        "up": Control(0.40, 0.03, 0.015, 0.32, 0.47),
        "hold": Control(0.10, 0.03, 0.015, 0.03, 0.2),
        "arms": Control(164.0, 6.0, 3.0, 150.0, 176.0, "deg", "flexibility"),
        "plane": Control(28.0, 14.0, 3.0, 2.0, 60.0, "deg"),
        "elbow": Control(12.0, 4.0, 2.0, 4.0, 24.0, "deg"),
        "bend": Control(2.0, 4.0, 2.0, -4.0, 12.0, "deg"),
        "uneven": Control(0.0, 3.0, 2.0, -8.0, 8.0, "deg"),
        "weaker_left": Control(0.5, 0.6, 0.0, 0.0, 1.0),
        "girdle": Control(14.0, 3.0, 1.0, 8.0, 20.0, "deg"),
        "shrug": Control(0.0, 1.5, 1.0, -2.0, 4.0, "deg"),
        "back": Control(3.0, 2.0, 0.7, 0.0, 8.0, "deg", "-flexibility"),
        "stance": Control(0.075, 0.012, 0.002, 0.050, 0.105, "height", "stance"),
        "toe_out": Control(12.0, 5.0, 1.0, 2.0, 25.0, "deg"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "not_high_enough": Mistake("The arms stop far from overhead.", {"arms": (-20.0, -75.0)}),
        "elbows_bent": Mistake("The elbows bend as the arms rise.", {"bend": (20.0, 62.0)}),
        "asymmetric": Mistake("One arm stays behind the other.", {"uneven": (18.0, 60.0)}),
        "shrug": Mistake("The shoulders are pulled up to the ears.", {"shrug": (9.0, 22.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        high = quintic(u, [0.04, c["up"], c["up"] + c["hold"], 0.95], [0.0, 1.0, 1.0, 0.0])
        ankles, toes = standing_feet(body, c["stance"], c["toe_out"])
        thigh, shank = shortest(body.thigh, body.shank)
        lean = c["posture"] - c["back"] * high
        curl = np.radians(4.0) * (1.0 - high)
        x, z = noise["sway_x"] + 0.0 * high, 0.012 * body.height + noise["sway_z"]
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        reach = both(span(c["straight_knee"] + noise["knee"], thigh, shank))
        y = pelvis_height(x, z, offsets, ankles, reach)
        # Which arm is weaker belongs to the person, by how much to the repetition.
        weaker = np.where(c["weaker_left"] > 0.5, 1.0, 0.0)
        lag = np.stack([weaker, 1.0 - weaker], axis=-1) * both(c["uneven"])
        raised = np.radians(9.0) + (both(c["arms"]) - lag - np.radians(9.0)) * both(high) + noise["arm"]
        girdle = both(c["girdle"] * high**2 + c["shrug"] * quintic(u, [0.03, 0.2, 0.75, 0.97], [0.0, 1.0, 1.0, 0.0]))
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, girdle + np.zeros(2))
        bend = both(c["elbow"] + c["bend"] * high) + noise["elbow"]
        arms = swing_arm(body, frame.shoulders, raised, both(c["plane"]) + noise["plane"], bend)
        return assemble(body, frame, ankles, toes, pointing(both(c["toe_out"]) + np.zeros(2)), arms)
