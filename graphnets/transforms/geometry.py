"""Transforms of space: where the body is, how it is turned, stretched and mirrored.

They read and write the leading channels that are coordinates (x, y or x, y, z); other channels, such as a
confidence, stay with their joints.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.skeleton import Skeleton
from graphnets.transforms.base import (
    AXES,
    RandomTransform,
    Transform,
    constant,
    coordinate_count,
    in_range,
    symmetric,
    with_coordinates,
)
from graphnets.transforms.masking import repeat_channels, take_joints


class Center(Transform):
    """Move the body's centre to the origin.

    The centre is the mean of the skeleton's ``center`` joints, or of joints you name. It is observed in the
    frames in which all of these joints are; in other frames the mean of the observed joints stands in for it.
    Per clip, it is the mean over the frames in which it is observed or, if there are none, the mean of all
    observed entries; the body's path through the room is kept. What holds nothing observed stays as it is.
    """

    def __init__(
        self, per: Literal["clip", "frame"] = "clip", joints: list[str] | None = None, modality: str = "pose"
    ) -> None:
        """Choose the centre.

        Args:
            per: ``"clip"`` to subtract one point from the whole clip, ``"frame"`` to subtract the centre
                frame by frame, which takes the body's path away.
            joints: Joints, or composed points of the skeleton, whose mean is the centre; None for the
                skeleton's own.
            modality: The node type that is changed.

        Raises:
            ValueError: ``per`` is unknown or ``joints`` is empty.
        """
        super().__init__(modality)
        if per not in ("clip", "frame"):
            raise ValueError(f"per must be 'clip' or 'frame', got {per!r}")
        if joints is not None and not joints:
            raise ValueError("joints must name at least one joint; None stands for the skeleton's own centre")
        self.per = per
        self.joints = None if joints is None else tuple(joints)

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``.

        Raises:
            ValueError: The skeleton has no centre or lacks a joint, or the channels are no coordinates.
        """
        x, mask = store.x, store.mask
        count = coordinate_count(store.channels)
        names = store.skeleton.center if self.joints is None else self.joints
        share = _shares(x.device, store.skeleton, names).to(x.dtype)

        # One weight for every entry, so that the centre is one sum over the frame or the clip.
        needed = share > 0
        seen = (mask & needed).sum(-1, keepdim=True) == needed.sum()  # [N, T, 1]
        over = (2,) if self.per == "frame" else (1, 2)
        frames = seen.sum(over, keepdim=True)
        rest = mask.to(x.dtype) / mask.sum(over, keepdim=True).clamp(min=1)
        weight = torch.where(frames > 0, seen * share / frames.clamp(min=1), rest)
        points = x[..., :count]
        # A masked NaN is still NaN after its weight of 0, hence the sum without them.
        center = (points * repeat_channels(weight, points)).nansum(over, keepdim=True)
        store.x = with_coordinates(x, _each(torch.sub, points, center))


class RandomRotate(RandomTransform):
    r"""Turn each clip around the origin by random angles.

    In space, :math:`R = R_z R_y R_x` with one angle an axis and clip; in the plane, one angle a clip. Angles
    are uniform in plus or minus their limit. Centre the body before.
    """

    per_clip = True

    def __init__(self, degrees: float | list[float], probability: float = 1.0, modality: str = "pose") -> None:
        """Choose the angles.

        Args:
            degrees: The largest angle, in degrees, 0 to 180: one for all axes, or in space one each for x, y
                and z (``[0, 180, 0]`` turns around y alone).
            probability: The chance of each clip to be turned.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range, or a list hasn't one or three angles.
        """
        super().__init__(probability, modality)
        limits = list(degrees) if isinstance(degrees, (list, tuple)) else [degrees]
        if len(limits) not in (1, 3):
            raise ValueError(f"degrees must be one angle, or one each for x, y and z, got {degrees!r}")
        self.degrees = tuple(in_range("degrees", limit, 0, 180) for limit in limits)

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Turn all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask as it was.

        Raises:
            ValueError: The channels are no coordinates, or there are three angles for a plane.
        """
        x = store.x
        n, t, v, _ = x.shape
        count = coordinate_count(store.channels)
        if count == 2 and len(self.degrees) == 3:
            raise ValueError(f"degrees must be one angle for the channels x and y, got {list(self.degrees)}")
        limit = torch.deg2rad(x.new_tensor(self.degrees))
        angle = symmetric(limit, (n, 1 if count == 2 else 3), x)
        turn = _rotation(angle)  # [N, c, c]
        # Not a matrix product: those may be rounded (TF32), and a body would no longer be rigid.
        points = x[..., :count].reshape(n, t * v, count)
        turned = reduce(torch.add, [points[..., i : i + 1] * turn[:, None, :, i] for i in range(count)])
        return with_coordinates(x, turned.view(n, t, v, count)), store.mask


class RandomScale(RandomTransform):
    """Stretch or shrink each clip about the origin, at random. Centre the body before."""

    per_clip = True

    def __init__(
        self, factor: float = 0.1, per_axis: bool = True, probability: float = 1.0, modality: str = "pose"
    ) -> None:
        """Choose the range.

        Args:
            factor: Scales are uniform in 1 - factor to 1 + factor; 0 to below 1.
            per_axis: Draw one for each axis, which changes angles a little, or one for all.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.factor = in_range("factor", factor, 0, 1, "[)")
        self.per_axis = per_axis

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Scale all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask as it was.

        Raises:
            ValueError: The channels are no coordinates.
        """
        x = store.x
        count = coordinate_count(store.channels)
        change = symmetric(self.factor, (len(x), 1, 1, count if self.per_axis else 1), x)
        scale = 1 + change.expand(-1, -1, -1, count)
        return with_coordinates(x, _each(torch.mul, x[..., :count], scale)), store.mask


class RandomMirror(RandomTransform):
    """Show each clip in a mirror: left and right joints swap places and one axis changes its sign.

    The mirror stands in the plane through the origin across ``axis``, so centre the body before, or at least
    on that axis. Any horizontal axis will do, a vertical one won't. Classes that tell left from right don't
    survive it.
    """

    per_clip = True
    moves = "from side to side"

    def __init__(self, axis: Literal["x", "y", "z"] = "x", probability: float = 0.5, modality: str = "pose") -> None:
        """Choose the mirror.

        Args:
            axis: The channel that changes its sign.
            probability: The chance of each clip to be mirrored.
            modality: The node type that is changed.

        Raises:
            ValueError: ``axis`` is unknown or ``probability`` outside its range.
        """
        super().__init__(probability, modality)
        if axis not in AXES:
            raise ValueError(f"axis must be one of {list(AXES)}, got {axis!r}")
        self.axis = axis

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Mirror all clips.

        Returns:
            ``x [N, T, V, C]`` and ``mask [N, T, V]``, both with joints swapped.

        Raises:
            ValueError: The channels are no coordinates or lack ``axis``.
        """
        x, channels = store.x, store.channels
        if self.axis not in channels[: coordinate_count(channels)]:
            raise ValueError(f"axis {self.axis!r} is not among the channels {tuple(channels)}")
        swap = _mirror(x.device, store.skeleton)
        sign = x.new_ones(len(channels))
        sign[channels.index(self.axis)] = -1
        return take_joints(x, swap) * sign, store.mask.index_select(2, swap)


def _each(operation: Callable[[Tensor, Tensor], Tensor], points: Tensor, value: Tensor) -> Tensor:
    """Apply one value a channel, ``[N, t, 1, c]``, to ``[N, T, V, c]``: in rows of V c, faster than of c."""
    rows = value.expand(-1, -1, points.shape[2], -1).flatten(2)
    return operation(points.flatten(2), rows).view(points.shape)


def _rotation(angle: Tensor) -> Tensor:
    """Rotation matrices ``[N, c, c]`` from radians, ``[N, 1]`` in the plane, ``[N, 3]`` in space."""
    sin, cos = angle.sin(), angle.cos()
    if angle.shape[1] == 1:
        return torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2)
    (sx, sy, sz), (cx, cy, cz) = sin.unbind(1), cos.unbind(1)
    rows = [
        cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz,
        cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz,
        -sy, sx * cy, cx * cy,
    ]  # fmt: skip
    return torch.stack(rows, -1).view(-1, 3, 3)


@constant
def _shares(skeleton: Skeleton, names: tuple[str, ...]) -> Tensor:
    """How much each joint counts in the mean of some joints and composed points, ``[V]``."""
    if not names:
        raise ValueError(f"skeleton {skeleton.name!r} has no centre: name the joints whose mean it shall be")
    share = torch.zeros(skeleton.num_joints)
    for name in names:
        parts = skeleton.composed.get(name, (name,))
        for part in parts:
            share[skeleton.index(part)] += 1 / (len(parts) * len(names))
    return share


@constant
def _mirror(skeleton: Skeleton) -> Tensor:
    """The mirror image of each joint, ``[V]``."""
    return skeleton.mirror_permutation()
