"""Multi-branch temporal convolution against branches computed one by one, each with its own norm and a loop for a pool."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from graphnets.nn import MaskedBatchNorm
from graphnets.nn.multibranch import MultiBranchTemporal
from graphnets.testing import random_motion


def normed(x: Tensor, mask: Tensor, norm: MaskedBatchNorm, span: slice) -> Tensor:
    """``x [N, C, T, V]`` normalised as a branch with the channels ``span`` of ``norm`` would do it."""
    out = torch.zeros_like(x)
    for channel, position in enumerate(range(*span.indices(len(norm.weight)))):
        entries = x[:, channel][mask]
        if norm.training:
            mean, var = entries.mean(), entries.var(correction=0)
        else:
            mean, var = norm.running_mean[position], norm.running_var[position]
        normal = (entries - mean) / (var + norm.eps).sqrt() * norm.weight[position] + norm.bias[position]
        out[:, channel] = out[:, channel].masked_scatter(mask, normal)
    return out


def pooled(x: Tensor, mask: Tensor, stride: int, causal: bool) -> Tensor:
    """Maximum of the observed entries among three frames of ``x [N, C, T, V]``, 0 where there are none."""
    n, c, t, v = x.shape
    out = x.new_zeros(n, c, math.ceil(t / stride), v)
    for i, frame in enumerate(range(0, t, stride)):
        span = range(max(frame - 2, 0), frame + 1) if causal else range(max(frame - 1, 0), min(frame + 2, t))
        for sequence in range(n):
            for joint in range(v):
                seen = [x[sequence, :, s, joint] for s in span if mask[sequence, s, joint]]
                if seen:
                    out[sequence, :, i, joint] = torch.stack(seen).amax(0)
    return out


def textbook(m: MultiBranchTemporal, x: Tensor, mask: Tensor, sizes: list[int], causal: bool, mix: bool) -> Tensor:
    """``x [N, C, T, V]``; a branch at a time, masked entries set to 0 before frames are mixed."""
    stride, after, outs, start = m.stride, mask[:, :: m.stride], [], 0
    for b, size in enumerate(sizes):
        span = slice(start, start + size)
        start += size
        if b == len(sizes) - 1:
            y = torch.einsum("nctv,dc->ndtv", x, m.plain.weight[:, :, 0, 0])[:, :, ::stride]
        else:
            z = torch.einsum("nctv,dc->ndtv", x, m.reduce.weight[span, :, 0, 0])
            z = normed(z, mask, m.reduce_norm, span).relu()
            if b == len(sizes) - 2:
                y = pooled(z, mask, stride, causal)
            else:
                conv = m.convs[b].conv
                kernel, dilation = int(conv.kernel_size[0]), int(conv.dilation[0])  # type: ignore
                reach = dilation * (kernel - 1)
                before, later = (reach, 0) if causal else (reach // 2, reach // 2)
                z = F.pad(z, (0, 0, before, later))
                y = F.conv2d(z, conv.weight, conv.bias, (stride, 1), 0, (dilation, 1))  # type: ignore
        outs.append(normed(y, after, m.norm, span))
    y = torch.cat(outs, 1)
    if not mix:
        return y
    assert m.mix is not None
    return torch.einsum("nctv,dc->ndtv", y.relu(), m.mix.weight[:, :, 0, 0])


def perturbed(*args: object, **kwargs: object) -> MultiBranchTemporal:
    module = MultiBranchTemporal(*args, **kwargs).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return module


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    t=st.integers(3, 8),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    dilations=st.sampled_from([(1,), (1, 2), (2, 1, 3), (1, 2, 3, 4)]),
    spare=st.integers(0, 7),
    flags=st.tuples(*[st.booleans()] * 4),
)
def test_equals_branches_one_by_one(
    seed: int,
    t: int,
    kernel: int,
    stride: int,
    dilations: tuple[int, ...],
    spare: int,
    flags: tuple[bool, bool, bool, bool],
) -> None:
    causal, mix, masked, training = flags
    torch.manual_seed(seed)
    branches = len(dilations) + 2
    width = branches + spare
    module = perturbed(3, width, kernel, stride, dilations, causal=causal, mix=mix).train(training)
    x, mask = random_motion(t, 4, 3, seed=seed)
    x, mask = x.double().requires_grad_(), mask if masked else torch.ones_like(mask)
    sizes = [width - width // branches * (branches - 1)] + [width // branches] * (branches - 1)
    blank = x.masked_fill(~mask[..., None], 0.0)
    expected = textbook(module, blank.permute(0, 3, 1, 2), mask, sizes, causal, mix).permute(0, 2, 3, 1)
    given_x = x.masked_fill(~mask[..., None], math.nan) if masked else x
    actual = module(given_x, mask if masked else None)
    assert actual.shape == (2, math.ceil(t / stride), 4, width)
    kept = mask[:, ::stride]
    torch.testing.assert_close(actual[kept], expected[kept])

    probe = torch.randn_like(expected)
    sources = [x, *module.parameters()]
    ours = torch.autograd.grad((actual * probe)[kept].sum(), sources)
    theirs = torch.autograd.grad((expected * probe)[kept].sum(), sources)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mix", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_causal_reads_no_later_frame(mix: bool, stride: int) -> None:
    torch.manual_seed(0)
    module = perturbed(3, 12, 3, stride, causal=True, mix=mix).eval()
    x = torch.randn(2, 14, 3, 3, dtype=torch.float64)
    late = x.clone()
    late[:, 7:] += 5
    before, after = module(x), module(late)
    same = math.ceil(7 / stride)
    assert torch.equal(before[:, :same], after[:, :same])
    assert all((before[:, i] != after[:, i]).any() for i in range(same, before.shape[1]))


@pytest.mark.parametrize("width", [6, 7, 8])
def test_small_widths(width: int) -> None:
    module = MultiBranchTemporal(5, width)
    assert module(torch.randn(1, 1, 1, 5)).shape == (1, 1, 1, width)
    assert [conv.conv.out_channels for conv in module.convs] == [width - 5, 1, 1, 1]  # type: ignore[union-attr]


def test_bfloat16_autocast() -> None:
    module = MultiBranchTemporal(8, 12)
    x, mask = random_motion(9, 4, 8)
    for given_mask in (None, mask):
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x, given_mask)
        assert y.dtype == torch.bfloat16 and y.isfinite().all()


def test_arguments_must_make_sense() -> None:
    with pytest.raises(ValueError, match=r"out_channels is 5.*6 branches.*6 or more"):
        MultiBranchTemporal(4, 5)
    with pytest.raises(ValueError, match="dilations is empty"):
        MultiBranchTemporal(4, 8, dilations=())
    with pytest.raises(ValueError, match="kernel is 4"):
        MultiBranchTemporal(4, 8, kernel=4)
    with pytest.raises(ValueError, match="dilation is 0"):
        MultiBranchTemporal(4, 8, dilations=(0, 1))
    with pytest.raises(ValueError, match="stride is 0"):
        MultiBranchTemporal(4, 8, stride=0)
