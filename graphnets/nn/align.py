"""Bringing one modality to the frames of another: by relative time, as their rates differ."""

from __future__ import annotations

import torch
from torch import Tensor

from graphnets.nn.masking import blank


def align(
    x: Tensor,
    mask: Tensor | None,
    frames: int,
    length: Tensor,
    to_length: Tensor,
    stride: int = 1,
    to_stride: int = 1,
) -> tuple[Tensor, Tensor]:
    r"""Read a modality at the times of another one's frames, both being records of the same span of time.

    The first observed frames coincide, and so do the last ones, as in :class:`graphnets.transforms.Resample`. Nominal
    frame rates play no part: recorders drop frames and start late, while the span is the same. With ``L`` and ``L'``
    frames in a clip of the two, and ``s`` and ``s'`` the temporal strides of the networks they went through, frame
    ``t'`` of the result lies at

    .. math:: \tau = \frac{t' s' (L - 1)}{s \, (L' - 1)}, \qquad
              y_{t'} = (1 - w) \, x_{\lfloor \tau \rfloor} + w \, x_{\lfloor \tau \rfloor + 1}, \qquad
              w = \tau - \lfloor \tau \rfloor

    and behind the last frame at that one. It is computed in whole numbers: where rates are the same, every frame is
    read as it is. An entry is observed in the result where the frames that observe it carry half of the weight or more,
    that is, where the nearer one does; it is their weighted mean. So gaps neither grow nor close.

    Args:
        x: Values or features ``[N, T, V, C]`` of the modality; what is masked is never read.
        mask: ``[N, T, V]`` bool, or None for all observed.
        frames: T', the frames of the result.
        length: L, ``[N]`` int64, before strides: see :func:`clip_lengths`.
        to_length: L', ``[N]`` int64, likewise.
        stride: s.
        to_stride: s'.

    Returns:
        ``[N, T', V, C]``, 0 where unobserved, and its mask ``[N, T', V]``; frames from ``to_length`` on are unobserved.
    """
    n, t, v, c = x.shape
    ticks = torch.arange(frames, device=x.device) * to_stride
    whole = ((to_length - 1) * stride).clamp(min=1)[:, None]
    position = ticks * (length - 1).clamp(min=0)[:, None]
    last = ((length - 1).clamp(min=0) // stride)[:, None]
    lower = position // whole
    ends = torch.stack([torch.minimum(lower, last), torch.minimum(lower + 1, last)])  # [2, N, T']
    exact = torch.promote_types(x.dtype, torch.float32)
    weight = (position % whole).to(exact) / whole
    share = torch.stack([1 - weight, weight])[..., None].expand(-1, -1, -1, v)
    rows = (ends + torch.arange(n, device=x.device)[:, None] * t).flatten()
    if mask is not None:
        share = share * mask.reshape(n * t, v).index_select(0, rows).view(2, n, frames, v)
    total = share.sum(0)
    seen = (total >= 0.5) & (ticks < to_length[:, None])[..., None]
    share = (share / total.clamp(min=0.5)).to(x.dtype)[..., None]
    # Rows are gathered, not mixed by a matrix product, which would round them under autocast and TF32.
    pair = blank(x, mask).reshape(n * t, v * c).index_select(0, rows).view(2, n, frames, v, c)
    return blank(pair[0] * share[0] + pair[1] * share[1], seen), seen
