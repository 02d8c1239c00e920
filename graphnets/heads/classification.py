"""One decision a recording."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnets.encoders.base import Features
from graphnets.nn import masked_mean


class ClassificationHead(nn.Module):
    r"""Mean over the observed frames and joints, dropout, linear map.

    .. math:: z = W \, \mathrm{drop}\left[\operatorname{mean}_{tv} f_{tv} \,;\,
              \max_t \operatorname{mean}_v f_{tv}\right] + b

    The second half is there with ``peak`` only: a short gesture in a long clip is a peak that the mean levels out.

    Args:
        in_channels: D, the encoder's ``out_channels``.
        num_classes: K.
        dropout: Before the linear map.
        peak: Read the peak over time as well as the mean.

    Shapes:
        Features ``[N, T', V', D]`` -> logits ``[N, K]``.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0, peak: bool = False) -> None:
        super().__init__()
        self.peak = peak
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * in_channels if peak else in_channels, num_classes)

    def forward(self, features: Features) -> Tensor:
        """Logits."""
        return self.linear(self.dropout(self.pool(features)))

    def pool(self, features: Features) -> Tensor:
        """What the linear map reads, ``[N, D]`` or with peaks ``[N, 2 D]``."""
        pooled: Tensor = masked_mean(features.x, features.mask, (1, 2))
        return torch.cat([pooled, self._peak(features)], -1) if self.peak else pooled

    @staticmethod
    def _peak(features: Features) -> Tensor:
        frames = masked_mean(features.x, features.mask, (2,))
        if features.mask is None:
            return frames.amax(1)
        seen = features.mask.any(2)
        peak = frames.masked_fill(~seen[..., None], float("-inf")).amax(1)
        return peak.masked_fill(~seen.any(1)[:, None], 0.0)
