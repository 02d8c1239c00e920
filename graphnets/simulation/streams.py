"""What is recorded of a motion: poses, views, sensors, ground reactions and moments as arrays of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import truncated
from graphnets.simulation.camera import Camera, Detector, aim, place_camera, usual_place
from graphnets.simulation.chain import INDEX, Kinematics, forward
from graphnets.simulation.clips import Clip, source
from graphnets.simulation.contact import CONTACTS
from graphnets.simulation.dynamics import GRAVITY
from graphnets.simulation.imu import Readings
from graphnets.simulation.kinematics import Array
from graphnets.simulation.landmarks import built_in, landmarks, possible
from graphnets.simulation.motion import Motion
from graphnets.simulation.segments import SIDES
from graphnets.simulation.signals import Signals, keys_of, pose_of, read, signals
from graphnets.simulation.worn import askew, worn

VIEWS = ("pose2d", "pose2d_side", "pose2d_back", "pose2d_other_side")
"""Cameras, each about 90 degrees to the left of the one before it, seen from above the subject."""
TURN = 2.0 * np.pi
LOADS = ("grf", "cop", "knee_moment", "moment", "residual")
MODALITIES = ("pose", *VIEWS, "imu", *LOADS)
MOMENTS = tuple((f"{side}_{joint}", f"{side}_{link}") for joint, link in (
    ("hip", "thigh"), ("knee", "shank"), ("ankle", "foot")) for side in SIDES)  # fmt: skip
"""Joints whose net moments are recorded, and the links below them."""


@dataclass(frozen=True)
class Setup:
    """What is recorded, and with what.

    Attributes:
        modalities: Names of :data:`MODALITIES`.
        skeleton: Of ``pose`` and the views: a name of ``landmarks.possible``.
        distortion: Standard deviation of the radial distortion of the lenses, see ``Camera``; 0 for none.
        sensors: Where sensors are worn, see ``worn.PLACES``; the eight of ``tan_imu8`` if None.
        imu_rate: Their samples a second, above 0 and up to 1000.
        askew: By how many degrees about each axis a subject's sensors are off their nominal mounting (standard
            deviation; the same in all of a subject's recordings).

    Raises:
        ValueError: A value is not allowed.
    """

    modalities: tuple[str, ...] = ("pose", "pose2d")
    skeleton: str = "kinect20"
    distortion: float = 0.05
    sensors: tuple[str, ...] | None = None
    imu_rate: float = 100.0
    askew: float = 5.0

    def __post_init__(self) -> None:
        if unknown := [m for m in self.modalities if m not in MODALITIES]:
            raise ValueError(f"no modality {', '.join(map(repr, unknown))}; allowed are {', '.join(MODALITIES)}")
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities must be different names, at least one; got {list(self.modalities)}")
        if self.skeleton not in possible():
            raise ValueError(f"skeleton is {self.skeleton!r}; allowed are {', '.join(possible())}")
        if not 0 <= self.distortion <= 0.2:
            raise ValueError(f"distortion is {self.distortion}; allowed are 0 to 0.2")
        if not 0 < self.imu_rate <= 1000:
            raise ValueError(f"imu_rate is {self.imu_rate}; allowed are above 0 to 1000")
        if not 0 <= self.askew <= 45:
            raise ValueError(f"askew is {self.askew}; allowed are 0 to 45 degrees")
        worn(self.sensors, self.imu_rate)


@dataclass(frozen=True)
class Stream:
    """One modality of one recording.

    Attributes:
        values: ``[T, V, C]``.
        mask: What was observed or is defined, ``[T, V]``; None for everything.
        fps: Frames a second.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    fps: float


def record(motion: Motion, seed: int, setup: Setup) -> tuple[list[dict[str, Stream]], list[dict[str, float]]]:
    """Record a motion.

    Args:
        motion: From ``move``.
        seed: Of cameras, detectors and sensors; each repetition's draws follow from it and the clip.
        setup: What and with what.

    Returns:
        For each repetition its streams by modality, in the order of the setup, and where the camera of each view
        stands, in degrees from z towards x.
    """
    made: dict[str, list[Stream]] = {}
    whole, readings = _mechanics(motion, seed, setup)
    if "imu" in setup.modalities:
        made["imu"] = _sensors(motion, readings)
    if whole is not None and isinstance(whole, Signals):
        made |= {name: LOAD_STREAMS[name](motion, whole) for name in LOADS if name in setup.modalities}
    views = [name for name in VIEWS if name in setup.modalities]
    azimuths: list[dict[str, float]] = [{} for _ in motion.clips]
    if views or "pose" in setup.modalities:
        skeleton = built_in(setup.skeleton)
        moving = whole.motion if isinstance(whole, Signals) else whole
        # The detector needs to know where the trunk is, whatever it looks for.
        trunk = [name for name in ("pelvis", "neck") if name not in skeleton.joints] if views else []
        joints = (*skeleton.joints, *trunk)
        if moving is None:
            pose = motion.stack(joints)
        else:
            at = motion.joints
            extra = [np.broadcast_to(at[name], (*moving.position.shape[:2], 3)) for name in trunk]
            pose = np.concatenate([landmarks(moving, motion.body, skeleton), *(e[:, :, None] for e in extra)], axis=2)
        pose = np.moveaxis(np.ascontiguousarray(np.moveaxis(pose, -1, 0)), 0, -1)  # long rows for the cameras
        count = skeleton.num_joints
        if "pose" in setup.modalities:
            made["pose"] = _cut(motion, pose[:, :, :count])
        numbers = [VIEWS.index(name) for name in views]
        cast = [cast_cameras(seed, motion, i, numbers, setup.distortion) for i in range(len(pose))] if views else []
        for name, cameras in zip(views, map(list, zip(*cast, strict=True)), strict=True):
            found, mask = _film(motion, pose, joints, cameras, seed, VIEWS.index(name))
            made[name] = _cut(motion, found[:, :, :count], mask[:, :, :count])
            for place, camera in zip(azimuths, cameras, strict=True):
                place[name] = float(np.degrees(camera.azimuth))
    return [{name: made[name][i] for name in setup.modalities} for i in range(len(motion.clips))], azimuths


def _mechanics(motion: Motion, seed: int, setup: Setup) -> tuple[Signals | Kinematics | None, dict[float, Readings]]:
    """As much of the mechanics as the setup needs."""
    sensors = worn(setup.sensors, setup.imu_rate) if "imu" in setup.modalities else ()
    tilt = np.stack([_tilt(seed, c.subject, len(sensors), setup.askew) for c in motion.clips])
    if set(LOADS) & set(setup.modalities):
        out = signals(motion, seed, sensors, tilt=tilt)
        return out, out.imus
    readings: dict[float, Readings] = {}
    moving = None
    positions = {"pose", *VIEWS} & set(setup.modalities)
    if sensors or (setup.skeleton != "kinect20" and positions):
        pose, end = pose_of(motion), (int(motion.lengths.max()) - 1) / motion.fps
        start = motion.margin / motion.fps
        if sensors:
            readings = read(pose, motion.fps, end, sensors, seed, keys_of(motion), motion.knots, tilt=tilt, start=start)
        if setup.skeleton != "kinect20" and positions:
            times = start + np.arange(int(motion.lengths.max())) / motion.fps
            moving = forward(pose, motion.fps, times, lengths=motion.knots)
    return moving, readings


def cast_cameras(seed: int, motion: Motion, repetition: int, views: Sequence[int], distortion: float) -> list[Camera]:
    """The cameras of a repetition's views: the first is the subject's, the others stand about 90 degrees apart.

    Args:
        seed: Of the data set.
        motion: What is filmed.
        repetition: Number of the row.
        views: Numbers of :data:`VIEWS`.
        distortion: Standard deviation of the lenses' radial distortion.
    """
    clip: Clip = motion.clips[repetition]
    target = motion.exercise.focus * float(motion.body.height[repetition, 0])
    out, front = [], 0.0
    for view in sorted({0, *views}):
        usual, bend, off = _tripod(seed, clip.subject, view)
        which = () if view == 0 else (view,)
        chance = source(seed, "camera", clip.subject, clip.exercise, clip.repetition, *which)
        camera = place_camera(usual, chance, target)
        if view == 0:
            front = camera.azimuth
        azimuth = camera.azimuth if view == 0 else float((front + 0.5 * np.pi * view + off + np.pi) % TURN - np.pi)
        if view in views:
            away = camera.distance + motion.exercise.away
            out.append(replace(camera, azimuth=azimuth, distance=away, distortion=distortion * bend))
    return out


@lru_cache(maxsize=4096)
def _tripod(seed: int, subject: int, view: int) -> tuple[tuple[float, float, float, float], float, float]:
    """A subject's usual place of a camera, the distortion of its lens, and by how much it is off its direction."""
    chance = source(seed, "view", subject, *(() if view == 0 else (view,)))
    usual = usual_place(chance)
    bend, off = truncated(chance, (2,)).tolist()
    return usual, bend, np.radians(4.0) * off


@lru_cache(maxsize=1024)
def _tilt(seed: int, subject: int, sensors: int, degrees: float) -> Array:
    return askew(source(seed, "askew", subject), sensors, degrees)


def _film(
    motion: Motion, pose: Array, joints: tuple[str, ...], cameras: list[Camera], seed: int, view: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    detector = Detector(joints)
    which = () if view == 0 else (view,)
    sources = [source(seed, "detector", c.subject, c.exercise, c.repetition, *which) for c in motion.clips]
    return detector(pose, aim(cameras), detector.draw(sources, motion.lengths.tolist()), motion.fps)


def _cut(motion: Motion, values: Array | NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> list[Stream]:
    """Streams at the motion's frames, each as long as its repetition."""
    return [
        Stream(np.array(values[i, :n], np.float32, order="C"), None if mask is None else mask[i, :n].copy(), motion.fps)
        for i, n in enumerate(motion.lengths)
    ]


def _sensors(motion: Motion, readings: dict[float, Readings]) -> list[Stream]:
    """Accelerometer (m/s^2) and gyroscope (rad/s) of each node."""
    ((rate, got),) = readings.items()
    values = np.concatenate([got.accelerometer, got.gyroscope], axis=-1)
    samples = ((motion.lengths - 1) / motion.fps * rate + 1e-9).astype(np.int64) + 1
    return [Stream(np.array(values[i, :n], np.float32, order="C"), None, rate) for i, n in enumerate(samples)]


def _grf(motion: Motion, out: Signals) -> list[Stream]:
    shape = out.residual.shape[:2]
    forces = np.stack([out.force.get(name, np.zeros((*shape, 3))) for name in CONTACTS], axis=2)
    return _cut(motion, forces / (motion.body.mass[..., None, None] * -GRAVITY[1]))


def _cop(motion: Motion, out: Signals) -> list[Stream]:
    shape = out.residual.shape[:2]
    centre = np.stack([out.centre.get(name, np.full((*shape, 3), np.nan)) for name in CONTACTS], axis=2)
    mask: NDArray[np.bool_] = np.asarray(np.isfinite(centre).all(-1))
    return _cut(motion, np.where(mask[..., None], centre, 0.0), mask)


def _knee_moment(motion: Motion, out: Signals) -> list[Stream]:
    return _cut(motion, np.stack([np.stack([out.kfm[s], out.kam[s]], axis=-1) for s in SIDES], axis=2))


def _moment(motion: Motion, out: Signals) -> list[Stream]:
    rows = [INDEX[link] for _, link in MOMENTS]
    return _cut(motion, out.local_moment[:, :, rows] / motion.body.mass[..., None, None])


def _residual(motion: Motion, out: Signals) -> list[Stream]:
    unit = np.repeat([-GRAVITY[1], 1.0], 3) * motion.body.mass[..., None]
    return _cut(motion, (out.residual / unit)[:, :, None])


LOAD_STREAMS: dict[str, Callable[[Motion, Signals], list[Stream]]] = {
    "grf": _grf,
    "cop": _cop,
    "knee_moment": _knee_moment,
    "moment": _moment,
    "residual": _residual,
}
