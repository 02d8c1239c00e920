"""Motion of a body: joint positions in double precision from clips and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import Body, Person
from graphnets.simulation.clips import CORRECT, Clip, checked_exercises, source
from graphnets.simulation.exercises import CHANNELS, EXERCISES, SINES, Exercise, Joints
from graphnets.simulation.exercises.fatigue import tiredness
from graphnets.simulation.kinematics import Array

MARGIN = 0.4
"""Seconds that an endless exercise goes on before and after what is recorded of it: a spline's ends know no better than
that motion begins and ends there, and two derivatives show it."""
SLOWEST, FASTEST = 0.12, 0.9
"""Frequencies of the smooth noise, Hz."""


@dataclass(frozen=True)
class Motion:
    """``R`` repetitions of one exercise, ``F`` frames at the longest; later frames of the others stand still.

    Attributes:
        exercise: What is done.
        clips: One a repetition.
        fps: Frames a second.
        body: Segment lengths of who does it, ``R`` people.
        controls: Values of the exercise's controls, ``[R, 1]`` each, in radians, metres and seconds.
        severity: 0 for a correct repetition, else from mild (near 0) to strong (1), ``[R]``.
        lengths: Frames of each repetition, ``[R]``.
        wide: Positions in metres by joint name, ``[R, margin + F + margin, 3]`` each; x left, y up, z forward.
        margin: Frames before and after what is recorded; 0 unless the exercise is endless.
    """

    exercise: Exercise
    clips: tuple[Clip, ...]
    fps: float
    body: Body
    controls: dict[str, Array]
    severity: Array
    lengths: NDArray[np.int64]
    wide: Joints
    margin: int = 0

    @property
    def joints(self) -> Joints:
        """Positions in metres by joint name, ``[R, F, 3]`` each, what is recorded."""
        inner = slice(self.margin, self.margin + int(self.lengths.max()))
        return {name: x if x.shape[1] == 1 else x[:, inner] for name, x in self.wide.items()}

    @property
    def knots(self) -> NDArray[np.int64]:
        """Frames of each repetition with the margins, ``[R]``."""
        out: NDArray[np.int64] = self.lengths + 2 * self.margin
        return out

    def stack(self, names: Sequence[str]) -> Array:
        """Positions of the named joints, ``[R, F, V, 3]``."""
        shape = (len(self.clips), int(self.lengths.max()), 3)
        joints = self.joints
        return np.stack([np.broadcast_to(joints[name], shape) for name in names], axis=2)


def move(clips: Sequence[Clip], seed: int = 0, fps: float = 30.0) -> Motion:
    """Let people do an exercise.

    Args:
        clips: At least one; of one exercise, of any subjects.
        seed: 0 or more. Each repetition follows from the seed and its clip, whatever else is asked for.
        fps: Frames a second, 5 to 240.

    Returns:
        One repetition a clip, in their order.

    Raises:
        ValueError: The clips are none or of different exercises, or an argument is out of its range.
    """
    if not 5 <= fps <= 240:
        raise ValueError(f"fps is {fps}; allowed are 5 to 240")
    if seed < 0:
        raise ValueError(f"seed is {seed}; allowed are 0 and above")
    names = sorted({c.exercise for c in clips})
    if len(names) != 1:
        raise ValueError(f"clips must be of one exercise, got {', '.join(names) or 'none'}")
    exercise = EXERCISES[checked_exercises(names)[0]]
    body = Body.stack([person_of(seed, c.subject).body for c in clips])
    draws = [_draw(exercise, c, seed) for c in clips]
    controls = {name: np.array([[values[name]] for values, _, _ in draws]) for name in exercise.controls}
    lengths = np.round(controls["duration"][:, 0] * fps).astype(np.int64) + 1
    margin = round(MARGIN * fps) if exercise.endless else 0
    frames = np.arange(-margin, lengths.max() + margin)
    time = np.broadcast_to(frames / fps, (len(clips), len(frames)))
    joints = exercise.perform(body, controls, time, np.stack([waves for _, _, waves in draws]))
    severity = np.array([severity for _, severity, _ in draws])
    return Motion(exercise, tuple(clips), float(fps), body, controls, severity, lengths, joints, margin)


@lru_cache(maxsize=1024)
def person_of(seed: int, subject: int) -> Person:
    """Who a subject is."""
    return Person.draw(source(seed, "person", subject))


@lru_cache(maxsize=1024)
def _style(seed: int, subject: int, exercise: str) -> Array:
    return EXERCISES[exercise].style(person_of(seed, subject), source(seed, "style", subject, exercise))


def _draw(exercise: Exercise, clip: Clip, seed: int) -> tuple[dict[str, float], float, Array]:
    """Controls, severity and waves of a clip; what it shares with its correct pair does not depend on the mistake."""
    rng = source(seed, "repetition", clip.subject, clip.exercise, clip.repetition)
    tired = tiredness(clip.repetition, person_of(seed, clip.subject))
    controls = exercise.draw(_style(seed, clip.subject, clip.exercise), rng, tired)
    shape = (len(CHANNELS), SINES)
    waves = np.stack([rng.uniform(SLOWEST, FASTEST, shape), rng.uniform(0.0, 2.0 * np.pi, shape)], axis=-1)
    if clip.mistake == CORRECT:
        return controls, 0.0, waves
    chance = source(seed, "mistake", clip.subject, clip.exercise, clip.repetition, clip.mistake)
    severity = float(chance.uniform(0.02, 1.0))
    height = float(person_of(seed, clip.subject).body.height[0, 0])
    return exercise.spoil(controls, height, clip.mistake, severity), severity, waves
