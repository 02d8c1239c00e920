"""Losses of a corrected movement: near to what is right, smooth, of a body whose bones keep their lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from graphnets.nn.dct import fill_gaps
from graphnets.nn.masking import blank
from graphnets.skeleton import Skeleton


def bone_lengths(x: Tensor, skeleton: Skeleton) -> Tensor:
    """Length of every bone of the tree at every frame, ``[N, T, V, C]`` -> ``[N, T, B]``."""
    parent, child = (torch.tensor(ends, device=x.device) for ends in zip(*skeleton.bones, strict=True))
    bones: Tensor = (x[:, :, child] - x[:, :, parent]).norm(dim=-1)
    return bones


def bone_mask(mask: Tensor, skeleton: Skeleton) -> Tensor:
    """Where both ends of a bone are observed, ``[N, T, V]`` -> ``[N, T, B]``."""
    parent, child = (torch.tensor(ends, device=mask.device) for ends in zip(*skeleton.bones, strict=True))
    return mask[:, :, child] & mask[:, :, parent]


def bone_error(changed: Tensor, original: Tensor, mask: Tensor, skeleton: Skeleton) -> Tensor:
    r"""How much bones changed their lengths, relative to those of the same frame before.

    .. math:: E = \frac{1}{|M|} \sum_{(t, b) \in M} \frac{|\hat l_{tb} - l_{tb}|}{\bar l_b}

    with the mean length :math:`\bar l_b` of a bone over the clip.

    Args:
        changed: ``[N, T, V, C]``.
        original: The same movement before.
        mask: True where observed, ``[N, T, V]``.
        skeleton: Its ``bones`` are compared.

    Returns:
        A fraction for each clip, ``[N]``.
    """
    both = bone_mask(mask, skeleton)
    before, after = (bone_lengths(blank(x, mask), skeleton).masked_fill(~both, 0) for x in (original, changed))
    usual = before.sum(1) / both.sum(1).clamp(min=1)
    off = (after - before).abs() / usual.clamp(min=1e-6)[:, None]
    return off.masked_fill(~both, 0).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)


def roughness(x: Tensor, mask: Tensor, order: int = 1) -> Tensor:
    r"""Mean square of the differences between frames, :math:`\overline{(\Delta^n x)^2}`.

    Args:
        x: ``[N, T, V, C]``.
        mask: True where observed, ``[N, T, V]``.
        order: 1: of steps (the smoothness of Zhao et al. 2022); 3: of jerk.

    Returns:
        ``[N]``, per frame, joint and channel; in squared units of x.
    """
    known = mask
    x = blank(x, mask)
    for _ in range(order):
        x, known = x[:, 1:] - x[:, :-1], known[:, 1:] & known[:, :-1]
    squares = x.square().mean(-1).masked_fill(~known, 0)
    return squares.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)


def comparable(x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two movements of the same joints as rows whose distances compare what both observe.

    Gaps are bridged by straight lines. A joint that one of the two never observes is left out of both, and the rest
    weigh so much more: nothing lies at the origin because it was lost.

    Args:
        x: ``[N, T, V, C]``.
        x_mask: ``[N, T, V]``.
        y: ``[N, U, V, C]``.
        y_mask: ``[N, U, V]``.

    Returns:
        ``[N, T, V C]`` and ``[N, U, V C]``.
    """
    common = x_mask.any(1) & y_mask.any(1)
    share = (common.shape[1] / common.sum(1, keepdim=True).clamp(min=1)).sqrt() * common
    weight = share[:, None, :, None].to(x.dtype)
    return (fill_gaps(x, x_mask) * weight).flatten(2), (fill_gaps(y, y_mask) * weight).flatten(2)


def displacement(changed: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Mean distance that joints were moved by, ``[N, T, V, C]`` twice -> ``[N]``, in units of x."""
    far = (changed - original).norm(dim=-1).masked_fill(~mask, 0)
    return far.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
