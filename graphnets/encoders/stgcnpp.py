"""ST-GCN++: ST-GCN with a learned graph and convolutions at several time scales."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from graphnets.encoders.blocks import BlockEncoder
from graphnets.encoders.stgcn import PAPER_STRIDES, PAPER_WIDTHS
from graphnets.nn import Block, GraphConv
from graphnets.nn.multibranch import MultiBranchTemporal
from graphnets.partitions import Partition
from graphnets.skeleton import Skeleton


class LearnedGraphConv(GraphConv):
    r"""Graph convolution whose adjacency is a parameter, so that joints without an edge can get one.

    .. math:: y_{ti} = \sum_k \sum_j B_{kij} \, x_{tj} W_k + b

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        partitions: What :math:`B` starts from ``[K, V, V]``; row i gathers into joint i.

    Shapes:
        ``[N, T, V, C_in]`` -> ``[N, T, V, C_out]``.
    """

    def __init__(self, in_channels: int, out_channels: int, partitions: Tensor) -> None:
        super().__init__(in_channels, out_channels, partitions, edge_weights=False)
        del self.partitions  # a buffer so far
        self.partitions = nn.Parameter(partitions.clone())


class STGCNPP(BlockEncoder):
    r"""ST-GCN++ (Duan, Wang, Chen, Lin 2022, *PYSKL*, arXiv 2205.09443).

    .. math:: h = \mathrm{ReLU}(\mathrm{BN}(\textstyle\sum_k B_k x W_k) + \mathrm{res}_s(x)), \qquad
              y = \mathrm{ReLU}(\mathrm{BN}(\mathrm{MB}(h)) + \mathrm{res}(x))

    Against ST-GCN three things change: the adjacencies :math:`B_k` only start as the partitions of the skeleton and are
    learned in full, without a mask that keeps them to its edges; the graph convolution has a residual connection of its
    own; and instead of one long convolution over time there are several short ones of few channels
    (:class:`graphnets.nn.multibranch.MultiBranchTemporal`), which costs fewer products and sees farther.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        widths: Channels of each block, ``len(dilations) + 2`` or more. The paper's ten blocks by default.
        strides: Temporal stride of each block, as many as widths.
        kernel: Frames that each dilated convolution reads; odd.
        dilations: Frames from one tap to the next, one convolution for each.
        partition: The subsets that the adjacencies start from, see :meth:`graphnets.skeleton.Skeleton.partitions`.
        dropout: After each temporal convolution.
        causal: Let no frame see a later one, so that a live stream gives what the recorded clip gives.

    Raises:
        ValueError: ``widths`` and ``strides`` differ in number, or a width is smaller than the number of branches.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / prod(strides)), V, widths[-1]]``.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        strides: Sequence[int] = PAPER_STRIDES,
        kernel: int = 3,
        dilations: Sequence[int] = (1, 2, 3, 4),
        partition: Partition = "spatial",
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__(skeleton, in_channels)
        adjacency = self.skeleton.partitions(partition)
        self.causal = causal

        def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
            graph = LearnedGraphConv(in_channels, width, adjacency)
            temporal = MultiBranchTemporal(width, width, kernel, stride, dilations, causal)
            return Block(graph, temporal, residual, spatial_residual=True, dropout=dropout)

        self.chain(block, widths, strides)
