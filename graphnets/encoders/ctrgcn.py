"""CTR-GCN: every channel of every clip has a graph of its own."""

from __future__ import annotations

from collections.abc import Sequence

from graphnets.encoders.blocks import BlockEncoder
from graphnets.encoders.stgcn import PAPER_STRIDES, PAPER_WIDTHS
from graphnets.nn import Block
from graphnets.nn.adaptive import RefinedGraphConv
from graphnets.nn.multibranch import MultiBranchTemporal
from graphnets.partitions import Partition
from graphnets.skeleton import Skeleton


class CTRGCN(BlockEncoder):
    r"""Channel-wise topology refinement graph convolutional network (Chen et al. 2021, arXiv 2107.12213).

    Every block refines a shared graph for each clip and channel (:class:`~graphnets.nn.adaptive.RefinedGraphConv`),
    then looks at several spans of time at once (:class:`~graphnets.nn.multibranch.MultiBranchTemporal`):

    .. math:: h = \mathrm{ReLU}(\mathrm{BN}(\mathrm{CTRGC}(x)) + r_s(x)), \qquad
              y = \mathrm{ReLU}(\mathrm{MSTCN}(h) + r(x))

    The refinement reads means over the clip, so the encoder isn't causal.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        widths: Channels of each block, at least one for each branch: ``len(dilations) + 2``.
        strides: Temporal stride of each block, as many as widths.
        kernel: Frames that each dilated temporal convolution reads; odd.
        dilations: Frames from one tap to the next, one temporal convolution for each.
        partition: How a neighbourhood is divided, see :meth:`graphnets.skeleton.Skeleton.partitions`.
        reduction: Joints are compared in ``max(8, C_in // reduction)`` channels.
        dropout: After each temporal convolution.

    Raises:
        ValueError: ``widths`` and ``strides`` differ in number, or a width is below the number of branches.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / prod(strides)), V, widths[-1]]``.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        strides: Sequence[int] = PAPER_STRIDES,
        kernel: int = 5,
        dilations: Sequence[int] = (1, 2),
        partition: Partition = "spatial",
        reduction: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(skeleton, in_channels)
        adjacency = self.skeleton.partitions(partition)

        def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
            spatial = RefinedGraphConv(in_channels, width, adjacency, reduction)
            temporal = MultiBranchTemporal(width, width, kernel, stride, dilations, mix=False)
            return Block(spatial, temporal, residual, spatial_residual=True, temporal_norm=False, dropout=dropout)

        self.chain(block, widths, strides)
