"""Jumping jack: jump to a wide stance with the arms overhead, jump back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body, foot_vector, hip_offsets, shortest, swing_arm
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import assemble, both, pelvis_height, pelvis_rotation, pointing, upright
from graphnets.simulation.kinematics import Array, quintic, smooth_min, span, vector

GRAVITY = 9.81
LANDING = 0.11
"""Seconds from touch-down to the deepest point, and from the deepest point before a jump to take-off."""
RECOVERY = 0.30
"""Seconds from standing to the deepest point before a jump, and back after landing."""
UNLOADING = 0.02
"""Seconds after take-off and before landing in which feet count as contacts: there is nothing left to bear by then."""


class JumpingJack(Exercise):
    """Two jumps. In the air the pelvis falls freely; the toes move only while they are off the floor."""

    name = "jumping_jack"
    title = "Jumping jack"
    focus = 0.56
    balanced = True
    rounds, steps = 2, 4
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(2.05, 0.18, 0.07, 1.75, 2.6, "s", "-tempo"),
        "flight": Control(0.175, 0.012, 0.006, 0.14, 0.21, "s", "strength"),
        "narrow": Control(0.055, 0.010, 0.002, 0.040, 0.080, "height"),
        "wide": Control(0.21, 0.018, 0.008, 0.170, 0.250, "height", "stance"),
        "toe_out": Control(12.0, 4.0, 1.0, 4.0, 22.0, "deg"),
        "arms": Control(160.0, 7.0, 3.5, 144.0, 174.0, "deg", "flexibility"),
        "plane": Control(6.0, 6.0, 2.0, -4.0, 18.0, "deg"),
        "elbow": Control(16.0, 6.0, 3.0, 5.0, 32.0, "deg"),
        "bend": Control(2.0, 4.0, 2.0, -4.0, 12.0, "deg"),
        "late": Control(0.0, 0.01, 0.006, -0.025, 0.025),
        "girdle": Control(14.0, 3.0, 1.0, 8.0, 20.0, "deg"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "arms_too_low": Mistake("The arms stop far from overhead.", {"arms": (-22.0, -80.0)}),
        "feet_too_narrow": Mistake("The feet hardly part.", {"wide": (-0.03, -0.085)}),
        "arms_late": Mistake("The arms come after the legs.", {"late": (0.04, 0.11)}),
        "elbows_bent": Mistake("The elbows bend as the arms rise.", {"bend": (20.0, 62.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        d = c["duration"]
        off = self._flights(c)
        ankles, toes = self._feet(body, c, time, off)
        thigh, shank = shortest(body.thigh, body.shank)
        height = self._height(body, c, time, off, thigh, shank)
        dip = np.clip((self._standing(body, c["narrow"], c, thigh, shank) - height) / (0.1 * body.height), -0.5, 1.5)
        lean = c["posture"] + np.radians(7.0) * np.tanh(dip)
        curl = np.radians(4.0) + 0.0 * lean
        x = noise["sway_x"] + noise["shift_x"]
        z = (0.012 + 0.01 * np.tanh(-dip)) * body.height + noise["sway_z"] + noise["shift_z"]
        offsets = hip_offsets(body, pelvis_rotation(lean, curl, noise))
        ceiling = pelvis_height(x, z, offsets, ankles, both(span(np.radians(176.0), thigh, shank)))
        y = smooth_min(height + noise["shift_y"], ceiling, 0.002)
        late = c["late"] * d
        rise = [off[0] - 0.2 + late, off[1] + 0.14 + late, off[2] - 0.14 + late, off[3] + 0.16 + late]
        high = quintic(time, rise, [0.0, 1.0, 1.0, 0.0])
        raised = both(np.radians(9.0) + (c["arms"] - np.radians(9.0)) * high) + noise["arm"]
        frame = upright(body, vector(x, y, z), lean, curl, c, noise, both(c["girdle"] * high**2) + np.zeros(2))
        bend = both(c["elbow"] + c["bend"] * high) + noise["elbow"]
        arms = swing_arm(body, frame.shoulders, raised, both(c["plane"]) + noise["plane"], bend)
        return assemble(body, frame, ankles, toes, pointing(both(c["toe_out"]) + np.zeros(2)), arms)

    def contacts(self, body: Body, controls: Controls, time: Array) -> dict[str, Array]:
        """Both feet, off in flight; ends of the flight bear what is left of it."""
        off = self._flights(controls)
        knots = [t + d for t, d in zip(off, (UNLOADING, -UNLOADING, UNLOADING, -UNLOADING), strict=True)]
        knots = [off[0], knots[0], knots[1], off[1], off[2], knots[2], knots[3], off[3]]
        on = quintic(np.minimum(time, controls["duration"]), knots, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0])
        return {"left_foot": on, "right_foot": on}

    def _flights(self, c: Controls) -> tuple[Array, ...]:
        """Take-off and landing, twice, in seconds, ``[R, 1]``."""
        d = c["duration"]
        first, last = 0.03 * d + RECOVERY + LANDING, 0.97 * d - RECOVERY - LANDING
        return first, first + c["flight"], last - c["flight"], last

    def _standing(self, body: Body, half_stance: Array, c: Controls, thigh: Array, shank: Array) -> Array:
        """Height of the pelvis over feet ``2 * half_stance`` apart, ``[R, 1]``."""
        reach = span(c["straight_knee"], thigh, shank)
        return body.ankle + np.sqrt(reach**2 - (half_stance - body.hip) ** 2 - (0.012 * body.height) ** 2) - 0.003

    def _height(
        self, body: Body, c: Controls, time: Array, off: tuple[Array, ...], thigh: Array, shank: Array
    ) -> Array:
        """Height of the pelvis: pushed off, in free fall, caught; twice. ``[R, F]``."""
        narrow = self._standing(body, c["narrow"], c, thigh, shank)
        wide = self._standing(body, c["wide"], c, thigh, shank)
        on_toes = 0.004 * body.height  # what the raised heels give, less the bend of the knees
        fall, rise = 0.5 * GRAVITY * c["flight"], (wide - narrow) / c["flight"]
        speeds = (fall + rise, fall - rise, fall - rise, fall + rise)  # upwards at take-off, downwards at landing
        levels = (narrow, wide, wide, narrow)
        low = [level + on_toes - _drop(speed) for level, speed in zip(levels, speeds, strict=True)]
        push = [2.0 * speed / LANDING + GRAVITY for speed in speeds]
        deep = (off[0] - LANDING, off[1] + LANDING, off[2] - LANDING, off[3] + LANDING)
        # Between the jumps the body rises as far as the time allows, at most to standing.
        between = deep[2] - deep[1]
        pause = np.minimum(RECOVERY, 0.49 * between)
        crouch = low[1] + smooth_min(push[1] * pause**2 / 8.0, 0.9 * (wide - low[1]), 0.01)
        zero = 0.0 * narrow
        states = [
            (deep[0] - RECOVERY, narrow, zero, zero),
            (deep[0], low[0], zero, push[0]),
            (off[0], narrow + on_toes, speeds[0], zero - GRAVITY),
            (off[1], wide + on_toes, -speeds[1], zero - GRAVITY),
            (deep[1], low[1], zero, push[1]),
            (deep[1] + pause, crouch, zero, zero),
            (deep[2] - pause, crouch, zero, zero),
            (deep[2], low[2], zero, push[2]),
            (off[2], wide + on_toes, speeds[2], zero - GRAVITY),
            (off[3], narrow + on_toes, -speeds[3], zero - GRAVITY),
            (deep[3], low[3], zero, push[3]),
            (deep[3] + RECOVERY, narrow, zero, zero),
        ]
        return quintic(time, *zip(*states, strict=True))

    def _feet(self, body: Body, c: Controls, time: Array, off: tuple[Array, ...]) -> tuple[Array, Array]:
        """Ankles and toes, ``[R, F, 2, 3]``."""
        t1, t2, t3, t4 = off
        edge = 0.12 * c["flight"]
        apart = quintic(time, [t1 + edge, t2 - edge, t3 + edge, t4 - edge], [0.0, 1.0, 1.0, 0.0])
        lift = 0.8 * GRAVITY * c["flight"] ** 2 / 8 + 0.012 * body.height
        air = quintic(time, [t1, 0.5 * (t1 + t2), t2, t3, 0.5 * (t3 + t4), t4], [0.0, lift, 0.0, 0.0, lift, 0.0])
        heel = quintic(
            time,
            [t1 - 0.09, t1 + 0.03, t2 - 0.03, t2 + 0.09, t3 - 0.09, t3 + 0.03, t4 - 0.03, t4 + 0.09],
            [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        )
        half = c["narrow"] + (c["wide"] - c["narrow"]) * apart
        turn = np.broadcast_to(both(c["toe_out"]), (*time.shape, 2))
        flat = foot_vector(body, np.zeros_like(turn), turn)
        toes = vector(LEFT_RIGHT * both(half), both(body.ankle + air), 0.0) + flat
        return toes - foot_vector(body, np.radians(26.0) * both(heel) + np.zeros(2), turn), toes


def _drop(speed: Array) -> Array:
    """Way from touch-down at ``speed`` to rest if the upward acceleration grows linearly from free fall."""
    end = 2.0 * speed / LANDING + GRAVITY
    return speed * LANDING + 0.5 * GRAVITY * LANDING**2 - (end + GRAVITY) * LANDING**2 / 6.0
