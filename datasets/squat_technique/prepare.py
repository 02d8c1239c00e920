"""Squat technique: turn the released key points and labels into a store.

Usage:
    python datasets/squat_technique/prepare.py RAW STORE [--allow-missing]

RAW holds ``data.csv`` and the folder ``mediapipe`` with one .npy a recording (see ``card.yaml``): a folder, a .zip, a
.tar.gz or .tar.xz. Everything is read and checked first; nothing is written unless all of it is sound. An interrupted
run goes on where it stopped when it is started again.

Padding is cut off, and what triangulation threw far away is masked: see LIMIT and SIZE below.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from graphnets.data import StoreWriter
from graphnets.data.archives import each_file, read_file
from graphnets.data.card import load_card
from graphnets.data.raw import BadFileError, RawFiles
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
RECORDINGS = 1323  # with a label
FRAMES, JOINTS = 300, 19
PADDING = -1.0
LIMIT = 3.0
"""Times the recording's median distance of a point from the middle of the body. 99.9 % of all points lie within 2.5;
the tail beyond goes on to 739 without a gap, and where a body is whole none of it lies beyond 3."""
SIZE = 4.0
"""Times the usual size of its day that a recording may be larger or smaller; all but two are within 1.4."""
CORRECT = ("olympic_squat", "powerlifting_squat")
NAME = re.compile(r"(?:.*/)?mediapipe/([^/]+)\.npy")
STAMP = re.compile(r"recording_(\d{8}_\d{6})")


@dataclass
class Raw(RawFiles):
    """All that was found, and all that is wrong with it."""

    labels: dict[str, str] = field(default_factory=dict)
    points: dict[str, np.ndarray] = field(default_factory=dict)  # [T, 19, 3], NaN where nothing is
    count: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the key points of the squat technique data set into a store.")
    parser.add_argument("raw", type=Path, help="folder or archive with data.csv and mediapipe/")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/squat_technique")
    parser.add_argument("--allow-missing", action="store_true", help="go on when recordings are missing")
    options = parser.parse_args(arguments)
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    with progress_bar(console) as progress:
        raw = read_all(options.raw, card["labels"]["technique"]["classes"], progress)
    # With bad files, what else is missing is not to be told.
    absent = sorted(set(raw.labels) - set(raw.points)) if not raw.problems else []
    note_missing(console, raw, options.raw, absent, options.allow_missing)
    if refused(console, raw, options.raw):
        return 1
    clean(raw)
    for what, count in sorted(raw.count.items()):
        console.print(Text(f"{count} {what}", style="yellow"), soft_wrap=True)
    card = {**card, "left_out": sorted(raw.left_out), "counts": dict(sorted(raw.count.items()))}
    write(options.store, raw, sourced_card(console, card, raw.digests, absent), console)
    show_store(console, options.store)
    return 0


def read_all(path: Path, classes: Sequence[str], progress: Progress) -> Raw:
    """Read and check every file, without stopping at the first problem."""
    raw = Raw()
    task = progress.add_task("reading and checking", total=None)
    for file in each_file(path):
        match = NAME.fullmatch(file.name)
        if match is None and file.name.rpartition("/")[2] != "data.csv":
            continue
        name = f"mediapipe/{match[1]}.npy" if match else "data.csv"
        if name in raw.digests:
            raw.report(name, file.name, "there is more than one of this name")
        elif match is None:
            raw.labels = read_file(raw, name, file, lambda data: read_labels(data, classes)) or {}
        elif problem := stamp_problem(match[1]):
            raw.report(name, "", problem)
        else:
            points = read_file(raw, name, file, read_points)
            if points is not None:
                raw.points[match[1]] = points
        progress.advance(task)
    if "data.csv" not in raw.digests:
        raw.report("data.csv", "", f"this file is missing in {path}")
    if not any(name.startswith("mediapipe/") for name in raw.digests):
        raw.report("mediapipe/", "", f"no file with a name like recording_02052023_120247.npy in {path}")
    return raw


def stamp_problem(name: str) -> str | None:
    """What is wrong with the name of a recording."""
    match = STAMP.fullmatch(name)
    try:
        datetime.strptime(match[1] if match else "", "%d%m%Y_%H%M%S")
    except ValueError:
        return "not a name like recording_DDMMYYYY_HHMMSS.npy"
    return None


def stamp(name: str) -> datetime:
    """When a recording was made, by the clock of the place."""
    return datetime.strptime(name, "recording_%d%m%Y_%H%M%S")


def read_labels(data: bytes, classes: Sequence[str]) -> dict[str, str]:
    """The class of every recording.

    Raises:
        BadFileError: The columns are others, or a row has none or several classes, or names a recording again.
    """
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig", errors="replace"), newline="")))
    header = [word.strip().replace(" ", "_") for word in rows[0]] if rows else []
    if not header or header[0] != "filename" or sorted(header[1:]) != sorted(classes):
        raise BadFileError(", ".join(header)[:80], f"the columns must be filename, {', '.join(classes)}", 1)
    labels: dict[str, str] = {}
    for row, words in enumerate(rows[1:], 2):
        if not words:
            continue
        if len(words) != len(header):
            raise BadFileError(f"{len(words)} columns", f"must have {len(header)}", row)
        name = words[0].strip()
        marks = [word.strip() for word in words[1:]]
        if problem := stamp_problem(name):
            raise BadFileError(name, problem.removesuffix(".npy"), row)
        if name in labels:
            raise BadFileError(name, "is there already", row)
        if {*marks} - {"0", "0.0", "1", "1.0"} or sum(float(mark) for mark in marks) != 1:
            raise BadFileError(", ".join(marks), "must be 0 everywhere but for one 1", row)
        labels[name] = header[1 + next(i for i, mark in enumerate(marks) if float(mark))]
    if not labels:
        raise BadFileError(f"{len(rows)} rows", "must name recordings")
    return labels


def read_points(data: bytes) -> np.ndarray:
    """The points of one recording without its padding, ``[T, 19, 3]``, NaN where there are none.

    Raises:
        BadFileError: It is no array of this shape, or there is nothing in it.
    """
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, OverflowError, SyntaxError) as error:
        raise BadFileError(f"{len(data)} bytes", f"damaged, or no .npy file of numbers: {error}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise BadFileError(getattr(values, "dtype", type(values).__name__), "must hold real numbers")
    if values.shape not in ((FRAMES, JOINTS * 3), (FRAMES, JOINTS, 3)):
        raise BadFileError(" x ".join(map(str, values.shape)), f"must be {FRAMES} x {JOINTS * 3} or x {JOINTS} x 3")
    points = values.reshape(FRAMES, JOINTS, 3).astype(np.float64)
    nothing = (points == PADDING).all(-1) | ~np.isfinite(points).all(-1)
    there = np.flatnonzero(~nothing.all(-1))
    if len(there) == 0:
        raise BadFileError(f"{PADDING:g}", "there is nothing but padding in it")
    points[nothing] = np.nan
    return points[there[0] : there[-1] + 1]


def distances(points: np.ndarray) -> np.ndarray:
    """Of every point from the middle of the body in its frame, the median of its points: ``[T, 19]``."""
    seen = ~np.isnan(points).all((1, 2))
    out = np.full(points.shape[:2], np.nan)
    middle = np.nanmedian(points[seen], axis=1, keepdims=True)
    out[seen] = np.linalg.norm(points[seen] - middle, axis=-1)
    return out


def clean(raw: Raw) -> None:
    """Leave out what has no label or is no body, and mask what is far from the body it belongs to."""
    for name in sorted(set(raw.points) - set(raw.labels)):
        drop(raw, name, "recordings have no label and are left out")
    away = {name: distances(points) for name, points in raw.points.items()}
    size = {name: float(np.nanmedian(distance)) for name, distance in away.items()}
    usual: dict[str, float] = {}
    for day in {day_of(name) for name in raw.points}:
        usual[day] = float(np.median([size[name] for name in raw.points if day_of(name) == day]))
    for name in sorted(raw.points):
        if not usual[day_of(name)] / SIZE <= size[name] <= usual[day_of(name)] * SIZE:
            drop(raw, name, f"recordings are over {SIZE:g} times as large or small as usual on their day; left out")
            continue
        points = raw.points[name]
        unseen = np.isnan(points).any(-1)
        far = away[name] > LIMIT * size[name]
        raw.count["points are not there, though others of their recordings are before and after; masked"] += int(
            unseen.sum()
        )
        raw.count[f"points are over {LIMIT:g} times as far from the body as is usual in their recording; masked"] += (
            int(far.sum())
        )
        points[far] = np.nan


def drop(raw: Raw, name: str, why: str) -> None:
    """Leave out a recording."""
    del raw.points[name]
    raw.left_out.append(name)
    raw.count[why] += 1


def day_of(name: str) -> str:
    """The day of a recording, which stands for its subject: ``2023-05-02``."""
    return stamp(name).date().isoformat()


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    fps = float(card["modalities"]["pose"]["fps"])
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.points), completed=len(writer.done))
        for name in sorted(raw.points, key=stamp):
            id = f"{stamp(name):%Y-%m-%d_%H%M%S}"
            if id in writer.done:
                continue
            points, technique = raw.points[name], raw.labels[name]
            correctness = "correct" if technique in CORRECT else "incorrect"
            observed = ~np.isnan(points).any(-1)
            writer.add(
                id,
                day_of(name),
                {"pose": (points, observed, fps)},
                {"technique": technique, "correctness": correctness},
                {"time": f"{stamp(name):%H:%M:%S}"},
            )
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
