"""ST-GCN as its formula stands in the paper: what the library's networks are measured against.

Everything is ``[N, C, T, V]`` and straightforward PyTorch: a 1x1 convolution for all partitions, an einsum with the
adjacency, a 9x1 convolution, ``BatchNorm2d``, ReLU, a residual connection (Yan, Xiong, Lin 2018, arXiv 1801.07455).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnets.encoders import STGCN
from graphnets.nn import Block, MaskedBatchNorm


class TextbookBlock(nn.Module):
    """Graph convolution, temporal convolution, and the residual connection around both.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        adjacency: ``[K, V, V]``; column w gathers into joint w.
        kernel: Frames a temporal convolution spans.
        stride: Temporal stride.
        residual: ``"none"``, ``"same"`` or ``"project"``.
        dropout: After the temporal convolution.
    """

    adjacency: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, adjacency: Tensor, kernel: int, stride: int, residual: str,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.conv = nn.Conv2d(in_channels, len(adjacency) * out_channels, 1)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, (kernel, 1), (stride, 1), (kernel // 2, 0)),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout, inplace=True),
        )
        self.residual: nn.Module | None = None
        if residual == "same":
            self.residual = nn.Identity()
        elif residual == "project":
            linear = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
            self.residual = nn.Sequential(linear, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C_in, T, V]`` -> ``[N, C_out, ceil(T / stride), V]``."""
        h = self.conv(x)
        n, kc, t, v = h.shape
        k = len(self.adjacency)
        h = torch.einsum("nkctv,kvw->nctw", h.view(n, k, kc // k, t, v), self.adjacency * self.importance)
        h = self.temporal(h.contiguous())
        return torch.relu(h if self.residual is None else h + self.residual(x))


class Textbook(nn.Module):
    """The network with the weights of one of ours, whose outputs it therefore gives, in eval and in training mode.

    Args:
        net: Dense and centred, as the paper's is; its temporal convolutions may be in the frequency domain.

    Raises:
        ValueError: ``net`` is separable or causal.

    Shapes:
        ``[N, C, T, V]`` -> ``[N, C_out, ceil(T / time_stride), V]``.
    """

    def __init__(self, net: STGCN) -> None:
        super().__init__()
        if net.init_args.get("separable") or net.causal:
            raise ValueError("the textbook's ST-GCN is neither separable nor causal")
        self.norm = nn.BatchNorm1d(net.skeleton.num_joints * net.in_channels).to(net.norm.weight)
        _copy_norm(self.norm, net.norm)
        self.blocks = nn.Sequential(*(_block(block) for block in net.blocks if isinstance(block, Block)))
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        n, c, t, v = x.shape
        x = self.norm(x.permute(0, 3, 1, 2).reshape(n, v * c, t))
        y: Tensor = self.blocks(x.view(n, v, c, t).permute(0, 2, 3, 1).contiguous())
        return y


@torch.no_grad()
def _block(block: Block) -> TextbookBlock:
    """A copy of one of our blocks."""
    ours = dict(block.named_parameters())
    k, width, channels = ours["spatial.weight"].shape
    kernel = ours["temporal.conv.weight"].shape[2]
    shortcut = block.shortcut
    residual = "none" if shortcut is None else "same" if shortcut.linear is None else "project"
    adjacency = dict(block.named_buffers())["spatial.partitions"].transpose(1, 2).clone()
    copy = TextbookBlock(channels, width, adjacency, kernel, block.stride, residual, block.dropout.p)
    copy.to(ours["spatial.weight"])
    if "spatial.edge_weights" in ours:
        copy.importance.copy_(ours["spatial.edge_weights"].transpose(1, 2))
    else:
        copy.importance.requires_grad_(False)
    copy.conv.weight.copy_(ours["spatial.weight"].reshape(k * width, channels, 1, 1))
    before, _, temporal, after, _ = copy.temporal
    assert isinstance(before, nn.BatchNorm2d) and isinstance(after, nn.BatchNorm2d) and isinstance(temporal, nn.Conv2d)
    _copy_norm(before, block.spatial_norm)
    # The paper's code adds its bias before the einsum, we after it; a norm follows and takes either out again. So the
    # copy's bias is 0 and its running mean that of the values without ours.
    assert copy.conv.bias is not None and before.running_mean is not None
    copy.conv.bias.zero_()
    before.running_mean.sub_(ours["spatial.bias"])
    _copy_conv(temporal, ours, "temporal.conv")
    assert block.temporal_norm is not None
    _copy_norm(after, block.temporal_norm)
    if shortcut is not None and isinstance(copy.residual, nn.Sequential):
        linear, norm = copy.residual
        assert isinstance(linear, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        _copy_conv(linear, ours, "shortcut.linear")
        _copy_norm(norm, shortcut.norm)
    return copy


def _copy_conv(conv: nn.Conv2d, ours: dict[str, nn.Parameter], name: str) -> None:
    assert conv.bias is not None
    conv.weight.copy_(ours[f"{name}.weight"])
    conv.bias.copy_(ours[f"{name}.bias"])


@torch.no_grad()
def _copy_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, ours: MaskedBatchNorm) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    pairs = ((norm.weight, ours.weight), (norm.bias, ours.bias))
    for mine, theirs in (*pairs, (norm.running_mean, ours.running_mean), (norm.running_var, ours.running_var)):
        mine.copy_(theirs)
    norm.eps, norm.momentum = ours.eps, ours.momentum
