"""Convolutions of PyTorch Geometric keep the encoder contract; what can't be one is refused with a plain word."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn

from graphnets.encoders import Encoder
from graphnets.encoders.pyg import PyGEncoder
from graphnets.nn.pyg import PyGConv
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.testing import EncoderContract

CONVS: dict[str, dict[str, Any]] = {
    "AGNNConv": {},
    "APPNP": {"K": 2, "alpha": 0.1},
    "ARMAConv": {"num_stacks": 2, "num_layers": 2},
    "AntiSymmetricConv": {},
    "CGConv": {},
    "ChebConv": {"K": 2},
    "ClusterGCNConv": {"diag_lambda": 0.3},
    "EGConv": {"num_heads": 2},
    "EdgeConv": {},
    "FeaStConv": {"heads": 2},
    "FiLMConv": {},
    "GATConv": {"heads": 2},
    "GATv2Conv": {"heads": 2, "concat": False},
    "GCNConv": {},
    "GENConv": {"norm": "layer"},
    "GINConv": {"train_eps": True},
    "GatedGraphConv": {"num_layers": 2},
    "GeneralConv": {"heads": 2, "attention": True},
    "GraphConv": {},
    "LEConv": {},
    "LGConv": {},
    "MFConv": {"max_degree": 4},
    "MixHopConv": {"powers": [0, 1]},
    "PNAConv": {"aggregators": ["mean", "max", "std"], "scalers": ["identity"]},
    "ResGatedGraphConv": {},
    "SAGEConv": {},
    "SGConv": {"K": 2},
    "SSGConv": {"alpha": 0.1, "K": 2},
    "TAGConv": {"K": 2},
    "TransformerConv": {"heads": 2, "beta": True},
}
EXPORTED = ("CGConv", "GATv2Conv", "GCNConv")  # one of each path: it takes seconds, and so these have one block
UNUSED = {"MFConv": ("*.lins_*",)}  # it has weights for every degree, and no joint has each


def contract_of(name: str) -> type[EncoderContract]:
    path, exported = f"torch_geometric.nn.{name}", name in EXPORTED
    widths, strides = ((6,), (2,)) if exported else ((8, 6), (1, 2))

    def make(self: EncoderContract, skeleton: Skeleton, in_channels: int) -> Encoder:
        return PyGEncoder(skeleton, in_channels, path, CONVS[name], widths, strides, kernel=3, causal=exported)

    members: dict[str, Any] = {"make": make, "unused_parameters": UNUSED.get(name, ())}
    if not exported:
        members["test_export"] = None
    return type(f"Test{name}", (EncoderContract,), {**members, "__module__": __name__})


for _name in CONVS:
    globals()[f"Test{_name}"] = contract_of(_name)


def light(conv: str, **conv_args: Any) -> PyGEncoder:
    path = conv if "." in conv else f"torch_geometric.nn.{conv}"
    return PyGEncoder("kinect20", 3, path, conv_args, widths=(8, 6), strides=(1, 2), kernel=3)


@pytest.mark.parametrize(
    ("conv", "path"),
    [("GCNConv", "matrix"), ("SAGEConv", "matrix"), ("EdgeConv", "static"), ("GATv2Conv", "disjoint")],
)
def test_paths(conv: str, path: str) -> None:
    assert light(conv).paths == [path, path]


def test_default_is_the_size_of_st_gcn() -> None:
    net = PyGEncoder("openpose18", 3, "torch_geometric.nn.GCNConv")
    assert (net.out_channels, net.time_stride, len(net.paths)) == (256, 4, 10)


def spatial(net: PyGEncoder, block: int) -> Any:
    found = [module for module in net.modules() if isinstance(module, PyGConv)]
    return found[block].conv


def test_heads_share_the_width_unless_averaged() -> None:
    shared, averaged = spatial(light("GATv2Conv", heads=2), 1), spatial(light("GATv2Conv", heads=2, concat=False), 1)
    assert (shared.heads, shared.out_channels, averaged.heads, averaged.out_channels) == (2, 3, 2, 6)
    with pytest.raises(ValueError, match=r"4 parts side by side, but 6 isn't a multiple of 4, or set concat=False"):
        light("TransformerConv", heads=4)


def test_networks_and_linear_maps_are_made() -> None:
    assert [layer.weight.shape for layer in spatial(light("GINConv"), 1).nn if isinstance(layer, nn.Linear)] == [
        (6, 8),
        (6, 6),
    ]
    assert spatial(light("EdgeConv"), 1).nn[0].weight.shape == (6, 16)
    widened = spatial(light("CGConv"), 1)
    assert widened.linear.weight.shape == (6, 8) and widened.conv.channels == 6
    same_width = PyGEncoder("kinect20", 6, "torch_geometric.nn.CGConv", widths=(6,), strides=(1,))
    assert spatial(same_width, 0).channels == 6
    # APPNP alone would leave the network without anything to learn between joints.
    without = PyGEncoder("kinect20", 6, "torch_geometric.nn.APPNP", {"K": 1, "alpha": 0.1}, widths=(6,), strides=(1,))
    assert spatial(without, 0).linear.weight.shape == (6, 6)


def test_degrees_are_those_of_the_skeleton() -> None:
    conv = spatial(light("PNAConv", aggregators=["mean"], scalers=["amplification"]), 0)
    degrees = Skeleton.load("kinect20").adjacency().sum(1)
    assert float(conv.aggr_module.avg_deg_log) == pytest.approx(float((degrees + 1).log().mean()), rel=1e-5)


def test_whole_models_serve_as_convolutions() -> None:
    net = light("GCN", hidden_channels=5, num_layers=2)
    assert net.paths == ["matrix", "matrix"] and net(torch.randn(1, 4, 20, 3)).shape == (1, 2, 20, 6)


@pytest.mark.parametrize(
    ("conv", "conv_args", "message"),
    [
        ("torch_geometric.nn.GCNconv", {}, r"has no GCNconv; it has \['GCNConv'"),
        ("torch_geometry.nn.GCNConv", {}, "can't be imported"),
        ("GCNConv.", {}, "can't be imported"),
        (".GCNConv", {}, "can't be imported"),
        ("torch_geometric.nn.global_mean_pool", {}, "no torch.nn.Module class"),
        ("Linear", {}, r"its forward takes \(x\), not \(x, edge_index\)"),
        ("FAConv", {}, r"its forward takes \(x, x_0, edge_index"),
        ("DenseGCNConv", {}, r"its forward takes \(x, adj, mask, add_loop\)"),
        ("HEATConv", {}, r"takes \(x, edge_index, node_type"),
        ("GCNConv", {"normalise": True}, r"doesn't take \['normalise'\]; conv_args may have \['improved', 'cached'"),
        ("GCNConv", {"in_channels": 3}, r"in_channels: set by the encoder"),
        ("GINConv", {"nn": "mlp"}, r"nn: set by the encoder"),
        ("ChebConv", {}, r"needs \['K'\]"),
        ("ChebConv", {"K": 0}, r"from 3 to 8 channels, with {'K': 0}: ChebConv refuses: AssertionError"),
        ("EGConv", {"num_heads": 8}, r"to 6 channels.*divisible by the number of heads"),
        ("GINEConv", {}, "over edge_index alone"),
        ("RGCNConv", {"num_relations": 1}, "over edge_index alone"),
        ("GCNConv", {"cached": True}, "keeps tensors of one batch.*cached=True"),
        ("SuperGATConv", {}, "keeps tensors of one batch.*att_x"),
        ("GENConv", {}, "holds a BatchNorm1d"),
        ("CGConv", {"batch_norm": True}, "holds a BatchNorm1d"),
    ],
)
def test_refused(conv: str, conv_args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        light(conv, **conv_args)


def test_arguments_of_base_classes_are_taken() -> None:
    assert light("GCNConv", aggr="max", flow="target_to_source").paths == ["static", "static"]


def test_spec_holds_the_arguments() -> None:
    arguments = {"powers": [0, 1], "bias": False}
    net = PyGEncoder("kinect20", 3, "torch_geometric.nn.MixHopConv", arguments, widths=(8,), strides=(1,))
    assert to_spec(net)["init_args"]["conv_args"] == {"powers": [0, 1], "bias": False} == arguments
    assert isinstance(from_spec(to_spec(net), Encoder), PyGEncoder)


@pytest.mark.parametrize("conv", ["GCNConv", "EdgeConv", "GATv2Conv"])
def test_pickles(conv: str) -> None:  # as sent to another process
    net, x = light(conv).eval(), torch.randn(2, 5, 20, 3)
    torch.testing.assert_close(pickle.loads(pickle.dumps(net))(x), net(x), rtol=0, atol=0)
