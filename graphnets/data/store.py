"""The store: a prepared data set as a folder of memory-mapped arrays.

``card.yaml`` describes it, ``index.csv`` has one row a sequence, ``<modality>.npy`` holds all of that modality's
frames one after the other, ``[frames, V, C]`` float32, and ``<modality>.mask.npy``, ``[frames, V]`` bool, what was
observed (absent when everything was).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from graphnets.data.card import load_card, skeleton_of
from graphnets.data.motion import MotionBatch, MotionSequence
from graphnets.skeleton import Skeleton

UNLABELLED = -1


@dataclass(frozen=True)
class ModalityArrays:
    """One modality of a store: flat frames and where each sequence lies in them."""

    skeleton: Skeleton
    channels: tuple[str, ...]
    unit: str
    values: Tensor  # [frames, V * C], float32, mapped from the file
    observed: Tensor | None  # [frames, V], bool; None = everything was observed
    start: Tensor  # [sequences], int64
    length: Tensor  # [sequences], int64; 0 = this sequence lacks the modality
    fps: Tensor  # [sequences], float32

    @cached_property
    def regular(self) -> int:
        """The length of every sequence if all are equally long and lie in order, else 0: those are read faster."""
        n = len(self.length)
        t = int(self.length[0]) if n else 0
        in_order = len(self.values) == n * t and bool((self.start == torch.arange(n) * t).all())
        return t if t and in_order and bool((self.length == t).all()) else 0

    def read(self, rows: Tensor) -> dict[str, Any]:
        """Gather sequences (rows >= 0), padded to the longest by repeating the last frame; one indexed read."""
        n, v, c = len(rows), self.skeleton.num_joints, len(self.channels)
        if t := self.regular:
            x = self.values.view(-1, t * v * c).index_select(0, rows).view(n, t, v, c)
            if self.observed is None:
                mask = torch.ones(n, t, v, dtype=torch.bool)
            else:
                mask = self.observed.view(-1, t * v).index_select(0, rows).view(n, t, v)
        else:
            length = self.length.index_select(0, rows)
            x, mask = self._gather(self.start.index_select(0, rows), length)
        fps = self.fps.index_select(0, rows)
        return {"x": x, "mask": mask, "fps": fps, "skeleton": self.skeleton, "channels": self.channels}

    def sequence(self, row: int) -> dict[str, Any]:
        """One sequence (row >= 0) in its own length."""
        start, length = int(self.start[row]), int(self.length[row])
        x = self.values[start : start + length].view(length, self.skeleton.num_joints, len(self.channels)).clone()
        if self.observed is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool)
        else:
            mask = self.observed[start : start + length].clone()
        fps = float(self.fps[row])
        return {"x": x, "mask": mask, "fps": fps, "skeleton": self.skeleton, "channels": self.channels}

    @cached_property
    def _ramp(self) -> Tensor:
        """True for as many frames as the longest sequence has, then as many False, over the joints."""
        most = max(int(self.length.max()), 1) * self.skeleton.num_joints
        return torch.cat([torch.ones(most, dtype=torch.bool), torch.zeros(most, dtype=torch.bool)])

    def _gather(self, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        n, v, c = len(start), self.skeleton.num_joints, len(self.channels)
        shortest, longest = (int(bound) for bound in torch.aminmax(length))
        t = max(longest, 1)
        if len(self.values) == 0:  # nobody has this modality
            return torch.zeros(n, t, v, c), torch.zeros(n, t, v, dtype=torch.bool)
        # Past its end a sequence stays at its last frame. One without any frame reads somebody else's, all masked.
        frames = start[:, None] + torch.minimum(torch.arange(t), (length - 1)[:, None])
        if shortest == 0:
            frames.clamp_(0, len(self.values) - 1)
        x = self.values.index_select(0, frames.view(-1)).view(n, t, v, c)
        # Every mask is a stretch of the ramp: a copy instead of a comparison an element, which takes six times as long.
        ramp, most = self._ramp, len(self._ramp) // (2 * v)
        mask = ramp.unfold(0, t * v, v).index_select(0, most - length).view(n, t, v)
        if self.observed is not None:
            mask &= self.observed.index_select(0, frames.view(-1)).view(n, t, v)
        return x, mask


class Store:
    """A prepared data set, opened for reading; nothing is loaded until it is read.

    Args:
        path: The folder that a recipe wrote.

    Raises:
        ValueError: The folder, its card, index or arrays are missing or don't fit together. ``graphnets.data.validate``
            lists every problem at once.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            partial = self.path.with_name(self.path.name + ".partial")
            hint = "; its preparation was interrupted: run the recipe again to resume" if partial.is_dir() else ""
            raise ValueError(f"{self.path}: no such store{hint}. A recipe in datasets/ makes one")
        self.card = load_card(self.path / "card.yaml")
        self.index = read_index(self.path / "index.csv")
        self.ids = self.index["id"].to_numpy(dtype=object)
        self.subjects = self.index["subject"].to_numpy(dtype=object)
        self._arrays = {name: self._open(name) for name in self.card["modalities"]}
        self._codes = {name: torch.from_numpy(self._encode(name)) for name in self.labels}

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.index)

    def __getitem__(self, row: int) -> MotionSequence:
        """Sequence ``row`` of the index, in its own length.

        Raises:
            IndexError: There is no such row.
        """
        return self.sequence(row)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Copies and worker processes open the files themselves instead of carrying the frames along."""
        return type(self), (self.path,)

    @property
    def modalities(self) -> list[str]:
        """The names of the modalities."""
        return list(self._arrays)

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """The classes of every label, in the order of their codes."""
        return {name: [str(c) for c in spec["classes"]] for name, spec in (self.card["labels"] or {}).items()}

    @property
    def checksum(self) -> str:
        """The digest over the arrays and the index that the recipe wrote into the card."""
        return str(self.card.get("checksum", "unknown"))

    def arrays(self, modality: str) -> ModalityArrays:
        """The flat arrays of a modality.

        Raises:
            ValueError: There is no such modality.
        """
        if modality not in self._arrays:
            raise ValueError(f"{self.path}: no modality {modality!r}; there are {', '.join(self._arrays)}")
        return self._arrays[modality]

    def skeleton(self, modality: str) -> Skeleton:
        """The skeleton of a modality.

        Raises:
            ValueError: There is no such modality.
        """
        return self.arrays(modality).skeleton

    def codes(self, label: str) -> Tensor:
        """The class of every sequence, ``[sequences]`` int64, -1 where unlabelled.

        Raises:
            ValueError: There is no such label.
        """
        if label not in self._codes:
            raise ValueError(f"{self.path}: no label {label!r}; there are {', '.join(self._codes) or 'none'}")
        return self._codes[label]

    def read(self, rows: Sequence[int] | Tensor, modalities: Sequence[str] | None = None) -> MotionBatch:
        """Read sequences as a batch, padded to the longest.

        Args:
            rows: Rows of the index.
            modalities: Which to read; all by default.

        Raises:
            IndexError: There is no such row.
            ValueError: No row is given, or a modality that there isn't.
        """
        where = torch.as_tensor(rows, dtype=torch.int64)
        picked = where.tolist()
        if not picked:
            raise ValueError("a batch needs at least one row")
        if min(picked) < 0:
            where = torch.where(where < 0, where + len(self), where)
        batch = MotionBatch()
        # The ids come first: NumPy checks that the rows exist.
        ids, subjects = self.ids[picked].tolist(), self.subjects[picked].tolist()
        for name in self.modalities if modalities is None else modalities:
            batch.put_modality(name, self.arrays(name).read(where))
        labels = {name: codes.index_select(0, where) for name, codes in self._codes.items()}
        batch.put_attributes({**labels, "id": ids, "subject": subjects})
        return batch

    def sequence(self, row: int, modalities: Sequence[str] | None = None) -> MotionSequence:
        """Read one sequence, in its own length.

        Args:
            row: Row of the index.
            modalities: Which to read; all by default.

        Raises:
            IndexError: There is no such row.
            ValueError: There is no such modality.
        """
        id, subject = self.ids[row], self.subjects[row]
        row = range(len(self))[row]
        names = self.modalities if modalities is None else modalities
        labels = {name: codes[row] for name, codes in self._codes.items()}
        return MotionSequence.from_arrays({n: self.arrays(n).sequence(row) for n in names}, labels, id, subject)

    def _open(self, name: str) -> ModalityArrays:
        spec = self.card["modalities"][name]
        skeleton, channels = skeleton_of(spec), tuple(spec["channels"])
        columns = [f"{name}.{c}" for c in ("start", "length", "fps")]
        if absent := [c for c in columns if c not in self.index]:
            raise ValueError(f"{self.path / 'index.csv'}: columns {', '.join(absent)} are missing")
        values = open_array(self.path / f"{name}.npy", np.float32, (skeleton.num_joints, len(channels)))
        mask_path = self.path / f"{name}.mask.npy"
        observed = open_array(mask_path, np.bool_, (skeleton.num_joints,)) if mask_path.exists() else None
        if observed is not None and len(observed) != len(values):
            raise ValueError(f"{mask_path}: {len(observed)} frames, but {name}.npy has {len(values)}")
        start, length, fps = (self.index[c].to_numpy() for c in columns)
        outside = (start < 0) | (length < 0) | (start + length > len(values))
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"{self.path / 'index.csv'}, row {row + 2} (id {self.ids[row]!r}): {name} frames {start[row]} to "
                f"{start[row] + length[row]} lie outside the {len(values)} frames of {name}.npy"
            )
        return ModalityArrays(
            skeleton,
            channels,
            str(spec.get("unit", "")),
            torch.from_numpy(values).view(len(values), skeleton.num_joints * len(channels)),
            None if observed is None else torch.from_numpy(observed),
            torch.from_numpy(start.astype(np.int64)),
            torch.from_numpy(length.astype(np.int64)),
            torch.from_numpy(fps.astype(np.float32)),
        )

    def _encode(self, name: str) -> np.ndarray:
        classes = self.labels[name]
        if name not in self.index:
            raise ValueError(f"{self.path / 'index.csv'}: column {name!r} of the card's labels is missing")
        numbers = {value: code for code, value in enumerate(classes)}
        codes = self.index[name].map(numbers).fillna(UNLABELLED).to_numpy(dtype=np.int64, copy=True)
        strange = (codes < 0) & self.index[name].notna().to_numpy()
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            raise ValueError(
                f"{self.path / 'index.csv'}, row {row + 2} (id {self.ids[row]!r}): {name} is "
                f"{self.index[name][row]!r}; allowed are {', '.join(classes)}"
            )
        return codes


def read_index(path: Path) -> pd.DataFrame:
    """Read ``index.csv``; ids, subjects and labels stay text, an empty cell is missing.

    Raises:
        ValueError: The file is missing, unreadable, lacks ``id`` or ``subject``, or repeats an id.
    """
    try:
        index = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise ValueError(f"{path}: the store has no index") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as CSV: {error}") from error
    for column in ("id", "subject"):
        if column not in index:
            raise ValueError(f"{path}: column {column!r} is missing")
        if index[column].isna().any():
            row = int(np.flatnonzero(index[column].isna())[0])
            raise ValueError(f"{path}, row {row + 2}: empty {column}")
    if index["id"].duplicated().any():
        row = int(np.flatnonzero(index["id"].duplicated())[0])
        raise ValueError(f"{path}, row {row + 2}: id {index['id'][row]!r} stands there twice")
    for column in index.columns:
        kind = {"start": "int", "length": "int", "fps": "float"}.get(column.rpartition(".")[2])
        if kind and "." in column:
            index[column] = _numbers(path, index, column, kind)
    return index


def _numbers(path: Path, index: pd.DataFrame, column: str, kind: str) -> pd.Series:
    numbers = pd.to_numeric(index[column], errors="coerce")
    bad = numbers.isna() | (numbers % 1 != 0 if kind == "int" else numbers <= 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        allowed = "a whole number" if kind == "int" else "a number above 0"
        raise ValueError(
            f"{path}, row {row + 2} (id {index['id'][row]!r}): {column} is {index[column][row]!r}, not {allowed}"
        )
    return numbers.astype(np.int64 if kind == "int" else np.float64)


def open_array(path: Path, dtype: type, tail: tuple[int, ...]) -> np.ndarray:
    """Map an ``.npy`` file ``[frames, *tail]`` into memory, copy on write.

    Raises:
        ValueError: The file is missing, truncated, or of another type or shape.
    """
    try:
        # "c": the pages are private, so that a stray write in place never reaches the file.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: truncated or not an .npy file: {error}") from error
    if array.dtype != dtype or array.shape[1:] != tail:
        raise ValueError(
            f"{path}: {array.dtype} {array.shape}, expected {np.dtype(dtype)} (frames, {', '.join(map(str, tail))})"
        )
    return array
