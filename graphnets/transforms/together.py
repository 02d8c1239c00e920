"""One random change for several modalities of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphnets.transforms.base import RandomTransform, Transform

if TYPE_CHECKING:  # the data package needs Lightning, transforms don't
    from graphnets.data import MotionBatch


class Together(Transform):
    """Apply a random transform to several modalities with the same random numbers.

    A crop or a warp that is drawn for each modality by itself tears them apart: one would show the beginning of a
    movement and the other its end. Random numbers of a transform are drawn in shapes that depend neither on frames nor
    on joints, and crops and warps are relative to a clip's own length, so modalities that cover the same time at
    whatever rates stay aligned, to within a frame of each.
    """

    def __init__(self, transform: RandomTransform, modalities: list[str]) -> None:
        """Choose what to do, and to which.

        Args:
            transform: What to do; its own ``modality`` plays no part.
            modalities: The node types, two or more; each is changed.

        Raises:
            ValueError: There are fewer than two, or the same twice.
        """
        if len(modalities) < 2 or len(set(modalities)) < len(modalities):
            raise ValueError(f"modalities are {modalities}; give two or more different ones")
        super().__init__(modalities[0])
        self.inner, self.modalities = transform, tuple(modalities)

    @property
    def moves(self) -> str:
        """How the modalities are moved against others, see :class:`RandomTransform`."""
        return self.inner.moves

    def forward(self, batch: MotionBatch) -> MotionBatch:
        """Transform each modality.

        Args:
            batch: Values ``[N, T, V, C]`` and masks ``[N, T, V]`` of each.

        Returns:
            A shallow copy of ``batch`` with new tensors in the modalities.

        Raises:
            ValueError: The batch lacks one of them.
        """
        if not self.training:
            return batch
        device = batch[batch.modalities[0]].x.device
        seed = int(torch.randint(2**62, ()))
        for name in self.modalities:
            self.inner.modality = name
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(seed)
                batch = self.inner(batch)
        return batch

    def extra_repr(self) -> str:
        """Which modalities; what is done shows as a part of it."""
        return f"modalities={list(self.modalities)}"
