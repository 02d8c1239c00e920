"""CTR-GCN keeps the encoder contract and equals a textbook version in [N, C, T, V], gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.encoders.ctrgcn import CTRGCN
from graphnets.nn import Block
from graphnets.nn.adaptive import RefinedGraphConv
from graphnets.nn.multibranch import MultiBranchTemporal
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, random_motion

LIGHT = {"widths": (8, 12, 12, 6), "strides": (1, 2, 1, 1), "kernel": 3}


class TestCTRGCN(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return CTRGCN(skeleton, in_channels, widths=(8, 6), strides=(1, 2), kernel=3, dropout=0.2)


# The textbook: [N, C, T, V], a module for each partition and each branch. ------------------------------------------


def norm(p: dict[str, Tensor], name: str, x: Tensor, mask: Tensor, training: bool, part: slice = slice(None)) -> Tensor:
    """``x [N, C, T, V]`` normalised per channel with moments of the entries whose ``mask [N, T, V]`` is True."""
    mean, var, weight, bias = (p[f"{name}.{k}"][part] for k in ("running_mean", "running_var", "weight", "bias"))
    if training:
        entries = x.permute(0, 2, 3, 1)[mask]
        mean, var = entries.mean(0), entries.var(0, correction=0)
    y = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    return (y * weight[:, None, None] + bias[:, None, None]) * mask[:, None]


def ctrgc(p: dict[str, Tensor], name: str, k: int, x: Tensor, mask: Tensor) -> Tensor:
    """One CTR-GC as published: map, average over time, compare, refine, aggregate channel by channel."""
    r = p[f"{name}.refine"].shape[2]
    psi, phi = (p[f"{name}.relate"][side, k * r : k * r + r] for side in (0, 1))
    m = mask[:, None].to(x.dtype)

    def mean_of(mapped: Tensor) -> Tensor:
        return (mapped * m).sum(2) / m.sum(2).clamp(min=1)

    one = mean_of(torch.einsum("rc,nctv->nrtv", psi, x))
    one = one + p[f"{name}.relate_bias"][k * r : k * r + r, None]
    other = mean_of(torch.einsum("rc,nctv->nrtv", phi, x))
    q = torch.tanh(one[..., :, None] - other[..., None, :])
    q = torch.einsum("or,nrij->noij", p[f"{name}.refine"][k], q) + p[f"{name}.refine_bias"][k, :, None, None]
    refined = p[f"{name}.alpha"] * q + p[f"{name}.topology"][k]
    return torch.einsum("ncij,nctj->ncti", refined, torch.einsum("oc,nctv->notv", p[f"{name}.weight"][k], x))


def multiscale(
    p: dict[str, Tensor], name: str, x: Tensor, mask: Tensor, after: Tensor, stride: int, training: bool
) -> Tensor:
    outs, start = [], 0
    sizes = [p[f"{name}.convs.{i}.conv.weight"].shape[0] for i in (0, 1)]
    sizes.append(p[f"{name}.reduce.weight"].shape[0] - sum(sizes))
    for i, size in enumerate(sizes):
        part = slice(start, start := start + size)
        z = F.relu(norm(p, f"{name}.reduce_norm", F.conv2d(x, p[f"{name}.reduce.weight"][part]), mask, training, part))
        if i == len(sizes) - 1:
            z = F.max_pool2d(z, (3, 1), (stride, 1), (1, 0))
        else:
            weight, bias = (p[f"{name}.convs.{i}.conv.{k}"] for k in ("weight", "bias"))
            z = F.conv2d(z, weight, bias, (stride, 1), (i + 1, 0), (i + 1, 1))
        outs.append(norm(p, f"{name}.norm", z, after, training, part))
    z = F.conv2d(x, p[f"{name}.plain.weight"], None, (stride, 1))
    outs.append(norm(p, f"{name}.norm", z, after, training, slice(start, None)))
    return torch.cat(outs, 1)


def textbook(p: dict[str, Tensor], x: Tensor, mask: Tensor, training: bool) -> Tensor:
    """The network of LIGHT with kernel 3 and dilations 1, 2; masked entries blanked before everything that mixes."""
    x, c = x * mask[:, None], x.shape[1]
    joints = []
    for j in range(x.shape[3]):
        one, seen = x[..., j : j + 1], mask[..., j : j + 1]
        joints.append(norm(p, "norm", one, seen, training and bool(seen.any()), slice(j * c, j * c + c)))
    x = torch.cat(joints, -1)
    for b, stride in enumerate(LIGHT["strides"]):  # type: ignore[arg-type]
        name, after = f"blocks.{b}", mask[:, ::stride]

        def around(way: str, x: Tensor, mask: Tensor, stride: int) -> Tensor:
            if f"{way}.linear.weight" not in p:
                return x
            y = F.conv2d(x, p[f"{way}.linear.weight"], p[f"{way}.linear.bias"], (stride, 1))
            return norm(p, f"{way}.norm", y, mask, training)

        h = sum((ctrgc(p, f"{name}.spatial", k, x, mask) for k in range(3)), torch.zeros(()))
        h = F.relu(norm(p, f"{name}.spatial_norm", h, mask, training) + around(f"{name}.spatial_shortcut", x, mask, 1))
        h = multiscale(p, f"{name}.temporal", h, mask, after, stride, training)
        x, mask = F.relu(h + around(f"{name}.shortcut", x, after, stride) if b > 0 else h), after
    return x


def perturbed(**arguments: object) -> CTRGCN:
    """A float64 network with weights and moments unlike those of a fresh one."""
    torch.manual_seed(0)
    net = CTRGCN(**{"skeleton": "imu_axes6", "in_channels": 3, **LIGHT, **arguments}).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_equals_textbook(training: bool, masked: bool) -> None:
    net = perturbed().train(training)
    x, mask = random_motion(11, 6, 3, batch=3)
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    for name, _ in net.named_parameters():
        p[name].requires_grad_()
    expected = textbook(p, x.permute(0, 3, 1, 2), mask, training).permute(0, 2, 3, 1)
    actual = net(x, mask if masked else None)
    kept = net.feature_mask(mask)
    torch.testing.assert_close(actual[kept], expected[kept], rtol=0, atol=1e-10)
    assert (actual[~kept] == 0).all()  # type: ignore[operator]

    probe = torch.randn(expected.shape, dtype=torch.float64)
    names = [name for name, _ in net.named_parameters()]
    ours = torch.autograd.grad((actual * probe)[kept].sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * probe)[kept].sum(), [p[name] for name in names])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-9), f"gradient of {name}: off by {(a - b).abs().max()}"


def test_paper_network() -> None:
    """Ten blocks, residuals around every graph convolution, an eighth of the channels compared, alpha = 0 at first."""
    net = CTRGCN("body25", 3)
    blocks = [block for block in net.blocks if isinstance(block, Block)]
    assert (net.out_channels, net.time_stride, len(blocks), net.causal) == (256, 4, 10, False)
    relations = []
    for block in blocks:
        assert block.spatial_shortcut is not None and block.temporal_norm is None
        spatial, temporal = block.spatial, block.temporal
        assert isinstance(spatial, RefinedGraphConv) and isinstance(temporal, MultiBranchTemporal)
        assert temporal.mix is None
        assert [(c.conv.kernel_size, c.conv.dilation) for c in temporal.convs] == [((5, 1), (1, 1)), ((5, 1), (2, 1))]
        assert torch.equal(spatial.topology, Skeleton.load("body25").partitions("spatial")) and spatial.alpha == 0
        relations.append(spatial.relations)
    assert relations == [8] * 5 + [16] * 3 + [32] * 2


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"2 widths \[8, 8\] but 1 strides \[1\]"):
        CTRGCN("kinect20", 3, widths=(8, 8), strides=(1,))
    with pytest.raises(ValueError, match="reduction is 0"):
        CTRGCN("kinect20", 3, widths=(8,), strides=(1,), reduction=0)
    with pytest.raises(ValueError, match="3"):
        CTRGCN("kinect20", 3, widths=(3,), strides=(1,))
