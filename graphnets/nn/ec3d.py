"""The networks of the pose-feedback system (Zhao et al. 2022, arXiv 2208.03257), and its authors' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.dct import dct_basis
from graphnets.nn.trajectory import TrajectoryBlock, TrajectoryConv, TrajectoryLayer

JOINTS, AXES = 19, 3
NODES = JOINTS * AXES
"""Coordinate by coordinate: the x of all joints, then the y, then the z."""
Transform = Literal["temporal", "legacy2d"]


def coefficients_of(x: Tensor, count: int, mode: Transform) -> Tensor:
    """The first cosine coefficients of a movement.

    Args:
        x: ``[N, M, T]``, a trajectory a row; with fewer frames than coefficients zeros are put behind it.
        count: K.
        mode: ``"temporal"``: the orthonormal transform of each trajectory, as the paper writes. ``"legacy2d"``: the
            unnormalised transform over rows and time, as the released code computes; then no node is a coordinate.

    Returns:
        ``[N, M, K]``.
    """
    x = F.pad(x, (0, max(0, count - x.shape[2])))
    time, rows = _bases(x, mode)
    found = torch.matmul(x, time[:, :count])
    return found if rows is None else torch.matmul(rows.T, found)


def movement_of(coefficients: Tensor, frames: int, mode: Transform) -> Tensor:
    """The movement of which these are the first coefficients, ``[N, M, K]`` -> ``[N, M, T]``; the others are 0.

    With fewer frames than coefficients, these are of the movement with zeros behind it, which are cut off; with
    ``"legacy2d"`` the coefficients beyond are cut off instead, as in the released code, which is no inverse.
    """
    if mode == "temporal" and frames < coefficients.shape[2]:
        return movement_of(coefficients, coefficients.shape[2], mode)[:, :, :frames]
    kept = coefficients[:, :, :frames]
    time, rows = _bases(kept.new_zeros(1, kept.shape[1], frames), mode)
    if rows is None:
        return torch.matmul(kept, time[:, : kept.shape[2]].T)
    # The inverse of an unnormalised transform of length n is its transpose over 2 n, with the constant counted half.
    weight = kept.new_ones(kept.shape[1:])
    weight[0] /= 2
    weight[:, 0] /= 2
    moved = torch.matmul(rows, kept * weight)
    return torch.matmul(moved, time[:, : kept.shape[2]].T) / (4 * frames * kept.shape[1])


def _bases(x: Tensor, mode: Transform) -> tuple[Tensor, Tensor | None]:
    m, t = x.shape[1:]
    time = dct_basis(t, t, x.dtype, x.device)
    return (time, None) if mode == "temporal" else (_plain(time), _plain(dct_basis(m, m, x.dtype, x.device)))


def _plain(basis: Tensor) -> Tensor:
    """Without the norm: ``2 cos``."""
    scale = (2 * basis.shape[0]) ** 0.5 * torch.ones_like(basis[0])
    scale[0] = 2 * basis.shape[0] ** 0.5
    return basis * scale


class FeedbackNet(nn.Module):
    """Names the mistake and corrects the movement, which is told the name ("Ours" of the paper).

    One layer is shared. Without feedback (the paper's ablation) the correction passes one block twice.

    Args:
        classes: Of mistakes.
        coefficients: K.
        width: Features of a node.
        feedback: Tell the correction.
        mode: Of the transform, see :func:`coefficients_of`.
        dropout: Everywhere.

    Shapes:
        ``x [N, 57, T]`` -> corrected ``[N, 57, T]`` and logits ``[N, classes]``.
    """

    def __init__(
        self,
        classes: int = 12,
        coefficients: int = 25,
        width: int = 256,
        feedback: bool = True,
        mode: Transform = "temporal",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.coefficients, self.mode = coefficients, mode
        self.enter = TrajectoryLayer(coefficients, width, NODES, dropout)
        self.mix = nn.Conv2d(AXES, AXES, (1, 3), padding=(0, 1), bias=False)
        self.name = TrajectoryLayer(width // 2, coefficients, NODES, dropout)
        self.classify = nn.Linear(NODES * coefficients, classes)
        self.block = TrajectoryBlock(width, NODES, dropout)
        self.told = nn.Linear(classes, NODES) if feedback else None
        self.second = TrajectoryBlock(width + 1, NODES, dropout) if feedback else None
        self.leave = TrajectoryConv(width + int(feedback), coefficients, NODES)

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Correct; ``label [N]`` takes the place of the predicted mistake."""
        logits, delta = self.changes(coefficients_of(x, self.coefficients, self.mode), label)
        return x + movement_of(delta, x.shape[2], self.mode), logits

    def changes(self, coefficients: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits and the change of the coefficients, ``[N, 57, K]`` -> ``[N, classes]``, ``[N, 57, K]``."""
        shared = self.enter(coefficients)
        half = F.avg_pool1d(shared, 2)
        half = self.mix(half.unflatten(1, (AXES, JOINTS))).flatten(1, 2)
        logits: Tensor = self.classify(self.name(half).flatten(1))
        hidden = self.block(shared)
        if self.told is None or self.second is None:
            hidden = self.block(hidden)
        else:
            known = F.one_hot(logits.argmax(1) if label is None else label, logits.shape[1]).to(hidden.dtype)
            hidden = self.second(torch.cat([self.told(known)[..., None], hidden], 2))
        return logits, self.leave(hidden)


class CorrectorNet(nn.Module):
    """Corrects only (the paper's separate corrector).

    Shapes:
        ``x [N, 57, T]`` -> ``[N, 57, T]``.
    """

    def __init__(
        self, coefficients: int = 25, width: int = 128, mode: Transform = "temporal", dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.coefficients, self.mode = coefficients, mode
        self.enter = TrajectoryLayer(coefficients, width, NODES, dropout)
        self.blocks = nn.Sequential(*(TrajectoryBlock(width, NODES, dropout) for _ in range(2)))
        self.leave = TrajectoryConv(width, coefficients, NODES)

    def forward(self, x: Tensor) -> Tensor:
        """Correct."""
        delta = self.leave(self.blocks(self.enter(coefficients_of(x, self.coefficients, self.mode))))
        return x + movement_of(delta, x.shape[2], self.mode)


class MistakeNet(nn.Module):
    """Names the mistake only (the paper's simple classifier).

    Shapes:
        ``x [N, 57, T]`` -> logits ``[N, classes]``.
    """

    def __init__(
        self,
        classes: int = 12,
        coefficients: int = 25,
        width: int = 32,
        mode: Transform = "temporal",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.coefficients, self.mode = coefficients, mode
        self.enter = TrajectoryLayer(coefficients, width, NODES, dropout)
        self.name = TrajectoryLayer(width, coefficients, NODES, dropout)
        self.classify = nn.Linear(NODES * coefficients, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        logits: Tensor = self.classify(
            self.name(self.enter(coefficients_of(x, self.coefficients, self.mode))).flatten(1)
        )
        return logits


UNUSED = ("gcin2.", "gcatt.", "gcout_class.")
"""Layers in the released files that no output depends on."""
LAYERS = {
    "FeedbackNet": {
        "gcin": "enter.conv", "bn1": "enter.norm", "conv2d": "mix", "gcont_class_v2": "name.conv", "bn2": "name.norm",
        "lin": "classify", "gcbs.gc1": "block.first.conv", "gcbs.bn1": "block.first.norm",
        "gcbs.gc2": "block.second.conv", "gcbs.bn2": "block.second.norm", "linearLayer": "told",
        "gcbs1.gc1": "second.first.conv", "gcbs1.bn1": "second.first.norm", "gcbs1.gc2": "second.second.conv",
        "gcbs1.bn2": "second.second.norm", "gcout_corr": "leave",
    },
    "CorrectorNet": {
        "gcin": "enter.conv", "bn1": "enter.norm", "gcout": "leave",
        "gcbs.0.gc1": "blocks.0.first.conv", "gcbs.0.bn1": "blocks.0.first.norm", "gcbs.0.gc2": "blocks.0.second.conv",
        "gcbs.0.bn2": "blocks.0.second.norm", "gcbs.1.gc1": "blocks.1.first.conv", "gcbs.1.bn1": "blocks.1.first.norm",
        "gcbs.1.gc2": "blocks.1.second.conv", "gcbs.1.bn2": "blocks.1.second.norm",
    },
    "MistakeNet": {
        "gcin": "enter.conv", "bnin": "enter.norm", "gcout": "name.conv", "bnout": "name.norm", "lin": "classify",
    },
}  # fmt: skip
"""The names of layers in the released files, and ours."""


def load_released(path: str | Path) -> FeedbackNet | CorrectorNet | MistakeNet:
    """A network with the weights that the authors released, ready for inference.

    Nothing of the file is executed. The transform is the released code's (``legacy2d``): with another one the weights
    mean nothing.

    Args:
        path: A ``.pt`` file of theirs.

    Raises:
        ValueError: There is no such file, or it holds something else.
    """
    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception as error:
        raise ValueError(f"{path}: not a file of weights: {error}") from error
    if not isinstance(given, dict) or "gcin.weight" not in given:
        raise ValueError(f"{path}: not the weights of a pose-feedback network: there is no gcin.weight")
    count, width = given["gcin.weight"].shape
    net: FeedbackNet | CorrectorNet | MistakeNet
    if "gcout_corr.weight" in given:
        net = FeedbackNet(len(given["lin.weight"]), count, width, "linearLayer.weight" in given, "legacy2d")
    elif "lin.weight" in given:
        net = MistakeNet(len(given["lin.weight"]), count, width, "legacy2d")
    else:
        net = CorrectorNet(count, width, "legacy2d")
    names = LAYERS[type(net).__name__]
    found, unknown = {}, []
    wanted = net.state_dict()
    for key, value in given.items():
        layer, _, what = key.rpartition(".")
        if key.startswith(UNUSED) or what == "num_batches_tracked":
            continue
        ours = f"{names.get(layer, '')}.{'adjacency' if what == 'adj' else what}"
        if ours not in wanted:
            unknown.append(key)
        else:
            found[ours] = value.view_as(wanted[ours]) if value.numel() == wanted[ours].numel() else value
    try:
        if unknown:
            raise RuntimeError(f"unknown weights {', '.join(unknown)}")
        net.load_state_dict(found)
    except RuntimeError as error:
        raise ValueError(f"{path}: not the weights of a {type(net).__name__}: {error}") from error
    return net.eval()
