"""Mean curves with bands: what was measured, and what was predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphnets.viz.clip import to_array
from graphnets.viz.figure import LEFT, RIGHT, break_title, new_figure, place_axes, save, write_legend, write_title

PANEL, GAP, COLUMNS = (2.9, 1.5), (0.75, 0.65), 3


def curves(
    measured: Any,
    predicted: Any,
    names: Sequence[str],
    path: str | Path | None = None,
    *,
    unit: str = "",
    title: str | None = None,
) -> Figure:
    """Draw each target's mean over recordings, measured and predicted, with bands of one standard deviation.

    Args:
        measured: Mean and standard deviation over the recordings at points from their first to their last frame,
            ``[2, P, K]``; NaN where nothing was measured.
        predicted: Likewise.
        names: Of the ``K`` targets.
        path: Where to write (``.png``, ``.pdf``, ``.svg``); None writes nothing.
        unit: Of all targets.
        title: Above the picture.

    Raises:
        ValueError: The shapes don't fit each other or the names.
    """
    both = [to_array(measured), to_array(predicted)]
    shapes = [values.shape for values in both]
    if shapes[0] != shapes[1] or len(shapes[0]) != 3 or shapes[0][0] != 2 or shapes[0][2] != len(names) or not names:
        raise ValueError(f"curves {shapes[0]} and {shapes[1]} for {len(names)} targets; expected [2, P, K] twice")
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    width = columns * (PANEL[0] + GAP[0]) + 0.2
    heading, top = break_title(title or "", width)
    height = rows * (PANEL[1] + GAP[1]) + top + 0.35
    figure = new_figure(width, height)
    percent = np.linspace(0, 100, shapes[0][1])
    for k, name in enumerate(names):
        row, column = divmod(k, columns)
        left = GAP[0] + column * (PANEL[0] + GAP[0])
        bottom = height - top - 0.35 - (row + 1) * (PANEL[1] + GAP[1]) + GAP[1]
        ax = place_axes(figure, left, bottom, *PANEL, frame=True)
        for (mean, sd), colour in zip((values[:, :, k] for values in both), (LEFT, RIGHT), strict=True):
            ax.fill_between(percent, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0)
            ax.plot(percent, mean, color=colour, linewidth=1.4)
        ax.set_xlim(0, 100)
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.set_title(name, fontsize=9, parse_math=False)
        if k + columns >= len(names):
            ax.set_xlabel("% of the recording", fontsize=8)
        if unit and column == 0:
            ax.set_ylabel(unit, fontsize=8, parse_math=False)
    write_title(figure, heading)
    write_legend(figure, [("measured", LEFT), ("predicted", RIGHT)], GAP[0], height - top - 0.05)
    return save(figure, path)
