"""Batch norms folded into the convolutions before them, for inference."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from graphnets.nn.block import Block, Shortcut
from graphnets.nn.graph import GraphConv
from graphnets.nn.masking import blank
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.temporal import TemporalConv

M = TypeVar("M", bound=nn.Module)


def fold_norms(module: M) -> M:
    r"""A copy for inference whose blocks have no norms where these follow a convolution with constant weights.

    In inference a norm is one affine map a channel, and a convolution before it can take that in (Jacob et al. 2018,
    arXiv 1712.05877, eq. 14):

    .. math:: \frac{\gamma}{\sigma} (W x + b - \mu) + \beta
              = \left(\frac{\gamma}{\sigma} W\right) x + \frac{\gamma}{\sigma} (b - \mu) + \beta

    That is done in each :class:`~graphnets.nn.Block` for :class:`~graphnets.nn.GraphConv`,
    :class:`~graphnets.nn.TemporalConv` and the linear map of the shortcut; other operators keep their norms.

    Args:
        module: An encoder, or anything with blocks inside. It is left as it is.

    Returns:
        A copy in evaluation mode, all parameters frozen; its output differs by rounding only. Its state dict is not
        the original's: save that one.
    """
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for block in [m for m in module.modules() if isinstance(m, Block)]:
        pairs: list[tuple[nn.Module, str, nn.Module]] = [
            (block, "spatial_norm", block.spatial),
            (block, "temporal_norm", block.temporal),
        ]
        shortcuts = [s for s in (block.shortcut, block.spatial_shortcut) if isinstance(s, Shortcut)]
        pairs += [(s, "norm", s.linear) for s in shortcuts if s.linear is not None]
        for owner, name, convolution in pairs:
            if _take_in(convolution, getattr(owner, name)):
                setattr(owner, name, _Blank())
    return module


class _Blank(nn.Module):
    """What is left of a norm: masked entries are 0."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return blank(x, mask)


def _take_in(convolution: nn.Module, norm: nn.Module | None) -> bool:
    """Whether the convolution, changed in place, now does what the norm did."""
    outputs: tuple[int, ...]
    if not isinstance(norm, MaskedBatchNorm):
        return False
    if isinstance(convolution, TemporalConv):
        last = convolution.conv
        convolution = last[-1] if isinstance(last, nn.Sequential) else last
    if isinstance(convolution, GraphConv):
        outputs = (1, -1, 1)
    elif type(convolution) is nn.Conv2d and convolution.bias is not None:
        outputs = (-1, 1, 1, 1)
    else:
        return False
    with torch.no_grad():
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight, bias = convolution.weight, convolution.bias
        assert bias is not None
        weight.copy_(weight.double() * scale.view(outputs))
        bias.copy_((bias.double() - norm.running_mean.double()) * scale + norm.bias.double())
    return True
