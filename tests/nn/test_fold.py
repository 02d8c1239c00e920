"""Folded norms against the network that they were folded in."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from graphnets import nn as layers
from graphnets.encoders import AAGCN, STGCN, Encoder

SMALL = {"widths": (8, 16, 16, 12), "strides": (1, 2, 1, 2)}


def settled(encoder: Encoder) -> Encoder:
    """With norms that are no identity."""
    for module in encoder.modules():
        if isinstance(module, layers.MaskedBatchNorm):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 2)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor)
    return encoder.double().eval()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: STGCN("kinect20", 3, **SMALL),
        lambda: STGCN("kinect20", 3, **SMALL, separable=True, causal=True),
        lambda: STGCN("kinect20", 3, **SMALL, frequency=True),
        lambda: AAGCN("kinect20", 3, **SMALL),
    ],
    ids=["dense", "separable", "frequency", "adaptive"],
)
def test_the_output_is_the_same(make, masked: bool) -> None:
    torch.manual_seed(0)
    net = settled(make())
    x = torch.randn(2, 13, 20, 3, dtype=torch.float64)
    mask = torch.rand(2, 13, 20) > 0.2 if masked else None
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        expected, found = net(x, mask), layers.fold_norms(net)(x, mask)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_no_norm_of_a_block_is_left_in_stgcn() -> None:
    folded = layers.fold_norms(STGCN("kinect20", 3, **SMALL))
    norms = [m for m in folded.modules() if isinstance(m, layers.MaskedBatchNorm)]
    assert norms == [folded.norm]
    assert not folded.training
    assert not any(p.requires_grad for p in folded.parameters())


def test_a_norm_after_another_operator_stays() -> None:
    net = AAGCN("kinect20", 3, **SMALL)
    assert all(isinstance(b.spatial_norm, layers.MaskedBatchNorm) for b in layers.fold_norms(net).blocks)
