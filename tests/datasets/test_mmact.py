from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphnets.data import MotionDataModule, Store, StoreWriter, validate
from graphnets.data.files import combined_sha256, sha256
from graphnets.data.raw import BadFileError
from graphnets.skeleton import Skeleton

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
BEGIN = datetime(2018, 9, 26, 15, 10, 5, tzinfo=UTC)
SENSORS = {
    "acc_watch_clip": (100, 0.3),
    "acc_phone_clip": (100, 0.0),
    "gyro_clip": (50, 0.1),
}  # rate, start after BEGIN


def stamp(after: float) -> str:
    """As in the files: milliseconds, and none at a full second."""
    at = BEGIN + timedelta(milliseconds=round(1000 * after))
    return at.strftime("%Y%m%d_%H:%M:%S") + (f".{at.microsecond // 1000:03}" if at.microsecond else "")


def signal(sensor: str, t: np.ndarray) -> np.ndarray:
    """Straight lines, which interpolation gives back."""
    k = list(SENSORS).index(sensor) + 1
    return np.stack([k * t, k - t, np.full(len(t), -9.81 * k)], -1)


def samples(sensor: str, seconds: float = 2.0) -> list[tuple[float, np.ndarray]]:
    rate, start = SENSORS[sensor]
    t = start + np.arange(round(seconds * rate) + 1) / rate
    t = np.round(t + np.random.default_rng(1).uniform(-0.002, 0.002, len(t)), 3)
    return list(zip(t.tolist(), signal(sensor, t), strict=True))


def rows_of(sensor: str, header: bool = False) -> list[str]:
    rows = [f"{stamp(t)},{x:.6f},{y:.6f},{z:.6f}" for t, (x, y, z) in samples(sensor)]
    return ["time,x,y,z", *rows] if header else rows


def sensor_file(root: Path, sensor: str, subject: int, action: str, scene: int = 1, session: int = 1) -> Path:
    return root / sensor / f"subject{subject}" / f"scene{scene}" / f"session{session}" / f"{action}.csv"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def person(frame: int, left: float = 100.0, seen: int = 17) -> list[list[float]]:
    joints = [[left + j + frame, 200.0 + 10 * j, 0.9] for j in range(17)]
    return [joint if j < seen else [0.0, 0.0, 0.0] for j, joint in enumerate(joints)]


def pose_file(root: Path, subject: int, action: str, camera: int = 1, protocol: str = "cross_subject/trainval") -> Path:
    return root / "pose" / protocol / f"subject{subject}/cam{camera}/scene1/session1/{action}.json"


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("mmact")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twenty people who walk once, as the files come: subject 1 does more, and some of it in odd files."""
    root = tmp_path / "raw"
    for subject in range(1, 21):
        for sensor in SENSORS:
            rows = rows_of(sensor, header=subject % 2 == 0)
            put(sensor_file(root, sensor, subject, "Walking" if subject % 3 == 0 else "walking"), "\n".join(rows))
    put(sensor_file(root, "acc_watch_clip", 1, "carrying_light "), "\r\n".join(rows_of("acc_watch_clip")) + "\r\n")
    put(sensor_file(root, "acc_phone_clip", 1, "Carrying_light"), "")  # the sensor failed
    put(sensor_file(root, "gyro_clip", 1, "carrying_light"), "time,x,y,z\n")
    for sensor in SENSORS:  # nothing but failures
        put(sensor_file(root, sensor, 1, "kicking"), "")
    put(sensor_file(root, "gyro_clip", 1, "using_phone", scene=3, session=2), "\n".join(rows_of("gyro_clip")))
    put(sensor_file(root, "orientation_clip", 1, "walking"), "time,azimuth,pitch,roll\nnever read")
    put(root / "gyro_clip" / "invalid_files.txt", "none of ours")
    put(root / "gyro_clip" / "._walking.csv", "what macOS leaves in archives")
    return root


def test_a_store_from_raw_files(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert store.modalities == ["imu"] and store.skeleton("imu") == Skeleton.load("mmact_axes9")
    assert store.ids[:3].tolist() == [
        "s01_scene1_session1_carrying_light", "s01_scene1_session1_walking", "s01_scene3_session2_using_phone_desk",
    ] and len(store) == 22  # fmt: skip
    walking = store[1]["imu"]
    assert store.labels["action"][int(store[1].action)] == "walking" and store[1].subject == "1" and walking.fps == 50
    assert (store.index["scene"][2], store.index["session"][2]) == ("3", "2")
    first = min(samples(s)[0][0] for s in SENSORS)
    last = max(samples(s)[-1][0] for s in SENSORS)
    t = first + np.arange(len(walking.x)) / 50
    assert t[-1] <= last < t[-1] + 0.0201
    for k, sensor in enumerate(SENSORS):
        measured = samples(sensor)
        inside = (t >= measured[0][0]) & (t <= measured[-1][0])
        mask = walking.mask[:, 3 * k : 3 * k + 3].numpy()
        assert np.array_equal(mask, np.repeat(inside[:, None], 3, 1))
        np.testing.assert_allclose(walking.x[inside, 3 * k : 3 * k + 3, 0], signal(sensor, t[inside]), atol=1e-4)
    light = store[0]["imu"].mask
    assert bool(light[:, :3].all()) and not light[:, 3:].any()
    assert not store[2]["imu"].mask[:, :6].any() and bool(store[2]["imu"].mask[:, 6:].all())
    assert "22 sequences" in printed and store.checksum in printed
    assert line_with(printed, "2 files of acc_phone_clip are empty, or hold one sample; they count as missing")
    assert line_with(printed, "1 clips have no data of any sensor and are left out")


def test_the_same_twice_and_what_it_was_made_from(raw: Path, tmp_path: Path, run: Run) -> None:
    put(pose_file(raw, 2, "walking"), json.dumps({str(k): {"person1": person(k)} for k in range(5)}))
    run(raw, tmp_path / "one")
    run(raw, tmp_path / "two")
    one = Store(tmp_path / "one")
    assert one.checksum == Store(tmp_path / "two").checksum
    used = [*raw.glob("*clip/subject*/*/*/*.csv"), *raw.rglob("*.json")]
    files = {str(p.relative_to(raw)): sha256(p) for p in used if "orientation_clip" not in p.parts}
    assert one.card["source_checksum"] == combined_sha256(files) and one.card["source_files"] == len(files) == 68
    assert one.card["missing"] == one.card["left_out"] == []


def test_the_protocols(raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    data = MotionDataModule(Store(tmp_path / "store"), "cross_subject_val")
    assert set(next(iter(data.train_dataloader())).subject) == set(map(str, range(1, 15)))
    assert set(next(iter(data.val_dataloader())).subject) == {"15", "16"}
    assert set(next(iter(data.test_dataloader())).subject) == {"17", "18", "19", "20"}


def test_irregular_stamps(raw: Path, tmp_path: Path, run: Run) -> None:
    """Out of order, doubled, and with a hole of half a second."""
    path = sensor_file(raw, "gyro_clip", 2, "walking")
    header, *rows = path.read_text().splitlines()
    rows[10], rows[12] = rows[12], rows[10]
    rows.insert(31, rows[30].rpartition(",")[0] + ",99")
    del rows[51:76]
    put(path, "\n".join([header, *rows]))
    assert run(raw, tmp_path / "store", "--fps", "100")[0] == 0
    store = Store(tmp_path / "store")
    imu = store[int(np.flatnonzero(store.index["subject"] == "2")[0])]["imu"]
    t = min(samples(s)[0][0] for s in SENSORS) + np.arange(len(imu.x)) / 100
    seen = imu.mask[:, 6].numpy()
    np.testing.assert_allclose(imu.x[seen, 6:, 0], signal("gyro_clip", t)[seen], atol=1e-4)
    measured = [samples("gyro_clip")[k][0] for k in (0, 49, 75, 100)]
    hole = (t > measured[1] + 0.1) & (t < measured[2] - 0.1)
    assert np.array_equal(seen, (t >= measured[0]) & (t <= measured[3]) & ~hole) and 25 < hole.sum() < 35
    assert bool(imu.mask[(t > 0.31) & (t < 1.99), :6].all())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20180926_15:10:05.250", 0.25), ("20180926_15:10:06", 1.0), ("20180926_15:11:05.5", 60.5), ("20180927_00:00:00.000001", 31795.000001)],
)  # fmt: skip
def test_stamps(recipe: ModuleType, text: str, seconds: float) -> None:
    assert recipe.seconds(text) - BEGIN.timestamp() == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "noon", "2018-09-26 15:10:05", "20181326_15:10:05", "20180926_25:10:05", "20180926_15:10:05.", "1537974605.2"])  # fmt: skip
def test_no_stamps(recipe: ModuleType, text: str) -> None:
    with pytest.raises(ValueError):
        recipe.seconds(text)


def frames(**tracks: Callable[[int], list[list[float]]]) -> str:
    return json.dumps({str(k): {who: track(k) for who, track in tracks.items()} for k in range(3, 33)})


def test_poses(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    content = {str(k): {"person1": person(k, seen=15 if k == 7 else 17)} for k in range(5, 25) if k != 10}
    content["12"] = {"person1": []}
    put(pose_file(raw, 3, "Walking"), json.dumps(content))
    put(pose_file(raw, 3, "walking", protocol="cross_view/trainval"), json.dumps(content))  # the same once more
    put(pose_file(raw, 4, "walking", camera=2), json.dumps({"0": {"person1": person(0)}, "1": {"person1": person(1)}}))
    put(pose_file(raw, 5, "walking"), "")
    put(pose_file(raw, 6, "walking"), frames(person1=lambda k: []))
    put(pose_file(raw, 7, "jumping"), json.dumps(content))
    put(raw / "pose" / "cross_subject" / "test" / "00017.json", "{}")
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert store.card["modalities"]["pose"]["camera"] == 1 and store.skeleton("pose") == Skeleton.load("coco17")
    lengths = dict(zip(store.ids, store.arrays("pose").length.tolist(), strict=True))
    assert {id: n for id, n in lengths.items() if n} == {"s03_scene1_session1_walking": 20} and len(store) == 22
    pose = store[list(lengths).index("s03_scene1_session1_walking")]["pose"]
    assert pose.fps == 30.0 and pose.mask.sum(1).tolist() == [17, 17, 15, 17, 17, 0, 17, 0, *[17] * 12]
    np.testing.assert_array_equal(pose.x[0], np.float32(person(5)))
    assert not pose.x[2, 15:].any()
    assert line_with(printed, "1 pose files are not in subject<N>/cam<N>/scene<N>/session<N>/ and are not used")
    assert line_with(printed, "1 clips have a pose but no file of a sensor and are left out")
    assert line_with(printed, "2 files of pose are empty")
    assert run(raw, tmp_path / "two", "--camera", "2")[0] == 0
    two = Store(tmp_path / "two")
    assert two.card["modalities"]["pose"]["camera"] == 2 and two.arrays("pose").length.sum() == 2


def jumper(k: int) -> list[list[float]]:
    """All joints in every frame, but of two people in turn."""
    return person(k, left=100.0 if k % 2 else 1500.0)


@pytest.mark.parametrize(
    ("tracks", "left"),
    [
        ({"person1": lambda k: person(k, 100), "person2": lambda k: []}, 100),
        ({"person1": lambda k: [], "person2": lambda k: person(k, 300)}, 300),
        ({"person1": lambda k: person(k, 100, seen=9), "person2": lambda k: person(k, 300)}, 300),
        ({"person1": lambda k: person(k, 100) if k < 12 else [], "person2": lambda k: person(k, 300)}, 300),
        ({"person1": jumper, "person2": lambda k: person(k, 300, seen=14)}, 300),
        ({"person1": lambda k: person(k, 100), "person2": lambda k: person(k, 300)}, 100),
    ],
    ids=["alone", "second alone", "fewer joints", "shorter", "unsteady", "alike"],
)
def test_one_person_for_the_whole_clip(recipe: ModuleType, tmp_path: Path, tracks: Any, left: float) -> None:
    put(tmp_path / "a.json", frames(**tracks))
    x, seen = recipe.read_pose(tmp_path / "a.json")
    assert x.shape == (30, 17, 3) and x[:, 0, 0].tolist() == [left + k for k in range(3, 33)] and seen[:, :9].all()


def test_a_flat_list_and_named_frames_will_do(recipe: ModuleType, tmp_path: Path) -> None:
    put(
        tmp_path / "a.json",
        json.dumps({f"frame_{k:04}.jpg": {"person1": np.ravel(person(k)).tolist()} for k in (8, 9, 10)}),
    )
    x, _ = recipe.read_pose(tmp_path / "a.json")
    assert x[:, 3].tolist() == [person(k)[3] for k in (8, 9, 10)]


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ('{"0": {"person1": [[1', "21 bytes", "damaged, or no JSON"),
        ("[1, 2]", "list", "must map frames to people"),
        ('{"first": {}}', "first", "is no number of a frame"),
        ('{"0": [], "1": []}', "list", "frame 0 must map people to joints"),
        ('{"4": {"person1": [1, 2, 3]}}', "3", "frame 4, person1: must be 17 x (x, y, confidence)"),
        ('{"4": {"person1": "me"}}', "me", "frame 4, person1: must be 17 x"),
        ('{"4": {"person1": [[1, 2], [3]]}}', "[[1, 2], [3]]", "frame 4, person1: must be 17 x"),
        (json.dumps({"4": {"person1": [[1, float("nan"), 3]] * 17}}), "nan", "frame 4, person1: not finite"),
        (json.dumps({"4": {"person1": [[1, float("inf"), 3]] * 17}}), "inf", "frame 4, person1: not finite"),
        ('{"0": {}, "99999": {}}', "frames 0 to 99999", "a clip has at most 18000 frames"),
    ],
)
def test_bad_poses(recipe: ModuleType, tmp_path: Path, text: str, value: str, message: str) -> None:
    put(tmp_path / "a.json", text)
    with pytest.raises(BadFileError) as bad:
        recipe.read_pose(tmp_path / "a.json")
    assert str(bad.value.value) == value and message in str(bad.value), bad.value


def edit(row: int, text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        rows = path.read_text().splitlines()
        rows[row - 1] = text
        put(path, "\n".join(rows))

    return change


S = stamp(0.5)
# Subject, sensor, what is done to its file, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[int, str, Callable[[Path], Any], tuple[str, ...]]] = {
    "nan": (1, "gyro_clip", edit(7, f"{S},1,nan,3"), ("7", "nan", "y is no finite number")),
    "infinite": (2, "gyro_clip", edit(7, f"{S},1,2,inf"), ("7", "inf", "z is no finite number")),
    "text": (5, "gyro_clip", edit(7, f"{S},one,2,3"), ("7", "one", "x is no finite number")),
    "three": (4, "gyro_clip", edit(7, f"{S},1,2"), ("7", "3 columns", "must have 4: time, x, y, z")),
    "five": (7, "gyro_clip", edit(7, f"{S},1,2,3,4"), ("7", "5 columns", "must have 4: time, x, y, z")),
    "stamp": (8, "gyro_clip", edit(7, "15:10:05,1,2,3"), ("7", "15:10:05", "time must be YYYYMMDD_HH:MM:SS")),
    "header below": (10, "gyro_clip", edit(7, "time,x,y,z"), ("7", "time", "time must be YYYYMMDD_HH:MM:SS")),
    "in a row": (11, "gyro_clip", lambda p: put(p, p.read_text()[:-30]), ("101", "columns", "must have 4")),
    "set back": (13, "gyro_clip", edit(90, f"{stamp(0.2)},1,2,3"), ("90", "time goes back by 1.", "set back")),
    "another day": (14, "gyro_clip", edit(102, f"{stamp(9e4)},1,2,3"), ("102", "a clip has at most 600 s")),
    "no text": (16, "gyro_clip", lambda p: p.write_bytes(b"\x00\xff" * 50), ("1", "1 columns", "must have 4")),
    "subject": (17, "gyro_clip", lambda p: p.rename(moved(p, "subject21")), ("subject21/", "subject 21 is not one of 1 to 20")),
    "session": (17, "acc_phone_clip", lambda p: p.rename(moved(p, None, "session6")), ("session 6 is not one of 1 to 5",)),
    "action": (19, "gyro_clip", lambda p: p.rename(p.with_name("flying.csv")), ("flying", "'flying' is not one of carrying,")),
    "place": (20, "gyro_clip", lambda p: p.rename(p.parents[1] / "a.csv"), ("a.csv", "is not in subject<N>/scene<N>")),
}  # fmt: skip


def moved(path: Path, subject: str | None = None, session: str = "session1") -> Path:
    new = path.parents[3] / (subject or path.parents[2].name) / "scene1" / session / path.name
    new.parent.mkdir(parents=True)
    return new


def spoil(raw: Path) -> None:
    for subject, sensor, change, _ in FAULTS.values():
        change(sensor_file(raw, sensor, subject, "walking"))
    put(sensor_file(raw, "gyro_clip", 6, "walking"), "\n".join(rows_of("gyro_clip")))  # subject 6 walks twice
    put(pose_file(raw, 2, "walking"), '{"0": ')
    late = sensor_file(raw, "acc_watch_clip", 18, "walking" if 18 % 3 else "Walking")
    put(late, late.read_text().replace("_15:", "_17:"))


def test_everything_that_is_wrong_is_listed_at_once(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    spoil(raw)
    for path in raw.glob("*/subject12/scene1/session1/*"):
        path.unlink()
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "nothing was written" in " ".join(printed.split())
    for name, (subject, sensor, _, parts) in FAULTS.items():
        place = f"{sensor}/subject{subject}/" if name != "subject" else "gyro_clip"
        assert line_with(printed, place, *parts), f"{name}: {printed}"
    assert line_with(printed, "pose/cross_subject/trainval/subject2/cam1/scene1/session1/walking.json", "no JSON")
    assert line_with(printed, "gyro_clip/subject6/scene1/session1/walking.csv", "another recording of what")
    assert line_with(printed, "s18_scene1_session1_walking", "from the first to the last sample, at most 600")
    assert line_with(printed, "1 missing", "subject12; --allow-missing goes on without")
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_damaged_files_can_be_left_out(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    spoil(raw)
    put(sensor_file(raw, "gyro_clip", 18, "jumping"), "\n".join(rows_of("gyro_clip")))
    code, printed = run(raw, tmp_path / "store", "--skip-damaged")
    assert code == 0 and line_with(printed, f"{len(FAULTS) + 3} problem(s)", "going on without")
    store = Store(tmp_path / "store")
    assert validate(store.path) == [] and len(store.card["left_out"]) == len(FAULTS) + 3
    rows = {id: row for row, id in enumerate(store.ids)}
    assert "s18_scene1_session1_walking" not in rows and len(store) == 22
    mask = store[rows["s05_scene1_session1_walking"]]["imu"].mask
    assert not mask[:, 6:].any() and mask[:, :6].any(0).all()


def test_sensors_that_never_measured_together_are_told(
    raw: Path, tmp_path: Path, run: Run, line_with: LineWith
) -> None:
    path = sensor_file(raw, "acc_watch_clip", 2, "walking")
    put(path, path.read_text().replace("_15:10:", "_15:12:"))
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and line_with(printed, "1 clips have sensors that never measured at the same time")


def test_missing_sensors_and_people_need_a_word(raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    (raw / "gyro_clip").rename(tmp_path / "gyro_clip")
    for path in raw.glob("*/subject9"):
        path.rename(tmp_path / path.parent.name)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and line_with(printed, "2 missing", "gyro_clip, subject9; --allow-missing goes on without")
    code, printed = run(raw, tmp_path / "store", "--allow-missing")
    assert code == 0 and line_with(printed, "2 folders or subjects are missing: gyro_clip, subject9")
    store = Store(tmp_path / "store")
    assert store.card["missing"] == ["gyro_clip", "subject9"] and len(store) == 20
    observed = store.arrays("imu").observed
    assert observed is not None and not observed[:, 6:].any()


def test_folders(raw: Path, tmp_path: Path, run: Run) -> None:
    around = tmp_path / "MMAct"
    raw.rename(around / "Sensor_trimmed") if around.mkdir() is None else None
    put(pose_file(around, 2, "walking"), frames(person1=person))
    assert run(around, tmp_path / "store")[0] == 0
    assert Store(tmp_path / "store").modalities == ["pose", "imu"]
    code, printed = run(tmp_path / "absent", tmp_path / "again")
    assert code == 1 and "absent: no such folder" in printed
    code, printed = run(around / "pose", tmp_path / "again")
    assert code == 1 and "must hold the folders acc_watch_clip, acc_phone_clip and gyro_clip" in printed
    code, printed = run(around, tmp_path / "again", "--fps", "nan")
    assert code == 1 and "--fps is nan; it must be above 0" in printed
    code, printed = run(around, tmp_path / "store")
    assert code == 0 and "is complete already: 22 sequences" in printed


def test_an_interrupted_run_goes_on(raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put(pose_file(raw, 2, "walking"), frames(person1=person))
    run(raw, tmp_path / "whole")
    original, added = StoreWriter.add, iter(range(100))

    def interrupted(self: StoreWriter, *arguments: Any) -> None:
        if next(added) == 5:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(StoreWriter, "add", interrupted)
    code, printed = run(raw, tmp_path / "store")
    assert code == 130 and "run the same command again" in printed and not (tmp_path / "store").exists()
    assert run(raw, tmp_path / "store")[0] == 0 and next(added) == 6 + 17
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "store" / file.name).read_bytes()


def test_files_that_change_meanwhile_end_in_a_message(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = recipe.check_all

    def changed(*arguments: Any) -> None:
        original(*arguments)
        put(sensor_file(raw, "gyro_clip", 2, "walking"), "1,2,3")

    monkeypatch.setattr(recipe, "check_all", changed)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "the files of s02_scene1_session1_walking were changed while this ran" in printed
    assert not (tmp_path / "store").exists()


def test_as_a_command(raw: Path, tmp_path: Path, line_with: LineWith) -> None:
    put(sensor_file(raw, "gyro_clip", 1, "walking"), "1,2,3")
    recipe = ROOT / "datasets" / "mmact" / "prepare.py"
    command = [sys.executable, str(recipe), str(raw), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert line_with(result.stdout, "gyro_clip/subject1/scene1/session1/walking.csv", "3 columns")


def test_the_card_speaks_of_the_release(recipe: ModuleType) -> None:
    card = recipe.load_card(recipe.CARD)
    assert len(card["labels"]["action"]["classes"]) == 37
    assert {"licence", "source", "citation", "traps"} <= set(card)


def test_the_real_release(raw_root: Path, recipe: ModuleType, tmp_path: Path) -> None:
    folder = raw_root / "mmact"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    assert recipe.main([str(folder), str(tmp_path / "store")]) == 0
    store = Store(tmp_path / "store")
    assert validate(store.path) == [] and len(set(store.index["subject"])) == 20
    acceleration = store.arrays("imu").values.view(-1, 9)[:, 3:6].norm(dim=-1)
    assert 8 < float(acceleration.median()) < 12, "at rest a phone shows gravity, in m/s^2"
