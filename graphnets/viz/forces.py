"""A body with what acts on it: ground reactions at their centres of pressure, the axes of its sensors, another view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from PIL import Image

from graphnets.viz.body import StickFigure
from graphnets.viz.clip import Array, Clip, limits_of, project
from graphnets.viz.figure import (
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
from graphnets.viz.movie import GIF_FPS, MP4_FPS, find_ffmpeg, write_gif, write_mp4

FORCE = "#000000"
AXIS_COLORS = (RIGHT, OVERLAY, LEFT)
"""Of the x, y and z axis of a sensor."""
BARB = 0.12
"""Length of an arrow's barbs, of its own."""


@dataclass(frozen=True)
class Acting:
    """What is drawn beside a body, at its frames; NaN is not drawn.

    Attributes:
        force: In body weights, ``[T, K, 3]``.
        centre: Where it acts, in the unit of the body, ``[T, K, 3]``.
        origin: Places of sensors, ``[T, S, 3]``; may have no sensor.
        axes: Directions of their x, y and z axes, ``[T, S, 3, 3]``: the columns of the sensor's rotation.
        length: Of an arrow of one body weight, in the unit of the body.
    """

    force: Array
    centre: Array
    origin: Array
    axes: Array
    length: float = 0.7

    def arrows(self) -> Array:
        """Both ends of the forces, ``[T, K, 2, 3]``."""
        shown = np.where((np.abs(self.force) > 0.01).any(-1, keepdims=True), self.force, np.nan)
        return np.stack([self.centre, self.centre + self.length * shown], axis=2)

    def spikes(self) -> Array:
        """Both ends of the sensors' axes, x, y and z of one sensor after the other, ``[T, 3 S, 2, 3]``."""
        tips = self.origin[:, :, None] + 0.17 * self.length * np.moveaxis(self.axes, -1, -2)
        both = np.stack([np.broadcast_to(self.origin[:, :, None], tips.shape), tips], axis=3)
        return both.reshape(len(both), -1, 2, 3)


def barbed(ends: Array) -> Array:
    """Arrows ``[K, 2, 2]`` with two barbs each, as lines of five points ``[K, 5, 2]``."""
    tail, tip = ends[:, 0], ends[:, 1]
    along = tip - tail
    aside = 0.5 * np.stack([-along[:, 1], along[:, 0]], axis=-1)
    return np.stack([tail, tip, tip - BARB * (along + aside), tip, tip - BARB * (along - aside)], axis=1)


class ForceStage:
    """A figure of a body in two planes, and perhaps of another view of it, that moves over a background drawn once."""

    def __init__(
        self, clip: Clip, acting: Acting, view: Clip | None = None, *, up: str = "y", side: str = "body", unit: str = ""
    ) -> None:
        planes = clip.planes(up, side)
        self.clip, self.view, self.matrices = clip, view, list(planes.values())
        self.arrows, self.spikes = acting.arrows(), acting.spikes()
        drawn = [clip.values[..., :3], self.arrows, self.spikes]
        boxes = [limits_of([project(x, matrix) for x in drawn if x.size]) for matrix in self.matrices]
        if view is not None:
            # Pixels become the body's unit: both are equally high.
            low, high = limits_of([view.values[..., :2]])
            self.scale = float((boxes[0][1] - boxes[0][0])[1] / (high - low)[1])
            boxes.append((low * self.scale, high * self.scale))
        lows, highs = np.array(boxes).transpose(1, 0, 2)
        size = highs - lows
        scale = min(3.6 / size[:, 1].max(), 10.0 / size[:, 0].sum())
        size[:, 0] = np.maximum(size[:, 0], 2.0 / scale)
        widths, tall = size[:, 0] * scale, max(1.2, float(size[:, 1].max() * scale))
        left, bottom, gap = 0.5, 0.6, 0.4
        wide = left + float(widths.sum()) + gap * (len(widths) - 1) + 0.2
        heading, top = break_title(clip.title, wide)
        figure = new_figure(wide, bottom + tall + 0.3 + top)
        write_title(figure, heading)
        self.panels: list[_Panel] = []
        for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
            ax = place_axes(figure, left + widths[:i].sum() + gap * i, bottom, widths[i], tall, frame=True)
            half, middle = np.array([widths[i], tall]) / scale / 2, (low + high) / 2
            ax.set_xlim(middle[0] - half[0], middle[0] + half[0])
            ax.set_ylim(middle[1] - half[1], middle[1] + half[1])
            other = i >= len(self.matrices)
            if other:
                ax.invert_yaxis()
                ax.set_xticklabels([])
                ax.set_yticklabels([])
            ax.set_title(view.title if view is not None and other else list(planes)[i], fontsize=9, color=TICKS, pad=3)
            ax.set_xlabel("" if other else unit, fontsize=8, color=TICKS, labelpad=1)
            self.panels.append(
                _Panel(ax, view if view is not None and other else clip, 0 if other else len(self.spikes[0]))
            )
        names = [("left", LEFT), ("right", RIGHT), ("ground reaction", FORCE)]
        axes = [(f"sensor {a}", c) for a, c in zip("xyz", AXIS_COLORS, strict=True)] if self.spikes.shape[1] else []
        write_legend(figure, names + axes, left, 0.2)
        wide, high_ = figure.get_size_inches()
        self.clock = figure.text(1 - 0.2 / wide, 0.2 / high_, "", fontsize=9, ha="right", va="center")
        self.clock.set_animated(True)
        self.figure, self.canvas = figure, FigureCanvasAgg(figure)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(figure.bbox)

    def play(self, frames: Iterable[int]) -> Iterator[Image.Image]:
        """Draw frame after frame."""
        for t in frames:
            self.canvas.restore_region(self.background)
            for panel, matrix in zip(self.panels, self.matrices, strict=False):
                ends = barbed(project(self.arrows[t], matrix))
                panel.show(
                    project(self.clip.values[t], matrix), self.clip.visible[t], ends, project(self.spikes[t], matrix)
                )
            if self.view is not None:
                # The views of a recording have its frames; another rate is shown by the nearest one.
                near = min(round(t / self.clip.fps * self.view.fps), len(self.view.values) - 1)
                self.panels[-1].show(self.view.values[near, :, :2] * self.scale, self.view.visible[near])
            self.clock.set_text(f"{t / self.clip.fps:.2f} s")
            self.figure.draw_artist(self.clock)
            yield Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


class _Panel:
    """One axes with a body, arrows and the axes of sensors."""

    def __init__(self, ax: Axes, clip: Clip, spikes: int) -> None:
        self.ax, self.body = ax, StickFigure(ax, clip.skeleton, None, 2.5, True)
        colors = [AXIS_COLORS[i % 3] for i in range(spikes)]
        self.arrows = LineCollection([], colors=FORCE, linewidths=1.8, zorder=4.0)
        self.spikes = LineCollection([], colors=colors, linewidths=1.4, zorder=3.5)
        for lines in (self.arrows, self.spikes):
            lines.set_animated(True)
            ax.add_collection(lines, autolim=False)

    def show(self, points: Array, visible: Array, arrows: Array | None = None, spikes: Array | None = None) -> None:
        self.body.move(points, visible)
        self.body.draw()
        for lines, ends in ((self.spikes, spikes), (self.arrows, arrows)):
            if ends is not None and len(ends):
                lines.set_segments(list(ends))
                self.ax.draw_artist(lines)


def animate_forces(
    clip: Clip,
    acting: Acting,
    path: str | Path,
    view: Clip | None = None,
    *,
    max_frames: int = 250,
    up: str = "y",
    side: str = "body",
    unit: str = "",
) -> Path:
    """Write a moving picture of a body, the forces on it and the axes of its sensors.

    Args:
        clip: The body, in three dimensions.
        acting: What acts on it, with its frames.
        path: ``.gif``, ``.mp4``, or ``.png`` for the middle frame alone.
        view: A camera's picture of the same recording, drawn beside it.
        max_frames: The largest number of frames that are drawn.
        up: The vertical axis, see ``Clip.planes``.
        side: ``body`` or ``axes``, see ``Clip.planes``.
        unit: Of the body.

    Returns:
        The path.

    Raises:
        ValueError: The clip is not of three dimensions, the frames differ, or the suffix is unknown.
        RuntimeError: ffmpeg is missing or failed.
    """
    path = Path(path)
    if clip.dims != 3:
        raise ValueError(f"forces are drawn on a body in three dimensions, not on channels {', '.join(clip.channels)}")
    if {len(x) for x in (acting.force, acting.centre, acting.origin, acting.axes)} != {len(clip.values)}:
        raise ValueError(f"forces and sensors must have the body's {len(clip.values)} frames")
    if path.suffix.lower() not in (".gif", ".mp4", ".png"):
        raise ValueError(f"{path}: suffix {path.suffix!r} is not one of .gif, .mp4, .png")
    program = find_ffmpeg() if path.suffix.lower() == ".mp4" else ""
    stage = ForceStage(clip, acting, view, up=up, side=side, unit=unit)
    if path.suffix.lower() == ".png":
        next(stage.play([len(clip.values) // 2])).save(path)
        return path
    frames, rate = clip.picked(MP4_FPS if program else GIF_FPS, max_frames)
    if program:
        return write_mp4(path, stage.play(frames), rate, program)
    return write_gif(path, stage.play(frames), rate)
