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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from graphnets.simulation.kinematics import Array, dot, norm, perpendicular
from graphnets.simulation.quaternion import continuous, cross, from_axes, product, swing, turned, vectors
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
    at = _Joints(joints)
    bones = _unit(at.between(*zip(*_BONES, strict=True)))
    across, y, up = bones[:, :, 0:1], bones[:, :, 1:2], bones[:, :, 2:3]
    girdle, arms, hands, legs, ahead = (bones[:, :, i:j] for i, j in ((3, 5), (5, 9), (9, 11), (11, 15), (15, 17)))
    upright = perpendicular(at.between(["spine"], ["pelvis"]), across)
    x = perpendicular(at.between(["left_shoulder"], ["right_shoulder"]), y)
    # Hinges of elbows and knees, and what stands in for them where a limb is straight.
    normal = np.concatenate([cross(arms[:, :, 2:], arms[:, :, :2]), cross(legs[:, :, :2], legs[:, :, 2:])], axis=2)
    default = [turned(swing(y, arms[:, :, :2]), x), cross(legs[:, :, 2:], ahead) + 0.25 * across]
    hinge = _hinge(normal, np.concatenate(default, axis=2), straight, window)
    feet = _feet(ahead, hinge[:, :, 2:], np.asarray(sole, np.float64))
    along = np.concatenate([arms, legs], axis=2)
    aside = perpendicular(np.concatenate([hinge[:, :, i : i + 2] for i in (0, 0, 2, 2)], axis=2), along)
    x_axes = np.concatenate([across, x, aside, feet[0]], axis=2)
    y_axes = np.concatenate([upright, y, along, feet[1]], axis=2)
    turns = from_axes(x_axes, y_axes, cross(x_axes, y_axes))
    quaternion = vectors((*turns.shape[:2], len(LINKS), 4))
    for start, row, count in ((0, 0, 2), (3, 2, 4), (9, 6, 6)):
        quaternion[:, :, start : start + count] = turns[:, :, row : row + count]
    # Head, hands and clavicles swing from thorax and forearms; where clavicles rest is a median, too.
    whole = turns[:, :, 1:2]
    rest = _local(girdle, whole)
    before = np.concatenate([y, arms[:, :, 2:], turned(whole, _unit(rest)[:, None])], axis=2)
    bases = np.concatenate([whole, turns[:, :, 4:6], whole, whole], axis=2)
    swung = product(swing(before, np.concatenate([up, hands, girdle], axis=2)), bases)
    for start, row, count in ((2, 0, 1), (7, 1, 2), (15, 3, 2)):
        quaternion[:, :, start : start + count] = swung[:, :, row : row + count]
    quaternion = continuous(quaternion)
    starts, ends, frames, rows = zip(*_FIXED, strict=True)
    turns = quaternion.transpose(3, 2, 0, 1)[:, list(frames)].transpose(2, 3, 1, 0)
    fixed, links = _local(at.between(ends, starts), turns), len(PARENT)
    offset, tip = np.zeros((2, len(fixed), len(LINKS), 3))
    offset[:, rows[:links]], tip[:, rows[links:]] = fixed[:, :links], fixed[:, links:]
    return Pose(quaternion, at.between(["pelvis"])[:, :, 0], offset, tip)


class _Joints:
    """Positions of all joints in one array, of which any can be had as ``[R, F, K, 3]``, components outermost."""

    def __init__(self, joints: Mapping[str, Array]) -> None:
        shape = np.broadcast_shapes(*(np.shape(joints[name]) for name in JOINTS))
        self.place = np.empty((3, len(JOINTS), *shape[:2]))
        for i, name in enumerate(JOINTS):
            self.place[:, i] = np.moveaxis(np.asarray(joints[name], np.float64), -1, 0)

    def between(self, ends: Sequence[str], starts: Sequence[str] = ()) -> Array:
        """Positions, or vectors from the joints named second to those named first."""
        out = self.place[:, [JOINTS.index(name) for name in ends]]
        if starts:
            out -= self.place[:, [JOINTS.index(name) for name in starts]]
        return out.transpose(2, 3, 1, 0)


_BONES = [("left_hip", "right_hip"), ("neck", "spine"), ("head", "neck")] + [
    (first.format(side), second.format(side))
    for first, second in (
        ("{}_shoulder", "neck"),
        ("{}_shoulder", "{}_elbow"),
        ("{}_elbow", "{}_wrist"),
        ("{}_wrist", "{}_hand"),
        ("{}_hip", "{}_knee"),
        ("{}_knee", "{}_ankle"),
        ("{}_foot", "{}_ankle"),
    )
    for side in SIDES
]
"""End and start of the directions that orientations follow from; limbs point to the trunk, feet ahead."""
_FIXED = [(ORIGIN[p], ORIGIN[link], LINKS.index(p), LINKS.index(link)) for link, p in PARENT.items()] + [
    (ORIGIN[link], end, LINKS.index(link), LINKS.index(link)) for link, end in TIP.items()
]
"""Start, end, frame and link of each vector that is fixed in a frame: offsets, then tips."""


def _feet(ahead: Array, hinge: Array, sole: Array) -> tuple[Array, Array]:
    """Axes of both feet, x and y, ``[R, F, 2, 3]``."""
    # Level in roll up to 30 degrees, the roll of the shank from 72; the sign keeps left left beyond the vertical.
    shank = perpendicular(hinge, ahead)
    level = vectors(ahead.shape)
    level[..., 0], level[..., 1], level[..., 2] = ahead[..., 2], 0.0, -ahead[..., 0]
    level *= (np.where(dot(level, shank) < 0.0, -1.0, 1.0) / np.maximum(norm(level), 1e-9))[..., None]
    steep = np.minimum(np.maximum((np.abs(ahead[..., 1]) - 0.5) / 0.45, 0.0), 1.0)
    steep = (steep * steep**2 * (10.0 - 15.0 * steep + 6.0 * steep**2))[..., None]
    x = perpendicular((1.0 - steep) * level + steep * shank, ahead)
    cosine, sine = (f(sole).reshape(-1, 1, 1, 1) for f in (np.cos, np.sin))
    return x, cosine * cross(ahead, x) - sine * ahead


def _hinge(normal: Array, default: Array, straight: float, window: float) -> Array:
    """Axis of a hinge: ``normal`` has the length of the sine of the flexion."""
    weighted = normal * norm(normal)[..., None]
    if window > 0.0:
        weighted = gaussian_filter1d(weighted, window, axis=1, mode="nearest")
    return weighted + np.sin(straight) ** 2 * default


def _local(vector: Array, quaternion: Array) -> Array:
    """Median over the frames of vectors in a link's frame, ``[R, K, 3]``."""
    back = quaternion * np.array([1.0, -1.0, -1.0, -1.0])
    middle: Array = np.median(turned(back, vector), axis=1)
    return middle


def _unit(v: Array) -> Array:
    return v / norm(v)[..., None]
