"""Reading raw files for recipes: every problem noted with file, row and value, none of them the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from graphnets.data.files import sha256
from graphnets.data.validation import Problem

T = TypeVar("T")


class BadFileError(Exception):
    """What is wrong with a file, the value that shows it, and its row counted from 1 (None: the file as a whole)."""

    def __init__(self, value: object, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.value = value
        self.row = row


@dataclass
class RawFiles:
    """The files that were read, and all that is wrong with them.

    Attributes:
        digests: SHA-256 of every file that was read, by its name relative to the raw folder.
        problems: Everything that was reported.
    """

    digests: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, file: str, value: object, message: str, row: int | None = None) -> None:
        """Note a problem."""
        self.problems.append(Problem(file, row, str(value), message))

    def read(self, name: str, path: Path, reader: Callable[[Path], T]) -> T | None:
        """Read one file and note its digest; where it is bad, note the problem and return None.

        Args:
            name: The file's name relative to the raw folder.
            path: Where it lies.
            reader: Turns it into something, or raises :class:`BadFileError`.
        """
        try:
            self.digests[name] = sha256(path)
            return reader(path)
        except BadFileError as bad:
            self.report(name, bad.value, str(bad), bad.row)
        except OSError as error:
            self.report(name, "", f"can't be read: {error}")
        return None


def find_raw(path: Path, folders: Sequence[str]) -> Path:
    """The folder that holds what is looked for: ``path``, or the only one of its subfolders that does.

    Args:
        path: Where to look.
        folders: Names of folders, one of which has to be there.

    Raises:
        ValueError: There is no such folder, or a choice of several.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder")
    inside = sorted(child for child in path.iterdir() if child.is_dir())
    found = [at for at in (path, *inside) if any((at / folder).is_dir() for folder in folders)]
    if found and (found[0] == path or len(found) == 1):
        return found[0]
    there = ", ".join(child.name for child in found or inside) or "no folder"
    wanted = " and ".join(folders) if len(folders) < 3 else f"{', '.join(folders[:-1])} and {folders[-1]}"
    raise ValueError(f"{path} must hold the folders {wanted}, or one folder with them; it has {there}")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without the empty ones at its end; bytes that are no text become question marks."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def number_rows(
    lines: Sequence[str], columns: Sequence[str], first: int = 1, separator: str | None = None
) -> np.ndarray:
    """Rows of finite numbers, float64 ``[rows, columns]``.

    Args:
        lines: One row each.
        columns: What the numbers of a row are called.
        first: Row of the first line in its file, for messages.
        separator: Between the numbers; None = white space.

    Raises:
        BadFileError: A row has another number of columns, or something in it is no finite number.
    """
    rows = [line.split(separator) for line in lines]
    for row, words in enumerate(rows, first):
        if len(words) != len(columns):
            names = ", ".join(columns) if len(columns) < 8 else f"{columns[0]}, {columns[1]}, ..., {columns[-1]}"
            raise BadFileError(f"{len(words)} columns", f"must have {len(columns)}: {names}", row)
    try:
        values = np.array(rows, dtype=np.float64).reshape(-1, len(columns))
    except ValueError:
        values = np.array([[_number(word) for word in words] for words in rows])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0].tolist()
        others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise BadFileError(rows[row][column].strip(), f"{columns[column]} is no finite number{others}", first + row)
    return values


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan
