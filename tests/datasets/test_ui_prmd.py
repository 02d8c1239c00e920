from __future__ import annotations

import gzip
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
from scipy.spatial.transform import Rotation

from graphnets.data import MotionDataModule, Store, StoreWriter, validate
from graphnets.data.files import combined_sha256, sha256
from graphnets.data.protocols import named_protocol
from graphnets.skeleton import Skeleton

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
ARCHIVE = "ui_prmd_vicon_m01-m06.tar.xz"
KINECT = Skeleton.load("kinect22")
CORRECT, INCORRECT = "Segmented Movements", "Incorrect Segmented Movements"


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The recipe for a release of two exercises with one repetition each; of one there is no Vicon."""
    module = load_recipe("ui_prmd")
    every = {clip for clip in module.EVERY_CLIP if clip.exercise in (1, 3) and clip.repetition == 1}
    monkeypatch.setattr(module, "EVERY_CLIP", every)
    return module


def vicon(subject: int) -> np.ndarray:
    """Millimetres ``[T, 117]``: 39 markers over each other, 1.52 m in all, swaying."""
    rng = np.random.default_rng(subject)
    points = np.zeros((5 + subject, 39, 3))
    points[..., 2] = 100 + 40 * np.arange(39)
    return (points + rng.normal(0, 5, points.shape)).reshape(-1, 117)


def kinect_offsets(frames: int) -> np.ndarray:
    """Centimetres ``[T, 22, 3]`` of somebody who stands with the arms to the sides."""
    offsets = np.zeros((22, 3))
    lengths = {"spine": 25, "chest": 20, "neck": 6, "head": 8, "head_top": 14, "collar": 3, "shoulder": 15, "elbow": 27,
               "wrist": 25, "hip": 8, "knee": -40, "ankle": -40}  # fmt: skip
    for joint, name in enumerate(KINECT.joints):
        side, _, part = name.partition("_")
        out = {"left": 1, "right": -1}.get(side, 0)
        part = part if out else name
        if part in ("collar", "shoulder", "elbow", "wrist", "hip"):
            offsets[joint, 0] = out * lengths[part]
        elif part == "foot":
            offsets[joint, 2] = 15
        elif part != "pelvis":
            offsets[joint, 1] = lengths[part]
    offsets[0] = (1.0, 90.0, -240.0)
    return np.repeat(offsets[None], frames, 0)


def put(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(f"{value:.6f}" for value in row) + "\n" for row in rows.reshape(len(rows), -1)))


def file(root: Path, subject: int, exercise: int = 1, kind: str = "Vicon/Positions", wrong: bool = False) -> Path:
    name = f"m{exercise:02}_s{subject:02}_e01_{kind.rpartition('/')[2].lower()}{'_inc' * wrong}.txt"
    return root / (INCORRECT if wrong else CORRECT) / kind / name


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for wrong in (False, True):
        for exercise in (1, 3):
            for subject in range(1, 11):
                if (exercise, subject) != (3, 3):
                    put(file(root, subject, exercise, wrong=wrong), vicon(subject))
    put(file(root, 1, kind="Vicon/Angles"), np.zeros((2, 117)))  # none of ours
    put(root / "Movements" / "Vicon" / "Positions" / "m01_s01_positions.txt", np.zeros((2, 117)))
    (file(root, 1).parent / "._m01_s01_e01_positions.txt").write_bytes(b"what macOS leaves")
    (file(root, 1).parent / "notes.docx").write_bytes(b"")
    return root


def add_kinect(root: Path, exercise: int = 1, subjects: range = range(1, 11)) -> None:
    rng = np.random.default_rng(0)
    for wrong in (False, True):
        for subject in subjects:
            put(file(root, subject, exercise, "Kinect/Positions", wrong), kinect_offsets(4))
            put(file(root, subject, exercise, "Kinect/Angles", wrong), rng.uniform(-20, 20, (4, 66)))


def test_a_store_from_raw_files(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert store.modalities == ["pose"] and len(store) == 38
    assert store.ids[:3].tolist() == ["m01_s01_e01_correct", "m01_s01_e01_incorrect", "m01_s02_e01_correct"]
    for row, id in enumerate(store.ids):
        exercise, subject, _, correctness = id.split("_")
        sequence = store[row]
        number = int(subject[1:])
        assert sequence.subject == str(number) and sequence["pose"].fps == 100.0
        assert np.allclose(sequence["pose"].x.numpy(), vicon(number).reshape(-1, 39, 3) / 1000, atol=1e-6)
        name = {"m01": "deep_squat", "m03": "inline_lunge"}[exercise]
        labels = {label: store.labels[label][int(sequence[label])] for label in store.labels}
        assert labels == {"exercise": name, "correctness": correctness, "mistake": f"{name}_{correctness}"}
    assert store.index["repetition"].unique().tolist() == ["1"]
    assert store.card["exercises_present"] == ["deep_squat", "inline_lunge"]
    assert store.card["missing"] == ["m03_s03_e01_correct", "m03_s03_e01_incorrect"]
    assert "38 sequences" in printed and store.checksum in printed


def test_classes_keep_their_numbers(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert len(store.labels["exercise"]) == 10 and len(store.labels["mistake"]) == 20
    assert sorted(set(store.codes("exercise").tolist())) == [0, 2]
    for row in range(len(store)):
        sequence = store[row]
        assert int(sequence.mistake) == 2 * int(sequence.exercise) + int(sequence.correctness)


def test_the_store_says_what_it_was_made_from(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    _, printed = run(raw, tmp_path / "store")
    card = Store(tmp_path / "store").card
    files = {p.relative_to(raw).as_posix(): sha256(p) for p in raw.glob("*egmented */Vicon/Positions/m*.txt")}
    files |= {p.relative_to(raw).as_posix(): sha256(p) for p in raw.glob(f"{INCORRECT}/Vicon/Positions/m*.txt")}
    assert card["source_files"] == 38 == len(files) and card["source_checksum"] == combined_sha256(files)
    assert "not the raw files that this recipe was checked with" in printed


def packed_by_gzip(raw: Path) -> Path:
    for path in raw.rglob("*.txt"):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return raw


def packed_by_tar(raw: Path) -> Path:
    path = raw.with_suffix(".tar.xz")
    with tarfile.open(path, "w:xz") as archive:
        archive.add(raw, "UI-PRMD/data")
    return path


def packed_by_zip(raw: Path) -> Path:
    return Path(shutil.make_archive(str(raw), "zip", raw))


def two_zips(raw: Path) -> Path:
    for name in (CORRECT, INCORRECT):
        shutil.make_archive(str(raw / name), "zip", raw, name)
        if name == CORRECT:  # the other stays beside its archive
            shutil.rmtree(raw / name)
    return raw


@pytest.mark.parametrize("pack", [packed_by_gzip, packed_by_tar, packed_by_zip, two_zips])
def test_the_same_store_from_an_archive(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, pack: Callable[[Path], Path]
) -> None:
    run(raw, tmp_path / "whole")
    code, printed = run(pack(raw), tmp_path / "store")
    assert code == 0, printed
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "store" / path.name).read_bytes()


def test_lost_markers_are_masked(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    rows = vicon(1)
    rows[2, 3:6] = 0
    rows[:, 114:] = 0
    rows[1] = 0
    rows[0, 0] = 0  # a marker may cross an axis
    put(file(raw, 1), rows)
    assert run(raw, tmp_path / "store")[0] == 0
    pose = Store(tmp_path / "store")[0]["pose"]
    expected = np.ones((6, 39), dtype=bool)
    expected[2, 1] = expected[:, 38] = expected[1] = False
    assert np.array_equal(pose.mask.numpy(), expected) and not pose.x[~pose.mask].any()


def test_the_kinect_beside_vicon(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    add_kinect(raw)
    add_kinect(raw, 3)
    assert run(raw, tmp_path / "store")[0] == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert store.modalities == ["pose", "kinect"] and len(store) == 40 and store.card["missing"] == []
    assert store.skeleton("kinect") == KINECT and store[0]["kinect"].fps == 30.0
    row = store.ids.tolist().index("m03_s03_e01_correct")
    assert int(store.arrays("pose").length[row]) == 0 and int(store.arrays("kinect").length[row]) == 4


def test_the_kinect_alone(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    for folder in (CORRECT, INCORRECT):
        shutil.rmtree(raw / folder)
    add_kinect(raw)
    add_kinect(raw, 3)
    assert run(raw, tmp_path / "store")[0] == 0
    assert Store(tmp_path / "store").modalities == ["kinect"]


def angles_of(**degrees: tuple[float, float, float]) -> np.ndarray:
    out = np.zeros((1, 22, 3))
    for joint, xyz in degrees.items():
        out[0, KINECT.index(joint)] = xyz
    return out


def kinect(recipe: ModuleType, **degrees: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """Joints by name, in centimetres from the pelvis."""
    metres = recipe.absolute(kinect_offsets(1), angles_of(**degrees), KINECT)[0]
    return {name: 100 * (point - metres[0]) for name, point in zip(KINECT.joints, metres, strict=True)}


def test_kinect_joints_without_any_angle(recipe: ModuleType) -> None:
    joints = kinect(recipe)
    assert np.allclose(joints["left_wrist"], (70, 45, 0), atol=1e-4)
    assert np.allclose(joints["head_top"], (0, 73, 0), atol=1e-4)
    assert np.allclose(joints["right_foot"], (-8, -80, 15), atol=1e-4)
    metres = recipe.absolute(kinect_offsets(1), angles_of(), KINECT)
    assert np.allclose(metres[0, 0], (0.01, 0.9, -2.4)) and metres.dtype == np.float32


def test_a_joint_turns_what_hangs_on_it(recipe: ModuleType) -> None:
    bent = kinect(recipe, left_elbow=(0, 0, 90))  # z: from the left upwards
    assert np.allclose(bent["left_elbow"], (45, 45, 0), atol=1e-4)
    assert np.allclose(bent["left_wrist"], (45, 70, 0), atol=1e-4)
    assert np.allclose(bent["right_wrist"], (-70, 45, 0), atol=1e-4)
    kicking = kinect(recipe, right_hip=(-90, 0, 0))  # x: a leg forwards
    assert np.allclose(kicking["right_foot"], (-8, 15, 80), atol=1e-4)
    turned = kinect(recipe, pelvis=(0, 90, 0))  # y: from the front to the left
    assert np.allclose(turned["left_foot"], (15, -80, -8), atol=1e-4)
    leaning = kinect(recipe, spine=(0, 0, -90))  # the arms go with the trunk
    assert np.allclose(leaning["left_wrist"], (20, 25 - 70, 0), atol=1e-4)


def test_the_angles_turn_by_y_then_x_then_z(recipe: ModuleType) -> None:
    rng = np.random.default_rng(0)
    offsets, angles = kinect_offsets(6), rng.uniform(-60, 60, (6, 22, 3))
    joints = 100 * recipe.absolute(offsets, angles, KINECT).astype(np.float64)
    for t in range(6):
        frames: list[Rotation] = []
        for joint, parent in enumerate(KINECT.parents):
            x, y, z = (Rotation.from_euler(axis, angles[t, joint, i], degrees=True) for i, axis in enumerate("xyz"))
            frames.append((frames[parent] if parent >= 0 else Rotation.identity()) * z * x * y)
            if parent >= 0:
                expected = joints[t, parent] + frames[parent].apply(offsets[t, joint])
                assert np.allclose(joints[t, joint], expected, atol=1e-3)


def test_a_complete_store_is_left_alone(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "store").iterdir()}
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and "is complete already: 38 sequences" in printed
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
    assert next(added) == 11 + 28, "recordings that were there were written again"
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "store" / path.name).read_bytes()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edit(path: Path, row: int, change: Callable[[list[str]], list[str]]) -> None:
    """Change the words of a row, counted from 1."""
    lines = path.read_text().splitlines()
    lines[row - 1] = ",".join(change(lines[row - 1].split(",")))
    path.write_text("\n".join(lines) + "\n")


def frames(root: Path, subject: int) -> None:
    put(file(root, subject, kind="Kinect/Angles"), np.zeros((3, 66)))


# What is done to the raw folder, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no number": (
        lambda r: edit(file(r, 1), 3, lambda w: [*w[:5], "x", *w[6:]]),
        ("m01_s01_e01_positions.txt", "3", "x", "RFHD z is no finite number"),
    ),
    "nan": (
        lambda r: edit(file(r, 2), 2, lambda w: ["nan", *w[1:]]),
        ("m01_s02_e01_positions.txt", "2", "nan", "LFHD x is no finite number"),
    ),
    "a column less": (
        lambda r: edit(file(r, 3), 4, lambda w: w[:-1]),
        ("m01_s03_e01_positions.txt", "4", "116 columns", "must have 117: LFHD x, LFHD y, ..., right_foot z"),
    ),
    "cut off": (
        lambda r: write(file(r, 4), file(r, 4).read_text()[:1500]),
        ("m01_s04_e01_positions.txt", "2", "columns", "must have 117"),
    ),
    "empty": (lambda r: write(file(r, 5), ""), ("m01_s05_e01_positions.txt", "0 bytes", "no rows")),
    "metres": (
        lambda r: put(file(r, 6), vicon(6) / 1000),
        ("m01_s06_e01_positions.txt", "0.00152 m", "if the file is in mm; 0.8 to 3 m is allowed"),
    ),
    "nothing seen": (
        lambda r: put(file(r, 7), 0 * vicon(7)),
        ("m01_s07_e01_positions.txt", "0, 0, 0", "no marker was seen"),
    ),
    "strange name": (
        lambda r: file(r, 8).rename(file(r, 8).with_name("m1_s8_e1_positions.txt")),
        ("m1_s8_e1_positions.txt", "not a name like m01_s01_e01_positions.txt"),
    ),
    "in the wrong folder": (
        lambda r: file(r, 9, wrong=True).rename(file(r, 9).with_name("m01_s09_e01_positions_inc.txt")),
        (f"{CORRECT}/Vicon/Positions/m01_s09_e01_positions_inc.txt", "not a name like m01_s01_e01_positions.txt"),
    ),
    "out of range": (
        lambda r: file(r, 10).rename(file(r, 10).with_name("m11_s00_e12_positions.txt")),
        ("m11_s00_e12", "exercise 11 is not one of 1 to 10; subject 0 is not one of 1 to 10; repetition 12 is not"),
    ),
    "no angles": (
        lambda r: file(r, 1, kind="Kinect/Angles").unlink(),
        ("Kinect/Angles/m01_s01_e01_angles.txt", "missing, though its pair"),
    ),
    "other frames": (
        lambda r: frames(r, 2),
        ("Kinect/Positions/m01_s02_e01_positions.txt", "4 rows", "the file of its angles has 3"),
    ),
    "Kinect in metres": (
        lambda r: put(file(r, 4, kind="Kinect/Positions"), kinect_offsets(4) / 100),
        ("Kinect/Positions/m01_s04_e01_positions.txt", "is the size of the body if the file is in cm"),
    ),
    "Kinect columns": (
        lambda r: put(file(r, 5, kind="Kinect/Angles"), np.zeros((4, 75))),
        ("Kinect/Angles/m01_s05_e01_angles.txt", "75 columns", "must have 66: pelvis x, pelvis y, ..., right_foot z"),
    ),
}  # fmt: skip


def test_everything_that_is_wrong_is_listed_at_once(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith
) -> None:
    add_kinect(raw)
    add_kinect(raw, 3)
    for inject, _ in FAULTS.values():
        inject(raw)
    code, printed = run(raw, tmp_path / "store", "--allow-missing")
    assert code == 1 and "nothing was written" in " ".join(printed.split())
    for name, (_, parts) in FAULTS.items():
        assert line_with(printed, *parts), f"{name}: {printed}"
    assert f"{len(FAULTS)} problem(s)" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_missing_recordings_need_a_word(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith
) -> None:
    file(raw, 4).unlink()
    for path in raw.rglob("m03_*"):
        path.unlink()
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "2 missing", "m03 (Vicon), m01_s04_e01_correct (Vicon); --allow-missing")
    code, printed = run(raw, tmp_path / "store", "--allow-missing")
    assert code == 0 and "2 exercises or recordings are missing: m03 (Vicon), m01_s04" in printed
    assert Store(tmp_path / "store").card["exercises_present"] == ["deep_squat"]


def test_the_same_file_twice(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    two_zips(raw)
    put(file(raw, 1, wrong=True), vicon(2))
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(
        printed, "m01_s01_e01_positions_inc.txt", "two files of this name have different content"
    )


def test_nothing_to_read(recipe: ModuleType, tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    code, printed = run(tmp_path / "empty", tmp_path / "store")
    assert code == 1 and "holds no file like Segmented Movements/Vicon/Positions/m01_s01_e01_positions.txt" in printed
    code, printed = run(tmp_path / "absent", tmp_path / "store")
    assert code == 1 and "absent: no such file or folder" in printed


def test_as_a_command(raw: Path, tmp_path: Path, line_with: LineWith) -> None:
    write(file(raw, 5), "1,2\n")
    command = [sys.executable, str(ROOT / "datasets" / "ui_prmd" / "prepare.py"), str(raw), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert line_with(result.stdout, "m01_s05_e01_positions.txt", "1", "2 columns", "must have 117")


def test_the_card_speaks_of_the_release(load_recipe: Callable[[str], ModuleType]) -> None:
    module = load_recipe("ui_prmd")
    card = module.load_card(module.CARD)
    names = card["labels"]["exercise"]["classes"]
    assert card["labels"]["mistake"]["classes"] == [f"{n}_{c}" for n in names for c in ("correct", "incorrect")]
    assert len(module.EVERY_CLIP) == 2000 and len(module.MISSING_IN_RELEASE["pose"]) == 20
    assert {"licence", "source", "citation", "traps"} <= set(card)
    sides = [subject for side in card["protocols"]["cross_subject"].values() for subject in side]
    assert sorted(sides, key=int) == [str(n) for n in range(1, 11)]


# The real files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(raw_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Squat and lunge of all subjects, three repetitions each: all would take a minute."""
    if not (raw_root / ARCHIVE).is_file():
        pytest.skip(f"{ARCHIVE} is not in {raw_root}")
    folder = tmp_path_factory.mktemp("real")
    with tarfile.open(raw_root / ARCHIVE) as archive:
        wanted = ("m01_", "m03_")
        for member in archive:
            name = member.name.rpartition("/")[2]
            if name.startswith(wanted) and name[8:11] in ("e01", "e02", "e03"):
                archive.extract(member, folder / "raw", filter="data")
    path = folder / "ui_prmd"
    command = [sys.executable, str(ROOT / "datasets" / "ui_prmd" / "prepare.py"), str(folder / "raw"), str(path)]
    subprocess.run([*command, "--allow-missing"], check=True, capture_output=True)
    yield Store(path)


def test_the_real_files(real: Store) -> None:
    assert validate(real.path) == [] and len(real) == 2 * (10 + 9) * 3
    assert "m03_s03_e01_correct" in real.card["missing"]
    split = named_protocol(real.card, "cross_subject").split(real.index)
    assert (len(split.train), len(split.val), len(split.test)) == (66, 24, 24)
    batch = next(iter(MotionDataModule(real, "cross_subject").train_dataloader()))
    assert batch["pose"].x.shape[2:] == (39, 3)


def test_the_real_markers_are_where_their_names_say(real: Store) -> None:
    """z up, x where people face; bones keep their length; the feet are lowest."""
    skeleton, arrays = real.skeleton("pose"), real.arrays("pose")
    x = arrays.values.view(-1, 39, 3).numpy()
    assert arrays.observed is not None
    x = np.where(arrays.observed.numpy()[..., None], x, np.nan)
    starts = arrays.start.numpy()[real.codes("exercise").numpy() == 0]  # the squat begins upright

    def at(name: str) -> np.ndarray:
        return np.nanmean(x[starts, skeleton.index(name)], axis=0)

    lowest = sorted(skeleton.joints, key=lambda name: at(name)[2])[:6]
    assert set(lowest) == {f"{side}_{part}" for side in ("left", "right") for part in ("foot", "heel", "ankle")}
    for left, right in skeleton.mirror_pairs:
        one, other = (at(skeleton.joints[joint]) for joint in (left, right))
        assert one[1] > other[1] and abs(one[2] - other[2]) < 0.06, skeleton.joints[left]
    assert at("left_foot")[0] > at("left_heel")[0] + 0.1 and at("CLAV")[0] > at("C7")[0] + 0.05
    assert at("LFHD")[2] > at("C7")[2] > at("T10")[2] > at("LPSI")[2] > at("left_knee")[2]
    rigid = ["LFHD RFHD", "LPSI RPSI", "left_shoulder left_elbow", "right_elbow RWRA", "left_heel left_ankle"]
    for a, b in (pair.split() for pair in rigid):
        length = np.linalg.norm(x[:, skeleton.index(a)] - x[:, skeleton.index(b)], axis=-1)
        spread = [
            np.nanstd(length[s : s + n]) / np.nanmean(length[s : s + n])
            for s, n in zip(arrays.start.tolist(), arrays.length.tolist(), strict=True)
        ]
        assert np.nanmedian(spread) < 0.02, (a, b)


def test_the_real_left_leg_leads_for_three(real: Store) -> None:
    """In the lunge, the ankle that steps is the right one for subjects 2, 7 and 10."""
    skeleton = real.skeleton("pose")
    ankles = [skeleton.index(f"{side}_ankle") for side in ("left", "right")]
    lunges = np.flatnonzero(real.codes("exercise").numpy() == 2)
    for row in lunges:
        x = real[int(row)]["pose"].x[:, ankles]
        way = (x - x[0]).norm(dim=-1).amax(0)
        assert bool(way[1] > way[0]) == (real.subjects[row] in ("2", "7", "10")), real.ids[row]
