from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.trajectory import TrajectoryBlock, TrajectoryConv, TrajectoryLayer, TrajectoryNorm

FLOAT = torch.float64
NODES, WIDTH = 7, 5


def moved(module: nn.Module) -> nn.Module:
    """In float64, with weights and moments unlike those of a fresh module."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            buffer.uniform_(0.5, 2) if name.endswith("var") else buffer.normal_()
    return module


def published_norm(norm: TrajectoryNorm) -> nn.BatchNorm1d:
    """The norm of the paper's code, over flattened nodes, with the weights of ours."""
    twin = nn.BatchNorm1d(norm.weight.numel()).double().train(norm.training)
    twin.load_state_dict({**norm.state_dict(), "num_batches_tracked": torch.tensor(0)})
    return twin


@pytest.mark.parametrize("widths", [(3, 5), (5, 3), (4, 4)])
def test_conv(widths: tuple[int, int]) -> None:
    conv = moved(TrajectoryConv(*widths, NODES))
    x = torch.randn(4, NODES, widths[0], dtype=FLOAT)
    expected = torch.einsum("ij,njf,fg->nig", conv.adjacency, x, conv.weight) + conv.bias  # type: ignore[arg-type]
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)


def test_conv_starts_as_published() -> None:
    for parameter in TrajectoryConv(25, 256, 57).parameters():
        assert 0.9 / 16 < parameter.abs().max() <= 1 / 16  # uniform in +-1/sqrt(256)
    shapes = {name: tuple(p.shape) for name, p in TrajectoryConv(25, 256, 57).named_parameters()}
    assert shapes == {"weight": (25, 256), "adjacency": (57, 57), "bias": (256,)}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_norm_is_batch_norm_over_flattened_nodes(training: bool) -> None:
    norm = moved(TrajectoryNorm(WIDTH, NODES)).train(training)
    assert isinstance(norm, TrajectoryNorm)
    twin = published_norm(norm)
    x = torch.randn(6, NODES, WIDTH, dtype=FLOAT, requires_grad=True)
    ours, theirs = norm(x), twin(x.flatten(1)).view_as(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(norm.running_mean, twin.running_mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(norm.running_var, twin.running_var, rtol=0, atol=1e-12)
    probe = torch.randn_like(x)
    for a, b in zip(
        torch.autograd.grad((ours * probe).sum(), [x, norm.weight, norm.bias]),
        torch.autograd.grad((theirs * probe).sum(), [x, twin.weight, twin.bias]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_unseen_clips_give_no_moments() -> None:
    norm, x = moved(TrajectoryNorm(WIDTH, NODES)), torch.randn(4, NODES, WIDTH, dtype=FLOAT)
    assert isinstance(norm, TrajectoryNorm)
    twin = published_norm(norm)
    seen = torch.tensor([True, False, True, True])
    x[1] = 1e6
    expected = twin(x[seen].flatten(1)).view(3, NODES, WIDTH)
    torch.testing.assert_close(norm(x, seen)[seen], expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(norm.running_var, twin.running_var, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seen", [None, [False, True, False], [False, False, False]])
def test_one_clip_is_normalised_by_running_moments(seen: list[bool] | None) -> None:
    norm = moved(TrajectoryNorm(WIDTH, NODES))
    x = torch.randn(1 if seen is None else 3, NODES, WIDTH, dtype=FLOAT, requires_grad=True)
    before = {name: value.clone() for name, value in norm.named_buffers()}
    y = norm(x, None if seen is None else torch.tensor(seen))
    for name, value in norm.named_buffers():
        assert torch.equal(value, before[name]), f"{name} moved, though one clip says nothing of the variance"
    torch.testing.assert_close(y, norm.eval()(x), rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(y.sum(), [x])
    assert gradient.isfinite().all() and gradient.all(), "a batch of one clip would train nothing"


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_block_equals_textbook(training: bool) -> None:
    block = moved(TrajectoryBlock(WIDTH, NODES, dropout=0.0)).train(training)
    assert isinstance(block, TrajectoryBlock)
    x = torch.randn(6, NODES, WIDTH, dtype=FLOAT)
    expected = x
    for layer in (block.first, block.second):
        graph = torch.einsum("ij,njf,fg->nig", layer.conv.adjacency, expected, layer.conv.weight) + layer.conv.bias
        expected = F.relu(published_norm(layer.norm)(graph.flatten(1)).view_as(graph))
    torch.testing.assert_close(block(x), x + expected, rtol=0, atol=1e-11)


def test_order_of_nodes_is_a_permutation() -> None:
    """So weights made coordinate by coordinate fit nodes that are counted joint by joint."""
    layer = moved(TrajectoryLayer(4, WIDTH, 6)).eval()
    assert isinstance(layer, TrajectoryLayer)
    twin = moved(TrajectoryLayer(4, WIDTH, 6)).eval()
    order = torch.arange(6).view(3, 2).T.flatten()  # [coordinate, joint] -> [joint, coordinate]
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    state["conv.adjacency"] = state["conv.adjacency"][order][:, order]
    for name in [name for name in state if name.startswith("norm.")]:
        state[name] = state[name].view(6, WIDTH)[order].flatten()
    twin.load_state_dict(state)
    x = torch.randn(3, 6, 4, dtype=FLOAT)
    torch.testing.assert_close(twin(x[:, order]), layer(x)[:, order], rtol=0, atol=1e-12)


def test_dropout() -> None:
    torch.manual_seed(0)
    layer, x = TrajectoryLayer(4, 200, 6, dropout=0.5), torch.randn(8, 6, 4)
    y: Tensor = layer(x)
    assert 0.2 < (y > 0).float().mean() < 0.3, "half of what ReLU left should be dropped"
