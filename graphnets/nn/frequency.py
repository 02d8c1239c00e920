"""Convolution along time in the frequency domain: the same numbers as the direct one for a third of the products."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphnets.nn.masking import blank
from graphnets.nn.temporal import TemporalConv

TILE = 16  # frames that a tile puts out


class Algorithm(NamedTuple):
    r"""A bilinear algorithm for the correlation :math:`y_s = \sum_j w_j x_{s+j}`: ``y = back @ ((into @ x) * (kernel @ w))``.

    Shapes:
        into: ``[R, L]`` with ``L = S + K - 1`` input frames for S output frames.
        kernel: ``[R, K]``.
        back: ``[S, R]``.
    """

    into: Tensor
    kernel: Tensor
    back: Tensor


@functools.cache
def algorithm(tile: int, taps: int) -> Algorithm:
    r"""Correlation by real discrete Fourier transforms of length ``L = tile + taps - 1``, rounded up to an even one.

    In the frequency domain it is a product a bin, :math:`Y_f = X_f \overline{W_f}`. The bins 0 and L/2 are real; the
    complex product of each of the others takes three real ones (Karatsuba and Ofman 1962):

    .. math:: \mathrm{Re} = ac + bd, \quad \mathrm{Im} = bc - ad
              = (a + b)(c - d) - ac + bd, \qquad X_f = a + ib, \; W_f = c + id

    which makes ``R = 2 + 3 (L/2 - 1)`` products. All is scaled such that no step makes numbers larger.

    Args:
        tile: S, output frames.
        taps: K, of the kernel.

    Returns:
        Matrices in float64.
    """
    length = tile + taps - 1 + (tile + taps - 1) % 2
    frames = torch.arange(length, dtype=torch.float64)
    into, kernel, back = [], [], []
    for f in range(length // 2 + 1):
        angle = 2 * math.pi * f / length * frames
        cos, sin = angle.cos(), angle.sin()
        if f in (0, length // 2):
            into.append(cos)
            kernel.append(cos)
            back.append(cos / length)
            continue
        # x and w have the spectra (cos - i sin); y = 2/L * (Re cos - Im sin)
        into += [cos, -sin, cos - sin]
        kernel += [cos, -sin, cos + sin]
        back += [2 / length * (cos + sin), 2 / length * (cos - sin), -2 / length * sin]
    rows = [torch.stack(m) for m in (into, kernel, back)]
    return Algorithm(rows[0][:, : tile + taps - 1], rows[1][:, :taps], rows[2][:, :tile].t().contiguous())
