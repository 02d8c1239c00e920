"""ST-GCN: spatial graph convolution and temporal convolution in turn."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders.base import Encoder
from graphnets.nn import GraphConv, MaskedBatchNorm, TemporalConv, stride_mask
from graphnets.nn.masking import conv_layout, motion_layout
from graphnets.partitions import Partition
from graphnets.skeleton import Skeleton

PAPER_WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
PAPER_STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)


class STGCN(Encoder):
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
        max_hop: int = 1,
        dropout: float = 0.0,
        edge_weights: bool = True,
        separable: bool = False,
    ) -> None:
        super().__init__(skeleton, in_channels)
        if len(widths) != len(strides) or not widths:
            raise ValueError(f"{len(widths)} widths {list(widths)} but {len(strides)} strides {list(strides)}")
        adjacency = self.skeleton.partitions(partition, max_hop)
        self.norm = MaskedBatchNorm(in_channels, joints=self.skeleton.num_joints)
        self.blocks = nn.ModuleList()
        self.time_stride, channels = 1, in_channels
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            graph = GraphConv(channels, width, adjacency, edge_weights)
            self.blocks.append(STGCNBlock(graph, kernel, stride, dropout, residual=i > 0, separable=separable))
            channels, self.time_stride = width, self.time_stride * stride
        self.out_channels = channels

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :meth:`Encoder.forward`."""
        x = self.norm(x, mask)
        for block in self.blocks:
            x, mask = block(x, mask)
        return x


class STGCNBlock(nn.Module):
    """One block of :class:`STGCN`.

    Args:
        graph: The graph convolution.
        kernel: Of the temporal convolution.
        stride: Of the temporal convolution.
        dropout: After the temporal convolution.
        residual: Add the input; it goes through a strided 1x1 convolution where widths or lengths differ.
        separable: Make the temporal convolution depthwise-separable.
    """

    def __init__(
        self,
        graph: GraphConv,
        kernel: int,
        stride: int,
        dropout: float = 0.0,
        residual: bool = True,
        separable: bool = False,
    ) -> None:
        super().__init__()
        width = graph.out_channels
        self.stride = stride
        self.graph = graph
        self.graph_norm = MaskedBatchNorm(width)
        self.temporal = TemporalConv(width, width, kernel, stride, separable)
        self.temporal_norm = MaskedBatchNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        self.shortcut: nn.Module | None = None
        if residual and (graph.in_channels != width or stride != 1):
            self.shortcut = nn.Conv2d(graph.in_channels, width, 1, (stride, 1))
            self.shortcut_norm = MaskedBatchNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Values and mask of the block's output; ``x`` must be 0 where masked, and so is what is returned."""
        after = stride_mask(mask, self.stride)
        h = F.relu(self.graph_norm(self.graph(x), mask))
        h = self.dropout(self.temporal_norm(self.temporal(h, mask), after))
        if self.shortcut is not None:
            h = h + self.shortcut_norm(motion_layout(self.shortcut(conv_layout(x))), after)
        elif self.residual:
            h = h + x
        return F.relu(h), after
