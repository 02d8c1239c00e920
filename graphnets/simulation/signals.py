"""Every signal of one motion: joints, forces, moments and sensors that agree by mechanics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnets.simulation.body import Body
from graphnets.simulation.chain import INDEX, Kinematics, apply_back, forward
from graphnets.simulation.clips import source
from graphnets.simulation.contact import CONTACTS, aims, contact_point, pressure, pushed
from graphnets.simulation.dynamics import Wrench, demand, joint_moments, total
from graphnets.simulation.imu import IMU, Readings, measure
from graphnets.simulation.inverse import Pose, invert
from graphnets.simulation.kinematics import Array
from graphnets.simulation.knee import knee_moments
from graphnets.simulation.motion import Motion
from graphnets.simulation.segments import SIDES, inertia

WORN = (
    IMU("thorax", (0.0, 0.2, 0.10)),
    IMU("pelvis", (0.0, 0.08, -0.10)),
    *(IMU(f"{side}_{name}", at) for name, at in (
        ("forearm", (0.0, -0.20, 0.03)),
        ("thigh", (0.0, -0.20, 0.08)),
        ("shank", (0.0, -0.15, 0.05)),
        ("foot", (0.0, -0.02, 0.08)),
    ) for side in SIDES),
)  # fmt: skip
"""Ten sensors on chest, back of the pelvis, wrists, thighs, shanks and feet."""


@dataclass(frozen=True)
class Signals:
    """Signals of ``R`` repetitions at ``T`` frames, all of one motion; world frame, SI units.

    After its end (see ``Motion.lengths``) a repetition stands still.

    Attributes:
        motion: Of the chain: joints, orientations of the segments (``rotation``), their velocities and accelerations.
        force: On the body by contact, N, ``[R, T, 3]``.
        centre: Centre of pressure by contact, metres, ``[R, T, 3]``; NaN below 20 N of vertical force.
        twist: Free vertical moment by contact, N m, ``[R, T]``.
        moment: Net joint moments (the parent on the link, about the link's origin) in the world frame, N m,
            ``[R, T, L, 3]`` in the order of ``LINKS``; the root's is what no contact gives.
        kam: External knee adduction moment by side, N m/kg, ``[R, T]``.
        kfm: External knee flexion moment by side, N m/kg, ``[R, T]``.
        residual: Force and moment about the middle of the hips that the motion needs and no contact gives, N and N m,
            ``[R, T, 6]``: not zero in flight and wherever the motion is not balanced.
        imus: Readings by sampling rate in Hz.
    """

    motion: Kinematics
    force: dict[str, Array]
    centre: dict[str, Array]
    twist: dict[str, Array]
    moment: Array
    kam: dict[str, Array]
    kfm: dict[str, Array]
    residual: Array
    imus: dict[float, Readings]

    @property
    def joints(self) -> dict[str, Array]:
        """Positions by name, ``[R, T, 3]``."""
        return self.motion.joints

    @property
    def local_moment(self) -> Array:
        """Net joint moments in the frame of the link, ``[R, T, L, 3]``."""
        return apply_back(self.motion.rotation, self.moment)


def signals(
    motion: Motion,
    seed: int = 0,
    imus: Sequence[IMU] = WORN,
    degree: int = 5,
    tilt: Array | None = None,
) -> Signals:
    """All signals of a simulated motion, at its own frames.

    Args:
        motion: From ``move``.
        seed: Of the sensors' errors; each repetition's follow from it and its clip.
        imus: Sensors, of any sampling rates; may be none.
        degree: Of the splines, 5 or 3.
        tilt: How the sensors are mounted askew, ``[R, K, 3, 3]``, see ``imu.ideal``.

    Returns:
        The signals.
    """
    frames = int(motion.lengths.max())
    time = np.broadcast_to(np.arange(frames) / motion.fps, (len(motion.clips), frames))
    active = motion.exercise.contacts(motion.body, motion.controls, time)
    keys = keys_of(motion)
    pose, knots, margin = pose_of(motion), motion.knots, motion.margin
    return signals_of(
        pose, motion.body, motion.fps, active, imus, seed, keys, knots, degree, tilt, margin, motion.exercise.held
    )


def pose_of(motion: Motion) -> Pose:
    """The chain in the poses of a simulated motion, margins included."""
    body = motion.body
    return invert(motion.wide, np.arctan2(body.ankle - body.toe_height, body.forefoot)[:, 0])


def keys_of(motion: Motion) -> list[tuple[str | int, ...]]:
    """What names each repetition's sensors among the sources of chance."""
    return [("imu", c.subject, c.exercise, c.mistake, c.repetition) for c in motion.clips]


def signals_of(
    pose: Pose,
    body: Body,
    rate: float,
    active: Mapping[str, Array],
    imus: Sequence[IMU] = (),
    seed: int = 0,
    keys: Sequence[tuple[str | int, ...]] | None = None,
    lengths: NDArray[np.int64] | None = None,
    degree: int = 5,
    tilt: Array | None = None,
    margin: int = 0,
    held: Collection[str] = (),
) -> Signals:
    """All signals of any motion of the chain, a recorded one too.

    Args:
        pose: Poses at uniform knots, from ``invert``.
        body: Mass, sex and sizes of the ``R`` people.
        rate: Knots a second; also the frames at which the signals are given.
        active: Activation by contact, ``[R, T]`` at the frames that signals are asked for.
        imus: Sensors.
        seed: Of the sensors' errors.
        keys: What names each repetition among the sources of chance; its number if None.
        lengths: Knots of each repetition, all if None; after its last one it stands still.
        degree: Of the splines.
        tilt: How the sensors are mounted askew, ``[R, K, 3, 3]``, see ``imu.ideal``.
        margin: Knots before the first and after the last frame that signals are asked for.
        held: Contacts that are held down and may pull. The others only push: what a pull would give is left to the
            residual.

    Returns:
        The signals.

    Raises:
        ValueError: A contact is unknown.
    """
    people, frames = pose.root.shape[0], pose.root.shape[1] - 2 * margin
    end = (frames - 1) / rate
    motion = forward(pose, rate, (np.arange(frames) + margin) / rate, degree, lengths)
    masses = inertia(body)
    needed = demand(motion, masses)
    centre = (masses.mass[:, None, :, None] * needed.point).sum(2) / body.mass[..., None]
    whole = total(needed, motion.position[:, :, INDEX["pelvis"]])
    names = list(active)
    points = np.stack([contact_point(name, motion, body) for name in names], axis=-2)
    weights = np.stack([np.broadcast_to(active[name], (people, frames)) for name in names], axis=-1)
    may_pull = np.array([name in held for name in names])
    force, free = pushed(whole, points, weights, aims(points, centre, body.height), may_pull)
    given = [Wrench(force[..., k, :], free[..., k, :], points[..., k, :]) for k in range(len(names))]
    by_link: dict[str, list[Wrench]] = {}
    for name, wrench in zip(names, given, strict=True):
        by_link.setdefault(CONTACTS[name], []).append(wrench)
    moment, through = joint_moments(motion, needed, by_link)
    under = {n: pressure(w.point, w.force, w.moment) for n, w in zip(names, given, strict=True)}
    kam, kfm = {}, {}
    for side in SIDES:
        foot, shank = f"{side}_foot", INDEX[f"{side}_shank"]
        kam[side], kfm[side] = np.zeros((2, people, frames))
        if foot in under:
            knee, turn = motion.position[:, :, shank], motion.rotation[:, :, shank]
            grf = force[..., names.index(foot), :]
            kam[side], kfm[side] = knee_moments(under[foot].centre, grf, knee, turn, body.mass, side)
    keys = keys or [(i,) for i in range(people)]
    readings = read(pose, rate, end, imus, seed, keys, lengths, degree, tilt, margin / rate)
    root = INDEX["pelvis"]
    return Signals(
        motion=motion,
        force={n: w.force for n, w in zip(names, given, strict=True)},
        centre={n: p.centre for n, p in under.items()},
        twist={n: p.twist for n, p in under.items()},
        moment=moment,
        kam=kam,
        kfm=kfm,
        residual=np.concatenate([through[:, :, root], moment[:, :, root]], axis=-1),
        imus=readings,
    )


def read(
    pose: Pose,
    rate: float,
    end: float,
    imus: Sequence[IMU],
    seed: int,
    keys: Sequence[tuple[str | int, ...]],
    lengths: NDArray[np.int64] | None = None,
    degree: int = 5,
    tilt: Array | None = None,
    start: float = 0.0,
) -> dict[float, Readings]:
    """Readings by sampling rate, from ``start`` for ``end`` seconds; only the links that bear sensors are moved.

    The arguments are those of :func:`signals_of`.
    """
    readings = {}
    for hz in sorted({s.rate for s in imus}):
        some = [i for i, s in enumerate(imus) if s.rate == hz]
        sensors = [imus[i] for i in some]
        times = start + np.arange(int(end * hz + 1e-9) + 1) / hz
        moving = forward(pose, rate, times, degree, lengths, {s.segment for s in sensors})
        chance = [source(seed, "imu", *key, round(hz * 1000)) for key in keys]
        readings[hz] = measure(moving, sensors, chance, None if tilt is None else tilt[:, some])
    return readings
