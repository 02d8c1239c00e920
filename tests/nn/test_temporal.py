"""Temporal convolution against a loop over frames, offsets and channels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from graphnets.nn import TemporalConv, stride_mask


def by_loop(x: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """``weight [C_out, C_in, kernel]``; frames outside the clip and masked entries add nothing."""
    n, t, v, _ = x.shape
    kernel = weight.shape[-1]
    out = bias.expand(n, math.ceil(t / stride), v, len(bias)).clone()
    for i, frame in enumerate(range(0, t, stride)):
        for offset in range(kernel):
            source = frame + offset - kernel // 2
            if 0 <= source < t:
                for sequence in range(n):
                    for joint in range(v):
                        if mask is None or mask[sequence, source, joint]:
                            out[sequence, i, joint] += weight[:, :, offset] @ x[sequence, source, joint]
    return out


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    t=st.integers(1, 7),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    masked=st.booleans(),
    separable=st.booleans(),
)
def test_equals_a_loop(seed: int, t: int, kernel: int, stride: int, masked: bool, separable: bool) -> None:
    torch.manual_seed(seed)
    module = TemporalConv(2, 3, kernel, stride, separable).double()
    x = torch.randn(2, t, 3, 2, dtype=torch.float64)
    mask = torch.rand(2, t, 3) > 0.4 if masked else None
    if separable:
        assert isinstance(module.conv, nn.Sequential)
        depthwise, linear = module.conv
        assert isinstance(depthwise, nn.Conv2d) and isinstance(linear, nn.Conv2d)
        assert depthwise.bias is not None and linear.bias is not None
        diagonal = torch.diag_embed(depthwise.weight[:, 0, :, 0].t()).permute(1, 2, 0)  # a kernel for each channel
        deep = by_loop(x, mask, diagonal, depthwise.bias, stride)
        expected = deep @ linear.weight[:, :, 0, 0].t() + linear.bias
    else:
        assert isinstance(module.conv, nn.Conv2d) and module.conv.bias is not None
        expected = by_loop(x, mask, module.conv.weight[..., 0], module.conv.bias, stride)
    given_x = x if mask is None else x.masked_fill(~mask[..., None], math.nan)
    actual = module(given_x, mask)
    assert actual.shape == (2, math.ceil(t / stride), 3, 3)
    torch.testing.assert_close(actual, expected)
    kept = stride_mask(torch.ones(2, t, 3, dtype=torch.bool) if mask is None else mask, stride)
    assert kept is not None and kept.shape == actual.shape[:3]


def test_stride_mask() -> None:
    mask = torch.tensor([[True, False, False, True, True]])[..., None]
    assert stride_mask(None, 2) is None
    assert stride_mask(mask, 1) is mask
    every_other = stride_mask(mask, 2)
    assert every_other is not None and every_other.flatten().tolist() == [True, False, True]


@pytest.mark.parametrize("kernel", [0, 4, -1])
def test_kernel_must_be_odd(kernel: int) -> None:
    with pytest.raises(ValueError, match=f"kernel is {kernel}"):
        TemporalConv(2, 2, kernel)


def test_stride_must_be_positive() -> None:
    with pytest.raises(ValueError, match="stride is 0"):
        TemporalConv(2, 2, 3, stride=0)
