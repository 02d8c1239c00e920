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
from graphnets.skeleton import Skeleton


class StoreWriter:
    """Writes ``path.partial/`` and renames it to ``path`` once everything is in.

    Every added sequence is appended to the arrays, then noted in a journal. After an interruption the arrays are cut
    back to what the journal holds and :attr:`done` tells which sequences needn't be added again.

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
        self.rows: list[dict[str, Any]] = self._begin()
        self.done = {row["id"] for row in self.rows}
        self._frames = {m: sum(row[f"{m}.length"] for row in self.rows) for m in self.skeletons}
        self._gaps = {m: any(row["gaps"].get(m) for row in self.rows) for m in self.skeletons}
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> StoreWriter:
        """Open the arrays, cut back to what the journal holds."""
        for m, skeleton in self.skeletons.items():
            joints, channels = skeleton.num_joints, len(self.card["modalities"][m]["channels"])
            self._files[m] = _append(self.partial / f"{m}.npy", np.float32, (joints, channels), self._frames[m])
            self._files[m + ".mask"] = _append(
                self.partial / f"{m}.mask.npy", np.bool_, (joints,), self._frames[m]
            )
        self._journal = (self.partial / "journal.jsonl").open("a", encoding="utf-8")
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
        if not id or id in self.done:
            raise ValueError(f"id {id!r} is {'there already' if id else 'empty'}; every recording needs one of its own")
        if not str(subject):
            raise ValueError(f"{id}: the subject is empty")
        if unknown := set(modalities) - set(self.skeletons):
            raise ValueError(f"{id}: unknown modality {sorted(unknown)}; the card has {', '.join(self.skeletons)}")
        row: dict[str, Any] = {"id": id, "subject": str(subject), **self._checked_labels(id, labels or {})}
        reserved = {*row, *(f"{m}.{c}" for m in self.skeletons for c in ("start", "length", "fps")), "gaps"}
        if clash := set(extra or {}) & reserved:
            raise ValueError(f"{id}: extra columns {sorted(clash)} have a meaning of their own")
        row.update(extra or {})
        row["gaps"] = {}
        blocks: list[tuple[str, bytes]] = []
        for m in self.skeletons:
            if m not in modalities:
                row.update({f"{m}.start": self._frames[m], f"{m}.length": 0, f"{m}.fps": 1.0})
                continue
            x, mask = self._checked(id, m, *modalities[m])
            fps = modalities[m][2]
            row.update({f"{m}.start": self._frames[m], f"{m}.length": len(x), f"{m}.fps": float(fps)})
            row["gaps"][m] = not bool(mask.all())
            blocks += [(m, x.tobytes()), (m + ".mask", mask.tobytes())]
        line = json.dumps(row, default=_plain) + "\n"
        for name, block in blocks:
            self._files[name].write(block)
            self._files[name].flush()
        self._journal.write(line)
        self._journal.flush()
        for m in self.skeletons:
            self._frames[m] += row[f"{m}.length"]
            self._gaps[m] |= row["gaps"].get(m, False)
        self.rows.append(json.loads(line))
        self.done.add(id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the store, or leave the partial one to be resumed."""
        self._journal.close()
        for file in self._files.values():
            file.close()
        if kind is None:
            self._finish()

    def _begin(self) -> list[dict[str, Any]]:
        """Start the partial folder, or read the journal of an interrupted run."""
        self.partial.mkdir(parents=True, exist_ok=True)
        begun = self.partial / "card.yaml"
        text = yaml.safe_dump(self.card, sort_keys=False, allow_unicode=True)
        if not begun.exists():
            write_text(begun, text)
        elif begun.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{self.partial} was begun with other settings; finish it with those, or remove it and begin anew"
            )
        journal = self.partial / "journal.jsonl"
        if not journal.exists():
            return []
        lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):  # killed while writing this line
            lines.pop()
            write_text(journal, "".join(lines))
        return [json.loads(line) for line in lines]

    def _checked_labels(self, id: str, labels: Mapping[str, str | None]) -> dict[str, str | None]:
        if unknown := set(labels) - set(self.classes):
            raise ValueError(f"{id}: unknown label {sorted(unknown)}; the card has {', '.join(self.classes)}")
        for name, value in labels.items():
            if value is not None and value not in self.classes[name]:
                raise ValueError(f"{id}: {name} is {value!r}; allowed are {', '.join(self.classes[name])}")
        return {name: labels.get(name) for name in self.classes}

    def _checked(
        self, id: str, m: str, x: np.ndarray, mask: np.ndarray | None, fps: float
    ) -> tuple[np.ndarray, np.ndarray]:
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
        return np.where(mask[..., None], x, np.float32(0)), mask

    def _finish(self) -> None:
        if not self.rows:
            shutil.rmtree(self.partial)
            raise ValueError(f"{self.path}: no recording was added; an empty store is of no use")
        for m, gaps in self._gaps.items():
            for name, dtype in ((m, np.float32), (m + ".mask", np.bool_)):
                tail: tuple[int, ...] = (self.skeletons[m].num_joints,)
                if dtype is np.float32:
                    tail += (len(self.card["modalities"][m]["channels"]),)
                _write_header(self.partial / f"{name}.npy", dtype, tail, self._frames[m])
            if not gaps:
                (self.partial / f"{m}.mask.npy").unlink()
        index = pd.DataFrame([{k: v for k, v in row.items() if k != "gaps"} for row in self.rows])
        write_text(self.partial / "index.csv", index.to_csv(index=False, lineterminator="\n"))
        (self.partial / "journal.jsonl").unlink()
        files = {p.name: sha256(p) for p in sorted(self.partial.iterdir()) if p.name != "card.yaml"}
        self.card |= {"sequences": len(self.rows), "files": files, "checksum": combined_sha256(files)}
        write_text(
            self.partial / "card.yaml", yaml.safe_dump(self.card, sort_keys=False, allow_unicode=True, width=110)
        )
        os.replace(self.partial, self.path)


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


def _write_header(path: Path, dtype: type, tail: tuple[int, ...], frames: int) -> None:
    """Put the final shape into the header. NumPy pads headers so that the first axis may grow in place."""
    with path.open("r+b") as file:
        _header(file, dtype, (frames, *tail))


def _header(file: IO[bytes], dtype: type, shape: tuple[int, ...]) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _append(path: Path, dtype: type, tail: tuple[int, ...], frames: int) -> IO[bytes]:
    """Open an ``.npy`` file for appending, cut to ``frames``."""
    file = path.open("r+b" if path.exists() else "w+b")
    _header(file, dtype, (frames, *tail))
    end = file.tell() + frames * int(np.prod(tail)) * np.dtype(dtype).itemsize
    if frames and path.stat().st_size < end:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, but its journal speaks of {end}; remove {path.parent}")
    file.truncate(end)
    file.seek(end)
    return file
