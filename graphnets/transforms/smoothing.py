"""Transforms that fill short gaps and take the noise out of what a camera sees."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from scipy.signal import butter, sosfiltfilt
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.nn.dct import fill_gaps
from graphnets.transforms.base import Transform, in_range
from graphnets.transforms.masking import finite, lengths

NOT_SMOOTHED = ("confidence", "visibility")
"""Channels that are no movement."""


class FillGaps(Transform):
    """Put a straight line into every gap of a joint that isn't too long; longer ones stay masked.

    A gap lies between two frames that observe the joint. What is missing before the first and after the last of them
    stays missing: there would be nothing to go by. All channels are interpolated, a confidence too.
    """

    def __init__(self, max_gap: float, unit: Literal["seconds", "frames"] = "seconds", modality: str = "pose") -> None:
        """Choose how long a gap may be.

        Args:
            max_gap: The longest gap that is filled: how many frames are missing, or their number divided by the frame
                rate.
            unit: Of ``max_gap``.
            modality: The node type that is changed.

        Raises:
            ValueError: ``max_gap`` is negative, or the unit unknown.
        """
        super().__init__(modality)
        self.max_gap = in_range("max_gap", max_gap, 0)
        if unit not in ("seconds", "frames"):
            raise ValueError(f"unit must be 'seconds' or 'frames', got {unit!r}")
        self.unit = unit

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x`` and ``mask``."""
        mask = store.mask
        frames = mask.shape[1]
        number = torch.arange(frames, device=mask.device)[None, :, None]
        before = torch.where(mask, number, -1).cummax(1).values
        after = torch.where(mask, number, frames).flip(1).cummin(1).values.flip(1)
        missing = (after - before - 1).to(torch.float64)
        if self.unit == "seconds":
            missing = missing / store.fps[:, None, None]
        short = missing <= self.max_gap * (1 + 1e-6)  # frame rates are rounded to 32 bits
        filled = short & (before >= 0) & (after < frames)
        store.x, store.mask = fill_gaps(store.x, mask), mask | filled


class OneEuro(Transform):
    r"""The 1 € filter: a low-pass that is strong at rest and weak in fast movement; it looks at no later frame.

    G. Casiez, N. Roussel, D. Vogel. 1 € Filter: A simple speed-based low-pass filter for noisy input in interactive
    systems. CHI 2012, algorithm 1. With the time :math:`\Delta` since the last observation and
    :math:`\alpha(f) = 1 / (1 + 1 / (2 \pi f \Delta))`,

    .. math:: v_t &= \alpha(f_d) \, (x_t - \hat x_{t-1}) / \Delta + (1 - \alpha(f_d)) \, v_{t-1}, \\
              \hat x_t &= \alpha(f_t) \, x_t + (1 - \alpha(f_t)) \, \hat x_{t-1}, \qquad
              f_t = f_{min} + \beta \, |v_t|

    for each channel by itself, but for confidences, which stay as they are. The filter begins with the first frame that
    observes a joint. Frames that don't are passed over: the next observation comes after a longer time.
    """

    def __init__(
        self, min_cutoff: float = 1.0, beta: float = 0.0, d_cutoff: float = 1.0, modality: str = "pose"
    ) -> None:
        """Choose how smooth.

        Args:
            min_cutoff: Cut-off frequency at rest, Hz: lower = less jitter.
            beta: By how much it rises with speed, Hz for each unit of the data a second: higher = less lag. For
                metres some units, for pixels some hundredths.
            d_cutoff: Cut-off frequency of the speed, Hz.
            modality: The node type that is changed.

        Raises:
            ValueError: A frequency isn't positive, or ``beta`` is negative.
        """
        super().__init__(modality)
        self.min_cutoff = in_range("min_cutoff", min_cutoff, 0, math.inf, "()")
        self.beta = in_range("beta", beta, 0, math.inf, "[)")
        self.d_cutoff = in_range("d_cutoff", d_cutoff, 0, math.inf, "()")

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``."""
        channels = _movement(store.channels)
        x = finite(store.x, store.mask)[..., channels]
        frame = (1 / store.fps.to(x.dtype))[:, None, None]
        place, speed = x[:, 0], torch.zeros_like(x[:, 0])
        known = torch.zeros_like(store.mask[:, 0, :, None])
        since = torch.zeros_like(x[:, 0, :, :1])
        smooth = []
        for now, seen in zip(x.unbind(1), store.mask[..., None].unbind(1), strict=True):
            since = since + frame
            new = torch.lerp(speed, (now - place) / since, _alpha(self.d_cutoff, since))
            moved = torch.lerp(place, now, _alpha(self.min_cutoff + self.beta * new.abs(), since))
            going = seen & known
            speed = torch.where(going, new, speed)
            place = torch.where(going, moved, torch.where(seen, now, place))
            since, known = since.masked_fill(seen, 0), known | seen
            smooth.append(place)
        store.x = _put(store.x, channels, torch.stack(smooth, 1))


class Butterworth(Transform):
    """A Butterworth low-pass run forwards and backwards, so that nothing is delayed.

    ``scipy.signal.sosfiltfilt`` in float64 on the CPU, each clip at its own frame rate and length. Both passes together
    fall by half (6 dB) at the cut-off frequency, and twice as steeply as their order says: order 2 is what biomechanics
    calls a zero-lag filter of fourth order. Gaps are filled by straight lines for the filter and stay masked.
    Confidences stay as they are.
    """

    def __init__(self, cutoff: float = 6.0, order: int = 2, modality: str = "pose") -> None:
        """Choose the filter.

        Args:
            cutoff: Cut-off frequency, Hz; below half of every clip's frame rate.
            order: Of each pass, 1 to 10.
            modality: The node type that is changed.

        Raises:
            ValueError: An argument is outside its range.
        """
        super().__init__(modality)
        self.cutoff = in_range("cutoff", cutoff, 0, math.inf, "()")
        self.order = int(in_range("order", order, 1, 10))

    def transform(self, store: NodeStorage) -> None:
        """Replace ``x``.

        Raises:
            ValueError: A clip's frame rate is too low for the cut-off frequency.
        """
        channels = _movement(store.channels)
        x = fill_gaps(store.x[..., channels], store.mask)
        values = x.detach().to("cpu", torch.float64).numpy()
        clips = list(zip(store.fps.tolist(), lengths(store.mask).tolist(), strict=True))
        for fps, length in sorted(set(clips)):
            if not fps > 2 * self.cutoff:
                raise ValueError(
                    f"Butterworth: a cut-off frequency of {self.cutoff:g} Hz needs over {2 * self.cutoff:g} frames "
                    f"a second, but modality {self.modality!r} has a clip of {fps:g}"
                )
            if length == 0:
                continue
            rows = [row for row, clip in enumerate(clips) if clip == (fps, length)]
            sections = _sections(self.order, self.cutoff, fps)
            # SciPy continues the ends by their point reflection; a short clip has less to reflect.
            padding = min(3 * (self.order + 1), length - 1)
            values[rows, :length] = sosfiltfilt(sections, values[rows, :length], axis=1, padlen=padding)
        store.x = _put(store.x, channels, torch.from_numpy(values).to(store.x))


@lru_cache(maxsize=64)
def _sections(order: int, cutoff: float, fps: float) -> np.ndarray:
    """The filter as second-order sections."""
    return butter(order, cutoff, fs=fps, output="sos")


def _alpha(cutoff: float | Tensor, seconds: Tensor) -> Tensor:
    """Weight of the new value in a first-order low-pass."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))


def _movement(channels: tuple[str, ...]) -> list[int]:
    """Which channels are smoothed."""
    return [i for i, name in enumerate(channels) if name not in NOT_SMOOTHED]


def _put(x: Tensor, channels: list[int], values: Tensor) -> Tensor:
    """``x`` with other values in some of its channels."""
    if len(channels) == x.shape[-1]:
        return values
    out = x.clone()
    out[..., channels] = values
    return out
