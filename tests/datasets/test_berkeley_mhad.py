from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphnets.data import MotionDataModule, Store, StoreWriter, validate
from graphnets.data.bvh import read_bvh
from graphnets.data.files import combined_sha256, sha256
from graphnets.skeleton import Skeleton

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
START = 1_290_000_000.25  # Unix seconds at which the motion capture begins
RATE, FRAMES = 480, 1441  # three seconds
TREE = """HIERARCHY
ROOT Hips
{{
	OFFSET {offset} 0 0
	CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
	JOINT LeftArm
	{{
		OFFSET 20 40 0
		CHANNELS 3 Zrotation Yrotation Xrotation
		End Site
		{{
			OFFSET 50 0 0
		}}
	}}
	JOINT RightArm
	{{
		OFFSET -20 40 0
		CHANNELS 3 Zrotation Yrotation Xrotation
		End Site
		{{
			OFFSET -50 0 0
		}}
	}}
}}
MOTION
Frames: {frames}
Frame Time: 0.00208333
"""


def motion(subject: int, action: int) -> np.ndarray:
    """Channels ``[FRAMES, 12]``: somebody walks on at constant speed, 1 m/s or so, and turns the left arm slowly."""
    t = np.arange(FRAMES) / RATE
    channels = np.zeros((FRAMES, 12))
    channels[:, :3] = np.stack([100 * t + subject, np.full(FRAMES, 90 + action), -10 * t], -1)
    channels[:, 6] = 30 * t
    return channels


def acceleration(sensor: int, t: np.ndarray) -> np.ndarray:
    """What a sensor shows at Unix seconds: straight lines, which interpolation gives back."""
    return np.stack([sensor + 0.5 * (t - START), np.full(len(t), -sensor), 2 * (t - START)], -1)


def stamps(sensor: int) -> np.ndarray:
    """About 30 Hz, irregular; each sensor starts at another time, the last 0.25 s after the motion capture."""
    rng = np.random.default_rng(sensor)
    t = START - 1.0 + 0.25 * (sensor - 1) + np.arange(150) / 29.7
    return t + rng.uniform(-0.004, 0.004, len(t))


def write_samples(path: Path, sensor: int, t: np.ndarray) -> None:
    rows = np.column_stack([acceleration(sensor, t), t])
    path.write_text("".join(f"{x:.6f} {y:.6f} {z:.6f} {at:.6f}\n" for x, y, z, at in rows))


def write_clip(root: Path, subject: int, action: int, repetition: int, optical: bool = True) -> None:
    name = f"s{subject:02}_a{action:02}_r{repetition:02}"
    rows = "\n".join(" ".join(f"{v:.6f}" for v in row) for row in motion(subject, action))
    head = TREE.format(frames=FRAMES, offset=subject)
    (root / f"Mocap/SkeletalData/skl_{name}.bvh").write_text(head + rows + "\n")
    if optical:
        markers = "1.0 2.0 0 " * 43
        lines = (f"{markers}{k} {START + k / RATE:.6f}\n" for k in range(FRAMES))
        (root / f"Mocap/OpticalData/moc_{name}.txt").write_text("".join(lines))
    for sensor in range(1, 7):
        write_samples(root / f"Accelerometer/Shimmer{sensor:02}/acc_h{sensor:02}_{name}.txt", sensor, stamps(sensor))


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The recipe for a release of one action with one repetition, and one more recording that is missing."""
    module = load_recipe("berkeley_mhad")
    clips = {module.Clip(subject, 2, 1) for subject in range(1, 13)}
    monkeypatch.setattr(module, "EVERY_CLIP", clips | {module.Clip(4, 8, 5)})
    return module


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files, for reading only."""
    root = tmp_path_factory.mktemp("mhad") / "raw"
    for folder in ("Mocap/SkeletalData", "Mocap/OpticalData", *(f"Accelerometer/Shimmer{k:02}" for k in range(1, 7))):
        (root / folder).mkdir(parents=True)
    for subject in range(1, 13):
        write_clip(root, subject, 2, 1, optical=subject != 12)
    (root / "Mocap/SkeletalData/skl_s01_t01.bvh").write_text("a T-pose")
    (root / "Mocap/OpticalData/moc_s01_a02_r01.c3d").write_bytes(b"C3D")
    (root / "Mocap/SkeletalData/._skl_s01_a02_r01.bvh").write_bytes(b"what macOS leaves in archives")
    return root


@pytest.fixture
def raw(made: Path, tmp_path: Path) -> Path:
    """Raw files that a test may spoil: links, which writing replaces (see :func:`spoil`)."""
    for path in made.rglob("*"):
        target = tmp_path / "raw" / path.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            os.link(path, target)
    return tmp_path / "raw"


def spoil(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def test_a_store_from_raw_files(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert (
        len(store) == 12
        and store.ids[0] == "s01_a02_r01"
        and set(store.index["subject"]) == set(map(str, range(1, 13)))
    )
    assert store.skeleton("imu") == Skeleton.load("mhad_imu6")
    assert store.skeleton("pose").joints == ("Hips", "LeftArm", "LeftArm_end", "RightArm", "RightArm_end")
    assert store.skeleton("pose").mirror_pairs == ((1, 3), (2, 4))
    for row in range(11):
        sequence = store[row]
        assert store.labels["action"][int(sequence.action)] == "jumping_jacks"
        assert store.index["repetition"][row] == "1" and store.index["aligned"][row] == "yes"
        assert sequence["pose"].fps == sequence["imu"].fps == 30.0
        # The last sensor starts 0.25 s after the motion capture, which lasts 3 s: frames 8 to 90 of 0 to 90.
        assert len(sequence["pose"].x) == len(sequence["imu"].x) == 83
        t = START + np.arange(8, 91) / 30
        for k in range(6):
            np.testing.assert_allclose(sequence["imu"].x[:, k], acceleration(k + 1, t), atol=2e-4)
        assert bool(sequence["imu"].mask.all())
        x = sequence["pose"].x.numpy()
        hips = np.stack([(t - START) + (row + 1) / 100, np.full(83, 0.92), -0.1 * (t - START)], -1)
        np.testing.assert_allclose(x[:, 0], hips, atol=1e-5)
        expected = read_bvh(raw / f"Mocap/SkeletalData/skl_{store.ids[row]}.bvh").positions()[8 * 16 :: 16] / 100
        np.testing.assert_allclose(x, expected, atol=1e-4)
    assert "12 sequences" in printed and store.checksum in printed
    assert line_with(printed, "1 recordings lack optical file or skeleton", "s12_a02_r01")


def test_without_optical_file_both_are_whole(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    last = store[11]
    assert store.index["aligned"][11] == "no" and len(last["pose"].x) == 91
    t0, t1 = stamps(6)[0], stamps(1)[-1]
    t = t0 + np.arange(len(last["imu"].x)) / 30
    assert t[-1] <= t1 + 1e-3 and t1 - t[-1] < 1 / 30 + 1e-3
    np.testing.assert_allclose(last["imu"].x[:, 3], acceleration(4, t), atol=2e-4)


def test_the_same_twice_and_what_it_was_made_from(raw: Path, tmp_path: Path, run: Run) -> None:
    _, printed = run(raw, tmp_path / "one")
    run(raw, tmp_path / "two")
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    assert one.checksum == two.checksum
    used = [p for p in raw.rglob("*_a02_*") if p.suffix in (".bvh", ".txt") and p.name[0] != "."]
    files = {str(p.relative_to(raw)): sha256(p) for p in used}
    assert one.card["source_files"] == len(files) == 12 * 8 - 1
    assert one.card["source_checksum"] == combined_sha256(files) and one.card["source_checksum"] in printed
    assert one.card["missing"] == ["s04_a08_r05"]


def test_the_protocols(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    data = MotionDataModule(Store(tmp_path / "store"), "cross_subject_val")
    assert set(next(iter(data.train_dataloader())).subject) == {"1", "2", "3", "4", "5"}
    assert set(next(iter(data.val_dataloader())).subject) == {"6", "7"}
    assert set(next(iter(data.test_dataloader())).subject) == {"8", "9", "10", "11", "12"}


@pytest.mark.parametrize(("wanted", "rate", "frames"), [(60, 60, 181), (100, 96, 289), (1000, 480, 1441)])
def test_other_rates(recipe: ModuleType, raw: Path, wanted: float, rate: float, frames: int) -> None:
    bvh = read_bvh(raw / "Mocap/SkeletalData/skl_s01_a02_r01.bvh")
    sensors = [(t, acceleration(k, t)) for k, t in ((k, stamps(k)) for k in range(1, 7))]
    whole = recipe.on_one_clock(bvh, None, sensors, wanted)
    assert whole["pose"][2] == whole["imu"][2] == rate and len(whole["pose"][0]) == frames
    cut = recipe.on_one_clock(bvh, START, sensors, wanted)
    assert len(cut["pose"][0]) == len(cut["imu"][0]) < frames


def test_a_gap_of_a_sensor_is_masked(raw: Path, tmp_path: Path, run: Run) -> None:
    t = stamps(2)
    path = raw / "Accelerometer/Shimmer02/acc_h02_s03_a02_r01.txt"
    path.unlink()
    write_samples(path, 2, t[(t < START + 1.0) | (t > START + 2.0)])
    assert run(raw, tmp_path / "store")[0] == 0
    mask = Store(tmp_path / "store")[2]["imu"].mask.numpy()
    seen = mask[:, 1]
    assert mask[:, [0, 2, 3, 4, 5]].all() and 15 <= (~seen).sum() <= 20
    middle = START + np.arange(8, 91)[~seen] / 30
    assert middle.min() > START + 1.1 and middle.max() < START + 1.9


def test_stamps_out_of_order_are_sorted(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "whole")
    path = raw / "Accelerometer/Shimmer05/acc_h05_s01_a02_r01.txt"
    rows = path.read_text().splitlines()
    rows[40], rows[41] = rows[41], rows[40]
    rows.insert(60, rows[60])
    spoil(path, "\n".join(rows))
    run(raw, tmp_path / "store")
    assert (tmp_path / "store/imu.npy").read_bytes() == (tmp_path / "whole/imu.npy").read_bytes()


def test_a_complete_store_is_left_alone(raw: Path, tmp_path: Path, run: Run, store_path: Path) -> None:
    run(raw, tmp_path / "store")
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and "is complete already: 12 sequences" in printed
    code, printed = run(raw, store_path)
    assert code == 1 and "holds the data set 'small'; choose another folder" in printed


def test_an_interrupted_run_goes_on(raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(raw, tmp_path / "whole")
    original, added = StoreWriter.add, iter(range(100))

    def interrupted(self: StoreWriter, *arguments: Any) -> None:
        if next(added) == 5:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(StoreWriter, "add", interrupted)
    code, printed = run(raw, tmp_path / "store")
    assert code == 130 and "run the same command again" in printed and not (tmp_path / "store").exists()
    assert run(raw, tmp_path / "store")[0] == 0 and next(added) == 6 + 7
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "store" / file.name).read_bytes()


def lines(change: Callable[[list[str]], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        rows = path.read_text().splitlines()
        change(rows)
        spoil(path, "\n".join(rows) + "\n")

    return edit


def put(row: int, text: str) -> Callable[[Path], None]:
    return lines(lambda rows: rows.__setitem__(row - 1, text))


def back(rows: list[str]) -> None:
    """A clock that is set back by 1.2 s in row 90."""
    for k in range(89, len(rows)):
        *values, at = rows[k].split()
        rows[k] = " ".join([*values, f"{float(at) - 1.2:.6f}"])


SKL, MOC, ACC = "Mocap/SkeletalData/skl_", "Mocap/OpticalData/moc_", "Accelerometer/Shimmer0{0}/acc_h0{0}_"
# File, what is done to it, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[str, Callable[[Path], Any], tuple[str, ...]]] = {
    "bvh cut": (SKL + "s01_a02_r01.bvh", lines(lambda r: r.__delitem__(slice(100, None))), ("73 rows", "announces 1441")),
    "bvh columns": (SKL + "s02_a02_r01.bvh", put(30, "1 2 3"), ("30", "3 columns", "must have 12")),
    "bvh text": (SKL + "s03_a02_r01.bvh", put(30, "1 " * 11 + "x"), ("30", "x", "RightArm Xrotation is no finite number")),
    "bvh channels": (
        SKL + "s04_a02_r01.bvh",
        lambda p: spoil(p, p.read_text().replace("CHANNELS 3 Z", "CHANNELS 4 Z", 1)),
        ("10", "End", "LeftArm must have 4 different channels"),
    ),
    "bvh names": (
        SKL + "s05_a02_r01.bvh",
        lambda p: spoil(p, p.read_text().replace("RightArm", "RightLeg")),
        ("5 joints", "joint 4 of the hierarchy is RightLeg below Hips, not RightArm below Hips"),
    ),
    "bvh empty": (SKL + "s06_a02_r01.bvh", lambda p: spoil(p, ""), ("no line MOTION",)),
    "bvh gone": (SKL + "s07_a02_r01.bvh", Path.unlink, ("missing, though 7 other file(s) of s07_a02_r01 are there",)),
    "optical columns": (MOC + "s01_a02_r01.txt", put(7, "1 2 3"), ("7", "3 columns", "must have 131: 43 markers x 3")),
    "optical stamp": (MOC + "s02_a02_r01.txt", put(7, "0 " * 130 + "noon"), ("7", "noon", "time is no finite number")),
    "optical back": (MOC + "s03_a02_r01.txt", put(7, "0 " * 130 + "99.5"), ("7", "99.5", "time goes back")),
    "optical empty": (MOC + "s04_a02_r01.txt", lambda p: spoil(p, "\n"), ("0 rows", "at least 2")),
    "another day": (
        MOC + "s08_a02_r01.txt",
        lambda p: spoil(p, p.read_text().replace(" 12900", " 12910")),
        ("s08_a02_r01", "0", "frames of the pose lie in the time that all accelerometers cover"),
    ),
    "nan": (ACC.format(1) + "s01_a02_r01.txt", put(5, "0 nan 0 1290000001.0"), ("5", "nan", "y is no finite number")),
    "header": (ACC.format(2) + "s01_a02_r01.txt", put(1, "x y z t"), ("1", "x is no finite number, and 3 more")),
    "five": (ACC.format(3) + "s01_a02_r01.txt", put(9, "1 2 3 4 5"), ("9", "5 columns", "must have 4: x, y, z, time")),
    "in a row": (ACC.format(4) + "s01_a02_r01.txt", lambda p: spoil(p, p.read_text()[:-20]), ("150", "must have 4")),
    "set back": (ACC.format(5) + "s01_a02_r01.txt", lines(back), ("90", "time goes back by 1.1", "was set back")),
    "far away": (
        ACC.format(6) + "s01_a02_r01.txt",
        lines(lambda r: r.__setitem__(-1, "0 0 0 1390000000.0")),
        ("150", "a clip has at most 600 s"),
    ),
    "one sample": (ACC.format(1) + "s09_a02_r01.txt", lambda p: spoil(p, "1 2 3 4\n"), ("1 rows", "at least 2")),
    "no sample": (ACC.format(2) + "s09_a02_r01.txt", lambda p: spoil(p, ""), ("0 rows", "at least 2")),
    "gone": (ACC.format(3) + "s09_a02_r01.txt", Path.unlink, ("missing, though 5 other file(s)", "allow-missing goes on")),
    "subject": (
        ACC.format(4) + "s09_a02_r01.txt",
        lambda p: p.rename(p.with_name("acc_h04_s13_a12_r00.txt")),
        ("acc_h04_s13_a12_r00.txt", "subject 13 is not one of 1 to 12; action 12 is not one of 1 to 11; repetition 0"),
    ),
    "other sensor": (
        ACC.format(5) + "s09_a02_r01.txt",
        lambda p: p.rename(p.with_name("acc_h04_s09_a02_r01.txt")),
        ("Shimmer05/acc_h04_s09_a02_r01.txt", "not a name like acc_h05_s01_a01_r01.txt"),
    ),
}  # fmt: skip


def test_everything_that_is_wrong_is_listed_at_once(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    for name, change, _ in FAULTS.values():
        change(raw / name)
    for path in raw.rglob("*s11_a02_r01*"):
        path.unlink()
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "nothing was written" in " ".join(printed.split())
    for fault, (name, _, parts) in FAULTS.items():
        place = () if fault in ("subject", "other sensor", "another day") else (name,)
        assert line_with(printed, *place, *parts), f"{fault}: {printed}"
    assert line_with(printed, "1 missing", "s11_a02_r01; --allow-missing goes on without")
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_missing_files_need_a_word(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    for path in raw.rglob("*s02_a02_r01*"):
        path.unlink()
    (raw / SKL).with_name("skl_s03_a02_r01.bvh").unlink()
    (raw / "Accelerometer/Shimmer04/acc_h04_s05_a02_r01.txt").unlink()
    assert run(raw, tmp_path / "store")[0] == 1
    code, printed = run(raw, tmp_path / "store", "--allow-missing")
    assert code == 0 and line_with(printed, "1 recordings are missing: s02_a02_r01")
    assert line_with(printed, "2 files are missing", "skl_s03_a02_r01.bvh", "acc_h04_s05_a02_r01.txt")
    store = Store(tmp_path / "store")
    assert len(store) == 11 and store.card["missing"] == ["s02_a02_r01", "s04_a08_r05"]
    rows = {id: row for row, id in enumerate(store.ids)}
    assert store.arrays("pose").length[rows["s03_a02_r01"]] == 0 and store.index["aligned"][rows["s03_a02_r01"]] == "no"
    mask = store[rows["s05_a02_r01"]]["imu"].mask
    assert not mask[:, 3].any() and bool(mask[:, [0, 1, 2, 4, 5]].all())


def test_one_half_alone(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    (raw / "Mocap").rename(tmp_path / "Mocap")
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "Mocap/SkeletalData/", "no file with a name like skl_s01_a01_r01.bvh")
    assert run(raw, tmp_path / "imu", "--allow-missing")[0] == 0
    assert Store(tmp_path / "imu").modalities == ["imu"]
    (raw / "Accelerometer").rename(tmp_path / "Accelerometer")
    (tmp_path / "Mocap").rename(raw / "Mocap")
    assert run(raw, tmp_path / "pose", "--allow-missing")[0] == 0
    lengths = Store(tmp_path / "pose").arrays("pose").length
    assert lengths.tolist() == [91] * 12
    code, printed = run(tmp_path / "absent", tmp_path / "again")
    assert code == 1 and "absent: no such folder" in printed
    code, printed = run(tmp_path / "Accelerometer", tmp_path / "again")
    assert code == 1 and "must hold the folders Mocap and Accelerometer" in printed
    code, printed = run(raw, tmp_path / "again", "--fps", "0")
    assert code == 1 and "--fps is 0; it must be above 0" in printed


def test_stamps_that_do_not_fit_the_skeleton_are_told(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    lines(lambda rows: rows.__delitem__(slice(1200, None)))(raw / (MOC + "s06_a02_r01.txt"))
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and line_with(printed, "1 recordings are aligned at the start alone", "s06_a02_r01")


def test_as_a_command(raw: Path, tmp_path: Path, line_with: LineWith) -> None:
    recipe = ROOT / "datasets" / "berkeley_mhad" / "prepare.py"
    command = [sys.executable, str(recipe), str(raw), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert line_with(result.stdout, "647 missing", "s01_a01_r01")


def test_the_card_speaks_of_the_release(load_recipe: Callable[[str], ModuleType]) -> None:
    module = load_recipe("berkeley_mhad")
    card = module.load_card(module.CARD)
    assert len(card["labels"]["action"]["classes"]) == 11 and len(module.EVERY_CLIP) == 660
    assert {clip.id for clip in module.MISSING_IN_RELEASE} == {"s04_a08_r05"}
    assert {"licence", "source", "citation", "traps"} <= set(card)


# The real files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(raw_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = raw_root / "berkeley_mhad"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    yield folder


def test_the_real_release(real: Path, load_recipe: Callable[[str], ModuleType], tmp_path: Path) -> None:
    assert load_recipe("berkeley_mhad").main([str(real), str(tmp_path / "store")]) == 0
    store = Store(tmp_path / "store")
    assert len(store) == 659 and validate(store.path) == [] and store.card["missing"] == ["s04_a08_r05"]
    x = store.arrays("pose").values.view(-1, store.skeleton("pose").num_joints, 3)
    height = x[..., 1].amax(1) - x[..., 1].amin(1)
    assert 1.2 < float(height.median()) < 2.2, "people are that tall, in metres, and y points up"
