"""Generate recordings: who does which exercise how, filmed, reproducibly, whatever the subset and the order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.clips import Clip, plan
from graphnets.simulation.motion import move
from graphnets.simulation.streams import MODALITIES, Setup, Stream, record

__all__ = ["MODALITIES", "Recording", "Setup", "Stream", "generate", "groups", "render"]

Float32 = NDArray[np.float32]
AT_ONCE = 20
"""Repetitions that are computed together: enough to fill vectors, few enough to stay in the caches."""


@dataclass(frozen=True)
class Recording:
    """A generated repetition.

    Attributes:
        clip: What it is.
        fps: Frames a second of everything but the sensors.
        streams: What was recorded, by modality; units and axes are in the card of ``datasets/synthetic``.
        severity: 0 for a correct repetition, else from mild (near 0) to strong (1).
        duration: Of the repetition, in seconds.
        height: Of the subject, in metres.
        mass: Of the subject, in kg.
        heading: Where the subject faces, in degrees from z towards x.
        azimuths: Where the camera of each view stands, in degrees from z towards x.
    """

    clip: Clip
    fps: float
    streams: dict[str, Stream]
    severity: float
    duration: float
    height: float
    mass: float
    heading: float
    azimuths: dict[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Of the clip."""
        return self.clip.id

    @property
    def subject(self) -> str:
        """Of the clip, like ``s03``."""
        return self.clip.subject_name

    @property
    def pose(self) -> Float32:
        """Joints in metres, ``[T, V, 3]``; x left, y up, z forward."""
        return self.streams["pose"].values

    @property
    def pose2d(self) -> Float32:
        """Pixels right of and below the upper left corner, and confidence, ``[T, V, 3]``; zeros where missed."""
        return self.streams["pose2d"].values

    @property
    def pose2d_mask(self) -> NDArray[np.bool_]:
        """What the detector found, ``[T, V]``."""
        mask = self.streams["pose2d"].mask
        assert mask is not None
        return mask

    @property
    def camera_azimuth(self) -> float:
        """Where the first camera stands, in degrees from z towards x."""
        return self.azimuths["pose2d"]


def generate(
    subjects: int = 20,
    repetitions: int = 4,
    seed: int = 0,
    fps: float = 30.0,
    exercises: Sequence[str] | None = None,
    skip: Collection[str] = (),
    setup: Setup | None = None,
) -> Iterator[Recording]:
    """Generate a data set.

    Args:
        subjects: How many people, 1 to 999.
        repetitions: Correct ones of each exercise and subject, and of each mistake, 1 to 999.
        seed: 0 or more. Each recording follows from the seed and its own name, so any subset is the same.
        fps: Frames a second, 5 to 240.
        exercises: Names; None for all.
        skip: Ids to leave out.
        setup: What is recorded; pose and one view if None.

    Yields:
        Recordings, subject by subject.

    Raises:
        ValueError: An argument is out of its range.
    """
    for group in groups(subjects, repetitions, exercises, skip):
        yield from (r for r in render(group, seed, fps, setup) if r.id not in skip)


def groups(
    subjects: int = 20, repetitions: int = 4, exercises: Sequence[str] | None = None, skip: Collection[str] = ()
) -> Iterator[list[Clip]]:
    """The clips of a data set in the groups in which they are made; groups of which all is to be skipped are left out.

    A group is always rendered whole, so that a resumed run repeats the very same arithmetic.

    Raises:
        ValueError: An argument is out of its range.
    """
    for _, clips in groupby(plan(subjects, repetitions, exercises), key=_group):
        some = list(clips)
        for start in range(0, len(some), AT_ONCE):
            group = some[start : start + AT_ONCE]
            if any(clip.id not in skip for clip in group):
                yield group


def render(clips: Sequence[Clip], seed: int = 0, fps: float = 30.0, setup: Setup | None = None) -> list[Recording]:
    """Generate clips of one exercise, of any subjects, all at once.

    Args:
        clips: At least one; of one exercise.
        seed: 0 or more.
        fps: Frames a second, 5 to 240.
        setup: What is recorded; pose and one view if None.

    Returns:
        One recording a clip, in their order.

    Raises:
        ValueError: The clips are none or of different exercises, or an argument is out of its range.
    """
    motion = move(clips, seed, fps)
    streams, azimuths = record(motion, seed, setup or Setup())
    return [
        Recording(
            clip=clip,
            fps=motion.fps,
            streams=streams[i],
            severity=float(motion.severity[i]),
            duration=float(motion.controls["duration"][i, 0]),
            height=float(motion.body.height[i, 0]),
            mass=float(motion.body.mass[i, 0]),
            heading=float(np.degrees(motion.controls["heading"][i, 0])),
            azimuths=azimuths[i],
        )
        for i, clip in enumerate(clips)
    ]


def _group(clip: Clip) -> tuple[int, str]:
    return clip.subject, clip.exercise
