"""Normalisation with the statistics of the training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.transforms.base import Transform
from graphnets.transforms.masking import blank, masked_mean
from graphnets.transforms.sensors import axis_channels

if TYPE_CHECKING:
    from graphnets.data import MotionBatch


class Normalize(Transform):
    """Subtract the mean and divide by the standard deviation, both measured over the observed training data.

    Call :meth:`fit` once; mean and deviation are buffers and travel in the state dict, into a module that was
    never fitted too. Masked entries become 0, which is the mean.

    Attributes:
        mean: ``[C]``, or ``[V, C]`` per joint; empty before :meth:`fit`.
        std: Of the same shape; 1 where a channel never changes or was never observed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, per: Literal["channel", "joint", "vector"] = "channel", modality: str = "pose") -> None:
        """Choose what shares its statistics.

        Args:
            per: ``"channel"`` for one mean and deviation a channel, ``"joint"`` for one a joint and channel;
                ``"vector"``, for inertial sensors, divides each acceleration and each angular rate by its root mean
                square and subtracts nothing, so that it is the same however a sensor is mounted.
            modality: The node type that is changed.

        Raises:
            ValueError: ``per`` is unknown.
        """
        super().__init__(modality)
        if per not in ("channel", "joint", "vector"):
            raise ValueError(f"per must be 'channel', 'joint' or 'vector', got {per!r}")
        self.per = per
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("std", torch.empty(0))

    @property
    def fitted(self) -> bool:
        """Whether there are statistics: from :meth:`fit` or from a state dict."""
        return self.mean.numel() > 0

    def fit(self, batches: Iterable[MotionBatch]) -> None:
        """Measure mean and deviation in one pass over the training data, in float64.

        Batches are merged pairwise as by Chan, Golub and LeVeque (*Algorithms for Computing the Sample
        Variance*, The American Statistician 1983, Eq. 2.1), so that a large mean costs no digits.

        Args:
            batches: Training batches after the transforms that come before this one, in evaluation mode.

        Raises:
            ValueError: There is no observed entry.
        """
        over = (0, 1, 2) if self.per == "channel" else (0, 1)
        count = mean = square = torch.zeros((), dtype=torch.float64)
        store = None
        for batch in batches:
            store = batch[self.modality]
            x, mask = batch[self.modality].x.double(), batch[self.modality].mask[..., None]
            n = mask.expand(x.shape).sum(over).cpu()
            center = masked_mean(x, mask, over)
            spread = blank((x - center).square(), mask[..., 0]).sum(over).cpu()
            shift = center.cpu() - mean
            total = count + n
            part = n / total.clamp(min=1)
            square = square + spread + shift.square() * count * part
            mean, count = mean + shift * part, total
        if not bool((count > 0).any()):
            raise ValueError(f"Normalize can't be fitted: modality {self.modality!r} has no observed entry")
        std = (square / count.clamp(min=1)).sqrt()
        # What varies less than float32 can tell apart from the mean is a constant.
        std = torch.where(std > 1e-7 * mean.abs(), std, 1)
        if self.per == "vector":
            assert store is not None
            mean, std = torch.zeros_like(mean), _lengths(square / count.clamp(min=1) + mean.square(), store)
        self.mean, self.std = mean.to(self.mean), std.to(self.std)

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``.

        Raises:
            RuntimeError: There are no statistics yet.
            ValueError: The statistics are of other joints or channels.
        """
        x = store.x
        if not self.fitted:
            raise RuntimeError("Normalize has no statistics yet: call fit(batches) on training data first")
        if self.mean.shape != x.shape[x.ndim - self.mean.ndim :]:
            raise ValueError(
                f"Normalize was fitted per {self.per} and has statistics of shape {tuple(self.mean.shape)}, "
                f"but modality {self.modality!r} has joints and channels {tuple(x.shape[-2:])}"
            )
        store.x = blank((x - self.mean) / self.std, store.mask)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take the shape of the statistics from the state dict before they are copied."""
        for name in ("mean", "std"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, getattr(self, name).new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _lengths(squares: Tensor, store: NodeStorage) -> Tensor:
    """The root mean square of an axis of each vector, from mean squares ``[V, C]``."""
    as_nodes = squares.shape[1] == 1
    names = tuple(store.skeleton.joints) if as_nodes else tuple(store.channels)
    squares = squares.T if as_nodes else squares
    out = torch.ones_like(squares)
    for triple in axis_channels(names, "the nodes" if as_nodes else "the channels"):
        size = squares[:, triple].mean(1, keepdim=True).sqrt()
        out[:, triple] = torch.where(size > 0, size, 1.0).expand(-1, 3)
    return out.T if as_nodes else out
