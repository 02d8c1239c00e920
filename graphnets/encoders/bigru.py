"""Gated recurrent units on all coordinates of a frame: a baseline that knows time but no graph."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from graphnets.encoders.base import Encoder
from graphnets.nn.masking import blank, clip_lengths
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.recurrent import RaggedGRU
from graphnets.skeleton import Skeleton


class BiGRU(Encoder):
    r"""Layers of gated recurrent units in both directions (Cho et al. 2014, arXiv 1406.1078).

    The coordinates of a frame are one vector: every joint has weights of its own, and the graph isn't used.

    It can't be compiled as one graph, as ``nn.GRU`` can't; exported, it is a scan over any number of frames.

    Args:
        skeleton: The joints. The name or file of a skeleton will do.
        in_channels: C.
        hidden: Size of each direction's state, one number a layer.
        dropout: After each layer.

    Raises:
        ValueError: ``hidden`` is empty or holds a number below 1.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, T, 1, 2 H]``, masked where no joint of the frame is
        observed. A masked joint counts as 0 after the norm of the input.
    """

    def __init__(
        self, skeleton: Skeleton | str, in_channels: int, hidden: Sequence[int] = (128, 64), dropout: float = 0.25
    ) -> None:
        super().__init__(skeleton, in_channels)
        if not hidden or min(hidden) < 1:
            raise ValueError(f"BiGRU: hidden is {list(hidden)}; there must be one at least, each 1 or more")
        joints = self.skeleton.num_joints
        self.norm = MaskedBatchNorm(in_channels, joints)
        self.layers = nn.ModuleList()
        channels = joints * in_channels
        for size in hidden:
            layer = RaggedGRU(channels, size)
            self.layers.append(layer)
            channels = layer.out_channels
        self.out_channels, self.out_joints = channels, 1
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :meth:`Encoder.forward`."""
        self.check(x, mask)
        lengths = None if mask is None else clip_lengths(x, mask)
        h = self.norm(x, mask).flatten(2)
        for layer in self.layers:
            h = self.dropout(layer(h, lengths))
        return blank(h[:, :, None], self.feature_mask(mask))

    def feature_mask(self, mask: Tensor | None) -> Tensor | None:
        """``[N, T, 1]``: is any joint of the frame observed?"""
        return None if mask is None else mask.any(2, keepdim=True)
