"""Building blocks on ``[N, T, V, C]``: graph and temporal convolution, masked norm and pooling."""

from graphnets.nn.block import Block
from graphnets.nn.fold import fold_norms
from graphnets.nn.frequency import FrequencyConv
from graphnets.nn.graph import GraphConv
from graphnets.nn.masking import blank, masked_mean
from graphnets.nn.multibranch import MultiBranchTemporal
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.temporal import TemporalConv, stride_mask

__all__ = [
    "Block",
    "FrequencyConv",
    "GraphConv",
    "MaskedBatchNorm",
    "MultiBranchTemporal",
    "TemporalConv",
    "blank",
    "fold_norms",
    "masked_mean",
    "stride_mask",
]
