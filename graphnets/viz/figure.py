"""Figures in inches: axes, titles and legends that fit, saved in one piece.

Everything is drawn on ``Figure`` objects with the Agg canvas: no display, and nothing of pyplot's state.
The palette is Okabe and Ito's, which stays apart for colour-blind readers.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from graphnets.data.files import atomic_path

LEFT, RIGHT, CENTRE, OVERLAY = "#0072B2", "#D55E00", "#555555", "#009E73"
WRONG = "#CC3311"
"""What is to be corrected."""
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TICKS, GRID = "#8A8A8A", "#E8E8E8"
DPI = 100


def new_figure(width: float, height: float) -> Figure:
    """A white figure in inches, with even numbers of pixels as video encoders demand."""
    pixels = (2 * math.ceil(width * DPI / 2), 2 * math.ceil(height * DPI / 2))
    figure = Figure(figsize=(pixels[0] / DPI, pixels[1] / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def place_axes(figure: Figure, left: float, bottom: float, width: float, height: float, frame: bool = False) -> Axes:
    """An axes at a place in inches: bare, or with a light grid and small ticks."""
    wide, high = figure.get_size_inches()
    ax = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
    if frame:
        ax.grid(color=GRID, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=7, colors=TICKS, length=0, pad=2)
        ax.spines[:].set_color(GRID)
    else:
        ax.set_axis_off()
    return ax


def break_title(title: str, width: float) -> tuple[str, float]:
    """A title broken into lines that fit ``width`` inches, and the height in inches that it takes."""
    lines = textwrap.wrap(title, max(10, int((width - 0.3) / 0.082)))
    return "\n".join(lines), 0.18 * len(lines) + (0.18 if lines else 0.05)


def write_title(figure: Figure, heading: str) -> None:
    """Put a broken title into the upper left corner."""
    wide, high = figure.get_size_inches()
    figure.text(0.12 / wide, 1 - 0.1 / high, heading, fontsize=10, va="top", parse_math=False)


def write_legend(figure: Figure, entries: Iterable[tuple[str, str]], left: float, bottom: float) -> None:
    """Names in their colours, in one line that begins at a place in inches."""
    wide, high = figure.get_size_inches()
    for name, color in entries:
        figure.text(left / wide, bottom / high, name, color=color, fontsize=9, va="center", parse_math=False)
        left += 0.085 * len(name) + 0.2


def save(figure: Figure, path: str | Path | None) -> Figure:
    """Write a figure in one piece, if a path is given."""
    if path is None:
        return figure
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in (formats := figure.canvas.get_supported_filetypes()):
        raise ValueError(f"{path}: suffix {suffix!r} is not one of {', '.join(sorted(formats))}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=DPI)
    return figure
