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

    def read(self, rows: Tensor) -> dict[str, Any]:
        """Gather sequences, padded to the longest by repeating the last frame; one indexed read."""
        length = self.length[rows]
        n, t, v = len(rows), max(int(length.max()), 1), self.skeleton.num_joints
        time = torch.arange(t)
        last = (length - 1).clamp_(min=0)
        frames = (self.start[rows, None] + torch.minimum(time, last[:, None])).view(-1)
        if len(self.values) == 0 or int(length.min()) == 0:
            frames.clamp_(max=len(self.values) - 1)
        x = self.values.index_select(0, frames).view(n, t, v, len(self.channels))
        valid = (time < length[:, None])[:, :, None]
        if self.observed is None:
            mask = valid.expand(n, t, v).contiguous()
        else:
            mask = self.observed.index_select(0, frames).view(n, t, v) & valid
        return {
            "x": x,
            "mask": mask,
            "fps": self.fps[rows],
            "skeleton": self.skeleton,
            "channels": self.channels,
        }


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
        """Sequence ``row`` of the index."""
        return self.read([row]).sequence(0)

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
        """
        where = torch.as_tensor(rows, dtype=torch.int64)
        names = self.modalities if modalities is None else modalities
        picked = where.tolist()
        return MotionBatch.from_arrays(
            {name: self.arrays(name).read(where) for name in names},
            {name: codes[where] for name, codes in self._codes.items()},
            self.ids[picked].tolist(),
            self.subjects[picked].tolist(),
        )

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
            torch.from_numpy(values).view(len(values), -1),
            None if observed is None else torch.from_numpy(observed),
            torch.from_numpy(start.astype(np.int64)),
            torch.from_numpy(length.astype(np.int64)),
            torch.from_numpy(fps.astype(np.float32)),
        )

    def _encode(self, name: str) -> np.ndarray:
        classes = self.labels[name]
        if name not in self.index:
            raise ValueError(f"{self.path / 'index.csv'}: column {name!r} of the card's labels is missing")
        codes = pd.Categorical(self.index[name], categories=classes).codes.astype(np.int64)
        strange = (codes < 0) & self.index[name].notna().to_numpy()
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            raise ValueError(
                f"{self.path / 'index.csv'}, row {row + 2} (id {self.ids[row]!r}): {name} is "
                f"{self.index[name][row]!r}; allowed are {', '.join(classes)}"
            )
        return np.where(codes < 0, UNLABELLED, codes)


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
            f"{path}: {array.dtype} {array.shape}, expected {np.dtype(dtype)} "
            f"(frames, {', '.join(map(str, tail))})"
        )
    return array
