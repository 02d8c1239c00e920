from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from graphnets.data import LeaveOneSubjectOut, Store, validate
from graphnets.data.files import combined_sha256, sha256
from graphnets.skeleton import Skeleton

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
MASS, HEIGHT, FRAMES, FIRST, LENGTH = 60.0, 1.75, 60, 10, 40
SENSORS = ("L_FOOT", "R_FOOT", "R_SHANK", "R_THIGH", "WAIST", "CHEST", "L_SHANK", "L_THIGH")
POINTS = ("LShoulder", "RShoulder", "MidHip", "RHip", "LHip", "RKnee", "LKnee", "RAnkle", "LAnkle", "RHeel", "LHeel")
UNITS = {
    "N m/kg": lambda kfm, kam: (kfm, kam),
    "%BW BH": lambda kfm, kam: (kfm / (9.81 * HEIGHT) * 100, kam / (9.81 * HEIGHT) * 100),
    "N m/(kg m), KFM negated": lambda kfm, kam: (-kfm / HEIGHT, kam / HEIGHT),
}


def step(seed: int, unit: str) -> dict[str, np.ndarray]:
    """Columns of a padded step: a shank that stands upright, in the axes of the release (x right, y forward, z up)."""
    chance = np.random.default_rng(seed)
    share = np.sin(np.pi * (np.arange(LENGTH) + 0.5) / LENGTH)
    force = share[:, None] * [-30.0, 20.0, 700.0] + chance.normal(size=(LENGTH, 3))  # on the body
    centre = np.stack([np.full(LENGTH, 650.0), np.linspace(1080, 880, LENGTH), np.zeros(LENGTH)], axis=1)
    knee, half = np.array([680.0, 1000, 500]), np.array([50.0, 0, 0])
    arm = (centre - knee) / 1000
    # About the axis to the right, bending is positive backwards; about the one forward, medial is to the left.
    kfm = -(arm[:, 1] * force[:, 2] - arm[:, 2] * force[:, 1]) / MASS
    kam = (arm[:, 2] * force[:, 0] - arm[:, 0] * force[:, 2]) / MASS
    columns: dict[str, Any] = {"body weight": MASS, "body height": HEIGHT, "force_phase": 1.0, "EXT_KM_Z": 9.0}
    columns["EXT_KM_X"], columns["EXT_KM_Y"] = UNITS[unit](kfm, kam)
    for name, at in (("RFLE", knee + half), ("RFME", knee - half), ("RFAL", knee + half), ("RTAM", knee - half)):
        low = 400 if name in ("RFAL", "RTAM") else 0
        columns |= {f"{name}_{a}": np.full(LENGTH, at[i] - low * (a == "Z")) for i, a in enumerate("XYZ")}
    for i, a in enumerate("xyz"):
        columns |= {f"plate_2_force_{a}": -force[:, i], f"plate_2_cop_{a}": centre[:, i]}
    for k, sensor in enumerate(SENSORS):
        for i, a in enumerate("XYZ"):
            columns[f"Accel{a}_{sensor}"] = 9.8 * (a == "Y") + 0.1 * chance.normal(size=LENGTH)
            columns[f"Gyro{a}_{sensor}"] = 60 * chance.normal(size=LENGTH)
            columns[f"Mag{a}_{sensor}"] = 100.0 * k + i
    for k, point in enumerate(POINTS):
        for v in (90, 180):
            columns |= {f"{point}_x_{v}": 100.0 * k + v + share, f"{point}_y_{v}": 500 + 10.0 * k + v - share}
    padded = {}
    for name, values in columns.items():
        padded[name] = np.zeros(FRAMES)
        padded[name][FIRST : FIRST + LENGTH] = values
        if name not in ("force_phase", "body weight", "body height"):
            padded[name][FIRST - 3 : FIRST] = 1.0  # swing before the stance
    return padded


def dataset(seed: int, unit: str, steps: int = 3) -> dict[str, np.ndarray]:
    """All columns ``[steps, frames]``."""
    made = [step(100 * seed + i, unit) for i in range(steps)]
    return {name: np.stack([s[name] for s in made]) for name in made[0]}


Content = dict[str, dict[str, np.ndarray]]


def put(path: Path, content: Content, place: str = "file") -> Path:
    """Write an HDF5 file; ``place`` is where the names of the columns stand."""
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, columns in content.items():
            data = file.create_dataset(name, data=np.stack(list(columns.values()), axis=-1).astype(np.float32))
            if place == "dataset":
                data.attrs["columns"] = json.dumps(list(columns))
        if place == "file":
            file.attrs["columns"] = json.dumps(list(next(iter(content.values()))))
    return path


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("tan2022")


@pytest.fixture
def content() -> Content:
    return {
        "P01/2022a": dataset(1, "%BW BH"),
        "P06/2021b": dataset(2, "N m/(kg m), KFM negated"),
        "P06/2021c": dataset(3, "N m/kg"),
    }


def test_a_store_from_groups_of_datasets(recipe: ModuleType, content: Content, tmp_path: Path, run: Run) -> None:
    path = put(tmp_path / "raw" / "subset.h5", content)
    code, printed = run(tmp_path / "raw", tmp_path / "store")
    assert code == 0, printed
    assert validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert list(store.ids) == [f"{b}_{i:04}" for b in ("P01_2022a", "P06_2021b", "P06_2021c") for i in range(3)]
    assert sorted(set(store.subjects)) == ["P01", "P06"]
    fold = LeaveOneSubjectOut(1, val_subjects=0).split(store.index)
    assert len(fold.test) == 6 and len(fold.train) == 3
    assert float(store.index["height"][0]) == HEIGHT and float(store.index["mass"][0]) == MASS
    assert "moments in %BW BH: P01/2022a" in printed and "moments in N m/kg: P06/2021c" in printed
    assert "moments in N m/(kg m), KFM negated: P06/2021b" in printed
    assert store.card["source_checksum"] == combined_sha256({"subset.h5": sha256(path)})


def test_every_number_is_where_it_belongs(recipe: ModuleType, content: Content, tmp_path: Path, run: Run) -> None:
    run(put(tmp_path / "subset.h5", content), tmp_path / "store")
    store, stance = Store(tmp_path / "store"), slice(FIRST, FIRST + LENGTH)
    given = {name: values[1, stance] for name, values in content["P06/2021c"].items()}  # moments in N m/kg
    found = store[7]
    short = {"left_foot": "L_FOOT", "right_shank": "R_SHANK", "waist": "WAIST", "left_thigh": "L_THIGH"}
    for joint, sensor in short.items():
        imu = found["imu"].x[:, store.skeleton("imu").index(joint)].numpy()
        accel = np.stack([given[f"Accel{a}_{sensor}"] for a in "XYZ"], axis=1)
        gyro = np.radians(np.stack([given[f"Gyro{a}_{sensor}"] for a in "XYZ"], axis=1))
        np.testing.assert_allclose(imu, np.concatenate([accel, gyro], axis=1), rtol=1e-5, atol=1e-6)
    names = {"pelvis": "MidHip", "left_shoulder": "LShoulder", "right_heel": "RHeel", "left_knee": "LKnee"}
    for view, angle in (("video2d_side", 90), ("video2d_back", 180)):
        for joint, point in names.items():
            xy = np.stack([given[f"{point}_{a}_{angle}"] for a in "xy"], axis=1) / HEIGHT
            got = found[view].x[:, store.skeleton(view).index(joint)].numpy()
            np.testing.assert_allclose(got, xy, rtol=1e-5)
    weight = MASS * 9.81
    for name, expected in {
        "KFM": given["EXT_KM_X"], "KAM": given["EXT_KM_Y"], "vGRF": -given["plate_2_force_z"] / weight,
        "apGRF": -given["plate_2_force_y"] / weight, "mlGRF": given["plate_2_force_x"] / weight,
    }.items():  # fmt: skip
        got = found["kinetics"].x[:, Skeleton.load("kinetics5").index(name), 0].numpy()
        np.testing.assert_allclose(got, expected, atol=1e-5, err_msg=name)
    assert found["kinetics"].x[:, 2:, 0].mean(0).tolist()[0] > 0.5, "the force on the body is upwards"


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_reconciled(recipe: ModuleType, tmp_path: Path, run: Run, unit: str) -> None:
    run(put(tmp_path / "a.h5", {"subject_01": dataset(5, "N m/kg")}), tmp_path / "a")
    assert run(put(tmp_path / "b.h5", {"subject_01": dataset(5, unit)}), tmp_path / "b")[0] == 0
    for row in range(3):
        mine, other = (Store(tmp_path / name)[row]["kinetics"].x.numpy() for name in "ab")
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_a_dataset_a_subject_as_in_the_full_release(recipe: ModuleType, tmp_path: Path, run: Run) -> None:
    columns = dataset(1, "%BW BH")
    order = np.random.default_rng(0).permutation(list(columns))
    shuffled = {name: columns[name] for name in order}
    shuffled["force_phase"] = shuffled["force_phase"].copy()
    shuffled["force_phase"][2] = 0
    put(tmp_path / "raw" / "all_17_subjects.h5", {"s002_nobody": shuffled, "s011_noone": shuffled}, "dataset")
    code, printed = run(tmp_path / "raw", tmp_path / "store")
    store = Store(tmp_path / "store")
    assert code == 0 and list(store.ids) == ["s002_0000", "s002_0001", "s011_0000", "s011_0001"]
    assert sorted(set(store.subjects)) == ["s002", "s011"] and "2 steps have no frame of stance" in printed
    assert "nobody" not in "".join(p.read_text() for p in (tmp_path / "store").glob("*.[cy]*"))
    run(put(tmp_path / "b.h5", {"s002": columns}), tmp_path / "again")
    assert np.array_equal(Store(tmp_path / "again")[1]["imu"].x, store[1]["imu"].x)
    assert "the protocol by_subject is left out: there are no subjects P01, P02" in printed


def test_what_was_not_measured_is_masked(recipe: ModuleType, tmp_path: Path, run: Run) -> None:
    columns = dataset(1, "N m/kg")
    columns["RKnee_x_90"][0, FIRST + 4] = np.nan
    columns["LHeel_x_180"][0, FIRST + 5] = columns["LHeel_y_180"][0, FIRST + 5] = 0
    columns["GyroX_CHEST"][0, FIRST + 6] = np.nan
    columns["EXT_KM_Y"][0, FIRST + 7] = np.nan
    run(put(tmp_path / "a.h5", {"P01": columns}), tmp_path / "store")
    store = Store(tmp_path / "store")
    first = store[0]
    for name, frame, joint in (
        ("video2d_side", 4, "right_knee"), ("video2d_back", 5, "left_heel"), ("imu", 6, "chest"), ("kinetics", 7, "KAM"),
    ):  # fmt: skip
        gone = (~first[name].mask).nonzero().tolist()
        assert gone == [[frame, store.skeleton(name).index(joint)]]


def change(name: str, make: Callable[[np.ndarray], Any]) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda columns: {**columns, name: make(columns[name])}


def drop(*names: str) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda columns: {name: values for name, values in columns.items() if name not in names}


def hole(phase: np.ndarray) -> np.ndarray:
    phase = phase.copy()
    phase[1, FIRST + 5] = 0
    return phase


def infinite(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[0, FIRST] = np.inf
    return values


def all_of(kind: str, factor: float) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda columns: {n: v * factor if n.startswith(kind) else v for n, v in columns.items()}


FAULTS: dict[str, tuple[Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], tuple[str, ...]]] = {
    "columns missing": (drop("RKnee_x_90", "GyroZ_WAIST"), ("columns", "these are missing: GyroZ_WAIST, RKnee_x_90")),
    "many missing": (lambda c: {n: v for n, v in c.items() if "Gyro" not in n}, ("GyroX_L_FOOT", "and 16 more")),
    "phase": (change("force_phase", hole), ("step 1", "force_phase 1 are not in one piece")),
    "infinite": (change("AccelX_WAIST", infinite), ("inf", "AccelX_WAIST must be finite")),
    "mass": (change("body weight", lambda v: v * 9.81), ("588.6", "body weight must be in kg")),
    "height": (change("body height", lambda v: v * 100), ("175", "body height must be in m")),
    "force on the body": (all_of("plate_2_force", -1.0), ("0.75", "must be N on the plate, downwards negative")),
    "force in kN": (all_of("plate_2_force", 1e-3), ("-0.0007", "must be N on the plate")),
    "g": (all_of("Accel", 1 / 9.81), ("│ 1 ", "the mean acceleration of WAIST must be 8 to 12")),
    "rad/s": (all_of("Gyro", np.pi / 180), ("1.95", "the angular rate of R_SHANK must be 20 to 500 deg/s")),
    "moments in N mm": (all_of("EXT_KM", 1e3), ("1e+03 and 1e+03", "none of N m/kg, %BW BH, N m/(kg m)")),
    "KAM negated": (change("EXT_KM_Y", lambda v: -v), ("1 and -1", "none of N m/kg")),
    "no moments": (all_of("EXT_KM", 0.0), ("inf and inf", "none of N m/kg")),
    "no markers": (all_of("RFLE", np.nan), ("0 frames", "at least 20 tell the unit")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said(recipe: ModuleType, tmp_path: Path, run: Run, line_with: LineWith, fault: str) -> None:
    spoil, parts = FAULTS[fault]
    put(tmp_path / "raw" / "a.h5", {"P01": spoil(dataset(1, "N m/kg")), "P02": spoil(dataset(2, "N m/kg"))})
    code, printed = run(tmp_path / "raw", tmp_path / "store")
    assert code == 1 and "2 problem(s)" in printed and "nothing was written" in " ".join(printed.split())
    assert line_with(printed, "a.h5/P01", parts[0]), printed
    flat = " ".join(printed.replace("│", " ").split())
    assert all(part in flat for part in parts[1:]), printed
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_names_of_columns(recipe: ModuleType, tmp_path: Path, run: Run) -> None:
    columns = dataset(1, "N m/kg")
    for names, words in (
        (None, "has an attribute columns"), ("[1, 2", "is no JSON list"), ('{"a": 1}', "must be a list of names"),
        (json.dumps([*columns, "force_phase"]), "these columns are there twice"),
        (json.dumps([*columns, "more"]), f"must be steps x frames x {len(columns) + 1} columns"),
    ):  # fmt: skip
        path = put(tmp_path / "a.h5", {"P01": columns}, "nowhere")
        with h5py.File(path, "a") as file:
            if names is not None:
                file.attrs["columns"] = names
        code, printed = run(path, tmp_path / "store")
        assert code == 1 and words in " ".join(printed.replace("│", " ").split()), printed
    with h5py.File(path, "a") as file:
        del file.attrs["columns"]
        file.attrs["columns"] = [*columns]
    assert run(path, tmp_path / "store")[0] == 0


def test_files_that_are_none(
    recipe: ModuleType, tmp_path: Path, run: Run, line_with: LineWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    code, printed = run(tmp_path / "raw", tmp_path / "store")
    assert code == 1 and "must be an HDF5 file (.h5, .hdf5), or a folder with one; there is none" in printed
    path = put(tmp_path / "raw" / "a.h5", {"P01": dataset(1, "N m/kg")})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    code, printed = run(path, tmp_path / "store")
    assert code == 1 and line_with(printed, "a.h5", "damaged, or no HDF5 file")
    with h5py.File(path, "w"):
        pass
    code, printed = run(path, tmp_path / "store")
    assert code == 1 and line_with(printed, "a.h5", "holds no dataset")
    path.write_bytes(whole)
    (tmp_path / "raw" / "b.h5").write_bytes(whole)
    code, printed = run(tmp_path / "raw", tmp_path / "store")
    assert code == 1 and "there is a.h5, b.h5" in printed
    original = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    code, printed = run(path, tmp_path / "store")
    assert code == 1 and "reading HDF5 files needs h5py: pip install 'graphnets[data]'" in printed


def test_a_complete_store_is_left_alone(recipe: ModuleType, content: Content, tmp_path: Path, run: Run) -> None:
    path = put(tmp_path / "a.h5", content)
    run(path, tmp_path / "store")
    code, printed = run(path, tmp_path / "store")
    assert code == 0 and "is complete already: 9 sequences" in printed


def test_as_a_command(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "datasets" / "tan2022" / "prepare.py"),
        str(tmp_path),
        str(tmp_path / "store"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr and "must be an HDF5 file" in result.stderr


def test_the_card_speaks_of_the_release(recipe: ModuleType) -> None:
    card = recipe.load_card(recipe.CARD)
    joints = {name: Skeleton.load(spec["skeleton"]).joints for name, spec in card["modalities"].items()}
    short = {"left": "L", "right": "R"}
    assert [
        f"{short[j.split('_')[0]]}_{j.split('_')[1]}".upper() if "_" in j else j.upper() for j in joints["imu"]
    ] == [*recipe.SENSORS]
    video = [j.replace("pelvis", "MidHip").replace("left_", "L").replace("right_", "R") for j in joints["video2d_back"]]
    assert [name.lower() for name in video] == [point.lower() for point in recipe.POINTS]
    assert {"licence", "source", "citation", "traps"} <= set(card)
