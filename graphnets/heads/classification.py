"""One decision a recording."""

from __future__ import annotations

from torch import Tensor, nn

from graphnets.encoders.base import Features
from graphnets.nn import masked_mean


class ClassificationHead(nn.Module):
    """Mean over the observed frames and joints, dropout, linear map.

    Args:
        in_channels: D, the encoder's ``out_channels``.
        num_classes: K.
        dropout: Before the linear map.

    Shapes:
        Features ``[N, T', V', D]`` -> logits ``[N, K]``.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, features: Features) -> Tensor:
        """Logits."""
        pooled: Tensor = masked_mean(features.x, features.mask, (1, 2))
        return self.linear(self.dropout(pooled))
