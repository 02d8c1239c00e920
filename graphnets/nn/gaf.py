"""Gramian angular fields: a time series as an image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kind = Literal["summation", "difference"]


def rescale(x: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Bring each series to -1 to 1: :math:`\tilde x = (2 x - \max x - \min x) / (\max x - \min x)`.

    Args:
        x: ``[..., T]``.
        mask: Observed entries, of the same shape; None for all.

    Returns:
        ``[..., T]``; 0 where a series is constant or nothing was observed.
    """
    low = x if mask is None else x.masked_fill(~mask, torch.inf)
    high = x if mask is None else x.masked_fill(~mask, -torch.inf)
    least, most = low.amin(-1, keepdim=True), high.amax(-1, keepdim=True)
    span = most - least
    flat = ~(span > 0) | ~span.isfinite()
    scaled = (2 * x - most - least) / span.masked_fill(flat, 1.0)
    if mask is not None:
        flat = flat | ~mask
    return scaled.clamp(-1, 1).masked_fill(flat, 0.0)


def gramian_field(x: Tensor, kind: Kind = "summation") -> Tensor:
    r"""Gramian angular field of rescaled series (Wang and Oates 2015, arXiv 1506.00327, section 2.1).

    With :math:`\varphi = \arccos \tilde x` and :math:`s = \sqrt{1 - \tilde x^2}`,

    .. math:: \mathrm{GASF}_{ij} = \cos(\varphi_i + \varphi_j) = \tilde x_i \tilde x_j - s_i s_j, \qquad
              \mathrm{GADF}_{ij} = \sin(\varphi_i - \varphi_j) = s_i \tilde x_j - \tilde x_i s_j

    each a product of rank two. What the series' scale and offset were is lost.

    Args:
        x: In -1 to 1, ``[..., T]``; see :func:`rescale`.
        kind: ``"summation"`` (symmetric) or ``"difference"`` (antisymmetric).

    Returns:
        ``[..., T, T]``.

    Raises:
        ValueError: ``kind`` is unknown.
    """
    if kind not in ("summation", "difference"):
        raise ValueError(f"kind is {kind!r}; allowed are 'summation' and 'difference'")
    square = (1 - x * x).clamp(min=0)
    s = torch.where(square > 0, square.clamp(min=torch.finfo(x.dtype).tiny).sqrt(), 0.0)  # no gradient at the extremes
    left = torch.stack([x, s], -1)
    right = torch.stack([x, -s], -2) if kind == "summation" else torch.stack([-s, x], -2)
    return left @ right
