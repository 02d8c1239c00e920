"""What the scripts that prepare and check stores have in common: tables, progress, readable endings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from graphnets.data.files import combined_sha256
from graphnets.data.raw import RawFiles
from graphnets.data.store import Store
from graphnets.data.validation import Problem

_LINE = 200  # columns where the output is no terminal: a line of a log file needs no wrapping


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for whole lines where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else _LINE
    return Console(stderr=stderr, width=fixed, highlight=False)


def progress_bar(console: Console) -> Progress:
    """A bar with what is done, how many of how many, and the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def problem_table(problems: Iterable[Problem], title: str) -> Table:
    """Every problem in a row: file, row, value and what is wrong."""
    table = Table(title=title, title_justify="left")
    for name in ("file", "row", "value"):
        table.add_column(name, overflow="fold", justify="right" if name == "row" else "left")
    table.add_column("message", overflow="fold", ratio=1)
    for problem in problems:
        row = "" if problem.row is None else str(problem.row)
        table.add_row(*(Text(cell) for cell in (problem.file, row, problem.value, problem.message)))
    return table


def store_table(store: Store) -> Table:
    """What a store holds: a row a modality, with its sequences, frames, subjects and lengths."""
    table = Table(title=Text(str(store.card["title"])), title_justify="left")
    table.add_column("modality")
    for name in ("sequences", "subjects", "frames", "shortest", "median", "longest", "fps", "joints"):
        table.add_column(name, justify="right")
    table.add_column("channels")
    for name in store.modalities:
        arrays = store.arrays(name)
        there = (arrays.length > 0).numpy()
        length = arrays.length.numpy()[there]
        rates = sorted(set(arrays.fps.numpy()[there].tolist()))
        table.add_row(
            name,
            f"{len(length):,}",
            str(len(set(store.subjects[there]))),
            f"{length.sum():,}",
            *([f"{f(length):g}" for f in (np.min, np.median, np.max)] if len(length) else ["-"] * 3),
            ", ".join(f"{rate:g}" for rate in rates) if len(rates) < 4 else f"{rates[0]:g}-{rates[-1]:g}",
            str(arrays.skeleton.num_joints),
            Text(f"{', '.join(arrays.channels)} [{arrays.unit}]"),
        )
    return table


def already_there(console: Console, path: Path, name: str) -> int:
    """Say that there is nothing to do; returns the exit code.

    Raises:
        ValueError: What is there is no store, or one of another data set.
    """
    store = Store(path)
    if store.card["name"] != name:
        raise ValueError(f"{path} holds the data set {store.card['name']!r}; choose another folder")
    message = f"{path} is complete already: {len(store)} sequences, checksum {store.checksum}"
    console.print(Text(message), soft_wrap=True)
    return 0


def note_missing(
    console: Console, raw: RawFiles, root: Path, missing: Sequence[str], allow: bool, what: str = "recordings"
) -> None:
    """Say what is missing: as a problem, unless that is allowed."""
    listing = ", ".join(missing)
    if missing and not allow:
        raw.report(str(root), f"{len(missing)} missing", f"{listing}; --allow-missing goes on without")
    elif missing:
        console.print(Text(f"{len(missing)} {what} are missing: {listing}", style="yellow"))


def refused(console: Console, raw: RawFiles, root: Path) -> bool:
    """Show all problems; is there any?"""
    if raw.problems:
        console.print(problem_table(raw.problems, f"{len(raw.problems)} problem(s) in {root}; nothing was written"))
    return bool(raw.problems)


def sourced_card(
    console: Console, card: Mapping[str, Any], digests: dict[str, str], missing: Sequence[str]
) -> dict[str, Any]:
    """The card for the store, with what it was made from; warns where that isn't the known release.

    Args:
        console: Where to warn.
        card: The recipe's card; ``source_files`` and ``source_checksum`` where the release is known to us.
        digests: SHA-256 of every file.
        missing: Ids of recordings that are not there.
    """
    checksum = combined_sha256(digests)
    here = f"  here:  {len(digests)} files, combined SHA-256 {checksum}"
    if "source_checksum" not in card:
        message = f"note: this recipe was written without the release at hand and knows no checksum of it.\n{here}"
        console.print(Text(message, style="yellow"), soft_wrap=True)
    elif checksum != card["source_checksum"]:
        message = (
            f"warning: these are not the raw files that this recipe was checked with, so results may not compare.\n"
            f"{here}\n"
            f"  known: {card['source_files']} files, combined SHA-256 {card['source_checksum']}"
        )
        console.print(Text(message, style="yellow"), soft_wrap=True)
    return {**card, "source_files": len(digests), "source_checksum": checksum, "missing": list(missing)}


def for_subjects(console: Console, card: Mapping[str, Any], subjects: Iterable[str]) -> dict[str, Any]:
    """The card without the protocols that name subjects who are not there; says which these are.

    Args:
        console: Where to say it.
        card: The recipe's card.
        subjects: Who is there.
    """
    there, kept = set(subjects), {}
    for name, protocol in (card.get("protocols") or {}).items():
        absent = sorted({str(subject) for side in protocol.values() for subject in side} - there)
        if absent:
            message = f"the protocol {name} is left out: there are no subjects {', '.join(absent)}"
            console.print(Text(message, style="yellow"), soft_wrap=True)
        else:
            kept[name] = protocol
    return {**card, "protocols": kept}


def show_store(console: Console, path: Path) -> None:
    """What was written, and its checksum."""
    store = Store(path)
    console.print(store_table(store))
    console.print(Text(f"{len(store)} sequences in {store.path}\nchecksum {store.checksum}"), soft_wrap=True)


def run_script(main: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a script's ``main`` and leave with its exit code: 1, with a message and no traceback, when it refuses.

    Args:
        main: Takes the command line's arguments (None: those of the process) and returns the exit code.
        arguments: What to hand it.

    Raises:
        SystemExit: Always.
    """
    try:
        code = main(arguments)
    except (ValueError, OSError) as error:
        make_console(stderr=True).print(Text(f"error: {error}", style="red"), soft_wrap=True)
        code = 1
    except KeyboardInterrupt:
        make_console(stderr=True).print("interrupted; run the same command again to go on")
        code = 130
    sys.exit(code)
