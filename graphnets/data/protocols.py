"""How recordings are split into training, validation and test.

Every protocol but :class:`RandomSequences` splits by subject, takes the validation subjects out of the training side,
and is checked: no subject on two sides, no empty training or test set.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Split:
    """Rows of the index for each side; ``val`` may be empty."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


class Protocol(ABC):
    """Splits an index; subclasses choose subjects (or rows) for the three sides."""

    name: str = "protocol"
    fold: int | None = None

    @abstractmethod
    def split(self, index: pd.DataFrame) -> Split:
        """Split the rows of an index with columns ``id`` and ``subject``.

        Raises:
            ValueError: A side that must not be empty is, or subjects are unknown or on two sides.
        """

    def describe(self) -> dict[str, Any]:
        """Name, fold and settings, for the run record."""
        settings = {k: v for k, v in vars(self).items() if k not in ("name", "fold")}
        return {"name": self.name, "fold": self.fold, **settings}

    def _by_subject(self, index: pd.DataFrame, train: Sequence[str], val: Sequence[str], test: Sequence[str]) -> Split:
        known = subjects_of(index)
        sides = {"train": [str(s) for s in train], "val": [str(s) for s in val], "test": [str(s) for s in test]}
        for side, subjects in sides.items():
            if unknown := sorted(set(subjects) - set(known)):
                raise ValueError(
                    f"protocol {self.name!r}: {side} subjects {unknown} are not in the data; there are {known}"
                )
        for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
            if both := sorted(set(sides[a]) & set(sides[b])):
                raise ValueError(f"protocol {self.name!r}: subjects {both} are in {a} and in {b}")
        rows = {side: np.flatnonzero(index["subject"].isin(subjects)) for side, subjects in sides.items()}
        return self._checked(Split(**rows))

    def _checked(self, split: Split) -> Split:
        for side in ("train", "test"):
            if len(getattr(split, side)) == 0:
                raise ValueError(f"protocol {self.name!r}: the {side} side is empty")
        return split


class Subjects(Protocol):
    """Subjects by name, as official splits give them.

    Args:
        train: Training subjects.
        test: Test subjects.
        val: Validation subjects: not among ``train``.
        name: What the run record calls the protocol.
    """

    def __init__(self, train: list[str], test: list[str], val: list[str] | None = None, name: str = "subjects") -> None:
        self.train, self.test, self.val = ([str(s) for s in side or []] for side in (train, test, val))
        self.name = name

    def split(self, index: pd.DataFrame) -> Split:
        """See :meth:`Protocol.split`."""
        return self._by_subject(index, self.train, self.val, self.test)


class RandomSubjects(Protocol):
    """Subjects drawn at random.

    Args:
        test: Share of the subjects to test on, in (0, 1); at least one subject.
        val: Share of the remaining subjects to validate on, in [0, 1); at least one unless 0.
        seed: Of the draw.
    """

    name = "random_subjects"

    def __init__(self, test: float = 0.2, val: float = 0.2, seed: int = 0) -> None:
        self.test, self.val, self.seed = _share("test", test), _share("val", val, zero=True), seed

    def split(self, index: pd.DataFrame) -> Split:
        """See :meth:`Protocol.split`."""
        subjects = np.random.default_rng(self.seed).permutation(subjects_of(index)).tolist()
        tested = max(1, round(self.test * len(subjects)))
        rest = subjects[tested:]
        held = max(1, round(self.val * len(rest))) if self.val else 0
        return self._by_subject(index, rest[held:], rest[:held], subjects[:tested])


class SubjectKFold(Protocol):
    """K-fold cross-validation over subjects.

    Args:
        fold: Which fold is tested, 0 to ``folds - 1``.
        folds: How many there are, 2 to the number of subjects.
        val_subjects: How many of the training subjects are held out for validation; or their names. Subjects by name
            validate in every fold and are never tested: settings that were chosen on them are fair to all folds.
        seed: Of the order of the subjects and the choice of the validation subjects.
    """

    name = "subject_kfold"

    def __init__(self, fold: int = 0, folds: int = 5, val_subjects: int | list[str] = 1, seed: int = 0) -> None:
        self.fold, self.folds, self.val_subjects, self.seed = fold, folds, val_subjects, seed

    def split(self, index: pd.DataFrame) -> Split:
        """See :meth:`Protocol.split`."""
        subjects = self._tested(index)
        if not 2 <= self.folds <= len(subjects):
            raise ValueError(f"folds is {self.folds}; with {len(subjects)} subjects 2 to {len(subjects)} are possible")
        order = np.random.default_rng(self.seed).permutation(subjects)
        return self._fold(index, [part.tolist() for part in np.array_split(order, self.folds)])

    def _tested(self, index: pd.DataFrame) -> list[str]:
        """All subjects but those that validate by name."""
        named = [] if isinstance(self.val_subjects, int) else [str(s) for s in self.val_subjects]
        return [s for s in subjects_of(index) if s not in named]

    def _fold(self, index: pd.DataFrame, parts: list[list[str]]) -> Split:
        assert self.fold is not None
        if not 0 <= self.fold < len(parts):
            raise ValueError(f"fold is {self.fold}; there are folds 0 to {len(parts) - 1}")
        test = parts[self.fold]
        rest = [s for i, part in enumerate(parts) if i != self.fold for s in part]
        if isinstance(self.val_subjects, int):
            if not 0 <= self.val_subjects < len(rest):
                raise ValueError(
                    f"val_subjects is {self.val_subjects}; {len(rest)} training subjects leave 0 to {len(rest) - 1}"
                )
            held = np.random.default_rng([self.seed, self.fold]).permutation(rest)[: self.val_subjects].tolist()
        else:
            held = [str(s) for s in self.val_subjects]
        return self._by_subject(index, [s for s in rest if s not in held], held, test)


class LeaveOneSubjectOut(SubjectKFold):
    """Each subject is tested once; fold ``k`` tests the ``k``-th subject in natural order.

    Args:
        fold: Which subject is tested, from 0.
        val_subjects: As for :class:`SubjectKFold`.
        seed: Of the choice of the validation subjects.
    """

    name = "leave_one_subject_out"

    def __init__(self, fold: int = 0, val_subjects: int | list[str] = 1, seed: int = 0) -> None:
        self.fold, self.val_subjects, self.seed = fold, val_subjects, seed

    def split(self, index: pd.DataFrame) -> Split:
        """See :meth:`Protocol.split`."""
        subjects = self._tested(index)
        if len(subjects) < 2:
            raise ValueError(f"protocol {self.name!r}: there is only the subject {subjects}; at least 2 are needed")
        return self._fold(index, [[s] for s in subjects])


class SequenceLists(Protocol):
    """Recordings by id, as official lists give them.

    Args:
        train: Ids, or a text file with one id a line.
        test: Likewise.
        val: Likewise; taken from the training side.
        name: What the run record calls the protocol.
        allow_shared_subjects: Some official lists have the same subject on both sides; say so to accept it.
    """

    def __init__(
        self,
        train: list[str] | str,
        test: list[str] | str,
        val: list[str] | str | None = None,
        name: str = "lists",
        allow_shared_subjects: bool = False,
    ) -> None:
        self.train, self.test, self.val = _ids(train), _ids(test), _ids(val or [])
        self.name, self.allow_shared_subjects = name, allow_shared_subjects

    def split(self, index: pd.DataFrame) -> Split:
        """See :meth:`Protocol.split`."""
        where = pd.Series(np.arange(len(index)), index=index["id"])
        sides: dict[str, np.ndarray] = {}
        for side in ("train", "val", "test"):
            ids = getattr(self, side)
            if unknown := [i for i in ids if i not in where.index]:
                raise ValueError(f"protocol {self.name!r}: {side} ids {unknown[:5]} are not in the data")
            if len(set(ids)) != len(ids):
                twice = sorted({i for i in ids if ids.count(i) > 1})
                raise ValueError(f"protocol {self.name!r}: {side} ids {twice[:5]} are listed twice")
            sides[side] = where[ids].to_numpy(dtype=np.int64)
        for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
            column = "id" if self.allow_shared_subjects else "subject"
            both = set(index[column].iloc[sides[a]]) & set(index[column].iloc[sides[b]])
            if both:
                raise ValueError(f"protocol {self.name!r}: {column}s {sorted(both)[:5]} are in {a} and in {b}")
        return self._checked(Split(**sides))


class RandomSequences(Protocol):
    """Recordings drawn at random, whoever made them.

    The same subjects stand on all sides, so the result says nothing about new people: on UTD-MHAD it flatters an
    inertial network by ten points. It is here to compare with work that used it.

    Args:
        test: Share to test on, in (0, 1).
        val: Share of the rest to validate on, in [0, 1).
        seed: Of the draw.
    """

    name = "random_sequences"

    def __init__(self, test: float = 0.2, val: float = 0.1, seed: int = 0) -> None:
        self.test, self.val, self.seed = _share("test", test), _share("val", val, zero=True), seed

    def split(self, index: pd.DataFrame) -> Split:
        """See :meth:`Protocol.split`."""
        rows = np.random.default_rng(self.seed).permutation(len(index))
        tested = max(1, round(self.test * len(rows)))
        held = round(self.val * (len(rows) - tested))
        return self._checked(
            Split(np.sort(rows[tested + held :]), np.sort(rows[tested : tested + held]), np.sort(rows[:tested]))
        )


def named_protocol(card: dict[str, Any], name: str) -> Protocol:
    """The protocol that a store's card declares under ``name``.

    Raises:
        ValueError: The card has no such protocol.
    """
    declared = card.get("protocols") or {}
    if name not in declared:
        raise ValueError(
            f"the card of {card['name']!r} has no protocol {name!r}; it has {', '.join(declared) or 'none'}. "
            "Others go by class path, e.g. graphnets.data.LeaveOneSubjectOut"
        )
    return Subjects(**declared[name], name=name)


def subjects_of(index: pd.DataFrame) -> list[str]:
    """The subjects in natural order (s2 before s10)."""
    return sorted(index["subject"].unique(), key=natural_key)


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Sorts digits by value: ``s2`` before ``s10``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _share(name: str, value: float, zero: bool = False) -> float:
    if not (0 < value < 1 or (zero and value == 0)):
        raise ValueError(f"{name} is {value}; a share lies between 0 and 1")
    return value


def _ids(given: list[str] | str) -> list[str]:
    if not isinstance(given, str):
        return list(given)
    path = Path(given)
    if not path.is_file():
        raise ValueError(f"{path}: no such list of ids")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
