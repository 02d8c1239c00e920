"""Soft-DTW: a differentiable distance between sequences that differ in tempo, over batches and anti-diagonals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NOWHERE = -torch.inf


def soft_dtw(
    cost: Tensor, gamma: float = 1.0, lengths: Tensor | None = None, other_lengths: Tensor | None = None
) -> Tensor:
    r"""Soft-DTW of cost matrices (Cuturi & Blondel 2017, arXiv 1703.01541, algorithms 1 and 2).

    .. math:: R_{ij} = \Delta_{ij} - \gamma \log \sum_{(p, q)} e^{-R_{pq} / \gamma}, \qquad
              (p, q) \in \{(i{-}1, j), (i, j{-}1), (i{-}1, j{-}1)\}

    and the result is :math:`R` at the last frames of both. Its gradient with respect to a cost is the probability that
    the alignment passes there. All cells of an anti-diagonal of all pairs are computed at once, forward and backward.

    Args:
        cost: :math:`\Delta` ``[N, T, U]``; what lies beyond a sequence's end plays no part.
        gamma: Smoothing, above 0; towards 0 the result becomes that of DTW.
        lengths: Of the first sequences, ``[N]`` int64 in 1 to T; None for T.
        other_lengths: Of the second ones, 1 to U.

    Returns:
        ``[N]``; not a distance: it can be below 0, and of a sequence with itself it isn't 0. See
        :func:`soft_dtw_divergence`.

    Raises:
        ValueError: ``gamma`` isn't positive, or shapes or lengths don't fit.
    """
    if not 0 < gamma < float("inf"):
        raise ValueError(f"gamma is {gamma}; it must be above 0 and finite")
    if cost.ndim != 3 or 0 in cost.shape[1:]:
        raise ValueError(f"costs are [N, T, U] with at least one frame each, not {list(cost.shape)}")
    ends = []
    for name, given, size in (("lengths", lengths, cost.shape[1]), ("other_lengths", other_lengths, cost.shape[2])):
        end = torch.full((len(cost),), size, device=cost.device) if given is None else given.to(cost.device)
        if end.shape != (len(cost),) or bool(((end < 1) | (end > size)).any()):
            raise ValueError(f"{name} must be [{len(cost)}] in 1 to {size}, not {end.tolist()}")
        ends.append(end.long())
    if lengths is not None or other_lengths is not None:
        rows, columns = (torch.arange(size, device=cost.device) for size in cost.shape[1:])
        past = (rows >= ends[0][:, None])[:, :, None] | (columns >= ends[1][:, None])[:, None]
        cost = cost.masked_fill(past, torch.inf)
    result: Tensor = _SoftDTW.apply(cost, gamma, *ends)
    return result


def soft_dtw_divergence(
    x: Tensor, y: Tensor, gamma: float = 1.0, lengths: Tensor | None = None, other_lengths: Tensor | None = None
) -> Tensor:
    r"""Soft-DTW without its bias (Blondel et al. 2021, arXiv 2010.08354, Eq. 7).

    .. math:: D(x, y) = S(x, y) - \tfrac12 S(x, x) - \tfrac12 S(y, y)

    with squared Euclidean costs: never below 0, and 0 only where the sequences are equal.

    Args:
        x: Sequences ``[N, T, D]``, finite.
        y: Sequences ``[N, U, D]``.
        gamma: Smoothing, see :func:`soft_dtw`.
        lengths: Of ``x``, ``[N]`` in 1 to T; None for T.
        other_lengths: Of ``y``.

    Returns:
        ``[N]``, in the squared unit of the sequences.

    Raises:
        ValueError: Shapes, lengths or ``gamma`` don't fit.
    """
    if x.ndim != 3 or y.ndim != 3 or x.shape[::2] != y.shape[::2]:
        raise ValueError(f"sequences are [N, T, D] and [N, U, D], not {list(x.shape)} and {list(y.shape)}")
    frames = max(x.shape[1], y.shape[1])
    n, m = (
        torch.full((len(x),), s.shape[1], device=x.device) if given is None else given
        for s, given in ((x, lengths), (y, other_lengths))
    )
    # All three in one sweep: a step costs little more for three times the pairs.
    x, y = (F.pad(s, (0, 0, 0, frames - s.shape[1])) for s in (x, y))
    first, second = torch.cat([x, x, y]), torch.cat([y, x, y])
    found = soft_dtw(squared_distances(first, second), gamma, torch.cat([n, n, m]), torch.cat([m, n, m]))
    across, within, among = found.chunk(3)
    return across - (within + among) / 2


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances between frames, ``[N, T, D]`` and ``[N, U, D]`` -> ``[N, T, U]``, at least 0."""
    middle = x.detach().mean(1, keepdim=True)  # near the origin less is lost to rounding
    x, y = x - middle, y - middle
    squares = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None]
    return torch.baddbmm(squares, x, y.transpose(1, 2), alpha=-2).clamp(min=0)


class _SoftDTW(torch.autograd.Function):
    """In units of ``-gamma``: the soft minimum is a log-sum-exp. Diagonal k holds in row i the cell (i, k - i)."""

    @staticmethod
    def forward(ctx: Any, cost: Tensor, gamma: float, n: Tensor, m: Tensor) -> Tensor:
        pairs, rows, columns = cost.shape
        diagonals = rows + columns - 1
        skewed = _skew(cost * (-1 / gamma))
        # Two diagonals and one row before the first cell, whose only predecessor is the corner.
        total = cost.new_full((diagonals + 2, pairs, rows + 1), NOWHERE)
        total[0, :, 0] = 0
        for k in range(diagonals):
            above, left, corner = total[k + 1, :, :-1], total[k + 1, :, 1:], total[k, :, :-1]
            here = total[k + 2, :, 1:]
            torch.logaddexp(torch.logaddexp(above, left), corner, out=here)
            here += skewed[k]
            if k == 0:
                total[0, :, 0] = NOWHERE
        ctx.save_for_backward(total, skewed, n, m)
        ctx.gamma, ctx.columns = gamma, columns
        return -gamma * total[n + m, torch.arange(pairs, device=cost.device), n]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        total, skewed, n, m = ctx.saved_tensors
        diagonals, pairs, rows = skewed.shape
        # The way to a cell before its own cost; to cells that don't exist there is none.
        soft = (total[2:, :, 1:] - skewed).masked_fill_(skewed == NOWHERE, torch.inf)
        # With what probability the way to a cell came from above, from the left, and from the corner between.
        above, left = (total[1:-1, :, :-1] - soft).exp_(), (total[1:-1, :, 1:] - soft).exp_()
        corner = (total[:-2, :, :-1] - soft).exp_()
        passed = total.new_zeros((diagonals, pairs, rows))
        passed[n + m - 2, torch.arange(pairs, device=n.device), n - 1] = gradients[0]
        for k in range(diagonals - 2, -1, -1):
            here = passed[k]
            here.addcmul_(passed[k + 1], left[k + 1])
            here[:, :-1].addcmul_(passed[k + 1, :, 1:], above[k + 1, :, 1:])
            if k + 2 < diagonals:
                here[:, :-1].addcmul_(passed[k + 2, :, 1:], corner[k + 2, :, 1:])
        return _unskew(passed, ctx.columns), None, None, None


def _skew(cost: Tensor) -> Tensor:
    """``[N, T, U]`` -> ``[T + U - 1, N, T]``: each row shifted by its number, by reading it at another width."""
    n, rows, columns = cost.shape
    width = rows + columns - 1
    flat = F.pad(cost, (0, rows), value=NOWHERE).flatten(1)
    return flat[:, : rows * width].view(n, rows, width).permute(2, 0, 1).contiguous()


def _unskew(skewed: Tensor, columns: int) -> Tensor:
    """The inverse: ``[T + U - 1, N, T]`` -> ``[N, T, U]``."""
    width, n, rows = skewed.shape
    flat = F.pad(skewed.permute(1, 2, 0).reshape(n, rows * width), (0, rows))
    return flat.view(n, rows, width + 1)[:, :, :columns]
