"""Sit-up: from lying on the back with bent knees to sitting, arms crossed on the chest, and back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body, Frame, foot_vector, trunk
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import assemble, both, reach_arm
from graphnets.simulation.kinematics import Array, quintic, rotate, rotation, span, vector, within_reach

LYING = np.radians(-88.0)
"""Lean of a trunk on the floor."""
DEPTH = 0.055
"""Of the hip joints above the floor, fraction of stature (our estimate)."""


class SitUp(Exercise):
    """The head comes first, then the upper back rolls up, then the pelvis; backwards on the way down.

    Leans are angles about the x axis from upright: -pi / 2 lies on the back, 0 sits.
    """

    name = "sit_up"
    title = "Sit-up"
    held = ("left_foot", "right_foot")
    focus = 0.2
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(3.0, 0.4, 0.18, 2.0, 4.6, "s", "-tempo"),
        "up": Control(0.44, 0.02, 0.01, 0.38, 0.48),
        "hold": Control(0.06, 0.02, 0.01, 0.02, 0.14),
        "chest": Control(10.0, 5.0, 2.5, -4.0, 22.0, "deg", "strength"),
        "pelvis": Control(-17.0, 4.0, 2.0, -28.0, -8.0, "deg", "strength"),
        "early": Control(0.09, 0.015, 0.006, 0.05, 0.13),
        "nod": Control(16.0, 5.0, 2.0, 6.0, 28.0, "deg"),
        "turn": Control(0.0, 1.5, 1.0, -4.0, 4.0, "deg"),
        "knee": Control(80.0, 6.0, 1.5, 66.0, 95.0, "deg"),
        "feet": Control(0.060, 0.010, 0.002, 0.040, 0.085, "height", "stance"),
        "toe_out": Control(5.0, 4.0, 0.5, -3.0, 14.0, "deg"),
        "lift": Control(0.0, 0.0, 0.0, 0.0, 0.0, "height"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "not_high_enough": Mistake(
            "The trunk stops far from upright.", {"chest": (-16.0, -52.0), "pelvis": (-12.0, -46.0)}
        ),
        "feet_lifted": Mistake("The feet leave the floor as the trunk rises.", {"lift": (0.02, 0.11)}),
        "neck_bent": Mistake("The chin is pulled to the chest.", {"nod": (12.0, 34.0)}),
        "twisted": Mistake("The trunk turns to one side on its way up.", {"turn": (9.0, 30.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u, top = time / c["duration"], c["up"] + c["hold"]
        chest_up = quintic(u, [0.06, c["up"] - 0.02, top, 0.95], [0.0, 1.0, 1.0, 0.0])
        pelvis_up = quintic(u, [0.06 + c["early"], c["up"], top, 0.95 - c["early"]], [0.0, 1.0, 1.0, 0.0])
        nod = quintic(u, [0.02, 0.18, c["up"], top, 0.80, 0.98], [0.0, 1.0, 0.5, 0.5, 1.0, 0.0])
        pelvis = LYING + (c["pelvis"] - LYING) * pelvis_up
        chest = LYING + (c["chest"] - LYING) * chest_up + 0.6 * noise["lean"] * chest_up
        turn = (c["turn"] + 0.6 * noise["twist"]) * chest_up
        # Turned about its own long axis, then leant: a trunk on the floor does not roll with the compass.
        torso = rotation(chest) @ rotation(twist=turn)
        head = rotation(chest + c["nod"] * nod + 0.4 * noise["head_lean"] * chest_up) @ rotation(twist=0.8 * turn)
        origin = vector(0.0 * pelvis, DEPTH * body.height, 0.0)
        frame = trunk(body, origin, rotation(pelvis), torso, head, 0.5 * noise["shrug"])
        ankles, toes = self._feet(body, c, u)
        hint = vector(LEFT_RIGHT * np.sin(0.5 * both(c["toe_out"])), 1.0, 0.3) + np.zeros_like(ankles)
        return assemble(body, frame, ankles, toes, hint, self._arms(body, frame))

    def contacts(self, body: Body, controls: Controls, time: Array) -> dict[str, Array]:
        """The pelvis; the back until it has left the floor; the feet unless they are lifted."""
        u, top = np.minimum(time / controls["duration"], 1.0), controls["up"] + controls["hold"]
        back = quintic(u, [0.07, 0.20, top + 0.30, 0.94], [1.0, 0.0, 0.0, 1.0])
        off = quintic(controls["lift"] * self._lifted(u, controls), [0.0, 0.012], [1.0, 0.0])
        return {"left_foot": off, "right_foot": off, "pelvis": np.ones(time.shape), "back": back}

    def _lifted(self, u: Array, c: Controls) -> Array:
        """Share of the lift of the feet: they are up while the trunk is heaviest to hold."""
        middle = 0.5 * c["up"]
        return quintic(u, [0.05, middle, c["up"] + 0.02, 0.62, 0.78, 0.96], [0.0, 1.0, 0.25, 0.25, 0.7, 0.0])

    def _feet(self, body: Body, c: Controls, u: Array) -> tuple[Array, Array]:
        """Ankles and toes of feet on the floor, or lifted, ``[R, F, 2, 3]``."""
        reach = span(c["knee"], body.thigh.min(-1), body.shank.min(-1))
        aside, drop = c["feet"] - body.hip, DEPTH * body.height - body.ankle
        ahead = np.sqrt(reach**2 - aside**2 - drop**2)
        lift = c["lift"] * self._lifted(u, c)
        ankles = vector(LEFT_RIGHT * both(c["feet"]), both(body.ankle + lift), both(ahead - 0.35 * lift))
        turned = both(c["toe_out"]) + np.zeros_like(ankles[..., 0])
        return ankles, ankles + foot_vector(body, -both(2.0 * lift / body.height) + np.zeros(2), turned)

    def _arms(self, body: Body, frame: Frame) -> tuple[Array, Array, Array]:
        """Wrists crossed on the chest; elbows beside it."""
        size = body.height[..., None]
        across = vector(-0.045 * LEFT_RIGHT * size, -0.06 * size, size * np.array([0.075, 0.095]))
        turned = frame.chest[..., None, :, :]
        aim = frame.joints["neck"][..., None, :] + rotate(turned, across)
        hint = rotate(turned, vector(0.8 * LEFT_RIGHT, -0.8, 0.15))
        arm = 0.985 * (body.upper_arm + body.forearm)
        return reach_arm(body, frame.shoulders, within_reach(frame.shoulders, aim, arm), hint)
