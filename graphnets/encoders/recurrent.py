"""A recurrent network beside a graph network, joined by a gate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders.base import Encoder
from graphnets.nn.graph import GraphConv
from graphnets.nn.masking import blank, clip_lengths
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.recurrent import RaggedLSTM
from graphnets.skeleton import Skeleton


class RecurrentGraph(Encoder):
    r"""LSTM and graph branch with a gate, as Hossain et al. (2025, 10.1371/journal.pone.0335257) estimate knee moments.

    .. math:: h^l = \mathrm{LSTM}(x), \qquad h^g = W_g \, \mathrm{ReLU}(\hat A (\alpha \odot x) W + b), \qquad
              \gamma = \sigma(W_\gamma [h^l; h^g]), \qquad h = \gamma \odot h^l + (1 - \gamma) \odot h^g

    with ``x`` the normalised clip and :math:`\alpha` the attention over the joints of a frame. Every frame becomes one
    vector: the features have a single node.

    It departs from the published network where that is weak: the adjacency has self loops and is divided by the number
    of neighbours; attention, which the paper lets sum to 1 over the joints, is scaled to a mean of 1, so that
    the branch doesn't fade as joints get more, and is spent on observed joints only; the backward LSTM starts at
    the last observed frame of each clip; the norm of the input has learned scales; the graph branch is 16 channels a
    joint wide (4 in the paper), and every modality has a gate of its own (one on all of them together in the paper).

    It can't be compiled as one graph, as ``nn.LSTM`` can't; exported, the LSTM is a scan over any number of frames.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        hidden: Size of each direction's state, one number a layer.
        graph_channels: Channels of a joint in the graph branch.
        width: D.
        dropout: After each layer of the LSTM.
        graph_dropout: After the graph convolution.
        bidirectional: Read the clip in both directions; False makes the encoder causal, fit for a live stream.

    Raises:
        ValueError: ``hidden`` is empty, or it, ``graph_channels`` or ``width`` holds a number below 1.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, T, 1, D]``, masked where no joint of the frame is
        observed. A masked joint counts as 0 in both branches, after the norm of the input.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        hidden: Sequence[int] = (128, 64),
        graph_channels: int = 16,
        width: int = 128,
        dropout: float = 0.25,
        graph_dropout: float = 0.1,
        bidirectional: bool = True,
    ) -> None:
        super().__init__(skeleton, in_channels)
        if not hidden or min(*hidden, graph_channels, width) < 1:
            raise ValueError(
                f"RecurrentGraph: hidden {list(hidden)} must hold at least one number, and all of it, graph_channels "
                f"{graph_channels} and width {width} must be 1 or more"
            )
        self.out_channels, self.out_joints, self.causal = width, 1, not bidirectional
        joints = self.skeleton.num_joints
        self.norm = MaskedBatchNorm(in_channels, joints)
        self.layers = nn.ModuleList()
        channels = joints * in_channels
        for size in hidden:
            layer = RaggedLSTM(channels, size, bidirectional)
            self.layers.append(layer)
            channels = layer.out_channels
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(channels, width) if channels != width else nn.Identity()
        self.attention = nn.Linear(in_channels, 1, bias=False)  # a bias would cancel in the softmax
        self.spatial = GraphConv(in_channels, graph_channels, self.skeleton.partitions("uniform"), edge_weights=False)
        self.graph_dropout = nn.Dropout(graph_dropout)
        self.flatten = nn.Linear(joints * graph_channels, width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :meth:`Encoder.forward`."""
        self.check(x, mask)
        x = self.norm(x, mask)
        lengths = None if mask is None or self.causal else clip_lengths(x, mask)
        recurrent = x.flatten(2)
        for layer in self.layers:
            recurrent = self.dropout(layer(recurrent, lengths))
        recurrent, spatial = self.project(recurrent), self._spatial(x, mask)
        gate = torch.sigmoid(self.gate(torch.cat([recurrent, spatial], dim=-1)))
        y = spatial + gate * (recurrent - spatial)
        return blank(y[:, :, None], self.feature_mask(mask))

    def feature_mask(self, mask: Tensor | None) -> Tensor | None:
        """``[N, T, 1]``: is any joint of the frame observed?"""
        return None if mask is None else mask.any(2, keepdim=True)

    def _spatial(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The graph branch: ``[N, T, V, C]``, 0 where masked, -> ``[N, T, D]``."""
        scores = self.attention(x)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], torch.finfo(scores.dtype).min)
        share = scores.softmax(2)
        observed = x.shape[2] if mask is None else mask[..., None].sum(2, keepdim=True)
        h = F.relu(self.spatial(x * (share * observed).to(x.dtype)))
        y: Tensor = self.flatten(self.graph_dropout(blank(h, mask)).flatten(2))
        return y
