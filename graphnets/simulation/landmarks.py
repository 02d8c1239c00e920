"""Key points of the built-in skeletons on the moving chain: its joints, and points that are fixed on its links."""

from __future__ import annotations

from functools import cache

import numpy as np

from graphnets.simulation.body import Body
from graphnets.simulation.chain import INDEX, Kinematics, apply
from graphnets.simulation.inverse import JOINTS
from graphnets.simulation.kinematics import Array
from graphnets.simulation.segments import FOREFOOT, HEEL
from graphnets.skeleton import Skeleton

# Name -> link and place in its frame (x outwards from the middle or the body's left, y up, z forward), in fractions of
# stature, from the link's tip (the centre of the head; the third knuckle). Our estimates for an average head and hand.
FACE: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, -0.008, 0.065),
    "eye": (0.018, 0.013, 0.052),
    "eye_inner": (0.010, 0.013, 0.053),
    "eye_outer": (0.027, 0.013, 0.048),
    "ear": (0.043, 0.000, 0.000),
    "mouth": (0.014, -0.030, 0.055),
}
FINGERS: dict[str, tuple[float, float, float]] = {
    "index": (0.0, -0.006, 0.014),
    "pinky": (0.0, 0.003, -0.022),
    "thumb": (0.0, 0.022, 0.030),
}
TOES: dict[str, float] = {"big_toe": -0.012, "small_toe": 0.022}
"""Sideways from the ball, outwards; both lie at its height and a little before it."""
CROWN = 0.07
"""Top of the head above its centre."""
HEAD_IS_TOP = ("h36m17",)
"""Skeletons whose ``head`` is the top of it; elsewhere it is its centre."""


def landmarks(motion: Kinematics, body: Body, skeleton: Skeleton) -> Array:
    """The joints of a skeleton by name, ``[R, T, V, 3]`` in metres.

    ``kinect20`` is the chain's own joints. Of ``h36m17``, ``openpose18``, ``coco17``, ``body25``, ``ec3d19``,
    ``mediapipe33`` and ``tan_video11`` the face, fingers, heels and toes are estimated points fixed on head, hand and
    foot. ``vicon39`` can't be had: its markers lie on the skin, at places that differ with every application;
    ``imu_axes6`` and ``tan_imu8`` have no positions, for they are sensors.

    Args:
        motion: Of the whole chain.
        body: Whose it is, ``R`` people.
        skeleton: Any whose joints are known by name.

    Raises:
        ValueError: The skeleton has a joint that the body has not.
    """
    if missing := [name for name in skeleton.joints if name not in KNOWN]:
        raise ValueError(f"skeleton {skeleton.name!r} has joints that the simulated body has not: {', '.join(missing)}")
    joints = motion.joints
    shape = (*motion.position.shape[:2], 3)
    out = np.empty((*shape[:2], len(skeleton.joints), 3))
    for i, name in enumerate(skeleton.joints):
        if name == "head" and skeleton.name in HEAD_IS_TOP:
            out[:, :, i] = _fixed(motion, body, "head", (0.0, CROWN, 0.0))
        else:
            out[:, :, i] = joints[name] if name in joints else _point(motion, body, name)
    return out


def _point(motion: Kinematics, body: Body, name: str) -> Array:
    if name == "nose":
        return _fixed(motion, body, "head", FACE["nose"])
    # mediapipe33 calls the corners of the mouth and the eyes by side first, as everything else.
    side, _, part = name.partition("_")
    out = 1.0 if side == "left" else -1.0
    if part in FACE:
        x, y, z = FACE[part]
        return _fixed(motion, body, "head", (out * x, y, z))
    if part in FINGERS:
        x, y, z = FINGERS[part]
        return _fixed(motion, body, f"{side}_hand", (out * x, y, z))
    link = f"{side}_foot"
    ball = motion.outer[:, INDEX[link]]  # from the ankle
    if part == "heel":
        length = body.forefoot / FOREFOOT
        local = np.concatenate([np.zeros_like(length), ball[:, 1:2], -HEEL * length], axis=-1)
        return _moved(motion, link, local)
    if part == "foot_index":  # the tip of the big toe
        return _fixed(motion, body, link, (out * TOES["big_toe"], 0.0, 0.025))
    return _fixed(motion, body, link, (out * TOES[part], 0.0, 0.020 if part == "big_toe" else 0.005))


def _fixed(motion: Kinematics, body: Body, link: str, share: tuple[float, float, float]) -> Array:
    """A point at a fixed place from the link's tip, in fractions of stature."""
    return _moved(motion, link, motion.outer[:, INDEX[link]] + body.height * np.array(share))


def _moved(motion: Kinematics, link: str, local: Array) -> Array:
    i = INDEX[link]
    return motion.position[:, :, i] + apply(motion.rotation[:, :, i], local[:, None])


KNOWN = frozenset(
    [
        *JOINTS,
        "nose",
        *(
            f"{side}_{part}"
            for side in ("left", "right")
            for part in (*(p for p in FACE if p != "nose"), *FINGERS, *TOES, "heel", "foot_index")
        ),
    ]
)
"""Every joint that :func:`landmarks` can place."""


@cache
def built_in(name: str) -> Skeleton:
    """A built-in skeleton, read once."""
    return Skeleton.load(name)


@cache
def possible() -> tuple[str, ...]:
    """The built-in skeletons whose joints the simulated body has."""
    return tuple(name for name in Skeleton.available() if KNOWN.issuperset(Skeleton.load(name).joints))
