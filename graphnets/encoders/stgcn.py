"""ST-GCN: spatial graph convolution and temporal convolution in turn."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from graphnets.encoders.blocks import BlockEncoder
from graphnets.nn import Block, GraphConv, TemporalConv
from graphnets.nn.frequency import FrequencyConv
from graphnets.partitions import Partition
from graphnets.skeleton import Skeleton

PAPER_WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
PAPER_STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)


class STGCN(BlockEncoder):
    r"""Spatial temporal graph convolutional network (Yan, Xiong, Lin 2018, arXiv 1801.07455).

    Every block is a graph convolution over the partitions of the neighbourhood, then a convolution over time, each
    with batch normalisation, and a residual connection:

    .. math:: h = \mathrm{ReLU}(\mathrm{BN}(\textstyle\sum_k (A_k \odot M_k) x W_k)), \qquad
              y = \mathrm{ReLU}(\mathrm{BN}(\mathrm{TCN}(h)) + \mathrm{res}(x))

    It differs from the code that came with the paper in three ways: distances past one hop are real, so the centripetal
    and the centrifugal partition each hold every edge; normalisation and convolution see observed entries only;
    tensors stay ``[N, T, V, C]``, which spares the copies.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        widths: Channels of each block. The paper's ten blocks by default.
        strides: Temporal stride of each block, as many as widths.
        kernel: Frames that a temporal convolution spans; odd.
        partition: How a neighbourhood is divided, see :meth:`graphnets.skeleton.Skeleton.partitions`.
        max_hop: How far a neighbourhood reaches.
        dropout: After each temporal convolution.
        edge_weights: Learn a weight for each edge of each partition in each block.
        separable: Use depthwise-separable temporal convolutions: a lighter network than the paper's.
        causal: Let no frame see a later one, so that a live stream gives what the recorded clip gives.
        frequency: Compute the temporal convolutions in the frequency domain (:class:`graphnets.nn.FrequencyConv`): the
            same network, numbers and state dict, with fewer products from 64 channels on. Not when compiled.

    Raises:
        ValueError: ``widths`` and ``strides`` differ in number, or ``frequency`` is asked for with ``separable`` or
            ``causal``.

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
        max_hop: int = 1,
        dropout: float = 0.0,
        edge_weights: bool = True,
        separable: bool = False,
        causal: bool = False,
        frequency: bool = False,
    ) -> None:
        super().__init__(skeleton, in_channels)
        adjacency = self.skeleton.partitions(partition, max_hop)
        self.causal, self.time_major = causal, frequency
        if frequency and (separable or causal):
            raise ValueError(
                "frequency=True is for dense, centred temporal convolutions: it gains nothing on separable ones, and "
                "mixes frames, so that a causal one would see later frames in its rounding errors"
            )

        def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
            graph = GraphConv(in_channels, width, adjacency, edge_weights)
            temporal: nn.Module
            if frequency:
                temporal = FrequencyConv(width, width, kernel, stride, time_major=True)
            else:
                temporal = TemporalConv(width, width, kernel, stride, separable, causal=causal)
            return Block(graph, temporal, residual, dropout=dropout)

        self.chain(block, widths, strides)
