"""Inertial sensors worn on segments: specific force and angular rate in the sensor's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from graphnets.simulation.chain import Kinematics, apply, apply_back
from graphnets.simulation.clips import normal
from graphnets.simulation.dynamics import GRAVITY
from graphnets.simulation.kinematics import Array
from graphnets.simulation.quaternion import cross, vectors
from graphnets.simulation.segments import SEGMENTS


@dataclass(frozen=True)
class IMU:
    """A sensor, how it sits, and how well it measures. The defaults of its errors are those of a usual MEMS part.

    Attributes:
        segment: One of ``SEGMENTS``.
        position: From the segment's origin in its frame (x left, y up, z forward when standing), metres.
        mounting: Rotation from the sensor's frame to the segment's, rows of a ``3 x 3`` matrix.
        rate: Samples a second.
        accelerometer_noise: Density, m/s^2/sqrt(Hz); a sample has this times ``sqrt(rate)``.
        gyroscope_noise: Density, rad/s/sqrt(Hz).
        accelerometer_bias: Standard deviation of a constant drawn for each repetition and axis, m/s^2.
        gyroscope_bias: The same, rad/s.
        accelerometer_range: Largest reading of an axis, m/s^2.
        gyroscope_range: Largest reading of an axis, rad/s.

    Raises:
        ValueError: The segment is unknown, a number is negative, or the mounting is no rotation.
    """

    segment: str
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mounting: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    rate: float = 100.0
    accelerometer_noise: float = 1.5e-3
    gyroscope_noise: float = 1.5e-4
    accelerometer_bias: float = 0.05
    gyroscope_bias: float = 0.005
    accelerometer_range: float = 156.96  # 16 g
    gyroscope_range: float = 34.9  # 2000 degrees a second

    def __post_init__(self) -> None:
        if self.segment not in SEGMENTS:
            raise ValueError(f"there is no segment {self.segment!r}; allowed are {', '.join(SEGMENTS)}")
        turn = np.asarray(self.mounting)
        if turn.shape != (3, 3) or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-6 or np.linalg.det(turn) < 0:
            raise ValueError(f"mounting is {self.mounting}; it must be a 3 x 3 rotation")
        if self.rate <= 0 or min(self.accelerometer_range, self.gyroscope_range) <= 0 or min(self.errors) < 0:
            raise ValueError(f"rate, ranges must be above 0 and noise, bias not below: {self}")

    @property
    def errors(self) -> tuple[float, float, float, float]:
        """Noise densities and biases: accelerometer, gyroscope, accelerometer, gyroscope."""
        return self.accelerometer_noise, self.gyroscope_noise, self.accelerometer_bias, self.gyroscope_bias


@dataclass(frozen=True)
class Readings:
    """What sensors of one rate read.

    Attributes:
        time: Seconds, ``[S]``.
        accelerometer: Specific force ``a - g``, m/s^2, ``[R, S, K, 3]`` in the order of the sensors.
        gyroscope: Angular rate, rad/s, ``[R, S, K, 3]``.
    """

    time: Array
    accelerometer: Array
    gyroscope: Array
    sensors: tuple[IMU, ...] = field(default=())


def ideal(motion: Kinematics, sensors: Sequence[IMU], tilt: Array | None = None) -> Readings:
    """Readings without errors: ``f = R^T (a + alpha x r + omega x (omega x r) - g)`` and ``R^T omega``.

    Args:
        motion: Of the chain at the sensors' times, at least of their links.
        sensors: Where they sit.
        tilt: By how much each is mounted askew: rotations from the sensor's true frame to the one that its mounting
            names, ``[R, K, 3, 3]``; none if None.

    Returns:
        The readings.
    """
    at = [motion.links.index(s.segment) for s in sensors]
    mounting, arm = np.array([s.mounting for s in sensors]), np.array([s.position for s in sensors])
    if tilt is not None:
        mounting = np.matmul(mounting, tilt)[:, None]
    rotation = np.moveaxis(motion.rotation, (-2, -1, 2), (0, 1, 2))[:, :, at].transpose(3, 4, 2, 0, 1)
    omega, alpha, push = (_some(v, at) for v in (motion.omega, motion.alpha, motion.acceleration))
    lever = apply(rotation, arm)
    push += cross(alpha, lever) + cross(omega, cross(omega, lever)) - GRAVITY
    force, rate = (apply_back(mounting, apply_back(rotation, v)) for v in (push, omega))
    return Readings(motion.time, force, rate, tuple(sensors))


def _some(values: Array, links: list[int]) -> Array:
    out = vectors((*values.shape[:2], len(links), 3))
    for i, link in enumerate(links):
        out[:, :, i] = values[:, :, link]
    return out


def measure(
    motion: Kinematics, sensors: Sequence[IMU], sources: Sequence[np.random.Generator], tilt: Array | None = None
) -> Readings:
    """Readings with bias, white noise and clipping.

    Args:
        motion: Of the chain at the sensors' rate.
        sensors: At least one; all of one rate.
        sources: Of chance, one a repetition.
        tilt: See :func:`ideal`.

    Returns:
        The readings.

    Raises:
        ValueError: The sensors are none or of different rates.
    """
    if len({s.rate for s in sensors}) != 1:
        raise ValueError(f"sensors must be of one rate, got {sorted({s.rate for s in sensors}) or 'none'}")
    true = ideal(motion, sensors, tilt)
    size = np.array([s.errors for s in sensors])  # [K, 4]
    shape = true.accelerometer.shape[1:]
    bias = np.stack([rng.standard_normal((2, *shape[1:])) for rng in sources], axis=1) * size.T[2:, None, :, None]
    # Later samples follow earlier ones in each source, so that none depends on how long others are.
    chance = np.empty((2, shape[2], shape[1], len(sources), shape[0]), np.float32)
    for i, rng in enumerate(sources):
        draws = rng.random((shape[0], 2, shape[1], 3), np.float32)
        chance[:, :, :, i] = draws.transpose(1, 3, 2, 0)
    density = np.sqrt(sensors[0].rate) * size.T[:2, :, None]
    limit = np.array([(s.accelerometer_range, s.gyroscope_range) for s in sensors]).T[..., None]
    read = []
    for i, (value, noise) in enumerate(zip((true.accelerometer, true.gyroscope), normal(*chance), strict=True)):
        out = density[i] * noise.transpose(2, 3, 1, 0)
        out += value
        out += bias[i][:, None]
        read.append(np.minimum(np.maximum(out, -limit[i], out=out), limit[i], out=out))
    return Readings(true.time, read[0], read[1], true.sensors)
