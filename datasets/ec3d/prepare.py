"""EC3D: turn the authors' pickle of 3-D poses into a store.

Usage:
    python datasets/ec3d/prepare.py RAW STORE [--allow-missing]

RAW is ``data_3D.pickle`` (see ``card.yaml``) or a folder that holds it. A pickle is a program: it is read without
running anything in it, and refused where it holds more than arrays. Everything is read and checked first; nothing is
written unless all of it is sound. An interrupted run goes on where it stopped when it is started again.

The file holds ``poses``, numbers ``[F, 3, 25]`` in the order of BODY_25, and ``labels``, text ``[F, 5]``: exercise,
subject, label, repetition and frame. A repetition is all frames with the same first four, in the order of the file, as
in the authors' loader; where they lie apart, that is said.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.text import Text

from graphnets.data import StoreWriter
from graphnets.data.card import load_card
from graphnets.data.pickles import read_pickle
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
FILE = "data_3D.pickle"
USED = (*range(15), 19, 21, 22, 24)
"""Of BODY_25: without eyes, ears and small toes. The order is that of the skeleton ec3d19."""
SUBJECTS = ("Hugues", "Isinsu", "Sena", "Vidit")
LABELS = {"SQUAT": (1, 2, 3, 4, 5, 10), "Lunges": (1, 4, 6), "Plank": (1, 7, 8)}
"""The raw labels of every exercise; in this order they are the twelve classes."""
COLUMNS = ("exercise", "subject", "label", "repetition", "frame")


class Repetition(NamedTuple):
    """What all frames of a repetition have in common."""

    exercise: str
    subject: str
    label: int
    number: int

    @property
    def id(self) -> str:
        """The id in the store, e.g. ``squat_vidit_l01_r003``."""
        return f"{self.exercise.lower()}_{self.subject.lower()}_l{self.label:02}_r{self.number:03}"


@dataclass
class Raw(RawFiles):
    """All that was found, and all that is wrong with it."""

    poses: np.ndarray = field(default_factory=lambda: np.empty((0, 19, 3), dtype=np.float32))
    repetitions: dict[Repetition, list[int]] = field(default_factory=dict)  # their rows, from 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the pickle of 3-D poses of EC3D into a store.")
    parser.add_argument("raw", type=Path, help=f"{FILE}, or the folder that holds it")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/ec3d")
    parser.add_argument("--allow-missing", action="store_true", help="go on when a subject lacks an exercise")
    options = parser.parse_args(arguments)
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    path = options.raw / FILE if options.raw.is_dir() else options.raw
    if not path.is_file():
        raise ValueError(f"{path}: no such file; RAW is {FILE} or the folder that holds it")
    raw = read_all(path)
    there = {(repetition.exercise, repetition.subject) for repetition in raw.repetitions}
    every = [(exercise, subject) for exercise in LABELS for subject in SUBJECTS]
    absent = [f"{exercise} of {subject}" for exercise, subject in every if (exercise, subject) not in there]
    if raw.repetitions:
        note_missing(console, raw, path, absent, options.allow_missing, "exercises")
    if refused(console, raw, path):
        return 1
    if apart := [repetition.id for repetition, rows in raw.repetitions.items() if rows[-1] - rows[0] >= len(rows)]:
        message = f"{len(apart)} repetitions lie in several parts in the file, joined here: {', '.join(apart)}"
        console.print(Text(message, style="yellow"), soft_wrap=True)
    write(options.store, raw, sourced_card(console, card, raw.digests, absent), console)
    show_store(console, options.store)
    return 0


def read_all(path: Path) -> Raw:
    """Read and check the file, without stopping at the first problem in its rows."""
    raw = Raw()
    content = raw.read(FILE, path, read_content)
    if content is None:
        return raw
    poses, labels = content
    bad = np.argwhere(~np.isfinite(poses))
    if len(bad):
        row, channel, joint = bad[0].tolist()
        others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        place = f"{'xyz'[channel]} of joint {joint} of BODY_25"
        raw.report(FILE, poses[row, channel, joint], f"{place} is no finite number{others}", row + 1)
    raw.poses = np.ascontiguousarray(poses.transpose(0, 2, 1)[:, USED], dtype=np.float32)
    for row, words in enumerate(labels.tolist()):
        repetition = repetition_of(raw, row + 1, words)
        if repetition is not None:
            raw.repetitions.setdefault(repetition, []).append(row)
    return raw


def read_content(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """``poses [F, 3, 25]`` and ``labels [F, 5]``.

    Raises:
        BadFileError: The pickle is damaged, holds more than arrays, or these are others.
    """
    content = read_pickle(path)
    if not isinstance(content, dict) or not {"poses", "labels"} <= set(content):
        have = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise BadFileError(have[:80], "must hold poses and labels")
    poses, labels = (np.asarray(content[name]) for name in ("poses", "labels"))
    if poses.dtype.kind != "f" or poses.ndim != 3 or poses.shape[1:] != (3, 25) or len(poses) == 0:
        raise BadFileError(described(poses), "poses must be numbers, frames x 3 x 25")
    if labels.dtype.kind != "U" or labels.shape != (len(poses), len(COLUMNS)):
        raise BadFileError(described(labels), f"labels must be text, {len(poses)} x {len(COLUMNS)}")
    return poses, labels


def described(array: np.ndarray) -> str:
    """Type and shape of an array."""
    return f"{array.dtype} {' x '.join(map(str, array.shape))}"


def repetition_of(raw: Raw, row: int, words: Sequence[str]) -> Repetition | None:
    """The repetition that a frame belongs to; what its labels must not say is reported."""
    exercise, subject = words[:2]
    label, number = whole(words[2]), whole(words[3])
    wrong = [(w, f"{c} is no whole number") for w, c in zip(words[2:4], COLUMNS[2:4], strict=True) if whole(w) is None]
    if exercise not in LABELS:
        wrong.append((exercise, f"exercise is not one of {', '.join(LABELS)}"))
    elif label is not None and label not in LABELS[exercise]:
        wrong.append((words[2], f"label of {exercise} is not one of {', '.join(map(str, LABELS[exercise]))}"))
    if subject not in SUBJECTS:
        wrong.append((subject, f"subject is not one of {', '.join(SUBJECTS)}"))
    for value, message in wrong:
        raw.report(FILE, value, message, row)
    return None if wrong or label is None or number is None else Repetition(exercise, subject, label, number)


def whole(word: str) -> int | None:
    """A whole number >= 0, which may be written ``3.0``."""
    begin, _, end = word.strip().partition(".")
    return int(begin) if begin.isascii() and begin.isdigit() and len(begin) < 10 and not end.strip("0") else None


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    classes = iter(card["labels"]["mistake"]["classes"])
    mistakes = {(exercise, label): next(classes) for exercise, labels in LABELS.items() for label in labels}
    fps = float(card["modalities"]["pose"]["fps"])
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.repetitions), completed=len(writer.done))
        for repetition, rows in raw.repetitions.items():
            if repetition.id in writer.done:
                continue
            writer.add(
                repetition.id,
                repetition.subject,
                {"pose": (raw.poses[rows], None, fps)},
                {
                    "exercise": repetition.exercise,
                    "mistake": mistakes[repetition.exercise, repetition.label],
                },
                {"repetition": repetition.number},
            )
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
