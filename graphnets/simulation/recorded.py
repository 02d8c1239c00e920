"""Recorded joints as a motion of the chain: what sensors would have read and what the ground must have given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from graphnets.simulation.body import Body
from graphnets.simulation.chain import forward
from graphnets.simulation.imu import IMU
from graphnets.simulation.inverse import JOINTS, Pose, invert
from graphnets.simulation.kinematics import Array, norm
from graphnets.simulation.segments import SIDES
from graphnets.simulation.signals import WORN, Signals, signals_of
from graphnets.skeleton import Skeleton

MEASURED = np.radians(12.0)
"""Flexion below which a limb of joints measured to about 1 cm counts as straight."""


@dataclass(frozen=True)
class Recorded:
    """A recording fitted by the chain.

    Attributes:
        signals: All signals, ``R = 1``, at the recording's frames.
        body: The sizes that were found, ``R = 1``.
        pose: The chain's poses.
        error: Median distance of the chain's joints from the given ones, metres.
    """

    signals: Signals
    body: Body
    pose: Pose
    error: float


def as_motion(
    joints: Array,
    skeleton: Skeleton,
    fps: float,
    mass: float | None = None,
    male: float = 0.5,
    up: str = "y",
    unit: float = 1.0,
    cutoff: float = 6.0,
    imus: Sequence[IMU] = WORN,
    active: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> Recorded:
    """Turn recorded joints into a motion of the chain and compute its signals.

    Joints are smoothed by a Butterworth filter run forwards and backwards (Winter, "Biomechanics and Motor Control of
    Human Movement", 2009, section 3.5), the bones get their median lengths, and the chain is laid through them from the
    pelvis outwards. Accelerations are second derivatives: noise that the filter leaves grows with the square of its
    cutoff. The floor is put where the feet are lowest.

    Args:
        joints: Positions ``[T, V, 3]`` without gaps, of any heading.
        skeleton: Names of the joints. ``kinect20`` has all that are needed; of others a missing pelvis, neck, spine,
            head, hand or foot is estimated from its neighbours.
        fps: Frames a second.
        mass: Of the body, kg; for a body mass index of 23.5 if None.
        male: 0 for female mass distribution, 1 for male, or between.
        up: The vertical axis, ``y``, ``z``, ``x``, or with a minus sign where it points down. The axes are taken to be
            right-handed.
        unit: Metres in a unit of the joints; 0.001 for millimetres.
        cutoff: Of the filter, Hz.
        imus: Sensors to simulate.
        active: Activation by contact, ``[1, T]``; from the height and speed of the feet if None, see :func:`standing`.
        seed: Of the sensors' errors.

    Returns:
        The motion and its signals.

    Raises:
        ValueError: Joints have a gap or the wrong shape, or are too few to fit the chain.
    """
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (skeleton.num_joints, 3) or len(x) < 2:
        raise ValueError(f"joints have shape {x.shape}, expected (frames >= 2, {skeleton.num_joints}, 3)")
    if not np.isfinite(x).all():
        raise ValueError("joints have gaps: fill them first")
    smooth = filtered(upright(x * unit, up), fps, cutoff)
    at = completed({name: smooth[None, :, i] for i, name in enumerate(skeleton.joints)})
    floor = min(float(np.percentile(at[f"{side}_foot"][..., 1], 5)) for side in SIDES)
    body = fitted(at, mass, male)
    at = {name: p - np.array([0.0, floor - body.toe_height[0, 0], 0.0]) for name, p in at.items()}
    sole = float(np.arctan2(body.ankle - body.toe_height, body.forefoot)[0, 0])
    pose = invert(at, sole, straight=MEASURED, window=0.1 * fps)
    # Rotations about a bone come from small angles: they get the filter once more, as unit quaternions.
    spun = filtered(pose.quaternion[0], fps, cutoff)[None]
    pose = replace(pose, quaternion=spun / np.sqrt((spun**2).sum(-1, keepdims=True)))
    pose = replace(pose, root=pose.root + misfit(pose, at, fps))
    touching = active if active is not None else standing(at, body, fps)
    out = signals_of(pose, body, fps, touching, imus, seed)
    error = float(np.median([norm(out.joints[name] - at[name]) for name in JOINTS]))
    return Recorded(out, body, pose, error)


def misfit(pose: Pose, at: Mapping[str, Array], fps: float) -> Array:
    """By how much the chain's joints must be shifted to lie amid the given ones, ``[R, T, 3]``.

    A mean over 20 joints: the noise of the body's place falls well below that of the two hips.
    """
    frames = pose.root.shape[1]
    joints = forward(pose, fps, np.arange(frames) / fps).joints
    out: Array = np.mean([at[name] - joints[name] for name in JOINTS], axis=0)
    return out


def upright(x: Array, up: str) -> Array:
    """Turn axes so that y points up, ``[..., 3]``; right-handed stays right-handed.

    Raises:
        ValueError: The axis is unknown.
    """
    turns = {
        "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
        "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
        "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
        "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    }
    if up not in turns:
        raise ValueError(f"up is {up!r}; allowed are {', '.join(turns)}")
    out: Array = x @ np.array(turns[up], np.float64).T
    return out


def filtered(x: Array, fps: float, cutoff: float) -> Array:
    """Low-pass of second order, forwards and backwards, along the first axis; no phase shift.

    Args:
        x: ``[T, ...]``.
        fps: Frames a second.
        cutoff: Where both runs together leave half the power, Hz; at or above half the frame rate nothing is done.
    """
    if cutoff >= 0.5 * fps or len(x) < 4:
        return x
    # Two runs of a second-order filter: its own cutoff lies higher, by a factor of the tangents.
    edge = fps / np.pi * np.arctan(np.tan(np.pi * cutoff / fps) / (np.sqrt(2.0) - 1.0) ** 0.25)
    out: Array = sosfiltfilt(butter(2, edge, fs=fps, output="sos"), x, axis=0, padlen=min(len(x) - 1, round(fps)))
    return out


def completed(at: Mapping[str, Array]) -> dict[str, Array]:
    """The joints that the chain needs, what is missing being estimated from its neighbours.

    Raises:
        ValueError: A shoulder, elbow, wrist, hip, knee or ankle is missing.
    """
    out = dict(at)
    limbs = [f"{side}_{j}" for side in SIDES for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]
    if missing := [name for name in limbs if name not in out]:
        raise ValueError(f"joints lack {', '.join(missing)}; shoulders, elbows, wrists, hips, knees, ankles are needed")
    # The middle of the hips, whatever the recording calls pelvis: the chain's hips are symmetric about its root.
    out["pelvis"] = 0.5 * (out["left_hip"] + out["right_hip"])
    shoulders = 0.5 * (out["left_shoulder"] + out["right_shoulder"])
    out.setdefault("neck", shoulders)
    out.setdefault("spine", out["pelvis"] + 0.4 * (out["neck"] - out["pelvis"]))
    if "head" not in out:
        axis = out["neck"] - out["spine"]
        out["head"] = out.get("nose", out["neck"] + 0.55 * axis)
    for side in SIDES:
        elbow, wrist = out[f"{side}_elbow"], out[f"{side}_wrist"]
        out.setdefault(f"{side}_hand", wrist + 0.3 * (wrist - elbow))
        toe = out.get(f"{side}_big_toe", out.get(f"{side}_foot_index"))
        if f"{side}_foot" not in out:
            out[f"{side}_foot"] = toe if toe is not None else _guessed_foot(out, side)
    return {name: out[name] for name in JOINTS}


def _guessed_foot(at: Mapping[str, Array], side: str) -> Array:
    """The ball of a foot that points where the hips do, level."""
    left = at["left_hip"] - at["right_hip"]
    ahead = np.stack([-left[..., 2], 0.0 * left[..., 0], left[..., 0]], axis=-1)
    shank = norm(at[f"{side}_knee"] - at[f"{side}_ankle"])[..., None]
    down = np.array([0.0, -0.11, 0.0])
    guess: Array = at[f"{side}_ankle"] + shank * (0.31 * ahead / norm(ahead)[..., None] + down)
    return guess


def fitted(at: Mapping[str, Array], mass: float | None = None, male: float = 0.5) -> Body:
    """A body with the median bone lengths of joints ``[1, T, 3]``; its stature follows from legs and trunk."""

    def length(a: str, b: str) -> float:
        return float(np.median(norm(at[a] - at[b])))

    def pair(a: str, b: str) -> Array:
        return np.array([[[length(f"{side}_{a}", f"{side}_{b}") for side in SIDES]]])

    thigh, shank = pair("hip", "knee"), pair("knee", "ankle")
    trunk = length("pelvis", "spine") + length("spine", "neck")
    neck, foot = length("neck", "head"), float(pair("ankle", "foot").mean())
    # Fractions of stature after de Leva (see body.py): leg 0.475, trunk 0.305; the two agree best so.
    height = 0.5 * (float((thigh + shank).mean()) / 0.48 + trunk / 0.305)
    ankle = 0.039 * height
    drop = 0.010 * height
    across = 0.5 * length("left_shoulder", "right_shoulder")

    def one(value: float) -> Array:
        return np.full((1, 1), value)

    return Body(
        height=one(height),
        trunk=one(trunk),
        neck=one(neck),
        shoulder=one(across),
        shoulder_drop=one(drop),
        hip=one(0.5 * length("left_hip", "right_hip")),
        upper_arm=pair("shoulder", "elbow"),
        forearm=pair("elbow", "wrist"),
        hand=pair("wrist", "hand"),
        thigh=thigh,
        shank=shank,
        ankle=one(ankle),
        forefoot=one(float(np.sqrt(max(foot**2 - (ankle - 0.010 * height) ** 2, (0.5 * foot) ** 2)))),
        mass=one(23.5 * height**2 if mass is None else mass),
        male=one(male),
    )


def standing(
    at: Mapping[str, Array], body: Body, fps: float, high: float = 0.05, fast: float = 0.5
) -> dict[str, Array]:
    """Activation of the feet, ``[1, T]`` each: 1 while a foot is low and slow, smoothly to 0 when it is not.

    Args:
        at: Joints, ``[1, T, 3]``, with the floor at y = 0.
        body: Whose they are.
        fps: Frames a second.
        high: Metres above its place on the floor at which a foot counts as half lifted.
        fast: Speed in m/s at which it counts as half gone.
    """
    out = {}
    for side in SIDES:
        toe, ankle = at[f"{side}_foot"], at[f"{side}_ankle"]
        lift = np.minimum(toe[..., 1] - body.toe_height, ankle[..., 1] - body.ankle)
        speed = norm(np.gradient(toe, 1.0 / fps, axis=1))
        near = 1.0 / (1.0 + np.exp((lift - high) / (0.2 * high)))
        slow = 1.0 / (1.0 + np.exp((speed - fast) / (0.2 * fast)))
        out[f"{side}_foot"] = gaussian_filter1d(near * slow, 0.03 * fps, axis=1, mode="nearest")
    return out
