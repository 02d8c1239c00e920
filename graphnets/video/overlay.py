"""An annotated video: the skeleton on the picture, what was said, and the corrected pose beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphnets.data.files import atomic_path
from graphnets.skeleton import Skeleton
from graphnets.video.landmarks import Landmarks
from graphnets.video.reading import VideoReader, _opencv

RED, GREEN, WHITE, GREY = (204, 51, 17), (0, 158, 115), (255, 255, 255), (120, 120, 120)
PANEL = 0.6
"""Width of the panel beside the picture, in heights of the picture."""
MAX_HEIGHT = 720
"""Pictures are made smaller than this, for small files."""


@dataclass
class Said:
    """What is shown during a repetition.

    Attributes:
        start: Its first frame.
        end: Its last.
        lines: Text, from the end of the repetition on.
        recorded: The repetition as the task reads it ``[T, V, 3]``, NaN where unobserved.
        corrected: As it would be right, or None.
    """

    start: int
    end: int
    lines: Sequence[str]
    recorded: np.ndarray
    corrected: np.ndarray | None


def write_overlay(
    video: str | Path,
    landmarks: Landmarks,
    said: Sequence[Said],
    skeleton: Skeleton,
    path: str | Path,
    title: str = "",
    tick: Callable[[int], None] | None = None,
) -> Path:
    """Go through the video once more and draw.

    Args:
        video: The file that the landmarks are of.
        landmarks: Of every frame.
        said: In order of time.
        skeleton: Of the repetitions in ``said``.
        path: Of the MP4.
        title: Shown all the time.
        tick: Called after every frame with the number of frames done.

    Returns:
        The path that was written.

    Raises:
        ValueError: The video can't be written in this format.
    """
    cv2, path = _opencv(), Path(path)
    seen, body = landmarks.mask(), Skeleton.load("mediapipe33")
    with VideoReader(video) as reader, atomic_path(path) as temporary:
        scale = min(1.0, MAX_HEIGHT / reader.height)
        size = _even(reader.width * scale), _even(reader.height * scale)
        whole = size[0] + _even(PANEL * size[1]), size[1]
        target = temporary.with_suffix(".mp4")  # by which OpenCV knows the format
        out = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), landmarks.fps, whole)
        try:
            if not out.isOpened():
                raise ValueError(f"{path}: this OpenCV can't write MP4 files")
            for t, (_, picture) in enumerate(reader):
                if t >= len(landmarks):
                    break
                canvas = np.full((whole[1], whole[0], 3), 255, np.uint8)
                canvas[:, : size[0]] = cv2.resize(picture, size)
                _body(cv2, canvas, landmarks.pixels[t] * scale, seen[t], body, GREEN, 3)
                _write(cv2, canvas, [title, *_lines(said, t)], size)
                now = next((s for s in said if s.start <= t <= s.end), None)
                if now is not None:
                    _panel(cv2, canvas, now, t, skeleton, size)
                out.write(canvas[..., ::-1])
                if tick:
                    tick(t + 1)
        except BaseException:  # an interruption too must leave nothing half-written
            out.release()
            target.unlink(missing_ok=True)
            raise
        out.release()
        target.replace(temporary)
    return path


def _even(value: float) -> int:
    return max(2, 2 * int(value / 2))


def _lines(said: Sequence[Said], t: int) -> list[str]:
    done = [s for s in said if s.end <= t]
    return [f"repetitions: {len(done)}", *(done[-1].lines if done else ())]


def _write(cv2: Any, canvas: np.ndarray, lines: Sequence[str], size: tuple[int, int]) -> None:
    high = size[1] / 26
    for i, line in enumerate(line for line in lines if line):
        place = (int(0.4 * high), int((i + 1.2) * 1.25 * high))
        for color, width in (((0, 0, 0), 4), (WHITE, 1)):
            cv2.putText(canvas, line, place, cv2.FONT_HERSHEY_SIMPLEX, high / 30, color, width, cv2.LINE_AA)


def _body(
    cv2: Any, canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, skeleton: Skeleton,
    color: tuple[int, int, int], width: int,
) -> None:  # fmt: skip
    places = np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0).round().astype(int)
    for a, b in skeleton.edges:
        if seen[a] and seen[b]:
            cv2.line(canvas, places[a].tolist(), places[b].tolist(), color, width, cv2.LINE_AA)


def _panel(cv2: Any, canvas: np.ndarray, now: Said, t: int, skeleton: Skeleton, size: tuple[int, int]) -> None:
    """The repetition from the front, recorded in red and corrected in green."""
    k = min(t - now.start, len(now.recorded) - 1)
    low, high = np.nanmin(now.recorded, (0, 1)), np.nanmax(now.recorded, (0, 1))
    middle, reach = (low + high) / 2, max(float((high - low)[:2].max()), 1e-3)
    room = 0.8 * min(canvas.shape[1] - size[0], size[1])
    centre = np.array([(canvas.shape[1] + size[0]) / 2, size[1] / 2])
    for pose, color in ((now.recorded, RED), (now.corrected, GREEN)):
        if pose is None:
            continue
        flat = (pose[k, :, :2] - middle[:2]) * room / reach * np.array([1, -1]) + centre
        _body(cv2, canvas, flat, np.isfinite(flat).all(1), skeleton, color, 2)
    for i, (text, color) in enumerate((("recorded", RED), ("corrected", GREEN))):
        place = (size[0] + 10, size[1] - 12 - 22 * i)
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
