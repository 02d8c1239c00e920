"""Synthetic exercises: generate the embedded data set.

Usage:
    python datasets/synthetic/prepare.py STORE [--subjects 20] [--repetitions 4] [--seed 0] [--fps 30]

Each subject does every exercise ``repetitions`` times correctly and as often with each of its mistakes. The same
settings give the same store. An interrupted run goes on where it stopped when it is started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphnets.data import Store, StoreWriter
from graphnets.data.card import load_card
from graphnets.data.scripts import make_console, progress_bar, run_script, store_table
from graphnets.simulation import Recording, generate, plan

CARD = Path(__file__).with_name("card.yaml")
LEAST_SUBJECTS = 3
"""One to train on, one to validate on, one to test on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Generate the synthetic exercises.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/synthetic")
    parser.add_argument("--subjects", type=int, default=20, help="how many people, 3 to 999")
    parser.add_argument(
        "--repetitions", type=int, default=4, help="correct ones of each subject and exercise, and of each mistake"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other people; 0 and above")
    parser.add_argument("--fps", type=float, default=30.0, help="frames a second, 5 to 240")
    options = parser.parse_args(arguments)
    settings = {name: getattr(options, name) for name in ("subjects", "repetitions", "seed", "fps")}
    console, card = make_console(), store_card(load_card(CARD), settings)
    if options.store.exists():
        return already_there(console, options.store, card)
    write(options.store, card, settings, console)
    store = Store(options.store)
    console.print(exercise_table(store))
    console.print(store_table(store))
    console.print(Text(f"{len(store)} sequences in {store.path}\nchecksum {store.checksum}"), soft_wrap=True)
    return 0


def store_card(card: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The card with the settings and the protocol for this number of subjects.

    Raises:
        ValueError: A setting is out of its range.
    """
    if settings["subjects"] < LEAST_SUBJECTS:
        raise ValueError(
            f"subjects is {settings['subjects']}; allowed are {LEAST_SUBJECTS} to 999, "
            "so that training, validation and test have one each"
        )
    if not 5 <= settings["fps"] <= 240:
        raise ValueError(f"fps is {settings['fps']}; allowed are 5 to 240")
    if settings["seed"] < 0:
        raise ValueError(f"seed is {settings['seed']}; allowed are 0 and above")
    clips = plan(settings["subjects"], settings["repetitions"])
    names = list(dict.fromkeys(clip.subject_name for clip in clips))
    side = max(1, round(0.2 * len(names)))
    first, second = len(names) - 2 * side, len(names) - side
    split = {"train": names[:first], "val": names[first:second], "test": names[second:]}
    return {**card, "settings": dict(settings), "protocols": {"by_subject": split}}


def already_there(console: Console, path: Path, card: Mapping[str, Any]) -> int:
    """Say that there is nothing to do.

    Raises:
        ValueError: What is there is no store, or was made of something else.
    """
    there = Store(path)
    for key in ("name", "settings"):
        if there.card.get(key) != card[key]:
            raise ValueError(f"{path} exists already with {key} {there.card.get(key)}, not {card[key]}; choose another")
    message = f"{path} is complete already: {len(there)} sequences, checksum {there.checksum}"
    console.print(Text(message), soft_wrap=True)
    return 0


def write(path: Path, card: Mapping[str, Any], settings: Mapping[str, Any], console: Console) -> None:
    """Generate and write; what an interrupted run wrote is kept."""
    total = len(plan(settings["subjects"], settings["repetitions"]))
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("generating", total=total, completed=len(writer.done))
        for recording in generate(**settings, skip=frozenset(writer.done)):
            add(writer, recording)
            progress.advance(task)


def add(writer: StoreWriter, recording: Recording) -> None:
    """Add a recording to the store."""
    clip = recording.clip
    writer.add(
        recording.id,
        clip.subject_name,
        {
            "pose": (recording.pose, None, recording.fps),
            "pose2d": (recording.pose2d, recording.pose2d_mask, recording.fps),
        },
        {"exercise": clip.exercise, "mistake": clip.label},
        {
            "pair": clip.pair,
            "severity": round(recording.severity, 4),
            "repetition": clip.repetition,
            "tempo": round(1.0 / recording.duration, 4),
            "height": round(recording.height, 4),
            "heading": round(recording.heading, 2),
            "camera_azimuth": round(recording.camera_azimuth, 2),
        },
    )


def exercise_table(store: Store) -> Table:
    """Sequences and frames of each exercise."""
    table = Table(title=str(store.card["title"]), title_justify="left")
    table.add_column("exercise")
    for name in ("sequences", "correct", "frames", "shortest", "longest"):
        table.add_column(name, justify="right")
    groups = [(name, store.index[store.index["exercise"] == name]) for name in store.labels["exercise"]]
    for name, rows in [*groups, ("all", store.index)]:
        length = rows["pose.length"]
        correct = int((rows["mistake"] == "correct").sum())
        cells = (len(rows), correct, int(length.sum()), int(length.min()), int(length.max()))
        table.add_row(name, *(f"{cell:,}" for cell in cells), end_section=name == groups[-1][0])
    return table


if __name__ == "__main__":
    run_script(main)
