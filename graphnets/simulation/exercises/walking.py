"""Walking on level ground at a steady speed: some cycles, cut anywhere."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.balance import eased
from graphnets.simulation.body import LEFT_RIGHT, Body, swing_arm, trunk
from graphnets.simulation.exercises import gait
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import assemble, both, pelvis_height, pointing, swung
from graphnets.simulation.kinematics import Array, norm, quintic, rotation, smooth_min, span, vector, within_reach

STATURE = 1.72
"""Metres; the walk ratio is that of a person so tall."""
STEP = 0.80
"""Step at which thighs swing as in the curves, fraction of the leg from hip to ankle."""
REACH = np.radians(174.5)
"""Inner angle beyond which no knee straightens."""
IMPACT = np.array([0.0, 1.0, 1.0])
"""Feet touch down with a small jerk: the way from hip to ankle is then smooth but for its second derivative."""
STRETCH = 0.9992
"""How long a swinging leg gets, over thigh and shank."""
SPARE = np.radians(2.0)
"""How much more than in the curve standing knees are to be flexed: what unsteadiness takes up."""
LEADS = 0.46
"""Phase up to which a leg has a say in the height of the pelvis; later its heel rises as far as it must."""
PRESSURE = ([0.0, 0.10, 0.28, 0.62, 1.0], [-0.28, 0.02, 0.42, 1.05, 1.20], [2.8, 2.4, 1.8, 0.8, 0.2])
"""Share of the stance, where the centre of pressure then is ahead of the flat foot's ankle over its forefoot, and how
fast that grows; measured as the curves of the legs were."""

UPRIGHT = np.radians(2.0)
"""By how much more upright than in standing work the trunk is."""
BEHIND = np.radians(9.0)
"""By how much the lower trunk slopes backwards: the lumbar joint lies behind the hips, and with it what it bears."""
FRONT = 0.0
"""How far the centre of mass is ahead of the hips, fraction of stature; on average so is the centre of pressure."""
DROP = 0.16
"""Phase at which the swinging side of the pelvis is lowest."""
LONGEST = 0.85
"""Longest step, fraction of the leg; who is faster steps more often."""


class Walking(Exercise):
    """Feet roll over the floor from heel to toes without sliding; the legs follow published curves between them.

    Step length and cadence share the speed by the walk ratio, step length over cadence, which hardly depends on speed
    (Sekiya & Nagasaki, "Reproducibility of the walking patterns of normal young adults", Gait Posture 7(3), 1998) and
    grows with stature to the power 1.5 between people who walk alike. The pelvis goes up and down about as far as
    measured, which makes the vertical force; how high it is follows from the leading leg, whose knee then comes close
    to :data:`~graphnets.simulation.exercises.gait.KNEE`. The heel of the leg behind rises so that its knee does, too.
    """

    name = "walking"
    title = "Walking"
    endless = True
    balanced = True
    instants = 256
    ease = 0.12
    play = (0.01, 0.015)
    away = 2.0
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(3.2, 0.25, 0.15, 2.5, 4.2, "s"),
        "speed": Control(1.28, 0.16, 0.04, 0.85, 1.65, "", "tempo"),
        "ratio": Control(0.0057, 0.0003, 0.0001, 0.0050, 0.0064),
        "support": Control(0.585, 0.006, 0.002, 0.570, 0.600),
        "phase": Control(0.0, 0.0, 0.5, -1.0, 1.0),
        "width": Control(0.031, 0.005, 0.001, 0.020, 0.045, "height", "stance"),
        "toe_out": Control(7.0, 4.0, 1.0, -2.0, 17.0, "deg", "stance"),
        "push": Control(1.0, 0.05, 0.02, 0.88, 1.12),
        "loading": Control(0.95, 0.22, 0.06, 0.45, 1.4, "", "-strength"),
        "fold": Control(-5.0, 2.5, 1.0, -11.0, 1.0, "deg"),
        "clearance": Control(0.008, 0.002, 0.001, 0.004, 0.014, "height"),
        "drop": Control(4.6, 1.0, 0.3, 1.5, 6.5, "deg", "-strength"),
        "turn": Control(5.0, 1.3, 0.4, 1.8, 8.5, "deg", "flexibility"),
        "sideways": Control(0.0105, 0.002, 0.0005, 0.006, 0.016, "height"),
        "sway": Control(1.5, 0.8, 0.3, 0.0, 3.5, "deg", "-strength"),
        "tilt": Control(8.0, 2.5, 0.5, 2.0, 14.0, "deg"),
        "arms": Control(11.0, 3.5, 1.0, 4.0, 24.0, "deg", "tempo"),
        "elbow": Control(34.0, 7.0, 2.0, 18.0, 52.0, "deg"),
        "limp": Control(0.0, 0.05, 0.02, 0.0, 0.12),
        "weaker_left": Control(0.5, 0.6, 0.0, 0.0, 1.0),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "limp": Mistake(
            "One leg is spared: it stands for less time, and the other one steps short.", {"limp": (0.3, 0.9)}
        ),
        "short_steps": Mistake(
            "The steps are short and quick, and yet they get nowhere.",
            {"ratio": (-0.0012, -0.0028), "speed": (-0.08, -0.25), "push": (-0.04, -0.2)},
        ),
        "trunk_sway": Mistake(
            "The trunk sways over each standing leg.", {"sway": (4.0, 13.0), "sideways": (0.003, 0.012)}
        ),
        "toes_out": Mistake("The feet point far outwards.", {"toe_out": (12.0, 32.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        walk = steps(body, c)
        phase = c["phase"] + time * walk.rate
        legs = both(phase) + np.zeros(2)
        ankles, toes = walk.feet(legs)
        x, z, roll, twist = walk.pelvis(phase)
        # Little noise where it would stretch a leg that is nearly straight: the force on the ground would show it.
        x = x + 0.5 * noise["sway_x"] + noise["shift_x"]
        z = z + 0.2 * noise["sway_z"] + noise["shift_z"]
        roll, twist = roll + 0.15 * noise["roll"], twist + 0.25 * noise["twist"]
        tilt = c["tilt"] + 0.5 * noise["lean"] + np.radians(1.0) * np.cos(4.0 * np.pi * (phase - 0.05))
        hip = rotation(0.0, roll, twist)
        offsets = LEFT_RIGHT[:, None] * both(both(body.hip)) * hip[..., None, :, 0]
        reach = span(REACH, body.thigh, body.shank) + 0.03 * walk.swings(legs, 0.04)
        ceiling = pelvis_height(x, z, offsets, ankles, reach)
        y = smooth_min(walk.height(phase), ceiling, 0.002)
        pelvis = vector(x, np.where(noise["level"] > 0.0, noise["level"], y), z)
        # The lower trunk leans less than the pelvis is tilted: that is what the lumbar curve is for.
        lean = c["posture"] + 0.15 * tilt - UPRIGHT + 0.6 * noise["lean"]
        turn = -0.8 * walk.turned(phase) + 0.6 * noise["twist"]
        sway = -c["sway"] * walk.side(phase) - walk.ducking(phase) + 0.6 * noise["roll"]
        chest = rotation(lean, sway, turn)
        head = rotation(
            0.4 * lean + c["head"] + 0.6 * noise["head_lean"], 0.4 * sway, 0.2 * turn + 0.6 * noise["head_twist"]
        )
        frame = trunk(body, pelvis, rotation(lean - BEHIND, roll, twist), chest, head, noise["shrug"])
        # Legs that swing don't hold the pelvis down: if they are too long, their knees stay bent.
        most = STRETCH * (body.thigh + body.shank)
        short = both(walk.swings(legs)) * (within_reach(frame.hips, ankles, most, 0.002) - ankles)
        ankles, toes = ankles + short, toes + short
        hint = pointing(0.35 * both(c["toe_out"]) + 0.0 * legs)
        joints = assemble(body, frame, ankles, toes, hint, self._arms(body, c, walk, frame.shoulders, legs, noise))
        return {name: position - walk.start() for name, position in joints.items()}

    def settled(self, body: Body, controls: Controls, time: Array, height: Array) -> Array:
        """The steady height, less what the worst of the steps nearby takes off it; see :meth:`Exercise.settled`."""
        walk = steps(body, controls)
        steady = walk.height(controls["phase"] + time * walk.rate)
        return steady + eased(np.minimum(height - steady, 0.0), self.ease / (time[:, 1] - time[:, 0]))

    def contacts(self, body: Body, c: Controls, time: Array) -> dict[str, Array]:
        """Which foot bears: from heel contact to toe-off, shared while both stand."""
        walk = steps(body, c)
        load = walk.load(walk.own(both(c["phase"] + time * walk.rate) + np.zeros(2))[1])
        return {"left_foot": load[..., 0], "right_foot": load[..., 1]}

    def supports(self, body: Body, c: Controls, time: Array, joints: Joints) -> tuple[Array, Array]:
        """The one point between both feet where people have it, heels to balls; see :meth:`Exercise.supports`."""
        active = self.contacts(body, c, time)
        weight = np.stack([active["left_foot"], active["right_foot"]], axis=-1)
        weight = weight / weight.sum(-1, keepdims=True)
        walk = steps(body, c)
        points = walk.bearing(both(c["phase"] + time * walk.rate) + np.zeros(2))
        point = (weight[..., None] * points).sum(-2, keepdims=True)
        return point - walk.start()[..., None, :], np.ones((*time.shape, 1))

    def _arms(
        self, body: Body, c: Controls, walk: Steps, shoulders: Array, legs: Array, noise: Controls
    ) -> tuple[Array, Array, Array]:
        """Each arm swings against the leg of its side."""
        own = legs - walk.lag
        swing = both(c["arms"] * c["speed"] / 1.3)
        ahead = np.radians(-6.0) - swing * np.cos(2.0 * np.pi * (own - 0.02)) + noise["arm"]
        aside = np.radians(9.0) + 0.3 * noise["plane"]
        elevation, plane = swung(aside, ahead)
        bend = both(c["elbow"]) - 0.7 * swing * np.cos(2.0 * np.pi * (own - 0.06)) + noise["elbow"]
        return swing_arm(body, shoulders, elevation, plane, bend)


_last: list[tuple[Body, Controls, Steps]] = []


def steps(body: Body, c: Controls) -> Steps:
    """The steady walk of these very people and controls, worked out once: every round of the balance asks for it."""
    if not _last or _last[0][0] is not body or _last[0][1] is not c:
        _last[:] = [(body, c, Steps(body, c))]
    return _last[0][2]


class Steps:
    """The steady walk of ``R`` people without its noise, as functions of the phase in cycles.

    Phases are ``[R, F]`` of the body, at whole numbers of which the left heel meets the floor, or ``[R, F, 2]`` with a
    phase of the body for each leg. The body is at ``stride * phase``.
    """

    def __init__(self, body: Body, c: Controls) -> None:
        """Step length, cadence, footholds and the height of the pelvis from controls ``[R, 1]``."""
        self.body, self.c = body, c
        minute = 60.0 * c["speed"]
        legs = (body.thigh + body.shank).mean(-1)
        step = smooth_min(np.sqrt(c["ratio"] * (body.height / STATURE) ** 1.5 * minute), LONGEST * legs, 0.03)
        self.stride, self.rate = 2.0 * step, c["speed"] / (2.0 * step)
        self.size = step / (STEP * legs)
        left = np.where(c["weaker_left"] > 0.5, 1.0, 0.0)
        self.weak = np.stack([left, 1.0 - left], axis=-1)  # [R, 1, 2]
        hurry = 0.03 * c["limp"]
        # Phase from each contact to the next one of the other foot, and of toe-off.
        self.gap = 0.5 + both(hurry) * (1.0 - 2.0 * self.weak)
        self.lag = np.stack([0.0 * left, self.gap[..., 0]], axis=-1)
        self.off = both(c["support"]) + both(hurry) * (0.5 - 1.5 * self.weak)
        self.toe_out = both(c["toe_out"]) + np.zeros(2)
        self.push, self.long = both(c["push"] * (0.7 + 0.3 * self.size)), both(self.stride)
        short = 0.03 * both(c["limp"] * body.height) * (1.0 - self.weak)
        self.terms = np.zeros((len(self.stride), gait.TERMS))
        zero = 0.0 * self.off
        self.late = np.stack([push + zero for push in gait.USUAL_PUSH[0]])
        self.place = -short
        self.place = self.place + self._ahead()
        self.terms = self._fit()
        self.late = self._pushes()
        landing = self._gap_state(1.0 + 0.0 * self.off)
        leaving = self._gap_state(self.off)
        self.ends = ((leaving[0], leaving[1], IMPACT * leaving[2]), (landing[0], -landing[1], IMPACT * landing[2]))
        self.lift = [0.0 * self.long, 0.0 * self.long]
        self.lift[0] = self._lift(0)
        self.lift[1] = self._lift(1)

    def own(self, legs: Array) -> tuple[Array, Array]:
        """Whole cycles of each leg since its contact number 0, and the phase since the last contact."""
        cycles = np.floor(legs - self.lag)
        return cycles, legs - self.lag - cycles

    def load(self, s: Array) -> Array:
        """How much of the load each leg bears, ``[R, F, 2]``."""
        # The next foot to land is the other one: what is left of this one's support then is shared.
        early, late = self.off[..., ::-1] - self.gap[..., ::-1], self.off - self.gap
        return np.clip(quintic(s, [0.0, early, self.gap, self.gap + late], [0.0, 1.0, 1.0, 0.0]), 0.0, 1.0)

    def swings(self, legs: Array, late: float = 0.0) -> Array:
        """1 for a leg in mid-swing, 0 for one that stands or is ``late`` before or after that, ``[R, F, 2]``."""
        _, s = self.own(legs)
        knots: list[Array | float] = [self.off + late, self.off + 0.04 + late, 0.96 - late, 1.0 - late]
        return quintic(s, knots, [0.0, 1.0, 1.0, 0.0])

    def start(self) -> Array:
        """Where the origin of the person's own frame is: halfway, ``[R, 1, 3]``."""
        return vector(0.0, 0.0, self.stride * self.c["phase"] + 0.5 * self.c["speed"] * self.c["duration"])

    def rise(self, s: Array) -> Array:
        """Rise of the heels, see :func:`gait.heel_rise`."""
        return gait.heel_rise(s, self.off, self.push, self.late)

    def knee(self, s: Array) -> Array:
        """Flexion of the knee that a standing leg should have, ``[R, F, 2]``."""
        return gait.knee_flexion(s, both(self.c["loading"] * self.c["speed"] / 1.3)) + SPARE

    def side(self, phase: Array) -> Array:
        """1 where the left leg bears alone, -1 where the right one does."""
        return np.sin(2.0 * np.pi * (phase - 0.11))

    def turned(self, phase: Array) -> Array:
        """Rotation of the pelvis to the left: the side of the leg that steps ahead is ahead."""
        return -self._of(self.c["turn"] * self.size, phase) * np.cos(2.0 * np.pi * phase)

    def ducking(self, phase: Array) -> Array:
        """Lean over the leg that is spared."""
        lean = self.c["limp"] * np.radians(5.0) * (2.0 * self.weak[..., 0] - 1.0)
        return self._of(lean, phase) * 0.5 * (1.0 + self._of(2.0 * self.weak[..., 0] - 1.0, phase) * self.side(phase))

    def pelvis(self, phase: Array) -> tuple[Array, Array, Array, Array]:
        """x, z, roll and rotation of the pelvis."""
        c, size = self.c, self.body.height
        x = self._of(c["sideways"], phase) * self.side(phase)
        z = self._of(self.stride, phase) * phase
        z = z + self._of(0.007 * size + 0.0 * c["speed"], phase) * np.sin(4.0 * np.pi * (phase - 0.02))
        roll = self._of(c["drop"], phase) * np.cos(2.0 * np.pi * (phase - DROP))
        return x, z, roll, self.turned(phase)

    def height(self, phase: Array) -> Array:
        """Of the pelvis, before the legs are too short for it."""
        terms = self.terms.reshape(len(self.terms), *(1,) * (phase.ndim - 1), -1)
        return (gait.waves_of(phase) * terms).sum(-1)

    def feet(self, legs: Array) -> tuple[Array, Array]:
        """Ankles and toes, ``[R, F, 2, 3]``."""
        cycles, s = self.own(legs)
        leg = self._leg(s)
        leg = leg + gait.fading(s - self.off, self.ends[0], gait.AFTER)
        free = self._placed(legs, leg + gait.fading(1.0 - s, self.ends[1], gait.BEFORE))
        # A step that is cut short would drag the toes: the foot is lifted as far as it takes.
        early, late = self._bumps(s)
        free = free + vector(0.0, self.lift[0] * early + self.lift[1] * late, 0.0)
        ankles = np.where((s < self.off)[..., None], self._planted(cycles, s), free)
        flat = self.body.foot
        pitch = self.rise(s)
        return ankles, ankles + gait.swivel(both(flat[..., 1]), both(flat[..., 2]), pitch, self.toe_out)

    def bearing(self, legs: Array) -> Array:
        """Where people have the centre of pressure under each foot, on the floor, ``[R, F, 2, 3]``."""
        cycles, s = self.own(legs)
        ahead = both(self.body.forefoot) * quintic(np.minimum(s / self.off, 1.0), *PRESSURE)
        z = self.place + self.long * (cycles + self.lag) + ahead * np.cos(self.toe_out)
        x = LEFT_RIGHT * (both(self.c["width"]) + ahead * np.sin(self.toe_out))
        return vector(x, 0.0, z)

    def _of(self, value: Array, phase: Array) -> Array:
        """``[R, 1]`` values with as many axes as the phase."""
        return value if phase.ndim == 2 else both(value)

    def _planted(self, cycles: Array, s: Array) -> Array:
        """Ankles of feet on the floor, ``s`` after contact."""
        pitch = self.rise(s % 1.0)
        z = self.place + self.long * (cycles + self.lag)
        foothold = vector(LEFT_RIGHT * both(self.c["width"]), both(self.body.ankle), z)
        return foothold + gait.rolling_ankle(self.body, pitch, self.toe_out)

    def _leg(self, s: Array) -> Array:
        """By the published curves: way from hip to ankle, by what angle it points ahead, and x of the ankle.

        Near contact the knee is to be flexed by :data:`SPARE` more, as it is in stance; ``[R, F, 2, 3]``.
        """
        middle = quintic_bump(s % 1.0, 0.52, 0.73, 0.97)
        knee = gait.knee_flexion(s, both(self.c["loading"] * self.c["speed"] / 1.3)) + both(self.c["fold"]) * middle
        thigh = np.radians(3.25) + both(self.size) * (gait.series(s, gait.THIGH) - np.radians(3.25))
        a, b = self.body.thigh, self.body.shank
        more = SPARE + np.radians(7.0) * quintic(s, [0.80, 0.96], [0.0, 1.0])
        knee, thigh = knee + more, thigh + 0.5 * more
        y, z = a * np.cos(thigh) + b * np.cos(thigh - knee), a * np.sin(thigh) + b * np.sin(thigh - knee)
        return vector(np.sqrt(y**2 + z**2), np.arctan2(z, y), LEFT_RIGHT * both(self.c["width"]))

    def _hips(self, legs: Array) -> Array:
        """Each leg's hip at the body's phase for that leg, ``[R, F, 2, 3]``."""
        x, z, roll, twist = self.pelvis(legs)
        across = rotation(0.0, roll, twist)[..., 0]
        y = self.height(legs)
        return vector(x, y, z) + LEFT_RIGHT[:, None] * both(both(self.body.hip)) * across

    def _placed(self, legs: Array, leg: Array) -> Array:
        """Ankles of legs such as :meth:`_leg` has them, ``[R, F, 2, 3]``."""
        hips = self._hips(legs)
        long = np.sqrt(leg[..., 0] ** 2 - (leg[..., 2] - hips[..., 0]) ** 2)
        y, z = hips[..., 1] - long * np.cos(leg[..., 1]), hips[..., 2] + long * np.sin(leg[..., 1])
        return vector(leg[..., 2], y, z)

    def _bent(self, legs: Array, ankles: Array) -> Array:
        """What :meth:`_placed` makes these ankles of."""
        way = ankles - self._hips(legs)
        return vector(norm(way), np.arctan2(way[..., 2], -way[..., 1]), ankles[..., 0])

    def _grid(self) -> Array:
        phase = (np.arange(gait.GRID) / gait.GRID)[None] + 0.0 * self.rate
        return both(phase) + np.zeros(2)

    def _ahead(self) -> Array:
        """How far the footholds lie ahead of ``stride * phase``, so that they bear the body without tipping it."""
        s = self.off * np.linspace(0.0, 1.0, 31)[None, :, None]
        load = self.load(s)
        ahead = self.pelvis(s + self.lag)[1] - self.bearing(s + self.lag)[..., 2]
        return FRONT * both(self.body.height) + (load * ahead).sum((1, 2), keepdims=True) / load.sum(
            (1, 2), keepdims=True
        )

    def _fit(self) -> Array:
        """See :func:`gait.fitted_height`."""
        legs = self._grid()
        cycles, s = self.own(legs)
        reach = span(np.pi - self.knee(s), self.body.thigh, self.body.shank)
        hips, ankles = self._hips(legs), self._planted(cycles, s)
        square = reach**2 - ((ankles - hips)[..., ::2] ** 2).sum(-1)
        wanted = ankles[..., 1] - hips[..., 1] + np.sqrt(np.maximum(square, 0.01))
        weight = quintic(s, [LEADS - 0.10, LEADS], [1.0, 0.0])
        usual = gait.usual_waves(0.5 * self.stride, (self.body.thigh + self.body.shank).mean(-1))
        return gait.fitted_height(wanted, weight, legs[0, :, 0], usual)

    def _pushes(self) -> Array:
        """How far the heels rise: halfway between what is usual and what flexes the knees as in the curve.

        The latter by Newton's method at each of :data:`gait.PUSHES`.

        Returns:
            ``late`` of :func:`gait.heel_rise`.
        """
        s = self.off - np.array(gait.PUSHES)[:, None]
        hips = self._hips(s + self.lag)
        reach = span(np.pi - self.knee(s), self.body.thigh, self.body.shank)
        foothold = vector(LEFT_RIGHT * both(self.c["width"]), both(self.body.ankle), self.place + self.long * self.lag)

        def gap(pitch: Array) -> Array:
            return norm(foothold + gait.rolling_ankle(self.body, pitch, self.toe_out) - hips) - reach

        usual = gait.USUAL_PUSH[0][None, :, None] + 0.0 * s
        pitch = usual
        for _ in range(5):
            slope = (gap(pitch + 1e-4) - gap(pitch)) / 1e-4
            pitch = np.clip(pitch - gap(pitch) / np.minimum(slope, -0.02), 0.0, 1.4)
        return np.moveaxis(0.5 * (usual + smooth_min(pitch, gait.MOST_PUSH, 0.1)), 1, 0)[:, :, None]

    def _gap_state(self, s: Array, step: float = 2e-3) -> tuple[Array, Array, Array]:
        """How far the leg on the floor is from the curves (see ``_leg``) at ``s``, with two derivatives by it."""
        near = s + step * np.array([-1.0, 0.0, 1.0])[None, :, None]
        cycles = np.where(s > 0.99, 1.0, 0.0) + 0.0 * near
        gap = self._bent(near + self.lag, self._planted(cycles, near)) - self._leg(near)
        before, now, after = (gap[:, i : i + 1] for i in range(3))
        return now, (after - before) / (2.0 * step), (after - 2.0 * now + before) / step**2

    def _bumps(self, s: Array) -> tuple[Array, Array]:
        """Where a swinging foot is lifted for its toes, and where for its heel."""
        toes = quintic_bump(s, self.off, 0.7 * self.off + 0.3, 1.0)
        return toes, quintic_bump(s, self.off, 0.4 * self.off + 0.6, 0.99)

    def _lift(self, which: int) -> Array:
        """How much to lift a swinging foot for its toes (0), then its heel (1), to clear the floor, ``[R, 1, 2]``."""
        s = self.off + (1.0 - self.off) * np.linspace(0.12, 0.86, 30)[None, :, None]
        ankles, toes = self.feet(s + self.lag)
        back, floor = -gait.HEEL * both(self.body.height), -both(self.body.ankle)
        pitch = self.rise(s)
        bump = self._bumps(s)[which]
        clear = both(self.c["clearance"]) * np.minimum(1.0, 2.0 * bump)
        heights = (
            toes[..., 1] - both(self.body.toe_height),
            (ankles + gait.swivel(floor, back, pitch, self.toe_out))[..., 1],
        )
        return np.maximum(((clear - heights[which]) / bump).max(axis=1, keepdims=True), 0.0)


def quintic_bump(s: Array, start: Array | float, top: Array | float, end: Array | float) -> Array:
    """0 outside ``start`` to ``end``, 1 at ``top``; twice continuously differentiable."""
    return quintic(s, [start, top, end], [0.0, 1.0, 0.0])
