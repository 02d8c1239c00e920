from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
import torch_dct
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphnets.nn.dct import clip_basis, dct, dct_basis, fill_gaps, idct, ragged_dct_basis
from graphnets.nn.masking import clip_lengths
from graphnets.testing import random_motion

FLOAT = torch.float64


def scipy_dct(x: np.ndarray, coefficients: int) -> np.ndarray:
    """``[F, T]`` -> ``[F, K]`` with zeros for what a clip of T frames doesn't have."""
    full = scipy.fft.dct(x, type=2, norm="ortho", axis=1)[:, :coefficients]
    return np.pad(full, ((0, 0), (0, coefficients - full.shape[1])))


@pytest.mark.parametrize("frames", [1, 2, 7, 30, 131])
def test_equals_torch_dct_and_scipy(frames: int) -> None:
    x = torch.randn(3, frames, 4, dtype=FLOAT)
    ours = dct(x, dct_basis(frames, frames, FLOAT))
    torch.testing.assert_close(ours, torch_dct.dct(x.transpose(1, 2), norm="ortho"), rtol=0, atol=1e-12)
    for clip, expected in zip(x, ours, strict=True):
        np.testing.assert_allclose(scipy_dct(clip.T.numpy(), frames), expected.numpy(), rtol=0, atol=1e-12)
    back = idct(ours.transpose(1, 2), dct_basis(frames, frames, FLOAT))
    torch.testing.assert_close(back, torch_dct.idct(ours, norm="ortho").transpose(1, 2), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80))
def test_orthonormal(frames: int, coefficients: int) -> None:
    kept = min(frames, coefficients)
    for basis in (
        dct_basis(frames, coefficients, FLOAT),
        ragged_dct_basis(torch.tensor([frames]), frames, coefficients, FLOAT)[0],
    ):
        assert basis.shape == (frames, coefficients)
        expected = torch.zeros(coefficients, coefficients, dtype=FLOAT)
        expected[:kept, :kept] = torch.eye(kept)
        torch.testing.assert_close(basis.T @ basis, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(basis, dct_basis(frames, coefficients, FLOAT), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=5), st.integers(0, 10), st.integers(1, 35))
def test_ragged_equals_each_clip_alone(lengths: list[int], padding: int, coefficients: int) -> None:
    frames = max(*lengths, 1) + padding
    x = torch.randn(len(lengths), frames, 3, dtype=FLOAT)  # what stands in the padding must not count
    basis = ragged_dct_basis(torch.tensor(lengths), frames, coefficients, FLOAT)
    ours = dct(x, basis)
    back = idct(ours.transpose(1, 2), basis)
    for clip, length, found, again in zip(x, lengths, ours, back, strict=True):
        if length:
            expected = scipy_dct(clip[:length].T.numpy(), coefficients)
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
        else:
            assert not found.any()
        assert not again[length:].any()
        if coefficients >= length:
            torch.testing.assert_close(again[:length], clip[:length], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_high_frequencies_keep_their_digits(dtype: torch.dtype) -> None:
    exact = dct_basis(700, 700, FLOAT)
    short = dct_basis(700, 700, dtype)
    ragged = ragged_dct_basis(torch.tensor([700]), 700, 700, dtype)[0]
    assert short.dtype == ragged.dtype == dtype
    step = torch.finfo(dtype).eps * exact.abs().max()
    assert (short - exact).abs().max() <= step
    assert (ragged - exact).abs().max() <= 8 * step


def test_basis_is_cached_and_can_be_trained_with() -> None:
    dct_basis.cache_clear()
    with torch.inference_mode():
        first = dct_basis(9, 4)
    assert dct_basis(9, 4) is first and dct_basis(9, 4, FLOAT) is not first
    x = torch.randn(1, 9, 2, requires_grad=True)
    dct(x, first).sum().backward()  # a tensor of inference mode could not be saved for this
    assert x.grad is not None and x.grad.any()
    with pytest.raises(ValueError, match="0 frames and 4 coefficients"):
        dct_basis(0, 4)


def test_basis_of_a_batch() -> None:
    x, mask = random_motion(9, 4, 2)
    assert clip_lengths(mask[..., None], mask).tolist() == [9, 6]
    assert clip_lengths(mask[..., None], torch.zeros_like(mask)).tolist() == [0, 0]
    assert clip_basis(x, None, 5) is dct_basis(9, 5, torch.float32, x.device)
    ragged = clip_basis(x, mask, 5)
    torch.testing.assert_close(ragged[0], dct_basis(9, 5))
    torch.testing.assert_close(ragged[1, :6], dct_basis(6, 5))
    assert not ragged[1, 6:].any()


# Gaps ---------------------------------------------------------------------------------------------------------------


def interpolated(x: Tensor, mask: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    for i in range(x.shape[0]):
        for v in range(x.shape[2]):
            (seen,) = mask[i, :, v].nonzero(as_tuple=True)
            for c in range(x.shape[3] if len(seen) else 0):
                line = np.interp(np.arange(x.shape[1]), seen.numpy(), x[i, seen, v, c].numpy())
                out[i, :, v, c] = torch.from_numpy(line)
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**31))
def test_gaps_are_filled_by_lines(frames: int, share: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, frames, 3, 2, dtype=FLOAT, generator=draw)
    mask = torch.rand(2, frames, 3, generator=draw) < share
    ours = fill_gaps(x.masked_fill(~mask[..., None], torch.nan), mask)
    torch.testing.assert_close(ours, interpolated(x, mask), rtol=0, atol=1e-12)
    assert torch.equal(ours[mask], x[mask]), "observed entries must stay as they are, to the bit"


def test_gradient_of_filling() -> None:
    x, mask = random_motion(8, 3, 2)
    x = x.double().masked_fill(~mask[..., None], torch.nan).requires_grad_()
    probe = torch.randn(x.shape, dtype=FLOAT)
    (gradient,) = torch.autograd.grad((fill_gaps(x, mask) * probe).sum(), [x])
    assert gradient.isfinite().all() and not gradient[~mask].any()
    # Filling is linear: <probe, fill(d)> = <gradient, d> for every d.
    other = torch.randn(x.shape, dtype=FLOAT)
    torch.testing.assert_close((gradient * other).sum(), (interpolated(other, mask) * probe).sum())
    assert fill_gaps(other, None) is other
