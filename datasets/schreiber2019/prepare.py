"""Schreiber and Moissenet 2019: turn markers and force plates of walking into a store, a stance a sequence.

Usage:
    python datasets/schreiber2019/prepare.py RAW STORE

RAW has a folder a subject with ``dynamic/<subject>_C<1-5>_<trial>.trc`` and ``..._grf.mot`` beside it,
``static/<subject>_ST.trc``, and for all of them ``anthropometrics.csv`` (see ``card.yaml``). Everything is read and
checked first; nothing is written unless all of it is sound. An interrupted run goes on where it stopped when it is
started again.

A stance is a contact of one foot with one plate from touch-down to toe-off. Stances of the left leg are mirrored: what
the store calls the right leg is the one that stands, and the label ``side`` says which it was.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from graphnets.data import StoreWriter
from graphnets.data.anatomy import carried, hip_centres, shank_frame
from graphnets.data.card import load_card, skeleton_of
from graphnets.data.kinetics import stance_kinetics
from graphnets.data.opensim import Markers, Table, read_storage, read_trc
from graphnets.data.plates import at_times, contacts, reaction
from graphnets.data.raw import BadFileError, RawFiles
from graphnets.data.scripts import (
    already_there,
    for_subjects,
    make_console,
    progress_bar,
    refused,
    run_script,
    show_store,
    sourced_card,
)

CARD = Path(__file__).with_name("card.yaml")
PEOPLE = "anthropometrics.csv"
TRIAL = re.compile(r"(?P<subject>\w+)_(?P<speed>C[1-5])_(?P<trial>\d+)\.trc")
LEAST_RATE = 200.0
"""Samples a second of the plates."""
CUTOFF = 20.0
"""Hz, of the low-pass on forces."""
SPEEDS = {"C1": "very_slow", "C2": "slow", "C3": "medium", "C4": "spontaneous", "C5": "fast"}
"""What the names of trials say."""
SHORTEST = 0.3
"""Seconds. A contact below is no stance."""
NEAR = 0.15
"""Metres from the centre of pressure to the nearest marker of the foot that stands there; the other is farther."""
FOOT = ("FCC", "FM1", "FM2", "FM5")
CLUSTER = ("FLE", "FAX", "TTC", "FAL")
"""Of the shank, with the lateral epicondyle: they carry the medial markers where a trial lacks these."""
MEDIAL = ("FME", "TAM")
MEANS = {
    "neck": ("CV7", "SJN"), "shoulder": ("SAE",), "elbow": ("HLE", "HME"), "wrist": ("RSP", "UHE"),
    "knee": ("FLE", "FME"), "ankle": ("FAL", "TAM"), "heel": ("FCC",), "big_toe": ("FM1",), "small_toe": ("FM5",),
}  # fmt: skip
"""Joints as means of markers; the hips are estimated from the pelvis and the pelvis is their middle."""
NEEDED = ("CV7", "SJN", *(f"{s}_{m}" for s in "LR" for m in (
    "IAS", "IPS", "SAE", "HLE", "HME", "RSP", "UHE", *CLUSTER, *FOOT)))  # fmt: skip
FORCES = tuple(f"ground_force_{{}}_{kind}{axis}" for kind in "vp" for axis in "xyz")


class Person(NamedTuple):
    """Height in m and mass in kg."""

    height: float
    mass: float


@dataclass
class Stance:
    """One sequence of the store."""

    id: str
    subject: str
    side: str
    speed: str
    pose: np.ndarray
    seen: np.ndarray
    kinetics: np.ndarray
    known: np.ndarray
    fps: float
    extra: dict[str, Any]


@dataclass
class Raw(RawFiles):
    """All that was found in the raw folder, and all that is wrong with it."""

    stances: list[Stance] = field(default_factory=list)
    reconstructed: set[str] = field(default_factory=set)  # trials whose medial markers come from the static one


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn markers and force plates of walking into a store of stances.")
    parser.add_argument("raw", type=Path, help=f"folder with {PEOPLE} and a folder a subject")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/schreiber2019")
    options = parser.parse_args(arguments)
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    if not (options.raw / PEOPLE).is_file():
        raise ValueError(
            f"{options.raw / PEOPLE}: no such file; RAW is the folder that holds it and a folder a subject"
        )
    with progress_bar(console) as progress:
        raw = read_all(options.raw, progress)
    if refused(console, raw, options.raw):
        return 1
    if raw.reconstructed:
        trials = ", ".join(sorted(raw.reconstructed))
        message = f"{len(raw.reconstructed)} trials lack medial markers, which the static trial gives instead: {trials}"
        console.print(Text(message), soft_wrap=True)
    card = for_subjects(console, card, {stance.subject for stance in raw.stances})
    write(options.store, raw, sourced_card(console, card, raw.digests, []), console)
    show_store(console, options.store)
    return 0


def read_all(root: Path, progress: Progress) -> Raw:
    """Read and check every trial, without stopping at the first problem."""
    raw = Raw()
    people = raw.read(PEOPLE, root / PEOPLE, read_people)
    files = sorted(path for path in root.glob("*/dynamic/*.trc") if path.name[0] != ".")
    if not files:
        raw.report(str(root), "", "has no file <subject>/dynamic/<subject>_C<1-5>_<trial>.trc")
    task = progress.add_task("reading and checking", total=len(files))
    for path in files:
        name = str(path.relative_to(root))
        match = TRIAL.fullmatch(path.name)
        subject = path.parts[-3]
        if match is None or match["subject"] != subject:
            raw.report(name, path.name, f"not a name like {subject}_C4_01.trc")
        elif people is not None and subject not in people:
            raw.report(PEOPLE, subject, f"this subject is missing, but there is {name}")
        elif people is not None:
            read_trial(raw, root, path, SPEEDS[match["speed"]], people[subject])
        progress.advance(task)
    return raw


def read_people(path: Path) -> dict[str, Person]:
    """Height and mass by subject.

    Raises:
        BadFileError: A column is missing, a subject is there twice, or a number is not that of a person.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BadFileError("", f"not readable as CSV: {error}") from error
    wanted = ("subjectID", "height", "mass")
    if missing := [column for column in wanted if column not in table]:
        raise BadFileError(", ".join(table.columns), f"columns {', '.join(missing)} are missing", 1)
    people: dict[str, Person] = {}
    for row, (subject, *words) in enumerate(table[list(wanted)].itertuples(index=False), 2):
        if subject in people:
            raise BadFileError(subject, "this subject is there twice", row)
        height, mass = (pd.to_numeric(word, errors="coerce") for word in words)
        if not 0.5 < height < 2.5:
            raise BadFileError(words[0], "height must be in m, 0.5 to 2.5", row)
        if not 10 < mass < 300:
            raise BadFileError(words[1], "mass must be in kg, 10 to 300", row)
        people[subject] = Person(float(height), float(mass))
    return people


def read_trial(raw: Raw, root: Path, path: Path, speed: str, person: Person) -> None:
    """The stances of one trial, or what is wrong with it."""
    plates_path = path.with_name(f"{path.stem}_grf.mot")
    static_path = path.parents[1] / "static" / f"{path.parts[-3]}_ST.trc"
    names = {p: str(p.relative_to(root)) for p in (path, plates_path, static_path)}
    markers = raw.read(names[path], path, read_walk)
    plates = raw.read(names[plates_path], plates_path, read_plates)
    if markers is None or plates is None:
        return
    absent = [f"{s}_{m}" for s in "LR" for m in MEDIAL if f"{s}_{m}" not in markers.names]
    if absent:
        static = raw.read(names[static_path], static_path, read_markers)
        if static is None:
            return
        if lacking := [name for name in absent if name not in static.names]:
            raw.report(names[path], ", ".join(lacking), f"these markers are missing, in {names[static_path]} too")
            return
        raw.reconstructed.add(path.stem)
    else:
        static = None
    try:
        points = points_of(markers, static)
        found = stances(points, markers, plates)
    except BadFileError as bad:
        raw.report(names[path], bad.value, str(bad), bad.row)
        return
    if not found:
        raw.report(names[plates_path], "", "has no clean contact of a foot")
    for side, where, centre, force in found:
        values, known = targets(points, side, where, centre, force, person.mass)
        pose, seen = joints(points, side, where)
        extra = {
            "trial": path.stem, "height": person.height, "mass": person.mass,
            "walking_speed": round(travel(points, markers.fps), 3), "reconstructed": int(static is not None),
        }  # fmt: skip
        raw.stances.append(
            Stance(f"{path.stem}_{side}", path.parts[-3], side, speed, pose, seen, values, known, markers.fps, extra)
        )


def read_markers(path: Path) -> Markers:
    """A .trc file with the markers that are needed.

    Raises:
        BadFileError: See :func:`graphnets.data.opensim.read_trc`; or markers are missing.
    """
    markers = read_trc(path)
    if missing := [name for name in NEEDED if name not in markers.names]:
        raise BadFileError(", ".join(missing), "these markers are missing", 4)
    return markers


def read_walk(path: Path) -> Markers:
    """The markers of a walk, whose times must follow the frame rate.

    Raises:
        BadFileError: See :func:`read_markers`; or they don't.
    """
    markers = read_markers(path)
    off = np.abs(np.diff(markers.times) * markers.fps - 1)
    if not len(off) or off.max() > 0.01:
        row = 7 + (int(off.argmax()) if len(off) else 0)
        raise BadFileError(f"{markers.fps:g}", f"times must be 1 / DataRate apart; from row {row} on they are not")
    return markers


def read_plates(path: Path) -> Table:
    """A .mot file with the forces and centres of pressure of at least one plate.

    Raises:
        BadFileError: See :func:`graphnets.data.opensim.read_storage`; or columns are missing, or cells blank.
    """
    table = read_storage(path)
    if missing := [name.format(1) for name in FORCES if name.format(1) not in table.columns]:
        raise BadFileError(", ".join(missing), "these columns are missing")
    if np.isnan(table.values).any():
        row, column = np.argwhere(np.isnan(table.values))[0].tolist()
        raise BadFileError("", f"{table.columns[column]} is blank at {table.times[row]:g} s")
    steps = np.diff(table.times)
    if len(steps) < 100 or np.ptp(steps) > 0.1 * steps.mean() or 1 / steps.mean() < LEAST_RATE:
        rate = f"{1 / steps.mean():.4g} a second" if len(steps) else "1 row"
        raise BadFileError(rate, f"must be more than 100 rows, evenly spaced, {LEAST_RATE:g} a second or more")
    return table


def points_of(markers: Markers, static: Markers | None = None) -> dict[str, np.ndarray]:
    """Markers by name, ``[T, 3]`` in m; the medial ones that a trial lacks are carried by the shank.

    Raises:
        BadFileError: The cluster was not seen in the static trial, or the walk is not along x.
    """
    points = {name: markers.positions[:, i] for i, name in enumerate(markers.names)}
    if static is not None:
        still = {name: static.positions[0, i] for i, name in enumerate(static.names)}
        for side in "LR":
            cluster = np.stack([still[f"{side}_{m}"] for m in CLUSTER])
            medial = np.stack([still[f"{side}_{m}"] for m in MEDIAL])
            if not np.isfinite(np.concatenate([cluster, medial])).all():
                raise BadFileError(f"{side}_{', '.join((*CLUSTER, *MEDIAL))}", "not all seen in the static trial")
            moved = carried(cluster, medial, np.stack([points[f"{side}_{m}"] for m in CLUSTER], axis=1))
            points |= {f"{side}_{m}": points.get(f"{side}_{m}", moved[:, i]) for i, m in enumerate(MEDIAL)}
    if not (speed := travel(points, markers.fps)) > 0.05:
        raise BadFileError(f"{speed:.3f} m/s", "the pelvis must walk along x, forwards")
    return points


def travel(points: Mapping[str, np.ndarray], fps: float) -> float:
    """Mean speed of the pelvis along x, m/s."""
    x = np.mean([points[f"{s}_{m}"][:, 0] for s in "LR" for m in ("IAS", "IPS")], axis=0)
    seen = np.flatnonzero(np.isfinite(x))
    return float((x[seen[-1]] - x[seen[0]]) / (seen[-1] - seen[0]) * fps) if len(seen) > 1 else 0.0


def stances(
    points: Mapping[str, np.ndarray], markers: Markers, plates: Table
) -> list[tuple[str, slice, np.ndarray, np.ndarray]]:
    """Clean contacts: side, frames, centre of pressure and force ``[frames, 3]``.

    Left out are contacts that the recording cuts off or that are shorter than :data:`SHORTEST`.

    Raises:
        BadFileError: No foot, or not one alone, is where the force is.
    """
    rate = (len(plates.times) - 1) / (plates.times[-1] - plates.times[0])
    found: list[tuple[str, slice, np.ndarray, np.ndarray]] = []
    number = 1
    while f"ground_force_{number}_vx" in plates.columns:
        columns = [plates.columns.index(name.format(number)) for name in FORCES]
        force, centre = np.split(plates.values[:, columns], 2, axis=1)
        pushed, pressed = reaction(force, centre, rate, CUTOFF)
        for contact in contacts(force[:, 1]):
            begin, end = plates.times[contact.start], plates.times[contact.stop - 1]
            whole = contact.start > 0 and contact.stop < len(plates.times)
            frames = np.flatnonzero((markers.times >= begin - 1e-9) & (markers.times <= end + 1e-9))
            if not whole or end - begin < SHORTEST or not len(frames):
                continue
            where = slice(int(frames[0]), int(frames[-1]) + 1)
            at = at_times(plates.times, np.concatenate([pressed, pushed], axis=1), markers.times[where])
            side = foot_at(points, where, at[:, :3], f"plate {number}, {begin:.2f} to {end:.2f} s")
            found.append((side, where, at[:, :3], at[:, 3:]))
        number += 1
    return sorted(found, key=lambda stance: stance[1].start)


def foot_at(points: Mapping[str, np.ndarray], where: slice, centre: np.ndarray, place: str) -> str:
    """The foot whose markers are nearest to the centre of pressure, on the mean over the stance.

    Raises:
        BadFileError: None is near, or both are.
    """
    far = {}
    for side in ("left", "right"):
        marks = np.stack([points[f"{side[0].upper()}_{m}"][where] for m in FOOT], axis=1)
        apart = np.linalg.norm((marks - centre[:, None])[..., [0, 2]], axis=-1)
        nearest = np.where(np.isnan(apart), np.inf, apart).min(axis=1)
        seen = np.isfinite(nearest)
        far[side] = float(nearest[seen].mean()) if seen.any() else np.inf
    near = [side for side in far if far[side] <= NEAR]
    if len(near) != 1:
        apart_text = ", ".join(f"{side} {value:.2f} m" for side, value in far.items())
        raise BadFileError(
            apart_text, f"{place}: {'no foot is' if not near else 'both feet are'} within {NEAR:g} m of the force"
        )
    return near[0]


def mirrored(points: Mapping[str, np.ndarray], side: str, name: str) -> np.ndarray:
    """A marker as if the right leg stood: of a left stance the other side's, with z turned round."""
    if side == "right":
        return points[name]
    other = {"L_": "R_", "R_": "L_"}.get(name[:2])
    return points[other + name[2:] if other else name] * [1.0, 1.0, -1.0]


def joints(points: Mapping[str, np.ndarray], side: str, where: slice) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the skeleton ``body20``: metres ``[T, 20, 3]``, and which are known ``[T, 20]``."""
    at = {name: mirrored(points, side, name)[where] for name in points}
    left_hip, right_hip = hip_centres(*(at[name] for name in ("L_IAS", "R_IAS", "L_IPS", "R_IPS")))
    place = {"left_hip": left_hip, "right_hip": right_hip, "pelvis": (left_hip + right_hip) / 2}
    for joint, marks in MEANS.items():
        for letter, prefix in (("", ""),) if joint == "neck" else (("L_", "left_"), ("R_", "right_")):
            place[prefix + joint] = np.mean([at[letter + mark] for mark in marks], axis=0)
    pose = np.stack([place[name] for name in skeleton_of({"skeleton": "body20"}).joints], axis=1)
    return pose, np.isfinite(pose).all(-1)


def targets(
    points: Mapping[str, np.ndarray], side: str, where: slice, centre: np.ndarray, force: np.ndarray, mass: float
) -> tuple[np.ndarray, np.ndarray]:
    """The five targets ``[T, 5, 1]`` of the leg that stands, and which are known ``[T, 5]``."""
    at = {m: mirrored(points, side, f"R_{m}")[where] for m in (*CLUSTER, *MEDIAL)}
    turn = np.array([1.0, 1.0, 1.0 if side == "right" else -1.0])
    knee, ankle = (at["FLE"] + at["FME"]) / 2, (at["FAL"] + at["TAM"]) / 2
    shank = shank_frame(knee, ankle, at["FLE"] - at["FME"])
    values = stance_kinetics(force * turn, centre * turn, knee, shank, mass)
    return values[..., None], np.isfinite(values)


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.stances), completed=len(writer.done))
        for s in sorted(raw.stances, key=lambda stance: stance.id):
            if s.id in writer.done:
                continue
            modalities = {"pose": (s.pose, s.seen, s.fps), "kinetics": (s.kinetics, s.known, s.fps)}
            writer.add(s.id, s.subject, modalities, {"side": s.side, "speed": s.speed}, s.extra)
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
