"""One contestant of ``tools/profile.py`` in a process of its own: it is told what to measure, a line of JSON a task."""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from graphnets.encoders import STGCN, Encoder
from graphnets.nn import fold_norms
from graphnets.runtime import fast_matmul, keep_freed_memory
from graphnets.spec import from_spec
from tools.textbook import Textbook

_TURN = 0.25  # seconds that a turn lasts at least


class Contestant:
    """A network with its settings, and clips in the layout that it takes.

    Args:
        task: ``spec`` of an encoder or None for the textbook network, ``skeleton``, ``channels``, ``frames``,
            ``batch``, ``threads``, ``device``, ``precision``, ``compile``, ``fold``, ``settings``.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self.settings = task["settings"] and [name for name, on in _settings().items() if on]
        self.device, self.threads = torch.device(task["device"]), task["threads"]
        self.half = task["precision"] == "bf16"
        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        net: Any = from_spec(task["spec"], Encoder) if task["spec"] else STGCN(task["skeleton"], task["channels"])
        v = net.skeleton.num_joints
        self.original: Encoder = net
        if task["spec"] is None:
            net = Textbook(net)
        elif task["fold"]:
            net = fold_norms(net)
        self.parameters = sum(p.numel() for p in net.parameters())
        self.trains = not task["fold"]
        clips = torch.randn(task["batch"], task["frames"], v, task["channels"])
        if task["spec"] is None:
            clips = clips.permute(0, 3, 1, 2).contiguous()
        self.clips, self.net = clips.to(self.device), net.to(self.device)
        self.compiled = bool(task["compile"])
        self.called: Callable[[Tensor], Tensor] = torch.compile(net) if task["compile"] else net
        if self.trains:
            self.optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
        self.repeats: dict[str, int] = {}

    def _count(self) -> int:
        """Floating-point operations for one clip: a multiplication and an addition are two."""
        net, clip = copy.deepcopy(self.net).cpu().eval(), self.clips[:1].cpu()
        # oneDNN's LSTM is one operator, whose operations the counter doesn't know; without oneDNN it is products.
        with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as seen:
            net(clip)
        return int(seen.get_total_flops())

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.half else contextlib.nullcontext()

    def infer(self, clips: Tensor) -> Tensor:
        """Features."""
        self.net.eval()
        with torch.inference_mode(), self._autocast():
            return self.called(clips)

    def train(self) -> None:
        """A training step: forward, backward, optimizer."""
        self.net.train()
        with self._autocast():
            loss = self.called(self.clips).float().square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def step(self, what: str) -> Callable[[], object]:
        """The work of one task: ``latency``, ``inference`` or ``training``."""
        torch.set_num_threads(1 if what == "latency" else self.threads)
        if what == "training":
            return self.train
        clips = self.clips[:1] if what == "latency" else self.clips
        return lambda: self.infer(clips)

    def time(self, what: str) -> dict[str, float]:
        """Seconds of a step by the clock and on the processor: the mean over a turn."""
        step = self.step(what)
        if what not in self.repeats:
            step()
            self.repeats[what] = max(1, round(_TURN / max(self._turn(step, 2)[0], 1e-9)))
        clock, processor = self._turn(step, self.repeats[what])
        return {"clock": clock, "processor": processor}

    def _turn(self, step: Callable[[], object], repeats: int) -> tuple[float, float]:
        if self.device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            processor = time.process_time()
            begin.record()
            for _ in range(repeats):
                step()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end) / 1000 / repeats, (time.process_time() - processor) / repeats
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            step()
        return (time.perf_counter() - clock) / repeats, (time.process_time() - processor) / repeats

    def memory(self) -> dict[str, int]:
        """By how many bytes memory grows at most, over what network and clips take: in inference, then in training.

        Ask before anything else, as what another task leaves behind would count as the network's. Unknown on a CPU for
        a compiled network: there, compiling takes more than running.
        """
        if self.compiled and self.device.type == "cpu":
            return {}
        gc.collect()
        peaks = {}
        before = self._reset()
        for what in ("inference", "training") if self.trains else ("inference",):
            step = self.step(what)
            for _ in range(3):
                step()
            peaks[what] = self._peak() - before
        return peaks

    def _reset(self) -> int:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        with contextlib.suppress(OSError):  # elsewhere than on Linux what was the peak before can't be forgotten
            Path("/proc/self/clear_refs").write_text("5")
        return self._peak()

    def _peak(self) -> int:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        with contextlib.suppress(OSError):
            # The kernel's other figure, ru_maxrss, holds what stood here before this program began.
            if found := re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text()):
                return int(found[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    @torch.no_grad()
    def error(self) -> float:
        """Largest difference from float64, relative to the largest feature; for ST-GCN, from the textbook's float64."""
        y = self.infer(self.clips[:1]).double().cpu()
        if isinstance(self.net, Textbook):
            exact = self.net.cpu().double()(self.clips[:1].cpu().double())
        else:
            net = self.original.cpu().double().eval()
            clip = self.clips[:1].cpu().double()
            if isinstance(net, STGCN) and not net.causal and not net.init_args.get("separable"):
                exact = Textbook(net)(clip.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            else:
                exact = net(clip)
        return float((y - exact).abs().max() / exact.abs().max())

    def answer(self, what: str) -> Any:
        """What the parent asks for."""
        if what == "facts":
            return {
                "parameters": self.parameters,
                "flops": self._count(),
                "settings": self.settings,
                "trains": self.trains,
            }
        if what in ("memory", "error"):
            return self.memory() if what == "memory" else self.error()
        return self.time(what)


def _settings() -> dict[str, bool]:
    return {"keep_freed_memory": keep_freed_memory(), "fast_matmul": fast_matmul()}


def main() -> None:
    """Answer tasks from the standard input until it ends; what libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contestant: Contestant | None = None
    for line in sys.stdin:
        task = json.loads(line)
        if contestant is None:
            contestant, answer = Contestant(task), None
        else:
            answer = contestant.answer(task)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
