"""What is drawn: one modality of one recording, and the planes it is projected onto."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnets.skeleton import Skeleton

AXES = ("x", "y", "z")
Array = NDArray[Any]


class Clip:
    """One modality of one recording, ready to be drawn.

    Args:
        x: Values ``[T, V, C]``; an array or a tensor on any device.
        skeleton: The graph over the ``V`` nodes.
        fps: Frames per second.
        mask: True where observed, ``[T, V]``. NaN and infinite coordinates count as missing in any case.
        channels: The names of the ``C`` channels. By default the first three are x, y and z.
        title: What stands above the picture.
        color: One colour for the whole body, instead of one for each side.

    Raises:
        ValueError: Shapes, skeleton, channels or frame rate don't fit, or nothing was observed.
    """

    def __init__(
        self,
        x: Any,
        skeleton: Skeleton,
        fps: float = 30.0,
        mask: Any = None,
        channels: Sequence[str] | None = None,
        title: str | None = None,
        color: str | None = None,
    ) -> None:
        values = to_array(x).astype(np.float64)
        if values.ndim != 3 or values.shape[1] != skeleton.num_joints:
            raise ValueError(
                f"values have shape {values.shape}, expected [T, {skeleton.num_joints}, C] for skeleton "
                f"{skeleton.name!r}"
            )
        extra = [f"channel {c}" for c in range(3, values.shape[2])]
        self.channels = tuple(channels) if channels is not None else (*AXES[: values.shape[2]], *extra)
        if len(self.channels) != values.shape[2]:
            raise ValueError(f"{values.shape[2]} channels don't fit the names {', '.join(self.channels)}")
        observed = np.ones(values.shape[:2], dtype=bool) if mask is None else to_array(mask).astype(bool)
        if observed.shape != values.shape[:2]:
            raise ValueError(f"the mask has shape {observed.shape}, expected {values.shape[:2]}")
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps is {fps!r}, expected a number above 0")
        self.dims = next((i for i in (3, 2) if self.channels[:i] == AXES[:i]), 0)
        """The number of leading spatial channels: 3, 2, or 0 for curves of a sensor."""
        self.values = np.where(observed[..., None] & np.isfinite(values), values, np.nan)
        self.visible = np.asarray(np.isfinite(self.values[..., : self.dims or None]).all(-1))
        if not self.visible.any():
            raise ValueError(f"nothing was observed in {title or 'the clip'}: there is nothing to draw")
        self.skeleton, self.fps, self.title, self.color = skeleton, float(fps), title or "", color

    def planes(self, up: str = "y", view: str = "body") -> dict[str, Array]:
        """The pictures to draw: for each a name and the matrix ``[dims, 2]`` that projects a point onto it.

        Args:
            up: The vertical axis of 3-D data: x, y or z, or with a minus sign when it points down.
            view: ``"body"`` turns 3-D data so that front and side are those of the body, taken from its left
                and right joints over the clip (coordinates are right-handed). ``"axes"`` shows the axes as
                they are, and so does a body without mirror pairs, or one that turns round.

        Raises:
            ValueError: ``up`` or ``view`` is unknown, or the clip has no spatial channels.
        """
        if up.removeprefix("-") not in AXES:
            raise ValueError(f"up is {up!r}, allowed are x, y, z, -x, -y, -z")
        if view not in ("body", "axes"):
            raise ValueError(f"view is {view!r}, allowed are body, axes")
        if self.dims == 0:
            raise ValueError(f"channels {', '.join(self.channels)} don't begin with x, y: these are curves, no body")
        if self.dims == 2:
            return {"image": np.eye(2)}
        axis = AXES.index(up[-1])
        unit = np.eye(3)
        vertical = -unit[axis] if up.startswith("-") else unit[axis]
        left = self._leftwards(vertical) if view == "body" else None
        if left is not None:
            forward = np.cross(left, vertical)
            return {"front": np.stack([left, vertical], 1), "side": np.stack([forward, vertical], 1)}
        return {f"{AXES[h]}, {up[-1]}": np.stack([unit[h], vertical], 1) for h in range(3) if h != axis}

    def picked(self, most: float, max_frames: int) -> tuple[Array, float]:
        """Which frames to show: evenly spaced, from the first to the last in which anything was observed.

        Args:
            most: Frames per second that the format can show.
            max_frames: The largest number of frames.

        Returns:
            Frame numbers, and the frames per second at which they play in real time.
        """
        seen = np.flatnonzero(self.visible.any(1))
        length = int(seen[-1] - seen[0]) + 1
        step = max(1, math.ceil(self.fps / most - 1e-6), math.ceil(length / max_frames))
        return np.arange(seen[0], seen[-1] + 1, step), self.fps / step

    def _leftwards(self, vertical: Array) -> Array | None:
        """The body's mean horizontal direction from right to left, or None where it has no clear one."""
        left, right = np.asarray(self.skeleton.mirror_pairs, dtype=int).reshape(-1, 2).T
        both = self.visible[:, left] & self.visible[:, right]
        across = (self.values[:, left, :3] - self.values[:, right, :3])[both]
        across -= np.outer(across @ vertical, vertical)
        mean, width = across.sum(0), np.linalg.norm(across, axis=1).sum()
        # A body that turns round has no front: below half of the pairs' width the raw axes say more.
        return mean / np.linalg.norm(mean) if width > 0 and np.linalg.norm(mean) > 0.5 * width else None


def project(points: Array, matrix: Array) -> Array:
    """Points ``[..., C]`` on a plane of :meth:`Clip.planes`: ``[..., 2]``."""
    return points[..., : len(matrix)] @ matrix


def limits_of(points: Sequence[Array]) -> tuple[Array, Array]:
    """Lower and upper ends of the picture ``[2]`` for points ``[..., 2]``, but for single far outliers."""
    flat = np.concatenate([p.reshape(-1, 2) for p in points])
    flat = flat[np.isfinite(flat).all(1)]
    few, most = np.percentile(flat, [2, 98], axis=0)
    reach = 2 * float((most - few).max() or 1.0)
    low = np.maximum(flat.min(0), np.median(flat, axis=0) - reach)
    high = np.minimum(flat.max(0), np.median(flat, axis=0) + reach)
    air = 0.06 * float((high - low).max() or 1.0)
    return low - air, high + air


def to_array(values: Any) -> Array:
    """A NumPy array of an array, a list, or a tensor on any device."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
