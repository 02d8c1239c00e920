"""Masked batch normalisation against ``F.batch_norm`` on the gathered entries."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from graphnets.nn import MaskedBatchNorm


def fresh(channels: int, joints: int = 1, seed: int = 0) -> MaskedBatchNorm:
    draw = torch.Generator().manual_seed(seed)
    norm = MaskedBatchNorm(channels, joints, momentum=0.3).double()
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean):
            value.copy_(torch.randn(value.shape, generator=draw))
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=draw) + 0.5)
    return norm


def motion(seed: int, n: int, t: int, v: int, c: int, share: float) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, t, v, c, generator=draw, dtype=torch.float64) * 3 + 5
    return x, torch.rand(n, t, v, generator=draw) < share


def by_gathering(norm: MaskedBatchNorm, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output (0 where masked) and running moments, one ``F.batch_norm`` for each group of joints."""
    v, c = x.shape[2:]
    out, mean, var = torch.zeros_like(x), norm.running_mean.clone(), norm.running_var.clone()
    groups = [([j], slice(j * c, j * c + c)) for j in range(v)] if norm.joints > 1 else [(list(range(v)), slice(0, c))]
    for joints, span in groups:
        entries = x[:, :, joints][mask[:, :, joints]]
        if len(entries) > 1:
            now_mean, now_var = mean[span], var[span]  # views: batch_norm moves them
            y = F.batch_norm(
                entries, now_mean, now_var, norm.weight[span], norm.bias[span], True, norm.momentum, norm.eps
            )
        else:  # batch_norm refuses one entry; its deviation from its mean is 0, and it has no variance
            y = norm.bias[span].expand(len(entries), c)
            if len(entries):
                mean[span] += norm.momentum * (entries[0] - mean[span])
        part = torch.zeros_like(x[:, :, joints])
        part[mask[:, :, joints]] = y
        out[:, :, joints] = part
    return out, mean, var


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(1, 3),
    t=st.integers(1, 4),
    v=st.integers(1, 3),
    per_joint=st.booleans(),
    share=st.sampled_from([0.0, 0.2, 0.7, 1.1]),
)
def test_training_equals_batch_norm_of_observed(
    seed: int, n: int, t: int, v: int, per_joint: bool, share: float
) -> None:
    x, mask = motion(seed, n, t, v, 2, share)
    norm = fresh(2, v if per_joint else 1, seed)
    with torch.no_grad():
        expected, mean, var = by_gathering(norm, x, mask)
    actual = norm(x.masked_fill(~mask[..., None], math.nan), mask)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, var, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("joints", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_no_mask_equals_full_mask_and_batch_norm(joints: int, training: bool) -> None:
    x, mask = motion(0, 4, 5, 3, 2, 1.1)
    one, other, reference = (fresh(2, joints).train(training) for _ in range(3))
    flat = x.flatten(0, 1).flatten(1) if joints > 1 else x.flatten(0, 2)
    p = reference
    expected = F.batch_norm(flat, p.running_mean, p.running_var, p.weight, p.bias, training, p.momentum, p.eps)
    for norm, given_mask in ((one, None), (other, mask)):
        torch.testing.assert_close(norm(x, given_mask), expected.view(x.shape), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(norm.running_mean, reference.running_mean)
        torch.testing.assert_close(norm.running_var, reference.running_var)


@pytest.mark.parametrize("joints", [1, 3])
def test_eval_uses_running_moments(joints: int) -> None:
    x, mask = motion(1, 2, 4, 3, 2, 0.6)
    norm = fresh(2, joints).eval()
    shape = (joints, 2)
    mean, var, weight, bias = (a.view(shape) for a in (norm.running_mean, norm.running_var, norm.weight, norm.bias))
    expected = ((x - mean) / (var + norm.eps).sqrt() * weight + bias) * mask[..., None]
    torch.testing.assert_close(norm(x, mask), expected)
    assert torch.equal(norm.running_mean, fresh(2, joints).running_mean), "eval mode moves no moments"


@pytest.mark.parametrize("joints", [1, 3])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("share", [0.6, 1.1])
def test_gradients(joints: int, training: bool, share: float) -> None:
    x, mask = motion(2, 2, 3, 3, 2, share)
    norm = fresh(2, joints).train(training)

    def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        result: Tensor = functional_call(norm, {"weight": weight, "bias": bias}, (x, mask))
        return result

    leaves = [a.detach().clone().requires_grad_() for a in (x, norm.weight, norm.bias)]
    assert torch.autograd.gradcheck(normalised, leaves)


@pytest.mark.parametrize("joints", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_nan_reaches_no_gradient(joints: int, training: bool) -> None:
    x, mask = motion(3, 3, 4, 3, 2, 0.6)
    gradients = []
    for value in (0.0, math.nan):
        norm = fresh(2, joints).train(training)
        leaf = x.masked_fill(~mask[..., None], value).requires_grad_()
        y = norm(leaf, mask)
        assert (y[~mask] == 0).all()
        gradients.append(torch.autograd.grad(y.square().sum(), [leaf, norm.weight, norm.bias]))
    for clean, poisoned in zip(*gradients, strict=True):
        assert torch.equal(clean, poisoned)
    assert (gradients[0][0][~mask] == 0).all()


def test_nothing_observed_moves_nothing() -> None:
    norm = fresh(2, 3)
    x = torch.full((2, 4, 3, 2), math.nan, dtype=torch.float64)
    assert torch.equal(norm(x, torch.zeros(2, 4, 3, dtype=torch.bool)), torch.zeros_like(x))
    assert torch.equal(norm.running_mean, fresh(2, 3).running_mean)
    assert torch.equal(norm.running_var, fresh(2, 3).running_var)


def test_one_entry_in_training_gives_the_bias() -> None:
    for joints in (1, 3):
        norm = fresh(2, joints)
        x = torch.randn(1, 1, joints, 2, dtype=torch.float64)
        torch.testing.assert_close(norm(x), norm.bias.view(1, 1, joints, 2))
        assert torch.equal(norm.running_var, fresh(2, joints).running_var), "one entry has no variance"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_counts_beyond_its_integers(dtype: torch.dtype) -> None:
    # 70 000 entries: bfloat16 counts to 256 exactly, float16 ends at 65 504.
    x = torch.randn(10, 70, 100, 1, generator=torch.Generator().manual_seed(0)) + 3
    mask = torch.ones(10, 70, 100, dtype=torch.bool)
    exact, half = MaskedBatchNorm(1), MaskedBatchNorm(1)
    rounded = x.to(dtype)
    expected, actual = exact(rounded.float(), mask), half(rounded, mask)
    assert actual.dtype == dtype
    torch.testing.assert_close(half.running_mean, exact.running_mean)
    torch.testing.assert_close(half.running_var, exact.running_var)
    torch.testing.assert_close(actual.float(), expected, rtol=1e-2, atol=1e-2)
