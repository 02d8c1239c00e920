"""Settings of the process: random numbers that survive an interruption, freed memory, matmul, workers."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from multiprocessing import parent_process
from threading import Thread

import torch
from threadpoolctl import threadpool_limits

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


def fast_matmul() -> bool:
    """Let float32 matrix products on a CPU go through oneDNN instead of MKL, where that costs no accuracy.

    It is the precision that PyTorch calls "medium". Some CPUs (those with AMX) round to bfloat16 then, so a small
    product is tried first. Where there is a GPU nothing is done: there it would round, too.

    Returns:
        Whether it is set.
    """
    if torch.cuda.is_available():
        return False
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 256, generator=draw)
    exact = a.double() @ b.double()
    # float32 is off by some 3e-7 of the size of the product here, bfloat16 by 3e-3.
    if float((a @ b - exact).norm() / exact.norm()) < 3e-6:
        return True
    torch.set_float32_matmul_precision(before)
    return False


def settle_worker() -> None:
    """Settings of a process that does many small products: allocator, one thread of linear algebra.

    A process that was started by :mod:`multiprocessing` also ends when the one that started it is gone, even killed.
    """
    keep_freed_memory()
    threadpool_limits(1)
    if (parent := parent_process()) is not None:
        Thread(target=_follow, args=(parent.pid,), daemon=True).start()


def _follow(parent: int | None) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
