"""A camera that films the movement, and a detector that finds the joints in its picture, with its faults.

Pixels count from the upper left corner, x to the right and y **down**. The camera frame is x right, y down, z ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import truncated
from graphnets.simulation.clips import normal
from graphnets.simulation.kinematics import Array, dot, norm, vector

Float32 = NDArray[np.float32]
WIDTH, HEIGHT = 1280, 720
SLOW_SINES = 2
BLUR = {"hand": 1.7, "foot": 1.5, "wrist": 1.2, "ankle": 1.2, "spine": 1.5}
BURST = 3
"""A miss lasts for this many frames."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on a circle about the subject.

    Attributes:
        azimuth: Of its place, radians from z (in front of the subject) towards x.
        distance: From the vertical axis, metres.
        height: Above the floor, metres.
        target: Height of the point that it aims at, on the vertical axis, metres.
        focal: Focal length in pixels; the principal point is the middle of the picture.
        distortion: Radial distortion ``k`` of the lens: a ray that meets the plane at distance 1 at ``r`` is seen at
            ``r (1 + k r^2)``; negative for a barrel.
    """

    azimuth: float
    distance: float
    height: float
    target: float
    focal: float
    distortion: float = 0.0


@dataclass(frozen=True)
class Views:
    """Cameras of ``R`` clips.

    Attributes:
        position: ``[R, 3]``.
        orientation: ``[R, 3, 3]``; the rows point right, down and ahead.
        focal: ``[R]``, in pixels.
        distortion: ``[R]``, or one for all, see :class:`Camera`.
    """

    position: Array
    orientation: Array
    focal: Array
    distortion: Array | float = 0.0

    def project(self, points: Array) -> tuple[Array, Array]:
        """Project world points.

        Args:
            points: ``[R, ..., 3]`` in metres.

        Returns:
            Pixels ``[R, ..., 2]`` and depths ``[R, ...]`` in metres.

        Raises:
            ValueError: A point lies behind a camera.
        """
        lead = (slice(None), *(None,) * (points.ndim - 2))
        ray = points - self.position[lead]
        right, down, depth = (dot(ray, self.orientation[:, i][lead]) for i in range(3))
        if np.any(depth <= 0.1):
            raise ValueError(f"a joint is {depth.min():.2f} m in front of the camera; at least 0.1 m is needed")
        scale = self.focal[lead] / depth
        if np.any(self.distortion):
            bent = np.broadcast_to(self.distortion, self.focal.shape)[lead]
            scale *= 1.0 + bent * (right**2 + down**2) / depth**2
        return np.moveaxis(np.stack([WIDTH / 2 + scale * right, HEIGHT / 2 + scale * down]), 0, -1), depth


def aim(cameras: Sequence[Camera]) -> Views:
    """Positions and orientations of cameras."""
    names = ("azimuth", "distance", "height", "target", "focal", "distortion")
    azimuth, distance, height, target, focal, bent = (np.array([getattr(c, n) for c in cameras]) for n in names)
    position = vector(distance * np.sin(azimuth), height, distance * np.cos(azimuth))
    ahead = vector(0.0, target, 0.0) - position
    ahead /= norm(ahead)[..., None]
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= norm(right)[..., None]
    return Views(position, np.stack([right, np.cross(ahead, right), ahead], axis=1), focal, bent)


def draw_camera(subject: np.random.Generator, clip: np.random.Generator, target: float) -> Camera:
    """Draw a camera: each subject is filmed from one side, each clip from about there.

    Args:
        subject: Source of what the subject's clips share: azimuth (anywhere within 90 degrees of the front),
            distance, height and focal length.
        clip: Source of what differs between clips.
        target: Height to aim at, metres.
    """
    return place_camera(usual_place(subject), clip, target)


def usual_place(subject: np.random.Generator) -> tuple[float, float, float, float]:
    """A subject's azimuth, distance, height and by how many metres the picture spans at the subject."""
    return (
        subject.uniform(-0.5 * np.pi, 0.5 * np.pi),
        subject.uniform(3.8, 5.0),
        subject.uniform(0.8, 1.7),
        subject.uniform(2.6, 3.0),
    )


def place_camera(usual: tuple[float, float, float, float], clip: np.random.Generator, target: float) -> Camera:
    """The camera of one clip, near its subject's usual place; see :func:`draw_camera`."""
    off = np.array([np.radians(6.0), 0.1, 0.03, 0.03]) * truncated(clip, (4,))
    azimuth, distance, height, aimed = (np.array([*usual[:3], target]) + off).tolist()
    # The picture spans about 2.7 m at the subject, whatever the distance.
    return Camera(azimuth, distance, height, aimed, distance * HEIGHT / usual[3])


@dataclass(frozen=True)
class DetectorNoise:
    """Draws for ``R`` clips of at most ``F`` frames.

    Attributes:
        white: Two coordinates, ``[2, R, F, V]``.
        doubt: Of the confidence, ``[R, F, V]``.
        chance: Of a miss, ``[R, F, V]``.
        frame_chance: Of missing everything, ``[R, F]``.
        waves: Frequencies in Hz and phases in radians of the slow errors, ``[2, sines, 2, R, V]``.
        skill: Confidence of a well visible joint, ``[R]``.
    """

    white: Float32
    doubt: Float32
    chance: Float32
    frame_chance: Float32
    waves: Float32
    skill: Float32


@dataclass(frozen=True)
class Detector:
    """Finds joints in a picture as a pose estimator does: noisily, less surely where the trunk hides them, not always.

    Attributes:
        joints: Names in the order of the data; ``pelvis`` and ``neck`` must be there.
        noise: Standard deviation of the error of a well visible joint, in metres at the subject.
        miss: Chance to miss a joint of confidence 0; it falls with the cube of the confidence.
        trunk_radius: Half the thickness of the trunk that hides what is behind it, in metres.
    """

    joints: tuple[str, ...]
    noise: float = 0.008
    miss: float = 0.6
    trunk_radius: float = 0.13

    @property
    def blur(self) -> Array:
        """Factor of each joint's error ``[V]``: the ends of limbs are found less exactly."""
        return np.array([BLUR.get(name.rsplit("_", 1)[-1], 1.0) for name in self.joints])

    @property
    def hideable(self) -> NDArray[np.bool_]:
        """Which joints the trunk can hide, ``[V]``: not itself, nor the head."""
        return np.array([name not in ("pelvis", "spine", "neck", "head") for name in self.joints])

    def draw(self, sources: Sequence[np.random.Generator], lengths: Sequence[int]) -> DetectorNoise:
        """Draw the noise of clips of so many frames, each from its own source."""
        people, frames, v, kinds = len(sources), max(lengths), len(self.joints), 4 * SLOW_SINES
        noise = np.zeros((4, people, frames, v), np.float32)
        misses = np.zeros((people, -(-frames // BURST), v + 1), np.float32)
        fixed = np.empty((people, kinds * v + 1), np.float32)
        for i, (rng, n) in enumerate(zip(sources, lengths, strict=True)):
            bursts = -(-n // BURST)
            draws = rng.random(fixed.shape[1] + 4 * n * v + bursts * (v + 1), np.float32)
            fixed[i], rest = draws[: fixed.shape[1]], draws[fixed.shape[1] :]
            noise[:, i, :n] = rest[: 4 * n * v].reshape(4, n, v)
            misses[i, :bursts] = rest[4 * n * v :].reshape(bursts, v + 1)
        doubt, _ = normal(noise[2], noise[3])
        misses = np.repeat(misses, BURST, axis=1)[:, :frames]
        waves = fixed[:, :-1].reshape(people, 2, SLOW_SINES, 2, v).transpose(1, 2, 3, 0, 4)
        size, least = np.array([[1.5, 2.0 * np.pi], [0.2, 0.0]], np.float32)[..., None, None]
        return DetectorNoise(
            white=np.stack(normal(noise[0], noise[1])),
            doubt=doubt,
            chance=misses[..., :v],
            frame_chance=misses[..., v],
            waves=waves * size + least,
            skill=np.float32(0.86) + np.float32(0.1) * fixed[:, -1],
        )

    def hidden(self, pixels: NDArray[Any], depth: NDArray[Any], focal: NDArray[Any]) -> NDArray[Any]:
        """How much of each joint the trunk hides, 0 to 1.

        The trunk is a capsule from pelvis to neck; a joint is hidden when it is seen within the capsule's outline and
        lies behind its axis by more than half the radius.

        Args:
            pixels: ``[R, F, V, 2]``.
            depth: ``[R, F, V]`` in metres.
            focal: ``[R]`` in pixels.

        Returns:
            ``[R, F, V]``.
        """
        pelvis, neck = self.joints.index("pelvis"), self.joints.index("neck")
        low, high = pixels[:, :, pelvis, None], pixels[:, :, neck, None]
        axis = high - low
        along = _inner(pixels - low, axis) / np.maximum(_inner(axis, axis), 1e-9)
        along = np.clip(along, 0.0, 1.0)
        off = pixels - low - along[..., None] * axis
        aside = np.sqrt(_inner(off, off))
        trunk = depth[:, :, pelvis, None] * (1.0 - along) + depth[:, :, neck, None] * along
        radius = self.trunk_radius * focal[:, None, None] / trunk
        within = _step((radius - aside) / (0.15 * radius))
        behind = _step((depth - trunk - 0.5 * self.trunk_radius) / (0.15 * self.trunk_radius))
        return within * behind * self.hideable

    def __call__(
        self, pose: Array, views: Views, noise: DetectorNoise, fps: float
    ) -> tuple[Float32, NDArray[np.bool_]]:
        """Film and detect. All but the projection is in single precision, which is enough for noise.

        Args:
            pose: ``[R, F, V, 3]`` in metres.
            views: ``R`` cameras.
            noise: Of the ``R`` clips.
            fps: Frames a second.

        Returns:
            Pixels and confidence ``[R, F, V, 3]``, zero where missed, and what was found ``[R, F, V]``.
        """
        pixels, depth = (x.astype(np.float32) for x in views.project(pose))
        focal, blur = views.focal.astype(np.float32), self.noise * self.blur.astype(np.float32)
        hidden = self.hidden(pixels, depth, focal)
        error = 0.8 * _slow(noise.waves, np.arange(pose.shape[1], dtype=np.float32) / np.float32(fps))
        error += 0.6 * noise.white
        error *= blur * (1.0 + 3.0 * hidden)
        found = np.empty((3, *depth.shape), np.float32)
        found[:2] = error * (focal[:, None, None] / depth) + np.moveaxis(pixels, -1, 0)
        size = np.sqrt(error[0] ** 2 + error[1] ** 2) / (4.0 * self.noise)
        sure = noise.skill[:, None, None] - 0.55 * hidden - 0.12 * np.tanh(size) + 0.03 * noise.doubt
        found[2] = np.minimum(np.maximum(sure, 0.02), 1.0)
        mask = (found[0] >= 0) & (found[0] < WIDTH) & (found[1] >= 0) & (found[1] < HEIGHT)
        mask &= noise.chance >= self.miss * (1.0 - found[2]) ** 3
        mask &= (noise.frame_chance >= 0.003)[..., None]
        return np.moveaxis(np.where(mask, found, np.float32(0.0)), 0, -1), mask


def _step(x: Array) -> Array:
    """Smooth step from 0 to 1 about 0."""
    return 0.5 * (1.0 + np.tanh(2.0 * x))


def _slow(waves: Float32, time: Float32) -> Float32:
    """Slow errors of unit variance, ``[2, R, F, V]``, from waves ``[2, sines, 2, R, V]``."""
    total = np.zeros((2, waves.shape[3], len(time), waves.shape[4]), np.float32)
    for out, sines in zip(total, waves, strict=True):
        for frequency, phase in sines:
            angle = np.float32(2.0 * np.pi) * frequency[:, None] * time[:, None]
            angle += phase[:, None]
            out += np.sin(angle, out=angle)
    return total * np.float32(np.sqrt(2.0 / waves.shape[1]))


def _inner(a: Array, b: Array) -> Array:
    """Scalar product of vectors ``[..., 2]``."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]
