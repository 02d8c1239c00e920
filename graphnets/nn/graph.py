"""Graph convolution over a fixed partition of the neighbourhood, as dense products."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphnets.nn.masking import pointwise


class GraphConv(nn.Module):
    r"""Spatial graph convolution with partitions and edge weights (Yan et al. 2018, arXiv 1801.07455, eq. 10).

    .. math:: y_{ti} = \sum_k \sum_j (A_k \odot M_k)_{ij} \, x_{tj} W_k + b

    The two products commute; the graph product comes first unless ``C_in > C_out``, whichever is cheaper. Both orders
    are dense: at the size of a body a sparse scatter can't win.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        partitions: Normalised adjacency of each partition ``[K, V, V]``; row i gathers into joint i.
        edge_weights: Learn ``M``, a weight for every edge of every partition, starting from 1.

    Shapes:
        ``[N, T, V, C_in]`` -> ``[N, T, V, C_out]``.
    """

    partitions: Tensor
    per_frame = True
    """No frame has a say in another."""

    def __init__(self, in_channels: int, out_channels: int, partitions: Tensor, edge_weights: bool = True) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        k = partitions.shape[0]
        self.register_buffer("partitions", partitions.clone(), persistent=False)
        self.weight = nn.Parameter(torch.empty(k, out_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.edge_weights = nn.Parameter(torch.ones_like(partitions)) if edge_weights else None
        nn.init.kaiming_normal_(self.weight.view(k * out_channels, in_channels), nonlinearity="relu")
        with torch.no_grad():
            self.weight.div_(math.sqrt(k))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve; entries that are masked must be 0 in ``x``, the mask itself isn't read."""
        n, t, v, c = x.shape
        adjacency = self.partitions if self.edge_weights is None else self.partitions * self.edge_weights
        k = adjacency.shape[0]
        adjacency = adjacency.to(x.dtype)
        frames = x.reshape(n * t, v, c)
        if self.in_channels <= self.out_channels:
            # joint-major rows, so that the K gathered copies of a joint lie side by side as its channels
            mixing = adjacency.permute(1, 0, 2).reshape(v * k, v)
            gathered = torch.bmm(mixing.expand(n * t, -1, -1), frames).view(n, t, v, k * c)
            weight = self.weight.permute(1, 0, 2).reshape(self.out_channels, k * c)
            return pointwise(gathered, weight, self.bias)
        weight = self.weight.reshape(k * self.out_channels, c)
        mapped = pointwise(x, weight, None).reshape(n * t, v * k, self.out_channels)
        mixing = adjacency.permute(1, 2, 0).reshape(v, v * k)
        # bmm with an expanded matrix: matmul would fold the frames into its rows, which costs copies there and back
        y = torch.bmm(mixing.expand(n * t, -1, -1), mapped).view(n, t, v, self.out_channels)
        return y + self.bias.to(y.dtype)  # under autocast a float32 bias would carry all that follows to float32
