"""BlockGCN: each group of channels has its own graph, built from hop distances and learned weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphnets.encoders.blocks import BlockEncoder
from graphnets.nn import Block
from graphnets.nn.multibranch import MultiBranchTemporal
from graphnets.skeleton import Skeleton

PAPER_WIDTHS = (128, 128, 128, 128, 256, 256, 256, 256, 256, 256)
PAPER_STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
RELATIONS = 3
"""Adjacencies of each head, whose results are added; the authors' number."""


class BlockGC(nn.Module):
    r"""Graph convolution with channels in heads: an own adjacency and an own block of the channel product for each.

    For head h with its share :math:`x^h` of the channels and K relations,

    .. math:: y^h_{ti} = \sum_k \sum_j \big(\nu(A_{kh}) + \nu(E_{kh})\big)_{ij} \, x^h_{tj} W_{kh}, \qquad
              (E_{kh})_{ij} = e_{kh d(i,j)}, \qquad \nu(a)_{ij} = a_{ij} / \sqrt{1 + \textstyle\sum_l a_{il}^2}

    where A is free, e a learned number for each hop distance d, so that the skeleton stays in the graph however A is
    trained, and unreachable pairs count as one more distance. :math:`\nu` keeps either from drowning the other. A
    starts as the identity and relation k with the joints k hops away.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        hops: Hop distances ``[V, V]`` int64, -1 = unreachable.
        heads: Groups of channels.

    Raises:
        ValueError: ``heads`` is below 1 or doesn't divide both numbers of channels.

    Shapes:
        ``[N, T, V, C_in]`` -> ``[N, T, V, C_out]``. There is no bias: a norm follows.
    """

    distances: Tensor

    def __init__(self, in_channels: int, out_channels: int, hops: Tensor, heads: int) -> None:
        super().__init__()
        if heads < 1 or in_channels % heads or out_channels % heads:
            raise ValueError(
                f"heads is {heads}; it must be 1 or more and divide the channels that a graph convolution takes in "
                f"({in_channels}) and puts out ({out_channels})"
            )
        self.in_channels, self.out_channels, self.heads = in_channels, out_channels, heads
        joints, farthest = len(hops), int(hops.max())
        # A pair without a path takes the entry after the last; there is none if all pairs have a path.
        distances = torch.where(hops < 0, farthest + 1, hops)
        self.register_buffer("distances", distances, persistent=False)
        start = torch.eye(RELATIONS, int(distances.max()) + 1)
        start[:, farthest + 1 :] = 0.0
        self.encoding = nn.Parameter(start[:, None].repeat(1, heads, 1))
        self.adjacency = nn.Parameter(torch.eye(joints).repeat(RELATIONS, heads, 1, 1))
        self.weight = nn.Parameter(torch.empty(RELATIONS, heads, in_channels // heads, out_channels // heads))
        nn.init.normal_(self.weight, std=math.sqrt(2 * heads / (RELATIONS * in_channels)))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve; entries that are masked must be 0 in ``x``, the mask itself isn't read."""
        n, t, v, c = x.shape
        mixing = _bounded(self.adjacency) + _bounded(self.encoding[:, :, self.distances])
        # Heads outermost: then all products of a relation are one batched product over the heads.
        heads = x.reshape(n * t, v, self.heads, c // self.heads).permute(2, 1, 0, 3)
        heads = heads.reshape(self.heads, v, n * t * (c // self.heads))
        y: Tensor | None = None
        for adjacency, weight in zip(mixing, self.weight, strict=True):
            gathered = torch.bmm(adjacency, heads).view(self.heads, v * n * t, c // self.heads)
            y = torch.bmm(gathered, weight) if y is None else torch.baddbmm(y, gathered, weight)
        assert y is not None
        y = y.view(self.heads, v, n * t, self.out_channels // self.heads).permute(2, 1, 0, 3)
        return y.reshape(n, t, v, self.out_channels)


class BlockGCN(BlockEncoder):
    r"""BlockGCN (Zhou et al. 2024, *Redefine Topology Awareness for Skeleton-Based Action Recognition*, CVPR).

    .. math:: h = \mathrm{ReLU}(\mathrm{BN}(\mathrm{BlockGC}(x)) + \mathrm{res}_s(x)), \qquad
              y = \mathrm{ReLU}(\mathrm{MB}(h) + \mathrm{res}(x))

    with :class:`BlockGC` and :class:`graphnets.nn.multibranch.MultiBranchTemporal`. Why this one: a free adjacency
    forgets the skeleton in training, which the distance encoding prevents; heads make the channel product
    block-diagonal, hence ``heads`` times smaller. The paper reports 93.1 % and 97.0 % on NTU RGB+D 60 (cross-subject
    and cross-view), against 92.4 % and 96.8 % of CTR-GCN (arXiv 2107.12213), with fewer parameters. And unlike there
    no adjacency is computed from the clip, so the network can be causal.

    It differs from the authors' network in these ways. Their dynamic encoding, a vector for each clip from the
    persistent homology of its mean joint distances, is left out: it takes a filtration of every clip, which no batched
    product computes, and reads all frames. Their input embedding is left out too: the first block, whose few input
    channels heads can't divide, has a single head instead. The distance encoding starts as said in :class:`BlockGC`,
    not at 0, and rows are bounded instead of divided by their norm, whose gradient explodes at 0.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        widths: Channels of each block, multiples of ``heads``. The authors' ten blocks by default.
        strides: Temporal stride of each block, as many as widths.
        heads: Groups of channels, each with adjacencies of its own.
        kernel: Frames that each dilated convolution reads; odd.
        dilations: Frames from one tap to the next, one convolution for each.
        dropout: After each temporal convolution.
        causal: Let no frame see a later one, so that a live stream gives what the recorded clip gives.

    Raises:
        ValueError: ``widths`` and ``strides`` differ in number, or a width is no multiple of ``heads`` or smaller than
            the ``len(dilations) + 2`` temporal branches.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / prod(strides)), V, widths[-1]]``.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        strides: Sequence[int] = PAPER_STRIDES,
        heads: int = 8,
        kernel: int = 5,
        dilations: Sequence[int] = (1, 2),
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__(skeleton, in_channels)
        hops = self.skeleton.hop_distances()
        self.causal = causal
        if heads < 1 or any(width % heads for width in widths):
            raise ValueError(f"BlockGCN: widths {list(widths)} must be multiples of heads, which is {heads}")

        def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
            graph = BlockGC(in_channels, width, hops, heads if residual else 1)
            temporal = MultiBranchTemporal(width, width, kernel, stride, dilations, causal, mix=False)
            return Block(graph, temporal, residual, spatial_residual=True, temporal_norm=False, dropout=dropout)

        self.chain(block, widths, strides)


def _bounded(a: Tensor) -> Tensor:
    """Rows with a norm below 1; small ones stay as they are."""
    return a * torch.rsqrt(1.0 + a.square().sum(-1, keepdim=True))
