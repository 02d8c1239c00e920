"""Charts: the curves of a sensor, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphnets.skeleton import Skeleton
from graphnets.viz.clip import Clip, to_array
from graphnets.viz.figure import CYCLE, break_title, new_figure, place_axes, save, write_legend, write_title


def signals(
    x: Any,
    skeleton: Skeleton,
    path: str | Path | None = None,
    fps: float = 30.0,
    mask: Any = None,
    title: str | None = None,
    *,
    channels: Sequence[str] | None = None,
) -> Figure:
    """Draw a sensor's curves over time: one panel a node, one line a channel.

    Args:
        x: Values ``[T, V, C]``.
        skeleton: Its nodes: sensors, or the axes of one sensor.
        path: Where to write; None writes nothing.
        fps: Frames per second.
        mask: True where observed, ``[T, V]``; elsewhere the line is broken.
        title: Above the picture.
        channels: Names of the ``C`` channels.

    Raises:
        ValueError: Shapes don't fit, or nothing was observed.
    """
    clip = Clip(x, skeleton, fps, mask, channels, title)
    nodes, count = skeleton.num_joints, len(clip.channels)
    heading, top = break_title(clip.title, 8.0)
    legend = 0.3 if count > 1 else 0.0
    each = float(np.clip(12.0 / nodes, 0.45, 1.1))
    figure = new_figure(8.0, nodes * each + top + legend + 0.5)
    height = figure.get_figheight()
    time = np.arange(len(clip.values)) / clip.fps
    for v, name in enumerate(skeleton.joints):
        bottom = height - top - legend - (v + 1) * each
        ax = place_axes(figure, 1.6, bottom + 0.06, 6.2, each - 0.12, frame=True)
        for c in range(count):
            ax.plot(time, clip.values[:, v, c], color=CYCLE[c % len(CYCLE)], linewidth=1.1)
        ax.set_xlim(0, max(time[-1], 1 / clip.fps))
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, labelpad=8, parse_math=False)
        ax.yaxis.set_label_coords(-0.075, 0.5)
        if v < nodes - 1:
            ax.tick_params(labelbottom=False)
        else:
            ax.set_xlabel("time (s)", fontsize=9)
    write_title(figure, heading)
    if legend:
        names = [(name, CYCLE[c % len(CYCLE)]) for c, name in enumerate(clip.channels)]
        write_legend(figure, names, 1.6, height - top - 0.12)
    return save(figure, path)


def draw_traces(ax: Axes, clip: Clip) -> None:
    """A sensor's curves as stacked traces, each node scaled to its own range."""
    time = np.arange(len(clip.values)) / clip.fps
    nodes = clip.skeleton.num_joints
    for v in range(nodes):
        curves = clip.values[:, v]
        seen = curves[~np.isnan(curves)]
        low, high = (seen.min(), seen.max()) if len(seen) else (0.0, 1.0)
        trace = nodes - 1 - v + 0.85 * (curves - low) / ((high - low) or 1.0)
        ax.plot(time, trace, color=CYCLE[v % len(CYCLE)], linewidth=0.8)
    ax.set_axis_on()
    ax.spines[:].set_visible(False)
    ax.set_xlim(0, max(time[-1], 1 / clip.fps))
    ax.tick_params(labelsize=7, length=0, pad=1)
    if nodes <= 12:
        ax.set_yticks(np.arange(nodes)[::-1] + 0.4, clip.skeleton.joints, parse_math=False)
    else:
        ax.set_yticks([])


def confusion_matrix(
    matrix: Any, classes: Sequence[str], path: str | Path | None = None, *, title: str | None = None
) -> Figure:
    """Draw a confusion matrix: colour is the share of the true class (row), numbers are counts.

    Args:
        matrix: Counts ``[K, K]``, rows true, columns predicted.
        classes: The ``K`` names.
        path: Where to write (``.png``, ``.pdf``, ``.svg``); None writes nothing.
        title: Above the picture.

    Returns:
        The figure. Counts other than 0 are written up to 30 classes.

    Raises:
        ValueError: The matrix is not square, holds no counts, or doesn't fit the names.
    """
    counts, k = to_array(matrix), len(classes)
    if counts.shape != (k, k) or k == 0:
        raise ValueError(f"a confusion matrix of shape {counts.shape} doesn't fit {k} classes")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("a confusion matrix holds counts: numbers of 0 or more")
    rows = counts.sum(1, keepdims=True)
    share = counts / np.where(rows > 0, rows, 1)
    cell = float(np.clip(10.0 / k, 0.16, 0.8))
    font = float(np.clip(cell * 24, 5, 10))
    label = max(map(len, classes)) * 0.62 * font / 72 + 0.45
    heading, top = break_title(title or "", k * cell + label)
    width, height = label + k * cell + 0.95, label + k * cell + top + 0.1
    figure = new_figure(width, height)
    ax = figure.add_axes((label / width, label / height, k * cell / width, k * cell / height))
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(k), classes, rotation=90, fontsize=font, parse_math=False)
    ax.set_yticks(range(k), classes, fontsize=font, parse_math=False)
    ax.set_xlabel("predicted", fontsize=10)
    ax.set_ylabel("true", fontsize=10)
    ax.set_xticks(np.arange(1, k) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, k) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    for i, j in np.argwhere(counts > 0) if k <= 30 else ():
        ink = "white" if share[i, j] > 0.5 else "black"
        ax.text(j, i, f"{counts[i, j]:g}", color=ink, fontsize=0.9 * font, ha="center", va="center")
    scale = place_axes(figure, label + k * cell + 0.15, label, 0.14, k * cell, frame=True)
    bar = figure.colorbar(image, cax=scale)
    bar.outline.set_visible(False)
    bar.set_label("share of the true class", fontsize=9)
    write_title(figure, heading)
    return save(figure, path)
