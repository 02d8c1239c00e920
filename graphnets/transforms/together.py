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
    movement and the other its end. Crops and warps are relative to a clip's own observed length, so modalities that
    cover the same time at whatever rates stay aligned, to within a frame of each.

    Transforms that draw one set of numbers a clip (``per_clip``: crops, warps, rotations, scalings, mirrorings) work on
    any modalities; the others, such as noise on every joint, on modalities with the same joints, channels and frames.
    """

    def __init__(self, transform: RandomTransform, modalities: list[str]) -> None:
        """Choose what to do, and to which.

        Args:
            transform: What to do; its own ``modality`` plays no part.
            modalities: The node types, two or more; each is changed.

        Raises:
            ValueError: There are fewer than two, or the same twice, or the transform isn't a random one.
        """
        if not isinstance(transform, RandomTransform):
            raise ValueError(f"{type(transform).__name__} isn't random: put one for each modality into the chain")
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
            ValueError: The batch lacks one of them, or they differ in what the transform draws numbers for.
        """
        if not self.training:
            return batch
        if not self.inner.per_clip:
            stores = [batch[name] for name in self.modalities if name in batch.modalities]
            kinds = {(store.skeleton.joints, store.channels, store.x.shape[1]) for store in stores}
            if len(kinds) > 1:
                raise ValueError(
                    f"{type(self.inner).__name__} draws numbers for joints or frames, and {', '.join(self.modalities)} "
                    "differ in joints, channels or frames: no numbers would be the same"
                )
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
