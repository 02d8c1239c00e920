"""What an exercise is: controls that people vary, mistakes that shift them, and a movement that follows from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from graphnets.simulation.body import (
    LEFT_RIGHT,
    Body,
    Frame,
    Person,
    foot_vector,
    hip_offsets,
    truncated,
    trunk,
    unit,
)
from graphnets.simulation.kinematics import Array, rotate, rotation, smooth_min, two_bone, vector, wander

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

    def draw(self, person: Person, style: Array, chance: Array) -> Array:
        """Values for standard scores ``style`` of the person and ``chance`` of the repetition."""
        score = style
        if self.trait:
            sign = -1.0 if self.trait.startswith("-") else 1.0
            score = np.sqrt(0.5) * (style + sign * person.traits[self.trait.lstrip("-")])
        return np.clip(self.mean + self.person * score + self.repetition * chance, self.low, self.high)

    def scale(self, height: Array) -> Array:
        """Factor from the control's unit to radians, metres or seconds."""
        return {"deg": np.full_like(height, np.pi / 180.0), "height": height}.get(self.unit, np.ones_like(height))


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


class Exercise(ABC):
    """One exercise: its controls, its mistakes, and the movement.

    Attributes:
        name: As in the labels.
        title: For people.
        focus: Height at which a camera aims, fraction of stature.
        own: Controls of this exercise; ``duration`` in seconds is among them.
        mistakes: By name.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    focus: ClassVar[float] = 0.5
    own: ClassVar[dict[str, Control]]
    mistakes: ClassVar[dict[str, Mistake]]

    @property
    def controls(self) -> dict[str, Control]:
        """The controls that all exercises share and this one's own."""
        return COMMON | self.own

    def style(self, person: Person, rng: np.random.Generator) -> Array:
        """A person's standard scores for the controls of this exercise."""
        return truncated(rng, (len(self.controls),))

    def draw(self, person: Person, style: Array, rng: np.random.Generator) -> dict[str, float]:
        """Draw the controls of one correct repetition, in radians, metres and seconds."""
        height = person.body.height[0]
        chance = truncated(rng, (len(style),))
        return {
            name: float((control.draw(person, style[i], chance[i]) * control.scale(height))[0])
            for i, (name, control) in enumerate(self.controls.items())
        }

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
            factor = float(self.controls[name].scale(np.array([height]))[0])
            spoilt[name] += (mild + severity * (strong - mild)) * factor
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
        joints = self.move(body, controls, np.minimum(time, controls["duration"]), self._noise(body, controls, time, waves))
        turn = rotation(twist=controls["heading"])
        start = vector(controls["start_x"], 0.0, controls["start_z"])
        return {name: rotate(turn, x) + start for name, x in joints.items()}

    @abstractmethod
    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """Joint positions in the person's own frame: feet about the origin, facing z.

        Args:
            body: Segment lengths.
            c: Controls, ``[R, 1]`` each.
            time: Seconds, ``[R, F]``, not past the duration.
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
        return out


def both(value: Array) -> Array:
    """Give ``[R, F]`` or ``[R, 1]`` values a last axis for left and right."""
    return value[..., None]


def upright(
    body: Body, pelvis: Array, lean: Array, curl: Array, c: Controls, noise: Controls, shrug: Array, gaze: float = 0.45
) -> Frame:
    """A trunk that stands or leans: pelvis, chest and head with sway.

    Args:
        body: Segment lengths.
        pelvis: ``[R, F, 3]``.
        lean: Forward lean of the trunk in radians, ``[R, F]``.
        curl: Rounding of the back, ``[R, F]``: the angle between lower and upper trunk.
        c: Controls; ``head`` is used.
        noise: Smooth noise.
        shrug: Elevation of the shoulder girdles, ``[R, F, 2]``.
        gaze: Share of the lean that the head follows; the rest keeps the eyes ahead.
    """
    whole = lean + noise["lean"]
    chest = rotation(whole + 0.5 * curl, noise["roll"], noise["twist"])
    head = rotation(gaze * whole + c["head"] + noise["head_lean"], noise["roll"], noise["twist"] + noise["head_twist"])
    return trunk(body, pelvis, pelvis_rotation(lean, curl, noise), chest, head, shrug + noise["shrug"])


def pelvis_rotation(lean: Array, curl: Array, noise: Controls) -> Array:
    """Orientation of the pelvis under :func:`upright`."""
    return rotation(lean + noise["lean"] - 0.5 * curl, 0.0, 0.5 * noise["twist"])


def standing_feet(body: Body, half_stance: Array, toe_out: Array) -> tuple[Array, Array]:
    """Ankles and toes of feet that stand flat beside the origin, each ``[R, 1, 2, 3]``.

    Args:
        body: Segment lengths.
        half_stance: Half the distance of the ankles, ``[R, 1]``.
        toe_out: Outward turn of the feet, ``[R, 1]``.
    """
    ankles = vector(LEFT_RIGHT * half_stance[..., None], body.ankle[..., None], 0.0)
    turned = np.broadcast_to(toe_out[..., None], ankles.shape[:-1])
    return ankles, ankles + foot_vector(body, np.zeros_like(turned), turned)


def pelvis_height(x: Array, z: Array, offsets: Array, ankles: Array, reach: Array) -> Array:
    """Greatest height of the pelvis at which both hips are within ``reach`` of their ankles, smoothly.

    Args:
        x: Of the pelvis, ``[R, F]``.
        z: Of the pelvis, ``[R, F]``.
        offsets: From the pelvis to the hips, ``[R, F, 2, 3]``.
        ankles: ``[R, F, 2, 3]``.
        reach: Distance of hip and ankle, ``[R, F, 2]``.

    Returns:
        ``[R, F]``; where both legs would allow the same, some millimetres less.

    Raises:
        ValueError: A foot stands too far away for any height.
    """
    dx, dz = ankles[..., 0] - both(x) - offsets[..., 0], ankles[..., 2] - both(z) - offsets[..., 2]
    square = reach**2 - dx**2 - dz**2
    if np.any(square <= 0):
        raise ValueError(f"a foot is {np.sqrt(np.max(dx**2 + dz**2)):.3f} m from under the hip, out of the leg's reach")
    height = ankles[..., 1] - offsets[..., 1] + np.sqrt(square)
    return smooth_min(height[..., 0], height[..., 1])


def assemble(body: Body, frame: Frame, ankles: Array, toes: Array, knee_hint: Array, arms: tuple[Array, ...]) -> Joints:
    """Put trunk, legs and arms together by joint name.

    Args:
        body: Segment lengths.
        frame: The trunk.
        ankles: ``[R, F, 2, 3]``.
        toes: ``[R, F, 2, 3]``.
        knee_hint: Where the knees point, ``[R, F, 2, 3]``.
        arms: Elbows, wrists and hands, each ``[R, F, 2, 3]``.
    """
    shape = frame.hips.shape
    ankles, toes = np.broadcast_to(ankles, shape), np.broadcast_to(toes, shape)
    knees = two_bone(frame.hips, ankles, knee_hint, body.thigh, body.shank)
    limbs = dict(zip(("elbow", "wrist", "hand"), arms, strict=True))
    limbs |= {"shoulder": frame.shoulders, "hip": frame.hips, "knee": knees, "ankle": ankles, "foot": toes}
    return frame.joints | {
        f"{side}_{name}": x[..., i, :] for name, x in limbs.items() for i, side in enumerate(("left", "right"))
    }


def reach_arm(body: Body, shoulders: Array, wrists: Array, hint: Array) -> tuple[Array, Array, Array]:
    """Arms by inverse kinematics: elbows, wrists and hands that go on along the forearms."""
    elbows = two_bone(shoulders, wrists, hint, body.upper_arm, body.forearm)
    return elbows, wrists, wrists + body.hand[..., None] * unit(wrists - elbows)


def pointing(turn: Array) -> Array:
    """Level unit vectors ``[R, F, 2, 3]`` ahead, turned outwards on each side by ``turn [R, F, 2]`` radians."""
    return vector(LEFT_RIGHT * np.sin(turn), 0.0, np.cos(turn))
