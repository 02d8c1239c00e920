"""ST-GCN++ keeps the encoder contract and equals a textbook in [N, C, T, V], branch by branch, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.encoders.stgcnpp import STGCNPP
from graphnets.nn import Block
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.testing import EncoderContract, random_motion

LIGHT = {"widths": (8, 12, 12, 7), "strides": (1, 2, 1, 1)}
Weights = dict[str, Tensor]


class TestLight(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCNPP(skeleton, in_channels, widths=(8, 6), strides=(1, 2), dilations=(1, 2), dropout=0.2)


class TestCausal(EncoderContract):
    causal = True
    test_export = None  # type: ignore[assignment]  # takes seconds; only the padding differs

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return STGCNPP(skeleton, in_channels, widths=(8, 6), strides=(2, 1), causal=True)


# The textbook: [N, C, T, V], a branch at a time, moments over gathered entries. -----------------------------------


def moments(p: Weights, name: str, x: Tensor, mask: Tensor, training: bool, span: slice = slice(None)) -> Tensor:
    """``x [N, C, T, V]`` normalised by the channels ``span`` of a norm, over entries whose ``mask [N, T, V]`` is True."""
    mean, var = p[f"{name}.running_mean"][span], p[f"{name}.running_var"][span]
    if training:
        entries = x.permute(0, 2, 3, 1)[mask]
        mean, var = entries.mean(0), entries.var(0, correction=0)
    column = (1, -1, 1, 1)
    y = (x - mean.view(column)) / (var.view(column) + 1e-5).sqrt()
    return (y * p[f"{name}.weight"][span].view(column) + p[f"{name}.bias"][span].view(column)) * mask[:, None]


def per_joint(p: Weights, x: Tensor, mask: Tensor, training: bool) -> Tensor:
    """The norm of the input: each joint by itself."""
    c, v = x.shape[1], x.shape[3]
    parts = [slice(j * c, (j + 1) * c) for j in range(v)]
    joints = [moments(p, "norm", x[..., j : j + 1], mask[..., j : j + 1], training, parts[j]) for j in range(v)]
    return torch.cat(joints, 3)


def shortcut(p: Weights, name: str, x: Tensor, after: Tensor, stride: int, training: bool) -> Tensor:
    if f"{name}.linear.weight" not in p:
        return x
    y = F.conv2d(x, p[f"{name}.linear.weight"], p[f"{name}.linear.bias"], (stride, 1))
    return moments(p, f"{name}.norm", y, after, training)


def branches(p: Weights, name: str, x: Tensor, mask: Tensor, stride: int, dilations: list[int], train: bool) -> Tensor:
    width, count = p[f"{name}.norm.weight"].numel(), len(dilations) + 2
    sizes = [width - width // count * (count - 1)] + [width // count] * (count - 1)
    outs, start = [], 0
    for b, size in enumerate(sizes):
        span = slice(start, start + size)
        start += size
        if b == count - 1:
            y = F.conv2d(x, p[f"{name}.plain.weight"], stride=(stride, 1))
        else:
            z = F.conv2d(x, p[f"{name}.reduce.weight"][span])
            z = moments(p, f"{name}.reduce_norm", z, mask, train, span).relu()
            if b == count - 2:
                y = F.max_pool2d(z.masked_fill(~mask[:, None], -torch.inf), (3, 1), (stride, 1), (1, 0))
                y = y.masked_fill(y == -torch.inf, 0.0)
            else:
                kernel, dilation = p[f"{name}.convs.{b}.conv.weight"], dilations[b]
                pad = dilation * (kernel.shape[2] // 2)
                y = F.conv2d(z, kernel, p[f"{name}.convs.{b}.conv.bias"], (stride, 1), (pad, 0), (dilation, 1))
        outs.append(moments(p, f"{name}.norm", y, mask[:, ::stride], train, span))
    return F.conv2d(torch.cat(outs, 1).relu(), p[f"{name}.mix.weight"])


def textbook(p: Weights, x: Tensor, mask: Tensor, strides: tuple[int, ...], training: bool) -> Tensor:
    x = per_joint(p, x * mask[:, None], mask, training)
    for i, stride in enumerate(strides):
        b = f"blocks.{i}"
        mapped = torch.einsum("nctv,kdc->nkdtv", x, p[f"{b}.spatial.weight"])
        h = torch.einsum("nkdtv,kwv->ndtw", mapped, p[f"{b}.spatial.partitions"])
        h = moments(p, f"{b}.spatial_norm", h + p[f"{b}.spatial.bias"].view(1, -1, 1, 1), mask, training)
        h = F.relu(h + shortcut(p, f"{b}.spatial_shortcut", x, mask, 1, training))
        after = mask[:, ::stride]
        h = branches(p, f"{b}.temporal", h, mask, stride, [1, 2, 3, 4], training)
        h = moments(p, f"{b}.temporal_norm", h, after, training)
        if i > 0:
            h = h + shortcut(p, f"{b}.shortcut", x, after, stride, training)
        x, mask = F.relu(h), after
    return x


def perturbed() -> STGCNPP:
    torch.manual_seed(0)
    net = STGCNPP("openpose18", 3, **LIGHT).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
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
    x, mask = random_motion(11, 18, 3, batch=3)
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    names = [name for name, _ in net.named_parameters()]
    for name in names:
        p[name].requires_grad_()
    expected = textbook(p, x.permute(0, 3, 1, 2), mask, LIGHT["strides"], training).permute(0, 2, 3, 1)
    actual = net(x, mask if masked else None)
    kept = net.feature_mask(mask)
    torch.testing.assert_close(actual[kept], expected[kept], rtol=0, atol=1e-10)

    probe = torch.randn_like(expected)
    ours = torch.autograd.grad((actual * probe)[kept].sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * probe)[kept].sum(), [p[name] for name in names])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9), f"gradient of {name}: off by {(a - b).abs().max()}"


def test_paper_network() -> None:
    net = STGCNPP("body25", 3)
    assert (net.out_channels, net.time_stride, len(net.blocks)) == (256, 4, 10)
    for i, block in enumerate(net.blocks):
        assert isinstance(block, Block) and block.spatial_shortcut is not None
        assert (block.shortcut is None) == (i == 0)
        # The adjacency is learned as a whole but starts as the skeleton.
        assert torch.equal(block.spatial.partitions, net.skeleton.partitions("spatial"))  # type: ignore[arg-type]
        assert "partitions" in dict(block.spatial.named_parameters())
    count = sum(parameter.numel() for parameter in net.parameters())
    assert 1.2e6 < count < 1.6e6, f"{count} parameters; PYSKL gives 1.4 million"


def test_joints_without_an_edge_get_one() -> None:
    """The gradient reaches every entry of the adjacency, not those of edges only."""
    net = perturbed().train()
    net(random_motion(16, 18, 3, batch=4)[0].double()).square().sum().backward()
    for block in net.blocks:
        gradient = block.spatial.partitions.grad  # type: ignore[union-attr]
        assert (gradient != 0).all()  # type: ignore[union-attr]


def test_learned_adjacency_is_saved() -> None:
    net = perturbed().eval()
    twin = from_spec(to_spec(net), Encoder).double()
    twin.load_state_dict(net.state_dict())
    x, mask = random_motion(9, 18, 3)
    assert torch.equal(twin.eval()(x.double(), mask), net(x.double(), mask))


def test_widths_must_hold_the_branches() -> None:
    with pytest.raises(ValueError, match=r"out_channels is 4.*6 branches"):
        STGCNPP("kinect20", 3, widths=(4,), strides=(1,))
