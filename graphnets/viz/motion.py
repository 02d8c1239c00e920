"""Motions as pictures: animations, film strips and contact sheets."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from graphnets.skeleton import Skeleton
from graphnets.viz.body import Stage, Strip, film
from graphnets.viz.charts import draw_traces
from graphnets.viz.clip import Clip
from graphnets.viz.figure import new_figure, place_axes, save
from graphnets.viz.movie import GIF_FPS, MP4_FPS, find_ffmpeg, write_gif, write_mp4

MAX_SHEET = 200


def animate(
    x: Any,
    skeleton: Skeleton,
    path: str | Path,
    fps: float = 30.0,
    mask: Any = None,
    title: str | None = None,
    *,
    channels: Sequence[str] | None = None,
    overlay: Any = None,
    overlay_mask: Any = None,
    overlay_label: str = "corrected",
    max_frames: int = 250,
    up: str = "y",
    view: str = "body",
    unit: str = "",
    color: str | None = None,
) -> Path:
    """Draw a motion in real time: 3-D from the front and from the side, 2-D as in the image (y down).

    The axes are fixed over the clip and have equal scales; single far outliers lie outside of them. Frames at
    both ends in which nothing was observed (padding) are left out. A GIF shows at most 25 frames a second.

    Args:
        x: The motion ``[T, V, C]``.
        skeleton: Its graph.
        path: Where to write. The suffix chooses: ``.gif``, ``.mp4`` (needs ffmpeg), ``.png`` (a film strip).
        fps: Frames per second of ``x``.
        mask: True where observed, ``[T, V]``.
        title: Above the picture.
        channels: Names of the ``C`` channels, by default x, y, z; ``("x", "y", "confidence")`` is 2-D.
        overlay: A second motion ``[T, V, C]``, e.g. a corrected one, in green.
        overlay_mask: True where the overlay was observed, ``[T, V]``.
        overlay_label: What the green motion is.
        max_frames: Frames are thinned out evenly to at most so many.
        up: The vertical axis, see :meth:`Clip.planes`.
        view: ``"body"`` or ``"axes"``, see :meth:`Clip.planes`.
        unit: Of the coordinates, shown at the axes.
        color: One colour for the whole body, such as red for what is to be corrected.

    Returns:
        The path that was written.

    Raises:
        ValueError: Shapes, channels, suffix, ``up`` or ``view`` are not as allowed, or nothing was observed.
        RuntimeError: ffmpeg is missing or failed.
    """
    clip = Clip(x, skeleton, fps, mask, channels, title, color)
    over = None if overlay is None else Clip(overlay, skeleton, fps, overlay_mask, channels, overlay_label)
    return animate_clip(clip, path, over, max_frames=max_frames, up=up, view=view, unit=unit)


def animate_clip(
    clip: Clip,
    path: str | Path,
    overlay: Clip | None = None,
    *,
    max_frames: int = 250,
    up: str = "y",
    view: str = "body",
    unit: str = "",
) -> Path:
    """The work of :func:`animate`, for clips. The title of ``overlay`` is its name in the legend."""
    path, clips = Path(path), [clip] if overlay is None else [clip, overlay]
    if overlay is not None and overlay.values.shape != clip.values.shape:
        raise ValueError(f"the overlay has shape {overlay.values.shape}, expected {clip.values.shape}")
    if path.suffix.lower() not in (".gif", ".mp4", ".png"):
        raise ValueError(f"{path}: suffix {path.suffix!r} is not one of .gif, .mp4, .png")
    if max_frames < 1:
        raise ValueError(f"max_frames is {max_frames}, expected 1 or more")
    planes = clip.planes(up, view)
    if path.suffix.lower() == ".png":
        save(film(clips, planes), path)
        return path
    if path.suffix.lower() == ".mp4":
        program = find_ffmpeg()
        frames, rate = clip.picked(MP4_FPS, max_frames)
        return write_mp4(path, Stage(clips, planes, unit).play(frames), rate, program)
    frames, rate = clip.picked(GIF_FPS, max_frames)
    return write_gif(path, Stage(clips, planes, unit).play(frames), rate)


def film_strip(
    clip: Clip, path: str | Path | None = None, *, frames: int = 8, up: str = "y", view: str = "body"
) -> Figure:
    """Draw frames of a motion side by side, evenly spaced in time, one row a view.

    Args:
        clip: The motion.
        path: Where to write; None writes nothing.
        frames: How many.
        up: The vertical axis, see :meth:`Clip.planes`.
        view: ``"body"`` or ``"axes"``, see :meth:`Clip.planes`.
    """
    return save(film([clip], clip.planes(up, view), frames), path)


def contact_sheet(
    clips: Sequence[Clip],
    path: str | Path | None = None,
    *,
    frames: int = 8,
    up: str = "y",
    view: str = "body",
) -> Figure:
    """Draw many recordings on one page: a short film strip of each body, a small chart of each sensor.

    Args:
        clips: The recordings, at most 200; their titles stand above them.
        path: Where to write; None writes nothing.
        frames: Frames of each film strip.
        up: The vertical axis, see :meth:`Clip.planes`.
        view: ``"body"`` (its front) or ``"axes"``, see :meth:`Clip.planes`.

    Raises:
        ValueError: No clip, or too many for one page.
    """
    if not 1 <= len(clips) <= MAX_SHEET:
        raise ValueError(f"a contact sheet holds 1 to {MAX_SHEET} recordings, not {len(clips)}")
    columns = math.ceil(math.sqrt(len(clips) / 4))
    rows = math.ceil(len(clips) / columns)
    planes = [next(iter(clip.planes(up, view).values())) if clip.dims else None for clip in clips]
    strips = [None if m is None else Strip([c], m, frames) for c, m in zip(clips, planes, strict=True)]
    high, air = 1.4, 0.4
    wide = min(8.0, max(4.0, *(high * s.width / s.height if s else 5.0 for s in strips)))
    figure = new_figure(columns * (wide + air), rows * (high + air))
    for i, (clip, strip) in enumerate(zip(clips, strips, strict=True)):
        left, bottom = i % columns * (wide + air) + 0.2, (rows - 1 - i // columns) * (high + air) + 0.1
        names = 0.0 if strip else 0.5
        ax = place_axes(figure, left + names, bottom, wide - names, high)
        title = textwrap.shorten(clip.title, int(wide / 0.075), placeholder=" …")
        place = (left / figure.get_figwidth(), (bottom + high + 0.08) / figure.get_figheight())
        figure.text(*place, title, fontsize=9, parse_math=False)
        if strip:
            strip.draw(ax, linewidth=1.6)
        else:
            draw_traces(ax, clip)
    return save(figure, path)
