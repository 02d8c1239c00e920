from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from graphnets.data import Problem, Store, validate
from graphnets.data.files import combined_sha256, sha256


def edit_card(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    card = yaml.safe_load((path / "card.yaml").read_text(encoding="utf-8"))
    change(card)
    (path / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False), encoding="utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = (path / "index.csv").read_text(encoding="utf-8")
    assert old in text
    (path / "index.csv").write_text(text.replace(old, new, 1), encoding="utf-8")


def set_cell(path: Path, row: int, column: str, value: str) -> None:
    """Change a cell; the header is row 1."""
    lines = [line.split(",") for line in (path / "index.csv").read_text(encoding="utf-8").splitlines()]
    lines[row - 1][lines[0].index(column) - len(lines[0])] = value  # from the right: a note of row 5 has a comma in it
    (path / "index.csv").write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")


def set_values(path: Path, file: str, place: tuple[int, ...], value: float) -> None:
    array = np.load(path / file)
    array[place] = value
    np.save(path / file, array)


def seal(path: Path) -> None:
    """Record the files as they are now, so that only what is in them can be wrong."""
    files = {p.name: sha256(p) for p in sorted(path.iterdir()) if p.name != "card.yaml"}
    edit_card(path, lambda card: card.update(files=files, checksum=combined_sha256(files)))


def observed(path: Path, wanted: bool = True) -> tuple[int, int]:
    """A frame of the second recording, and a joint that was (not) seen there."""
    start = int(Store(path).index["pose.start"][1])
    mask = np.load(path / "pose.mask.npy")[start + 1]
    return start + 1, int(np.flatnonzero(mask == wanted)[0])


def test_a_sound_store(store_path: Path) -> None:
    assert validate(store_path) == []
    seal(store_path)
    assert validate(store_path) == []


def nan_pose(path: Path) -> None:
    frame, joint = observed(path)
    set_values(path, "pose.npy", (frame, joint, 1), np.nan)


def inf_imu(path: Path) -> None:
    set_values(path, "imu.npy", (0, 3, 0), np.inf)
    set_values(path, "imu.npy", (2, 0, 0), -np.inf)


def long_header(path: Path) -> None:
    np.save(path / "imu.npy", np.load(path / "imu.npy").astype(np.float64))


def loose_frames(path: Path) -> None:
    imu = np.load(path / "imu.npy")
    np.save(path / "imu.npy", np.concatenate([imu, imu[:3]]))


# What is done to the store, and the file, row, value and message that must be reported for it.
FAULTS: dict[str, tuple[Callable[[Path], Any], str, int | None, str, str]] = {
    "nan": (nan_pose, "pose.npy", 3, "nan at frame 1, joint ", "finite where observed (id 's2_01')"),
    "inf": (inf_imu, "imu.npy", 2, "inf at frame 0, joint 'gyro_x', channel 'value'", "and 1 more in this sequence"),
    "type": (long_header, "imu.npy", None, "", "float64"),
    "loose frames": (loose_frames, "imu.npy", None, "frame ", "3 frame(s) belong to no row"),
    "class": (lambda p: replace(p, "squat", "squad"), "index.csv", 3, "squad", "is no exercise; allowed are squat, lunge"),
    "same id": (lambda p: replace(p, "s3_02", "s1_00"), "index.csv", 4, "s1_00", "stands in row 2 already"),
    "no id": (lambda p: replace(p, "s3_02,", ","), "index.csv", 4, "", "empty id"),
    "no subject": (lambda p: replace(p, "s3_02,s3", "s3_02,"), "index.csv", 4, "", "empty subject"),
    "no column": (lambda p: replace(p, "imu.start", "imu.begin"), "index.csv", None, "imu.start", "column is missing"),
    "no label": (lambda p: replace(p, "side", "sides"), "index.csv", None, "side", "column of this label is missing"),
    "length": (lambda p: set_cell(p, 6, "pose.length", "-3"), "index.csv", 6, "-3", "pose.length must be a whole number"),
    "fraction": (lambda p: set_cell(p, 6, "pose.start", "2.5"), "index.csv", 6, "2.5", "pose.start must be a whole"),
    "text": (lambda p: set_cell(p, 7, "imu.length", "many"), "index.csv", 7, "many", "imu.length must be a whole"),
    "empty": (lambda p: set_cell(p, 7, "imu.start", ""), "index.csv", 7, "", "imu.start must be a whole"),
    "fps": (lambda p: set_cell(p, 9, "imu.fps", "0"), "index.csv", 9, "0", "imu.fps must be a number > 0"),
    "past the end": (lambda p: set_cell(p, 13, "imu.length", "99"), "index.csv", 13, " + 99", "is past the "),
    "overlap": (lambda p: set_cell(p, 3, "pose.start", "0"), "index.csv", 3, "0 + ", "belong to row 2 already"),
    "protocol": (
        lambda p: edit_card(p, lambda c: c["protocols"]["official"]["train"].append("s9")),
        "card.yaml", None, "official", "train subjects ['s9'] are not in the data",
    ),
    "leak": (
        lambda p: edit_card(p, lambda c: c["protocols"]["official"]["train"].append("s3")),
        "card.yaml", None, "official", "subjects ['s3'] are in train and in test",
    ),
    "skeleton": (
        lambda p: edit_card(p, lambda c: c["modalities"]["pose"].update(skeleton="coco99")),
        "card.yaml", None, "", "'coco99' is neither a built-in skeleton",
    ),
    "count": (lambda p: edit_card(p, lambda c: c.update(sequences=11)), "card.yaml", None, "11", "index.csv has 12 rows"),
    "no checksums": (lambda p: edit_card(p, lambda c: c.pop("files")), "card.yaml", None, "", "no checksums"),
    "wrong checksum": (lambda p: edit_card(p, lambda c: c.update(checksum="0" * 64)), "card.yaml", None, "000000000000", "not the"),
    "no card": (lambda p: (p / "card.yaml").unlink(), "card.yaml", None, "", "missing"),
    "no YAML": (lambda p: (p / "card.yaml").write_text("{"), "card.yaml", None, "", "not readable as YAML"),
    "no index": (lambda p: (p / "index.csv").unlink(), "index.csv", None, "", "missing"),
    "no CSV": (lambda p: (p / "index.csv").write_text('a,b\n"'), "index.csv", None, "", "not readable as CSV"),
    "no array": (lambda p: (p / "pose.npy").unlink(), "pose.npy", None, "", "missing"),
    "truncated": (lambda p: os.truncate(p / "pose.npy", 900), "pose.npy", None, "", "truncated"),
    "no mask": (lambda p: (p / "pose.mask.npy").unlink(), "pose.mask.npy", None, "", "missing"),
    "short mask": (
        lambda p: np.save(p / "pose.mask.npy", np.load(p / "pose.mask.npy")[:-2]), "pose.mask.npy", None, "", "frames, but pose",
    ),
    "changed value": (lambda p: set_values(p, "imu.npy", (0, 0, 0), 5.0), "imu.npy", None, "", "the file was changed"),
    "added mask": (
        lambda p: np.save(p / "imu.mask.npy", np.ones(np.load(p / "imu.npy").shape[:2], bool)),
        "imu.mask.npy", None, "", "the card doesn't know it",
    ),
}  # fmt: skip


def found(problems: list[Problem], file: str, row: int | None, value: str, message: str) -> bool:
    return any(p.file == file and p.row == row and value in p.value and message in p.message for p in problems)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_with_its_place(store_path: Path, fault: str) -> None:
    inject, *expected = FAULTS[fault]
    inject(store_path)
    problems = validate(store_path)
    assert found(problems, *expected), [str(p) for p in problems]
    # Apart from the digests of what was changed and what follows from the fault itself, nothing else is reported.
    others = [p for p in problems if not found([p], *expected) and "the file was changed" not in p.message]
    follow = {
        "no subject",
        "no id",
        "no index",
        "no CSV",
        "past the end",
        "overlap",
        "fraction",
        "length",
        "no column",
        "leak",
    }
    assert not others or fault in follow, [str(p) for p in others]


def test_what_is_masked_may_be_anything(store_path: Path) -> None:
    frame, joint = observed(store_path, wanted=False)
    set_values(store_path, "pose.npy", (frame, joint), np.nan)
    seal(store_path)
    assert validate(store_path) == []


def test_all_faults_are_found_in_one_run(store_path: Path) -> None:
    together = ["nan", "inf", "class", "same id", "length", "text", "fps", "past the end", "protocol", "count"]
    for fault in together:
        FAULTS[fault][0](store_path)
    problems = validate(store_path)
    for fault in together:
        assert found(problems, *FAULTS[fault][1:]), fault
    assert {p.file for p in problems if "the file was changed" in p.message} == {"index.csv", "imu.npy", "pose.npy"}


def test_many_bad_values_are_one_line_a_sequence(store_path: Path) -> None:
    index = Store(store_path).index
    for row in (0, 1, 7):
        start = int(index["imu.start"][row])
        set_values(store_path, "imu.npy", (slice(start, start + int(index["imu.length"][row])),), np.nan)
    seal(store_path)
    problems = validate(store_path)
    assert [(p.file, p.row) for p in problems] == [("imu.npy", 2), ("imu.npy", 3), ("imu.npy", 9)]
    assert f"and {6 * int(index['imu.length'][7]) - 1} more in this sequence" in problems[2].message


def test_blocks_of_frames_are_joined(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan_pose(store_path)
    frame, joint = observed(store_path)
    set_values(store_path, "pose.npy", (frame, joint), np.nan)
    seal(store_path)
    whole = validate(store_path)
    monkeypatch.setattr("graphnets.data.validation._FRAMES_AT_ONCE", 3)
    assert validate(store_path) == whole and len(whole) == 1


def test_no_folder(tmp_path: Path, store_path: Path) -> None:
    assert [p.message for p in validate(tmp_path / "absent")] == ["no such folder"]
    shutil.move(store_path, tmp_path / "half.partial")
    assert "interrupted" in validate(tmp_path / "half")[0].message


def test_a_problem_in_a_line() -> None:
    assert str(Problem("index.csv", 3, "squad", "is no exercise")) == "index.csv, row 3: 'squad': is no exercise"
    assert str(Problem("pose.npy", None, "", "missing")) == "pose.npy: missing"
