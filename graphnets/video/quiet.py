"""Keeping the messages of native libraries away from the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_native() -> Iterator[None]:
    """Throw away what is written on the process's stderr, by whatever library, while the block runs.

    MediaPipe and FFmpeg write there past Python, and MediaPipe offers no switch. Keep the block short: what other
    threads write meanwhile is lost too. Exceptions are not affected.
    """
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError, AttributeError):  # there is no stderr to keep clean
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
