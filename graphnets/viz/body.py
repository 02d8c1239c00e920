"""Bodies: a stick figure, a stage on which it moves, and the film strip of a motion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from PIL import Image

from graphnets.skeleton import Skeleton
from graphnets.viz.clip import Array, Clip, limits_of, project, to_array
from graphnets.viz.figure import (
    CENTRE,
    LEFT,
    OVERLAY,
    RIGHT,
    TICKS,
    break_title,
    new_figure,
    place_axes,
    write_legend,
    write_title,
)


class StickFigure:
    """Bones and joints of one body on one axes; moves without redrawing anything else.

    Args:
        ax: Where to draw.
        skeleton: Joints, edges, and which joint is left or right.
        color: One colour for the whole body instead of left, right and centre.
        linewidth: Of the bones, in points.
        animated: Leave the drawing to :meth:`draw`.
        zorder: Of the bones; joints lie just above.
    """

    def __init__(
        self,
        ax: Axes,
        skeleton: Skeleton,
        color: str | None = None,
        linewidth: float = 2.5,
        animated: bool = False,
        zorder: float = 2.0,
    ) -> None:
        left, right = ({pair[side] for pair in skeleton.mirror_pairs} for side in (0, 1))
        sides = [LEFT if v in left else RIGHT if v in right else CENTRE for v in range(skeleton.num_joints)]
        self.ax, self.edges = ax, np.asarray(skeleton.edges, dtype=int).reshape(-1, 2)
        bones = [color or _bone_color(sides[a], sides[b]) for a, b in self.edges]
        self.bones = LineCollection([], colors=bones, linewidths=linewidth, capstyle="round", zorder=zorder)
        ax.add_collection(self.bones, autolim=False)
        nowhere = np.zeros(skeleton.num_joints)
        dots, area = [color or side for side in sides], (1.8 * linewidth) ** 2
        self.joints = ax.scatter(nowhere, nowhere, s=area, c=dots, linewidths=0, zorder=zorder + 0.1)
        for artist in (self.bones, self.joints):
            artist.set_animated(animated)

    def move(self, points: Array, visible: Array) -> None:
        """Put the body at ``points [V, 2]``; joints that are not ``visible [V]``, and their bones, vanish."""
        points = np.where(visible[:, None], points[:, :2], np.nan)
        # What lies at NaN is not drawn, so every bone and joint keeps its place in the list of colours.
        self.bones.set_segments(list(points[self.edges]))
        self.joints.set_offsets(points)

    def draw(self) -> None:
        """Draw onto the canvas as it is (for blitting)."""
        self.ax.draw_artist(self.bones)
        self.ax.draw_artist(self.joints)


def skeleton_frame(
    ax: Axes, x: Any, mask: Any, skeleton: Skeleton, *, color: str | None = None, linewidth: float = 2.5
) -> StickFigure:
    """Draw one frame of a body.

    Args:
        ax: Where to draw; its limits grow to hold the body, with equal scales.
        x: Joints ``[V, C]``; the first two channels are the picture's horizontal and vertical.
        mask: True where observed, ``[V]``, or None.
        skeleton: The body's graph.
        color: One colour for the whole body instead of left, right and centre.
        linewidth: Of the bones, in points.

    Returns:
        The figure, which :meth:`StickFigure.move` moves.
    """
    clip = Clip(to_array(x)[None], skeleton, mask=None if mask is None else to_array(mask)[None])
    body = StickFigure(ax, skeleton, color, linewidth)
    points, visible = clip.values[0, :, :2], clip.visible[0]
    body.move(points, visible)
    ax.update_datalim(points[visible])
    ax.autoscale_view()
    ax.set_aspect("equal")
    return body


class Stage:
    """A figure with one axes a view, whose bodies and clock move over a background drawn once."""

    def __init__(self, clips: Sequence[Clip], planes: dict[str, Array], unit: str = "") -> None:
        self.clips, self.matrices = clips, list(planes.values())
        limits = [limits_of([project(clip.values, matrix) for clip in clips]) for matrix in self.matrices]
        lows, highs = np.array(limits).transpose(1, 0, 2)  # [views, 2]
        size = highs - lows
        scale = min(3.6 / size[:, 1].max(), 8.5 / size[:, 0].sum())  # inches a unit
        # A narrow body gets air on both sides, so that title and legend have room.
        size[:, 0] += max(0.0, 4.4 / scale - size[:, 0].sum()) / len(size)
        middle = (lows + highs) / 2
        widths, tall = size[:, 0] * scale, max(1.2, float(size[:, 1].max() * scale))
        left, bottom, gap = 0.55, 0.72, 0.55
        wide = left + float(widths.sum()) + gap * (len(widths) - 1) + 0.2
        heading, top = break_title(clips[0].title, wide)
        figure = new_figure(wide, bottom + tall + 0.3 + top)
        wide, high = figure.get_size_inches()
        write_title(figure, heading)
        self.bodies: list[list[StickFigure]] = []
        for i, name in enumerate(planes):
            ax = place_axes(figure, left + widths[:i].sum() + gap * i, bottom, widths[i], tall, frame=True)
            half = np.array([widths[i], tall]) / scale / 2
            ax.set_xlim(middle[i, 0] - half[0], middle[i, 0] + half[0])
            ax.set_ylim(middle[i, 1] - half[1], middle[i, 1] + half[1])
            step = np.diff(MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, tall / scale))[0]
            ax.xaxis.set_major_locator(MultipleLocator(step))
            ax.yaxis.set_major_locator(MultipleLocator(step))
            if self.clips[0].dims == 2:
                ax.invert_yaxis()
            ax.set_title(name, fontsize=9, color=TICKS, pad=3)
            ax.set_xlabel(unit, fontsize=8, color=TICKS, labelpad=1)
            self.bodies.append(stick_figures(ax, clips, animated=True))
        write_legend(figure, _sides(clips), left, 0.2)
        self.clock = figure.text(1 - 0.2 / wide, 0.2 / high, "", fontsize=9, ha="right", va="center")
        self.clock.set_animated(True)
        self.figure, self.canvas = figure, FigureCanvasAgg(figure)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    def play(self, frames: Iterable[int]) -> Iterator[Image.Image]:
        """Draw frame after frame."""
        seen = np.flatnonzero(self.clips[0].visible.any(1))[0]
        for t in frames:
            self.canvas.restore_region(self.background)
            for matrix, bodies in zip(self.matrices, self.bodies, strict=True):
                for clip, body in zip(self.clips, bodies, strict=True):
                    body.move(project(clip.values[t], matrix), clip.visible[t])
                    body.draw()
            self.clock.set_text(f"{(t - seen) / self.clips[0].fps:.2f} s")
            self.figure.draw_artist(self.clock)
            yield Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


class Strip:
    """Frames of a motion side by side, evenly spaced in time, each centred on the first clip's body."""

    def __init__(self, clips: Sequence[Clip], matrix: Array, frames: int) -> None:
        self.clips, self.frames = clips, clips[0].picked(clips[0].fps, max(1, frames))[0]
        self.points = [project(clip.values[self.frames], matrix) for clip in clips]  # [n, V, 2]
        centre = np.ma.median(np.ma.masked_invalid(self.points[0][..., 0]), axis=1).filled(0.0)
        for points in self.points:
            points[..., 0] -= centre[:, None]
        low, high = limits_of(self.points)
        cell = high[0] - low[0]
        self.middles = np.arange(len(self.frames)) * cell - low[0]
        for points in self.points:
            points[..., 0] += self.middles[:, None]
        self.width = cell * len(self.frames)
        room = 0.1 * (high[1] - low[1])  # for the clock below the feet
        self.vertical = (high[1] + room, low[1]) if clips[0].dims == 2 else (low[1] - room, high[1])
        self.height = abs(self.vertical[1] - self.vertical[0])

    def draw(self, ax: Axes, linewidth: float = 2.0) -> None:
        """Fill an axes with the bodies and the time below each."""
        for n, t in enumerate(self.frames):
            bodies = stick_figures(ax, self.clips, linewidth)
            for clip, body, points in zip(self.clips, bodies, self.points, strict=True):
                body.move(points[n], clip.visible[t])
            clock = f"{(t - self.frames[0]) / self.clips[0].fps:.2f} s"
            low = (self.middles[n], self.vertical[0])
            ax.annotate(clock, low, ha="center", va="bottom", fontsize=7, color=TICKS, annotation_clip=False)
        ax.set_xlim(0, self.width)
        ax.set_ylim(self.vertical)
        ax.set_aspect("equal", anchor="SW")


def film(clips: Sequence[Clip], planes: dict[str, Array], frames: int = 8) -> Figure:
    """A figure with one strip a view; the arguments as in :class:`Strip` and :class:`Stage`."""
    strips = {name: Strip(clips, matrix, frames) for name, matrix in planes.items()}
    scale = min(2.4 / max(s.height for s in strips.values()), 14.0 / max(s.width for s in strips.values()))
    width = max(5.0, max(s.width for s in strips.values()) * scale + 0.3)
    heading, top = break_title(clips[0].title, width)
    y = sum(s.height * scale + 0.3 for s in strips.values()) + 0.4
    figure = new_figure(width, y + top)
    for name, strip in strips.items():
        y -= strip.height * scale + 0.3
        ax = place_axes(figure, 0.1, y, figure.get_figwidth() - 0.2, strip.height * scale)
        strip.draw(ax)
        ax.set_title(name, fontsize=9, color=TICKS, loc="left", pad=2)
    write_title(figure, heading)
    write_legend(figure, _sides(clips), 0.15, 0.2)
    return figure


def stick_figures(ax: Axes, clips: Sequence[Clip], linewidth: float = 2.5, animated: bool = False) -> list[StickFigure]:
    """A body for each clip. The overlay is green and thinner: where both coincide, both are seen."""
    first = StickFigure(ax, clips[0].skeleton, clips[0].color, linewidth, animated)
    return [first, *(StickFigure(ax, c.skeleton, OVERLAY, 0.6 * linewidth, animated, 3.0) for c in clips[1:])]


def _bone_color(a: str, b: str) -> str:
    """A bone from the trunk to a limb is the limb's; one from left to right is the trunk's."""
    sides = {a, b} - {CENTRE}
    return sides.pop() if len(sides) == 1 else CENTRE


def _sides(clips: Sequence[Clip]) -> list[tuple[str, str]]:
    """The legend's entries: name and colour."""
    sides = [("left", LEFT), ("right", RIGHT)] if clips[0].skeleton.mirror_pairs else []
    if clips[0].color:
        sides = [("recorded", clips[0].color)]
    return sides + [(clip.title, OVERLAY) for clip in clips[1:]]
