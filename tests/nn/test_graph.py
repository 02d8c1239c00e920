"""Graph convolution against a loop over partitions and joints."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphnets.nn import GraphConv
from graphnets.skeleton import Skeleton
from graphnets.testing import disconnected, random_tree

ORDERS = [(3, 7), (7, 3), (4, 4)]


def by_loop(module: GraphConv, x: Tensor) -> Tensor:
    out = module.bias.expand(*x.shape[:3], module.out_channels).clone()
    for k, partition in enumerate(module.partitions):
        edges = partition if module.edge_weights is None else partition * module.edge_weights[k]
        for i in range(x.shape[2]):
            for j in range(x.shape[2]):
                out[:, :, i] += edges[i, j] * (x[:, :, j] @ module.weight[k].t())
    return out


def made(skeleton: Skeleton, channels: tuple[int, int], edge_weights: bool = True) -> GraphConv:
    torch.manual_seed(0)
    module = GraphConv(*channels, skeleton.partitions("spatial"), edge_weights).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn_like(value))
    return module


@pytest.mark.parametrize("channels", ORDERS)
@pytest.mark.parametrize("edge_weights", [True, False])
@pytest.mark.parametrize("skeleton", [random_tree(1), random_tree(6), disconnected()], ids=lambda s: s.name)
def test_equals_a_loop(channels: tuple[int, int], edge_weights: bool, skeleton: Skeleton) -> None:
    module = made(skeleton, channels, edge_weights)
    x = torch.randn(2, 3, skeleton.num_joints, channels[0], dtype=torch.float64)
    actual, expected = module(x), by_loop(module, x)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    probe = torch.randn_like(actual)
    ours = torch.autograd.grad((actual * probe).sum(), list(module.parameters()))
    theirs = torch.autograd.grad((expected * probe).sum(), list(module.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("channels", ORDERS)
def test_output_is_contiguous_and_reads_any_layout(channels: tuple[int, int]) -> None:
    module = made(random_tree(6), channels)
    x = torch.randn(2, channels[0], 5, 6, dtype=torch.float64).permute(0, 2, 3, 1)
    assert module(x).is_contiguous()
    torch.testing.assert_close(module(x), module(x.contiguous()))


@pytest.mark.parametrize("channels", ORDERS)
def test_a_joint_hears_its_neighbours_alone(channels: tuple[int, int]) -> None:
    skeleton = random_tree(6)
    module = made(skeleton, channels)
    x = torch.randn(1, 2, 6, channels[0], dtype=torch.float64)
    moved = x.clone()
    moved[:, :, 3] += 1.0
    heard = (module(moved) != module(x)).any(-1).any(1)[0]
    assert torch.equal(heard, (skeleton.hop_distances()[:, 3] >= 0) & (skeleton.hop_distances()[:, 3] <= 1))


@pytest.mark.parametrize("channels", ORDERS)
def test_autocast_stays_in_half_precision(channels: tuple[int, int]) -> None:
    module = made(random_tree(3), channels).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert module(torch.randn(1, 2, 3, channels[0])).dtype == torch.bfloat16


@pytest.mark.parametrize("channels", ORDERS)
def test_starting_weights_keep_the_variance(channels: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = GraphConv(64 * channels[0], 64 * channels[1], random_tree(1).partitions("uniform"))
    y = module(torch.randn(4, 50, 1, 64 * channels[0]))
    assert y.var().item() == pytest.approx(2.0, rel=0.1)  # He et al. 2015: 2, of which a ReLU keeps half


def test_partitions_are_no_state() -> None:
    module = GraphConv(2, 3, random_tree(4).partitions())
    assert set(module.state_dict()) == {"weight", "bias", "edge_weights"}
