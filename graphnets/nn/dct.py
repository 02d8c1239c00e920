"""The discrete cosine transform of trajectories, as products with an orthonormal basis."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch_dct
from torch import Tensor

from graphnets.nn.masking import blank, clip_lengths


def dct(x: Tensor, basis: Tensor) -> Tensor:
    r"""The first K coefficients of the orthonormal DCT-II along time: :math:`c_k = \sum_t B_{tk} x_t`.

    Args:
        x: ``[N, T, F]``, finite.
        basis: ``[T, K]`` of :func:`dct_basis` or ``[N, T, K]`` of :func:`ragged_dct_basis`.

    Returns:
        ``[N, F, K]``: a trajectory a row, as :class:`graphnets.nn.trajectory.TrajectoryConv` reads them.
    """
    return torch.matmul(x.transpose(1, 2), basis)


def idct(coefficients: Tensor, basis: Tensor) -> Tensor:
    r"""Frames from coefficients: :math:`x_t = \sum_k B_{tk} c_k`; the inverse of :func:`dct` if K is at least T.

    Args:
        coefficients: ``[N, K, F]``, frequency first.
        basis: ``[T, K]`` or ``[N, T, K]``.

    Returns:
        ``[N, T, F]``; 0 past the length of a clip.
    """
    return torch.matmul(basis, coefficients)


def clip_basis(x: Tensor, mask: Tensor | None, coefficients: int) -> Tensor:
    """The basis that fits a batch: a cached one if no clip is padded, else one for the length of each clip.

    Args:
        x: ``[N, T, V, C]``; its size, type and device count, not its values.
        mask: ``[N, T, V]`` bool or None for all observed.
        coefficients: K.

    Returns:
        ``[T, K]`` or ``[N, T, K]``, in the type of ``x``.
    """
    frames = x.shape[1]
    if mask is not None:
        return ragged_dct_basis(clip_lengths(x, mask), frames, coefficients, x.dtype)
    if torch.compiler.is_compiling():  # while a graph is traced the length is a symbol, which no cache can look up
        whole = torch.ones((1, frames), dtype=torch.bool, device=x.device).sum(1)
        return ragged_dct_basis(whole, frames, coefficients, x.dtype)[0]
    return dct_basis(frames, coefficients, x.dtype, x.device)


@lru_cache(maxsize=256)
def dct_basis(
    frames: int, coefficients: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    r"""The orthonormal DCT-II basis of a length, made by torch-dct from the identity and kept.

    .. math:: B_{tk} = \sqrt{\frac{2 - \delta_{k0}}{T}} \cos \frac{\pi (2t + 1) k}{2T}

    Args:
        frames: T.
        coefficients: K; those from T on, which no clip of T frames has, are 0.
        dtype: Of the basis; it is computed in float64.
        device: Of the basis.

    Returns:
        ``[T, K]``. The same tensor comes at every call: don't write into it.

    Raises:
        ValueError: ``frames`` or ``coefficients`` is below 1.
    """
    if min(frames, coefficients) < 1:
        raise ValueError(f"a DCT of {frames} frames and {coefficients} coefficients; both must be 1 or more")
    with torch.inference_mode(False), torch.no_grad():  # an inference tensor in the cache would break later trainings
        full = torch_dct.dct(torch.eye(frames, dtype=torch.float64, device="cpu"), norm="ortho")
        basis = torch.zeros(frames, coefficients, dtype=torch.float64, device="cpu")
        basis[:, :frames] = full[:, :coefficients]
        return basis.to(device=device, dtype=dtype)


def ragged_dct_basis(lengths: Tensor, frames: int, coefficients: int, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""The basis of :func:`dct_basis` for each clip of a padded batch, from that clip's own length.

    Args:
        lengths: Frames of each clip, ``[N]`` int64, 0 to T.
        frames: T of the batch.
        coefficients: K.
        dtype: Of the basis.

    Returns:
        ``[N, T, K]``; 0 for frames past the length of the clip, and for coefficients that it doesn't have.
    """
    length = lengths[:, None, None]
    t = torch.arange(frames, device=lengths.device)[:, None]
    k = torch.arange(coefficients, device=lengths.device)
    known = length.clamp(min=1)
    # The cosine has a period of 4 T steps of pi / (2 T). Taken off in integers, what is left of the angle keeps all its
    # digits in float32; the cosine of a hundred turns would not.
    steps = ((2 * t + 1) * k) % (4 * known)
    kind = torch.promote_types(dtype, torch.float32)
    scale = torch.sqrt(torch.where(k == 0, 1.0, 2.0).to(kind) / known)
    basis = scale * torch.cos(steps.to(kind) * (math.pi / 2) / known)
    return basis.masked_fill((t >= length) | (k >= length), 0.0).to(dtype)


def fill_gaps(x: Tensor, mask: Tensor | None) -> Tensor:
    """Put a straight line into every gap of a trajectory, so that no jump to 0 rings through all its coefficients.

    Before its first and after its last observed frame a trajectory stands still; one that is never observed is 0.

    Args:
        x: ``[N, T, V, C]``; what stands where the mask is False isn't read.
        mask: ``[N, T, V]`` bool or None for all observed.

    Returns:
        ``[N, T, V, C]``, equal to ``x`` where observed.
    """
    if mask is None:
        return x
    x = blank(x, mask)
    n, frames, v, c = x.shape
    time = torch.arange(frames, device=x.device)[None, :, None].expand(n, -1, v)
    # where[j] is the frame of the j-th observation, from 1 on; unobserved frames are written to slot 0, read by nobody.
    rank = mask.cumsum(1)
    where = torch.zeros((n, frames + 1, v), dtype=torch.long, device=x.device)
    where = where.scatter(1, rank * mask, time)
    after = torch.minimum(rank + ~mask, rank[:, -1:]).clamp(min=1)
    before, after = where.gather(1, rank.clamp(min=1)), where.gather(1, after)
    # Outside of the observed frames before and after are one and the same: there any weight will do.
    weight = (time - before).to(x.dtype) / (after - before).clamp(min=1).to(x.dtype)
    start, end = (x.gather(1, at[..., None].expand(-1, -1, -1, c)) for at in (before, after))
    return start + weight[..., None] * (end - start)
