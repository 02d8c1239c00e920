"""How fast a store is read into batches, beside PyG's own loader on the same clips in the same run.

python tools/profile_reading.py stores/utd_mhad
python tools/profile_reading.py stores/utd_mhad --modality pose --batch-size 32 --rounds 15
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table
from rich.text import Text
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader as PyGDataLoader

from graphnets.data import MotionBatch, MotionDataset, Store
from graphnets.data.scripts import make_console, run_script


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure how fast a store is read into batches, on one core.")
    parser.add_argument("store", type=Path, help="folder of the store")
    parser.add_argument("--modality", help="which modality (the first of the store)")
    parser.add_argument("--batch-size", type=int, default=32, help="clips a batch (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each way, in turns (%(default)s)")
    options = parser.parse_args(arguments)
    for name in ("batch_size", "rounds"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name} is {getattr(options, name)}; at least 1")
    store = Store(options.store)
    modality = options.modality or store.modalities[0]
    torch.set_num_threads(1)
    ways: dict[str, Callable[[], None]] = {
        "Store.read": ReadStore(store, modality, options.batch_size),
        "DataLoader of MotionDataset": Drain(motion_loader(store, modality, options.batch_size)),
        "PyG DataLoader, a Data a clip": Drain(pyg_loader(store, modality, options.batch_size)),
    }
    times = measure(ways, options.rounds)
    make_console().print(table(store, modality, options.batch_size, times))
    return 0


class ReadStore:
    """One epoch of shuffled batches straight from the store."""

    def __init__(self, store: Store, modality: str, batch_size: int) -> None:
        self.store, self.modality, self.batch_size = store, modality, batch_size

    def __call__(self) -> None:
        """Read one epoch."""
        for rows in torch.randperm(len(self.store)).split(self.batch_size):
            self.store.read(rows, [self.modality])


class Drain:
    """One epoch of a loader."""

    def __init__(self, loader: Iterable[object]) -> None:
        self.loader = loader

    def __call__(self) -> None:
        """Read one epoch."""
        for _ in self.loader:
            continue


def motion_loader(store: Store, modality: str, batch_size: int) -> Iterable[MotionBatch]:
    """PyTorch's loader over this library's data set, as the data module makes it."""
    return DataLoader(MotionDataset(store, modalities=[modality]), batch_size, shuffle=True, collate_fn=as_it_is)


def as_it_is(batch: object) -> object:
    """The data set hands out whole batches."""
    return batch


def pyg_loader(store: Store, modality: str, batch_size: int) -> Iterable[object]:
    """PyG's loader over a list of graphs in memory, a graph a clip.

    Its nodes are the joints, with ``x [V, T, C]`` and ``mask [V, T]``: clips are padded to the longest of the store
    beforehand, since PyG can't join ragged ones.
    """
    batch = store.read(torch.arange(len(store)), [modality])
    label = next(iter(store.labels), None)
    codes = store.codes(label) if label else torch.zeros(len(store), dtype=torch.int64)
    edges = store.skeleton(modality).edge_index()
    x, mask = batch[modality].x.transpose(1, 2).contiguous(), batch[modality].mask.transpose(1, 2).contiguous()
    graphs = [Data(x=x[i], mask=mask[i], edge_index=edges, y=codes[i]) for i in range(len(store))]
    return PyGDataLoader(graphs, batch_size, shuffle=True)


class Times(NamedTuple):
    """Seconds of every round: by the clock, and on the processor (what other programs take away doesn't count)."""

    clock: list[float]
    processor: list[float]


def measure(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, Times]:
    """Time an epoch of each way, after one to warm up; the ways take turns so that all see the same machine."""
    times = {name: Times([], []) for name in ways}
    for turn in range(rounds + 1):
        for name, epoch in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            epoch()
            if turn:
                times[name].clock.append(time.perf_counter() - clock)
                times[name].processor.append(time.process_time() - processor)
    return times


def table(store: Store, modality: str, batch_size: int, times: dict[str, Times]) -> Table:
    """Clips a second of each way: median over the rounds, range, and the ratio to the last way."""
    arrays, clips = store.arrays(modality), len(store)
    lengths = sorted({int(arrays.length.min()), int(arrays.length.max())})
    shape = f"{'-'.join(map(str, lengths))} x {arrays.skeleton.num_joints} x {len(arrays.channels)}"
    result = Table(title=Text(f"{store.path.name}, {modality}: {clips} clips of {shape}, batches of {batch_size}"))
    result.add_column("way")
    for name in ("clips/s", "slowest - fastest", "clips/CPU s", "ms an epoch", "times the last"):
        result.add_column(name, justify="right")
    reference = statistics.median(list(times.values())[-1].clock)
    for name, (clock, processor) in times.items():
        median = statistics.median(clock)
        result.add_row(
            name,
            f"{clips / median:,.0f}",
            f"{clips / max(clock):,.0f} - {clips / min(clock):,.0f}",
            f"{clips / statistics.median(processor):,.0f}",
            f"{1000 * median:.1f}",
            f"{reference / median:.1f}",
        )
    return result


if __name__ == "__main__":
    run_script(main)
