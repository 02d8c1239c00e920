"""Berkeley MHAD: turn the released skeletons and accelerations into a store.

Usage:
    python datasets/berkeley_mhad/prepare.py RAW STORE [--fps 30] [--allow-missing]

RAW holds the folders ``Mocap`` (with ``SkeletalData`` and, to align the two, ``OpticalData``) and ``Accelerometer``
(with ``Shimmer01`` to ``Shimmer06``) as they come out of the archives of the data set's page (see ``card.yaml``).
Everything is read and checked first; nothing is written unless all of it is sound. An interrupted run goes on where it
stopped when it is started again.

The pose is decimated, after a low-pass, by the whole factor that comes nearest to ``--fps``; the rate that came out
stands in the index. Accelerations are interpolated at the same instants, and masked where no sample lies within 0.2 s.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from graphnets.data import StoreWriter
from graphnets.data.bvh import Bvh, read_bvh
from graphnets.data.card import load_card
from graphnets.data.clock import decimate, in_order, interpolate, uniform
from graphnets.data.raw import BadFileError, RawFiles, find_raw, number_rows, read_lines
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
SUBJECTS, ACTIONS, REPETITIONS, SENSORS = 12, 11, 5, 6
MARKER_COLUMNS = 43 * 3
MAX_GAP = 0.2  # seconds without a sample of an accelerometer; at 30 Hz these are six
METRES = 0.01  # the BVH files are in centimetres
DRIFT = 0.1  # seconds by which the stamps of the optical file may differ from the frames of the skeleton


class Clip(NamedTuple):
    """One recording: subject 1-12, action 1-11, repetition 1-5."""

    subject: int
    action: int
    repetition: int

    @property
    def id(self) -> str:
        """The id in the store, and part of the files' names, e.g. ``s01_a01_r01``."""
        return f"s{self.subject:02}_a{self.action:02}_r{self.repetition:02}"


EVERY_CLIP = {Clip(*sar) for sar in product(*(range(1, n + 1) for n in (SUBJECTS, ACTIONS, REPETITIONS)))}
MISSING_IN_RELEASE = {Clip(4, 8, 5)}


@dataclass(frozen=True)
class Source:
    """Where one kind of file lies in the raw folder."""

    folder: str
    prefix: str
    ending: str

    def name(self, clip: Clip | str) -> str:
        """The file of a clip, relative to the raw folder."""
        return f"{self.folder}/{self.prefix}_{clip.id if isinstance(clip, Clip) else clip}{self.ending}"


SKELETON = Source("Mocap/SkeletalData", "skl", ".bvh")
OPTICAL = Source("Mocap/OpticalData", "moc", ".txt")
SHIMMERS = tuple(Source(f"Accelerometer/Shimmer{k:02}", f"acc_h{k:02}", ".txt") for k in range(1, SENSORS + 1))
NEEDED = (SKELETON, *SHIMMERS)

Samples = tuple[np.ndarray, np.ndarray]  # seconds [T], accelerations [T, 3]
Tree = tuple[tuple[str, str | None], ...]  # every joint and its parent
Modalities = dict[str, tuple[np.ndarray, np.ndarray | None, float]]


@dataclass
class Raw(RawFiles):
    """All that was found in the raw folder, and all that is wrong with it."""

    clips: set[Clip] = field(default_factory=set)
    skeletons: dict[Tree, tuple[Bvh, list[str]]] = field(
        default_factory=dict
    )  # by hierarchy: one, and all files' names
    modalities: dict[Clip, Modalities] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)  # files, where that is allowed
    aligned: set[Clip] = field(default_factory=set)
    drifting: list[Clip] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the skeletons and accelerations of Berkeley MHAD into a store.")
    parser.add_argument("raw", type=Path, help="folder with Mocap/ and Accelerometer/")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/berkeley_mhad")
    parser.add_argument("--fps", type=float, default=30.0, help="frames a second, about (default: 30)")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="go on when recordings, or some of their files, are missing",
    )
    options = parser.parse_args(arguments)
    if not (math.isfinite(options.fps) and options.fps > 0):
        raise ValueError(f"--fps is {options.fps:g}; it must be above 0")
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    root = find_raw(options.raw, ["Mocap", "Accelerometer"])
    with progress_bar(console) as progress:
        raw = read_all(root, options.fps, options.allow_missing, progress)
    absent = sorted(EVERY_CLIP - MISSING_IN_RELEASE - raw.clips) if raw.clips else []
    note_missing(console, raw, root, [clip.id for clip in absent], options.allow_missing)
    if refused(console, raw, root):
        return 1
    warn(raw, console)
    missing = [clip.id for clip in sorted(EVERY_CLIP - raw.clips)]
    write(options.store, raw, sourced_card(console, filled_card(card, raw, options.fps), raw.digests, missing), console)
    show_store(console, options.store)
    return 0


def read_all(root: Path, fps: float, allow_missing: bool, progress: Progress) -> Raw:
    """Read and check every file, without stopping at the first problem."""
    raw = Raw()
    listed = {source: list_files(root, source, raw) for source in (OPTICAL, *NEEDED)}
    empty = [source for source in NEEDED if not listed[source]]
    if empty and not allow_missing:
        for source in empty:
            example = source.name("s01_a01_r01").rpartition("/")[2]
            raw.report(f"{source.folder}/", "", f"no file with a name like {example} in {root / source.folder}")
        return raw
    raw.clips = set().union(*(listed[source] for source in NEEDED))
    task = progress.add_task("reading and checking", total=len(raw.clips))
    for clip in sorted(raw.clips):
        files = {source: there[clip] for source, there in listed.items() if clip in there}
        absent = [source.name(clip) for source in NEEDED if source not in files]
        if allow_missing:
            raw.absent += absent
        else:
            others = f"{len(files)} other file(s) of {clip.id} are there; --allow-missing goes on without"
            for name in absent:
                raw.report(name, "", f"missing, though {others}")
        read_clip(raw, clip, files, fps)
        progress.advance(task)
    check_hierarchies(raw)
    return raw


def list_files(root: Path, source: Source, raw: Raw) -> dict[Clip, Path]:
    """The files of one kind by clip; strange names are reported."""
    folder = root / source.folder
    if not folder.is_dir():
        return {}
    pattern = re.compile(rf"{source.prefix}_s(\d\d)_a(\d\d)_r(\d\d){re.escape(source.ending)}")
    clips: dict[Clip, Path] = {}
    # Other files are none of ours: the T-poses (_t01 instead of _a01), C3D files, the hidden ones of macOS.
    of_ours = re.compile(rf"[^.].*_a\d.*{re.escape(source.ending)}")
    for path in sorted(p for p in folder.iterdir() if of_ours.fullmatch(p.name)):
        match, name = pattern.fullmatch(path.name), f"{source.folder}/{path.name}"
        if match is None:
            raw.report(name, "", f"not a name like {source.prefix}_s01_a01_r01{source.ending}")
            continue
        clip = Clip(*map(int, match.groups()))
        limits = zip(Clip._fields, clip, (SUBJECTS, ACTIONS, REPETITIONS), strict=True)
        wrong = [f"{part} {value} is not one of 1 to {top}" for part, value, top in limits if not 1 <= value <= top]
        if wrong:
            raw.report(name, "", "; ".join(wrong))
        else:
            clips[clip] = path
    return clips


def read_clip(raw: Raw, clip: Clip, files: Mapping[Source, Path], fps: float) -> None:
    """Read the files of one recording and bring them to one clock."""
    before = len(raw.problems)
    bvh = raw.read(SKELETON.name(clip), files[SKELETON], read_bvh) if SKELETON in files else None
    if bvh is not None:
        raw.skeletons.setdefault(tuple(bvh.tree.items()), (bvh, []))[1].append(SKELETON.name(clip))
    span = raw.read(OPTICAL.name(clip), files[OPTICAL], read_optical) if OPTICAL in files else None
    sensors = [raw.read(s.name(clip), files[s], read_samples) if s in files else None for s in SHIMMERS]
    if len(raw.problems) > before:
        return
    if bvh is not None and span is not None:
        raw.aligned.add(clip)
        if abs(span[1] - (len(bvh.motion) - 1) / bvh.fps) > DRIFT:
            raw.drifting.append(clip)
    try:
        raw.modalities[clip] = on_one_clock(bvh, None if span is None else span[0], sensors, fps)
    except BadFileError as bad:
        raw.report(clip.id, bad.value, str(bad))


def check_hierarchies(raw: Raw) -> None:
    """Report skeletons whose joints are not those of the most; bones may have other lengths."""
    if len(raw.skeletons) < 2:
        return
    usual = max(raw.skeletons, key=lambda tree: len(raw.skeletons[tree][1]))
    example = raw.skeletons[usual][1][0]
    for tree in [tree for tree in raw.skeletons if tree != usual]:
        at = next((i for i, (a, b) in enumerate(zip(tree, usual, strict=False)) if a != b), min(len(tree), len(usual)))
        here, there = (f"{t[at][0]} below {t[at][1]}" if at < len(t) else "nothing" for t in (tree, usual))
        for name in raw.skeletons[tree][1]:
            message = f"joint {at + 1} of the hierarchy is {here}, not {there} as in {example} and others"
            raw.report(name, f"{len(tree)} joints", message)


def read_optical(path: Path) -> tuple[float, float]:
    """Start (Unix seconds) and duration (seconds) of the motion capture; the markers themselves are not used.

    Raises:
        BadFileError: A row has another number of columns, or its stamp is no finite number or before the row above.
    """
    stamps = []
    for row, line in enumerate(read_lines(path), 1):
        words = line.split()
        if len(words) != MARKER_COLUMNS + 2:
            message = f"must have {MARKER_COLUMNS + 2}: 43 markers x 3, frame number, time stamp"
            raise BadFileError(f"{len(words)} columns", message, row)
        stamps.append(words[-1])
    if len(stamps) < 2:
        raise BadFileError(f"{len(stamps)} rows", "must have at least 2")
    times = number_rows(stamps, ["time"])[:, 0]
    if (np.diff(times) < 0).any():
        row = int(np.argmax(np.diff(times) < 0)) + 1
        raise BadFileError(stamps[row], f"time goes back: {stamps[row - 1]} in the row above", row + 1)
    return float(times[0]), float(times[-1] - times[0])


def read_samples(path: Path) -> Samples:
    """The samples of one accelerometer by time: Unix seconds ``[T]`` and ``x y z [T, 3]``.

    Raises:
        BadFileError: A row is not ``x y z time`` in finite numbers, or the stamps can't be put in order.
    """
    rows = number_rows(read_lines(path), ["x", "y", "z", "time"])
    times, values = in_order(rows[:, 3], rows[:, :3])
    if len(times) < 2:
        raise BadFileError(f"{len(rows)} rows", "must have at least 2 at different times")
    return times, values


def on_one_clock(bvh: Bvh | None, begin: float | None, sensors: Sequence[Samples | None], fps: float) -> Modalities:
    """Pose and accelerations of one recording, cut to the time that both cover where it is known.

    Args:
        bvh: The skeleton, if there is one.
        begin: When its first frame was taken, Unix seconds; None = not known, both are kept whole.
        sensors: Samples of each accelerometer, None where there is no file.
        fps: Wanted rate.

    Returns:
        For each modality that is there ``(x [T, V, 3], mask [T, V] or None, rate)``.

    Raises:
        BadFileError: Sensors, or sensors and pose, have no time in common.
    """
    out: Modalities = {}
    there = [samples[0] for samples in sensors if samples is not None]
    first = max((times[0] for times in there), default=-math.inf)
    last = min((times[-1] for times in there), default=math.inf)
    clock = None
    if bvh is not None:
        factor = factor_of(bvh, fps)
        fps = bvh.fps / factor
        pose = decimate(bvh.positions(), factor) * METRES
        if begin is not None:
            clock = begin + np.arange(len(pose)) / fps
            covered = (clock >= first - 1e-6) & (clock <= last + 1e-6)
            if covered.sum() < min(2, len(clock)):
                message = (
                    "frames of the pose lie in the time that all accelerometers cover; the pose was taken "
                    f"{clock[0]:.3f} to {clock[-1]:.3f} by its optical file (without which both are kept whole), "
                    f"the accelerations {first:.3f} to {last:.3f}"
                )
                raise BadFileError(covered.sum(), message)
            pose, clock = pose[covered], clock[covered]
        out["pose"] = (pose.astype(np.float32), None, fps)
    if there:
        if clock is None:
            clock = uniform(first, last, fps) if first <= last else np.empty(0)
        if len(clock) == 0:
            raise BadFileError(f"{last - first:.3f} s", "is the time that all accelerometers cover: none at all")
        x, mask = np.zeros((len(clock), SENSORS, 3), np.float32), np.zeros((len(clock), SENSORS), dtype=bool)
        for k, samples in enumerate(sensors):
            if samples is not None:
                x[:, k], mask[:, k] = interpolate(*samples, clock, MAX_GAP)
        out["imu"] = (x, mask, fps)
    return out


def factor_of(bvh: Bvh, fps: float) -> int:
    """By which whole number the frames are decimated."""
    return max(1, round(bvh.fps / fps))


def warn(raw: Raw, console: Console) -> None:
    """Say what is not wrong but should be known."""
    unaligned = sorted(set(raw.modalities) - raw.aligned)
    drift = f"recordings are aligned at the start alone: stamps and skeleton differ by over {DRIFT:g} s in length"
    notes = (
        (raw.absent, "files are missing; the modality is, or the sensor is masked"),
        ([clip.id for clip in unaligned], "recordings lack optical file or skeleton: what they have is kept whole"),
        ([clip.id for clip in raw.drifting], drift),
    )
    for names, message in notes:
        if names:
            console.print(Text(f"{len(names)} {message}: {', '.join(names)}", style="yellow"), soft_wrap=True)


def filled_card(card: Mapping[str, Any], raw: Raw, fps: float) -> dict[str, Any]:
    """The card with the hierarchy of the files, or without the pose where there was no skeleton at all."""
    modalities = {name: {**spec, "fps": fps} for name, spec in card["modalities"].items()}
    if not raw.skeletons:
        del modalities["pose"]
    else:
        bvh, _ = next(iter(raw.skeletons.values()))  # there is one hierarchy, or we were not here
        modalities["pose"]["skeleton"] = bvh.skeleton(
            "mhad_bvh", "The hierarchy of the BVH files of Berkeley MHAD; end sites are called <joint>_end."
        )
        modalities["pose"]["fps"] = modalities["imu"]["fps"] = bvh.fps / factor_of(bvh, fps)
    return {**card, "modalities": modalities}


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    classes = card["labels"]["action"]["classes"]
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.modalities), completed=len(writer.done))
        for clip, modalities in sorted(raw.modalities.items()):
            if clip.id in writer.done:
                continue
            extra = {"repetition": clip.repetition, "aligned": "yes" if clip in raw.aligned else "no"}
            labels = {"action": classes[clip.action - 1]}
            writer.add(clip.id, str(clip.subject), modalities, labels, extra)
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
