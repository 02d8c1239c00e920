"""Which repetitions a data set has, and the source of chance that belongs to each."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.exercises import EXERCISES

CORRECT = "correct"


@dataclass(frozen=True)
class Clip:
    """One repetition to be generated: everything about it follows from this and the seed.

    Attributes:
        exercise: Name of the exercise.
        mistake: Name of the mistake, or ``correct``.
        subject: Number of the subject, from 1.
        repetition: Number of the repetition, from 1.
    """

    exercise: str
    mistake: str
    subject: int
    repetition: int

    @property
    def id(self) -> str:
        """Like ``squat_knees_inward_s03_r02``."""
        return f"{self.exercise}_{self.mistake}_{self.subject_name}_r{self.repetition:02d}"

    @property
    def subject_name(self) -> str:
        """Like ``s03``."""
        return f"s{self.subject:02d}"

    @property
    def pair(self) -> str:
        """Id of the correct repetition that differs from this one in the mistake alone."""
        return Clip(self.exercise, CORRECT, self.subject, self.repetition).id

    @property
    def label(self) -> str:
        """Class of the mistake: ``correct``, or exercise and mistake."""
        return CORRECT if self.mistake == CORRECT else f"{self.exercise}_{self.mistake}"


def plan(subjects: int = 20, repetitions: int = 4, exercises: Sequence[str] | None = None) -> list[Clip]:
    """All clips of a data set: each subject makes ``repetitions`` correct ones and as many of each mistake.

    Args:
        subjects: 1 to 999.
        repetitions: 1 to 999.
        exercises: Names; None for all.

    Returns:
        Clips, subject by subject, exercise by exercise.

    Raises:
        ValueError: A number is out of its range, or an exercise is unknown.
    """
    for name, value in (("subjects", subjects), ("repetitions", repetitions)):
        if not 1 <= value <= 999:
            raise ValueError(f"{name} is {value}; allowed are 1 to 999")
    return [
        Clip(exercise, mistake, subject, repetition)
        for subject in range(1, subjects + 1)
        for exercise in checked_exercises(exercises)
        for mistake in (CORRECT, *EXERCISES[exercise].mistakes)
        for repetition in range(1, repetitions + 1)
    ]


def mistake_classes(exercises: Sequence[str] | None = None) -> list[str]:
    """Classes of the mistake label: ``correct``, then every mistake of the exercises."""
    chosen = checked_exercises(exercises)
    return [CORRECT, *(f"{e}_{m}" for e in chosen for m in EXERCISES[e].mistakes)]


def checked_exercises(exercises: Sequence[str] | None) -> list[str]:
    """Names of exercises; all of them for None.

    Raises:
        ValueError: A name is unknown or there twice, or there is none.
    """
    chosen = list(EXERCISES) if exercises is None else list(exercises)
    if unknown := [e for e in chosen if e not in EXERCISES]:
        raise ValueError(f"unknown exercise {', '.join(map(repr, unknown))}; there are {', '.join(EXERCISES)}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"exercises must be different names, at least one; got {chosen}")
    return chosen


def source(seed: int, *key: str | int) -> np.random.Generator:
    """A generator of its own for every key, so that nothing depends on what else is drawn, or when.

    Args:
        seed: Of the data set, 0 or more.
        key: What is drawn, for whom; text enters by its CRC-32, which no new name can shift.
    """
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key]
    entropy = [seed, *words]
    # An array of words is what NumPy makes of the list, three times slower.
    whole = np.array(entropy, np.uint32) if max(entropy) < 2**32 else entropy
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(whole)))


def normal(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard normal numbers in single precision, for noise: four times faster than NumPy's.

    Box and Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29(2), 1958:
    ``sqrt(-2 ln(1 - u)) (cos, sin)(2 pi v)``. With 24 bits none is beyond 5.8.

    Args:
        first: Uniform ``u``, 0 to below 1, any shape.
        second: ``v``, of the same shape.

    Returns:
        Two independent ones, of that shape.
    """
    radius = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - first))
    angle = np.float32(2.0 * np.pi) * second
    return radius * np.cos(angle), radius * np.sin(angle)
