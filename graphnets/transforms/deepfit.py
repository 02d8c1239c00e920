"""The normalisation of DeepFit, a classifier of exercises from single frames."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.skeleton import Skeleton
from graphnets.transforms.base import Transform, coordinate_count, with_coordinates
from graphnets.transforms.masking import blank, finite

HEAD = [(a, b) for a in ("nose", "neck") for b in ("right_eye", "left_eye", "right_ear", "left_ear")]
TORSO = [("neck", "left_hip"), ("neck", "right_hip")]
LEGS = [[(f"{s}_hip", f"{s}_knee"), (f"{s}_knee", f"{s}_ankle")] for s in ("right", "left")]
NEEDED = sorted({name for pair in (*HEAD, *TORSO, *LEGS[0], *LEGS[1]) for name in pair})


class CenterOfGravity(Transform):
    r"""Every frame about the mean of its key points, divided by a height that doesn't change when limbs bend.

    DeepFit's normalisation, as published: with :math:`d_{ij} = |p_i - p_j|`, 0 where one of the two isn't observed,

    .. math:: c = \operatorname{mean}_i p_i, \qquad
              L = \max_{head} d + \max_{torso} d + \max_{side} (d_{hip, knee} + d_{knee, ankle}), \qquad
              \tilde p_i = (p_i - c) / L

    over the observed points; the head's distances are those from nose and neck to eyes and ears, the torso's
    those from the neck to the hips. What isn't observed becomes 0, and so does a frame without any length.

    The released code lays the coordinates out one axis after the other and then reads them as pairs, so that its
    "points" are two neighbouring x or two neighbouring y. Its weights were trained with that: ``legacy_planar``
    repeats it, for comparison with them and nothing else.
    """

    def __init__(self, legacy_planar: bool = False, modality: str = "pose") -> None:
        """Choose the order.

        Args:
            legacy_planar: Scramble the points as the released code does; for ``openpose18`` in two dimensions.
            modality: The node type that is changed.
        """
        super().__init__(modality)
        self.legacy_planar = legacy_planar

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``, and with ``legacy_planar`` the mask: there every number depends on several joints.

        Raises:
            ValueError: The skeleton lacks a joint that is needed, or is not the one of the released code.
        """
        skeleton, x, mask = store.skeleton, store.x, store.mask
        if missing := [name for name in NEEDED if name not in skeleton.joints]:
            raise ValueError(f"CenterOfGravity: skeleton {skeleton.name!r} has no {', '.join(missing)}; see Remap")
        points = blank(x[..., : coordinate_count(store.channels)], mask)
        if not self.legacy_planar:
            store.x = with_coordinates(finite(x, mask), _normalized(points, mask, mask, skeleton))
            return
        if skeleton.joints != Skeleton.load("openpose18").joints or points.shape[-1] != 2:
            raise ValueError(
                f"CenterOfGravity: legacy_planar is for openpose18 in two dimensions, not {skeleton.name!r} in "
                f"{points.shape[-1]}"
            )
        pairs = torch.cat([points[..., 0], points[..., 1]], -1).unflatten(-1, (18, 2))
        scaled = _normalized(pairs, pairs[..., 0] != 0, pairs[..., 0] > 0, skeleton).flatten(-2)
        store.x = with_coordinates(finite(x, mask), torch.stack([scaled[..., :18], scaled[..., 18:]], -1))
        store.mask = mask.any(-1, keepdim=True).expand_as(mask)


def _normalized(points: Tensor, measured: Tensor, kept: Tensor, skeleton: Skeleton) -> Tensor:
    """The formula above for ``points [N, T, V, c]``, finite everywhere.

    Args:
        points: As said.
        measured: Between which points distances are taken, ``[N, T, V]``.
        kept: Which points have a place afterwards, and are counted for the mean, ``[N, T, V]``.
        skeleton: Of the points.
    """

    def distance(a: str, b: str) -> Tensor:
        i, j = skeleton.index(a), skeleton.index(b)
        return (points[:, :, i] - points[:, :, j]).norm(dim=-1) * (measured[:, :, i] & measured[:, :, j])

    def longest(lengths: list[Tensor]) -> Tensor:
        return torch.stack(lengths).amax(0)

    head, torso = (longest([distance(a, b) for a, b in pairs]) for pairs in (HEAD, TORSO))
    leg = longest([distance(*thigh) + distance(*shank) for thigh, shank in LEGS])
    height = (head + torso + leg)[..., None, None]
    centre = points.sum(2, keepdim=True) / kept.sum(2)[..., None, None].clamp(min=1)
    scaled = (points - centre) / torch.where(height > 0, height, 1)
    return scaled.masked_fill(~kept[..., None] | (height <= 0), 0)
