"""AAGCN and 2s-AGCN keep the encoder contract and equal a textbook version in [N, C, T, V], gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.encoders.aagcn import AAGCN, STCAttention
from graphnets.nn import Block
from graphnets.nn.adaptive import AdaptiveGraphConv
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, random_motion

LIGHT = {"widths": (8, 12, 6), "strides": (1, 2, 1), "kernel": 3}


class TestAAGCN(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return AAGCN(skeleton, in_channels, widths=(8, 6), strides=(1, 2), kernel=3, dropout=0.2)


class TestAGCN(EncoderContract):
    test_export = None  # type: ignore[assignment]  # takes seconds, and is less than what TestAAGCN exports

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return AAGCN(skeleton, in_channels, widths=(8, 6), strides=(2, 1), attention=False, separable=True)


# The textbook: [N, C, T, V], one partition after the other, every mean spelled out. --------------------------------


def norm(p: dict[str, Tensor], name: str, x: Tensor, mask: Tensor, training: bool) -> Tensor:
    """``x [N, C, T, V]`` normalised per channel with moments of the entries whose ``mask [N, T, V]`` is True."""
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    if training:
        entries = x.permute(0, 2, 3, 1)[mask]
        mean, var = entries.mean(0), entries.var(0, correction=0)
    y = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    return (y * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]) * mask[:, None]


def norm_joints(p: dict[str, Tensor], x: Tensor, mask: Tensor, training: bool) -> Tensor:
    c, parts = x.shape[1], []
    for j in range(x.shape[3]):
        own = {k: p[k][j * c : j * c + c] for k in p if k.startswith("norm.")}
        parts.append(norm(own, "norm", x[..., j : j + 1], mask[..., j : j + 1], training and bool(mask[..., j].any())))
    return torch.cat(parts, -1)


def similarity(theta: Tensor, phi: Tensor, mask: Tensor) -> Tensor:
    """Normalised embedded Gaussian of ``[N, E, T, V]`` over the frames that show both joints, by loops: ``[N, V, V]``."""
    n, e, _, v = theta.shape
    rows = []
    for s in range(n):
        for i in range(v):
            row = {}
            for j in range(v):
                both = mask[s, :, i] & mask[s, :, j]
                if both.any():
                    row[j] = (theta[s, :, both, i] * phi[s, :, both, j]).sum() / (e * both.sum())
            top = max((score.detach() for score in row.values()), default=0)  # large numbers have no exponential
            exponentials = {j: (score - top).exp() for j, score in row.items()}
            total, nothing = sum(exponentials.values()), theta.new_zeros(())
            rows.append(torch.stack([exponentials[j] / total if j in row else nothing for j in range(v)]))
    return torch.stack(rows).view(n, v, v)


def stc(p: dict[str, Tensor], name: str, y: Tensor, mask: Tensor) -> Tensor:
    m = mask[:, None].to(y.dtype)
    v = y.shape[3]
    se = (y * m).sum(2) / m.sum(2).clamp(min=1)
    weight = p[f"{name}.joints.weight"]
    assert weight.shape[2] % 2 == 1 and v - weight.shape[2] in (0, 1)
    y = y + y * torch.sigmoid(F.conv1d(se, weight, p[f"{name}.joints.bias"], padding=weight.shape[2] // 2))[:, :, None]
    se = (y * m).sum(3) / m.sum(3).clamp(min=1)
    frames = F.conv1d(se, p[f"{name}.frames.weight"], p[f"{name}.frames.bias"], padding=4)
    y = y + y * torch.sigmoid(frames)[..., None]
    se = (y * m).sum((2, 3)) / m.sum((2, 3)).clamp(min=1)
    hidden = F.relu(F.linear(se, p[f"{name}.reduce.weight"], p[f"{name}.reduce.bias"]))
    return (
        y + y * torch.sigmoid(F.linear(hidden, p[f"{name}.expand.weight"], p[f"{name}.expand.bias"]))[..., None, None]
    )


def textbook(p: dict[str, Tensor], adjacency: Tensor, x: Tensor, mask: Tensor, training: bool, gate: bool) -> Tensor:
    """The network of LIGHT, masked entries blanked before everything that mixes."""
    x = norm_joints(p, x * mask[:, None], mask, training)
    for b, stride in enumerate(LIGHT["strides"]):  # type: ignore[arg-type]
        name = f"blocks.{b}"
        embed, weight = p[f"{name}.spatial.embed"], p[f"{name}.spatial.weight"]
        h = torch.zeros(())
        for k in range(len(weight)):
            c_k = similarity(
                *(torch.einsum("ec,nctv->netv", embed[side, k], x) * mask[:, None] for side in (0, 1)), mask
            )
            b_k = p[f"{name}.spatial.topology"][k]
            a = b_k + p[f"{name}.spatial.gate"] * c_k if gate else adjacency[k] + b_k + c_k
            h = h + torch.einsum("oc,nctj,nij->noti", weight[k], x, a)
        h = norm(p, f"{name}.spatial_norm", h, mask, training)
        if f"{name}.spatial_shortcut.linear.weight" in p:
            way = f"{name}.spatial_shortcut"
            around = F.conv2d(x, p[f"{way}.linear.weight"], p[f"{way}.linear.bias"])
            h = h + norm(p, f"{way}.norm", around, mask, training)
        else:
            h = h + x
        h = F.relu(h)
        if f"{name}.attention.joints.weight" in p:
            h = stc(p, f"{name}.attention", h, mask)
        h = F.conv2d(h, p[f"{name}.temporal.conv.weight"], p[f"{name}.temporal.conv.bias"], (stride, 1), (1, 0))
        after = mask[:, ::stride]
        h = norm(p, f"{name}.temporal_norm", h, after, training)
        if b > 0:
            way = f"{name}.shortcut"
            around = F.conv2d(x, p[f"{way}.linear.weight"], p[f"{way}.linear.bias"], (stride, 1))
            h = h + norm(p, f"{way}.norm", around, after, training)
        x, mask = F.relu(h), after
    return x


def perturbed(**arguments: object) -> AAGCN:
    """A float64 network of both product orders, with weights and moments unlike those of a fresh one."""
    torch.manual_seed(0)
    net = AAGCN(**{"skeleton": "imu_axes6", "in_channels": 3, **LIGHT, **arguments}).double()  # type: ignore[arg-type]
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
@pytest.mark.parametrize("attention", [False, True], ids=["2s-agcn", "aagcn"])
def test_equals_textbook(training: bool, masked: bool, attention: bool) -> None:
    net = perturbed(attention=attention).train(training)
    orders = {block.spatial.in_channels < block.spatial.out_channels for block in net.blocks}  # type: ignore[union-attr]
    assert orders == {True, False}, "the test must see both orders of the products"
    x, mask = random_motion(9, 6, 3, batch=3)
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    for name, _ in net.named_parameters():
        p[name].requires_grad_()
    adjacency = Skeleton.load("imu_axes6").partitions("spatial").double()
    expected = textbook(p, adjacency, x.permute(0, 3, 1, 2), mask, training, gate=attention).permute(0, 2, 3, 1)
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
    """Ten blocks; a residual around every graph convolution; the two papers' starts of the topology."""
    partitions = Skeleton.load("body25").partitions("spatial")
    for attention in (False, True):
        net = AAGCN("body25", 3, attention=attention)
        blocks = [block for block in net.blocks if isinstance(block, Block)]
        assert (net.out_channels, net.time_stride, len(blocks), net.causal) == (256, 4, 10, False)
        for block in blocks:
            assert block.spatial_shortcut is not None
            assert (block.attention is not None) == attention
            spatial = block.spatial
            assert isinstance(spatial, AdaptiveGraphConv) and spatial.embedding == spatial.out_channels // 4
            assert torch.equal(spatial.fixed, torch.zeros_like(partitions) if attention else partitions)
            torch.testing.assert_close(spatial.fixed + spatial.topology, partitions, rtol=0, atol=2e-6)
            assert (spatial.gate is None) != attention
            assert not attention or spatial.gate.item() == 0  # type: ignore[union-attr]


def test_gate_is_free_of_attention() -> None:
    def gated(**arguments: bool) -> bool:
        net = AAGCN("kinect20", 3, widths=(4,), strides=(1,), **arguments)  # type: ignore[arg-type]
        return any(name.endswith("gate") for name, _ in net.named_parameters())

    assert gated() and gated(attention=False, gate=True)
    assert not gated(attention=False) and not gated(gate=False)


def test_fresh_attention_is_half_for_frames_and_channels() -> None:
    """sigmoid(0) twice: after the joints' weights, which lie between 1 and 2, everything grows by 1.5 * 1.5."""
    torch.manual_seed(0)
    x = torch.rand(2, 5, 4, 6) + 0.1
    growth = STCAttention(6, 4)(x) / x / 2.25
    torch.testing.assert_close(growth, growth[:, :1, :, :1].expand_as(growth))
    assert (growth > 1).all() and (growth < 2).all() and growth.std() > 1e-3


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"2 widths \[8, 8\] but 1 strides \[1\]"):
        AAGCN("kinect20", 3, widths=(8, 8), strides=(1,))
    with pytest.raises(ValueError, match="embed_ratio is 0"):
        AAGCN("kinect20", 3, widths=(8,), strides=(1,), embed_ratio=0)
