"""UTD-MHAD: turn the released .mat files into a store.

Usage:
    python datasets/utd_mhad/prepare.py RAW STORE [--allow-missing]

RAW holds the folders ``Skeleton`` and ``Inertial`` as they come out of the two archives of the data set's page (see
``card.yaml``). Everything is read and checked first; nothing is written unless all of it is sound. An interrupted run
goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from graphnets.data import StoreWriter
from graphnets.data.card import load_card, skeleton_of
from graphnets.data.raw import BadFileError, RawFiles, find_raw
from graphnets.data.scripts import (
    already_there,
    make_console,
    note_missing,
    progress_bar,
    refused,
    run_script,
    show_store,
    sourced_card,
)

CARD = Path(__file__).with_name("card.yaml")
ACTIONS, SUBJECTS, TRIALS = 27, 8, 4


class Clip(NamedTuple):
    """One recording: action 1-27, subject 1-8, trial 1-4."""

    action: int
    subject: int
    trial: int

    @property
    def id(self) -> str:
        """The id in the store, e.g. ``a01_s1_t1``."""
        return f"a{self.action:02}_s{self.subject}_t{self.trial}"


EVERY_CLIP = {Clip(*abc) for abc in product(*(range(1, n + 1) for n in (ACTIONS, SUBJECTS, TRIALS)))}
MISSING_IN_RELEASE = {Clip(8, 1, 4), Clip(23, 6, 4), Clip(27, 8, 4)}


@dataclass(frozen=True)
class Source:
    """Where one modality lies in the raw folder, and how its matrices look."""

    modality: str
    folder: str
    variable: str
    shape: str  # in words
    axes: tuple[int, ...]  # the length of each axis; -1 = frames

    def name(self, clip: Clip) -> str:
        """The file of a clip, relative to the raw folder."""
        return f"{self.folder}/a{clip.action}_s{clip.subject}_t{clip.trial}_{self.folder.lower()}.mat"


SOURCES = (
    Source("pose", "Skeleton", "d_skel", "20 joints x 3 coordinates x frames", (20, 3, -1)),
    Source("imu", "Inertial", "d_iner", "frames x 6 axes", (-1, 6)),
)


@dataclass
class Raw(RawFiles):
    """All that was found in the raw folder, and all that is wrong with it."""

    clips: set[Clip] = field(default_factory=set)
    arrays: dict[Clip, dict[str, np.ndarray]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the released .mat files of UTD-MHAD into a store.")
    parser.add_argument("raw", type=Path, help="folder with Skeleton/ and Inertial/")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/utd_mhad")
    parser.add_argument("--allow-missing", action="store_true", help="go on when recordings are missing")
    options = parser.parse_args(arguments)
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    root = find_raw(options.raw, [source.folder for source in SOURCES])
    with progress_bar(console) as progress:
        raw = read_all(root, card, progress)
    absent = sorted(EVERY_CLIP - MISSING_IN_RELEASE - raw.clips) if raw.clips else []
    note_missing(console, raw, root, [clip.id for clip in absent], options.allow_missing)
    if refused(console, raw, root):
        return 1
    missing = [clip.id for clip in sorted(EVERY_CLIP - raw.clips)]
    write(options.store, raw, sourced_card(console, card, raw.digests, missing), console)
    show_store(console, options.store)
    return 0


def read_all(root: Path, card: Mapping[str, Any], progress: Progress) -> Raw:
    """Read and check every file, without stopping at the first problem."""
    raw = Raw()
    listed = {source: list_files(root, source, raw) for source in SOURCES}
    if not all(listed.values()):
        return raw
    raw.clips = set().union(*listed.values())
    specs = {source: card["modalities"][source.modality] for source in SOURCES}
    names = {s: {"nodes": skeleton_of(spec).joints, "channels": spec["channels"]} for s, spec in specs.items()}
    task = progress.add_task("reading and checking", total=sum(map(len, listed.values())))
    for clip, source in product(sorted(raw.clips), SOURCES):
        name = source.name(clip)
        if clip not in listed[source]:
            other = next(s.name(clip) for s in SOURCES if s is not source)
            raw.report(name, "", f"missing, though its pair {other} is there")
            continue
        values = raw.read(name, listed[source][clip], partial(read_matrix, source=source, **names[source]))
        if values is not None:
            raw.arrays.setdefault(clip, {})[source.modality] = values
        progress.advance(task)
    return raw


def list_files(root: Path, source: Source, raw: Raw) -> dict[Clip, Path]:
    """The files of one modality by clip; strange names are reported."""
    folder, ending = root / source.folder, f"_{source.folder.lower()}.mat"
    if not folder.is_dir():
        raw.report(f"{source.folder}/", "", f"this folder is missing in {root}")
        return {}
    pattern = re.compile(rf"a([1-9]\d*)_s([1-9]\d*)_t([1-9]\d*){re.escape(ending)}")
    clips: dict[Clip, Path] = {}
    # Other files are none of ours (the release has a note on the joint order), nor are the hidden ones of macOS.
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() == ".mat" and p.name[0] != "."):
        match = pattern.fullmatch(path.name)
        if match is None:
            raw.report(f"{source.folder}/{path.name}", "", f"not a name like a1_s1_t1{ending}")
            continue
        clip = Clip(*map(int, match.groups()))
        limits = zip(Clip._fields, clip, (ACTIONS, SUBJECTS, TRIALS), strict=True)
        wrong = [f"{part} {value} is not one of 1 to {top}" for part, value, top in limits if value > top]
        if wrong:
            raw.report(f"{source.folder}/{path.name}", "", "; ".join(wrong))
        else:
            clips[clip] = path
    if not clips:
        raw.report(f"{source.folder}/", "", f"no file with a name like a1_s1_t1{ending} in {folder}")
    return clips


# What scipy raises for files that are truncated, damaged, or no MATLAB files at all.
UNREADABLE = (MatReadError, OSError, EOFError, ValueError, TypeError, LookupError, MemoryError, OverflowError,
              NotImplementedError, zlib.error)  # fmt: skip


def read_matrix(path: Path, source: Source, nodes: Sequence[str], channels: Sequence[str]) -> np.ndarray:
    """One file as float32 ``[frames, nodes, channels]``.

    Raises:
        BadFileError: It can't be read, or its variable is missing, of another shape or not finite.
    """
    try:
        content = loadmat(path, variable_names=[source.variable])
    except UNREADABLE as error:
        raise BadFileError(f"{path.stat().st_size} bytes", f"damaged, or no MATLAB 5 file: {error}") from error
    if source.variable not in content:
        raise BadFileError("", f"has no variable {source.variable}")
    matrix = np.asarray(content[source.variable])
    if matrix.dtype.kind not in "fiu":
        raise BadFileError(matrix.dtype, f"{source.variable} must hold real numbers")
    fits = matrix.ndim == len(source.axes) and all(
        wanted in (-1, length) for wanted, length in zip(source.axes, matrix.shape, strict=True)
    )
    if not fits or matrix.size == 0:
        raise BadFileError(" x ".join(map(str, matrix.shape)), f"{source.variable} must be {source.shape}")
    by_frame = np.moveaxis(matrix, source.axes.index(-1), 0)
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, hence reported
        values = by_frame.astype(np.float32).reshape(len(by_frame), len(nodes), len(channels))
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        frame, node, channel = (int(i) for i in bad[0])
        others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        place = f"frame {frame}, {nodes[node]}, {channels[channel]}"
        raise BadFileError(values[frame, node, channel], f"not finite: {place}{others}")
    return values


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    classes = card["labels"]["action"]["classes"]
    rates = {source.modality: float(card["modalities"][source.modality]["fps"]) for source in SOURCES}
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.arrays), completed=len(writer.done))
        for clip, arrays in sorted(raw.arrays.items()):
            if clip.id in writer.done:
                continue
            writer.add(
                clip.id,
                str(clip.subject),
                {modality: (values, None, rates[modality]) for modality, values in arrays.items()},
                {"action": classes[clip.action - 1]},
                {"trial": clip.trial},
            )
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
