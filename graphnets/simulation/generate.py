"""Generate recordings: who does which exercise how, filmed, reproducibly, whatever the subset and the order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.camera import Camera, Detector, aim, draw_camera
from graphnets.simulation.clips import Clip, plan, source
from graphnets.simulation.motion import move
from graphnets.skeleton import Skeleton

SKELETON = "kinect20"
Float32 = NDArray[np.float32]


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

    @property
    def id(self) -> str:
        """Of the clip."""
        return self.clip.id

    @property
    def subject(self) -> str:
        """Of the clip, like ``s03``."""
        return self.clip.subject_name


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
        subjects: How many people, 1 to 999.
        repetitions: Correct ones of each exercise and subject, and of each mistake, 1 to 999.
        seed: 0 or more. Each recording follows from the seed and its own name, so any subset is the same.
        fps: Frames a second, 5 to 240.
        exercises: Names; None for all.
        skip: Ids to leave out.

    Yields:
        Recordings, subject by subject.

    Raises:
        ValueError: An argument is out of its range.
    """
    for _, clips in groupby(plan(subjects, repetitions, exercises), key=_group):
        group = list(clips)
        # A group is always rendered whole, so that a resumed run repeats the very same arithmetic.
        if any(clip.id not in skip for clip in group):
            yield from (r for r in render(group, seed, fps) if r.id not in skip)


def render(clips: Sequence[Clip], seed: int = 0, fps: float = 30.0) -> list[Recording]:
    """Generate clips of one exercise, of any subjects, all at once.

    Args:
        clips: At least one; of one exercise.
        seed: 0 or more.
        fps: Frames a second, 5 to 240.

    Returns:
        One recording a clip, in their order.

    Raises:
        ValueError: The clips are none or of different exercises, or an argument is out of its range.
    """
    motion = move(clips, seed, fps)
    joints = Skeleton.load(SKELETON).joints
    pose = motion.stack(joints)
    heights = motion.body.height[:, 0]
    focus, away = motion.exercise.focus, motion.exercise.away
    cameras = [_camera(seed, c, focus * float(h), away) for c, h in zip(clips, heights, strict=True)]
    detector = Detector(joints)
    noise = [
        detector.draw(source(seed, "detector", c.subject, c.exercise, c.repetition), int(n))
        for c, n in zip(clips, motion.lengths, strict=True)
    ]
    pose2d, mask = detector(pose, aim(cameras), noise, fps)
    return [
        Recording(
            clip=clip,
            fps=motion.fps,
            pose=pose[i, :n].astype(np.float32),
            pose2d=pose2d[i, :n].astype(np.float32),
            pose2d_mask=mask[i, :n].copy(),
            severity=float(motion.severity[i]),
            duration=float(motion.controls["duration"][i, 0]),
            height=float(heights[i]),
            heading=float(np.degrees(motion.controls["heading"][i, 0])),
            camera_azimuth=float(np.degrees(cameras[i].azimuth)),
        )
        for i, (clip, n) in enumerate(zip(clips, motion.lengths, strict=True))
    ]


def _group(clip: Clip) -> tuple[int, str]:
    return clip.subject, clip.exercise


def _camera(seed: int, clip: Clip, target: float, away: float) -> Camera:
    subject = source(seed, "view", clip.subject)
    near = draw_camera(subject, source(seed, "camera", clip.subject, clip.exercise, clip.repetition), target)
    return replace(near, distance=near.distance + away)
