"""The block that nearly all spatio-temporal graph encoders are stacks of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.masking import conv_layout, motion_layout
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.temporal import stride_mask


class Block(nn.Module):
    r"""A spatial operator, a temporal operator, and a residual connection around both.

    .. math:: h = a(\mathrm{ReLU}(\mathrm{BN}(S(x)) + r_s(x))), \qquad
              y = \mathrm{ReLU}(\mathrm{BN}(\mathcal{T}(h)) + r(x))

    Args:
        spatial: ``(x, mask) -> [N, T, V, C_out]`` with attributes ``in_channels`` and ``out_channels``, not normalised.
        temporal: ``(x, mask) -> [N, ceil(T / stride), V, C_out]`` with an attribute ``stride``; it must blank what is
            masked before it reads it. If it has an attribute ``time_major`` that is True, all that comes and goes is
            ``[T, N, ...]``; the spatial operator must then have an attribute ``per_frame`` that is True, which says
            that its frames are independent, and there is no attention.
        residual: Add the input to the output; it goes through a strided linear map with a norm where widths or lengths
            differ.
        spatial_residual: Add the input to what the spatial operator gives, likewise.
        temporal_norm: Normalise what the temporal operator gives; False for one that ends in norms of its own.
        attention: ``(x, mask) -> x`` between the two (``a`` above).
        dropout: After the temporal operator.

    Raises:
        ValueError: The temporal operator is time-major, and the others look at several frames.

    Shapes:
        ``x [N, T, V, C_in]``, which must be 0 where masked, ``mask [N, T, V]`` or None -> ``[N, ceil(T / stride), V,
        C_out]``, 0 where masked, and its mask.
    """

    def __init__(
        self,
        spatial: nn.Module,
        temporal: nn.Module,
        residual: bool = True,
        spatial_residual: bool = False,
        temporal_norm: bool = True,
        attention: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        before, width, self.stride = _size(spatial.in_channels), _size(spatial.out_channels), _size(temporal.stride)
        self.spatial, self.spatial_norm = spatial, MaskedBatchNorm(width)
        self.temporal, self.temporal_norm = temporal, MaskedBatchNorm(width) if temporal_norm else None
        self.time_major = bool(getattr(temporal, "time_major", False))
        if self.time_major and (attention is not None or not getattr(spatial, "per_frame", False)):
            raise ValueError(
                f"a time-major {type(temporal).__name__} needs a spatial operator with per_frame = True and no "
                f"attention, but it has {type(spatial).__name__} and {type(attention).__name__}"
            )
        self.attention = attention
        self.dropout = nn.Dropout(dropout)
        self.spatial_shortcut = Shortcut(before, width, 1) if spatial_residual else None
        self.shortcut = Shortcut(before, width, self.stride, self.time_major) if residual else None

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Values and mask of the block's output."""
        after = stride_mask(mask, self.stride, self.time_major)
        h = self.spatial_norm(self.spatial(x, mask), mask)
        if self.spatial_shortcut is not None:
            h = h + self.spatial_shortcut(x, mask)
        h = F.relu(h)
        if self.attention is not None:
            h = self.attention(h, mask)
        h = self.temporal(h, mask)
        h = self.dropout(h if self.temporal_norm is None else self.temporal_norm(h, after))
        if self.shortcut is not None:
            h = h + self.shortcut(x, after)
        return F.relu(h), after


class Shortcut(nn.Module):
    """The way around: the identity where it fits, else every stride-th frame through a linear map and a norm.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        stride: Keep every stride-th frame.
        time_major: Frames are the first dimension.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, time_major: bool = False) -> None:
        super().__init__()
        self.time_major, self.stride = time_major, stride
        self.linear: nn.Conv2d | None = None
        if in_channels != out_channels or stride != 1:
            self.linear = nn.Conv2d(in_channels, out_channels, 1, (1 if time_major else stride, 1))
            self.norm = MaskedBatchNorm(out_channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x [N, T, V, C_in]`` and the mask of the output -> ``[N, ceil(T / stride), V, C_out]``."""
        if self.linear is None:
            return x
        if self.time_major:
            x = x[:: self.stride]
        y: Tensor = self.norm(motion_layout(self.linear(conv_layout(x))), mask)
        return y


def _size(attribute: Tensor | nn.Module) -> int:
    assert isinstance(attribute, int), "a spatial operator has int in_channels, out_channels; a temporal one int stride"
    return attribute
