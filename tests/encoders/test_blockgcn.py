"""BlockGCN keeps the encoder contract and equals a textbook in [N, C, T, V] head by head, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.encoders.blockgcn import BlockGC, BlockGCN
from graphnets.nn import Block
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, disconnected, random_motion, random_tree

LIGHT = {"widths": (8, 12, 12, 4), "strides": (1, 2, 1, 1), "heads": 4}
Weights = dict[str, Tensor]


class TestLight(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return BlockGCN(skeleton, in_channels, widths=(8, 4), strides=(1, 2), heads=2, dropout=0.2)


class TestCausal(EncoderContract):
    causal = True
    test_export = None  # type: ignore[assignment]  # takes seconds; only the padding differs

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return BlockGCN(skeleton, in_channels, widths=(8, 8), strides=(2, 1), dilations=(1, 3), causal=True)


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
    return torch.cat(outs, 1)


def block_gc(p: Weights, name: str, x: Tensor, hops: Tensor) -> Tensor:
    """A relation, a head and a pair of joints at a time."""
    weight, encoding, free = p[f"{name}.weight"], p[f"{name}.encoding"], p[f"{name}.adjacency"]
    relations, heads, size, _ = weight.shape
    v = len(hops)
    outs = []
    for h in range(heads):
        part = x[:, h * size : (h + 1) * size]
        total = x.new_zeros(())
        for k in range(relations):
            rows = []
            for i in range(v):
                # Python's index -1 is the last entry: that of pairs without a path.
                skeletal = torch.stack([encoding[k, h, int(hops[i, j])] for j in range(v)])
                row = free[k, h, i] / (1 + (free[k, h, i] ** 2).sum()).sqrt()
                rows.append(row + skeletal / (1 + (skeletal**2).sum()).sqrt())
            total = total + torch.einsum("ij,nctj,cd->ndti", torch.stack(rows), part, weight[k, h])
        outs.append(total)
    return torch.cat(outs, 1)


def textbook(p: Weights, hops: Tensor, x: Tensor, mask: Tensor, strides: tuple[int, ...], training: bool) -> Tensor:
    x = per_joint(p, x * mask[:, None], mask, training)
    for i, stride in enumerate(strides):
        b = f"blocks.{i}"
        h = moments(p, f"{b}.spatial_norm", block_gc(p, f"{b}.spatial", x, hops), mask, training)
        h = F.relu(h + shortcut(p, f"{b}.spatial_shortcut", x, mask, 1, training))
        after = mask[:, ::stride]
        h = branches(p, f"{b}.temporal", h, mask, stride, [1, 2], training)
        if i > 0:
            h = h + shortcut(p, f"{b}.shortcut", x, after, stride, training)
        x, mask = F.relu(h), after
    return x


def perturbed(skeleton: Skeleton) -> BlockGCN:
    torch.manual_seed(0)
    net = BlockGCN(skeleton, 3, **LIGHT).double()  # type: ignore[arg-type]
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
@pytest.mark.parametrize("skeleton", [random_tree(7), disconnected()], ids=["tree", "disconnected"])
def test_equals_textbook(training: bool, masked: bool, skeleton: Skeleton) -> None:
    net = perturbed(skeleton).train(training)
    x, mask = random_motion(11, skeleton.num_joints, 3, batch=3)
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    names = [name for name, _ in net.named_parameters()]
    for name in names:
        p[name].requires_grad_()
    hops = skeleton.hop_distances()
    expected = textbook(p, hops, x.permute(0, 3, 1, 2), mask, LIGHT["strides"], training)  # type: ignore[arg-type]
    expected = expected.permute(0, 2, 3, 1)
    actual = net(x, mask if masked else None)
    kept = net.feature_mask(mask)
    torch.testing.assert_close(actual[kept], expected[kept], rtol=0, atol=1e-10)

    probe = torch.randn_like(expected)
    ours = torch.autograd.grad((actual * probe)[kept].sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * probe)[kept].sum(), [p[name] for name in names])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9), f"gradient of {name}: off by {(a - b).abs().max()}"


def test_default_network() -> None:
    net = BlockGCN("body25", 3)
    assert (net.out_channels, net.time_stride, len(net.blocks)) == (256, 4, 10)
    graphs = [block.spatial for block in net.blocks if isinstance(block, Block)]
    assert [graph.heads for graph in graphs] == [1] + [8] * 9
    count = sum(parameter.numel() for parameter in net.parameters())
    assert 1.0e6 < count < 1.3e6, f"{count} parameters; the authors have 1.3 million with the dynamic encoding"


def test_a_fresh_relation_reaches_as_many_hops_as_its_number() -> None:
    hops = Skeleton.load("body25").hop_distances()
    graph = BlockGC(4, 4, hops, heads=4)
    with torch.no_grad():
        graph.weight.fill_(1.0)
        for k in range(3):
            only = graph.weight.clone()
            graph.weight[[other for other in range(3) if other != k]] = 0.0
            reach = torch.stack([graph(x[None, None, :, None].expand(1, 1, 25, 4))[0, 0, :, 0] for x in torch.eye(25)])
            assert torch.equal(reach.t() != 0, (hops == k) | (hops == 0))
            graph.weight.copy_(only)


def test_pairs_without_a_path_have_an_entry_of_their_own() -> None:
    skeleton = disconnected()
    hops = skeleton.hop_distances()
    assert int(hops.max()) == 1 and (hops < 0).any()
    graph = BlockGC(2, 2, hops, heads=1)
    assert graph.encoding.shape == (3, 1, 3), "0 hops, 1 hop, no path"
    assert BlockGC(2, 2, random_tree(1).hop_distances(), heads=1).encoding.shape == (3, 1, 1)
    before = graph(x := torch.randn(1, 1, 5, 2))
    with torch.no_grad():
        graph.encoding[..., 2] = 1.0
    assert (graph(x) != before).any()


def test_heads_must_divide_the_widths() -> None:
    with pytest.raises(ValueError, match=r"widths \[8, 12\] must be multiples of heads, which is 8"):
        BlockGCN("kinect20", 3, widths=(8, 12), strides=(1, 1))
    with pytest.raises(ValueError, match="heads, which is 0"):
        BlockGCN("kinect20", 3, heads=0)
    with pytest.raises(ValueError, match=r"heads is 2; .* takes in \(3\) and puts out \(4\)"):
        BlockGC(3, 4, random_tree(3).hop_distances(), heads=2)
