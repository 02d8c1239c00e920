"""Squat: sit back and down between planted feet, arms ahead, and rise again."""

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

# Shares of body mass (head, trunk and arms; thighs; shanks), mean of the sexes of de Leva (1996), and the height of
# the first one's centre of mass above the hips as a fraction of stature. They set how far a balanced squat leans.
UPPER_MASS, THIGH_MASS, SHANK_MASS, UPPER_CENTRE = 0.60, 0.289, 0.091, 0.199


class Squat(Exercise):
    """Knee and ankle angles place the hips; the trunk leans so that the centre of mass stays above the feet."""

    name = "squat"
    title = "Squat"
    balanced = True
    rounds, steps = 1, 4
    play = (0.02, 0.03)
    ahead = -0.02
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(3.0, 0.45, 0.2, 1.7, 4.6, "s", "-tempo"),
        "down": Control(0.42, 0.03, 0.015, 0.34, 0.48),
        "hold": Control(0.07, 0.025, 0.015, 0.02, 0.16),
        "depth": Control(84.0, 8.0, 4.0, 64.0, 102.0, "deg", "-flexibility"),
        "shin": Control(29.0, 3.0, 1.0, 22.0, 36.0, "deg", "flexibility"),
        "stance": Control(0.100, 0.010, 0.002, 0.080, 0.125, "height", "stance"),
        "toe_out": Control(18.0, 4.0, 1.0, 11.0, 30.0, "deg", "stance"),
        "knee_in": Control(0.0, 2.5, 1.5, -6.0, 5.0, "deg", "-strength"),
        "lean": Control(0.0, 4.0, 2.0, -9.0, 10.0, "deg"),
        "curl": Control(8.0, 4.0, 1.0, 0.0, 18.0, "deg"),
        "arms": Control(78.0, 12.0, 4.0, 45.0, 96.0, "deg"),
        "elbow": Control(18.0, 7.0, 3.0, 6.0, 40.0, "deg"),
        "shift": Control(0.0, 0.006, 0.003, -0.015, 0.015, "height"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "knees_inward": Mistake("The knees fall in towards each other.", {"knee_in": (8.0, 22.0)}),
        "not_low_enough": Mistake("The hips stay far above the knees.", {"depth": (16.0, 50.0)}),
        "front_bent": Mistake("The trunk bends far forward.", {"lean": (10.0, 24.0), "curl": (2.0, 14.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        low = quintic(u, [0.04, c["down"], c["down"] + c["hold"], 0.96], [0.0, 1.0, 1.0, 0.0])
        thigh, shank = shortest(body.thigh, body.shank)
        knee = c["straight_knee"] + (c["depth"] - c["straight_knee"]) * low + noise["knee"]
        shin = np.radians(3.0) + (c["shin"] - np.radians(3.0)) * low
        z = shank * np.sin(shin) - thigh * np.sin(np.pi - knee - shin) + noise["sway_z"] + noise["shift_z"]
        x = c["shift"] * low + noise["sway_x"] + noise["shift_x"]
        lean = c["posture"] + (balanced_lean(body, c) + c["lean"] - c["posture"]) * low
        curl = c["curl"] * (0.4 + 0.6 * low)
        ankles, toes = standing_feet(body, c["stance"], c["toe_out"])
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        y = pelvis_height(x, z, offsets, ankles, both(span(knee, thigh, shank)))
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, np.zeros(2))
        raised = both(np.radians(9.0) + (c["arms"] - np.radians(9.0)) * low) + noise["arm"]
        plane = both(np.radians(50.0) + np.radians(34.0) * low) + noise["plane"]
        arms = swing_arm(body, frame.shoulders, raised, plane, both(c["elbow"]) + noise["elbow"])
        hint = pointing(both(c["toe_out"] - c["knee_in"] * low) + np.zeros(2))
        return assemble(body, frame, ankles, toes, hint, arms)


def balanced_lean(body: Body, c: Controls) -> Array:
    """Lean at the lowest point that puts the centre of mass above the middle of the foot, in radians.

    The hips follow from ankle and knee angle; the level moments of the segments about the ankles then give the sine of
    the lean. Limited to 10-48 degrees: beyond, people move their arms or fall.
    """
    thigh, shank = shortest(body.thigh, body.shank)
    depth = np.minimum(c["depth"], np.radians(100.0))
    knee_z = shank * np.sin(c["shin"])
    hip_z = knee_z - thigh * np.sin(np.pi - depth - c["shin"])
    legs = THIGH_MASS * (hip_z + 0.39 * (knee_z - hip_z)) + SHANK_MASS * 0.55 * knee_z
    arms = 0.03 * body.height * np.sin(c["arms"])
    sine = ((0.03 * body.height - legs) / UPPER_MASS - hip_z - arms) / (UPPER_CENTRE * body.height)
    return np.arcsin(np.clip(sine, np.sin(np.radians(10.0)), np.sin(np.radians(48.0))))
