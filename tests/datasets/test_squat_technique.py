from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphnets.data import MotionDataModule, Store, StoreWriter, SubjectKFold, validate
from graphnets.data.files import combined_sha256, sha256
from graphnets.data.protocols import named_protocol
from graphnets.data.raw import BadFileError

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
ARCHIVE = "squat_technique.tar.xz"
CLASSES = ("bending forward", "heels lifting", "knees caving", "no depth", "olympic squat", "powerlifting squat",
           "toes lifting")  # fmt: skip
DAYS = ("05042023", "06042023", "11042023", "12042023", "13042023", "14042023", "17042023", "18042023", "19042023",
        "20042023", "21042023", "29042023", "02052023", "03052023", "09052023", "12052023")  # fmt: skip
NAMES = [f"recording_{day}_1015{second:02}" for day in DAYS for second in (10, 20)]
LABELS = {name: CLASSES[i % 7] for i, name in enumerate(NAMES)}


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("squat_technique")


def body(name: str, frames: int = 40) -> np.ndarray:
    """Points ``[T, 19, 3]`` of somebody 230 away from the camera."""
    rng = np.random.default_rng(int(name[10:18]) + int(name[19:]))
    points = np.tile((-20.0, -10.0, 230.0), (1, 19, 1))
    points[..., 0] += 15 * (-1) ** np.arange(19)
    points[..., 1] += np.linspace(-50, 50, 19)
    return points + rng.normal(0, 0.5, (frames, 19, 3))


def padded(points: np.ndarray, front: int = 3) -> np.ndarray:
    out = np.full((300, 19, 3), -1.0)
    out[front : front + len(points)] = points
    return out.reshape(300, 57)


def put(root: Path, name: str, values: np.ndarray) -> None:
    np.save(root / "mediapipe" / f"{name}.npy", values)


def write_labels(root: Path, labels: dict[str, str]) -> None:
    rows = [",".join([name, *("1.0" if c == label else "0.0" for c in CLASSES)]) for name, label in labels.items()]
    (root / "data.csv").write_text("\n".join([",".join(["filename", *CLASSES]), *rows]) + "\n")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    (root / "mediapipe").mkdir(parents=True)
    for name in NAMES:
        put(root, name, padded(body(name)))
    write_labels(root, LABELS)
    (root / "train.csv").write_text("none of ours")
    (root / "mediapipe" / "._x.npy").write_bytes(b"what macOS leaves")
    return root


def row_of(store: Store, name: str) -> int:
    day, time = name[10:18], name[19:]
    return store.ids.tolist().index(f"{day[4:]}-{day[2:4]}-{day[:2]}_{time}")


def test_a_store_from_raw_files(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert len(store) == 32 and store.ids.tolist() == sorted(store.ids.tolist())
    assert store.ids[0] == "2023-04-05_101510" and store.subjects[0] == "2023-04-05"
    for name in NAMES:
        row = row_of(store, name)
        sequence = store[row]
        assert np.array_equal(sequence["pose"].x.numpy(), body(name).astype(np.float32)), "padding is cut off"
        assert sequence["pose"].fps == 30.0 and store.ids[row].startswith(sequence.subject)
        technique = store.labels["technique"][int(sequence.technique)]
        assert technique == LABELS[name].replace(" ", "_")
        right = technique in ("olympic_squat", "powerlifting_squat")
        assert store.labels["correctness"][int(sequence.correctness)] == ("correct" if right else "incorrect")
    assert store.index["time"][0] == "10:15:10" and store.arrays("pose").observed is None
    assert "32 sequences" in printed and store.checksum in printed
    files = {p.relative_to(raw).as_posix(): sha256(p) for p in [raw / "data.csv", *raw.glob("mediapipe/r*.npy")]}
    assert store.card["source_checksum"] == combined_sha256(files) and store.card["left_out"] == []


def test_days_are_subjects(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    split = named_protocol(store.card, "by_date").split(store.index)
    assert (len(split.train), len(split.val), len(split.test)) == (14, 8, 10)
    folds = [SubjectKFold(fold, folds=4).split(store.index).test for fold in range(4)]
    assert sorted(np.concatenate(folds).tolist()) == list(range(32))


@pytest.mark.parametrize("pack", ["zip", "xztar"])
def test_the_same_store_from_an_archive(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, pack: str) -> None:
    run(raw, tmp_path / "whole")
    assert run(shutil.make_archive(str(tmp_path / "packed"), pack, raw), tmp_path / "store")[0] == 0
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "store" / path.name).read_bytes()


def test_both_shapes_and_other_padding(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    put(raw, NAMES[0], padded(body(NAMES[0]), front=260).reshape(300, 19, 3))
    put(raw, NAMES[1], padded(body(NAMES[1], 300), front=0))
    assert run(raw, tmp_path / "store")[0] == 0
    store = Store(tmp_path / "store")
    for name, frames in zip(NAMES[:2], (40, 300), strict=True):
        assert np.array_equal(store[row_of(store, name)]["pose"].x, body(name, frames).astype(np.float32))


def test_what_is_far_away_or_not_there_is_masked(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    points = body(NAMES[0])
    points[3, 7] = (669343.0, 0.0, 0.0)  # thrown away
    points[4, 7, 2] += 400
    points[5] = -1.0  # a frame without anybody
    points[6, 2] = np.nan
    points[7, 3] = -1.0
    points[8, 4, 0] = -1.0  # may be
    points[9, 11] += (0.0, 30.0, 0.0)  # far, but not too far
    put(raw, NAMES[0], padded(points))
    code, printed = run(raw, tmp_path / "store")
    assert code == 0
    store = Store(tmp_path / "store")
    pose = store[row_of(store, NAMES[0])]["pose"]
    expected = np.ones((40, 19), dtype=bool)
    expected[3, 7] = expected[4, 7] = expected[5] = expected[6, 2] = expected[7, 3] = False
    assert np.array_equal(pose.mask.numpy(), expected)
    assert "2 points are over 3 times as far from the body" in printed and "21 points are not there" in printed
    assert sorted(store.card["counts"].values()) == [2, 21]


def test_what_is_no_body_or_has_no_label_is_left_out(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    put(raw, "recording_05042023_101530", padded(body(NAMES[0])))
    put(raw, "recording_05042023_101540", padded(body(NAMES[0])))
    put(raw, "recording_05042023_101550", padded(40 * body(NAMES[0])))
    write_labels(raw, {**LABELS, "recording_05042023_101540": CLASSES[0], "recording_05042023_101550": CLASSES[0]})
    code, printed = run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert code == 0 and len(store) == 33
    assert store.card["left_out"] == ["recording_05042023_101530", "recording_05042023_101550"]
    assert "1 recordings have no label and are left out" in printed
    assert "1 recordings are over 4 times as large or small as usual on their day" in printed


def test_a_complete_store_is_left_alone(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").iterdir()}
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and "is complete already: 32 sequences" in printed
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
    assert next(added) == 11 + 22, "recordings that were there were written again"
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "store" / path.name).read_bytes()


def npy(root: Path, index: int) -> Path:
    return root / "mediapipe" / f"{NAMES[index]}.npy"


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def objects(path: Path) -> None:
    np.save(path, np.array([print, {}], dtype=object), allow_pickle=True)


# What is done to the raw folder, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "truncated": (lambda r: cut(npy(r, 0), 0.7), (npy(Path(), 0).name, "damaged, or no .npy file")),
    "empty": (lambda r: cut(npy(r, 1), 0), (npy(Path(), 1).name, "0 bytes", "damaged")),
    "no .npy": (lambda r: npy(r, 2).write_text("<html>"), (npy(Path(), 2).name, "6 bytes", "damaged")),
    "objects": (lambda r: objects(npy(r, 3)), (npy(Path(), 3).name, "damaged", "allow_pickle=False")),
    "33 joints": (
        lambda r: np.save(npy(r, 4), np.zeros((300, 99))),
        (npy(Path(), 4).name, "300 x 99", "must be 300 x 57 or x 19 x 3"),
    ),
    "other frames": (lambda r: np.save(npy(r, 5), np.zeros((299, 57))), (npy(Path(), 5).name, "299 x 57")),
    "text": (lambda r: np.save(npy(r, 6), np.full((300, 57), "1")), (npy(Path(), 6).name, "must hold real numbers")),
    "padding": (
        lambda r: np.save(npy(r, 7), np.full((300, 57), -1.0)),
        (npy(Path(), 7).name, "nothing but padding"),
    ),
    "strange name": (
        lambda r: npy(r, 8).rename(npy(r, 8).with_name("recording_31022023_101510.npy")),
        ("recording_31022023_101510.npy", "not a name like recording_DDMMYYYY_HHMMSS.npy"),
    ),
}  # fmt: skip


def test_everything_that_is_wrong_is_listed_at_once(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith
) -> None:
    for inject, _ in FAULTS.values():
        inject(raw)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "nothing was written" in " ".join(printed.split()) and f"{len(FAULTS)} problem(s)" in printed
    for name, (_, parts) in FAULTS.items():
        assert line_with(printed, *parts), f"{name}: {printed}"
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


HEADER = ",".join(["filename", *CLASSES])
# The content of data.csv, and the parts of the line that must be printed about it.
BAD_LABELS = {
    "no header": (f"{NAMES[0]},1,0,0,0,0,0,0\n", ("1", "the columns must be filename, bending_forward")),
    "nothing": ("", ("the columns must be filename",)),
    "no rows": (f"{HEADER}\n", ("1 rows", "must name recordings")),
    "two classes": (f"{HEADER}\n{NAMES[0]},1,0,0,0,0,0,1\n", ("2", "1, 0, 0, 0, 0, 0, 1", "one 1")),
    "no class": (f"{HEADER}\n\n{NAMES[0]},0,0,0,0,0,0,0\n", ("3", "must be 0 everywhere but for one 1")),
    "half a class": (f"{HEADER}\n{NAMES[0]},0.5,0.5,0,0,0,0,0\n", ("0.5, 0.5", "one 1")),
    "columns": (f"{HEADER}\n{NAMES[0]},1,0,0\n", ("2", "4 columns", "must have 8")),
    "twice": (f"{HEADER}\n" + 2 * f"{NAMES[0]},1,0,0,0,0,0,0\n", ("3", NAMES[0], "is there already")),
    "name": (f"{HEADER}\nsquat_7,1,0,0,0,0,0,0\n", ("2", "squat_7", "not a name like recording_DDMMYYYY_HHMMSS")),
}


@pytest.mark.parametrize("fault", BAD_LABELS)
def test_bad_labels(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith, fault: str) -> None:
    text, parts = BAD_LABELS[fault]
    (raw / "data.csv").write_text(text)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "data.csv", *parts), printed


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 25).tolist())
def test_a_file_cut_anywhere_is_damaged(recipe: ModuleType, share: float) -> None:
    buffer = io.BytesIO()
    np.save(buffer, padded(body(NAMES[0])))
    with pytest.raises(BadFileError, match="damaged"):
        recipe.read_points(buffer.getvalue()[: int(share * len(buffer.getvalue()))])


def test_missing_files(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    npy(raw, 3).unlink()
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "1 missing", f"{NAMES[3]}; --allow-missing goes on without")
    code, printed = run(raw, tmp_path / "store", "--allow-missing")
    assert code == 0 and Store(tmp_path / "store").card["missing"] == [NAMES[3]]
    (raw / "data.csv").unlink()
    shutil.rmtree(raw / "mediapipe")
    code, printed = run(raw, tmp_path / "again")
    assert code == 1 and line_with(printed, "data.csv", "this file is missing")
    assert line_with(printed, "mediapipe/", "no file with a name like recording_02052023_120247.npy")
    code, printed = run(tmp_path / "absent", tmp_path / "again")
    assert code == 1 and "no such file or folder" in printed


def test_as_a_command(raw: Path, tmp_path: Path, line_with: LineWith) -> None:
    npy(raw, 0).write_bytes(b"")
    script = ROOT / "datasets" / "squat_technique" / "prepare.py"
    command = [sys.executable, str(script), str(raw), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert line_with(result.stdout, npy(raw, 0).name, "damaged")


def test_the_card_speaks_of_the_release(recipe: ModuleType) -> None:
    card = recipe.load_card(recipe.CARD)
    assert card["labels"]["technique"]["classes"] == [name.replace(" ", "_") for name in CLASSES]
    assert {"licence", "source", "citation", "traps"} <= set(card)
    days = [day for side in card["protocols"]["by_date"].values() for day in side]
    assert sorted(days) == sorted(f"{day[4:]}-{day[2:4]}-{day[:2]}" for day in DAYS)


# The real files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(raw_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if not (raw_root / ARCHIVE).is_file():
        pytest.skip(f"{ARCHIVE} is not in {raw_root}")
    path = tmp_path_factory.mktemp("real") / "squat_technique"
    script = ROOT / "datasets" / "squat_technique" / "prepare.py"
    subprocess.run([sys.executable, str(script), str(raw_root / ARCHIVE), str(path)], check=True, capture_output=True)
    yield Store(path)


def test_the_real_files(real: Store, recipe: ModuleType) -> None:
    assert validate(real.path) == [] and len(real) == 1321 and len(real.card["left_out"]) == 13
    card = recipe.load_card(recipe.CARD)
    assert real.card["source_checksum"] == card["source_checksum"] and real.card["source_files"] == 1335
    arrays = real.arrays("pose")
    assert (int(arrays.length.min()), int(arrays.length.max())) == (30, 271)
    assert arrays.observed is not None and int((~arrays.observed).sum()) == 595
    assert float(arrays.values.abs().max()) < 600, "of values up to 669,343"
    split = named_protocol(real.card, "by_date").split(real.index)
    assert (len(split.train), len(split.val), len(split.test)) == (720, 258, 343)
    for side in (split.train, split.val, split.test):
        assert np.bincount(real.codes("technique").numpy()[side]).min() >= 25, "every class on every side"
    batch = next(iter(MotionDataModule(real, "by_date").train_dataloader()))
    assert batch["pose"].x.shape[2:] == (19, 3)


def test_the_real_joints_are_where_their_names_say(real: Store) -> None:
    """y points down, z away from the camera, which people face; their left is at the right of the picture."""
    skeleton, arrays = real.skeleton("pose"), real.arrays("pose")
    assert arrays.observed is not None
    x = np.where(arrays.observed.numpy()[..., None], arrays.values.view(-1, 19, 3).numpy(), np.nan)
    at = {name: np.nanmedian(x[:, joint], axis=0) for joint, name in enumerate(skeleton.joints)}
    below = ["nose", "shoulder", "hip", "knee", "ankle", "heel"]
    for side in ("left", "right"):
        heights = [at[name if name == "nose" else f"{side}_{name}"][1] for name in below]
        assert heights == sorted(heights)
        assert at[f"{side}_foot_index"][2] < at[f"{side}_heel"][2] - 10, "toes point to the camera"
        assert at["nose"][2] < at[f"{side}_shoulder"][2] - 5
    for left, right in skeleton.mirror_pairs:
        assert at[skeleton.joints[left]][0] > at[skeleton.joints[right]][0] + 2
    for child, parent in skeleton.bones:
        name = skeleton.joints[child]
        if name.endswith(("knee", "ankle", "hip")):
            length = np.linalg.norm(x[:, child] - x[:, parent], axis=-1)
            begins = zip(arrays.start.tolist(), arrays.length.tolist(), strict=True)
            spread = [
                np.nanpercentile(length[s : s + n], (25, 75)) / np.nanmedian(length[s : s + n]) for s, n in begins
            ]
            assert np.median(np.diff(spread, axis=1)) < 0.15, name


def test_the_real_archive_is_padded_at_the_end(raw_root: Path, recipe: ModuleType) -> None:
    if not (raw_root / ARCHIVE).is_file():
        pytest.skip(f"{ARCHIVE} is not in {raw_root}")
    with tarfile.open(raw_root / ARCHIVE) as archive:
        seen = 0
        for member in archive:
            if member.name.endswith(".npy"):
                file = archive.extractfile(member)
                assert file is not None
                data = file.read()
                values = np.load(io.BytesIO(data), allow_pickle=False)
                assert (values[299] == -1).all() and not (values[3] == -1).any()
                assert 30 <= len(recipe.read_points(data)) <= 271
                seen += 1
            if seen == 20:
                break
