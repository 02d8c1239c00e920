"""OpenSim's text files: marker trajectories (.trc) and tables over time (.mot, .sto).

Both are as files are found in practice: cells between tabs or white space, tabs after the last cell, Windows line ends,
cells left blank where a marker was not seen. What can't be meant as it stands is refused with its row.

Formats: OpenSim documentation, "Marker (.trc) Files" and "Storage (.sto) Files"; a .mot file has the layout of the
latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphnets.data.raw import BadFileError, read_lines

UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}
"""Metres in a unit of length."""


@dataclass(frozen=True)
class Markers:
    """A .trc file's content.

    Attributes:
        names: Of the markers, in the order of the file.
        times: Seconds ``[T]``, increasing.
        positions: Metres, float64 ``[T, V, 3]`` in the axes of the file; NaN where not seen.
        mask: True where a marker was seen, bool ``[T, V]``.
        fps: Frames a second, as the header says; the times of static trials may not follow it.
    """

    names: tuple[str, ...]
    times: np.ndarray
    positions: np.ndarray
    mask: np.ndarray
    fps: float


@dataclass(frozen=True)
class Table:
    """The content of a .mot or .sto file.

    Attributes:
        columns: Names of all columns but the time.
        times: Seconds ``[T]``, increasing.
        values: Float64 ``[T, columns]``; NaN where a cell is blank.
        header: What stands before ``endheader`` as ``key=value``, keys in lower case.
    """

    columns: tuple[str, ...]
    times: np.ndarray
    values: np.ndarray
    header: dict[str, str]


def read_trc(path: Path) -> Markers:
    """Read and check marker trajectories.

    A marker is not seen in a frame where one of its three cells is blank or ``nan``, or where all three are exactly 0,
    which some programs write instead.

    Raises:
        BadFileError: It is truncated or no .trc file, a name is there twice, the header doesn't fit the rows, a cell is
            no finite number, or the times don't increase.
        OSError: It can't be opened.
    """
    lines = read_lines(path)
    if not lines or not lines[0].strip().startswith("PathFileType"):
        raise BadFileError(lines[0][:40] if lines else "0 rows", "must begin with PathFileType: no .trc file", 1)
    if len(lines) < 5:
        raise BadFileError(f"{len(lines)} rows", "must have a header of 5: truncated")
    settings = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    fps, frames, count = (_number_of(settings, key) for key in ("DataRate", "NumFrames", "NumMarkers"))
    unit = settings.get("Units", "")
    if unit not in UNITS:
        raise BadFileError(unit, f"Units must be one of {', '.join(UNITS)}", 3)
    head = [word for word in _cells(lines[3]) if word]
    if [word.lower() for word in head[:2]] != ["frame#", "time"]:
        raise BadFileError(" ".join(head[:2]), "must begin with Frame# and Time, then the markers", 4)
    names = head[2:]
    _all_different(names, "marker", 4)
    if len(names) != count:
        raise BadFileError(f"{len(names)} markers", f"NumMarkers in row 3 is {count:g}", 4)
    columns = ["Frame#", "Time", *(f"{name} {axis}" for name in names for axis in "XYZ")]
    first = 6 + next((i for i, line in enumerate(lines[5:]) if line.strip()), len(lines))
    rows = lines[first - 1 :]
    values = _table(rows, columns, first)
    if len(values) != frames:
        raise BadFileError(f"{len(values)} rows", f"NumFrames in row 3 is {frames:g}: truncated, or put together")
    times = _increasing(values[:, 1], first)
    places = values[:, 2:].reshape(len(values), len(names), 3)
    mask = np.isfinite(places).all(-1) & (places != 0).any(-1)
    return Markers(tuple(names), times, np.where(mask[..., None], places * UNITS[unit], np.nan), mask, fps)


def read_storage(path: Path) -> Table:
    """Read and check a table over time.

    Raises:
        BadFileError: It is truncated or no table of this kind, a name is there twice, the header doesn't fit the rows,
            a cell is no finite number, or the times don't increase.
        OSError: It can't be opened.
    """
    lines = read_lines(path)
    ends = [row for row, line in enumerate(lines) if line.strip().lower() == "endheader"]
    if not ends:
        raise BadFileError(f"{len(lines)} rows", "has no line endheader: truncated, or no .mot or .sto file")
    pairs = [line.split("=", 1) for line in lines[: ends[0]] if "=" in line]
    header = {key.strip().lower(): value.strip() for key, value in pairs}
    at = ends[0] + 1
    while at < len(lines) and not lines[at].strip():
        at += 1
    if at == len(lines):
        raise BadFileError(f"{len(lines)} rows", "ends with its header: truncated", len(lines))
    columns = _cells(lines[at])
    while columns and not columns[-1]:
        columns.pop()
    if not columns or columns[0].lower() != "time":
        raise BadFileError(columns[0] if columns else "", "the first column must be time", at + 1)
    _all_different(columns, "column", at + 1)
    values = _table(lines[at + 1 :], columns, at + 2)
    for key, found in (("nrows", len(values)), ("ncolumns", len(columns))):
        if key in header and _number_of(header, key) != found:
            what = key[1:]
            raise BadFileError(f"{found} {what}", f"n{what.capitalize()} in the header is {header[key]}: truncated?")
    return Table(tuple(columns[1:]), _increasing(values[:, 0], at + 2), values[:, 1:], header)


def _cells(line: str) -> list[str]:
    """The cells of a row: between tabs where it has any (a blank cell is empty), else between white space."""
    return [cell.strip() for cell in line.split("\t")] if "\t" in line.strip() else line.split()


def _table(lines: Sequence[str], columns: Sequence[str], first: int) -> np.ndarray:
    """Numbers ``[rows, columns]``, NaN where a cell is blank or ``nan``.

    Raises:
        BadFileError: A row has another number of cells, or something in it is no finite number.
    """
    rows = [_cells(line) for line in lines]
    for row, cells in enumerate(rows, first):
        while len(cells) > len(columns) and not cells[-1]:  # tabs after the last cell
            cells.pop()
        if len(cells) != len(columns):
            last = " (the last row: truncated?)" if row == first + len(rows) - 1 else ""
            raise BadFileError(f"{len(cells)} cells", f"must have {len(columns)}{last}", row)
    if not rows:
        raise BadFileError("0 rows", "has no row of numbers after its header: truncated")
    values = np.empty((len(rows), len(columns)))
    for i, cells in enumerate(rows):
        for j, cell in enumerate(cells):
            try:
                values[i, j] = float(cell) if cell else np.nan
            except ValueError:
                raise BadFileError(cell, f"{columns[j]} must be a number", first + i) from None
    if np.isinf(values).any():
        i, j = np.argwhere(np.isinf(values))[0].tolist()
        raise BadFileError(
            rows[i][j], f"{columns[j]} must be finite; leave the cell blank where there is none", first + i
        )
    return values


def _increasing(times: np.ndarray, first: int) -> np.ndarray:
    """The times as they are.

    Raises:
        BadFileError: One is missing or not later than the one before.
    """
    if (missing := np.flatnonzero(np.isnan(times))).size:
        raise BadFileError("", "the time is missing", first + int(missing[0]))
    if (back := np.flatnonzero(np.diff(times) <= 0)).size:
        i = int(back[0]) + 1
        raise BadFileError(f"{times[i]:g}", f"time must increase, but is {times[i - 1]:g} in the row before", first + i)
    return times


def _all_different(names: Sequence[str], what: str, row: int) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadFileError(", ".join(twice), f"this {what} is there twice", row)


def _number_of(settings: dict[str, str], key: str) -> float:
    """A number above 0 of a header.

    Raises:
        BadFileError: It is missing or no such number.
    """
    try:
        value = float(settings[key])
    except KeyError:
        raise BadFileError(", ".join(settings), f"the header lacks {key}") from None
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise BadFileError(settings[key], f"{key} in the header must be a number above 0")
    return value
