from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphnets.data import MotionDataModule, Store, StoreWriter, validate
from graphnets.data.files import combined_sha256, sha256
from graphnets.data.protocols import named_protocol

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
BODY_25 = [
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee",
    "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
]  # fmt: skip
MISTAKES = [("SQUAT", 1), ("SQUAT", 2), ("SQUAT", 10), ("Lunges", 1), ("Lunges", 6), ("Plank", 1), ("Plank", 8)]
Content = dict[str, np.ndarray]


def content() -> Content:
    """Two repetitions of some mistakes by everybody, of 5 to 7 frames."""
    labels = []
    for exercise in ("SQUAT", "Lunges", "Plank"):
        for subject in ("Vidit", "Hugues", "Sena", "Isinsu"):
            for of, label in MISTAKES:
                if of == exercise:
                    for repetition in (0, 1):
                        frames = 5 + (label + repetition) % 3
                        labels += [[exercise, subject, label, repetition, frame] for frame in range(frames)]
    poses = np.random.default_rng(0).normal(size=(len(labels), 3, 25))
    return {"poses": poses, "labels": np.array(labels, dtype=str)}


def put(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("ec3d")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    put(tmp_path / "raw" / "data_3D.pickle", content())
    return tmp_path / "raw"


def test_a_store_from_the_pickle(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store, given = Store(tmp_path / "store"), content()
    assert len(store) == 7 * 4 * 2 and store.ids[0] == "squat_vidit_l01_r000" and store.subjects[0] == "Vidit"
    at = 0
    for row in range(len(store)):
        pose, length = store[row]["pose"], int(store.arrays("pose").length[row])
        exercise, subject, label, repetition, _ = given["labels"][at]
        assert (given["labels"][at : at + length, :4] == given["labels"][at, :4]).all()
        assert store.ids[row] == f"{exercise.lower()}_{subject.lower()}_l{int(label):02}_r{int(repetition):03}"
        assert store.subjects[row] == subject and store.index["exercise"][row] == exercise and pose.fps == 30.0
        for joint, name in enumerate(store.skeleton("pose").joints):
            side, _, part = name.partition("_")
            part = "".join(word.capitalize() for word in (part or side).split("_"))
            openpose = {"Pelvis": "MidHip"}.get(part, (side[0].upper() if side in ("left", "right") else "") + part)
            expected = given["poses"][at : at + length, :, BODY_25.index(openpose)].astype(np.float32)
            assert np.array_equal(pose.x[:, joint].numpy(), expected), name
        at += length
    assert at == len(given["poses"]) and "56 sequences" in printed and store.checksum in printed
    assert store.card["source_checksum"] == combined_sha256({"data_3D.pickle": sha256(raw / "data_3D.pickle")})
    assert "knows no checksum" in printed


def test_the_twelve_classes(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    expected = dict(zip(MISTAKES, (0, 1, 5, 6, 8, 9, 11), strict=True))
    for row, id in enumerate(store.ids):
        exercise, label = store.index["exercise"][row], int(id.split("_")[2][1:])
        assert int(store.codes("mistake")[row]) == expected[exercise, label]
    names = store.labels["mistake"]
    assert len(names) == 12 and (names[5], names[8]) == ("squat_correct_bis", "lunges_knee_passes_toe")


def test_the_protocols(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    published = named_protocol(store.card, "published").split(store.index)
    assert set(store.subjects[published.test]) == {"Vidit"} and len(published.val) == 0 and len(published.train) == 42
    validated = named_protocol(store.card, "published_val_isinsu").split(store.index)
    assert np.array_equal(validated.test, published.test)
    assert sorted([*validated.train, *validated.val]) == published.train.tolist()
    assert "Sena" in set(store.subjects[validated.train])
    batch = next(iter(MotionDataModule(store, "published").train_dataloader()))
    assert batch["pose"].x.shape[2:] == (19, 3)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_any_protocol(recipe: ModuleType, tmp_path: Path, run: Run, protocol: int) -> None:
    given = content()
    if protocol == 1:
        given = {"labels": given["labels"].astype(object), "poses": np.asfortranarray(given["poses"])}
    assert run(put(tmp_path / "mine.pkl", given, protocol), tmp_path / "store")[0] == 0
    assert np.array_equal(Store(tmp_path / "store")[0]["pose"].x[0, 0], given["poses"][0, :, 0].astype(np.float32))


def test_a_repetition_in_parts_is_one(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    given = content()
    order = [*range(3, len(given["poses"])), 0, 1, 2]
    moved = {name: values[order] for name, values in given.items()}
    moved["labels"] = moved["labels"].astype("U20")
    moved["labels"][:, 2:4] = [[f"{word}.0" for word in row] for row in moved["labels"][:, 2:4]]
    moved["labels"][:, 4] = "GX010042_7"  # whatever a frame is called
    put(raw / "data_3D.pickle", moved)
    code, printed = run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert code == 0 and len(store) == 56 and store.ids[0] == "squat_vidit_l01_r000"
    expected = given["poses"][[3, 4, 5, 0, 1, 2], :, 0].astype(np.float32)
    assert np.array_equal(store[0]["pose"].x[:, 0].numpy(), expected)
    assert "1 repetitions lie in several parts in the file, joined here: squat_vidit_l01_r000" in printed


def test_a_complete_store_is_left_alone(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").iterdir()}
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and "is complete already: 56 sequences" in printed
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").iterdir()}


def test_an_interrupted_run_goes_on(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(raw, tmp_path / "whole")
    original, added = StoreWriter.add, iter(range(100))

    def interrupted(self: StoreWriter, *arguments: Any) -> None:
        if next(added) == 10:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(StoreWriter, "add", interrupted)
    code, printed = run(raw, tmp_path / "store")
    assert code == 130 and "run the same command again" in printed and not (tmp_path / "store").exists()
    assert run(raw, tmp_path / "store")[0] == 0
    assert next(added) == 11 + 46, "recordings that were there were written again"
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "store" / path.name).read_bytes()


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def change(name: str, at: tuple[int, ...], value: Any) -> Callable[[Content], Any]:
    def apply(given: Content) -> Any:
        if given[name].dtype.kind == "U":
            given[name] = given[name].astype("U20")
        given[name][at] = value
        return given

    return apply


# What becomes of the content, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[Callable[[Content], Any], tuple[str, ...]]] = {
    "harm": (lambda c: {**c, "more": Harm()}, ("system", "refused: this name is not that of an array; nothing was run")),
    "a list": (lambda c: [c["poses"]], ("list", "must hold poses and labels")),
    "no labels": (lambda c: {"poses": c["poses"], "x": 1}, ("poses, x", "must hold poses and labels")),
    "turned": (lambda c: {**c, "poses": c["poses"].transpose(0, 2, 1)}, ("25 x 3", "numbers, frames x 3 x 25")),
    "whole": (lambda c: {**c, "poses": c["poses"].astype(int)}, ("int64", "numbers, frames x 3 x 25")),
    "no frames": (lambda c: {k: v[:0] for k, v in c.items()}, ("0 x 3 x 25", "numbers, frames x 3 x 25")),
    "fewer labels": (lambda c: {**c, "labels": c["labels"][1:]}, ("x 5", "labels must be text, ")),
    "four labels": (lambda c: {**c, "labels": c["labels"][:, :4]}, ("x 4", "labels must be text, ")),
    "numbers": (lambda c: {**c, "labels": np.zeros((len(c["poses"]), 5))}, ("float64", "labels must be text, ")),
    "nan": (change("poses", (3, 1, 24), np.nan), ("4", "nan", "y of joint 24 of BODY_25 is no finite number")),
    "exercise": (change("labels", (5, 0), "Squat"), ("6", "Squat", "exercise is not one of SQUAT, Lunges, Plank")),
    "subject": (change("labels", (6, 1), "Bob"), ("7", "Bob", "subject is not one of Hugues, Isinsu, Sena, Vidit")),
    "label": (change("labels", (7, 2), "6"), ("8", "6", "label of SQUAT is not one of 1, 2, 3, 4, 5, 10")),
    "repetition": (change("labels", (8, 3), "1.5"), ("9", "1.5", "repetition is no whole number")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith, fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    make, parts = FAULTS[fault]
    put(raw / "data_3D.pickle", make(content()))
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "nothing was written" in " ".join(printed.split())
    assert line_with(printed, "data_3D.pickle", *parts), printed
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_all_bad_rows_at_once(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    given = content()
    for name in ("nan", "exercise", "subject", "label", "repetition"):
        given = FAULTS[name][0](given)
    put(raw / "data_3D.pickle", given)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "5 problem(s)" in printed
    for name in ("nan", "exercise", "subject", "label", "repetition"):
        assert line_with(printed, "data_3D.pickle", *FAULTS[name][1]), name


def test_a_truncated_file(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    path = raw / "data_3D.pickle"
    path.write_bytes(path.read_bytes()[:-100])
    code, printed = run(path, tmp_path / "store")
    assert code == 1 and line_with(printed, "data_3D.pickle", "damaged, or no pickle of plain arrays")


def test_a_missing_exercise_needs_a_word(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith
) -> None:
    given = content()
    kept = ~((given["labels"][:, 0] == "Plank") & (given["labels"][:, 1] == "Sena"))
    put(raw / "data_3D.pickle", {name: values[kept] for name, values in given.items()})
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "1 missing", "Plank of Sena; --allow-missing goes on without")
    code, printed = run(raw, tmp_path / "store", "--allow-missing")
    assert code == 0 and Store(tmp_path / "store").card["missing"] == ["Plank of Sena"]


def test_as_a_command(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "datasets" / "ec3d" / "prepare.py"), str(tmp_path), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "data_3D.pickle: no such file; RAW is data_3D.pickle or the folder that holds it" in result.stderr


def test_the_card_speaks_of_the_release(recipe: ModuleType) -> None:
    card = recipe.load_card(recipe.CARD)
    assert card["labels"]["exercise"]["classes"] == list(recipe.LABELS)
    assert sum(map(len, recipe.LABELS.values())) == len(card["labels"]["mistake"]["classes"]) == 12
    assert len(recipe.USED) == 19 and {"licence", "source", "citation", "traps"} <= set(card)
