"""Gramian angular fields as node features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.nn.gaf import Kind, gramian_field, rescale
from graphnets.transforms.base import Transform, in_range
from graphnets.transforms.masking import lengths


class GramianField(Transform):
    r"""Each node's series as its Gramian angular field, a row of it at each frame.

    Frame i gets, of every channel, the relations of that frame to all frames: ``C`` channels become ``C * size``. The
    series is first averaged over ``size`` equal windows (piecewise aggregate approximation, Keogh et al. 2001). Images
    ``[N, V, C, size, size]`` are ``graphnets.nn.gaf.gramian_field(rescale(x))`` of series ``[N, V, C, T]``.
    """

    def __init__(self, size: int = 32, kind: Kind = "summation", modality: str = "imu") -> None:
        """Choose size and kind.

        Args:
            size: Frames of the result, 2 or more.
            kind: ``"summation"`` (GASF) or ``"difference"`` (GADF).
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is not allowed.
        """
        super().__init__(modality)
        if kind not in ("summation", "difference"):
            raise ValueError(f"kind is {kind!r}; allowed are 'summation' and 'difference'")
        self.size, self.kind = int(in_range("size", size, 2)), kind

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x`` by ``[N, size, V, C * size]``, mask, frame rate and channels."""
        x, mask = store.x, store.mask
        n, t, v, c = x.shape
        seen = mask[..., None].expand_as(x).permute(0, 2, 3, 1)  # [N, V, C, T]
        series = x.permute(0, 2, 3, 1).masked_fill(~seen, 0.0).reshape(n, v * c, t)
        clip = lengths(mask)
        windows = self._windows(clip.to(x.dtype), t)
        # Means over what was observed of each window.
        share = seen.to(x.dtype).reshape(n, v * c, t) @ windows
        mean = series @ windows / share.clamp(min=1e-6)
        there = share > 0
        field = gramian_field(rescale(mean, there), self.kind)
        field = field * (there[..., None] & there[..., None, :])
        store.x = field.view(n, v, c, self.size, self.size).permute(0, 3, 1, 2, 4).reshape(n, self.size, v, -1)
        store.mask = there.view(n, v, c, self.size)[:, :, 0].permute(0, 2, 1).contiguous()
        store.fps = torch.where(clip > 0, store.fps * self.size / clip.clamp(min=1), store.fps)
        store.channels = tuple(f"{name}_{j}" for name in store.channels for j in range(self.size))

    def _windows(self, clip: Tensor, frames: int) -> Tensor:
        """How much of each frame lies in each window of its clip, ``[N, T, size]``."""
        edges = clip[:, None] * torch.arange(self.size + 1, device=clip.device) / self.size
        start = torch.arange(frames, device=clip.device, dtype=clip.dtype)[None, :, None]
        inside = torch.minimum(start + 1, edges[:, None, 1:]) - torch.maximum(start, edges[:, None, :-1])
        return inside.clamp(min=0)
