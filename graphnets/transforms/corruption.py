"""What goes wrong in recordings, at random: noise, joints that are never seen, frames that are lost."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.transforms.base import AXES, RandomTransform, in_range
from graphnets.transforms.masking import lengths


class Jitter(RandomTransform):
    """Add Gaussian noise: to the coordinates, or, for a modality without any (an IMU), to all channels."""

    def __init__(
        self,
        std: float,
        per: Literal["frame", "clip"] = "frame",
        probability: float = 1.0,
        modality: str = "pose",
    ) -> None:
        """Choose the noise.

        Args:
            std: Its standard deviation, in the unit of the channel.
            per: ``"frame"`` for noise that is new in every frame, ``"clip"`` for an offset of each joint that
                lasts the clip, as from a marker put in the wrong place.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.std = in_range("std", std, 0, float("inf"), "[)")
        if per not in ("frame", "clip"):
            raise ValueError(f"per must be 'frame' or 'clip', got {per!r}")
        self.per = per

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Add noise to all clips.

        Returns:
            ``x [N, T, V, C]`` and the mask as it was.
        """
        x, mask = store.x, store.mask
        n, _, v, c = x.shape
        spatial = sum(name in AXES for name in store.channels) or c
        frames = int(lengths(mask).max()) if self.per == "frame" else 1
        noise = self.std * torch.randn(n, frames, v, spatial, device=x.device, dtype=x.dtype)
        if self.per == "clip":
            return x + F.pad(noise, (0, c - spatial)), mask
        x = x.clone()
        x[:, :frames, :, :spatial] += noise
        return x, mask


class JointDrop(RandomTransform):
    """Mask joints for the whole clip, each with the same chance; one of the observed joints always stays."""

    def __init__(self, rate: float = 0.1, probability: float = 1.0, modality: str = "pose") -> None:
        """Choose how many joints are lost.

        Args:
            rate: The chance of each joint, 0 to 1.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.rate = in_range("rate", rate, 0, 1)

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Drop joints from all clips.

        Returns:
            The values as they were and ``mask [N, T, V]``.
        """
        mask = store.mask
        draw = torch.rand(len(mask), mask.shape[2], device=mask.device)
        present = draw.masked_fill(~mask.any(1), -1)
        kept = (draw >= self.rate).scatter(1, present.argmax(1, keepdim=True), True)
        return store.x, mask & kept[:, None]


class FrameDrop(RandomTransform):
    """Mask whole frames, each with the same chance; the first and the last observed frame of a clip stay."""

    def __init__(self, rate: float = 0.1, probability: float = 1.0, modality: str = "pose") -> None:
        """Choose how many frames are lost.

        Args:
            rate: The chance of each frame, 0 to 1.
            probability: The chance of each clip to be changed.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.rate = in_range("rate", rate, 0, 1)

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Drop frames from all clips.

        Returns:
            The values as they were and ``mask [N, T, V]``.
        """
        mask = store.mask
        n, t, _ = mask.shape
        frames = lengths(mask)
        longest = int(frames.max())
        kept = torch.ones(n, t, dtype=torch.bool, device=mask.device)
        kept[:, :longest] = torch.rand(n, longest, device=mask.device) >= self.rate
        first = mask.any(-1).int().argmax(1, keepdim=True)
        last = (frames[:, None] - 1).clamp(min=0)
        kept = kept.scatter(1, torch.cat([first, last], 1), True)
        return store.x, mask & kept[..., None]
