"""Convolution along time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.masking import blank, conv_layout, motion_layout


class TemporalConv(nn.Module):
    """A convolution over time with the same weights for every joint, centred and zero-padded.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        kernel: Frames it spans; odd.
        stride: Keep every stride-th frame, from the first.
        separable: A convolution over time for each channel by itself, then a linear map of the channels (Chollet 2017,
            arXiv 1610.02357): another network, with about a kernel-th of the products.
        dilation: Frames from one tap of the kernel to the next.
        causal: Read no later frame: the kernel ends at its frame instead of being centred on it.

    Raises:
        ValueError: ``kernel`` is even, or ``stride`` or ``dilation`` is below 1.

    Shapes:
        ``x [N, T, V, C_in]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / stride), V, C_out]``. Masked entries count
        as zeros, just as frames before the first and after the last: so padding changes nothing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 9,
        stride: int = 1,
        separable: bool = False,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"temporal kernel is {kernel}; it must be odd, to have a middle")
        if stride < 1:
            raise ValueError(f"temporal stride is {stride}; it must be 1 or more")
        if dilation < 1:
            raise ValueError(f"temporal dilation is {dilation}; it must be 1 or more")
        self.stride = stride
        reach = dilation * (kernel - 1)
        self.before = reach if causal else 0  # zeros before the clip; centred, conv2d adds them
        shape = {
            "kernel_size": (kernel, 1),
            "stride": (stride, 1),
            "padding": (0 if causal else reach // 2, 0),
            "dilation": (dilation, 1),
        }
        self.conv: nn.Module
        if separable:
            depthwise = nn.Conv2d(in_channels, in_channels, **shape, groups=in_channels)  # type: ignore[arg-type]
            self.conv = nn.Sequential(depthwise, nn.Conv2d(in_channels, out_channels, 1))
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, **shape)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve."""
        x = blank(x, mask)
        if self.before:
            x = F.pad(x, (0, 0, 0, 0, self.before, 0))
        return motion_layout(self.conv(conv_layout(x)))


def stride_mask(mask: Tensor | None, stride: int, time_major: bool = False) -> Tensor | None:
    """The mask of what a strided temporal convolution puts out; frames are the first dimension if ``time_major``."""
    if mask is None or stride == 1:
        return mask
    return mask[::stride] if time_major else mask[:, ::stride]
