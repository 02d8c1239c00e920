"""From joint positions to the pose of the chain: orientation of every link, place of the root, lengths of the bones.

Positions fix the direction of a bone; how it is turned about itself comes from its neighbours. Pelvis and thorax have
the hips and shoulders. Thighs and shanks, upper arms and forearms take the hinge of the knee or elbow as their x axis:
the normal of the plane in which the limb is bent. A straight limb has no such plane: with flexion ``f`` the axis is

    x ~ sin^2(f) n + sin^2(straight) d,

``n`` the normal and ``d`` a default that always exists (from foot and pelvis for a leg, from the thorax, swung the
shortest way, for an arm), so that axial rotation is continuous. Feet stay level in roll while they are not steep. Head,
clavicles and hands are swung the shortest way from thorax and forearm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from graphnets.simulation.kinematics import Array, dot, norm, perpendicular
from graphnets.simulation.quaternion import continuous, cross, from_axes, product, swing, turned
from graphnets.simulation.segments import LINKS, SIDES

PARENT: dict[str, str] = {"thorax": "pelvis", "head": "thorax"} | {
    f"{side}_{child}": parent if parent in ("thorax", "pelvis") else f"{side}_{parent}"
    for child, parent in (
        ("clavicle", "thorax"),
        ("upper_arm", "clavicle"),
        ("forearm", "upper_arm"),
        ("hand", "forearm"),
        ("thigh", "pelvis"),
        ("shank", "thigh"),
        ("foot", "shank"),
    )
    for side in SIDES
}
ORIGIN: dict[str, str] = {"pelvis": "pelvis", "thorax": "spine", "head": "neck"} | {
    f"{side}_{link}": "neck" if joint == "neck" else f"{side}_{joint}"
    for link, joint in (
        ("clavicle", "neck"),
        ("upper_arm", "shoulder"),
        ("forearm", "elbow"),
        ("hand", "wrist"),
        ("thigh", "hip"),
        ("shank", "knee"),
        ("foot", "ankle"),
    )
    for side in SIDES
}
"""The joint at which each link begins."""
TIP = {"head": "head"} | {f"{side}_{name}": f"{side}_{name}" for name in ("hand", "foot") for side in SIDES}
"""The joint at which the outermost links end."""
JOINTS = tuple(dict.fromkeys([*ORIGIN.values(), *TIP.values()]))
"""The 20 joints that are needed, and made."""


@dataclass(frozen=True)
class Pose:
    """A chain in ``F`` poses of each of ``R`` repetitions; links in the order of ``LINKS``.

    Attributes:
        quaternion: Orientation of each link in the world, of unit length, continuous over frames, ``[R, F, L, 4]``.
        root: Middle of the hips, metres, ``[R, F, 3]``.
        offset: From the parent's origin to the link's in the parent's frame, metres, ``[R, L, 3]``; zero for the root.
        tip: From the origin to the outer end of head, hands and feet in their own frame, ``[R, L, 3]``; else zero.
    """

    quaternion: Array
    root: Array
    offset: Array
    tip: Array


def invert(
    joints: Mapping[str, Array], sole: Array | float = 0.38, straight: float = np.radians(1.0), window: float = 0.0
) -> Pose:
    """Find the pose that puts the chain's joints where they are.

    Args:
        joints: Positions in metres, ``[R, F, 3]`` by name; the names of :data:`JOINTS`. Without NaN.
        sole: By how much a line from the ankle to the ball of a flat foot falls, radians, ``[R]`` or one for all.
        straight: Flexion in radians below which a limb counts as straight. Noise-free joints bear a small one; joints
            measured to 1 cm want 0.2.
        window: Standard deviation in frames of a Gaussian that smooths the normals of the limbs, weighted by how much
            they are bent: nearly straight moments take the plane from bent ones beside them. 0 for noise-free joints.

    Returns:
        The pose. With rigid bones it reproduces the joints to rounding; otherwise each bone gets its median vector.

    Raises:
        ValueError: A joint is missing.
    """
    if missing := [name for name in JOINTS if name not in joints]:
        raise ValueError(f"joints lack {', '.join(missing)}; needed are {', '.join(JOINTS)}")
    shape = np.broadcast_shapes(*(np.shape(joints[name]) for name in JOINTS))
    at = {name: np.broadcast_to(np.asarray(joints[name], np.float64), shape) for name in JOINTS}
    links: dict[str, Array] = {}
    x = _unit(at["left_hip"] - at["right_hip"])
    y = perpendicular(at["spine"] - at["pelvis"], x)
    links["pelvis"] = from_axes(x, y, cross(x, y))
    across = x
    y = _unit(at["neck"] - at["spine"])
    x = perpendicular(at["left_shoulder"] - at["right_shoulder"], y)
    links["thorax"] = from_axes(x, y, cross(x, y))
    up = _unit(at["head"] - at["neck"])
    links["head"] = product(swing(y, up), links["thorax"])
    thorax = (x, y, links["thorax"])
    for side in SIDES:
        links |= _arm(at, side, thorax, straight, window)
        links |= _leg(at, side, across, np.asarray(sole, np.float64), straight, window)
    quaternion = continuous(np.stack([links[name] for name in LINKS], axis=-2))
    offset, tip = np.zeros((2, shape[0], len(LINKS), 3))
    for i, name in enumerate(LINKS):
        if name in PARENT:
            parent = PARENT[name]
            offset[:, i] = _local(at[ORIGIN[name]] - at[ORIGIN[parent]], quaternion[:, :, LINKS.index(parent)])
        if name in TIP:
            tip[:, i] = _local(at[TIP[name]] - at[ORIGIN[name]], quaternion[:, :, i])
    return Pose(quaternion, at["pelvis"], offset, tip)


def _arm(
    at: Mapping[str, Array], side: str, thorax: tuple[Array, Array, Array], straight: float, window: float
) -> dict[str, Array]:
    x, y, whole = thorax
    shoulder, elbow, wrist, hand = (at[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand"))
    girdle = _unit(shoulder - at["neck"])
    rest = _local(girdle, whole)
    rest /= norm(rest)[:, None]
    upper, lower = _unit(shoulder - elbow), _unit(elbow - wrist)  # both point to the trunk
    hinge = _hinge(cross(lower, upper), turned(swing(y, upper), x), straight, window)
    forearm = _along(lower, hinge)
    return {
        f"{side}_clavicle": product(swing(turned(whole, rest[:, None]), girdle), whole),
        f"{side}_upper_arm": _along(upper, hinge),
        f"{side}_forearm": forearm,
        f"{side}_hand": product(swing(lower, _unit(wrist - hand)), forearm),
    }


def _leg(
    at: Mapping[str, Array], side: str, across: Array, sole: Array, straight: float, window: float
) -> dict[str, Array]:
    hip, knee, ankle, toe = (at[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot"))
    upper, lower, ahead = _unit(hip - knee), _unit(knee - ankle), _unit(toe - ankle)
    default = cross(lower, ahead) + 0.25 * across
    hinge = _hinge(cross(upper, lower), default, straight, window)
    # Level in roll up to 30 degrees, the roll of the shank from 72; the sign keeps left left beyond the vertical.
    shank = perpendicular(hinge, ahead)
    level = np.stack([ahead[..., 2], np.zeros(ahead.shape[:-1]), -ahead[..., 0]], axis=-1)
    level *= (np.where(dot(level, shank) < 0.0, -1.0, 1.0) / np.maximum(norm(level), 1e-9))[..., None]
    steep = np.clip((np.abs(ahead[..., 1]) - 0.5) / 0.45, 0.0, 1.0)
    steep = (steep**3 * (10.0 - 15.0 * steep + 6.0 * steep**2))[..., None]
    x = perpendicular((1.0 - steep) * level + steep * shank, ahead)
    rise = cross(ahead, x)
    cosine, sine = (f(sole).reshape(-1, 1, 1) for f in (np.cos, np.sin))
    foot = from_axes(x, cosine * rise - sine * ahead, sine * rise + cosine * ahead)
    return {f"{side}_thigh": _along(upper, hinge), f"{side}_shank": _along(lower, hinge), f"{side}_foot": foot}


def _hinge(normal: Array, default: Array, straight: float, window: float) -> Array:
    """Axis of a hinge: ``normal`` has the length of the sine of the flexion."""
    weighted = normal * norm(normal)[..., None]
    if window > 0.0:
        weighted = gaussian_filter1d(weighted, window, axis=1, mode="nearest")
    return weighted + np.sin(straight) ** 2 * default


def _along(y: Array, hinge: Array) -> Array:
    x = perpendicular(hinge, y)
    return from_axes(x, y, cross(x, y))


def _local(vector: Array, quaternion: Array) -> Array:
    """Median over the frames of vectors in a link's frame, ``[R, 3]``."""
    back = quaternion * np.array([1.0, -1.0, -1.0, -1.0])
    middle: Array = np.median(turned(back, vector), axis=1)
    return middle


def _unit(v: Array) -> Array:
    return v / norm(v)[..., None]
