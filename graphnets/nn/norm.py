"""Batch normalisation that reads observed entries only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.masking import blank, conv_layout, motion_layout


class MaskedBatchNorm(nn.Module):
    r"""Batch normalisation of ``[N, T, V, C]`` over the observed entries (Ioffe and Szegedy 2015, arXiv 1502.03167).

    .. math:: y = \gamma \frac{x - \mathrm{E}_m[x]}{\sqrt{\mathrm{Var}_m[x] + \epsilon}} + \beta

    where the moments run over the entries whose mask is True. With no mask it is ``torch.nn.functional.batch_norm``.

    Args:
        channels: C.
        joints: 1 normalises each channel over sequences, frames and joints; V each channel of each joint by itself
            over sequences and frames.
        momentum: Of the running moments.
        eps: Added to the variance.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, T, V, C]``; masked entries come out as 0.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, joints: int = 1, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.joints, self.momentum, self.eps = joints, momentum, eps
        features = joints * channels
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise."""
        if self.training and (mask is not None or x.numel() == self.weight.numel()):
            return self._by_observed(x, mask)
        n, t, v, c = x.shape
        # A NaN in a masked entry wouldn't reach another entry here, but it would reach the gradient of the weights.
        x = blank(x, mask)
        flat = x.reshape(n * t, v * c) if self.joints > 1 else conv_layout(x)
        y = F.batch_norm(
            flat, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )
        y = y.view(n, t, v, c) if self.joints > 1 else motion_layout(y)
        return blank(y, mask)

    def _by_observed(self, x: Tensor, mask: Tensor | None) -> Tensor:
        dims = (0, 1) if self.joints > 1 else (0, 1, 2)
        shape = (self.joints, -1) if self.joints > 1 else (-1,)
        # Half precision can't count the entries of a batch: moments are taken in float32 at least.
        values = blank(x, mask).to(torch.promote_types(x.dtype, torch.float32))
        weight = torch.ones_like(values[..., :1]) if mask is None else mask[..., None].to(values.dtype)
        count = weight.sum(dims)
        known = count.clamp(min=1)
        mean = values.sum(dims) / known
        centred = values - mean
        var = (centred.square() * weight).sum(dims) / known
        with torch.no_grad():
            unbiased = var * (known / (known - 1).clamp(min=1))
            # A joint nobody has seen keeps the moments it had, and a single entry says nothing of the variance.
            for running, now, least in ((self.running_mean, mean, 1), (self.running_var, unbiased, 2)):
                moved = torch.lerp(running, now.reshape(-1).to(running.dtype), self.momentum)
                running.copy_(torch.where((count >= least).expand_as(now).reshape(-1), moved, running))
        scale = self.weight.view(shape) * torch.rsqrt(var + self.eps)
        return blank((centred * scale + self.bias.view(shape)).to(x.dtype), mask)
