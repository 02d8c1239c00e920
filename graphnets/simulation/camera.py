"""A camera that films the movement, and a detector that finds the joints in its picture, with its faults.

Pixels count from the upper left corner, x to the right and y **down**. The camera frame is x right, y down, z ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import truncated
from graphnets.simulation.kinematics import Array, dot, norm, vector

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
            scale = scale * (1.0 + bent * (right**2 + down**2) / depth**2)
        return np.stack([WIDTH / 2 + scale * right, HEIGHT / 2 + scale * down], axis=-1), depth


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
    azimuth = subject.uniform(-0.5 * np.pi, 0.5 * np.pi) + np.radians(6.0) * float(truncated(clip, ()))
    distance = subject.uniform(3.8, 5.0) + 0.1 * float(truncated(clip, ()))
    height = subject.uniform(0.8, 1.7) + 0.03 * float(truncated(clip, ()))
    # The picture spans about 2.7 m at the subject, whatever the distance.
    focal = distance * HEIGHT / subject.uniform(2.6, 3.0)
    aimed = target + 0.03 * float(truncated(clip, ()))
    return Camera(float(azimuth), float(distance), float(height), aimed, float(focal))


@dataclass(frozen=True)
class DetectorNoise:
    """Draws for one clip of ``T`` frames: two coordinates white ``[T, V, 2]``, slow waves, and chances of a miss."""

    white: Array
    waves: Array
    confidence: Array
    chance: Array
    frame_chance: Array
    skill: float


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

    def draw(self, rng: np.random.Generator, frames: int) -> DetectorNoise:
        """Draw the noise of a clip."""
        v = len(self.joints)
        bursts = -(-frames // BURST)
        waves = rng.random((v, 2, SLOW_SINES, 2)) * np.array([1.5, 2.0 * np.pi]) + np.array([0.2, 0.0])
        return DetectorNoise(
            white=rng.standard_normal((frames, v, 2)),
            waves=waves,
            confidence=rng.standard_normal((frames, v)),
            chance=np.repeat(rng.random((bursts, v)), BURST, axis=0)[:frames],
            frame_chance=np.repeat(rng.random(bursts), BURST)[:frames],
            skill=float(rng.uniform(0.86, 0.96)),
        )

    def hidden(self, pixels: Array, depth: Array, focal: Array) -> Array:
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
        self, pose: Array, views: Views, noise: Sequence[DetectorNoise], fps: float
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Film and detect.

        Args:
            pose: ``[R, F, V, 3]`` in metres.
            views: ``R`` cameras.
            noise: One a clip; a clip shorter than ``F`` frames is cut there.
            fps: Frames a second.

        Returns:
            Pixels and confidence ``[R, F, V, 3]``, zero where missed, and what was found ``[R, F, V]``.
        """
        pixels, depth = views.project(pose)
        hidden = self.hidden(pixels, depth, views.focal)
        frames = pose.shape[1]
        white, doubt, chance, frame_chance = (
            np.stack([_fill(getattr(n, name), frames) for n in noise])
            for name in ("white", "confidence", "chance", "frame_chance")
        )
        slow = _slow(np.stack([n.waves for n in noise]), np.arange(frames) / fps)
        error = self.noise * self.blur[:, None] * (0.6 * white + 0.8 * slow) * (1.0 + 3.0 * hidden[..., None])
        found = pixels + error * (views.focal[:, None, None] / depth)[..., None]
        skill = np.array([n.skill for n in noise])[:, None, None]
        size = np.sqrt(_inner(error, error)) / (4.0 * self.noise)
        confidence = np.clip(skill - 0.55 * hidden - 0.12 * np.tanh(size) + 0.03 * doubt, 0.02, 1.0)
        inside = (found[..., 0] >= 0) & (found[..., 0] < WIDTH) & (found[..., 1] >= 0) & (found[..., 1] < HEIGHT)
        mask = inside & (chance >= self.miss * (1.0 - confidence) ** 3) & (frame_chance >= 0.003)[..., None]
        out = np.concatenate([found, confidence[..., None]], axis=-1)
        return np.where(mask[..., None], out, 0.0), mask


def _step(x: Array) -> Array:
    """Smooth step from 0 to 1 about 0."""
    return 0.5 * (1.0 + np.tanh(2.0 * x))


def _fill(x: Array, frames: int) -> Array:
    """Repeat the last frame up to ``frames``."""
    return x[np.minimum(np.arange(frames), len(x) - 1)]


def _slow(waves: Array, time: Array) -> Array:
    """Slow errors of unit variance, ``[R, F, V, 2]``, from waves ``[R, V, 2, sines, 2]``."""
    total: Array = np.zeros((len(waves), len(time), *waves.shape[1:3]))
    for sine in range(waves.shape[3]):
        frequency, phase = 2.0 * np.pi * waves[:, None, ..., sine, 0], waves[:, None, ..., sine, 1]
        angle = frequency * time[:, None, None]
        angle += phase
        total += np.sin(angle, out=angle)
    return total * np.sqrt(2.0 / waves.shape[3])


def _inner(a: Array, b: Array) -> Array:
    """Scalar product of vectors ``[..., 2]``."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]
