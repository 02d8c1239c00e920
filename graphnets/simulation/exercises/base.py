"""What an exercise is: controls that people vary, mistakes that shift them, and a movement that follows from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from graphnets.simulation.balance import Points, between, correction, eased, grid
from graphnets.simulation.body import LEFT_RIGHT, Body, Person, truncated
from graphnets.simulation.contact import foot_point
from graphnets.simulation.exercises.fatigue import TIRED, UNSTEADY
from graphnets.simulation.kinematics import Array, rotate, rotation, vector, wander

Controls = Mapping[str, Array]
"""Values of the controls, each ``[R, 1]``, in radians, metres and seconds."""
Joints = dict[str, Array]
"""Positions by joint name, each ``[R, F, 3]`` in metres."""

# Smooth noise: channel -> (standard deviation, unit). Those in PAIRED differ between left and right.
WANDER: dict[str, tuple[float, str]] = {
    "sway_x": (0.0020, "height"),
    "sway_z": (0.0022, "height"),
    "lean": (0.9, "deg"),
    "roll": (0.8, "deg"),
    "twist": (1.0, "deg"),
    "head_lean": (2.0, "deg"),
    "head_twist": (2.5, "deg"),
    "knee": (0.6, "deg"),
    "arm": (1.6, "deg"),
    "plane": (2.5, "deg"),
    "elbow": (2.2, "deg"),
    "shrug": (0.8, "deg"),
}
PAIRED = ("arm", "plane", "elbow", "shrug")
SINES = 4
CHANNELS = tuple(f"{name}{side}" for name in WANDER for side in (("_left", "_right") if name in PAIRED else ("",)))


@dataclass(frozen=True)
class Control:
    """A quantity that shapes a repetition: drawn for a person, then for each of their repetitions.

    Attributes:
        mean: Over all people.
        person: Standard deviation between people.
        repetition: Standard deviation between one person's repetitions.
        low: Least value of a correct repetition.
        high: Greatest value of a correct repetition.
        unit: ``deg``, ``height`` (fraction of stature), ``s`` or empty for a plain number.
        trait: A trait of the person that explains half of the variance between people; ``-name`` inverts it.
    """

    mean: float
    person: float
    repetition: float
    low: float
    high: float
    unit: str = ""
    trait: str = ""

    def scale(self, height: float) -> float:
        """Factor from the control's unit to radians, metres or seconds, for a stature in metres."""
        return {"deg": np.pi / 180.0, "height": height}.get(self.unit, 1.0)

    def usual(self, person: Person, score: float) -> float:
        """What is usual for a person, in the control's unit, given their standard score in this exercise."""
        if self.trait:
            sign = -1.0 if self.trait.startswith("-") else 1.0
            score = float(np.sqrt(0.5)) * (score + sign * person.traits[self.trait.lstrip("-")])
        return self.mean + self.person * score


@dataclass(frozen=True)
class Mistake:
    """A mistake shifts controls, linearly in its severity.

    Attributes:
        says: What goes wrong, in a sentence.
        shifts: For each control, what is added at severity 0 (mild) and at 1 (strong), in the control's unit.
    """

    says: str
    shifts: Mapping[str, tuple[float, float]] = field(default_factory=dict)


COMMON: dict[str, Control] = {
    "heading": Control(0.0, 7.0, 4.0, -25.0, 25.0, "deg"),
    "start_x": Control(0.0, 0.03, 0.01, -0.1, 0.1, ""),
    "start_z": Control(0.0, 0.03, 0.01, -0.1, 0.1, ""),
    "straight_knee": Control(171.0, 2.0, 0.8, 166.0, 174.5, "deg"),
    "posture": Control(2.0, 1.5, 0.5, -1.5, 6.0, "deg"),
    "head": Control(4.0, 4.0, 1.5, -5.0, 14.0, "deg"),
    "unsteady": Control(1.0, 0.25, 0.1, 0.5, 1.6, "", "-strength"),
}

# How one-sided a person becomes, wholly tired: each repetition has as much of it as it has of fatigue.
SIDES: dict[str, Control] = {
    "side_shift": Control(0.0, 0.006, 0.001, -0.014, 0.014, "height"),
    "side_roll": Control(0.0, 2.0, 0.4, -5.0, 5.0, "deg"),
    "side_twist": Control(0.0, 2.5, 0.5, -6.0, 6.0, "deg"),
    "side_arm": Control(0.0, 4.0, 0.8, -10.0, 10.0, "deg"),
}


class Exercise(ABC):
    """One exercise: its controls, its mistakes, and the movement.

    Attributes:
        name: As in the labels.
        title: For people.
        focus: Height at which a camera aims, fraction of stature.
        away: How much farther than usual a camera stands, metres.
        endless: Whether the movement goes on after the duration; else the person stands still.
        balanced: Whether the pelvis is moved so that the centre of pressure stays under the feet.
        instants: At which that is found.
        rounds: Of finding it: the body is not quite the cart on a table.
        steps: Of each round, in which the body is taken as shifted instead of moved anew: far cheaper, nearly as good.
        play: Errors of the centre of pressure, sideways and forwards in metres, that are let pass to a half.
        held: Contacts that are held down, so that they may pull.
        ahead: Of the middle of a flat foot, metres: where the centre of pressure should be.
        ease: Seconds to both sides over which the height of the pelvis is smoothed; it may have corners if not 0.
        own: Controls of this exercise; ``duration`` in seconds is among them.
        mistakes: By name.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    focus: ClassVar[float] = 0.5
    away: ClassVar[float] = 0.0
    endless: ClassVar[bool] = False
    balanced: ClassVar[bool] = False
    instants: ClassVar[int] = 256
    rounds: ClassVar[int] = 2
    steps: ClassVar[int] = 1
    play: ClassVar[tuple[float, float]] = (0.02, 0.06)
    ease: ClassVar[float] = 0.0
    held: ClassVar[tuple[str, ...]] = ()
    ahead: ClassVar[float] = 0.0
    own: ClassVar[dict[str, Control]]
    mistakes: ClassVar[dict[str, Mistake]]

    @property
    def controls(self) -> dict[str, Control]:
        """The controls that all exercises share, this one's own, and what makes tired people one-sided."""
        return COMMON | self.own | SIDES

    def style(self, person: Person, rng: np.random.Generator) -> Array:
        """How a person does this exercise: rows usual value, spread, low, high, factor to SI; a column a control."""
        height = float(person.body.height[0, 0])
        scores = self._scores(rng)
        columns = [
            (c.usual(person, float(score)), c.repetition, c.low, c.high, c.scale(height))
            for c, score in zip(self.controls.values(), scores, strict=True)
        ]
        return np.array(columns).T

    def draw(self, style: Array, rng: np.random.Generator, tired: float = 0.0) -> dict[str, float]:
        """Draw the controls of one correct repetition, in radians, metres and seconds.

        Args:
            style: From :meth:`style`.
            rng: Source of what differs between repetitions.
            tired: From :func:`~graphnets.simulation.exercises.fatigue.tiredness`: at 1 the controls are shifted by what
                is stated there and the person is as one-sided as they get, within what is correct; at 0 not at all.
        """
        usual, spread, low, high, factor = style
        values = np.clip(usual + spread * self._scores(rng), low, high)
        shift = {"unsteady": UNSTEADY} | TIRED.get(self.name, {})
        values = np.clip(values + tired * np.array([shift.get(name, 0.0) for name in self.controls]), low, high)
        values[-len(SIDES) :] *= tired
        return dict(zip(self.controls, (values * factor).tolist(), strict=True))

    def _scores(self, rng: np.random.Generator) -> Array:
        """A standard score a control; those of :data:`SIDES` from a source of their own, which leaves ``rng`` alone."""
        others = len(self.controls) - len(SIDES)
        return np.concatenate([truncated(rng, (others,)), truncated(rng.spawn(1)[0], (len(SIDES),))])

    def spoil(self, controls: Mapping[str, float], height: float, mistake: str, severity: float) -> dict[str, float]:
        """Shift the controls of a correct repetition by a mistake.

        Args:
            controls: From :meth:`draw`.
            height: Stature in metres.
            mistake: One of :attr:`mistakes`.
            severity: 0 (mild) to 1 (strong).

        Returns:
            All controls, shifted ones included.

        Raises:
            ValueError: The exercise has no such mistake.
        """
        if mistake not in self.mistakes:
            raise ValueError(f"{self.name} has no mistake {mistake!r}; it has {', '.join(self.mistakes)}")
        spoilt = dict(controls)
        for name, (mild, strong) in self.mistakes[mistake].shifts.items():
            spoilt[name] += (mild + severity * (strong - mild)) * self.controls[name].scale(height)
        return spoilt

    def perform(self, body: Body, controls: Controls, time: Array, waves: Array) -> Joints:
        """Joint positions over time in the world frame.

        Args:
            body: Segment lengths of ``R`` people, or of one.
            controls: Values, each ``[R, 1]``.
            time: Seconds since the start of the repetition, ``[R, F]``.
            waves: Of the smooth noise, ``[R, len(CHANNELS), SINES, 2]``: frequency in Hz and phase in radians.

        Returns:
            Positions by joint name.
        """
        shift = np.zeros((4, *time.shape))
        if self.balanced:
            span = grid(controls["duration"], self.instants)
            shift = between(self._shifts(body, controls, span, waves), span, time)
            shift[3] *= time <= span[:, -1:]  # who goes on for the others' sake does so unsmoothed
        joints = self._moved(body, controls, time, self._noise(body, controls, time, waves), shift)
        turn = rotation(twist=controls["heading"])
        start = vector(controls["start_x"], 0.0, controls["start_z"])
        return {name: rotate(turn, x) + start for name, x in joints.items()}

    def contacts(self, body: Body, controls: Controls, time: Array) -> dict[str, Array]:
        """What the body rests on: activations between 0 (off) and 1 (fully loadable), smooth in time.

        Both feet, unless an exercise says otherwise. The names are those of ``graphnets.simulation.contact.CONTACTS``.

        Args:
            body: Segment lengths of ``R`` people, or of one.
            controls: Values, each ``[R, 1]``.
            time: Seconds since the start of the repetition, ``[R, F]``.

        Returns:
            Activation by name of the contact, ``[R, F]``.
        """
        return {name: np.ones(time.shape) for name in ("left_foot", "right_foot")}

    def supports(self, body: Body, controls: Controls, time: Array, joints: Joints) -> tuple[Array, Array]:
        """Where the centre of pressure should be: points ``[R, F, K, 3]`` and their activations ``[R, F, K]``.

        The feet, a little :attr:`ahead`, unless an exercise says otherwise.

        Args:
            body: Segment lengths of ``R`` people, or of one.
            controls: Values, each ``[R, 1]``.
            time: Seconds since the start of the repetition, ``[R, F]``.
            joints: Positions in the person's own frame.
        """
        active = self.contacts(body, controls, time)
        feet = [foot_point(joints[f"{side}_ankle"], joints[f"{side}_foot"], body) for side in ("left", "right")]
        points = np.stack([np.broadcast_to(p, (*time.shape, 3)) for p in feet], axis=-2)
        weights = np.stack([active[f"{side}_foot"] for side in ("left", "right")], axis=-1)
        return points + vector(0.0, 0.0, self.ahead), weights

    def settled(self, body: Body, controls: Controls, time: Array, height: Array) -> Array:
        """A smooth height of the pelvis below the one that the legs allow, ``[R, F]``, at evenly spaced times."""
        return eased(height, self.ease / (time[:, 1] - time[:, 0]))

    def _moved(self, body: Body, controls: Controls, time: Array, noise: Controls, shift: Array) -> Joints:
        """Joints in the person's own frame, the pelvis moved by ``shift``, the fourth of which is its height or 0."""
        until = time if self.endless else np.minimum(time, controls["duration"])
        shifts = dict(zip(("shift_x", "shift_y", "shift_z", "level"), shift, strict=True))
        return self.move(body, controls, until, {**noise, **shifts})

    def _shifts(self, body: Body, controls: Controls, time: Array, waves: Array) -> Array:
        """How the pelvis moves for balance, ``[4, R, F]`` at evenly spaced times: see ``balance``."""
        points, shift = Points(body), np.zeros((4, *time.shape))
        noise = self._noise(body, controls, time, waves)
        for left in reversed(range(self.rounds + 1)):
            if self.ease > 0.0:
                shift[3] = 0.0
                height = self._moved(body, controls, time, noise, shift)["pelvis"][..., 1]
                shift[3] = self.settled(body, controls, time, height)
            if left:
                joints = self._moved(body, controls, time, noise, shift)
                supports, weights = self.supports(body, controls, time, joints)
                shift[:3] += correction(points, joints, supports, weights, self.play, time, self.steps)
        return shift

    @abstractmethod
    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """Joint positions in the person's own frame: feet about the origin, facing z.

        Args:
            body: Segment lengths.
            c: Controls, ``[R, 1]`` each.
            time: Seconds, ``[R, F]``, not past the duration unless the exercise is endless.
            noise: Smooth noise by channel in radians and metres: ``[R, F]``, or ``[R, F, 2]`` for paired ones.
        """

    def _noise(self, body: Body, controls: Controls, time: Array, waves: Array) -> dict[str, Array]:
        values = dict(zip(CHANNELS, wander(time, waves) * controls["unsteady"], strict=True))
        out: dict[str, Array] = {}
        for name, (size, unit_name) in WANDER.items():
            factor = size * (body.height if unit_name == "height" else np.pi / 180.0)
            if name in PAIRED:
                out[name] = np.stack([factor * values[f"{name}_left"], factor * values[f"{name}_right"]], axis=-1)
            else:
                out[name] = factor * values[name]
        out["sway_x"] = out["sway_x"] + controls["side_shift"]
        out["roll"] = out["roll"] + controls["side_roll"]
        out["twist"] = out["twist"] + controls["side_twist"]
        out["arm"] = out["arm"] + LEFT_RIGHT * 0.5 * controls["side_arm"][..., None]
        return out
