"""Graph convolution between trajectories: every coordinate of every joint is a node, its DCT coefficients are features.

The layers of Mao et al. 2019 (arXiv 1908.05436), on ``[N, M, F]``: M nodes, F features. The encoder
:class:`graphnets.encoders.dct_gcn.DCTGCN` and the correction of poses (Zhao et al. 2022, arXiv 2208.03257) are made of
them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.norm import MaskedBatchNorm


class TrajectoryConv(nn.Module):
    r"""Graph convolution over a dense adjacency that is learned (Mao et al. 2019, arXiv 1908.05436, eq. 5).

    .. math:: Y = A (X W) + b, \qquad A \in \mathbb{R}^{M \times M}, \; W \in \mathbb{R}^{F_{in} \times F_{out}}

    Nothing ties A to the bones: which coordinate moves with which is left to the data. ``weight``, ``adjacency`` and
    ``bias`` have the shapes of ``weight``, ``adj`` and ``bias`` in the code that came with the paper.

    Args:
        in_features: ``F_in``.
        out_features: ``F_out``.
        nodes: M.

    Shapes:
        ``[N, M, F_in]`` -> ``[N, M, F_out]``.
    """

    def __init__(self, in_features: int, out_features: int, nodes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.adjacency = nn.Parameter(torch.empty(nodes, nodes))
        self.bias = nn.Parameter(torch.empty(out_features))
        bound = 1 / math.sqrt(out_features)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if self.weight.shape[0] < self.weight.shape[1]:  # the two products commute: the graph's where rows are short
            y = torch.matmul(torch.matmul(self.adjacency, x), self.weight)
        else:
            y = torch.matmul(self.adjacency, torch.matmul(x, self.weight))
        return y + self.bias.to(y.dtype)


class TrajectoryNorm(MaskedBatchNorm):
    """Batch normalisation of each feature of each node by itself, over the clips in which anything is observed.

    Its ``M F`` moments lie node by node, as those of ``BatchNorm1d`` over the flattened nodes do in the paper's code.
    In training every moment is taken over as many values as there are clips. With fewer than two there is no
    variance: such a batch is normalised by the running moments, as in eval mode, and leaves them alone.

    Args:
        features: F.
        nodes: M.
        momentum: Of the running moments.
        eps: Added to the variance.
    """

    def __init__(self, features: int, nodes: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(features, nodes, momentum, eps)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """``x [N, M, F]``, ``seen [N]`` bool (None = every clip) -> ``[N, M, F]``."""
        flat = x.flatten(1)
        mean, var = self.running_mean, self.running_var
        if self.training:
            values = flat.to(torch.promote_types(x.dtype, torch.float32))
            weight = torch.ones_like(values[:, :1]) if seen is None else seen[:, None].to(values.dtype)
            count = weight.sum()
            centre = (values * weight).sum(0) / count.clamp(min=1)
            spread = ((values - centre).square() * weight).sum(0) / count.clamp(min=1)
            several = count > 1  # asked on the device: no wait for its answer
            with torch.no_grad():
                unbiased = spread * (count / (count - 1).clamp(min=1))
                moved = [
                    torch.where(several, torch.lerp(running, now.to(running.dtype), self.momentum), running)
                    for running, now in ((mean, centre), (var, unbiased))
                ]
            mean, var = torch.where(several, centre, mean), torch.where(several, spread, var)
            self.running_mean.copy_(moved[0])
            self.running_var.copy_(moved[1])
        scale = self.weight * torch.rsqrt(var + self.eps)
        return ((flat - mean) * scale + self.bias).to(x.dtype).view_as(x)


class TrajectoryLayer(nn.Module):
    """Graph convolution, norm, ReLU, dropout.

    Args:
        in_features: ``F_in``.
        out_features: ``F_out``.
        nodes: M.
        dropout: Probability.

    Shapes:
        ``x [N, M, F_in]``, ``seen [N]`` or None -> ``[N, M, F_out]``.
    """

    def __init__(self, in_features: int, out_features: int, nodes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv = TrajectoryConv(in_features, out_features, nodes)
        self.norm = TrajectoryNorm(out_features, nodes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """One layer."""
        y: Tensor = self.dropout(F.relu(self.norm(self.conv(x), seen)))
        return y


class TrajectoryBlock(nn.Module):
    """Two layers and a residual connection around both.

    Args:
        features: F, the same before and after.
        nodes: M.
        dropout: Probability, in both layers.

    Shapes:
        ``x [N, M, F]``, ``seen [N]`` or None -> ``[N, M, F]``.
    """

    def __init__(self, features: int, nodes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.first = TrajectoryLayer(features, features, nodes, dropout)
        self.second = TrajectoryLayer(features, features, nodes, dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """One block."""
        y: Tensor = x + self.second(self.first(x, seen), seen)
        return y
