"""ST-GCN keeps the encoder contract and equals a textbook ST-GCN in [N, C, T, V], gradients included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from graphnets.encoders import STGCN, Encoder
from graphnets.nn import Block
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.testing import EncoderContract, random_motion

LIGHT = {"widths": (8, 12, 6, 6), "strides": (1, 2, 1, 1), "kernel": 3}


class TestLight(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCN(skeleton, in_channels, widths=(8, 6), strides=(1, 2), kernel=3, dropout=0.2)


class TestCausal(EncoderContract):
    causal = True
    test_export = None  # type: ignore[assignment]  # takes seconds; only the padding differs

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCN(skeleton, in_channels, widths=(8, 6), strides=(1, 2), kernel=5, causal=True)


class TestFrequency(EncoderContract):
    test_export = None  # type: ignore[assignment]  # takes seconds, and what is exported is TestLight's network

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCN(skeleton, in_channels, widths=(8, 6), strides=(1, 2), kernel=3, dropout=0.2, frequency=True)


class TestSeparable(EncoderContract):
    test_export = None  # type: ignore[assignment]  # takes seconds; only the temporal convolution differs

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCN(skeleton, in_channels, widths=(8, 6), strides=(2, 1), separable=True, edge_weights=False)


class TestPaper(EncoderContract):
    test_export = None  # type: ignore[assignment]  # ten blocks of what TestLight exports take half a minute

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCN(skeleton, in_channels)


# The textbook: [N, C, T, V], einsum over partitions, moments over gathered entries. -------------------------------


def batch_norm(p: dict[str, Tensor], name: str, x: Tensor, mask: Tensor, training: bool, per_joint: bool) -> Tensor:
    """``x [N, C, T, V]`` normalised with moments of the entries whose ``mask [N, T, V]`` is True."""
    c, v = x.shape[1], x.shape[3]
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    out = torch.zeros_like(x)
    for joints in [[j] for j in range(v)] if per_joint else [list(range(v))]:
        part, seen = x[..., joints], mask[..., joints]
        span = slice(joints[0] * c, joints[0] * c + c) if per_joint else slice(None)
        m, s = mean[span], var[span]
        if training:
            entries = part.permute(0, 2, 3, 1)[seen]
            m = entries.mean(0) if len(entries) else m
            s = entries.var(0, correction=0) if len(entries) else s
        column = (1, c, 1, 1)
        normal = (part - m.view(column)) / (s.view(column) + 1e-5).sqrt()
        out[..., joints] = (normal * weight[span].view(column) + bias[span].view(column)) * seen[:, None]
    return out


def textbook(
    p: dict[str, Tensor], adjacency: Tensor, x: Tensor, mask: Tensor, strides: tuple[int, ...], training: bool
) -> Tensor:
    """ST-GCN of Yan et al. 2018 on ``[N, C, T, V]``, masked entries blanked before everything that mixes."""
    x = batch_norm(p, "norm", x * mask[:, None], mask, training, per_joint=True)
    for i, stride in enumerate(strides):
        b = f"blocks.{i}"
        k = adjacency.shape[0]
        weight = p[f"{b}.spatial.weight"]  # [K, C_out, C_in]
        mapped = F.conv2d(x, weight.flatten(0, 1)[:, :, None, None])
        mapped = mapped.view(len(x), k, weight.shape[1], *x.shape[2:])
        a = adjacency * p[f"{b}.spatial.edge_weights"]
        h = torch.einsum("nkctv,kwv->nctw", mapped, a) + p[f"{b}.spatial.bias"].view(1, -1, 1, 1)
        h = F.relu(batch_norm(p, f"{b}.spatial_norm", h, mask, training, per_joint=False))
        kernel = p[f"{b}.temporal.conv.weight"]
        h = F.conv2d(h, kernel, p[f"{b}.temporal.conv.bias"], (stride, 1), (kernel.shape[2] // 2, 0))
        after = mask[:, ::stride]
        h = batch_norm(p, f"{b}.temporal_norm", h, after, training, per_joint=False)
        if f"{b}.shortcut.linear.weight" in p:
            res = F.conv2d(x, p[f"{b}.shortcut.linear.weight"], p[f"{b}.shortcut.linear.bias"], (stride, 1))
            h = h + batch_norm(p, f"{b}.shortcut.norm", res, after, training, per_joint=False)
        elif i > 0:
            h = h + x
        x, mask = F.relu(h), after
    return x


def blocks_of(net: STGCN) -> list[Block]:
    return [block for block in net.blocks if isinstance(block, Block)]


def perturbed(**arguments: object) -> STGCN:
    """A float64 network of both product orders, with weights and moments unlike those of a fresh one."""
    torch.manual_seed(0)
    net = STGCN(**{"skeleton": "openpose18", "in_channels": 3, **LIGHT, **arguments}).double()  # type: ignore[arg-type]
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
@pytest.mark.parametrize("partition", ["spatial", "distance", "uniform"])
def test_equals_textbook(training: bool, masked: bool, partition: str) -> None:
    net = perturbed(partition=partition, max_hop=2).train(training)
    orders = {block.spatial.in_channels < block.spatial.out_channels for block in blocks_of(net)}
    assert orders == {True, False}, "the test must see both orders of the products"
    x, mask = random_motion(11, 18, 3, batch=3)
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    for name, _ in net.named_parameters():
        p[name].requires_grad_()
    adjacency = Skeleton.load("openpose18").partitions(partition, 2).double()  # type: ignore[arg-type]
    expected = textbook(p, adjacency, x.permute(0, 3, 1, 2), mask, LIGHT["strides"], training)  # type: ignore[arg-type]
    expected = expected.permute(0, 2, 3, 1)
    actual = net(x, mask if masked else None)
    kept = net.feature_mask(mask)
    torch.testing.assert_close(actual[kept], expected[kept], rtol=0, atol=1e-10)

    probe = torch.randn(expected.shape, dtype=torch.float64)
    names = [name for name, _ in net.named_parameters()]
    ours = torch.autograd.grad((actual * probe)[kept].sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * probe)[kept].sum(), [p[name] for name in names])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10), f"gradient of {name}: off by {(a - b).abs().max()}"


def test_paper_network() -> None:
    net = STGCN("openpose18", 3)
    blocks = blocks_of(net)
    assert (net.out_channels, net.time_stride, len(blocks)) == (256, 4, 10)
    assert [b.spatial.out_channels for b in blocks] == [64] * 4 + [128] * 3 + [256] * 3
    assert all(b.temporal.conv.kernel_size == (9, 1) for b in blocks)
    # No residual in the first block, a projected one where width or length changes, as published.
    kinds = ["none" if b.shortcut is None else "same" if b.shortcut.linear is None else "project" for b in blocks]
    assert kinds == ["none"] + ["same"] * 3 + ["project"] + ["same"] * 2 + ["project"] + ["same"] * 2


def test_masked_features_are_zero() -> None:
    net = perturbed()
    x, mask = random_motion(11, 18, 3)
    y, kept = net.encode(x.double(), mask)
    assert kept is not None and (y[~kept] == 0).all() and (y[kept] != 0).any()


def test_widths_and_strides_must_match() -> None:
    with pytest.raises(ValueError, match=r"2 widths \[8, 8\] but 1 strides \[1\]"):
        STGCN("kinect20", 3, widths=(8, 8), strides=(1,))
    with pytest.raises(ValueError, match="0 widths"):
        STGCN("kinect20", 3, widths=(), strides=())
    with pytest.raises(ValueError, match="kernel is 4"):
        STGCN("kinect20", 3, kernel=4)
    with pytest.raises(ValueError, match=r"strides \[0\] must all be 1 or more"):
        STGCN("kinect20", 3, widths=(8,), strides=(0,))
    with pytest.raises(ValueError, match="kinect21"):
        STGCN("kinect21", 3)


def test_skeleton_from_a_file_travels_in_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(Skeleton.load("imu_axes6").to_dict()))
    net = STGCN(str(path), 1, widths=(4,), strides=(1,))
    spec = to_spec(net)
    path.unlink()
    rebuilt = from_spec(spec, Encoder)
    assert rebuilt.skeleton == net.skeleton == Skeleton.load("imu_axes6")
    assert to_spec(STGCN("kinect20", 3))["init_args"]["skeleton"] == "kinect20", "built-in ones go by name"
