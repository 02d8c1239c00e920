"""Spatio-temporal encoders, one paper a file."""

from graphnets.encoders.aagcn import AAGCN
from graphnets.encoders.base import Encoder, Features
from graphnets.encoders.bigru import BiGRU
from graphnets.encoders.blockgcn import BlockGCN
from graphnets.encoders.blocks import BlockEncoder
from graphnets.encoders.ctrgcn import CTRGCN
from graphnets.encoders.dct_gcn import DCTGCN
from graphnets.encoders.deepfit import DeepFit
from graphnets.encoders.fusion import EarlyFusion, FusionEncoder
from graphnets.encoders.pyg import PyGEncoder
from graphnets.encoders.recurrent import RecurrentGraph
from graphnets.encoders.stgcn import STGCN
from graphnets.encoders.stgcnpp import STGCNPP

__all__ = [
    "AAGCN",
    "CTRGCN",
    "DCTGCN",
    "STGCN",
    "STGCNPP",
    "BiGRU",
    "BlockEncoder",
    "BlockGCN",
    "DeepFit",
    "EarlyFusion",
    "Encoder",
    "Features",
    "FusionEncoder",
    "PyGEncoder",
    "RecurrentGraph",
]
