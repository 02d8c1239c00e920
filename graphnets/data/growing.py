"""An ``.npy`` file that grows at its end and can be cut back."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

import numpy as np


class GrowingArray:
    """Frames ``[frames, *tail]`` in an ``.npy`` file, appended block by block.

    Nothing is buffered: what :meth:`append` has written is in the file when the process is killed, and a failure (a
    full disk) shows at once, not when the file is closed. :meth:`cut` then takes back what was written in part.

    Args:
        path: The file; :meth:`open` makes it.
        dtype: Type of the values.
        tail: Shape of one frame.
    """

    def __init__(self, path: Path, dtype: type, tail: tuple[int, ...]) -> None:
        self.path, self.dtype, self.tail = path, np.dtype(dtype), tail
        self.frames = 0
        self._frame_bytes = int(np.prod(tail)) * self.dtype.itemsize
        self._file: IO[bytes] | None = None

    @property
    def on_disk(self) -> int:
        """The whole frames that the file holds now, whatever its header says; 0 if there is no file."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return max(0, size - len(self._header(0))) // self._frame_bytes

    def open(self, frames: int) -> None:
        """Open for appending after the first ``frames``; whatever follows them is cut off."""
        self._file = self.path.open("r+b" if self.path.exists() else "w+b", buffering=0)
        self.cut(frames)

    def append(self, block: np.ndarray) -> None:
        """Write frames ``[n, *tail]`` at the end.

        Raises:
            OSError: They could not be written, or only in part: :meth:`cut` the file.
        """
        assert self._file is not None
        write_whole(self._file, block.tobytes())
        self.frames += len(block)

    def cut(self, frames: int) -> None:
        """Keep the first ``frames`` only."""
        assert self._file is not None
        header = self._header(frames)
        self._file.seek(0)
        write_whole(self._file, header)
        self._file.truncate(len(header) + frames * self._frame_bytes)
        self._file.seek(0, os.SEEK_END)
        self.frames = frames

    def close(self, finish: bool) -> None:
        """Close the file; ``finish`` brings its header up to date and the file to the disk."""
        if self._file is None:
            return
        if finish:
            self.cut(self.frames)
            os.fsync(self._file.fileno())
        self._file.close()
        self._file = None

    def _header(self, frames: int) -> bytes:
        # NumPy pads headers so that the first axis may grow in place: all have the same length.
        header = io.BytesIO()
        described = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(header, {**described, "shape": (frames, *self.tail)})
        return header.getvalue()


def write_whole(file: IO[bytes], data: bytes) -> None:
    """Write all of it to an unbuffered file, which may take it in pieces."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
