"""Reading a video frame by frame, with the time of every frame and the way the phone was held."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from graphnets.video.quiet import quiet_native

MAX_PIXELS = 7680 * 4320
"""The largest picture that is read (8K): a damaged header may claim any size, and the memory for it."""
FASTEST = 1000.0
"""Frames a second. A header that claims more is not believed."""


class Frame(NamedTuple):
    """One frame: its time in seconds from the first one, and the upright picture, RGB ``[H, W, 3]`` uint8."""

    seconds: float
    picture: np.ndarray


class VideoReader:
    """The frames of a video file, in order.

    Pictures are turned upright as the file's metadata say, and parts that an edit list hides are left out, as players
    do. Times are those of the file, so that a variable frame rate is seen in them. A frame whose stamp isn't after that
    of the one before gets the next regular instant.

    Args:
        path: The file: anything that FFmpeg reads.

    Attributes:
        width: Of the upright picture.
        height: Of the upright picture.
        nominal_fps: What the header says; NaN where it says nothing sensible.
        announced: How many frames the header announces; a guess, right for progress bars alone.

    Raises:
        ValueError: The file is missing, a folder, empty, cut off, no video, without frames or too large.

    Example:
        >>> with VideoReader("squat.mp4") as video:
        ...     for seconds, picture in video:
        ...         ...
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _check_file(self.path)
        cv2 = _opencv()
        with quiet_native():  # FFmpeg says there what the message below says better
            self._capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise ValueError(f"{self.path}: not readable as a video{_guess(self.path)}")
        self.width, self.height = (
            int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if self.width * self.height > MAX_PIXELS:
            self.close()
            raise ValueError(
                f"{self.path}: pictures of {self.width} x {self.height}; at most {MAX_PIXELS:,} pixels (7680 x 4320) "
                "are read: make the video smaller first"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.nominal_fps = fps if 0 < fps <= FASTEST else math.nan
        self.announced = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self._first = self._decode()
        if self._first is None:
            self.close()
            raise ValueError(f"{self.path}: holds no frame that can be decoded")

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """The frames, once."""
        frame, begin, last = self._first, None, -math.inf
        self._first = None
        step = 1 / self.nominal_fps if self.nominal_fps > 0 else 1 / 30
        while frame is not None:
            begin = frame.seconds if begin is None else begin
            seconds = frame.seconds - begin
            if not seconds > last:
                seconds = last + step
            yield Frame(seconds, frame.picture)
            last, frame = seconds, self._decode()

    def close(self) -> None:
        """Let go of the file."""
        with quiet_native():
            self._capture.release()

    def _decode(self) -> Frame | None:
        """The next frame with its own time stamp, None at the end."""
        cv2 = _opencv()
        with quiet_native():
            ok, picture = self._capture.read()
        if not ok or picture is None:
            return None
        seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return Frame(seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _opencv() -> Any:
    # Its threads write of damaged frames at any time. Read once, when the first video is opened; -8 is silence.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise ValueError(
            'reading videos needs OpenCV, which comes along with: pip install "graphnets[video]"'
        ) from error
    return cv2


def _check_file(path: Path) -> None:
    """Refuse what is no whole file, before FFmpeg sees it."""
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give the video files in it")
    if not path.is_file():
        raise ValueError(f"{path}: is no regular file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if size == 0:
                raise ValueError(f"{path}: the file is empty (0 bytes)")
            at = 0
            while head[4:8] == b"ftyp" and at < size:  # MP4 and MOV: box after box, each with its length
                file.seek(at)
                length, name = _box(file.read(16), size - at)
                if at + length > size:
                    raise ValueError(
                        f"{path}: cut off: {size - at:,} of {length:,} bytes of its part {name!r} are there; copy or "
                        "download it again"
                    )
                at += length
    except OSError as error:
        raise ValueError(f"{path}: can't be read: {error.strerror}") from error


def _box(head: bytes, left: int) -> tuple[int, str]:
    """Length and name of an MP4 box; one without a sensible length reaches to the end of the file."""
    if len(head) < 8:
        return left, ""
    length, name = struct.unpack(">I4s", head[:8])
    if length == 1 and len(head) == 16:
        length = struct.unpack(">Q", head[8:])[0]
    return (length if length >= 8 else left), name.decode("ascii", "replace")


def _guess(path: Path) -> str:
    """What a file that is no video may be instead."""
    with path.open("rb") as file:
        begin = file.read(4096)
    if begin[4:8] == b"ftyp":
        return "; its index is damaged or missing: record, copy or download it again"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in begin)
    return (
        "; it holds text" if printable > 0.9 * len(begin) else "; a format that FFmpeg doesn't know, or a damaged file"
    )
