"""Writing frames as GIF or MP4, in real time and in one piece."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from graphnets.data.files import atomic_path
from graphnets.viz.figure import CENTRE, LEFT, OVERLAY, RIGHT, WRONG

GIF_FPS, MP4_FPS = 25.0, 60.0
"""The most frames a second that are written: players slow faster GIFs down."""


def write_gif(path: Path, pictures: Iterable[Image.Image], fps: float) -> Path:
    """Write a GIF whose total time is right: its unit is 10 ms, so single frames are rounded by turns."""
    palette = _palette()
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = np.round(100 * np.arange(len(frames) + 1) / fps).astype(int) * 10
    with atomic_path(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=np.diff(times).tolist(),
            loop=0,
            optimize=False,
        )
    return path


def _palette() -> Image.Image:
    """One palette for all frames: every colour in use, blended with white and with black."""
    shades = np.linspace(0, 1, 20)[:, None]
    ramps = [np.array(to_rgb(c)) * (1 - shades) + shades for c in (LEFT, RIGHT, OVERLAY, CENTRE, WRONG, "#000000")]
    colors = np.concatenate([np.ones((1, 3)), *ramps])
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.round(255 * colors).astype(np.uint8).ravel().tolist())
    return palette


def find_ffmpeg() -> str:
    """The ffmpeg program.

    Raises:
        RuntimeError: It is not on the PATH.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise RuntimeError("MP4 needs the program ffmpeg, which is not on the PATH: install it, or write a GIF")
    return program


def write_mp4(path: Path, pictures: Iterable[Image.Image], fps: float, program: str) -> Path:
    """Pipe raw frames into ffmpeg (H.264, playable everywhere).

    Raises:
        RuntimeError: ffmpeg failed; with what it said.
    """
    pictures = iter(pictures)
    first = next(pictures)
    size = f"{first.width}x{first.height}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{fps:g}", "-i", "-"]
    target = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    with atomic_path(path) as temporary:
        command = [program, "-y", "-loglevel", "error", *source, *target, str(temporary)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
            assert encoder.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it gave up; why is read below
                for picture in itertools.chain([first], pictures):
                    encoder.stdin.write(picture.tobytes())
            _, reason = encoder.communicate()
        if encoder.returncode:
            raise RuntimeError(f"ffmpeg could not write {path}: {reason.decode(errors='replace').strip()}")
    return path
