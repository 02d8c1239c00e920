"""The contract of every encoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from graphnets.nn.temporal import stride_mask
from graphnets.skeleton import Skeleton
from graphnets.spec import Configurable


class Features(NamedTuple):
    """What an encoder gives to the objectives: values ``[N, T', V', D]`` and their mask ``[N, T', V']`` or None."""

    x: Tensor
    mask: Tensor | None


class Encoder(Configurable):
    """A backbone: from a skeleton sequence to features; no pooling, no loss, no Lightning.

    A subclass lists its own arguments, calls ``super().__init__`` and sets ``out_channels`` and ``time_stride``,
    and ``out_joints`` where its features have other nodes than its skeleton.
    :class:`graphnets.testing.EncoderContract` tests all that is promised here.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
    """

    skeleton: Skeleton
    in_channels: int
    out_channels: int
    out_joints: int
    time_stride: int = 1
    causal: bool = False
    """No feature depends on a later frame (for feature t', on frames after ``t' * time_stride``)."""

    def __init__(self, skeleton: Skeleton | str, in_channels: int) -> None:
        super().__init__()
        if not isinstance(in_channels, int) or in_channels < 1:
            raise ValueError(f"{type(self).__name__}: in_channels is {in_channels!r}; it must be an int, 1 or more")
        if not isinstance(skeleton, str | Skeleton):
            raise ValueError(
                f"{type(self).__name__}: skeleton is {skeleton!r}; give a Skeleton, or a name or file of one"
            )
        self.skeleton = Skeleton.load(skeleton) if isinstance(skeleton, str) else skeleton
        if skeleton not in Skeleton.available() and self.init_args.get("skeleton") is skeleton:
            self.init_args["skeleton"] = self.skeleton  # a checkpoint can't count on a file of the user's
        self.in_channels, self.out_joints = in_channels, self.skeleton.num_joints

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            x: ``[N, T, V, C]``.
            mask: True where observed, ``[N, T, V]``; None = everywhere. What stands in ``x`` where it is False, NaN
                included, must not change an output whose mask is True.

        Returns:
            ``[N, T', V', D]`` with ``T' = ceil(T / time_stride)``, ``V' = out_joints`` and ``D = out_channels``.
        """

    def check(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Does the input fit the encoder?

        Raises:
            ValueError: It doesn't; the message says what was expected.
        """
        expected = f"[N, T, {self.skeleton.num_joints}, {self.in_channels}]"
        if x.ndim != 4 or x.shape[2] != self.skeleton.num_joints or x.shape[3] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} was made for the skeleton {self.skeleton.name!r} and {self.in_channels} "
                f"channels: x must be {expected}, but it is {list(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"{type(self).__name__}: x must hold floating-point numbers, but it is {x.dtype}")
        if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape[:3]):
            raise ValueError(
                f"the mask must be bool {list(x.shape[:3])}, as x is {list(x.shape)}, but it is {mask.dtype} "
                f"{list(mask.shape)}"
            )

    def feature_mask(self, mask: Tensor | None) -> Tensor | None:
        """The mask of the features ``[N, T', V']``: that of every ``time_stride``-th frame, unless overridden."""
        return stride_mask(mask, self.time_stride)

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Features:
        """Features together with their mask; input that doesn't fit is refused as :meth:`check` says."""
        self.check(x, mask)
        return Features(self(x, mask), self.feature_mask(mask))
