"""How long soft-DTW takes, forward and backward, beside a compiled loop and other packages, in turns in one run.

pip install numba tslearn pysdtw   # those that are there take part
python tools/time_soft_dtw.py
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from graphnets.nn.soft_dtw import soft_dtw, squared_distances

Contestant = Callable[[Tensor, Tensor], Tensor]


def ours(gamma: float) -> Contestant:
    """This library."""
    return lambda x, y: soft_dtw(squared_distances(x, y), gamma)


def compiled_loop(gamma: float) -> Contestant:
    """The recursion cell by cell, compiled by numba, one pair after the other: how EC3D's code works."""
    numba: Any = importlib.import_module("numba")

    @numba.njit
    def forward(cost: np.ndarray) -> np.ndarray:
        n, rows, columns = cost.shape
        total = np.full((n, rows + 2, columns + 2), np.inf)
        total[:, 0, 0] = 0
        for b in range(n):
            for j in range(1, columns + 1):
                for i in range(1, rows + 1):
                    r0 = -total[b, i - 1, j - 1] / gamma
                    r1 = -total[b, i - 1, j] / gamma
                    r2 = -total[b, i, j - 1] / gamma
                    top = max(r0, r1, r2)
                    soft = np.exp(r0 - top) + np.exp(r1 - top) + np.exp(r2 - top)
                    total[b, i, j] = cost[b, i - 1, j - 1] - gamma * (np.log(soft) + top)
        return total

    @numba.njit
    def backward(cost: np.ndarray, total: np.ndarray) -> np.ndarray:
        n, rows, columns = cost.shape
        padded = np.zeros((n, rows + 2, columns + 2))
        padded[:, 1 : rows + 1, 1 : columns + 1] = cost
        passed = np.zeros((n, rows + 2, columns + 2))
        passed[:, -1, -1] = 1
        total[:, :, -1] = -np.inf
        total[:, -1, :] = -np.inf
        total[:, -1, -1] = total[:, -2, -2]
        for b in range(n):
            for j in range(columns, 0, -1):
                for i in range(rows, 0, -1):
                    here = total[b, i, j]
                    a = np.exp((total[b, i + 1, j] - here - padded[b, i + 1, j]) / gamma)
                    c = np.exp((total[b, i, j + 1] - here - padded[b, i, j + 1]) / gamma)
                    d = np.exp((total[b, i + 1, j + 1] - here - padded[b, i + 1, j + 1]) / gamma)
                    passed[b, i, j] = passed[b, i + 1, j] * a + passed[b, i, j + 1] * c + passed[b, i + 1, j + 1] * d
        return passed[:, 1 : rows + 1, 1 : columns + 1]

    class Loop(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, cost: Tensor) -> Tensor:
            ctx.cost = cost.detach().numpy()
            ctx.total = forward(ctx.cost)
            return cost.new_tensor(ctx.total[:, -2, -2])

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return gradients[0][:, None, None] * gradients[0].new_tensor(backward(ctx.cost, ctx.total))

    def work(x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = Loop.apply((x[:, :, None] - y[:, None]).square().sum(-1))
        return found

    return work


def tslearn(gamma: float) -> Contestant:
    """The package of that name."""
    made: Contestant = importlib.import_module("tslearn.metrics").SoftDTWLossPyTorch(gamma=gamma, normalize=False)
    return made


def pysdtw(gamma: float) -> Contestant:
    """The package of that name."""
    made: Contestant = importlib.import_module("pysdtw").SoftDTW(gamma=gamma, use_cuda=False)
    return made


def milliseconds(work: Contestant, x: Tensor, y: Tensor) -> tuple[float, Tensor, Tensor]:
    """Of one pass forward and backward; with its result and gradient."""
    x = x.clone().requires_grad_()
    start = time.perf_counter()
    value = work(x, y)
    value.sum().backward()
    took = 1e3 * (time.perf_counter() - start)
    assert x.grad is not None
    return took, value.detach(), x.grad


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--channels", type=int, default=60)
    parser.add_argument("--gamma", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    x, y = (0.1 * torch.randn(args.batch, args.length, args.channels).cumsum(1) for _ in range(2))
    contestants: dict[str, Contestant] = {"graphnets": ours(args.gamma)}
    console = Console()
    makers = {"loop, compiled by numba": compiled_loop, "tslearn": tslearn, "pysdtw": pysdtw}
    for name, make in makers.items():
        try:
            contestants[name] = make(args.gamma)
        except ImportError as error:
            console.print(f"without {name}: {error}")
    exact = soft_dtw(squared_distances(x.double(), y.double()), args.gamma)
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    errors = {}
    for k in range(args.rounds + 1):
        for name, work in contestants.items():
            took, value, _ = milliseconds(work, x, y)
            errors[name] = float(((value.double() - exact) / exact).abs().max())
            if k:  # the first round compiles and fills caches
                rounds[name].append(took)
    table = Table(
        title=f"soft-DTW, {args.batch} pairs of {args.length} frames x {args.channels}, {args.threads} thread(s)"
    )
    for column in ("", "ms, forward and backward", "ratio", "error"):
        table.add_column(column)
    fastest = statistics.median(rounds["graphnets"])
    for name, every in rounds.items():
        middle = statistics.median(every)
        table.add_row(name, f"{middle:.1f}", f"{middle / fastest:.2f}", f"{errors[name]:.0e}")
    console.print(table)


if __name__ == "__main__":
    main()
