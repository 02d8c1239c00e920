"""Masks: what was not observed must not be read."""

from __future__ import annotations

import torch
from torch import Tensor


def blank(x: Tensor, mask: Tensor | None) -> Tensor:
    """Put zeros where the mask is False, whatever stood there (NaN too, which a product would keep).

    Args:
        x: ``[..., C]``.
        mask: ``[...]`` bool, or None for all observed.
    """
    return x if mask is None else x.masked_fill(~mask[..., None], 0.0)


def clip_lengths(x: Tensor, mask: Tensor | None) -> Tensor:
    """Count the frames of each clip up to the last in which anything was observed.

    Args:
        x: ``[N, T, V, C]``.
        mask: ``[N, T, V]`` bool, or None for all observed.

    Returns:
        ``[N]`` int64; 0 where nothing was observed.
    """
    numbers = torch.arange(1, x.shape[1] + 1, device=x.device)
    if mask is None:
        return numbers.amax().expand(x.shape[0])
    return (mask.any(2) * numbers).amax(1)


def masked_mean(x: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    """Mean over ``dims`` of what was observed; 0 where nothing was.

    Args:
        x: ``[..., C]``.
        mask: ``[...]`` bool, or None for all observed.
        dims: Non-negative dimensions, none of them the last.
    """
    if mask is None:
        return x.mean(dims)
    dtype = torch.promote_types(x.dtype, torch.float32)  # half precision can't count the entries
    count = mask[..., None].sum(dims, dtype=dtype).clamp(min=1)
    return (blank(x, mask).sum(dims, dtype=dtype) / count).to(x.dtype)


def conv_layout(x: Tensor) -> Tensor:
    """``[N, T, V, C]`` as the ``[N, C, T, V]`` that convolutions take: a view in channels-last memory, no copy."""
    return x.permute(0, 3, 1, 2)


def motion_layout(x: Tensor) -> Tensor:
    """Back from :func:`conv_layout`."""
    return x.permute(0, 2, 3, 1)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear map of the channels, written as a 1x1 convolution, which is faster than ``Linear`` on a CPU.

    Args:
        x: ``[N, T, V, C_in]``.
        weight: ``[C_out, C_in]``.
        bias: ``[C_out]`` or None.

    Returns:
        ``[N, T, V, C_out]``.
    """
    return motion_layout(torch.conv2d(conv_layout(x), weight[:, :, None, None], bias))
