"""Tiny videos of every kind, written with OpenCV and, where it can't, by editing the boxes of its MP4."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 64, 48


def picture(i: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frame ``i`` (BGR): dark but for a quarter at the upper left, whose grey says which frame it is."""
    out = np.zeros((height, width, 3), np.uint8)
    out[: height // 2, : width // 2] = 60 + 12 * i
    return out


def write(
    path: Path, frames: int = 10, fps: float = 30.0, size: tuple[int, int] = (WIDTH, HEIGHT), code: str = "mp4v"
) -> Path:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, by whoever comes first
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), fps, size)
    assert writer.isOpened()
    for i in range(frames):
        writer.write(picture(i, *size))
    writer.release()
    return path


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """The boxes that lie one after the other in ``data``: names and contents."""
    found, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        found.append((name, data[at + 8 : at + size]))
        at += size
    return found


def joined(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(struct.pack(">I4s", len(body) + 8, name) + body for name, body in parts)


def edited(data: bytes, path: Sequence[bytes], new: bytes | None) -> bytes:
    """``data`` with the box at ``path`` holding ``new``, or left out where that is None."""
    out = []
    for name, body in boxes(data):
        if name == path[0]:
            if len(path) > 1:
                body = edited(body, path[1:], new)
            elif new is None:
                continue
            else:
                body = new
        out.append((name, body))
    return joined(out)


def inside(data: bytes, path: Sequence[bytes]) -> bytes:
    body = dict(boxes(data))[path[0]]
    return inside(body, path[1:]) if len(path) > 1 else body


TRACK = (b"moov", b"trak")
TABLE = (*TRACK, b"mdia", b"minf", b"stbl")


def rotated(path: Path, degrees: int) -> Path:
    """Note in the file that it is to be shown turned clockwise, as phones do; the frames stay as they are."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    fixed = 1 << 16
    matrix = struct.pack(">9i", cos * fixed, sin * fixed, 0, -sin * fixed, cos * fixed, 0, 0, 0, 1 << 30)
    head = inside(path.read_bytes(), (*TRACK, b"tkhd"))
    path.write_bytes(edited(path.read_bytes(), (*TRACK, b"tkhd"), head[:40] + matrix + head[76:]))
    return path


def retimed(path: Path, milliseconds: Sequence[int]) -> Path:
    """Give every frame a duration of its own; the movie follows its frames, so the tables keep their place."""
    data = path.read_bytes()
    assert [name for name, _ in boxes(data)][-1] == b"moov", "the frames must come first"
    scale = struct.unpack(">I", inside(data, (*TRACK, b"mdia", b"mdhd"))[12:16])[0]
    ticks = [round(ms * scale / 1000) for ms in milliseconds]
    table = struct.pack(">II", 0, len(ticks)) + b"".join(struct.pack(">II", 1, tick) for tick in ticks)
    head = inside(data, (*TRACK, b"mdia", b"mdhd"))
    data = edited(data, (*TABLE, b"stts"), table)
    data = edited(data, (*TRACK, b"mdia", b"mdhd"), head[:16] + struct.pack(">I", sum(ticks)) + head[20:])
    path.write_bytes(edited(data, (*TRACK, b"edts"), None))
    return path
