"""Encoders that are a chain of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from graphnets.encoders.base import Encoder
from graphnets.nn import Block, MaskedBatchNorm


class MakeBlock(Protocol):
    """Makes one block of a chain."""

    def __call__(self, in_channels: int, width: int, stride: int, residual: bool) -> Block:
        """``residual`` is False for the first block, whose input are coordinates."""


class BlockEncoder(Encoder):
    """A norm of the input, then :class:`graphnets.nn.Block` after block; a subclass says of what the blocks are made.

    Example:
        .. code-block:: python

            class Mine(BlockEncoder):
                def __init__(self, skeleton: Skeleton | str, in_channels: int) -> None:
                    super().__init__(skeleton, in_channels)
                    adjacency = self.skeleton.partitions("spatial")

                    def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
                        time = TemporalConv(width, width, stride=stride)
                        return Block(MyGraphConv(in_channels, width, adjacency), time, residual)

                    self.chain(block, widths=(64, 128), strides=(1, 2))
    """

    time_major: bool = False
    """Whether the blocks take and give ``[T, N, V, C]``, as those with a :class:`graphnets.nn.FrequencyConv` do."""

    def chain(self, make: MakeBlock, widths: Sequence[int], strides: Sequence[int]) -> None:
        """Make the blocks, and with them ``out_channels`` and ``time_stride``.

        Args:
            make: Makes a block.
            widths: Channels that each block puts out.
            strides: Temporal stride of each block.

        Raises:
            ValueError: ``widths`` and ``strides`` differ in number, are empty, or hold a number below 1; or ``make``
                gives a block of another stride than it was asked for.
        """
        if len(widths) != len(strides) or not widths:
            raise ValueError(
                f"{type(self).__name__}: {len(widths)} widths {list(widths)} but {len(strides)} strides "
                f"{list(strides)}; give one of each for every block, and at least one block"
            )
        if min(*widths, *strides) < 1:
            raise ValueError(
                f"{type(self).__name__}: widths {list(widths)} and strides {list(strides)} must all be 1 or more"
            )
        self.norm = MaskedBatchNorm(self.in_channels, joints=self.skeleton.num_joints)
        self.blocks = nn.ModuleList()
        channels = self.in_channels
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            block = make(channels, width, stride, i > 0)
            if block.stride != stride:
                raise ValueError(
                    f"{type(self).__name__}: block {i} has stride {block.stride}, but {stride} is asked for"
                )
            self.blocks.append(block)
            channels, self.time_stride = width, self.time_stride * stride
        self.out_channels = channels

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :meth:`Encoder.forward`."""
        self.check(x, mask)
        x = self.norm(x, mask)
        if self.time_major:
            x, mask = x.transpose(0, 1).contiguous(), None if mask is None else mask.transpose(0, 1)
        for block in self.blocks:
            x, mask = block(x, mask)
        return x.transpose(0, 1).contiguous() if self.time_major else x
