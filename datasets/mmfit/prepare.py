"""MM-Fit: turn poses, sensors and labels of the workouts into a store of exercise sets, or of windows.

Usage:
    python datasets/mmfit/prepare.py RAW STORE [--window 5 --stride 1] [--fps 50] [--allow-missing] [--no-null]

RAW holds the folders ``w00`` to ``w20`` as they come out of the archive of the data set's page (see ``card.yaml``).
Everything is read and checked first; nothing is written unless all of it is sound. An interrupted run goes on where it
stopped when it is started again.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from graphnets.data import StoreWriter
from graphnets.data.card import load_card
from graphnets.data.clock import interpolate, uniform
from graphnets.data.raw import BadFileError, RawFiles, find_raw, read_lines
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
WORKOUTS = [f"w{k:02}" for k in range(21)]
VIDEO_FPS = 30.0
POSES = {"pose2d": ("pose_2d", 2, 18), "pose": ("pose_3d", 3, 17)}  # file, coordinates, joints
DEVICES = ("sw_l", "sw_r", "sp_l", "sp_r", "eb_l")  # in the order of the card's nodes
SENSORS = ("acc", "gyr")
NULL = "non_activity"
NULL_SECONDS = 30.0  # the longest stretch of the null class
MAX_GAP = 0.1  # seconds without a sample of a sensor
LAST_FRAME = 30 * 60 * 60 * 3  # three hours; a later one is no frame number


class Labelled(NamedTuple):
    """A stretch of a workout: its first and last frame, its class, and its repetitions (None: unknown)."""

    id: str
    workout: str
    first: int
    last: int
    exercise: str
    repetitions: int | None


@dataclass
class Raw(RawFiles):
    """All that was found in the raw folder, and all that is wrong with it."""

    files: dict[str, dict[str, Path]] = field(default_factory=dict)  # by workout and stream
    stretches: list[Labelled] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the workouts of MM-Fit into a store.")
    parser.add_argument("raw", type=Path, help="folder with w00 to w20")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/mmfit")
    parser.add_argument("--window", type=float, help="seconds of a window (default: whole sets)")
    parser.add_argument("--stride", type=float, default=1.0, help="seconds from window to window (%(default)s)")
    parser.add_argument("--fps", type=float, default=50.0, help="samples of the sensors a second (%(default)s)")
    parser.add_argument("--no-null", action="store_true", help="leave out what lies between the sets")
    parser.add_argument("--allow-missing", action="store_true", help="go on when workouts are missing")
    options = parser.parse_args(arguments)
    for name in ("window", "stride", "fps"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"--{name} is {value:g}; it must be above 0")
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    root = find_raw(options.raw, WORKOUTS)
    raw = Raw()
    with progress_bar(console) as progress:
        task = progress.add_task("reading and checking", total=len(WORKOUTS))
        for workout in WORKOUTS:
            check(raw, root, workout, options, card["labels"]["exercise"]["classes"])
            progress.advance(task)
    missing = [workout for workout in WORKOUTS if not (root / workout).is_dir()]
    note_missing(console, raw, root, missing, options.allow_missing, "workouts")
    if refused(console, raw, root):
        return 1
    write(
        options.store, raw, sourced_card(console, used(card, options, missing), raw.digests, missing), options, console
    )
    show_store(console, options.store)
    return 0


def used(card: Mapping[str, Any], options: argparse.Namespace, missing: Sequence[str]) -> dict[str, Any]:
    """The card with the settings of this run; protocols without the workouts that are missing."""
    modalities = {name: dict(spec) for name, spec in card["modalities"].items()}
    modalities["imu"]["fps"] = options.fps
    sides = {
        name: {side: [w for w in workouts if w not in missing] for side, workouts in protocol.items()}
        for name, protocol in card["protocols"].items()
    }
    cut = {"window": options.window, "stride": options.stride} if options.window else None
    return {**card, "modalities": modalities, "protocols": sides, "windows": cut, "null_class": not options.no_null}


def check(raw: Raw, root: Path, workout: str, options: argparse.Namespace, classes: Sequence[str]) -> None:
    """Read every file of a workout without stopping at the first problem; plan what it gives."""
    folder = root / workout
    if not folder.is_dir():
        return
    files: dict[str, Path] = {}
    ends = []
    for name, (stream, coordinates, joints) in POSES.items():
        path = folder / f"{workout}_{stream}.npy"
        reader = partial(read_pose, coordinates=coordinates, joints=joints)
        if path.exists() and (pose := raw.read(f"{workout}/{path.name}", path, reader)) is not None:
            files[name] = path
            ends.append(int(pose[0, -1, 0]))
    for device in DEVICES:
        for sensor in SENSORS:
            path = folder / f"{workout}_{device}_{sensor}.npy"
            if path.exists() and (samples := raw.read(f"{workout}/{path.name}", path, read_sensor)) is not None:
                files[f"{device}_{sensor}"] = path
                ends.append(int(samples[-1, 0]))
    path = folder / f"{workout}_labels.csv"
    sets = raw.read(f"{workout}/{path.name}", path, lambda at: read_labels(at, classes)) if path.exists() else None
    if not path.exists():
        raw.report(f"{workout}/{path.name}", "", "is missing")
    if not ends and not any(problem.file.startswith(f"{workout}/") for problem in raw.problems):
        raw.report(workout, "", "holds neither poses nor sensors")
    if sets is None or not ends:
        return
    raw.files[workout] = files
    plan = (
        whole_sets(workout, sets, max(ends))
        if not options.window
        else windows(
            workout, sets, max(ends), round(options.window * VIDEO_FPS), max(1, round(options.stride * VIDEO_FPS))
        )
    )
    raw.stretches += [stretch for stretch in plan if not (options.no_null and stretch.exercise == NULL)]


def read_pose(path: Path, coordinates: int, joints: int) -> np.ndarray:
    """``[coordinates, N, 1 + joints]``, the number of the frame first.

    Raises:
        BadFileError: The array is of another shape, not finite, or its frames don't increase.
    """
    array = load(path)
    expected = f"({coordinates}, frames, {1 + joints})"
    if array.ndim != 3 or array.shape[0] != coordinates or array.shape[2] != 1 + joints or array.shape[1] == 0:
        raise BadFileError(" x ".join(map(str, array.shape)), f"the array must be {expected}")
    check_frames(array[0, :, 0])
    if not np.isfinite(array).all():
        c, row, column = np.argwhere(~np.isfinite(array))[0].tolist()
        raise BadFileError(array[c, row, column], f"coordinate {c} of column {column} is no finite number", row + 1)
    return array


def read_sensor(path: Path) -> np.ndarray:
    """``[N, 5]``: number of the video's frame, milliseconds, x, y, z.

    Raises:
        BadFileError: The array is of another shape, not finite, or its frames or times go back.
    """
    array = load(path)
    if array.ndim != 2 or array.shape[1] != 5 or len(array) == 0:
        shape = " x ".join(map(str, array.shape))
        raise BadFileError(shape, "the array must be (samples, 5): frame, milliseconds, x, y, z")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0].tolist()
        name = ("frame", "time", "x", "y", "z")[column]
        raise BadFileError(array[row, column], f"{name} is no finite number", row + 1)
    check_frames(array[:, 0], strictly=False)
    return array


def load(path: Path) -> np.ndarray:
    """An array of numbers from an ``.npy`` file; nothing is ever unpickled.

    Raises:
        BadFileError: It is damaged, or holds something else.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadFileError(f"{path.stat().st_size} bytes", f"damaged, or no array of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise BadFileError(str(getattr(array, "dtype", "archive")), "must hold numbers")
    return array.astype(np.float64, copy=False)


def check_frames(frames: np.ndarray, strictly: bool = True) -> None:
    """Are these the numbers of frames of a video, in order?

    Raises:
        BadFileError: They are not.
    """
    odd = (frames != np.round(frames)) | (frames < 0) | (frames > LAST_FRAME)
    if odd.any():
        row = int(np.argmax(odd))
        raise BadFileError(frames[row], f"a frame is a whole number from 0 to {LAST_FRAME}", row + 1)
    back = np.diff(frames) < (1 if strictly else 0)
    if back.any():
        row = int(np.argmax(back)) + 1
        raise BadFileError(frames[row], f"comes after frame {frames[row - 1]:g}; frames must increase", row + 1)


def read_labels(path: Path, classes: Sequence[str]) -> list[tuple[int, int, int, str]]:
    """The sets of a workout in order: first and last frame, repetitions, exercise.

    Raises:
        BadFileError: A row is not of this kind, or two sets overlap.
    """
    sets = []
    for row, line in enumerate(read_lines(path), 1):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 4:
            raise BadFileError(f"{len(cells)} columns", "must have 4: start, end, repetitions, activity", row)
        try:
            first, last, repetitions = (int(cell) for cell in cells[:3])
        except ValueError:
            if row == 1 and not any(cell.isdigit() for cell in cells):
                continue  # a header
            raise BadFileError(line[:40], "start, end and repetitions must be whole numbers", row) from None
        if not 0 <= first < last <= LAST_FRAME or repetitions < 0:
            raise BadFileError(line[:40], "a set ends after it starts, and has no less than 0 repetitions", row)
        if cells[3] not in classes:
            raise BadFileError(cells[3], f"the activity is not one of {', '.join(classes)}", row)
        sets.append((first, last, repetitions, cells[3], row))
    sets.sort()
    for before, after in itertools.pairwise(sets):
        if after[0] <= before[1]:
            raise BadFileError(f"{after[0]}", f"starts before the set of row {before[4]} ends", after[4])
    return [entry[:4] for entry in sets]


def whole_sets(workout: str, sets: Sequence[tuple[int, int, int, str]], end: int) -> list[Labelled]:
    """Every set as it is, and what lies between them in stretches of :data:`NULL_SECONDS` at most."""
    found: list[Labelled] = []
    free = 0
    for k, (first, last, repetitions, exercise) in enumerate(sets):
        found += between(workout, free, first - 1)
        found.append(Labelled(f"{workout}_set{k:02}_{exercise}", workout, first, last, exercise, repetitions))
        free = last + 1
    return found + between(workout, free, end)


def between(workout: str, first: int, last: int) -> list[Labelled]:
    """The null class from a frame to another, in equal stretches; less than a second is left out."""
    frames = last - first + 1
    if frames < VIDEO_FPS:
        return []
    parts = math.ceil(frames / (NULL_SECONDS * VIDEO_FPS))
    edges = [first + frames * k // parts for k in range(parts + 1)]
    return [Labelled(f"{workout}_null{a:06}", workout, a, b - 1, NULL, None) for a, b in itertools.pairwise(edges)]


def windows(
    workout: str, sets: Sequence[tuple[int, int, int, str]], end: int, length: int, stride: int
) -> list[Labelled]:
    """Windows of equal length with the label of their middle frame."""
    label = np.full(end + 1, NULL, dtype=object)
    for first, last, _, exercise in sets:
        label[first : last + 1] = exercise
    starts = range(0, end + 2 - length, stride)
    return [Labelled(f"{workout}_{a:06}", workout, a, a + length - 1, label[a + length // 2], None) for a in starts]


def pose_of(array: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints in the frames from first to last, ``[T, V, C]`` and mask.

    Frames that aren't there are masked; so are key points of a picture at 0, which the detector didn't find, and bodies
    in space of which every joint is 0. (One joint may be 0 there: the origin.)
    """
    frames = array[0, :, 0].astype(np.int64)
    kept = (frames >= first) & (frames <= last)
    found = array[:, kept, 1:].transpose(1, 2, 0)
    x = np.zeros((last - first + 1, *found.shape[1:]))
    x[frames[kept] - first] = found
    mask = (x != 0).any(-1)
    return x, mask if x.shape[2] == 2 else np.repeat(mask.any(1, keepdims=True), x.shape[1], 1)


def samples_of(array: np.ndarray, first: int, last: int, clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sensor on a clock of seconds from frame ``first`` on: ``[K, 3]``, and where it was measured.

    The sensor's own milliseconds count within the stretch. On average a sample lies in the middle of its frame: that
    ties them to the video.
    """
    kept = array[(array[:, 0] >= first - 1) & (array[:, 0] <= last + 1)]
    if len(kept) < 2:
        return np.zeros((len(clock), 3)), np.zeros(len(clock), dtype=bool)
    times, unique = np.unique(kept[:, 1] / 1000, return_index=True)
    shown = (kept[unique, 0] - first + 0.5) / VIDEO_FPS
    seconds = times - np.median(times - shown)
    return interpolate(seconds, kept[unique, 2:], clock, MAX_GAP)


def sequence(
    files: Mapping[str, Path], stretch: Labelled, fps: float
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """All modalities of a stretch."""
    found: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
    for name in POSES:
        if name in files:
            found[name] = (*pose_of(cached(files[name]), stretch.first, stretch.last), VIDEO_FPS)
    clock = uniform(0.0, (stretch.last - stretch.first) / VIDEO_FPS, fps)
    x, mask = np.zeros((len(clock), len(DEVICES), 6)), np.zeros((len(clock), len(DEVICES)), dtype=bool)
    for node, device in enumerate(DEVICES):
        streams = [files.get(f"{device}_{sensor}") for sensor in SENSORS]
        if all(stream is not None for stream in streams):
            parts = [samples_of(cached(s), stretch.first, stretch.last, clock) for s in streams if s is not None]
            x[:, node] = np.concatenate([values for values, _ in parts], 1)
            mask[:, node] = parts[0][1] & parts[1][1]
    return {**found, "imu": (x, mask, fps)}


@lru_cache(maxsize=len(POSES) + len(DEVICES) * len(SENSORS))
def cached(path: Path) -> np.ndarray:
    """A file of the workout that is being written."""
    return load(path)


def write(path: Path, raw: Raw, card: Mapping[str, Any], options: argparse.Namespace, console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept.

    Raises:
        ValueError: A file is no longer what it was when it was checked.
    """
    cached.cache_clear()
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.stretches), completed=len(writer.done))
        for stretch in raw.stretches:
            if stretch.id in writer.done:
                continue
            try:
                modalities = sequence(raw.files[stretch.workout], stretch, options.fps)
            except (BadFileError, IndexError) as bad:
                raise ValueError(f"the files of {stretch.workout} were changed while this ran: {bad}") from bad
            extra = {"first_frame": stretch.first, "repetitions": stretch.repetitions}
            writer.add(stretch.id, stretch.workout, modalities, {"exercise": stretch.exercise}, extra)
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
