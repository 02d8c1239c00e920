"""Generate recordings: who does which exercise how, reproducibly, whatever the subset and the order."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import Body, Person
from graphnets.simulation.camera import Detector, aim, draw_camera
from graphnets.simulation.exercises import CHANNELS, EXERCISES, SINES, Exercise
from graphnets.simulation.kinematics import Array
from graphnets.skeleton import Skeleton

CORRECT = "correct"
JOINTS = Skeleton.load("kinect20").joints
Float32 = NDArray[np.float32]


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
        return f"{self.exercise}_{self.mistake}_s{self.subject:02d}_r{self.repetition:02d}"

    @property
    def pair(self) -> str:
        """Id of the correct repetition that differs from this one in the mistake alone."""
        return Clip(self.exercise, CORRECT, self.subject, self.repetition).id

    @property
    def label(self) -> str:
        """Class of the mistake: ``correct``, or exercise and mistake."""
        return CORRECT if self.mistake == CORRECT else f"{self.exercise}_{self.mistake}"


@dataclass(frozen=True)
class Recording:
    """A generated repetition.

    Attributes:
        clip: What it is.
        fps: Frames a second.
        pose: Joints in metres in the order of ``kinect20``, ``[T, 20, 3]``; x left, y up, z forward.
        pose2d: Pixels right of and below the upper left corner, and confidence, ``[T, 20, 3]``; zeros where missed.
        pose2d_mask: What the detector found, ``[T, 20]``.
        severity: 0 for a correct repetition, else from mild (near 0) to strong (1).
        duration: Of the repetition, in seconds.
        height: Of the subject, in metres.
        heading: Where the subject faces, in degrees from z towards x.
        camera_azimuth: Where the camera stands, in degrees from z towards x.
        controls: Values of the exercise's controls, in radians, metres and seconds.
    """

    clip: Clip
    fps: float
    pose: Float32
    pose2d: Float32
    pose2d_mask: NDArray[np.bool_]
    severity: float
    duration: float
    height: float
    heading: float
    camera_azimuth: float
    controls: dict[str, float]

    @property
    def id(self) -> str:
        """Of the clip."""
        return self.clip.id

    @property
    def subject(self) -> str:
        """Like ``s03``."""
        return f"s{self.clip.subject:02d}"


def mistake_classes(exercises: Sequence[str] | None = None) -> list[str]:
    """Classes of the mistake label: ``correct``, then every mistake of the exercises."""
    chosen = _checked_exercises(exercises)
    return [CORRECT, *(f"{e}_{m}" for e in chosen for m in EXERCISES[e].mistakes)]


def plan(subjects: int = 20, repetitions: int = 4, exercises: Sequence[str] | None = None) -> list[Clip]:
    """All clips of a data set: each subject makes ``repetitions`` correct ones and as many of each mistake.

    Raises:
        ValueError: A number is below 1 or above 999, or an exercise is unknown.
    """
    for name, value in (("subjects", subjects), ("repetitions", repetitions)):
        if not 1 <= value <= 999:
            raise ValueError(f"{name} is {value}; allowed are 1 to 999")
    return [
        Clip(exercise, mistake, subject, repetition)
        for subject in range(1, subjects + 1)
        for exercise in _checked_exercises(exercises)
        for mistake in (CORRECT, *EXERCISES[exercise].mistakes)
        for repetition in range(1, repetitions + 1)
    ]


def generate(
    subjects: int = 20,
    repetitions: int = 4,
    seed: int = 0,
    fps: float = 30.0,
    exercises: Sequence[str] | None = None,
    skip: Collection[str] = (),
) -> Iterator[Recording]:
    """Generate a data set.

    Args:
        subjects: How many people.
        repetitions: Correct ones of each exercise and subject, and of each mistake.
        seed: 0 or more. Each recording follows from the seed and its own name, so any subset is the same.
        fps: Frames a second, 5 to 240.
        exercises: Names; None for all.
        skip: Ids to leave out.

    Yields:
        Recordings, subject by subject.

    Raises:
        ValueError: An argument is out of its range.
    """
    clips = plan(subjects, repetitions, exercises)
    group: list[Clip] = []
    for clip in (c for c in clips if c.id not in skip):
        if group and (clip.subject, clip.exercise) != (group[0].subject, group[0].exercise):
            yield from render(group, seed, fps)
            group = []
        group.append(clip)
    yield from render(group, seed, fps)


def render(clips: Sequence[Clip], seed: int = 0, fps: float = 30.0) -> list[Recording]:
    """Generate clips of one exercise, of any subjects, all at once.

    Args:
        clips: Of one exercise.
        seed: 0 or more.
        fps: Frames a second, 5 to 240.

    Returns:
        One recording a clip, in their order.

    Raises:
        ValueError: The clips are of different exercises, or an argument is out of its range.
    """
    if not 5 <= fps <= 240:
        raise ValueError(f"fps is {fps}; allowed are 5 to 240")
    if seed < 0:
        raise ValueError(f"seed is {seed}; allowed are 0 and above")
    if not clips:
        return []
    if len(names := {c.exercise for c in clips}) > 1:
        raise ValueError(f"clips of one exercise are rendered together, got {', '.join(sorted(names))}")
    exercise = EXERCISES[_checked_exercises([clips[0].exercise])[0]]
    people = [_person(seed, c.subject) for c in clips]
    controls, severities, waves = zip(
        *(_draw(exercise, c, p, seed) for c, p in zip(clips, people, strict=True)), strict=True
    )
    values = {name: np.array([[c[name]] for c in controls]) for name in exercise.controls}
    lengths = np.round(values["duration"][:, 0] * fps).astype(int) + 1
    time = np.broadcast_to(np.arange(lengths.max()) / fps, (len(clips), lengths.max()))
    body = Body.stack([p.body for p in people])
    joints = exercise.perform(body, values, time, np.stack(waves))
    shape = (len(clips), lengths.max(), 3)
    pose = np.stack([np.broadcast_to(joints[name], shape) for name in JOINTS], axis=2)
    cameras = [
        draw_camera(
            _rng(seed, "view", c.subject), _rng(seed, "camera", c.subject, c.exercise, c.repetition),
            exercise.focus * float(p.body.height[0, 0]),
        )
        for c, p in zip(clips, people, strict=True)
    ]  # fmt: skip
    detector = Detector(JOINTS)
    noise = [
        detector.draw(_rng(seed, "detector", c.subject, c.exercise, c.repetition), int(n))
        for c, n in zip(clips, lengths, strict=True)
    ]
    pose2d, mask = detector(pose, aim(cameras), noise, fps)
    return [
        Recording(
            clip=clip,
            fps=float(fps),
            pose=pose[i, :n].astype(np.float32),
            pose2d=pose2d[i, :n].astype(np.float32),
            pose2d_mask=mask[i, :n].copy(),
            severity=severities[i],
            duration=float(values["duration"][i, 0]),
            height=float(body.height[i, 0]),
            heading=float(np.degrees(values["heading"][i, 0])),
            camera_azimuth=float(np.degrees(cameras[i].azimuth)),
            controls=controls[i],
        )
        for i, (clip, n) in enumerate(zip(clips, lengths, strict=True))
    ]


def _draw(exercise: Exercise, clip: Clip, person: Person, seed: int) -> tuple[dict[str, float], float, Array]:
    """Controls, severity and waves of a clip; what a mistake shares with its correct pair does not depend on it."""
    style = exercise.style(person, _rng(seed, "style", clip.subject, clip.exercise))
    rng = _rng(seed, "repetition", clip.subject, clip.exercise, clip.repetition)
    controls = exercise.draw(person, style, rng)
    waves = np.stack(
        [rng.uniform(0.12, 0.9, (len(CHANNELS), SINES)), rng.uniform(0.0, 2.0 * np.pi, (len(CHANNELS), SINES))], axis=-1
    )
    if clip.mistake == CORRECT:
        return controls, 0.0, waves
    severity = float(
        _rng(seed, "mistake", clip.subject, clip.exercise, clip.repetition, clip.mistake).uniform(0.02, 1.0)
    )
    return exercise.spoil(controls, float(person.body.height[0, 0]), clip.mistake, severity), severity, waves


@lru_cache(maxsize=1024)
def _person(seed: int, subject: int) -> Person:
    return Person.draw(_rng(seed, "person", subject))


def _rng(seed: int, *key: str | int) -> np.random.Generator:
    """A generator of its own for every key; text enters by its CRC-32, which no new name can shift."""
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def _checked_exercises(exercises: Sequence[str] | None) -> list[str]:
    chosen = list(EXERCISES) if exercises is None else list(exercises)
    if unknown := [e for e in chosen if e not in EXERCISES]:
        raise ValueError(f"unknown exercise {', '.join(map(repr, unknown))}; there are {', '.join(EXERCISES)}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"exercises must be different names, at least one; got {chosen}")
    return chosen
