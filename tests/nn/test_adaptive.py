"""Graph convolutions whose topology depends on the clip: what they reduce to, and what masked joints may not do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphnets.nn import GraphConv
from graphnets.nn.adaptive import AdaptiveGraphConv, RefinedGraphConv
from graphnets.skeleton import Skeleton
from graphnets.testing import random_motion

PARTITIONS = Skeleton.load("kinect20").partitions("spatial").double()
ORDERS = pytest.mark.parametrize("sizes", [(3, 8), (8, 8), (8, 4)], ids=str)
BOTH = pytest.mark.parametrize("kind", [AdaptiveGraphConv, RefinedGraphConv])
Conv = AdaptiveGraphConv | RefinedGraphConv


def make(kind: type[Conv], sizes: tuple[int, int] = (3, 8), perturb: bool = True, **arguments: bool) -> Conv:
    torch.manual_seed(0)
    conv = kind(*sizes, PARTITIONS, **arguments).double()
    with torch.no_grad():
        for parameter in conv.parameters() if perturb else ():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return conv


def clip(channels: int = 3, batch: int = 3) -> tuple[Tensor, Tensor]:
    """A clip whose masked entries are 0, and its mask."""
    x, mask = random_motion(7, 20, channels, batch)
    return (x * mask[..., None]).double(), mask


@ORDERS
@BOTH
def test_without_its_own_part_it_is_a_graph_convolution(kind: type[Conv], sizes: tuple[int, int]) -> None:
    """alpha = 0 leaves the learned topology, of any clip and channel."""
    conv = make(kind, sizes)
    with torch.no_grad():
        (conv.gate if isinstance(conv, AdaptiveGraphConv) else conv.alpha).zero_()  # type: ignore[union-attr]
    plain = GraphConv(*sizes, conv.topology.detach(), edge_weights=False).double()
    with torch.no_grad():
        plain.weight.copy_(conv.weight)
    x, mask = clip(sizes[0])
    torch.testing.assert_close(conv(x, mask), plain(x, mask), rtol=0, atol=1e-12)
    assert (make(kind, sizes)(x, mask) - plain(x, mask)).abs().max() > 1e-2, "and otherwise it isn't one"


@BOTH
def test_a_fresh_one_is_the_graph_convolution_of_the_partitions(kind: type[Conv]) -> None:
    conv = make(kind, perturb=False)
    plain = GraphConv(3, 8, PARTITIONS, edge_weights=False).double()
    with torch.no_grad():
        plain.weight.copy_(conv.weight)
    x, mask = clip()
    torch.testing.assert_close(conv(x, mask), plain(x, mask), rtol=0, atol=1e-12)


@ORDERS
def test_2s_agcn_adds_the_whole_similarity(sizes: tuple[int, int]) -> None:
    conv = make(AdaptiveGraphConv, sizes, gate=False)
    assert isinstance(conv, AdaptiveGraphConv) and conv.gate is None
    x, mask = clip(sizes[0])
    a = PARTITIONS + conv.topology + conv.similarity(x, mask)
    expected = torch.einsum("nkij,ntjc,koc->ntio", a, x, conv.weight)
    torch.testing.assert_close(conv(x, mask), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gate", [False, True])
@BOTH
def test_a_joint_never_observed_is_as_good_as_gone(kind: type[Conv], gate: bool) -> None:
    """The other joints get what they get from a network of a skeleton without it."""
    if kind is RefinedGraphConv and not gate:
        pytest.skip("has no gate")
    conv = make(kind, **({"gate": gate} if kind is AdaptiveGraphConv else {}))
    x, mask = clip()
    gone = 7
    mask[:, :, gone] = False
    x = x * mask[..., None]
    kept = [j for j in range(20) if j != gone]
    small = kind(3, 8, PARTITIONS[:, kept][:, :, kept]).double()
    if kind is AdaptiveGraphConv:
        small = AdaptiveGraphConv(3, 8, PARTITIONS[:, kept][:, :, kept], gate=gate).double()
    state = conv.state_dict()
    state["topology"] = state["topology"][:, kept][:, :, kept]
    small.load_state_dict(state)
    torch.testing.assert_close(conv(x, mask)[:, :, kept], small(x[:, :, kept], mask[:, :, kept]), rtol=0, atol=1e-12)


def test_similarity_by_hand() -> None:
    """Two joints, one channel, embeddings that are the values: mean products 5 and 11 over the frames of both."""
    conv = AdaptiveGraphConv(1, 1, torch.ones(1, 2, 2)).double()
    with torch.no_grad():
        conv.embed.fill_(1.0)
    x = torch.tensor([[1.0, 3.0], [3.0, 5.0], [0.0, 9.0]], dtype=torch.float64)[None, :, :, None]
    mask = torch.tensor([[True, True], [True, True], [False, True]])[None]
    # Joint 0 with itself (1 + 9) / 2 = 5, with joint 1 (3 + 15) / 2 = 9; joint 1 with itself (9 + 25 + 81) / 3.
    scores = torch.tensor([[5.0, 9.0], [9.0, 115 / 3]], dtype=torch.float64)
    torch.testing.assert_close(conv.similarity(x, mask)[0, 0], torch.softmax(scores, -1))
    torch.testing.assert_close(
        conv.similarity(x[:, :2])[0, 0], torch.softmax(torch.tensor([[5.0, 9], [9, 17]]).double(), -1)
    )


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 6), seen=st.floats(0, 1), seed=st.integers(0, 999))
def test_similarity_of_joints_seen_together(frames: int, seen: float, seed: int) -> None:
    """A row is a distribution over the joints that share a frame with its joint, or 0 if there are none."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.rand(2, frames, 20, generator=draw) < seen
    x = torch.randn(2, frames, 20, 3, generator=draw).double() * mask[..., None]
    conv = make(AdaptiveGraphConv)
    assert isinstance(conv, AdaptiveGraphConv)
    attended = conv.similarity(x.requires_grad_(), mask)
    together = (mask[..., :, None] & mask[..., None, :]).any(1)[:, None].expand_as(attended)
    assert (attended[~together] == 0).all() and (attended[together] > 0).all()
    torch.testing.assert_close(attended.sum(-1), together.any(-1).double())
    (gradient,) = torch.autograd.grad(attended.square().sum(), x)
    assert gradient.isfinite().all()


@BOTH
def test_half_precision_stays_half_precision(kind: type[Conv]) -> None:
    conv = make(kind).float()
    x, mask = clip()
    exact = conv(x.float(), mask)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x.bfloat16(), mask)
    assert y.dtype == torch.bfloat16
    assert (y.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_refined_topology_of_every_channel() -> None:
    """The definition, one pair of joints and one channel at a time."""
    conv = make(RefinedGraphConv)
    assert isinstance(conv, RefinedGraphConv)
    x, mask = clip()
    refined = conv.refined(x, mask)
    r = conv.relations
    for n, k, c, i, j in [(0, 0, 0, 0, 0), (1, 2, 5, 3, 19), (2, 1, 7, 19, 4), (0, 1, 2, 19, 2)]:
        means = [x[n, mask[n, :, v], v].mean(0) if mask[n, :, v].any() else torch.zeros(3).double() for v in (i, j)]
        psi = conv.relate[0, k * r : k * r + r] @ means[0] + conv.relate_bias[k * r : k * r + r]
        phi = conv.relate[1, k * r : k * r + r] @ means[1]
        change = conv.refine[k, c] @ torch.tanh(psi - phi) + conv.refine_bias[k, c]
        torch.testing.assert_close(refined[n, k, c, i, j], conv.topology[k, i, j] + conv.alpha[0] * change)
