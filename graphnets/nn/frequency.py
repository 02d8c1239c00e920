"""Convolution along time in the frequency domain: the same numbers as the direct one for a third of the products."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphnets.nn.masking import blank
from graphnets.nn.temporal import TemporalConv

_LARGEST_TILE = 32  # frames; beyond, the transforms cost more than is saved in products


class Algorithm(NamedTuple):
    r"""A bilinear algorithm for the correlation :math:`y_s = \sum_j w_j x_{s+j}`.

    It is ``y = back @ ((into @ x) * (kernel @ w))``.

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
    length = _length(tile, taps)
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


def _length(tile: int, taps: int) -> int:
    return 2 * math.ceil((tile + taps - 1) / 2)


@functools.lru_cache(64)
def _matrices(tile: int, taps: int, device: torch.device, dtype: torch.dtype) -> Algorithm:
    with torch.inference_mode(False):  # what is made first in inference must do in training as well
        return Algorithm(*(m.to(device, dtype) for m in algorithm(tile, taps)))


class _Part(NamedTuple):
    """One tile: which frames it reads and writes, and the columns and rows of the matrices that belong to them."""

    read: slice
    write: slice
    columns: slice
    rows: slice


class Tiling(NamedTuple):
    """How a clip is cut into tiles (overlap-save).

    Args:
        tile: Frames that a tile puts out before every stride-th of them is taken.
        taps: Of the kernel.
        stride: Keep every stride-th frame.
        before: Zeros before the clip.
    """

    tile: int
    taps: int
    stride: int
    before: int

    def parts(self, frames: int) -> Iterator[_Part]:
        """The tiles of a clip. Zeros around the clip are not made: their columns are left out."""
        for first in range(0, frames, self.tile):
            end = min(first + self.tile, frames)
            kept = range(math.ceil(first / self.stride), math.ceil(end / self.stride))
            if not kept:
                continue
            begin = first - self.before  # the frame of the matrix's first column
            read = slice(max(begin, 0), min(begin + self.tile + self.taps - 1, frames))
            rows = slice(kept[0] * self.stride - first, end - first, self.stride)
            yield _Part(read, slice(kept[0], kept[-1] + 1), slice(read.start - begin, read.stop - begin), rows)


def tile_for(frames: int) -> int:
    """How many frames a tile puts out: as few tiles as do with at most 32 each, all of about one length."""
    tiles = max(1, math.ceil(frames / _LARGEST_TILE))
    return 4 * math.ceil(frames / tiles / 4)


def transformed(weight: Tensor, tile: int) -> Tensor:
    """The weight of a convolution ``[C_out, C_in, K, 1]`` in the frequency domain, ``[R, C_in, C_out]``."""
    c_out, c_in, taps, _ = weight.shape
    rows = weight.reshape(c_out, c_in, taps).permute(2, 1, 0).reshape(taps, c_in * c_out)
    kernel = _matrices(tile, taps, weight.device, weight.dtype).kernel
    with torch.autocast(weight.device.type, enabled=False):
        return torch.mm(kernel, rows).view(-1, c_in, c_out)


class _Correlation(torch.autograd.Function):
    """Correlation along the first dimension; it keeps nothing for the backward pass but its arguments."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, spectrum: Tensor | None, tiling: Tiling) -> Tensor:
        """``x [T, M, C_in]``, ``weight [C_out, C_in, K, 1]``, ``bias [C_out]`` -> ``[ceil(T / stride), M, C_out]``."""
        ctx.tiling = tiling
        ctx.save_for_backward(x, weight)
        t, m, c_in = x.shape
        c_out, _, taps, _ = weight.shape
        into, _, back = _matrices(tiling.tile, taps, x.device, x.dtype)
        if spectrum is None:
            spectrum = transformed(weight, tiling.tile).to(x.dtype)
        flat = x.reshape(t, m * c_in)
        y = x.new_empty(math.ceil(t / tiling.stride), m * c_out)
        constant = (bias * _length(tiling.tile, taps)).to(x.dtype)
        for part in tiling.parts(t):
            values = torch.mm(into[:, part.columns], flat[part.read]).view(-1, m, c_in)
            products = torch.bmm(values, spectrum)
            products[0] += constant  # bin 0 goes with equal weight, 1 / L, into every frame: the cheapest way to add it
            torch.mm(back[part.rows], products.view(-1, m * c_out), out=y[part.write])
        return y.view(-1, m, c_out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The transposes of the three matrices in the opposite order; ``into @ x`` is computed again."""
        x, weight = ctx.saved_tensors
        tiling: Tiling = ctx.tiling
        t, m, c_in = x.shape
        c_out, _, taps, _ = weight.shape
        into, _, back = _matrices(tiling.tile, taps, x.device, x.dtype)
        flat, grad = x.reshape(t, m * c_in), grad.to(x.dtype).reshape(-1, m * c_out)
        grad_x = torch.zeros_like(flat) if ctx.needs_input_grad[0] else None
        grad_spectrum = weight.new_zeros(len(into), c_in, c_out) if ctx.needs_input_grad[1] else None
        grad_bias = weight.new_zeros(c_out) if ctx.needs_input_grad[2] else None
        spectrum = transformed(weight, tiling.tile).to(x.dtype).transpose(1, 2)
        for part in tiling.parts(t):
            products = torch.mm(back[part.rows].t(), grad[part.write]).view(-1, m, c_out)
            if grad_bias is not None:
                grad_bias += products[0].sum(0, dtype=grad_bias.dtype)
            if grad_spectrum is not None:
                values = torch.mm(into[:, part.columns], flat[part.read]).view(-1, m, c_in)
                grad_spectrum += torch.bmm(values.transpose(1, 2), products)
                del values
            if grad_x is not None:
                grad_values = torch.bmm(products, spectrum).view(-1, m * c_in)
                grad_x[part.read].addmm_(into[:, part.columns].t(), grad_values)
        grad_weight = None
        if grad_spectrum is not None:
            matrix = _matrices(tiling.tile, taps, weight.device, weight.dtype).kernel
            rows = torch.mm(matrix.t(), grad_spectrum.view(len(into), c_in * c_out))
            grad_weight = rows.view(taps, c_in, c_out).permute(2, 1, 0).unsqueeze(-1)
        if grad_bias is not None:
            grad_bias *= _length(tiling.tile, taps)
        return None if grad_x is None else grad_x.view_as(x), grad_weight, grad_bias, None, None


class FrequencyConv(TemporalConv):
    r"""A :class:`~graphnets.nn.TemporalConv` computed in the frequency domain; a state dict of one fits the other.

    The clip is cut into overlapping tiles, and each is correlated with the kernel by :func:`algorithm`:

    .. math:: y = B \left[(A x) \odot (G w)\right]

    A kernel of 9 frames costs 9 products a frame, input and output channel directly and 1.8 here; the transforms add
    some 130 for each channel. It pays from 64 channels on. ``x`` is all that is kept for the backward pass. A tile
    mixes all its frames, so one that isn't finite spoils those around it.

    Compiled by ``torch.compile`` or exported, it is the direct convolution. In inference the transformed weight is
    kept; a change of the weight through ``.data`` goes unnoticed, any other is seen.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        kernel: Frames it spans; odd.
        stride: Keep every stride-th frame, from the first.
        time_major: Clips and masks come and go as ``[T, N, V, C]`` and ``[T, N, V]``, which spares two copies.

    Shapes:
        As :class:`~graphnets.nn.TemporalConv`, or with time first.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 9,
        stride: int = 1,
        time_major: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride)
        self.taps, self.padding, self.time_major = kernel, kernel // 2, time_major
        self._kept: tuple[Tensor, tuple[object, ...], dict[int, Tensor]] | None = None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # an export knows no such operator
            if not self.time_major:
                return super().forward(x, mask)
            return super().forward(x.transpose(0, 1), None if mask is None else mask.transpose(0, 1)).transpose(0, 1)
        x = blank(x, mask)
        x = x if self.time_major else x.transpose(0, 1)
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        t, n, v, c = x.shape
        tiling = Tiling(tile_for(t), self.taps, self.stride, self.padding)
        weight, bias = self.conv.weight, self.conv.bias
        with torch.autocast(kind, enabled=False):
            spectrum = None if self.training or torch.is_grad_enabled() else self._spectrum(tiling.tile, x.dtype)
            y: Tensor = _Correlation.apply(x.reshape(t, n * v, c), weight, bias, spectrum, tiling)
        y = y.view(-1, n, v, y.shape[-1])
        return y if self.time_major else y.transpose(0, 1).contiguous()

    def _spectrum(self, tile: int, dtype: torch.dtype) -> Tensor:
        """The transformed weight, kept until the weight is changed or the module is switched to training and back."""
        weight = cast(Tensor, self.conv.weight)
        if weight.is_inference():  # such a tensor doesn't tell when it is changed
            return transformed(weight, tile).to(dtype)
        now = (weight._version, weight.data_ptr(), dtype)
        if self._kept is None or self._kept[0] is not weight or self._kept[1] != now:
            self._kept = (weight, now, {})
        spectra = self._kept[2]
        if tile not in spectra:
            spectra[tile] = transformed(weight, tile).to(dtype)
        return spectra[tile]

    def train(self, mode: bool = True) -> FrequencyConv:
        """Switch the mode, and forget what was computed from the weight."""
        if mode != self.training:
            self._kept = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}  # a copy and a pickle need no transformed weights
