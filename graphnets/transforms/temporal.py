"""Transforms of time: resampling to a length or a frame rate, random crops and random warps.

All of them read the clip between its first frame and the last frame with any observed joint; the padding
behind it plays no part. Each changes one modality alone: two modalities resampled to the same length stay
aligned, two that are cropped or warped at random do not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.transforms.base import IN_TIME, RandomTransform, Transform, in_range
from graphnets.transforms.masking import finite, lengths, repeat_channels


def interpolate(x: Tensor, mask: Tensor, lower: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    r"""Read clips between their frames, :math:`(1 - w)\,x_l + w\,x_{l+1}`.

    A joint is observed in the result where the frames that observe it carry half of the weight or more, that
    is, where the nearer frame does; it is their weighted mean. Where the farther frame lacks the joint, the
    nearer one is thus taken as it is.

    Args:
        x: Values, ``[N, T, V, C]``.
        mask: True where observed, ``[N, T, V]``.
        lower: The frame before each time that is read, ``[N, L]`` int64 in 0 to T - 1.
        weight: How far it is from there to the next frame, ``[N, L]`` in 0 to 1.

    Returns:
        Values ``[N, L, V, C]`` and mask ``[N, L, V]``.
    """
    n, t, v, c = x.shape
    frames = torch.stack([lower, (lower + 1).clamp(max=t - 1)])
    rows = (frames + torch.arange(n, device=x.device)[:, None] * t).flatten()
    ends = finite(x, mask).reshape(n * t, v * c).index_select(0, rows).view(*frames.shape, v, c)
    seen = mask.to(x.dtype).reshape(n * t, v).index_select(0, rows).view(*frames.shape, v)
    weight = weight.to(x.dtype)
    weights = seen * torch.stack([1 - weight, weight])[..., None]
    total = weights[0] + weights[1]
    share = weights[1] / total.clamp(min=torch.finfo(x.dtype).tiny)
    return torch.lerp(ends[0], ends[1], repeat_channels(share, x)), total >= 0.5


class Resample(Transform):
    """Resample every clip to the same number of frames, evenly spaced from its first to its last one.

    Linear interpolation. The frame rate is changed with it, so that velocities stay those of the movement: a
    clip of ``n`` frames gets ``fps * (length - 1) / (n - 1)``. A clip of a single frame is held, at its frame
    rate.
    """

    def __init__(self, length: int, modality: str = "pose") -> None:
        """Choose the length.

        Args:
            length: Frames in the result, 2 or more.
            modality: The node type that is changed.

        Raises:
            ValueError: ``length`` is less than 2.
        """
        super().__init__(modality)
        self.length = int(in_range("length", length, 2))

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x`` by ``[N, length, V, C]``, ``mask`` and ``fps``."""
        gaps = self.length - 1
        old_gaps = (lengths(store.mask) - 1).clamp(min=0)
        # In whole numbers, so that a time that falls on a frame reads exactly that frame.
        position = old_gaps[:, None] * torch.arange(self.length, device=store.x.device)
        weight = (position % gaps).to(store.x.dtype) / gaps
        store.x, store.mask = interpolate(store.x, store.mask, position // gaps, weight)
        store.fps = torch.where(old_gaps > 0, store.fps * gaps / old_gaps, store.fps)


class ResampleRate(Transform):
    """Resample every clip to the same frame rate.

    Linear interpolation at whole multiples of ``1 / fps`` from the clip's first frame, as far as its last
    one; clips of different length are padded, masked, to the longest. Nothing is smoothed before a rate is
    lowered: movement faster than half the new rate folds back.
    """

    def __init__(self, fps: float, modality: str = "pose") -> None:
        """Choose the rate.

        Args:
            fps: Frames per second in the result.
            modality: The node type that is changed.

        Raises:
            ValueError: ``fps`` isn't positive.
        """
        super().__init__(modality)
        self.fps = in_range("fps", fps, 0, math.inf, "()")

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x`` by ``[N, L, V, C]``, where ``L`` is the longest result, ``mask`` and ``fps``.

        Raises:
            ValueError: A clip's own frame rate isn't a positive number.
        """
        if not bool(((store.fps > 0) & store.fps.isfinite()).all()):
            raise ValueError(f"frame rates must be positive to resample by time, got {store.fps.tolist()}")
        n = lengths(store.mask)
        last = (n - 1).clamp(min=0)
        step = store.fps.double() / self.fps  # old frames per new frame
        # A rate such as 29.97, in float32, must not lose the last frame to rounding.
        count = torch.where(n > 0, (last / step + 1e-3).floor().long() + 1, 0)
        frame = torch.arange(max(int(count.max()), 1), device=store.x.device)
        position = torch.minimum(frame * step[:, None], last[:, None].double())
        lower = position.floor()
        x, mask = interpolate(store.x, store.mask, lower.long(), position - lower)
        store.x, store.mask = x, mask & (frame < count[:, None])[..., None]
        store.fps = torch.full_like(store.fps, self.fps)


class RandomCrop(RandomTransform):
    """Keep a random window of each clip, shifted to the front; the frames behind it are masked.

    The window's length is uniform from ``min_fraction`` of the clip to all of it, never less than two frames
    (or the one that a clip has), and its place is uniform.
    """

    per_clip = True
    moves = IN_TIME

    def __init__(self, min_fraction: float = 0.75, probability: float = 1.0, modality: str = "pose") -> None:
        """Choose the window.

        Args:
            min_fraction: The shortest window, as a fraction of the clip, above 0 and up to 1.
            probability: The chance of each clip to be cropped.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.min_fraction = in_range("min_fraction", min_fraction, 0, 1, "(]")

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Crop all clips.

        Returns:
            ``x [N, T, V, C]`` and ``mask [N, T, V]``, T as it was.
        """
        x, mask = store.x, store.mask
        n, t, v, c = x.shape
        frames = lengths(mask)
        fraction, place = torch.rand(2, n, device=x.device)
        shortest = torch.maximum((frames * self.min_fraction - 1e-4).ceil().long(), frames.clamp(max=2))
        kept = torch.minimum(shortest + (fraction * (frames - shortest + 1)).long(), frames)
        start = torch.minimum((place * (frames - kept + 1)).long(), frames - kept)

        ticks = torch.arange(t, device=x.device)
        rows = (ticks + start[:, None]).clamp(max=t - 1) + torch.arange(n, device=x.device)[:, None] * t
        x = x.reshape(n * t, v * c).index_select(0, rows.flatten()).view(n, t, v, c)
        mask = mask.reshape(n * t, v).index_select(0, rows.flatten()).view(n, t, v)
        return x, mask & (ticks < kept[:, None])[..., None]


class TimeWarp(RandomTransform):
    r"""Speed each clip up in one half and slow it down in the other, smoothly; its ends stay where they were.

    Relative time :math:`\tau \in [0, 1]` is read at :math:`\tau + s \sin(\pi \tau) / \pi`, with one ``s`` a
    clip, uniform in plus or minus ``strength``. The tempo is :math:`1 + s \cos(\pi \tau)` times what it was,
    above 0 for :math:`|s| < 1`: time never runs backwards. The frame rate stays.
    """

    per_clip = True
    moves = IN_TIME

    def __init__(self, strength: float = 0.3, probability: float = 1.0, modality: str = "pose") -> None:
        """Choose how far time is bent.

        Args:
            strength: The largest relative change of tempo, 0 to below 1.
            probability: The chance of each clip to be warped.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(probability, modality)
        self.strength = in_range("strength", strength, 0, 1, "[)")

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Warp all clips.

        Returns:
            ``x [N, T, V, C]`` and ``mask [N, T, V]``, T as it was.
        """
        x = store.x
        frames = lengths(store.mask)[:, None]
        last = (frames - 1).clamp(min=0)
        bend = self.strength * (2 * torch.rand(len(x), 1, device=x.device) - 1)
        ticks = torch.arange(x.shape[1], device=x.device)
        tau = (ticks / last.clamp(min=1)).clamp(max=1)
        position = (tau + bend * torch.sin(math.pi * tau) / math.pi).clamp(0, 1) * last
        lower = position.floor()
        x, mask = interpolate(x, store.mask, lower.long(), position - lower)
        return x, mask & (ticks < frames)[..., None]
