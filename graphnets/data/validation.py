"""Checking a store: every problem in one run, each with its file, row and value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from graphnets.data.card import card_problems, skeleton_of
from graphnets.data.files import combined_sha256, sha256
from graphnets.data.protocols import named_protocol
from graphnets.data.store import open_array
from graphnets.skeleton import Skeleton

_FRAMES_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a store."""

    file: str
    row: int | None
    value: str
    message: str

    def __str__(self) -> str:
        """File, row, value and what is wrong, in a line."""
        row = "" if self.row is None else f", row {self.row}"
        value = "" if self.value == "" else f" {self.value!r}:"
        return f"{self.file}{row}:{value} {self.message}"


def validate(path: str | Path) -> list[Problem]:
    """Find every problem of a store, without stopping at the first.

    Args:
        path: The store's folder.

    Returns:
        The problems; an empty list for a sound store. Rows of ``index.csv`` are counted as a spreadsheet shows them:
        the header is row 1.
    """
    path = Path(path)
    if not path.is_dir():
        begun = path.with_name(path.name + ".partial").is_dir()
        hint = "; its preparation was interrupted: run the recipe again to resume" if begun else ""
        return [Problem(str(path), None, "", "no such folder" + hint)]
    return list(_Check(path).problems())


class _Check:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.card: dict[str, Any] = {}

    def problems(self) -> Iterator[Problem]:
        yield from self._card()
        if not self.card:
            return
        index: pd.DataFrame | None = None
        try:
            index = pd.read_csv(self.path / "index.csv", dtype=str, keep_default_na=False, na_values=[""])
        except FileNotFoundError:
            yield Problem("index.csv", None, "", "missing")
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            yield Problem("index.csv", None, "", f"not readable as CSV: {error}")
        for name, spec in self.card["modalities"].items():
            yield from self._modality(name, spec, index)
        if index is not None:
            yield from self._index(index)
        yield from self._files(index)

    def _card(self) -> Iterator[Problem]:
        try:
            card = yaml.safe_load((self.path / "card.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            yield Problem("card.yaml", None, "", "missing")
            return
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            yield Problem("card.yaml", None, "", f"not readable as YAML: {error}")
            return
        found = card_problems(card)
        yield from (Problem("card.yaml", None, "", message) for message in found)
        if not found:
            self.card = card

    def _index(self, index: pd.DataFrame) -> Iterator[Problem]:
        for column in ("id", "subject"):
            if column not in index:
                yield Problem("index.csv", None, column, "this column is missing")
                continue
            for row in np.flatnonzero(index[column].isna()):
                yield Problem("index.csv", int(row) + 2, "", f"empty {column}")
        if "id" in index:
            first = dict(zip(index["id"][::-1], range(len(index) + 1, 1, -1), strict=True))
            for row in np.flatnonzero(index["id"].duplicated() & index["id"].notna()):
                id = index["id"][row]
                yield Problem("index.csv", int(row) + 2, id, f"this id stands in row {first[id]} already")
        for name, label in (self.card["labels"] or {}).items():
            if name not in index:
                yield Problem("index.csv", None, name, "the column of this label is missing")
                continue
            classes = [str(c) for c in label["classes"]]
            for row in np.flatnonzero(index[name].notna() & ~index[name].isin(classes)):
                value = index[name][row]
                yield Problem("index.csv", int(row) + 2, value, f"is no {name}; allowed are {', '.join(classes)}")
        if "subject" in index and index["subject"].notna().all():
            for name in self.card.get("protocols") or {}:
                try:
                    named_protocol(self.card, name).split(index)
                except ValueError as error:
                    yield Problem("card.yaml", None, name, str(error))

    def _modality(self, name: str, spec: Any, index: pd.DataFrame | None) -> Iterator[Problem]:
        skeleton, channels = skeleton_of(spec), list(spec["channels"])
        values = mask = None
        file, mask_file = f"{name}.npy", f"{name}.mask.npy"
        try:
            values = open_array(self.path / file, np.float32, (skeleton.num_joints, len(channels)))
        except ValueError as error:
            yield Problem(file, None, "", str(error).removeprefix(f"{self.path / file}: "))
        if (self.path / mask_file).exists():
            try:
                mask = open_array(self.path / mask_file, np.bool_, (skeleton.num_joints,))
            except ValueError as error:
                yield Problem(mask_file, None, "", str(error).removeprefix(f"{self.path / mask_file}: "))
        if values is not None and mask is not None and len(values) != len(mask):
            yield Problem(mask_file, None, str(len(mask)), f"frames, but {file} has {len(values)}")
            mask = None
        numbers: dict[str, np.ndarray] = {}
        if index is not None:
            whole = "a whole number >= 0"
            for column, allowed in (("start", whole), ("length", whole), ("fps", "a number > 0")):
                full = f"{name}.{column}"
                if full not in index:
                    yield Problem("index.csv", None, full, "this column is missing")
                    continue
                number = pd.to_numeric(index[full], errors="coerce").to_numpy(dtype=np.float64)
                fine = number > 0 if column == "fps" else (number >= 0) & (number % 1 == 0)
                fine &= np.isfinite(number)
                for row in np.flatnonzero(~fine):
                    value = "" if pd.isna(index[full][row]) else str(index[full][row])
                    yield Problem("index.csv", int(row) + 2, value, f"{full} must be {allowed}")
                numbers[column] = np.where(fine, number, np.nan)
        if values is None:
            return
        owner = np.full(len(values), -1)
        if "start" in numbers and "length" in numbers:
            yield from self._ranges(name, numbers["start"], numbers["length"], owner)
        yield from self._values(file, values, mask, owner, skeleton, channels, index)

    def _ranges(self, name: str, start: np.ndarray, length: np.ndarray, owner: np.ndarray) -> Iterator[Problem]:
        """Check where sequences lie, and note in ``owner`` the row that each frame belongs to."""
        for row in np.flatnonzero(np.isfinite(start + length)):
            first, last = int(start[row]), int(start[row] + length[row])
            if last > len(owner):
                where = f"{first} + {last - first}"
                message = f"{name}.start + {name}.length is past the {len(owner)} frames of {name}.npy"
                yield Problem("index.csv", int(row) + 2, where, message)
            mine = owner[first:last]
            if (taken := mine[mine >= 0]).size:
                message = f"{name} has {taken.size} frame(s) that belong to row {taken[0] + 2} already"
                yield Problem("index.csv", int(row) + 2, f"{first} + {last - first}", message)
            mine[mine < 0] = row
        # Rows with unusable numbers may own the rest: those are reported by themselves.
        if np.isfinite(start + length).all() and (loose := np.flatnonzero(owner < 0)).size:
            message = f"{loose.size} frame(s) belong to no row of index.csv"
            yield Problem(f"{name}.npy", None, f"frame {loose[0]}", message)

    def _values(
        self, file: str, values: np.ndarray, mask: np.ndarray | None, owner: np.ndarray, skeleton: Skeleton,
        channels: list[str], index: pd.DataFrame | None,
    ) -> Iterator[Problem]:  # fmt: skip
        """NaN and infinities in observed places: the first of each sequence, with how many there are."""
        found: dict[int, tuple[int, str]] = {}
        begins = {int(row): int(frame) for row, frame in zip(*np.unique(owner, return_index=True), strict=True)}
        for begin in range(0, len(values), _FRAMES_AT_ONCE):
            block = np.asarray(values[begin : begin + _FRAMES_AT_ONCE])
            bad = ~np.isfinite(block)
            if mask is not None:
                bad &= mask[begin : begin + len(block), :, None]
            places = np.argwhere(bad)
            rows, firsts, counts = np.unique(owner[begin + places[:, 0]], return_index=True, return_counts=True)
            for row, first, count in zip(rows.tolist(), firsts.tolist(), counts.tolist(), strict=True):
                t, v, c = places[first].tolist()
                frame = begin + t - (begins[row] if row >= 0 else 0)
                text = f"{block[t, v, c]} at frame {frame}, joint {skeleton.joints[v]!r}, channel {channels[c]!r}"
                before, text = found.get(row, (0, text))
                found[row] = (before + count, text)
        for row, (count, text) in sorted(found.items()):
            who = "" if row < 0 or index is None or "id" not in index else f" (id {index['id'][row]!r})"
            more = "" if count == 1 else f", and {count - 1} more in this sequence"
            yield Problem(file, row + 2 if row >= 0 else None, text, f"must be finite where observed{more}{who}")

    def _files(self, index: pd.DataFrame | None) -> Iterator[Problem]:
        """Compare with what the recipe recorded: the files, their digests, the number of sequences."""
        recorded, count = self.card.get("files"), self.card.get("sequences")
        if not isinstance(recorded, dict) or not recorded:
            yield Problem("card.yaml", None, "", "no checksums: this store was not finished by a StoreWriter")
            return
        if index is not None and count != len(index):
            yield Problem("card.yaml", None, str(count), f"sequences on the card, but index.csv has {len(index)} rows")
        for name, digest in recorded.items():
            file = self.path / str(name)
            if not file.exists():
                if name != "index.csv" and name.removesuffix(".npy") not in self.card["modalities"]:
                    yield Problem(name, None, "", "missing")  # the others are reported where they are read
            elif (now := sha256(file)) != digest:
                message = f"the file was changed; its recorded SHA-256 is {str(digest)[:12]}..."
                yield Problem(name, None, now[:12], message)
        for file in sorted(self.path.glob("*.npy")):
            if file.name not in recorded:
                yield Problem(file.name, None, "", "this file was added later: the card doesn't know it")
        if combined_sha256(recorded) != self.card.get("checksum"):
            yield Problem("card.yaml", None, str(self.card.get("checksum"))[:12], "is not the checksum of its files")
