"""PyGConv equals the convolution on PyTorch Geometric's own batches, whatever way it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphnets.nn.pyg import PyGConv
from graphnets.skeleton import Skeleton
from graphnets.testing import disconnected, random_tree

Make = Callable[[int, int], nn.Module]
DEGREES = torch.tensor([1, 2, 3, 1])


def mlp(i: int, o: int) -> nn.Module:
    return nn.Sequential(nn.Linear(i, 5), nn.ReLU(), nn.Linear(5, o))


# What way each must take, and how it is made; the first is what PyG's users would write.
CONVS: dict[str, tuple[str, Make]] = {
    "AGNN": (
        "disjoint",
        lambda i, o: pyg.Sequential(
            "x, edge_index", [(nn.Linear(i, o), "x -> x"), (pyg.AGNNConv(), "x, edge_index -> x")]
        ),
    ),
    "ARMA": ("matrix", lambda i, o: pyg.ARMAConv(i, o, num_stacks=2, num_layers=2)),
    "Cheb": ("matrix", lambda i, o: pyg.ChebConv(i, o, K=3)),
    "Cheb rw": ("matrix", lambda i, o: pyg.ChebConv(i, o, K=2, normalization="rw")),
    "ClusterGCN": ("matrix", lambda i, o: pyg.ClusterGCNConv(i, o, diag_lambda=0.3)),
    "EG": ("disjoint", lambda i, o: pyg.EGConv(i, o, num_heads=2, aggregators=["symnorm", "max"])),
    "Edge": ("static", lambda i, o: pyg.EdgeConv(mlp(2 * i, o))),
    "FeaSt": ("disjoint", lambda i, o: pyg.FeaStConv(i, o, heads=2)),
    "FiLM": ("static", lambda i, o: pyg.FiLMConv(i, o)),
    "GAT": ("disjoint", lambda i, o: pyg.GATConv(i, o, heads=2, concat=False)),
    "GATv2": ("disjoint", lambda i, o: pyg.GATv2Conv(i, o // 2, heads=2)),
    "GATv2 no loops": ("disjoint", lambda i, o: pyg.GATv2Conv(i, o, add_self_loops=False, residual=True)),
    "GCN": ("matrix", lambda i, o: pyg.GCNConv(i, o)),
    "GCN improved": ("matrix", lambda i, o: pyg.GCNConv(i, o, improved=True)),
    "GCN max": ("static", lambda i, o: pyg.GCNConv(i, o, aggr="max")),
    "GCN plain": ("matrix", lambda i, o: pyg.GCNConv(i, o, normalize=False, bias=False)),
    "GEN": ("static", lambda i, o: pyg.GENConv(i, o, norm="layer", learn_t=True)),
    "GIN": ("matrix", lambda i, o: pyg.GINConv(mlp(i, o), train_eps=True)),
    "GIN max": ("static", lambda i, o: pyg.GINConv(mlp(i, o), aggr="max")),
    "General": ("disjoint", lambda i, o: pyg.GeneralConv(i, o, heads=2, attention=True)),
    "Graph": ("matrix", lambda i, o: pyg.GraphConv(i, o)),
    "Graph mean": ("matrix", lambda i, o: pyg.GraphConv(i, o, aggr="mean")),
    "LE": ("matrix", lambda i, o: pyg.LEConv(i, o)),
    "MF": ("matrix", lambda i, o: pyg.MFConv(i, o, max_degree=3)),
    "MixHop": ("matrix", lambda i, o: pyg.MixHopConv(i, o // 2, powers=[1, 2])),
    "PDN": ("matrix", lambda i, o: pyg.PDNConv(i, o, edge_dim=1, hidden_channels=2)),
    "PNA": ("disjoint", lambda i, o: pyg.PNAConv(i, o, ["mean", "std"], ["identity", "attenuation"], DEGREES)),
    "ResGated": ("static", lambda i, o: pyg.ResGatedGraphConv(i, o)),
    "SAGE": ("matrix", lambda i, o: pyg.SAGEConv(i, o)),
    "SAGE pool": ("static", lambda i, o: pyg.SAGEConv(i, o, aggr="max", project=True, normalize=True)),
    "SG": ("matrix", lambda i, o: pyg.SGConv(i, o, K=2)),
    "SSG": ("matrix", lambda i, o: pyg.SSGConv(i, o, alpha=0.1, K=2)),
    "TAG": ("matrix", lambda i, o: pyg.TAGConv(i, o, K=2)),
    "Transformer": ("disjoint", lambda i, o: pyg.TransformerConv(i, o // 2, heads=2, beta=True)),
    "two GCN": ("matrix", lambda i, o: pyg.GCN(i, 5, num_layers=2, out_channels=o)),
}


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("skeleton", [Skeleton.load("kinect20"), random_tree(1), disconnected()], ids=lambda s: s.name)
@pytest.mark.parametrize("widths", [(4, 6), (6, 4)], ids=["widen", "narrow"])
@pytest.mark.parametrize("name", CONVS)
def test_equals_a_batch_of_pyg(name: str, widths: tuple[int, int], skeleton: Skeleton) -> None:
    path, make = CONVS[name]
    reference = randomised(make(*widths).double())
    edges, v = skeleton.edge_index(), skeleton.num_joints
    ours = PyGConv(copy.deepcopy(reference), *widths, edges, v)
    if v == 20:  # a graph with few edges or none can be easier on a convolution
        assert ours.path == path
    x = torch.randn(2, 3, v, widths[0], dtype=torch.float64, requires_grad=True)
    batch = Batch.from_data_list([Data(x=frame, edge_index=edges) for frame in x.flatten(0, 1)])
    expected = reference(batch.x, batch.edge_index).view(2, 3, v, widths[1])
    actual = ours(x)
    # Some of PyG's degrees and weights are float32 whatever x is, and then differ in how they are rounded.
    close: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(actual, expected, **close)

    probe = torch.randn_like(expected)
    parameters = dict(reference.named_parameters())
    theirs = torch.autograd.grad((expected * probe).sum(), [x, *parameters.values()], allow_unused=True)
    mine = dict(ours.conv.named_parameters())
    assert mine.keys() == parameters.keys(), "checkpoints of the convolution must fit"
    found = torch.autograd.grad((actual * probe).sum(), [x, *mine.values()], allow_unused=True)
    for key, a, b in zip(["x", *mine], found, theirs, strict=True):
        a, b = (torch.zeros(()) if g is None else g for g in (a, b))
        assert torch.allclose(a, b, **close), f"gradient of {key}: off by {(a - b).abs().max()}"


@pytest.mark.parametrize("name", ["GCN", "Edge", "GATv2"])
def test_making_it_draws_nothing_and_moves_nothing(name: str) -> None:
    conv = CONVS[name][1](4, 6)
    before, state = copy.deepcopy(conv.state_dict()), torch.get_rng_state()
    ours = PyGConv(conv, 4, 6, Skeleton.load("kinect20").edge_index(), 20)
    assert torch.equal(state, torch.get_rng_state())
    assert ours.conv is conv and conv.training
    torch.testing.assert_close(dict(conv.state_dict()), dict(before), rtol=0, atol=0)


def test_matrix_way_sends_no_frames_through_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = PyGConv(pyg.GraphConv(4, 6), 4, 6, Skeleton.load("kinect20").edge_index(), 20)
    sizes, message = [], ours.conv.message  # type: ignore[union-attr]
    monkeypatch.setattr(ours.conv, "message", lambda x_j, **k: sizes.append(tuple(x_j.shape)) or message(x_j, **k))  # type: ignore[operator,func-returns-value]
    ours(torch.randn(2, 3, 20, 4))
    assert sizes == [(38, 20)], "one message of unit vectors for each edge"


class Weighted(pyg.MessagePassing):
    """A learned weight for each edge, as in an adjacency that is learned."""

    def __init__(self, edges: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(edges))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        repeats = edge_index.shape[1] // len(self.weight)
        y: Tensor = self.propagate(edge_index, x=x, weight=self.weight.repeat(repeats))
        return y

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight[:, None] * x_j


class Gate(Weighted):
    """Quadratic in x, which parameters that start at zero must not hide."""

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return x_j + weight[:, None] * x_j**2


class EdgeDropout(pyg.MessagePassing):
    """Drops the same edges for all frames, if given all frames at once."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        weight = nn.functional.dropout(x.new_ones(edge_index.shape[1]), 0.5, self.training)
        y: Tensor = self.propagate(edge_index, x=x, weight=weight)
        return y

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight[:, None] * x_j


class Mixes(nn.Module):
    def __init__(self, training_only: bool) -> None:
        super().__init__()
        self.training_only = training_only

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True) if self.training or not self.training_only else x


class Pair(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        return x, edge_index


class Infinite(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return x / 0.0


def operator(conv: nn.Module, width: int = 4) -> PyGConv:
    return PyGConv(conv, 4, width, Skeleton.load("kinect20").edge_index(), 20)


def test_ways_of_convolutions_of_ones_own() -> None:
    assert operator(Weighted(38)).path == "matrix"
    assert operator(Gate(38)).path == "static"
    assert operator(EdgeDropout()).path == "disjoint"


def test_gradient_of_edge_weights() -> None:
    ours, x = operator(Weighted(38)), torch.randn(2, 3, 20, 4)
    ours(x).pow(2).sum().backward()
    edges = ours.edge_index
    weight = ours.conv.weight.detach().clone().requires_grad_()  # type: ignore[union-attr,operator]
    dense = torch.zeros(20, 20).index_put((edges[1], edges[0]), weight)
    torch.einsum("ij,ntjc->ntic", dense, x).pow(2).sum().backward()
    torch.testing.assert_close(ours.conv.weight.grad, weight.grad)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        (Mixes(False), "mixes the graphs"),
        (Mixes(True), "mixes the graphs"),
        (Pair(), "gives tuple for 60 nodes"),
        (Infinite(), "aren't finite"),
        (pyg.GCNConv(4, 5), r"gives \[60, 5\] for 60 nodes; it must be \[60, 4\]"),
        (pyg.GCNConv(3, 4), "can't convolve node features over edge_index alone .*: RuntimeError"),
        (pyg.GCNConv(4, 4, cached=True), r"keeps tensors.*\['_cached_edge_index'\]"),
        (pyg.GENConv(4, 4), "holds a BatchNorm1d"),
    ],
)
def test_refused(conv: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operator(conv)


@pytest.mark.parametrize("seed", range(8))
def test_a_nonlinearity_is_no_matrix_whatever_the_weights(seed: int) -> None:
    """One channel and few frames: the ReLU of the projection may be dead for what is tried."""
    torch.manual_seed(seed)
    skeleton = Skeleton.load("imu_axes6")
    plain = pyg.SAGEConv(1, 8, aggr="max", project=True).double().eval()
    conv = PyGConv(copy.deepcopy(plain), 1, 8, skeleton.edge_index(), 6).eval()
    assert conv.path == "static"
    x = 30 * torch.randn(4, 5, 6, 1, dtype=torch.float64)
    graphs = Batch.from_data_list([Data(x=frame, edge_index=skeleton.edge_index()) for frame in x.flatten(0, 1)])
    torch.testing.assert_close(conv(x).flatten(0, 2), plain(graphs.x, graphs.edge_index))


class Saturates(pyg.MessagePassing):
    """Linear for small messages only."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x)

    def message(self, x_j: Tensor) -> Tensor:
        return x_j.clamp(-6, 6)


def test_what_is_linear_for_small_frames_only_is_no_matrix() -> None:
    assert PyGConv(Saturates(), 3, 3, random_tree(5).edge_index(), 5).path == "static"
