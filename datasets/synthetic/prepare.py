"""Synthetic exercises: generate the embedded data set.

Usage:
    python datasets/synthetic/prepare.py STORE [--subjects 20] [--repetitions 4] [--seed 0] [--fps 30]
    python datasets/synthetic/prepare.py STORE --modalities all --exercises squat walking --workers 2

Each subject does every exercise ``repetitions`` times correctly and as often with each of its mistakes. The same
settings give the same store, whatever the number of workers. An interrupted run goes on where it stopped when it is
started again.
"""

from __future__ import annotations

import argparse
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphnets.data import Store, StoreWriter
from graphnets.data.card import load_card
from graphnets.data.scripts import make_console, progress_bar, run_script, store_table
from graphnets.runtime import settle_worker
from graphnets.simulation import (
    EXERCISES,
    MODALITIES,
    VIEWS,
    Clip,
    Recording,
    Setup,
    groups,
    mistake_classes,
    plan,
    render,
)
from graphnets.simulation.clips import checked_exercises
from graphnets.simulation.worn import PLACES, sensor_skeleton
from graphnets.skeleton import Skeleton

CARD = Path(__file__).with_name("card.yaml")
GENERATOR = 2
"""Counts up whenever the same settings come to mean other movement, so that no two kinds are mixed in a store."""
LEAST_SUBJECTS = 3
"""One to train on, one to validate on, one to test on."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
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
    parser.add_argument("--exercises", nargs="+", choices=list(EXERCISES), help="which; all if not given")
    usual = Setup()
    parser.add_argument(
        "--modalities",
        nargs="+",
        choices=[*MODALITIES, "all"],
        default=list(usual.modalities),
        help="what is recorded; all is every one but the third and fourth camera",
    )
    parser.add_argument("--cameras", type=int, choices=range(len(VIEWS) + 1), help="views, instead of naming them")
    parser.add_argument("--skeleton", default=usual.skeleton, help="of pose and views, a built-in one")
    parser.add_argument("--distortion", type=float, default=usual.distortion, help="spread of the lenses' distortion")
    parser.add_argument("--sensors", nargs="+", choices=list(PLACES), help="where; those of tan_imu8 if not given")
    parser.add_argument("--imu-rate", type=float, default=usual.imu_rate, help="samples a second of the sensors")
    parser.add_argument("--askew", type=float, default=usual.askew, help="spread of the sensors' mounting, degrees")
    parser.add_argument("--workers", type=int, default=1, help="processes that generate; the store is the same")
    return parser.parse_args(arguments)


def setup_of(options: argparse.Namespace) -> Setup:
    """What to record.

    Raises:
        ValueError: A setting is not allowed.
    """
    wanted = set(options.modalities)
    if "all" in wanted:
        wanted = set(MODALITIES) - set(VIEWS[2:])
    if options.cameras is not None:
        wanted = wanted - set(VIEWS) | set(VIEWS[: options.cameras])
    return Setup(
        modalities=tuple(name for name in MODALITIES if name in wanted),
        skeleton=options.skeleton,
        distortion=options.distortion,
        sensors=tuple(options.sensors) if options.sensors else None,
        imu_rate=options.imu_rate,
        askew=options.askew,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    options = parse(arguments)
    if not 1 <= options.workers <= 256:
        raise ValueError(f"workers is {options.workers}; allowed are 1 to 256")
    setup = setup_of(options)
    settings = {name: getattr(options, name) for name in ("subjects", "repetitions", "seed", "fps")}
    settings["exercises"] = checked_exercises(options.exercises)
    console, card = make_console(), store_card(load_card(CARD), settings, setup)
    if options.store.exists():
        return already_there(console, options.store, card)
    settle_worker()
    write(options.store, card, settings, setup, options.workers, console)
    store = Store(options.store)
    console.print(exercise_table(store))
    console.print(store_table(store))
    console.print(Text(f"{len(store)} sequences in {store.path}\nchecksum {store.checksum}"), soft_wrap=True)
    return 0


def store_card(card: Mapping[str, Any], settings: Mapping[str, Any], setup: Setup | None = None) -> dict[str, Any]:
    """The card of what is generated: its modalities, classes and settings, the protocol for this number of subjects.

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
    plan(settings["subjects"], 1), plan(1, settings["repetitions"])  # they refuse other numbers
    names = [Clip("", "", subject, 1).subject_name for subject in range(1, settings["subjects"] + 1)]
    side = max(1, round(0.2 * len(names)))
    first, second = len(names) - 2 * side, len(names) - side
    split = {"train": names[:first], "val": names[first:second], "test": names[second:]}
    setup = setup or Setup()
    chosen = list(settings["exercises"])
    return {
        **card,
        "modalities": {name: modality_of(card, name, setup) for name in setup.modalities},
        "labels": {"exercise": {"classes": chosen}, "mistake": {"classes": mistake_classes(chosen)}},
        "settings": {"generator": GENERATOR, **settings, **settings_of(setup)},
        "protocols": {"by_subject": split},
    }


def modality_of(card: Mapping[str, Any], name: str, setup: Setup) -> dict[str, Any]:
    """The card's entry of a modality with the skeleton that the setup asks for."""
    own: dict[str, Any] = dict(card["modalities"][name])
    if name in ("pose", *VIEWS):
        own["skeleton"] = Skeleton.load(setup.skeleton).to_dict()
    if name == "imu":
        own["skeleton"] = sensor_skeleton(setup.sensors).to_dict()
    return own


def settings_of(setup: Setup) -> dict[str, Any]:
    """The setup as plain values, without what the chosen modalities don't use."""
    out: dict[str, Any] = {"modalities": list(setup.modalities)}
    if {"pose", *VIEWS} & set(setup.modalities):
        out["skeleton"] = setup.skeleton
    if set(VIEWS) & set(setup.modalities):
        out["distortion"] = setup.distortion
    if "imu" in setup.modalities:
        out |= {"sensors": list(sensor_skeleton(setup.sensors).joints), "imu_rate": setup.imu_rate}
        out["askew"] = setup.askew
    return out


def already_there(console: Console, path: Path, card: Mapping[str, Any]) -> int:
    """Say that there is nothing to do.

    Raises:
        ValueError: What is there is no store, or was made of something else.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is a file; a store is a folder")
    there = Store(path)
    for key in ("name", "settings"):
        if there.card.get(key) != card[key]:
            raise ValueError(
                f"{path} exists already with other {_differing(there.card.get(key), card[key], key)}; choose another"
            )
    message = f"{path} is complete already: {len(there)} sequences, checksum {there.checksum}"
    console.print(Text(message), soft_wrap=True)
    return 0


def _differing(there: Any, wanted: Any, key: str) -> str:
    """What differs, in words."""
    if not (isinstance(there, Mapping) and isinstance(wanted, Mapping)):
        return f"{key} {there!r}, not {wanted!r}"
    names = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    return f"{key}: " + ", ".join(f"{name} {there.get(name)!r}, not {wanted.get(name)!r}" for name in names)


def write(
    path: Path, card: Mapping[str, Any], settings: Mapping[str, Any], setup: Setup, workers: int, console: Console
) -> None:
    """Generate and write; what an interrupted run wrote is kept."""
    ask = {name: settings[name] for name in ("subjects", "repetitions", "exercises")}
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        done = frozenset(writer.done)
        total = settings["subjects"] * settings["repetitions"] * len(_kinds(settings["exercises"]))
        task = progress.add_task("generating", total=total, completed=len(done))
        for recordings in made(groups(**ask, skip=done), settings["seed"], settings["fps"], setup, workers):
            for recording in recordings:
                if recording.id not in done:
                    add(writer, recording)
                    progress.advance(task)


def _kinds(exercises: Sequence[str]) -> list[Clip]:
    """One clip of every exercise and mistake."""
    return plan(1, 1, exercises)


def made(clips: Iterator[list[Clip]], seed: int, fps: float, setup: Setup, workers: int) -> Iterator[list[Recording]]:
    """Recordings of groups of clips, in their order; never more than a few groups at once, however many there are."""
    if workers == 1:
        for group in clips:
            yield render(group, seed, fps, setup)
        return
    # Started afresh: a fork would carry along the threads of PyTorch.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), settle_worker)
    waiting: deque[Future[list[Recording]]] = deque()
    try:
        for group in clips:
            waiting.append(submit(pool, render, group, seed, fps, setup))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def submit(pool: ProcessPoolExecutor, *work: Any) -> Future[list[Recording]]:
    """Hand work to a pool whose processes leave Ctrl-C to this one: they are started, if need be, with it blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(*work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def add(writer: StoreWriter, recording: Recording) -> None:
    """Add a recording to the store."""
    clip = recording.clip
    # The first camera's column has its own name, older than the others.
    places = {f"{'camera' if view == VIEWS[0] else view}_azimuth": a for view, a in recording.azimuths.items()}
    writer.add(
        recording.id,
        clip.subject_name,
        {name: (s.values, s.mask, s.fps) for name, s in recording.streams.items()},
        {"exercise": clip.exercise, "mistake": clip.label},
        {
            "pair": clip.pair,
            "severity": round(recording.severity, 4),
            "repetition": clip.repetition,
            "tempo": round(1.0 / recording.duration, 4),
            "height": round(recording.height, 4),
            "mass": round(recording.mass, 2),
            "heading": round(recording.heading, 2),
            **{name: round(azimuth, 2) for name, azimuth in places.items()},
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
        length = rows[f"{store.modalities[0]}.length"]
        correct = int((rows["mistake"] == "correct").sum())
        cells = (len(rows), correct, int(length.sum()), int(length.min()), int(length.max()))
        table.add_row(name, *(f"{cell:,}" for cell in cells), end_section=name == groups[-1][0])
    return table


if __name__ == "__main__":
    run_script(main)
