"""MediaPipe's pose landmarker (Tasks API) on single pictures and on the frames of a video."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from graphnets.video.model import find_model
from graphnets.video.quiet import quiet_native

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import PoseLandmarker, PoseLandmarkerResult

SAME_PERSON = 0.7
"""Two boxes that overlap by more of their union are one person, found twice."""


class Person(NamedTuple):
    """One person in one picture.

    Attributes:
        pixels: x to the right and y down from the upper left corner, ``[33, 2]``.
        world: Metres from the middle of the hips, x to the right of the picture, y up, z towards the camera,
            ``[33, 3]``. (MediaPipe's own y points down and its z away; turned by 180 degrees about x the axes are those
            that the other data sets here have.)
        visibility: What MediaPipe believes of each landmark's being seen, ``[33]`` in 0 to 1.
    """

    pixels: np.ndarray
    world: np.ndarray
    visibility: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """Least x, least y, largest x, largest y of all landmarks, pixels ``[4]``."""
        return np.concatenate([self.pixels.min(0), self.pixels.max(0)])


class PoseDetector:
    """Landmarks of the people in pictures.

    Args:
        model: The bundle, see :func:`~graphnets.video.model.find_model`.
        people: The most that are found. In a video 1 is much faster than 2, as long as there is one: the detector
            doesn't look for the other in every frame.
        video: Follow people from picture to picture; False takes every picture by itself.

    Raises:
        ValueError: There is no model, or MediaPipe isn't installed.

    Example:
        >>> with PoseDetector("pose_landmarker_full.task") as detector:
        ...     people = detector(picture, seconds)
    """

    def __init__(self, model: str | Path | None = None, people: int = 1, video: bool = True) -> None:
        path = find_model(model)
        try:
            with quiet_native():
                import mediapipe
                from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise ValueError('finding people in videos needs MediaPipe: pip install "graphnets[video]"') from error
        mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)), running_mode=mode, num_poses=people
        )
        try:
            with quiet_native():
                self._landmarker: PoseLandmarker = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: MediaPipe can't use this model: {error}") from error
        self._image, self._rgb = mediapipe.Image, mediapipe.ImageFormat.SRGB
        self._video, self._last, self._loud = video, -1, False

    def __enter__(self) -> Self:
        """The detector itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the detector."""
        self.close()

    def __call__(self, picture: np.ndarray, seconds: float = 0.0) -> list[Person]:
        """Find people.

        Args:
            picture: RGB, ``[H, W, 3]`` uint8.
            seconds: Its time in the video; later than that of the picture before.

        Raises:
            ValueError: The picture is of another shape or type.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise ValueError(f"a picture is uint8 [H, W, 3], RGB, but this is {picture.dtype} {list(picture.shape)}")
        image = self._image(image_format=self._rgb, data=np.ascontiguousarray(picture))
        self._last = max(self._last + 1, round(seconds * 1000))  # MediaPipe wants whole milliseconds that increase
        if self._loud:
            result = self._detect(image)
        else:
            with quiet_native():  # its networks say hello when first used
                result = self._detect(image)
        people = distinct(_people(result, picture.shape[1], picture.shape[0]))
        self._loud = self._loud or bool(people)
        return people

    def close(self) -> None:
        """Let go of the networks."""
        with quiet_native():
            self._landmarker.close()

    def _detect(self, image: Any) -> PoseLandmarkerResult:
        return self._landmarker.detect_for_video(image, self._last) if self._video else self._landmarker.detect(image)


def _people(result: PoseLandmarkerResult, width: int, height: int) -> list[Person]:
    people = []
    for flat, solid in zip(result.pose_landmarks, result.pose_world_landmarks, strict=True):
        image = np.array([(p.x, p.y, p.visibility or 0.0) for p in flat])
        world = np.array([(p.x, -p.y, -p.z) for p in solid])
        if np.isfinite(image).all() and np.isfinite(world).all():
            people.append(Person(image[:, :2] * (width, height), world, image[:, 2]))
    return people


def distinct(people: list[Person]) -> list[Person]:
    """Without those whose box is nearly that of one before: MediaPipe at times finds one person twice."""
    kept: list[Person] = []
    for person in people:
        if all(overlap(person.box, other.box) <= SAME_PERSON for other in kept):
            kept.append(person)
    return kept


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes ``[4]``."""
    inner = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.clip(inner, 0, None)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / union if union > 0 else 0.0


class Track:
    """Keeps to one person among those that are found.

    At first it takes the largest one, later the one whose box is nearest to that of the last time: the nearer, the
    smaller the distance of the corners. Somebody farther away than a person gets is not taken: then nobody is there.
    """

    REACH = 0.5
    """How far a box may jump from one frame to the next, in diagonals of itself."""
    SPEED = 2.0
    """How much farther it gets while it isn't seen, in diagonals a second."""

    def __init__(self) -> None:
        self._box: np.ndarray | None = None
        self._seen = -math.inf

    def pick(self, people: list[Person], seconds: float) -> Person | None:
        """The one to keep, or None.

        Args:
            people: All that were found in a frame.
            seconds: Its time.
        """
        if not people:
            return None
        boxes = np.stack([person.box for person in people])
        if self._box is None:
            best = int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        else:
            away = np.linalg.norm((boxes - self._box).reshape(-1, 2, 2), axis=2).mean(1)
            best = int(np.argmin(away))
            reach = (self.REACH + self.SPEED * (seconds - self._seen)) * float(
                np.linalg.norm(self._box[2:] - self._box[:2])
            )
            if away[best] > reach:
                return None
        self._box, self._seen = boxes[best], seconds
        return people[best]
