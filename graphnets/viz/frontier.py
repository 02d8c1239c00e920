"""What accuracy costs: one point a network, and the front of those that none beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from graphnets.viz.figure import CENTRE, CYCLE, RIGHT, break_title, new_figure, place_axes, save, write_title


class Candidate(NamedTuple):
    """A network: how good it is, with its standard deviation over seeds (None for one seed), and its costs."""

    name: str
    score: float
    sd: float | None
    costs: tuple[float, ...]


def pareto(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Those that no other beats: none costs as little and scores more, or costs less and scores as much.

    Returns:
        Their positions, from the cheapest to the best.
    """
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i])):
        if not front or scores[i] > scores[front[-1]]:
            front.append(i)
    return front


def frontier(
    candidates: Sequence[Candidate],
    costs: Sequence[str],
    score: str,
    path: str | Path | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw the score against each cost (logarithmic), with the front as a line and sd over seeds as bars.

    Args:
        candidates: The networks.
        costs: What the costs are, with their units; a panel each.
        score: What the score is.
        path: Where to write (``.png``, ``.pdf``, ``.svg``); None writes nothing.
        title: Above the picture.

    Raises:
        ValueError: There is no candidate, one has another number of costs, or a number isn't finite (a cost: positive).
    """
    if not candidates:
        raise ValueError("a frontier needs at least one network")
    for c in candidates:
        if len(c.costs) != len(costs):
            raise ValueError(f"{c.name}: {len(c.costs)} costs, but {len(costs)} names: {', '.join(costs)}")
        if not math.isfinite(c.score) or not all(0 < value < math.inf for value in c.costs):
            raise ValueError(f"{c.name}: score {c.score}, costs {c.costs}; they must be finite, and costs positive")
    width, panel = 5.6, 3.6
    heading, top = break_title(title or "", width * len(costs))
    figure = new_figure(width * len(costs), panel + top + 0.7)
    for k, cost in enumerate(costs):
        ax = place_axes(figure, k * width + 0.75, 0.55, width - 1.1, panel, frame=True)
        ax.set_xscale("log")
        values = [c.costs[k] for c in candidates]
        front = pareto(values, [c.score for c in candidates])
        corners = [(values[i], candidates[i].score) for i in front]
        ax.plot(*zip(*corners, strict=True), color=RIGHT, linewidth=1, drawstyle="steps-post", zorder=1)
        for i, c in enumerate(candidates):
            color = CYCLE[0] if i in front else CENTRE
            ax.errorbar(values[i], c.score, yerr=c.sd or 0, fmt="o", color=color, markersize=4, linewidth=1, capsize=2)
            ax.annotate(
                c.name, (values[i], c.score), (4, 4), textcoords="offset points", fontsize=7.5, color=color,
                parse_math=False,
            )  # fmt: skip
        ax.margins(x=0.18, y=0.12)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(cost, fontsize=9)
        ax.set_ylabel(score, fontsize=9)
    write_title(figure, heading)
    return save(figure, path)
