"""The landmarks of one person through a video."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from graphnets.skeleton import Skeleton
from graphnets.transforms.temporal import interpolate
from graphnets.video.detector import Person, PoseDetector, Track
from graphnets.video.reading import Frame, VideoReader

LOOK = 1.0
"""Seconds from one look for other people to the next, see :func:`find_landmarks`."""
UNEVEN = 0.25
"""A frame that is farther from its regular instant, in frames, makes the frame rate a variable one."""

Modalities = dict[str, tuple[np.ndarray, np.ndarray | None, float]]


@dataclass(frozen=True)
class Landmarks:
    """One person's landmarks in every frame of a video; what stands in frames without the person means nothing.

    Attributes:
        seconds: Of each frame from the first, ``[T]``.
        pixels: ``[T, 33, 2]``, see :class:`~graphnets.video.detector.Person`.
        world: ``[T, 33, 3]``, metres.
        visibility: ``[T, 33]`` in 0 to 1; 0 without the person.
        people: How many were seen in each frame, ``[T]``.
        followed: Whether the person was, ``[T]`` bool.
        size: Width and height of the picture.
        spent: Seconds of work by stage: decode, landmarks.
    """

    seconds: np.ndarray
    pixels: np.ndarray
    world: np.ndarray
    visibility: np.ndarray
    people: np.ndarray
    followed: np.ndarray
    size: tuple[int, int]
    spent: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of frames, T."""
        return len(self.seconds)

    @cached_property
    def even(self) -> bool:
        """Is the frame rate constant?"""
        regular = np.linspace(0, self.seconds[-1], len(self))
        return bool(np.abs(self.seconds - regular).max() <= UNEVEN * self.seconds[-1] / (len(self) - 1))

    @property
    def fps(self) -> float:
        """Frames a second: of a variable rate the usual one, that is, of the median step."""
        if self.even:
            return (len(self) - 1) / float(self.seconds[-1])
        return 1 / float(np.median(np.diff(self.seconds)))

    def mask(self, min_visibility: float = 0.5) -> np.ndarray:
        """What was observed, bool ``[T, 33]``: the person's landmarks that are at least that visible."""
        return self.followed[:, None] & (self.visibility >= min_visibility)

    def modalities(self, min_visibility: float = 0.5) -> Modalities:
        """``pose2d`` (x and y in pixels, confidence) and ``pose3d`` (x, y, z in metres) as a store takes them.

        A video of variable frame rate is interpolated on a regular clock of its usual rate, as everything
        downstream counts on one. Nothing is invented there: a landmark is observed at an instant where the nearer frame
        observes it.
        """
        flat = np.concatenate([self.pixels, self.visibility[..., None]], -1)
        joined, mask, fps = np.concatenate([flat, self.world], -1), self.mask(min_visibility), self.fps
        if not self.even:
            clock = np.arange(int(self.seconds[-1] * fps + 1e-3) + 1) / fps
            lower = np.clip(np.searchsorted(self.seconds, clock, "right") - 1, 0, len(self) - 2)
            weight = np.clip((clock - self.seconds[lower]) / np.diff(self.seconds)[lower], 0, 1)
            arguments = (joined[None], mask[None], lower[None], weight[None])
            x, seen = interpolate(*(torch.from_numpy(a) for a in arguments))
            joined, mask = x[0].numpy(), seen[0].numpy()
        return {"pose2d": (joined[..., :3], mask, fps), "pose3d": (joined[..., 3:], mask, fps)}


def find_landmarks(
    path: str | Path,
    model: str | Path | None = None,
    people: int | None = None,
    tick: Callable[[int], None] | None = None,
) -> Landmarks:
    """Find one person's landmarks in a video.

    Several people confuse: then :class:`~graphnets.video.detector.Track` says who is kept. Looking for a second one
    in every frame doubles the time, so by default that is done in one frame a second only; where somebody turns
    up, the video is gone through again, looking for two in every frame.

    Args:
        path: The video.
        model: The bundle, see :func:`~graphnets.video.model.find_model`.
        people: How many are looked for in every frame; None = as said above.
        tick: Called after every frame with the number of frames done, which begins anew with the video.

    Raises:
        ValueError: The video can't be used, see :class:`~graphnets.video.reading.VideoReader`, holds one frame only, or
            there is no model.
    """
    if people is not None and people < 1:
        raise ValueError(f"people is {people}; at least 1 is to be looked for")
    if people is None:
        found = _pass(path, model, 1, True, tick)
        return found if found is not None else _all(path, model, 2, tick)
    return _all(path, model, people, tick)


def _all(path: str | Path, model: str | Path | None, people: int, tick: Callable[[int], None] | None) -> Landmarks:
    found = _pass(path, model, people, False, tick)
    assert found is not None
    return found


def _pass(
    path: str | Path, model: str | Path | None, people: int, look: bool, tick: Callable[[int], None] | None
) -> Landmarks | None:
    """Go through a video once; None as soon as a look around finds a second person."""
    joints = Skeleton.load("mediapipe33").num_joints
    nobody = Person(np.zeros((joints, 2)), np.zeros((joints, 3)), np.zeros(joints))
    kept: list[Person] = []
    seconds: list[float] = []
    counts: list[int] = []
    followed: list[bool] = []
    spent = {"decode": 0.0, "landmarks": 0.0}
    track, next_look = Track(), 0.0
    with VideoReader(path) as video, PoseDetector(model, people) as detector, PoseDetector(model, 2, False) as around:
        for at, picture in _timed(iter(video), spent):
            begin = time.perf_counter()
            if look and at >= next_look:
                next_look = at + LOOK
                if len(around(picture)) > 1:
                    return None
            found = detector(picture, at)
            chosen = track.pick(found, at)
            spent["landmarks"] += time.perf_counter() - begin
            kept.append(chosen or nobody)
            seconds.append(at)
            counts.append(len(found))
            followed.append(chosen is not None)
            if tick is not None:
                tick(len(kept))
        size = (video.width, video.height)
    if len(kept) < 2:
        raise ValueError(f"{path}: holds {len(kept)} frame; a movement needs 2 at least")
    pixels, world, visibility = (np.stack(part) for part in zip(*kept, strict=True))
    return Landmarks(np.array(seconds), pixels, world, visibility, np.array(counts), np.array(followed), size, spent)


def _timed(frames: Iterator[Frame], spent: dict[str, float]) -> Iterator[Frame]:
    """The frames, while the time that they take is added to ``spent``."""
    while True:
        begin = time.perf_counter()
        frame = next(frames, None)
        spent["decode"] += time.perf_counter() - begin
        if frame is None:
            return
        yield frame
