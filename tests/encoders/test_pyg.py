"""Convolutions of PyTorch Geometric keep the encoder contract; what can't be one is refused with a plain word."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

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
EXPORTED = ("EdgeConv", "GATv2Conv", "GCNConv")  # one of each path: it takes seconds
UNUSED = {"MFConv": ("*.lins_*",)}  # it has weights for every degree, and no joint has each


def contract_of(name: str) -> type[EncoderContract]:
    def make(self: EncoderContract, skeleton: Skeleton, in_channels: int) -> Encoder:
        return PyGEncoder(
            skeleton, in_channels, f"torch_geometric.nn.{name}", CONVS[name], widths=(8, 6), strides=(1, 2), kernel=3
        )

    members: dict[str, Any] = {"make": make, "unused_parameters": UNUSED.get(name, ())}
    if name not in EXPORTED:
        members["test_export"] = None
    return type(f"Test{name}", (EncoderContract,), {**members, "__module__": __name__})


for _name in CONVS:
    globals()[f"Test{_name}"] = contract_of(_name)
