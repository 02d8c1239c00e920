"""Temporal convolution at several scales side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.masking import blank, conv_layout, motion_layout
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.temporal import TemporalConv, stride_mask

_POOL = 3
"""Frames that the pooling branch spans."""


class MultiBranchTemporal(nn.Module):
    r"""Branches with few channels each, that look at different spans of time, joined on the channels.

    With D dilations there are D + 2 branches: a dilated convolution for each dilation, the maximum over 3 frames, and
    the frame itself. Branches put out about ``C_out / (D + 2)`` channels each:

    .. math:: z_b = \mathrm{ReLU}(\mathrm{BN}(x R_b)), \qquad
              y = \mathrm{BN}([\mathrm{TCN}_1(z_1), \dots, \mathrm{TCN}_D(z_D), \max(z_{D+1}), x P])

    This is the module of CTR-GCN (Chen et al. 2021, arXiv 2107.12213), ``mix=False``; ST-GCN++ (Duan et al. 2022,
    arXiv 2205.09443), ``mix=True``, goes on with :math:`\mathrm{ReLU}(y) M`, which lets the branches exchange what
    they found. A norm acts on every channel by itself, so one norm over the joined channels is that of all branches;
    in the same way all :math:`R_b` are one product.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``; the first branch takes what is left over when it is split among the branches.
        kernel: Frames that each dilated convolution reads; odd.
        stride: Keep every stride-th frame, from the first.
        dilations: Frames from one tap to the next, one convolution for each.
        causal: Read no later frame: kernels and pool end at their frame instead of being centred on it.
        mix: Let ReLU and a linear map of the channels follow; else the result is normalised already, so that a
            :class:`graphnets.nn.Block` needs no ``temporal_norm``.

    Raises:
        ValueError: There are no dilations, or fewer channels than branches; or kernel, stride or a dilation is not
            what :class:`graphnets.nn.TemporalConv` allows.

    Shapes:
        ``x [N, T, V, C_in]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / stride), V, C_out]``. Masked entries and
        frames beyond the clip count as zeros for a convolution and not at all for the maximum, which is 0 where
        nothing was observed.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        dilations: Sequence[int] = (1, 2, 3, 4),
        causal: bool = False,
        mix: bool = True,
    ) -> None:
        super().__init__()
        branches = len(dilations) + 2
        if not dilations:
            raise ValueError("dilations is empty; give at least one, such as (1,) for a plain convolution")
        if out_channels < branches:
            raise ValueError(
                f"out_channels is {out_channels}, but dilations {list(dilations)}, the pool and the 1x1 make "
                f"{branches} branches, and each needs a channel: it must be {branches} or more"
            )
        least = out_channels // branches
        first = out_channels - least * (branches - 1)
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        self.sizes = [first, *[least] * len(dilations)]  # channels of the branches that reduce them first
        self.before = _POOL - 1 if causal else 0  # frames to add before the clip; centred, the pool adds them
        self.reduce = nn.Conv2d(in_channels, sum(self.sizes), 1, bias=False)
        self.reduce_norm = MaskedBatchNorm(sum(self.sizes))
        self.convs = nn.ModuleList(
            TemporalConv(size, size, kernel, stride, dilation=dilation, causal=causal)
            for size, dilation in zip(self.sizes[:-1], dilations, strict=True)
        )
        self.plain = nn.Conv2d(in_channels, least, 1, (stride, 1), bias=False)
        self.norm = MaskedBatchNorm(out_channels)
        self.mix = nn.Conv2d(out_channels, out_channels, 1, bias=False) if mix else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve."""
        x = conv_layout(blank(x, mask))
        # The norm blanks what it puts out, so the branches need no mask.
        reduced = F.relu(self.reduce_norm(motion_layout(self.reduce(x)), mask))
        # One split, not slices: the gradient of each slice would be a tensor of all the channels.
        *parts, pooled = reduced.split(self.sizes, -1)
        branches = [conv(part) for conv, part in zip(self.convs, parts, strict=True)]
        branches += [self._pool(pooled), motion_layout(self.plain(x))]
        y: Tensor = self.norm(torch.cat(branches, -1), stride_mask(mask, self.stride))
        return y if self.mix is None else motion_layout(self.mix(conv_layout(F.relu(y))))

    def _pool(self, x: Tensor) -> Tensor:
        """Maximum over frames. Nothing is below 0 here, so the zeros of masked entries and padding never win."""
        if self.before:
            x = F.pad(x, (0, 0, 0, 0, self.before, 0))
        padding = (0 if self.before else _POOL // 2, 0)
        return motion_layout(F.max_pool2d(conv_layout(x), (_POOL, 1), (self.stride, 1), padding))
