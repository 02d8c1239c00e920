"""Soft-DTW: a differentiable distance between sequences that differ in tempo, over batches and anti-diagonals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
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
        ends.append(_ends(name, given, len(cost), size, cost.device))
    if lengths is not None or other_lengths is not None:
        rows, columns = (torch.arange(size, device=cost.device) for size in cost.shape[1:])
        past = (rows >= ends[0][:, None])[:, :, None] | (columns >= ends[1][:, None])[:, None]
        cost = cost.masked_fill(past, torch.inf)
    result: Tensor = _SoftDTW.apply(cost, gamma, *ends)
    return result


def _ends(name: str, given: Tensor | None, pairs: int, size: int, device: torch.device) -> Tensor:
    """Lengths that were checked."""
    if given is None:
        return torch.full((pairs,), size, device=device)
    if given.is_floating_point() or given.shape != (pairs,) or bool(((given < 1) | (given > size)).any()):
        raise ValueError(f"{name} must be whole numbers [{pairs}] in 1 to {size}, not {given.tolist()}")
    return given.to(device).long()


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
        _ends(name, given, len(x), s.shape[1], x.device)
        for name, given, s in (("lengths", lengths, x), ("other_lengths", other_lengths, y))
    )
    # All three in one sweep: a step costs little more for three times the pairs.
    x, y = (F.pad(s, (0, 0, 0, frames - s.shape[1])) for s in (x, y))
    first, second = torch.cat([x, x, y]), torch.cat([y, x, y])
    found = soft_dtw(squared_distances(first, second), gamma, torch.cat([n, n, m]), torch.cat([m, n, m]))
    across, within, among = found.chunk(3)
    return across - (within + among) / 2


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances between frames, ``[N, T, D]`` and ``[N, U, D]`` -> ``[N, T, U]``, at least 0."""
    kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    with torch.autocast(x.device.type, enabled=False):  # in bfloat16 the difference of large squares is noise
        x, y = x.to(kind), y.to(kind)
        middle = x.detach().mean(1, keepdim=True)  # near the origin less is lost to rounding
        x, y = x - middle, y - middle
        squares = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None]
        return torch.baddbmm(squares, x, y.transpose(1, 2), alpha=-2).clamp(min=0)


class _SoftDTW(torch.autograd.Function):
    """In units of ``-gamma``: the soft minimum is a log-sum-exp. The pairs lie innermost: a diagonal is a view."""

    @staticmethod
    def forward(ctx: Any, cost: Tensor, gamma: float, n: Tensor, m: Tensor) -> Tensor:
        pairs, rows, columns = cost.shape
        own = (cost * (-1 / gamma)).permute(1, 2, 0).contiguous()
        # One row and one column before the first cell, whose only predecessor is their corner.
        total = own.new_empty((rows + 1, columns + 1, pairs))
        total[0], total[:, 0], total[0, 0] = NOWHERE, NOWHERE, 0
        for k in range(rows + columns - 1):
            i, count = _diagonal(k, rows, columns)
            above, left, corner, here = (
                _cells(total, i + down, k - i + right, count) for down, right in ((0, 1), (1, 0), (0, 0), (1, 1))
            )
            torch.logaddexp(torch.logaddexp(above, left), corner, out=here)
            here += _cells(own, i, k - i, count)
            if k == 0:
                total[0, 0] = NOWHERE
        ctx.save_for_backward(total, own, n, m)
        return -gamma * total[n, m, torch.arange(pairs, device=cost.device)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        total, own, n, m = ctx.saved_tensors
        rows, columns, pairs = own.shape
        blocked = bool((own == NOWHERE).any())  # beyond an end, or where a cost is infinite
        passed = torch.zeros_like(own)
        passed[n - 1, m - 1, torch.arange(pairs, device=n.device)] = gradients[0]
        for k in range(rows + columns - 2, 0, -1):
            i, count = _diagonal(k, rows, columns)
            j = k - i
            cost = _cells(own, i, j, count)
            # The way to a cell before its own cost; to cells that don't exist there is none.
            soft = _cells(total, i + 1, j + 1, count) - cost
            if blocked:
                soft.masked_fill_(cost == NOWHERE, torch.inf)
            here = _cells(passed, i, j, count)
            top, end = int(i == 0), count - int(j - count + 1 == 0)  # the first row has nothing above it
            for down, right, first, last in ((1, 0, top, count), (0, 1, 0, end), (1, 1, top, end)):
                if first >= last:
                    continue
                at = i + first - down, j - first - right
                # With what probability the way came from there; e^-80 is 0, for tinier numbers are slow.
                way = _cells(total, at[0] + 1, at[1] + 1, last - first) - soft[first:last]
                share = F.threshold(way, -80.0, NOWHERE, inplace=True).exp_()
                _cells(passed, *at, last - first).addcmul_(here[first:last], share)
        return passed.permute(2, 0, 1), None, None, None


def _diagonal(k: int, rows: int, columns: int) -> tuple[int, int]:
    """The first row of anti-diagonal k, and how many cells it has."""
    first = max(0, k - columns + 1)
    return first, min(k, rows - 1) - first + 1


def _cells(x: Tensor, i: int, j: int, count: int) -> Tensor:
    """The cells (i, j), (i + 1, j - 1), ... of ``[R, C, N]`` as a view ``[count, N]``."""
    columns, pairs = x.shape[1:]
    return x.as_strided((count, pairs), ((columns - 1) * pairs, 1), (i * columns + j) * pairs)
