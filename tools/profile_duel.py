"""The parent of ``tools/profile.py``: contestants in processes of their own take turns, and a table of the medians."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from graphnets.data.files import write_text
from graphnets.data.scripts import make_console, progress_bar
from tools.profile_options import TEXTBOOK, contestants, parse

ROOT = Path(__file__).parents[1]


class Worker:
    """A contestant's process; it works only while it is asked.

    Raises:
        ValueError: It ended where it should answer; with the end of what it said.
    """

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        self.name, self.said = name, tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in end()
        # As people run it: no setting of the allocator from outside.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        path = (str(ROOT), os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")]))
        environment |= {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": str(task["threads"])}
        command = [sys.executable, "-m", "tools.profile_worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, env=environment, text=True
        )
        self.ask(task)

    def ask(self, task: object) -> Any:
        """Do a task, and wait until it is done."""
        assert self.process.stdin is not None and self.process.stdout is not None
        answer = ""
        try:
            print(json.dumps(task), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            pass  # it has ended: there is no answer, and what it said last is the error below
        if not answer:
            self.said.seek(0)
            last = self.said.read().strip().splitlines()[-1:] or [f"exit code {self.process.wait()}"]
            raise ValueError(f"{self.name}: {last[0]}")
        return json.loads(answer)

    def end(self) -> None:
        """Let the process go."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said.close()


def measure(tasks: dict[str, dict[str, Any]], timed: Sequence[str], rounds: int) -> dict[str, dict[str, Any]]:
    """Facts, memory, and the seconds of every round for every contestant; only one process works at a time."""
    workers: dict[str, Worker] = {}
    results: dict[str, dict[str, Any]] = {}
    console = make_console(stderr=True)
    try:
        with progress_bar(console) as bar:
            shown = bar.add_task("starting", total=len(tasks) * (rounds + 2))
            for name, task in tasks.items():
                worker = workers[name] = Worker(name, task)
                memory = worker.ask("memory")
                results[name] = {**worker.ask("facts"), "memory": memory, "clock": {}, "processor": {}}
                bar.advance(shown)
            for turn in range(rounds):
                bar.update(shown, description=f"round {turn + 1}")
                for what in timed:
                    for name, worker in workers.items():
                        if what == "training" and not results[name]["trains"]:
                            continue
                        for kind, seconds in worker.ask(what).items():
                            results[name][kind].setdefault(what, []).append(seconds)
                bar.advance(shown, len(tasks))
            for name, worker in workers.items():
                results[name]["error"] = worker.ask("error")
                bar.advance(shown)
    finally:
        for worker in workers.values():
            worker.end()
    return results


def summarise(results: dict[str, dict[str, Any]], tasks: dict[str, dict[str, Any]], by: str) -> None:
    """Add to every row, for every task, the median time and the medians of the ratios to two rows in the same round.

    ``ratio`` is to the textbook as people run it, ``ratio_same`` to the textbook with the settings and precision of
    this row.
    """
    for name, row in results.items():
        peer = next(p for p, t in tasks.items() if t["spec"] is None and _alike(t, tasks[name]))
        row["summary"] = {}
        for what, times in row[by].items():
            ratios = []
            for other in (TEXTBOOK, peer):
                pairs = zip(times, results[other][by][what], strict=True)
                ratios.append(median(theirs / ours for ours, theirs in pairs))
            row["summary"][what] = {"seconds": median(times), "ratio": ratios[0], "ratio_same": ratios[1]}


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("settings", "precision"))


def table(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> Table:
    """A row a contestant."""
    place = f"{options.threads} threads" if options.device == "cpu" else torch.cuda.get_device_name()
    title = f"{options.batch} clips of {options.frames} frames, {place}, {options.rounds} rounds by the {options.by}"
    caption = "times the textbook's speed / times that of the textbook with the same settings and precision"
    result = Table(title=Text(f"{title}, torch {torch.__version__}"), caption=Text(caption))
    result.add_column("network")
    names = (
        "parameters",
        "MFLOPs a clip",
        "latency of a clip",
        "inference",
        "training",
        "memory",
        "memory in training",
    )
    for column in (*names, "error"):
        result.add_column(column, justify="right")
    for name, row in results.items():
        cells = [f"{row['parameters']:,}", f"{row['flops'] / 1e6:,.0f}"]
        for what in ("latency", "inference", "training"):
            if (found := row["summary"].get(what)) is None:
                cells.append("-")
                continue
            seconds, rate = found["seconds"], options.batch / found["seconds"]
            figure = f"{1000 * seconds:.1f} ms" if what == "latency" else f"{rate:,.{0 if rate > 99 else 1}f} clips/s"
            cells.append(f"{figure}  {found['ratio']:.2f} / {found['ratio_same']:.2f}")
        for what in ("inference", "training"):
            peak = row["memory"].get(what)
            cells.append("-" if peak is None else f"{peak / 2**20:,.0f} MiB")
        result.add_row(Text(name), *cells, f"{row['error']:.0e}")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    options = parse(arguments)
    tasks = contestants(options)
    results = measure(tasks, options.tasks, options.rounds)
    summarise(results, tasks, options.by)
    make_console().print(table(results, options))
    if options.json:
        where = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
        rows = {name: {"task": tasks[name], **row} for name, row in results.items()}
        write_text(options.json, json.dumps({**where, "rows": rows}, indent=1) + "\n")
        make_console().print(f"wrote {options.json}", soft_wrap=True)
    return 0
