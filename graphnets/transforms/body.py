"""Transforms of the body itself: its size, its proportions, and the skeleton that describes it."""

from __future__ import annotations

from functools import lru_cache, reduce

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.skeleton import JointMap, Skeleton
from graphnets.transforms.base import (
    RandomTransform,
    Transform,
    bones,
    constant,
    coordinate_count,
    in_range,
    symmetric,
    with_coordinates,
)
from graphnets.transforms.masking import finite, repeat_channels


class Scale(Transform):
    """Divide the coordinates by the size of the body, so that bones are of length 1 on average.

    The size of a clip is the mean, over the bones of the skeleton's tree, of the median bone length over the
    frames that observe both ends (of an even number of frames the lower of the two middle ones). Bones that
    are never observed don't count, and a clip without any, or with all joints in one point, is left as it is.
    """

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``.

        Raises:
            ValueError: The channels are no coordinates.
        """
        x, mask = store.x, store.mask
        points = x[..., : coordinate_count(store.channels)]
        bone, seen = bones(points, mask, store.skeleton)
        length = _norm(bone).masked_fill(~seen, torch.nan).nanmedian(1).values  # [N, V]
        length[:, store.skeleton.root] = torch.nan
        size = length.nanmean(-1)
        size = torch.where(size > 0, size, 1)[:, None, None, None]
        store.x = with_coordinates(x, points / size)


class RandomBoneScale(RandomTransform):
    """Give each clip a body of other proportions: longer or shorter bones, the same joint angles.

    Every bone of the skeleton's tree is scaled, a bone and its mirror image alike, and the joints are set
    down again from the root, which stays in place, outwards. A bone with an unobserved end is unknown: it
    keeps its length.
    """

    def __init__(self, factor: float = 0.1, probability: float = 1.0, modality: str = "pose") -> None:
        """Choose the range.

        Args:
            factor: Bones get 1 - factor to 1 + factor times their length, uniformly; 0 to below 1.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.factor = in_range("factor", factor, 0, 1, "[)")

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Change the proportions of all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask as it was.

        Raises:
            ValueError: The channels are no coordinates.
        """
        x, mask, skeleton = store.x, store.mask, store.skeleton
        points = x[..., : coordinate_count(store.channels)]
        bone, seen = bones(points, mask, skeleton)
        drawn = symmetric(self.factor, (len(x), skeleton.num_joints), x)
        change = drawn.index_select(1, _twins(x.device, skeleton))[:, None] * seen
        growth = finite(bone, seen) * repeat_channels(change, bone)
        # One product for all: every joint moves by the growth of all bones on its way to the root.
        chains = _chains(x.device, skeleton, points.shape[-1]).to(x.dtype)
        return with_coordinates(x, points + (growth.flatten(2) @ chains).view(points.shape)), mask


class Remap(Transform):
    """Turn the data into those of another skeleton, by joint name; the bones of the batch follow.

    A target joint comes from the joint of its name, or from the composed point of its name (the mean of its
    parts, observed where all of them are). A subset of a skeleton's joints is a target too:
    :meth:`Skeleton.subset`.
    """

    def __init__(self, target: Skeleton | str, allow_missing: bool = False, modality: str = "pose") -> None:
        """Choose the target.

        Args:
            target: A skeleton, the name of a built-in one, or a YAML file.
            allow_missing: Leave target joints that can't be had unobserved, instead of refusing the batch.
            modality: The node type that is changed.

        Raises:
            ValueError: There is no such skeleton.
        """
        super().__init__(modality)
        self.target = target if isinstance(target, Skeleton) else Skeleton.load(target)
        self.allow_missing = allow_missing

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``, ``mask`` and ``skeleton``.

        Raises:
            ValueError: The skeleton lacks joints of the target.
        """
        joint_map = _joint_map(store.skeleton, self.target, self.allow_missing)
        store.x, store.mask = joint_map(store.x, store.mask)
        store.skeleton = self.target


def _norm(vectors: Tensor) -> Tensor:
    """Length of vectors of two or three coordinates, ``[..., c]``, three times as fast as the general one."""
    return reduce(torch.add, [part.square() for part in vectors.unbind(-1)]).sqrt()


@constant
def _twins(skeleton: Skeleton) -> Tensor:
    """One joint to stand for each joint and its mirror image, ``[V]``."""
    return torch.minimum(skeleton.mirror_permutation(), torch.arange(skeleton.num_joints))


@constant
def _chains(skeleton: Skeleton, coordinates: int) -> Tensor:
    """Which joints (rows) lie on the way of each joint (columns) to the root, 0/1 in ``[V c, V c]``."""
    chains = torch.eye(skeleton.num_joints)
    for joint in sorted(range(skeleton.num_joints), key=skeleton.depths.__getitem__):
        if skeleton.parents[joint] >= 0:
            chains[joint] += chains[skeleton.parents[joint]]
    return torch.kron(chains.T.contiguous(), torch.eye(coordinates))


@lru_cache(maxsize=64)
def _joint_map(source: Skeleton, target: Skeleton, allow_missing: bool) -> JointMap:
    """The way from one skeleton to another, planned once."""
    with torch.inference_mode(False):
        return source.remap(target, allow_missing)
