from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphnets.data import MotionDataModule, Store, StoreWriter, validate
from graphnets.data.files import combined_sha256, sha256

Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
FRAMES = 400
BEGIN = 100  # frame of the first pose
SETS = [(130, 219, 10, "squats"), (260, 379, 8, "bicep_curls")]
RATES = {"sw_l": 100.0, "sw_r": 100.0, "sp_r": 210.0, "eb_l": 90.0}
LEFT_PHONE = ("w03", "w06")


def pose(coordinates: int, joints: int, frames: np.ndarray) -> np.ndarray:
    """Coordinate c of joint j in frame f is 1000 c + 10 j + f."""
    c, f, j = np.ogrid[:coordinates, : len(frames), :joints]
    out = np.empty((coordinates, len(frames), joints + 1))
    out[..., 0], out[..., 1:] = frames[None], 1000 * c + 10 * j + frames[f] + 1
    return out


def sensor(rate: float, factor: float = 1.0, begin: float = 0.0, end: float = FRAMES / 30) -> np.ndarray:
    """Straight lines in time: x = factor t, y = -t, z = 9.81; the clock of the device began long ago."""
    t = np.arange(begin, end, 1 / rate)
    return np.stack([np.floor(t * 30), 1.5e12 + np.round(1000 * t), factor * t, -t, np.full(len(t), 9.81)], 1)


def put_workout(root: Path, workout: str) -> None:
    folder = root / workout
    folder.mkdir(parents=True)
    kept = np.setdiff1d(np.arange(BEGIN, FRAMES), [140, 141])
    flat, solid = pose(2, 18, kept), pose(3, 17, kept)
    flat[:, 50, 5] = 0  # the left shoulder... the fifth key point was not found
    solid[:, :, 1] = 0  # the hip is the origin
    solid[:, 51, 1:] = 0  # nobody was found
    np.save(folder / f"{workout}_pose_2d.npy", flat)
    np.save(folder / f"{workout}_pose_3d.npy", solid)
    rates = {**RATES, **({"sp_l": 210.0} if workout in LEFT_PHONE else {})}
    for device, rate in rates.items():
        for name, factor in (("acc", 1.0), ("gyr", 2.0)):
            np.save(folder / f"{workout}_{device}_{name}.npy", sensor(rate, factor))
    np.save(folder / f"{workout}_sw_l_hr.npy", np.zeros((4, 3)))
    rows = [",".join(map(str, row)) for row in reversed(SETS)]
    (folder / f"{workout}_labels.csv").write_text("\r\n".join(rows) + "\r\n")


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("mmfit")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "mm-fit"
    for k in range(21):
        put_workout(root, f"w{k:02}")
    return root


def test_sets_and_the_null_class(raw: Path, tmp_path: Path, run: Run) -> None:
    code, printed = run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert code == 0 and validate(store.path) == [] and store.modalities == ["pose2d", "pose", "imu"]
    assert store.ids[:5].tolist() == ["w00_null000000", "w00_set00_squats", "w00_null000220", "w00_set01_bicep_curls", "w01_null000000"]  # fmt: skip
    assert store.index["exercise"][:4].tolist() == ["non_activity", "squats", "non_activity", "bicep_curls"]
    assert store.index["repetitions"][1] == "10" and store.index["repetitions"].isna()[0]
    assert len(store.labels["exercise"]) == 11 and len(store) == 84 and "knows no checksum" in printed
    squats = store[1]
    flat, solid, imu = squats["pose2d"], squats["pose"], squats["imu"]
    assert flat.x.shape == (90, 18, 2) and solid.x.shape == (90, 17, 3) and (flat.fps, imu.fps) == (30, 50)
    frames = np.arange(130, 220)
    expected = np.ones((90, 18), dtype=bool)
    expected[[10, 11]] = False
    expected[np.flatnonzero(frames == 152), 4] = False
    assert np.array_equal(flat.mask, expected)
    j = np.arange(18)
    np.testing.assert_array_equal(flat.x[20, :, 1], 1000 + 10 * j + 150 + 1)
    expected = np.ones((90, 17), dtype=bool)
    expected[[10, 11, 23]] = False
    assert np.array_equal(solid.mask, expected), "the origin is a joint, a body of zeros is none"


def test_sensors_on_one_clock(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store", "--fps", "40")
    store = Store(tmp_path / "store")
    imu = store[1]["imu"]
    t = 130 / 30 + np.arange(len(imu.x)) / 40
    assert len(imu.x) == int(89 / 30 * 40) + 1
    assert imu.mask[:, [0, 1, 3, 4]].all() and not imu.mask[:, 2].any(), "the left phone was off"
    for node in (0, 1, 3, 4):
        np.testing.assert_allclose(imu.x[:, node, 0], t, atol=0.01)
        np.testing.assert_allclose(imu.x[:, node, 3], 2 * t, atol=0.02)
        np.testing.assert_allclose(imu.x[:, node, [2, 5]], 9.81, atol=1e-5)
    row = int(np.flatnonzero(store.ids == "w03_set00_squats")[0])
    assert store[row]["imu"].mask.all()


def test_gaps_of_the_sensors(raw: Path, tmp_path: Path, run: Run) -> None:
    folder = raw / "w00"
    whole = sensor(100.0, 2.0)
    hole = (whole[:, 0] < 150) | (whole[:, 0] >= 165)
    np.save(folder / "w00_sw_l_gyr.npy", whole[hole])
    np.save(folder / "w00_eb_l_acc.npy", sensor(90.0, end=5.0))
    (folder / "w00_sw_r_acc.npy").unlink()
    assert run(raw, tmp_path / "store")[0] == 0
    mask = Store(tmp_path / "store")[1]["imu"].mask.numpy()
    t = 130 / 30 + np.arange(len(mask)) / 50
    inside = (t > 5.0 + 0.12) & (t < 5.5 - 0.12)
    assert not mask[inside, 0].any() and mask[(t < 5.0) | (t > 5.5), 0].all()
    assert not mask[t > 5.02, 4].any() and mask[t < 4.97, 4].all()
    assert not mask[:, 1].any() and mask[:, 3].all()


def test_windows(raw: Path, tmp_path: Path, run: Run) -> None:
    assert run(raw, tmp_path / "store", "--window", "2", "--stride", "0.5", "--allow-missing")[0] == 0
    store = Store(tmp_path / "store")
    assert set(store.arrays("pose").length.tolist()) == {60} and set(store.arrays("imu").length.tolist()) == {99}
    of_one = store.index[store.index["subject"] == "w00"]
    starts = of_one["first_frame"].astype(int).to_numpy()
    assert starts.tolist() == list(range(0, FRAMES - 60 + 1, 15))
    for start, exercise in zip(starts, of_one["exercise"], strict=True):
        inside = [name for first, last, _, name in SETS if first <= start + 30 <= last]
        assert exercise == (inside[0] if inside else "non_activity")
    without = tmp_path / "without"
    assert run(raw, without, "--window", "2", "--stride", "0.5", "--no-null")[0] == 0
    assert "non_activity" not in set(Store(without).index["exercise"])


def test_long_pauses_are_cut(recipe: ModuleType) -> None:
    stretches = recipe.between("w00", 100, 100 + 2000 - 1)
    lengths = [s.last - s.first + 1 for s in stretches]
    assert sum(lengths) == 2000 and len(lengths) == 3 and max(lengths) <= 900 and stretches[0].first == 100
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(stretches))
    assert recipe.between("w00", 10, 20) == []


def test_the_protocols(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    sides = {}
    for name in ("official", "official_seen"):
        data = MotionDataModule(store, name, batch_size=84)
        sides[name] = [set(next(iter(loader())).subject) for loader in (data.train_dataloader, data.val_dataloader, data.test_dataloader)]  # fmt: skip
    train = {"w01", "w02", "w03", "w04", "w06", "w07", "w08", "w16", "w17", "w18"}
    assert sides["official"] == [train, {"w14", "w15", "w19"}, {"w00", "w05", "w12", "w13", "w20"}]
    assert sides["official_seen"] == [train, {"w14", "w15", "w19"}, {"w09", "w10", "w11"}]


def test_the_same_twice_and_what_it_was_made_from(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "one")
    run(raw, tmp_path / "two")
    one = Store(tmp_path / "one")
    assert one.checksum == Store(tmp_path / "two").checksum
    files = {str(p.relative_to(raw)): sha256(p) for p in raw.rglob("*") if p.is_file() and "hr" not in p.name}
    assert one.card["source_checksum"] == combined_sha256(files) and one.card["missing"] == []


def spoil_npy(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Path, str], None]:
    def spoil(folder: Path, workout: str) -> None:
        path = folder / f"{workout}_{name}.npy"
        array = np.load(path)
        changed = change(array)
        np.save(path, array if changed is None else changed)

    return spoil


def put(index: Any, value: float) -> Callable[[np.ndarray], None]:
    return lambda array: array.__setitem__(index, value)


def text(name: str, content: str | bytes) -> Callable[[Path, str], None]:
    def spoil(folder: Path, workout: str) -> None:
        path = folder / f"{workout}_{name}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


# What is done to a workout, the file, and the parts of the line about it.
FAULTS: list[tuple[Callable[[Path, str], None], str, tuple[str, ...]]] = [
    (spoil_npy("pose_2d", lambda a: a[:, :, :18]), "pose_2d.npy", ("2 x 298 x 18", "must be (2, frames, 19)")),
    (spoil_npy("pose_3d", lambda a: a[:2]), "pose_3d.npy", ("2 x 298 x 18", "must be (3, frames, 18)")),
    (spoil_npy("pose_3d", lambda a: a[:, :0]), "pose_3d.npy", ("3 x 0 x 18", "must be (3, frames, 18)")),
    (spoil_npy("pose_2d", put((1, 7, 3), np.nan)), "pose_2d.npy", ("8", "nan", "coordinate 1 of column 3")),
    (spoil_npy("pose_2d", put((0, 9, 0), 50)), "pose_2d.npy", ("10", "50.0", "comes after frame 108; frames must increase")),
    (spoil_npy("pose_2d", put((0, 9, 0), 1.5)), "pose_2d.npy", ("10", "1.5", "a frame is a whole number")),
    (spoil_npy("sw_l_acc", lambda a: a[:, :4]), "sw_l_acc.npy", ("x 4", "must be (samples, 5)")),
    (spoil_npy("sw_l_acc", put((3, 2), np.inf)), "sw_l_acc.npy", ("4", "inf", "x is no finite number")),
    (spoil_npy("sp_r_gyr", put((30, 0), -4)), "sp_r_gyr.npy", ("31", "-4.0", "a frame is a whole number")),
    (spoil_npy("eb_l_gyr", lambda a: np.array([{"a": 1}], dtype=object)), "eb_l_gyr.npy", ("damaged, or no array of numbers",)),
    (spoil_npy("eb_l_gyr", lambda a: np.array(["a", "b"])), "eb_l_gyr.npy", ("<U1", "must hold numbers")),
    (text("eb_l_acc.npy", b"\x93NUMPY"), "eb_l_acc.npy", ("6 bytes", "damaged, or no array of numbers")),
    (text("eb_l_acc.npy", ""), "eb_l_acc.npy", ("0 bytes", "damaged")),
    (text("labels.csv", "1,2,3\n"), "labels.csv", ("1", "3 columns", "must have 4: start, end, repetitions, activity")),
    (text("labels.csv", "130,219,ten,squats\n"), "labels.csv", ("1", "130,219,ten,squats", "must be whole numbers")),
    (text("labels.csv", "5,4,10,squats\n"), "labels.csv", ("1", "5,4,10,squats", "a set ends after it starts")),
    (text("labels.csv", "start,end,reps,activity\n1,90,10,burpees\n"), "labels.csv", ("2", "burpees", "is not one of squats")),
    (text("labels.csv", "1,90,10,squats\n80,150,10,lunges\n"), "labels.csv", ("2", "80", "starts before the set of row 1 ends")),
    (lambda folder, workout: (folder / f"{workout}_labels.csv").unlink(), "labels.csv", ("is missing",)),
    (lambda folder, workout: [p.unlink() for p in folder.glob("*.npy")], "", ("holds neither poses nor sensors",)),
]  # fmt: skip


def test_everything_that_is_wrong_is_listed_at_once(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    for k, (spoil, _, _) in enumerate(FAULTS):
        spoil(raw / f"w{k:02}", f"w{k:02}")
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and f"{len(FAULTS)} problem(s)" in printed and "nothing was written" in printed
    for k, (_, name, parts) in enumerate(FAULTS):
        place = f"w{k:02}/w{k:02}_{name}" if name else f"w{k:02}"
        assert line_with(printed, place, *parts), (place, parts, printed)
    assert [p.name for p in tmp_path.iterdir()] == ["mm-fit"]


def test_missing_workouts_need_a_word(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    for k in range(2, 21):
        (raw / f"w{k:02}").rename(tmp_path / f"w{k:02}")
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "19 missing", "w02, w03")
    assert run(raw, tmp_path / "store", "--allow-missing")[0] == 0
    store = Store(tmp_path / "store")
    assert store.card["missing"][0] == "w02" and store.card["protocols"]["official"]["train"] == ["w01"]


def test_folders_and_options(raw: Path, tmp_path: Path, run: Run) -> None:
    assert run(tmp_path, tmp_path / "store")[0] == 0, "the folder around it will do"
    assert "is complete already: 84 sequences" in run(raw, tmp_path / "store")[1]
    assert "no such folder" in run(tmp_path / "absent", tmp_path / "again")[1]
    for option in ("--fps", "--window", "--stride"):
        code, printed = run(raw, tmp_path / "again", option, "0")
        assert code == 1 and f"{option} is 0; it must be above 0" in printed
    assert not (tmp_path / "again").exists()


def test_an_interrupted_run_goes_on(raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(raw, tmp_path / "whole")
    original, added = StoreWriter.add, iter(range(1000))

    def interrupted(self: StoreWriter, *arguments: Any) -> None:
        if next(added) == 5:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(StoreWriter, "add", interrupted)
    assert run(raw, tmp_path / "store")[0] == 130 and not (tmp_path / "store").exists()
    assert run(raw, tmp_path / "store")[0] == 0 and next(added) == 6 + 79
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "store" / file.name).read_bytes()


def test_files_that_change_meanwhile_end_in_a_message(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = recipe.write

    def changed(*arguments: Any) -> None:
        (raw / "w05" / "w05_pose_2d.npy").write_bytes(b"gone")
        original(*arguments)

    monkeypatch.setattr(recipe, "write", changed)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "the files of w05 were changed while this ran" in printed and not (tmp_path / "store").exists()
