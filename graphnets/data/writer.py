"""Writing a store, sequence by sequence; an interrupted run resumes where it stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pandas as pd
import yaml

from graphnets.data.card import card_problems, skeleton_of
from graphnets.data.files import combined_sha256, sha256, write_text
from graphnets.data.growing import GrowingArray, write_whole
from graphnets.skeleton import Skeleton

_OWN = ("start", "length", "fps")  # columns of every modality


class StoreWriter:
    """Writes ``path.partial/`` and turns it into ``path`` once everything is in.

    Every added sequence is appended to the arrays, then noted in a journal. After an interruption, wherever it struck,
    both are cut back to what they have in common, and :attr:`done` tells which sequences needn't be added again. The
    store is the same to the byte as one written in one go.

    Args:
        path: The store's folder; must not exist.
        card: What the data set is, see :mod:`graphnets.data.card`.
        resume: Go on with an interrupted run; False begins anew.

    Raises:
        ValueError: The card is wrong, ``path`` exists, or the interrupted run had another card.

    Example:
        >>> with StoreWriter("stores/mine", card) as writer:
        ...     writer.add("s01_squat", "s01", {"pose": (x, None, 30.0)}, {"exercise": "squat"})
    """

    def __init__(self, path: str | Path, card: Mapping[str, Any], resume: bool = True) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(self.path.name + ".partial")
        if problems := card_problems(card):
            raise ValueError("card: " + "; ".join(problems))
        if self.path.exists():
            raise ValueError(f"{self.path} exists already; remove it or choose another name")
        self.card = _self_contained(card)
        self.skeletons: dict[str, Skeleton] = {m: skeleton_of(s) for m, s in self.card["modalities"].items()}
        self.classes = {k: [str(c) for c in v["classes"]] for k, v in (self.card["labels"] or {}).items()}
        if not resume and self.partial.exists():
            shutil.rmtree(self.partial)
        self._arrays = {m: self._array(m, np.float32) for m in self.skeletons}
        self._masks = {m: self._array(m, np.bool_) for m in self.skeletons}
        self._journal: IO[bytes] | None = None
        self.rows: list[dict[str, Any]] = self._begin()
        self.done = {row["id"] for row in self.rows}

    def __enter__(self) -> StoreWriter:
        """Open the arrays, cut back to what the journal holds."""
        for m in self.skeletons:
            frames = _frames(self.rows, m)
            self._arrays[m].open(frames)
            self._masks[m].open(frames)
        self._journal = (self.partial / "journal.jsonl").open("ab", buffering=0)
        return self

    def add(
        self,
        id: str,
        subject: str,
        modalities: Mapping[str, tuple[np.ndarray, np.ndarray | None, float]],
        labels: Mapping[str, str | None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one recording.

        Args:
            id: A name of its own.
            subject: Who moved.
            modalities: For each modality ``(x [T, V, C], mask [T, V] or None, fps)``. A modality of the card that is
                left out is recorded as missing.
            labels: A class of the card for each label, or None where unlabelled.
            extra: More columns of the index.

        Raises:
            ValueError: A shape, number, name or class is not allowed; names the recording and the place.
            OSError: The disk is full; what was added before stays usable.
        """
        if self._journal is None:
            raise ValueError("the writer is not open: with StoreWriter(...) as writer: writer.add(...)")
        if not id or id in self.done:
            raise ValueError(f"id {id!r} is {'there already' if id else 'empty'}; every recording needs one of its own")
        if not str(subject):
            raise ValueError(f"{id}: the subject is empty")
        if unknown := set(modalities) - set(self.skeletons):
            raise ValueError(f"{id}: unknown modality {sorted(unknown)}; the card has {', '.join(self.skeletons)}")
        row: dict[str, Any] = {"id": id, "subject": str(subject), **self._checked_labels(id, labels or {})}
        if clash := sorted(k for k in extra or {} if k in (*row, "gaps") or k.rpartition(".")[2] in _OWN):
            raise ValueError(f"{id}: extra columns {clash} have a meaning of their own")
        row |= {**(extra or {}), "gaps": {}}
        blocks: list[tuple[GrowingArray, np.ndarray]] = []
        for m in self.skeletons:
            start = self._arrays[m].frames
            if m not in modalities:
                row |= {f"{m}.start": start, f"{m}.length": 0, f"{m}.fps": 1.0}
                continue
            x, mask, fps = self._checked(id, m, *modalities[m])
            row |= {f"{m}.start": start, f"{m}.length": len(x), f"{m}.fps": fps}
            row["gaps"][m] = not bool(mask.all())
            blocks += [(self._arrays[m], x), (self._masks[m], mask)]
        line = json.dumps(row, default=_plain) + "\n"
        before = os.fstat(self._journal.fileno()).st_size
        try:
            for array, block in blocks:
                array.append(block)
            write_whole(self._journal, line.encode())
        except BaseException:  # an interruption from the keyboard too: all of a recording or nothing
            self._journal.truncate(before)
            for m in self.skeletons:
                self._arrays[m].cut(row[f"{m}.start"])
                self._masks[m].cut(row[f"{m}.start"])
            raise
        self.rows.append(json.loads(line))
        self.done.add(id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the store, or leave the partial one to be resumed."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        for array in (*self._arrays.values(), *self._masks.values()):
            array.close(finish=kind is None)
        if kind is None:
            self._finish()

    def _array(self, m: str, dtype: type) -> GrowingArray:
        joints, channels = self.skeletons[m].num_joints, len(self.card["modalities"][m]["channels"])
        if dtype is np.bool_:
            return GrowingArray(self.partial / f"{m}.mask.npy", dtype, (joints,))
        return GrowingArray(self.partial / f"{m}.npy", dtype, (joints, channels))

    def _begin(self) -> list[dict[str, Any]]:
        """Start the partial folder, or see what an interrupted run left there."""
        self.partial.mkdir(parents=True, exist_ok=True)
        begun = self.partial / "card.yaml"
        text = yaml.safe_dump(self.card, sort_keys=False, allow_unicode=True)
        if not begun.exists():
            write_text(begun, text)
        elif begun.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{self.partial} was begun with other settings; finish it with those, or remove it and begin anew"
            )
        finished = self.partial / "finished"
        if finished.exists():  # stopped on the last steps: take the arrays back and do these again
            for file in finished.glob("*.npy"):
                os.replace(file, self.partial / file.name)
            shutil.rmtree(finished)
        return self._kept(self.partial / "journal.jsonl")

    def _kept(self, journal: Path) -> list[dict[str, Any]]:
        """The rows of the journal that the arrays hold whole; the journal is cut back to them."""
        written = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
        held = {m: min(self._arrays[m].on_disk, self._masks[m].on_disk) for m in self.skeletons}
        rows: list[dict[str, Any]] = []
        for line in written:
            row = _row(line)
            if row is None or any(row[f"{m}.start"] + row[f"{m}.length"] > held[m] for m in self.skeletons):
                break
            rows.append(row)
        if len(rows) < len(written):
            write_text(journal, b"".join(written[: len(rows)]).decode())
        return rows

    def _checked_labels(self, id: str, labels: Mapping[str, str | None]) -> dict[str, str | None]:
        if unknown := set(labels) - set(self.classes):
            raise ValueError(f"{id}: unknown label {sorted(unknown)}; the card has {', '.join(self.classes)}")
        for name, value in labels.items():
            if value is not None and value not in self.classes[name]:
                raise ValueError(f"{id}: {name} is {value!r}; allowed are {', '.join(self.classes[name])}")
        return {name: labels.get(name) for name in self.classes}

    def _checked(
        self, id: str, m: str, x: np.ndarray, mask: np.ndarray | None, fps: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        skeleton, channels = self.skeletons[m], self.card["modalities"][m]["channels"]
        x = np.ascontiguousarray(x, dtype=np.float32)
        shape = (skeleton.num_joints, len(channels))
        if x.ndim != 3 or x.shape[1:] != shape or len(x) == 0:
            raise ValueError(
                f"{id}: {m} has shape {x.shape}, expected (frames >= 1, {shape[0]} joints, {shape[1]} channels)"
            )
        mask = np.ones(x.shape[:2], dtype=bool) if mask is None else np.asarray(mask)
        if mask.shape != x.shape[:2] or mask.dtype != np.bool_:
            raise ValueError(f"{id}: mask of {m} is {mask.dtype} {mask.shape}, expected bool {x.shape[:2]}")
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f"{id}: fps of {m} is {fps!r}, expected a number above 0")
        bad = ~np.isfinite(x) & mask[..., None]
        if bad.any():
            t, v, c = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{id}: {m} is {x[t, v, c]} in frame {t}, joint {skeleton.joints[v]!r}, channel {channels[c]!r}; "
                "mask what was not observed"
            )
        return np.where(mask[..., None], x, np.float32(0)), mask, float(fps)

    def _finish(self) -> None:
        """Put the store together in a folder of its own; it appears under its name by one rename."""
        if not self.rows:
            shutil.rmtree(self.partial)
            raise ValueError(f"{self.path}: no recording was added; an empty store is of no use")
        finished = self.partial / "finished"
        finished.mkdir()
        for m in self.skeletons:
            os.replace(self._arrays[m].path, finished / f"{m}.npy")
            if any(row["gaps"].get(m) for row in self.rows):
                os.replace(self._masks[m].path, finished / f"{m}.mask.npy")
        # As objects, or whole numbers would turn into floats where a row lacks the column.
        index = pd.DataFrame([{k: v for k, v in row.items() if k != "gaps"} for row in self.rows], dtype=object)
        write_text(finished / "index.csv", index.to_csv(index=False, lineterminator="\n"))
        files = {p.name: sha256(p) for p in sorted(finished.iterdir())}
        card = {**self.card, "sequences": len(self.rows), "files": files, "checksum": combined_sha256(files)}
        write_text(finished / "card.yaml", yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110))
        os.replace(finished, self.path)
        shutil.rmtree(self.partial)


def _row(line: bytes) -> dict[str, Any] | None:
    """A line of the journal, or None where a kill or a crash left something else."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and "gaps" in row else None


def _frames(rows: list[dict[str, Any]], m: str) -> int:
    return sum(row[f"{m}.length"] for row in rows)


def _self_contained(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card with its skeletons written out, so that the store can be read wherever it goes."""
    own = json.loads(json.dumps(card, default=_plain))
    for modality in own["modalities"].values():
        modality["skeleton"] = skeleton_of(modality).to_dict()
    return own


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} ({type(value).__name__}) is no plain value")
