"""A value of every target at every frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnets.encoders.base import Features
from graphnets.nn.masking import blank


class SequenceHead(nn.Module):
    r"""One linear map of the features of all joints at a frame, read between the encoder's frames where it has strides.

    .. math:: y_{t's} = W \, \mathrm{drop}\left[f_{t'1}; \dots; f_{t'V'}\right] + b, \qquad
              y_t = (1 - w) \, y_{\lfloor t / s \rfloor s} + w \, y_{(\lfloor t / s \rfloor + 1) s}

    A mean over the joints would forget which side of the body bears the load. Joints that were not observed count as 0,
    and frames behind the last feature hold its value.

    Args:
        in_channels: D, the encoder's ``out_channels``.
        joints: V', its ``out_joints``.
        targets: K.
        time_stride: s, its ``time_stride``.
        dropout: Of features, before the linear map.

    Shapes:
        Features ``[N, T', V', D]`` -> ``[N, T, K]``.
    """

    def __init__(self, in_channels: int, joints: int, targets: int, time_stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.time_stride = time_stride
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(joints * in_channels, targets)

    def forward(self, features: Features, frames: int) -> Tensor:
        """Predict at ``frames`` frames."""
        x = blank(features.x, features.mask)
        y: Tensor = self.linear(self.dropout(x.flatten(2)))
        if self.time_stride == 1:
            return y[:, :frames]
        time = torch.arange(frames, device=y.device)
        last = y.shape[1] - 1
        lower = (time // self.time_stride).clamp(max=last)
        upper = (lower + 1).clamp(max=last)
        share = (time % self.time_stride).to(y.dtype)[:, None] / self.time_stride
        if features.mask is not None:  # behind the end of a clip there is nothing to go to
            share = share * features.mask.any(2)[:, upper, None]
        return torch.lerp(y[:, lower], y[:, upper], share)
