from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import (
    LeaveOneSubjectOut,
    Protocol,
    RandomSequences,
    RandomSubjects,
    SequenceLists,
    Split,
    Store,
    SubjectKFold,
    Subjects,
)
from graphnets.data.protocols import named_protocol, natural_key, subjects_of

INDEXES = st.lists(st.integers(1, 14), min_size=3, max_size=40).filter(lambda subjects: len(set(subjects)) >= 3)


def make_index(subjects: list[int]) -> pd.DataFrame:
    ids = [f"r{i}" for i in range(len(subjects))]
    return pd.DataFrame({"id": ids, "subject": [f"s{subject}" for subject in subjects]})


def check_sides(index: pd.DataFrame, split: Split, everything: bool = True) -> dict[str, set[str]]:
    """No row and no subject on two sides, whole subjects only, every row somewhere."""
    sides = {"train": split.train, "val": split.val, "test": split.test}
    people = {side: set(index["subject"].iloc[rows]) for side, rows in sides.items()}
    assert len(split.train) and len(split.test)
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not people[a] & people[b]
    for side, rows in sides.items():
        assert rows.tolist() == [i for i, subject in enumerate(index["subject"]) if subject in people[side]]
    if everything:
        assert sorted(np.concatenate(list(sides.values())).tolist()) == list(range(len(index)))
    return people


@given(INDEXES, st.data())
@settings(max_examples=20, deadline=None)
def test_over_the_folds_everybody_is_tested_once(subjects: list[int], data: st.DataObject) -> None:
    index = make_index(subjects)
    count = len(set(subjects))
    folds = data.draw(st.integers(2, count))
    val = data.draw(st.integers(0, count - -(-count // folds) - 1))
    seed = data.draw(st.integers(0, 5))
    tested: list[str] = []
    for fold in range(folds):
        people = check_sides(index, SubjectKFold(fold, folds, val, seed).split(index))
        assert len(people["val"]) == val
        tested += people["test"]
    assert sorted(tested) == sorted(set(index["subject"]))


def test_who_validates_by_name_is_never_tested() -> None:
    subjects = [f"s{k}" for k in range(10)]
    index = make_index([k for k in range(10) for _ in range(2)])
    assert subjects_of(index) == subjects
    named = ["s2", "s8"]
    four = [SubjectKFold(fold, 4, named) for fold in range(4)]
    eight = [LeaveOneSubjectOut(fold, named) for fold in range(8)]
    for protocols in (four, eight):
        tested: list[str] = []
        for protocol in protocols:
            people = check_sides(index, protocol.split(index))
            assert people["val"] == set(named) and len(people["train"]) == 8 - 8 // len(protocols)
            tested += people["test"]
        assert sorted(tested) == [s for s in subjects if s not in ("s2", "s8")]
    with pytest.raises(ValueError, match=r"val subjects \['s77'\] are not in the data"):
        SubjectKFold(0, 4, ["s77"]).split(index)


@given(INDEXES, st.integers(0, 1), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_leave_one_subject_out(subjects: list[int], val: int, seed: int) -> None:
    index = make_index(subjects)
    names = subjects_of(index)
    for fold, name in enumerate(names):
        people = check_sides(index, LeaveOneSubjectOut(fold, val, seed).split(index))
        assert people["test"] == {name} and len(people["val"]) == val
    with pytest.raises(ValueError, match=f"fold is {len(names)}; there are folds 0 to {len(names) - 1}"):
        LeaveOneSubjectOut(len(names)).split(index)


@given(INDEXES, st.floats(0.05, 0.4), st.floats(0.0, 0.4), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_random_subjects(subjects: list[int], test: float, val: float, seed: int) -> None:
    index = make_index(subjects)
    protocol = RandomSubjects(test, val, seed)
    people = check_sides(index, protocol.split(index))
    assert bool(people["val"]) == (val > 0)
    assert len(people["test"]) == max(1, round(test * len(set(subjects))))
    shuffled = index.sample(frac=1, random_state=0).reset_index(drop=True)
    assert check_sides(shuffled, RandomSubjects(test, val, seed).split(shuffled)) == people


@given(st.integers(5, 60), st.floats(0.1, 0.5), st.floats(0.0, 0.4), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_random_sequences_share_out_the_rows(rows: int, test: float, val: float, seed: int) -> None:
    index = make_index([i % 3 for i in range(rows)])
    split = RandomSequences(test, val, seed).split(index)
    assert sorted([*split.train, *split.val, *split.test]) == list(range(rows))
    assert len(split.test) == max(1, round(test * rows))
    assert np.array_equal(split.test, RandomSequences(test, val, seed).split(index).test)


@pytest.mark.parametrize("make", [RandomSubjects, RandomSequences, SubjectKFold])
def test_a_seed_is_a_split_of_its_own(make: type[Protocol]) -> None:
    index = make_index(list(range(1, 13)) * 3)
    splits = [tuple(make(seed=seed).split(index).test) for seed in range(6)]
    assert len(set(splits)) > 3
    assert splits[0] == tuple(make(seed=0).split(index).test)


def test_the_card_s_protocols(small_store: Store) -> None:
    index = small_store.index
    official = named_protocol(small_store.card, "official")
    people = check_sides(index, official.split(index))
    assert people == {"train": {"s1", "s2"}, "val": set(), "test": {"s3", "s10"}}
    people = check_sides(index, named_protocol(small_store.card, "validated").split(index))
    assert people == {"train": {"s1"}, "val": {"s2"}, "test": {"s3", "s10"}}
    expected = {"name": "official", "fold": None, "train": ["s1", "s2"], "test": ["s3", "s10"], "val": []}
    assert official.describe() == expected
    with pytest.raises(ValueError, match=r"'small' has no protocol 'best'; it has official, validated"):
        named_protocol(small_store.card, "best")


INDEX = make_index([1, 1, 2, 2, 3, 10])


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (
            Subjects(["s1"], ["s4"]),
            r"test subjects \['s4'\] are not in the data; there are \['s1', 's2', 's3', 's10'\]",
        ),
        (Subjects(["s1", "s2"], ["s2"]), r"\['s2'\] are in train and in test"),
        (Subjects(["s1", "s2"], ["s3"], ["s2"]), r"\['s2'\] are in train and in val"),
        (Subjects(["s1"], ["s3"], ["s3"]), r"\['s3'\] are in val and in test"),
        (Subjects([], ["s3"]), "the train side is empty"),
        (SubjectKFold(4, 4), "fold is 4; there are folds 0 to 3"),
        (SubjectKFold(-1, 4), "fold is -1"),
        (SubjectKFold(0, 5), "folds is 5; with 4 subjects 2 to 4 are possible"),
        (SubjectKFold(0, 1), "folds is 1"),
        (SubjectKFold(0, 4, 3), "val_subjects is 3; 3 training subjects leave 0 to 2"),
        (RandomSubjects(0.9, 0.9), "the train side is empty"),
        (SequenceLists(["r0"], ["r9"]), r"test ids \['r9'\] are not in the data"),
        (SequenceLists(["r0", "r0"], ["r2"]), r"train ids \['r0'\] are listed twice"),
        (SequenceLists(["r0"], ["r1"]), r"subjects \['s1'\] are in train and in test"),
        (SequenceLists(["r0"], ["r0"], allow_shared_subjects=True), r"ids \['r0'\] are in train and in test"),
    ],
)
def test_what_can_not_be_split(protocol: Protocol, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol.split(INDEX)


def test_one_subject_can_not_be_left_out() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        LeaveOneSubjectOut().split(make_index([1, 1]))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
@pytest.mark.parametrize("make", [RandomSubjects, RandomSequences])
def test_shares_lie_between_nothing_and_everything(make: Any, share: float) -> None:
    with pytest.raises(ValueError, match="test is"):
        make(test=share)


def test_lists_of_recordings(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("r5\nr0\n\n")
    split = SequenceLists(str(tmp_path / "train.txt"), ["r4"], ["r2"]).split(INDEX)
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([5, 0], [2], [4])
    shared = SequenceLists(["r0"], ["r1"], allow_shared_subjects=True).split(INDEX)
    assert (shared.train.tolist(), shared.val.tolist(), shared.test.tolist()) == ([0], [], [1])
    with pytest.raises(ValueError, match=r"absent.txt: no such list"):
        SequenceLists(str(tmp_path / "absent.txt"), ["r4"])


def test_natural_order() -> None:
    assert subjects_of(INDEX) == ["s1", "s2", "s3", "s10"]
    names = ["10", "9", "a2b10", "a2b9", "a10", "b", "1x"]
    assert sorted(names, key=natural_key) == ["1x", "9", "10", "a2b9", "a2b10", "a10", "b"]
