"""Settings of the process: random numbers that survive an interruption, memory that is not handed back."""

from __future__ import annotations

import ctypes
import sys

_LARGEST_PRIME = 2**32 - 5
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch of a run, so that a resumed run draws what an unbroken one would have drawn.

    Args:
        seed: Of the run.
        epoch: From 0 to 2**20.

    Returns:
        A number below 2**32, all that PyTorch's CPU generator takes; different for all epochs of runs whose seeds are
        below 4096.
    """
    return ((seed << 20) + epoch) % _LARGEST_PRIME


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep freed blocks instead of handing them back to the kernel.

    A training step frees and asks for the same large blocks again and again; without this every step pays the page
    faults. On other C libraries nothing is done.

    Returns:
        Whether the allocator took both settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
