"""Building blocks on ``[N, T, V, C]``: graph and temporal convolution, masked norm and pooling."""

from graphnets.nn.block import Block
from graphnets.nn.graph import GraphConv
from graphnets.nn.masking import blank, masked_mean
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.temporal import TemporalConv, stride_mask

__all__ = ["Block", "GraphConv", "MaskedBatchNorm", "TemporalConv", "blank", "masked_mean", "stride_mask"]
