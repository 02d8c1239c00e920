"""A picture of what a decision rests on: which joints, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphnets.skeleton import Skeleton
from graphnets.viz.clip import to_array
from graphnets.viz.figure import break_title, new_figure, place_axes, save, write_title


def attribution(
    shares: Any, skeleton: Skeleton, path: str | Path, seconds: float, title: str = "", most: int = 20
) -> Path:
    """Draw joints over time, the joints with the largest shares on top, and each one's sum beside.

    Args:
        shares: ``[T, V]``, not negative, sum 1.
        skeleton: Whose joints they are.
        path: Of the PNG.
        seconds: How long the recording is.
        title: Above the picture.
        most: How many joints are drawn.

    Returns:
        The path that was written.

    Raises:
        ValueError: There is no share of each joint.
    """
    values = to_array(shares).astype(float)
    if values.ndim != 2 or values.shape[1] != skeleton.num_joints:
        raise ValueError(f"shares have shape {values.shape}, expected [T, {skeleton.num_joints}]")
    sums = values.sum(0)
    order = np.argsort(-sums)[:most]
    tall, wide = 0.19 * len(order) + 0.2, 8.0
    heading, top = break_title(title, wide)
    figure = new_figure(wide, tall + 0.6 + top)
    write_title(figure, heading)
    ax = place_axes(figure, 1.6, 0.45, 4.7, tall, frame=True)
    ax.imshow(
        values[:, order].T, aspect="auto", cmap="Reds", interpolation="nearest", extent=(0, seconds, len(order), 0)
    )
    ax.set_yticks(np.arange(len(order)) + 0.5, [skeleton.joints[v] for v in order])
    ax.set_xlabel("s", fontsize=8)
    bars = place_axes(figure, 6.45, 0.45, 1.35, tall, frame=True)
    bars.barh(np.arange(len(order)) + 0.5, 100 * sums[order], color="#D55E00")
    bars.set_ylim(len(order), 0)
    bars.set_yticks([])
    bars.set_xlabel("%", fontsize=8)
    save(figure, Path(path))
    return Path(path)
