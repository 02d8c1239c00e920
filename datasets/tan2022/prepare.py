"""Tan et al. 2022: turn walking with worn sensors, two phones and a force plate into a store, a stance a sequence.

Usage:
    python datasets/tan2022/prepare.py RAW STORE

RAW is an HDF5 file (see ``card.yaml``) or a folder that holds one: a dataset a subject, ``[steps, 152, 256]``, or a
group a subject with several of them; the names of the columns are the attribute ``columns`` of the file. Steps are
padded with zeros; the frames with ``force_phase`` 1 are the stance. Everything is read and checked first; nothing is
written unless all of it is sound. An interrupted run goes on where it stopped when it is started again. Needs h5py: the
extra ``data``.

The releases of 2021 and 2022 give the moments in different units, and the first the flexion moment with the other sign.
Which one it is, is found by computing both moments from markers and force plate, which are in the same file.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from graphnets.data import StoreWriter
from graphnets.data.anatomy import shank_frame
from graphnets.data.card import load_card
from graphnets.data.kinetics import GRAVITY, stance_kinetics
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
BODY = ("body weight", "body height", "force_phase", "EXT_KM_X", "EXT_KM_Y")
SENSORS = ("L_FOOT", "R_FOOT", "R_SHANK", "R_THIGH", "WAIST", "CHEST", "L_SHANK", "L_THIGH")
"""In the order of the skeleton tan_imu8."""
POINTS = ("LShoulder", "RShoulder", "MidHip", "RHip", "LHip", "RKnee", "LKnee", "RAnkle", "LAnkle", "RHeel", "LHeel")
"""In the order of the skeleton tan_video11."""
VIEWS = {"video2d_side": "90", "video2d_back": "180"}
FORCE = tuple(f"plate_2_force_{axis}" for axis in "xyz")
CENTRE = tuple(f"plate_2_cop_{axis}" for axis in "xyz")
MARKERS = ("RFLE", "RFME", "RFAL", "RTAM")
IMU = tuple(f"{kind}{axis}_{sensor}" for sensor in SENSORS for kind in ("Accel", "Gyro") for axis in "XYZ")
REQUIRED = (
    *BODY, *IMU, *(f"{p}_{axis}_{view}" for view in VIEWS.values() for p in POINTS for axis in "xy"), *FORCE, *CENTRE,
    *(f"{m}_{axis}" for m in MARKERS for axis in "XYZ"),
)  # fmt: skip
ROOM = [1, 2, 0]
"""Axes of the release (x right, y forward, z up) in the order forward, up, right."""
WITHIN = 1.3
"""By what factor, and its inverse, moments may be off those computed from markers and plate."""


@dataclass
class Step:
    """One sequence of the store."""

    id: str
    subject: str
    modalities: dict[str, tuple[np.ndarray, np.ndarray, float]]
    extra: dict[str, Any]


@dataclass
class Raw(RawFiles):
    """All that was found, and all that is wrong with it."""

    steps: list[Step] = field(default_factory=list)
    units: dict[str, list[str]] = field(default_factory=dict)  # batches by the unit of their moments
    empty: int = 0  # steps without a frame of stance


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the HDF5 file of Tan et al. into a store of stances.")
    parser.add_argument("raw", type=Path, help="the .h5 file, or the folder that holds it")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/tan2022")
    options = parser.parse_args(arguments)
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    path = find_file(options.raw)
    raw = Raw()
    raw.read(path.name, path, lambda at: read_file(raw, at, float(card["modalities"]["kinetics"]["fps"])))
    if not raw.steps and not raw.problems:
        raw.report(path.name, "", "holds no step with a frame of stance")
    if refused(console, raw, path):
        return 1
    for unit, batches in raw.units.items():
        console.print(Text(f"moments in {unit}: {', '.join(batches)}"), soft_wrap=True)
    if raw.empty:
        console.print(Text(f"{raw.empty} steps have no frame of stance and are left out", style="yellow"))
    card = for_subjects(console, card, {step.subject for step in raw.steps})
    write(options.store, raw, sourced_card(console, card, raw.digests, []), console)
    show_store(console, options.store)
    return 0


def find_file(path: Path) -> Path:
    """The HDF5 file: ``path`` itself, or the only one in it.

    Raises:
        ValueError: There is none, or a choice of several.
    """
    found = sorted((*path.glob("*.h5"), *path.glob("*.hdf5"))) if path.is_dir() else [path]
    if len(found) == 1 and found[0].is_file():
        return found[0]
    there = ", ".join(file.name for file in found) if path.is_dir() and found else "none"
    raise ValueError(f"{path} must be an HDF5 file (.h5, .hdf5), or a folder with one; there is {there}")


def read_file(raw: Raw, path: Path, fps: float) -> None:
    """Read and check every step of the file, without stopping at the first problem in one.

    Raises:
        BadFileError: It is no HDF5 file, or holds no dataset.
        ValueError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError("reading HDF5 files needs h5py: pip install 'graphnets[data]'") from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadFileError(f"{path.stat().st_size} bytes", f"damaged, or no HDF5 file: {error}") from error
    with file:
        batches: dict[str, Any] = {}
        file.visititems(lambda name, node: batches.update({name: node}) if isinstance(node, h5py.Dataset) else None)
        if not batches:
            raise BadFileError("", "holds no dataset")
        for name, batch in sorted(batches.items()):
            try:
                columns = columns_of(name, [batch.attrs, batch.parent.attrs, file.attrs])
                if batch.ndim != 3 or batch.shape[2] != len(columns):
                    shape = " x ".join(map(str, batch.shape))
                    raise BadFileError(shape, f"must be steps x frames x {len(columns)} columns")
                raw.steps += list(steps_of(raw, name, np.asarray(batch[()], dtype=np.float64), columns, fps))
            except BadFileError as bad:
                raw.report(f"{path.name}/{name}", bad.value, str(bad), bad.row)
            except OSError as error:
                raw.report(f"{path.name}/{name}", "", f"damaged: {error}")


def columns_of(name: str, places: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Where each column of a dataset is.

    Args:
        name: Of the dataset.
        places: Attributes of the dataset, its group and its file: the first with ``columns`` counts.

    Raises:
        BadFileError: The names are missing, or no list, or one is there twice, or columns are missing.
    """
    given = next((place["columns"] for place in places if "columns" in place), None)
    if given is None:
        raise BadFileError("", "neither it nor the file has an attribute columns")
    try:
        listed = json.loads(given) if isinstance(given, (str, bytes)) else np.asarray(given).tolist()
    except ValueError as error:
        raise BadFileError(str(given)[:40], f"the attribute columns is no JSON list: {error}") from error
    if not isinstance(listed, list):
        raise BadFileError(str(given)[:40], "the attribute columns must be a list of names")
    names = [column.decode() if isinstance(column, bytes) else str(column) for column in listed]
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise BadFileError(", ".join(twice), "these columns are there twice")
    if missing := [column for column in REQUIRED if column not in names]:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise BadFileError(f"{len(names)} columns", f"these are missing: {', '.join(missing[:8])}{more}")
    return {column: i for i, column in enumerate(names)}


def steps_of(raw: Raw, name: str, values: np.ndarray, columns: Mapping[str, int], fps: float) -> Iterator[Step]:
    """The stances of one dataset ``[steps, frames, columns]``.

    Raises:
        BadFileError: What is in it can't be what the columns say.
    """
    subject, _, batch = name.partition("/")
    subject = re.sub(r"^(s\d+)_.*", r"\1", subject)  # the full release appends the names of people
    phase = values[..., columns["force_phase"]] == 1
    cut: list[tuple[int, np.ndarray]] = []
    for i, (step, stands) in enumerate(zip(values, phase, strict=True)):
        frames = np.flatnonzero(stands)
        if not len(frames):
            raw.empty += 1
            continue
        if frames[-1] - frames[0] + 1 != len(frames):
            raise BadFileError(f"step {i}", "the frames with force_phase 1 are not in one piece")
        cut.append((i, step[frames]))
    if not cut:
        return
    whole = np.concatenate([frames for _, frames in cut])

    def of(names: Sequence[str], frames: np.ndarray = whole) -> np.ndarray:
        return frames[:, [columns[n] for n in names]]

    if np.isinf(of(REQUIRED)).any():
        raise BadFileError("inf", f"{REQUIRED[int(np.argwhere(np.isinf(of(REQUIRED)))[0][1])]} must be finite")
    mass, height = (float(np.median(of([column]))) for column in BODY[:2])
    check_units(of, mass, height)
    unit, turned, factor = unit_of(of(BODY[3:]), computed(of, mass), height)
    raw.units.setdefault(unit, []).append(name)
    for i, frames in cut:
        loads = stance_of(of(FORCE, frames), of(BODY[3:], frames) * factor * [turned, 1.0], mass)
        made = {"imu": sensors(of(IMU, frames))}
        made |= {view: video(frames, columns, angle, height) for view, angle in VIEWS.items()}
        made["kinetics"] = (loads[..., None], np.isfinite(loads))
        id = f"{subject}_{batch}_{i:04}" if batch else f"{subject}_{i:04}"
        extra = {"batch": batch, "step": i, "height": round(height, 4), "mass": round(mass, 3)}
        yield Step(id, subject, {m: (x, known, fps) for m, (x, known) in made.items()}, extra)


def check_units(of: Any, mass: float, height: float) -> None:
    """Refuse what is in another unit than expected.

    Raises:
        BadFileError: Body, force, acceleration or angular rate are not in kg, m, N, m/s^2 and deg/s.
    """
    if not 10 < mass < 300:
        raise BadFileError(f"{mass:g}", "body weight must be in kg, 10 to 300")
    if not 0.5 < height < 2.5:
        raise BadFileError(f"{height:g}", "body height must be in m, 0.5 to 2.5")
    weights = -np.nanmean(of(FORCE[2:])) / (mass * GRAVITY)
    if not 0.4 < weights < 1.2:
        message = (
            "plate_2_force_z must be N on the plate, downwards negative: its mean over the stance is to be -0.4 to -1.2"
        )
        raise BadFileError(f"{-weights:.3g}", f"{message} body weights")
    gravity = np.linalg.norm(np.nanmean(of([f"Accel{axis}_WAIST" for axis in "XYZ"]), axis=0))
    if not 8 < gravity < 12:
        raise BadFileError(f"{gravity:.3g}", "the mean acceleration of WAIST must be 8 to 12 m/s^2")
    rate = np.sqrt(np.nanmean(of([f"Gyro{axis}_R_SHANK" for axis in "XYZ"]) ** 2) * 3)
    if not 20 < rate < 500:
        raise BadFileError(f"{rate:.3g}", "the angular rate of R_SHANK must be 20 to 500 deg/s, root mean square")


def computed(of: Any, mass: float) -> np.ndarray:
    """KFM and KAM from markers and force plate, N m/kg ``[T, 2]``."""
    places = {m: of([f"{m}_{axis}" for axis in "XYZ"])[:, ROOM] / 1000 for m in MARKERS}
    knee, ankle = (places["RFLE"] + places["RFME"]) / 2, (places["RFAL"] + places["RTAM"]) / 2
    shank = shank_frame(knee, ankle, places["RFLE"] - places["RFME"])
    return stance_kinetics(-of(FORCE)[:, ROOM], of(CENTRE)[:, ROOM] / 1000, knee, shank, mass)[:, :2]


def unit_of(given: np.ndarray, expected: np.ndarray, height: float) -> tuple[str, float, float]:
    """In which unit and with which sign moments are.

    Args:
        given: KFM and KAM as released, ``[T, 2]``.
        expected: The same in N m/kg, from another source.
        height: Of the subject, m.

    Returns:
        The unit's name, the sign of KFM, and what makes N m/kg of the unit.

    Raises:
        BadFileError: None fits.
    """
    known = np.isfinite(given).all(1) & np.isfinite(expected).all(1)
    if known.sum() < 20:
        raise BadFileError(f"{known.sum()} frames", "have moments, markers and force; at least 20 tell the unit")
    x, y = given[known], expected[known]
    power = (x**2).sum(0)
    slope = np.divide((x * y).sum(0), power, out=np.zeros(2), where=power > 0)
    likeness = (x * y).sum(0) / np.sqrt(np.maximum(power * (y**2).sum(0), 1e-30))
    units = {"N m/kg": (1.0, 1.0), "%BW BH": (1.0, GRAVITY * height / 100), "N m/(kg m), KFM negated": (-1.0, height)}
    for unit, (sign, factor) in units.items():
        ratios = slope * [sign, 1.0] / factor
        if (ratios > 1 / WITHIN).all() and (ratios < WITHIN).all() and (np.abs(likeness) > 0.8).all():
            return unit, sign, factor
    message = f"times those from markers and plate are EXT_KM_X and EXT_KM_Y; this is none of {', '.join(units)}"
    inverse = np.divide(1.0, slope, out=np.full(2, np.inf), where=slope != 0)
    raise BadFileError(f"{inverse[0]:.3g} and {inverse[1]:.3g}", message)


def stance_of(force: np.ndarray, moments: np.ndarray, mass: float) -> np.ndarray:
    """The targets ``[T, 5]`` from the force on the plate (axes of the release) and KFM, KAM in N m/kg."""
    right, forward, up = (-force / (mass * GRAVITY)).T
    return np.stack([*moments.T, up, forward, -right], axis=1)


def sensors(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Acceleration in m/s^2 and angular rate in rad/s, ``[T, 8, 6]``; all zeros or NaN were not measured."""
    x = values.reshape(len(values), len(SENSORS), 6) * [1.0, 1.0, 1.0, *[np.pi / 180] * 3]
    return x, np.isfinite(x).all(-1) & (x != 0).any(-1)


def video(frames: np.ndarray, columns: Mapping[str, int], view: str, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Key points in pixels by height, ``[T, 11, 2]``; zeros or NaN were not found."""
    x = np.stack([frames[:, [columns[f"{point}_{axis}_{view}"] for axis in "xy"]] for point in POINTS], axis=1)
    return x / height, np.isfinite(x).all(-1) & (x != 0).any(-1)


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.steps), completed=len(writer.done))
        for step in raw.steps:
            if step.id in writer.done:
                continue
            writer.add(step.id, step.subject, step.modalities, {}, step.extra)
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
