"""AAGCN and 2s-AGCN: ST-GCN whose graph is learned, for the data set and for each clip, with attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders.blocks import BlockEncoder
from graphnets.encoders.stgcn import PAPER_STRIDES, PAPER_WIDTHS
from graphnets.nn import Block, TemporalConv, masked_mean
from graphnets.nn.adaptive import AdaptiveGraphConv
from graphnets.partitions import Partition
from graphnets.skeleton import Skeleton


class STCAttention(nn.Module):
    r"""Attention to joints, then to frames, then to channels (Shi et al. 2020, arXiv 1912.06971).

    .. math:: x \leftarrow x (1 + \sigma(g_s(\mathrm{E}_t[x]))), \quad
              x \leftarrow x (1 + \sigma(g_t(\mathrm{E}_v[x]))), \quad
              x \leftarrow x (1 + \sigma(g_c(\mathrm{E}_{tv}[x])))

    with convolutions :math:`g_s` over the joints in their order and :math:`g_t` over 9 frames, to one number each, and
    a perceptron :math:`g_c` of half as many hidden channels. Means run over what was observed; to the convolutions a
    joint or frame without any entry is as one beyond the end. As the paper's code does, frames and channels start with
    attention 1/2 everywhere.

    Args:
        channels: C.
        num_joints: V.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, T, V, C]``.
    """

    def __init__(self, channels: int, num_joints: int) -> None:
        super().__init__()
        kernel = num_joints - 1 + num_joints % 2  # odd, to have a middle
        self.joints = nn.Conv1d(channels, 1, kernel, padding=kernel // 2)
        self.frames = nn.Conv1d(channels, 1, 9, padding=4)
        self.reduce = nn.Linear(channels, max(1, channels // 2))
        self.expand = nn.Linear(max(1, channels // 2), channels)
        nn.init.xavier_normal_(self.joints.weight)
        nn.init.zeros_(self.joints.bias)  # type: ignore[arg-type]
        nn.init.kaiming_normal_(self.reduce.weight, nonlinearity="relu")
        for layer in (self.frames, self.expand):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend."""
        # The second and third mean are of scaled values; scaling what was summed so far spares two copies of x.
        by_joint = 1 + torch.sigmoid(self.joints(masked_mean(x, mask, (1,)).transpose(1, 2)))  # [N, 1, V]
        if mask is None:
            per_frame = torch.matmul(by_joint[:, None].to(x.dtype) / x.shape[2], x)[:, :, 0]  # [N, T, C]
            by_frame = 1 + torch.sigmoid(self.frames(per_frame.transpose(1, 2)))  # [N, 1, T]
            overall = torch.bmm(by_frame.to(x.dtype) / x.shape[1], per_frame)[:, 0]  # [N, C]
        else:
            weight = mask.to(torch.promote_types(x.dtype, torch.float32))
            seen = weight.sum(2)  # [N, T]
            share = by_joint * weight / seen.clamp(min=1)[..., None]
            per_frame = torch.matmul(share[:, :, None].to(x.dtype), x)[:, :, 0]
            by_frame = 1 + torch.sigmoid(self.frames(per_frame.transpose(1, 2)))
            share = by_frame[:, 0] * seen / seen.sum(1, keepdim=True).clamp(min=1)
            overall = torch.bmm(share[:, None].to(x.dtype), per_frame)[:, 0]
        by_channel = 1 + torch.sigmoid(self.expand(F.relu(self.reduce(overall))))
        entries = by_joint * by_frame.transpose(1, 2)  # [N, T, V]
        return x * entries[..., None].to(x.dtype) * by_channel[:, None, None].to(x.dtype)


class AAGCN(BlockEncoder):
    r"""Attention-enhanced adaptive graph convolutional network, and its predecessor 2s-AGCN.

    ST-GCN with three changes: the graph is learned without constraint and, for each clip, extended by the similarity of
    the joints (:class:`~graphnets.nn.adaptive.AdaptiveGraphConv`); a residual connection goes around the graph
    convolution too; and with ``attention`` joints, frames and channels get weights (:class:`STCAttention`):

    .. math:: h = \mathrm{STC}(\mathrm{ReLU}(\mathrm{BN}(\mathrm{AGC}(x)) + r_s(x))), \qquad
              y = \mathrm{ReLU}(\mathrm{BN}(\mathrm{TCN}(h)) + r(x))

    Shi et al. 2020, *Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph Convolutional Networks*, arXiv
    1912.06971; with ``attention=False`` Shi et al. 2019, *Two-Stream Adaptive Graph Convolutional Networks*, arXiv
    1805.07694. This is one stream; several are fused from the scores of one network each. Similarity and attention are
    means over the clip, so the encoder isn't causal.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        widths: Channels of each block.
        strides: Temporal stride of each block, as many as widths.
        kernel: Frames that a temporal convolution spans; odd.
        partition: How a neighbourhood is divided, see :meth:`graphnets.skeleton.Skeleton.partitions`.
        attention: Weights for joints, frames and channels.
        gate: Learn the graph from the partitions on and how much similarity counts, from 0 on (AAGCN); else add to the
            partitions what is learned and the whole similarity (2s-AGCN). None: as ``attention``.
        embed_ratio: Similarities are taken in ``width // embed_ratio`` channels.
        dropout: After each temporal convolution.
        separable: Use depthwise-separable temporal convolutions: a lighter network than the paper's.

    Raises:
        ValueError: ``widths`` and ``strides`` differ in number.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / prod(strides)), V, widths[-1]]``.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        strides: Sequence[int] = PAPER_STRIDES,
        kernel: int = 9,
        partition: Partition = "spatial",
        attention: bool = True,
        gate: bool | None = None,
        embed_ratio: int = 4,
        dropout: float = 0.0,
        separable: bool = False,
    ) -> None:
        super().__init__(skeleton, in_channels)
        adjacency, joints = self.skeleton.partitions(partition), self.skeleton.num_joints
        gated = attention if gate is None else gate

        def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
            spatial = AdaptiveGraphConv(in_channels, width, adjacency, embed_ratio, gated)
            temporal = TemporalConv(width, width, kernel, stride, separable)
            attend = STCAttention(width, joints) if attention else None
            return Block(spatial, temporal, residual, spatial_residual=True, attention=attend, dropout=dropout)

        self.chain(block, widths, strides)
