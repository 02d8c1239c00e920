"""Masks against loops over the observed entries."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from graphnets.nn import blank, masked_mean
from graphnets.nn.masking import conv_layout, motion_layout, pointwise


def test_blank_removes_nan_and_its_gradient() -> None:
    x = torch.tensor([[1.0, 2.0], [math.nan, math.inf]], requires_grad=True)
    mask = torch.tensor([True, False])
    y = blank(x, mask)
    assert torch.equal(y, torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    y.square().sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.tensor([[2.0, 4.0], [0.0, 0.0]]))
    assert blank(x, None) is x


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    share=st.sampled_from([0.0, 0.3, 0.8, 1.1]),
    dims=st.sampled_from([(1, 2), (1,), (2,), (0, 1, 2), (0,)]),
)
def test_masked_mean_equals_a_loop(seed: int, share: float, dims: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 4, 2, generator=draw, dtype=torch.float64)
    mask = torch.rand(2, 3, 4, generator=draw) < share
    kept = [d for d in range(3) if d not in dims]
    sums: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for index in torch.cartesian_prod(*map(torch.arange, (2, 3, 4))).tolist():
        entries = sums.setdefault(tuple(index[d] for d in kept), [])
        if mask[tuple(index)]:
            entries.append(x[tuple(index)])
    expected = torch.zeros([(2, 3, 4)[d] for d in kept] + [2], dtype=torch.float64)
    for place, entries in sums.items():
        expected[place] = torch.stack(entries).mean(0) if entries else 0.0
    actual = masked_mean(x.masked_fill(~mask[..., None], math.nan), mask, dims)
    torch.testing.assert_close(actual, expected)
    if mask.all():
        torch.testing.assert_close(masked_mean(x, None, dims), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_masked_mean_in_half_precision(dtype: torch.dtype) -> None:
    x = torch.full((1, 700, 100, 1), 3.0, dtype=dtype)  # float16 holds neither the count nor the sum
    mask = torch.ones(1, 700, 100, dtype=torch.bool)
    mean = masked_mean(x, mask, (1, 2))
    assert mean.dtype == dtype and mean.item() == 3.0


def test_layouts_are_views_of_each_other() -> None:
    x = torch.randn(2, 3, 4, 5)
    y = conv_layout(x)
    assert y.shape == (2, 5, 3, 4) and y.data_ptr() == x.data_ptr()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert motion_layout(y).is_contiguous() and torch.equal(motion_layout(y), x)


def test_pointwise_is_a_linear_map() -> None:
    x, weight, bias = torch.randn(2, 3, 4, 5).double(), torch.randn(6, 5).double(), torch.randn(6).double()
    torch.testing.assert_close(pointwise(x, weight, bias), F.linear(x, weight, bias))
    torch.testing.assert_close(pointwise(x, weight, None), F.linear(x, weight))
