from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from graphnets.data import Store, StoreWriter, validate
from graphnets.data.files import combined_sha256, sha256

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]
LineWith = Callable[..., bool]
MASS, HEIGHT, SPEED = 80.0, 1.8, 0.5
# The right half of somebody who stands at x = 0, in mm: x forward, y up, z to the right.
HALF = {
    "IAS": (100, 1000, 120), "IPS": (-50, 1000, 40), "FTC": (0, 900, 180), "FLE": (10, 500, 150), "FME": (10, 500, 50),
    "FAX": (0, 460, 150), "TTC": (50, 450, 105), "FAL": (0, 90, 140), "TAM": (0, 90, 70), "FCC": (-50, 30, 100),
    "FM1": (130, 30, 80), "FM2": (140, 30, 100), "FM5": (110, 30, 140), "SAE": (0, 1450, 200), "HLE": (0, 1150, 260),
    "HME": (0, 1150, 200), "RSP": (20, 900, 270), "UHE": (-20, 900, 270),
}  # fmt: skip
MIDDLE = {"CV7": (-60, 1500, 0), "SJN": (40, 1420, 0)}
STAND = {
    **{f"R_{name}": np.array(at, float) for name, at in HALF.items()},
    **{f"L_{name}": np.array(at, float) * [1, 1, -1] for name, at in HALF.items()},
    **{name: np.array(at, float) for name, at in MIDDLE.items()},
}
RIGHT, LEFT = (0.2, 0.7), (0.9, 1.4)  # seconds on the plates
ON_BODY = np.array([0.05, 1.0, -0.02])
"""Direction of the force on the right foot."""
LEVER = np.array([-40.0, 0.0, 70.0])
"""Centre of pressure under the right foot, mm."""


def walk(times: np.ndarray) -> dict[str, np.ndarray]:
    """Markers in mm: the person glides forward without moving a limb."""
    moved = 1000 * SPEED * times[:, None] * [1.0, 0.0, 0.0]
    return {name: at + moved for name, at in STAND.items()}


def trc(path: Path, points: dict[str, np.ndarray], fps: float = 100.0) -> None:
    frames = len(next(iter(points.values())))
    rows = [
        "PathFileType\t4\t(X/Y/Z)\tx.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps}\t{fps}\t{frames}\t{len(points)}\tmm\t{fps}\t0\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(points),
        "",
        "",
    ]
    for t in range(frames):
        cells = ["" if np.isnan(v) else f"{v:.10g}" for at in points.values() for v in at[t]]
        rows.append("\t".join([str(t + 1), f"{t / fps:.10g}", *cells, ""]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*rows, ""]))


def push(times: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    inside = (times > span[0]) & (times < span[1])
    return np.where(inside, 900 * np.sin(np.pi * (times - span[0]) / (span[1] - span[0])) ** 2, 0.0)


def mot(
    path: Path, spans: tuple[tuple[float, float], ...] = (RIGHT, LEFT), last: float = 1.6, rate: int = 1000
) -> None:
    times = np.arange(round(last * rate) + 1) / rate
    names, values = ["time"], [times]
    for number, span in enumerate(spans, 1):
        turn = [1.0, 1.0, 1.0 if number == 1 else -1.0]
        force = push(times, span)[:, None] * (ON_BODY * turn)
        at = (walk(times)["R_FLE"] - STAND["R_FLE"] + LEVER * turn) / 1000 * (force[:, 1:2] > 0)
        for kind, xyz in (("v", force), ("p", at), ("m", 0 * at)):
            names += [f"ground_force_{number}_{kind}{axis}" for axis in "xyz"]
            values += list(xyz.T)
    rows = ["\t".join(f"{v:.10g}" for v in row) for row in np.stack(values, axis=1)]
    head = ["x", "version=1", f"nRows={len(times)}", f"nColumns={len(names)}", "inDegrees=no", "endheader"]
    path.write_text("\n".join([*head, "\t".join(names), *rows, ""]))


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("schreiber2019")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for subject, speed in (("2014001", "C4"), ("2014004", "C5")):
        trial = root / subject / "dynamic" / f"{subject}_{speed}_03.trc"
        trc(trial, walk(np.arange(161) / 100))
        mot(trial.with_name(f"{trial.stem}_grf.mot"))
        turned = Rotation.from_euler("y", 80, degrees=True)
        still = {name: np.tile(turned.apply(at) + np.array([500, 0, 300]), (2, 1)) for name, at in STAND.items()}
        trc(root / subject / "static" / f"{subject}_ST.trc", still)
    people = "subjectID,gender,age,height,mass\n" + "".join(
        f"{s},M,30,{HEIGHT},{MASS}\n" for s in ("2014001", "2014004")
    )
    (root / "anthropometrics.csv").write_text(people)
    return root


def trial_of(raw: Path) -> Path:
    return raw / "2014001" / "dynamic" / "2014001_C4_03.trc"


def test_a_store_of_stances(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    code, printed = run(raw, tmp_path / "store")
    assert code == 0, printed
    assert validate(tmp_path / "store") == []
    store = Store(tmp_path / "store")
    assert list(store.ids) == [f"{s}_03_{side}" for s in ("2014001_C4", "2014004_C5") for side in ("left", "right")]
    assert list(store.index["side"]) == ["left", "right"] * 2
    assert list(store.index["speed"]) == ["spontaneous"] * 2 + ["fast"] * 2
    assert float(store.index["walking_speed"][0]) == pytest.approx(SPEED, abs=1e-3)
    assert set(store.index["reconstructed"]) == {"0"} and float(store.index["height"][0]) == HEIGHT
    stance = store[1]
    times = np.arange(161) / 100
    # Frames at which the force is 20 N or more.
    frames = np.flatnonzero(push(times, RIGHT) >= 20)
    assert stance["pose"].x.shape == (len(frames), 20, 3) and stance["pose"].fps == 100
    assert "the protocol by_subject is left out" in printed and "protocols" not in (store.card["protocols"] or {})
    files = {str(p.relative_to(raw)): sha256(p) for p in raw.rglob("*") if p.is_file() and p.parent.name != "static"}
    assert store.card["source_checksum"] == combined_sha256(files)


def test_joints_are_where_the_markers_say(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    skeleton, pose = store.skeleton("pose"), store[1]["pose"].x.numpy()
    step = SPEED / 100
    np.testing.assert_allclose(np.diff(pose[..., 0], axis=0), step, atol=1e-5)
    begin = pose[0] - pose[0, skeleton.index("right_heel")] + STAND["R_FCC"] / 1000
    expected = {
        "right_knee": (0.01, 0.5, 0.1), "left_knee": (0.01, 0.5, -0.1), "right_ankle": (0, 0.09, 0.105),
        "left_big_toe": (0.13, 0.03, -0.08), "right_small_toe": (0.11, 0.03, 0.14), "neck": (-0.01, 1.46, 0),
        "left_shoulder": (0, 1.45, -0.2), "right_elbow": (0, 1.15, 0.23), "left_wrist": (0, 0.9, -0.27),
        "right_hip": (0.1 - 0.24 * 0.15 - 0.0099, 1 - 0.3 * 0.24 - 0.0109, 0.33 * 0.24 + 0.0073),
        "pelvis": (0.1 - 0.24 * 0.15 - 0.0099, 1 - 0.3 * 0.24 - 0.0109, 0),
    }  # fmt: skip
    for name, at in expected.items():
        np.testing.assert_allclose(begin[skeleton.index(name)], at, atol=1e-5, err_msg=name)


def test_targets_by_hand_and_left_like_right(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "store")
    store = Store(tmp_path / "store")
    left, right = store[0], store[1]
    frames = np.flatnonzero(push(np.arange(161) / 100, RIGHT) >= 20)
    size = push(np.arange(161) / 100, RIGHT)[frames, None]
    # The shank leans by what the ankle lies behind the knee and outside of it; its frame from the definition.
    up = np.array([0.01, 0.41, -0.005])
    up /= np.linalg.norm(up)
    forward = np.cross(up, [0, 0, 1.0])
    forward /= np.linalg.norm(forward)
    lateral = np.cross(forward, up)
    moment = np.cross(LEVER / 1000 - [0.01, 0.5, 0.1], ON_BODY)
    unit = [-moment @ lateral / MASS, moment @ forward / MASS]  # flexion, adduction
    assert unit[0] > 0 and unit[1] > 0
    weight = MASS * 9.81
    expected = size * [*unit, ON_BODY[1] / weight, ON_BODY[0] / weight, -ON_BODY[2] / weight]
    share = (right["kinetics"].x[..., 0].numpy() - expected) / np.abs(expected).max(0)
    np.testing.assert_allclose(share, 0.0, atol=0.01)  # the low-pass changes little
    n = min(len(left["kinetics"].x), len(frames))
    np.testing.assert_allclose(left["kinetics"].x[:n].numpy(), right["kinetics"].x[:n].numpy(), atol=2e-3)
    np.testing.assert_allclose(left["pose"].x[:n, :, 1:].numpy(), right["pose"].x[:n, :, 1:].numpy(), atol=1e-5)


def without(points: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    return {name: at for name, at in points.items() if name not in names}


def test_medial_markers_from_the_static_trial(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    run(raw, tmp_path / "whole")
    trc(trial_of(raw), without(walk(np.arange(161) / 100), "L_FME", "R_FME", "L_TAM", "R_TAM"))
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and "1 trials lack medial markers, which the static trial gives instead: 2014001_C4_03" in printed
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "store")
    assert list(store.index["reconstructed"]) == ["1", "1", "0", "0"]
    for row in range(4):
        for name in ("pose", "kinetics"):
            np.testing.assert_allclose(store[row][name].x.numpy(), whole[row][name].x.numpy(), atol=1e-5)
    assert "2014001/static/2014001_ST.trc" not in whole.card["files"]
    shutil.rmtree(raw / "2014001" / "static")
    code, printed = run(raw, tmp_path / "again")
    assert code == 1 and "2014001_ST.trc" in printed and "can't be read" in printed


def test_what_was_not_seen_is_masked(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run) -> None:
    points = walk(np.arange(161) / 100)
    points["R_FLE"][40:45] = np.nan
    points["L_IAS"][50] = np.nan
    trc(trial_of(raw), points)
    code, printed = run(raw, tmp_path / "store")
    assert code == 0, printed
    store = Store(tmp_path / "store")
    first = int(np.flatnonzero(push(np.arange(161) / 100, RIGHT) >= 20)[0])
    pose, kinetics, index = store[1]["pose"], store[1]["kinetics"], store.skeleton("pose").index
    gone = np.zeros(len(pose.x), dtype=bool)
    gone[40 - first : 45 - first] = True
    assert np.array_equal(~pose.mask[:, index("right_knee")].numpy(), gone)
    assert np.array_equal(~kinetics.mask[:, 0].numpy(), gone) and np.array_equal(~kinetics.mask[:, 1].numpy(), gone)
    assert kinetics.mask[:, 2:].all() and pose.mask[:, index("left_knee")].all()
    lost = np.flatnonzero(~pose.mask[:, index("pelvis")].numpy())
    assert lost.tolist() == [50 - first] and not pose.mask[lost[0], index("left_hip")]


def test_contacts_that_are_cut_off_or_short_are_no_stances(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run
) -> None:
    plates = trial_of(raw).with_name("2014001_C4_03_grf.mot")
    mot(plates, (RIGHT, (1.3, 1.9)))
    assert run(raw, tmp_path / "store")[0] == 0
    assert [id for id in Store(tmp_path / "store").ids if id.startswith("2014001")] == ["2014001_C4_03_right"]
    mot(plates, (RIGHT, (1.0, 1.2)))
    assert run(raw, tmp_path / "again")[0] == 0
    assert [id for id in Store(tmp_path / "again").ids if id.startswith("2014001")] == ["2014001_C4_03_right"]


def test_an_interrupted_run_goes_on(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(raw, tmp_path / "whole")
    original, added = StoreWriter.add, iter(range(100))

    def interrupted(self: StoreWriter, *arguments: object) -> None:
        if next(added) == 2:
            raise KeyboardInterrupt
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(StoreWriter, "add", interrupted)
    assert run(raw, tmp_path / "store")[0] == 130 and not (tmp_path / "store").exists()
    assert run(raw, tmp_path / "store")[0] == 0 and next(added) == 5
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "store" / path.name).read_bytes()
    code, printed = run(raw, tmp_path / "store")
    assert code == 0 and "is complete already: 4 sequences" in printed


def backwards(raw: Path) -> None:
    points = walk(np.arange(161) / 100)
    trc(trial_of(raw), {name: at[::-1] for name, at in points.items()})


def aside(raw: Path) -> None:
    trc(trial_of(raw), {name: at + np.array([0, 0, 600]) for name, at in walk(np.arange(161) / 100).items()})


def together(raw: Path) -> None:
    points = walk(np.arange(161) / 100)
    feet = {f"L_{m}": points[f"R_{m}"] for m in ("FCC", "FM1", "FM2", "FM5")}
    trc(trial_of(raw), {**points, **feet})


def people(raw: Path, old: str, new: str) -> None:
    path = raw / "anthropometrics.csv"
    path.write_text(path.read_text().replace(old, new))


def plates(raw: Path, old: str, new: str) -> None:
    path = trial_of(raw).with_name("2014001_C4_03_grf.mot")
    path.write_text(path.read_text().replace(old, new))


NAME = "2014001/dynamic/2014001_C4_03"
# What is done to the folder, and the parts of the line that must be printed about it.
FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no plates": (lambda r: trial_of(r).with_name("2014001_C4_03_grf.mot").unlink(), (f"{NAME}_grf.mot", "can't be read")),
    "name": (lambda r: trial_of(r).rename(trial_of(r).with_name("walk.trc")), ("walk.trc", "not a name like 2014001_C4_01.trc")),
    "another's name": (lambda r: trial_of(r).rename(trial_of(r).with_name("2014004_C4_03.trc")), ("not a name like 2014001_C4_01.trc",)),
    "no markers": (lambda r: trc(trial_of(r), without(walk(np.arange(161) / 100), "R_FLE", "CV7")), (f"{NAME}.trc", "CV7, R_FLE", "these markers are missing")),
    "rate": (lambda r: trc(trial_of(r), walk(np.arange(161) / 100), 100.0) or trial_of(r).write_text(trial_of(r).read_text().replace("100.0", "120.0")), (f"{NAME}.trc", "120", "1 / DataRate apart")),
    "backwards": (backwards, (f"{NAME}.trc", "-0.500 m/s", "along x, forwards")),
    "aside": (aside, (f"{NAME}.trc", "plate 1, 0.22 to 0.68 s: no foot is within 0.15 m")),
    "together": (together, (f"{NAME}.trc", "plate 1", "both feet are within 0.15 m")),
    "no contact": (lambda r: mot(trial_of(r).with_name("2014001_C4_03_grf.mot"), ((5.0, 6.0),)), (f"{NAME}_grf.mot", "has no clean contact of a foot")),
    "slow plates": (lambda r: mot(trial_of(r).with_name("2014001_C4_03_grf.mot"), rate=100), (f"{NAME}_grf.mot", "100 a second", "200 a second or more")),
    "columns": (lambda r: plates(r, "ground_force_1_py", "x"), (f"{NAME}_grf.mot", "ground_force_1_py", "these columns are missing")),
    "blank": (lambda r: plates(r, "\n0.5\t", "\n0.5\tnan\t"), (f"{NAME}_grf.mot", "20 cells", "must have 19")),
    "subject": (lambda r: people(r, "2014001", "2014999"), ("anthropometrics.csv", "2014001", "this subject is missing")),
    "subject twice": (lambda r: people(r, "2014004", "2014001"), ("anthropometrics.csv", "3", "this subject is there twice")),
    "height": (lambda r: people(r, "1.8,80.0\n2014004", "180,80.0\n2014004"), ("anthropometrics.csv", "2", "180", "height must be in m")),
    "mass": (lambda r: people(r, "80.0\n2014004", "\n2014004"), ("anthropometrics.csv", "2", "mass must be in kg")),
    "column": (lambda r: people(r, "mass", "weight"), ("anthropometrics.csv", "columns mass are missing")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said(
    recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith, fault: str
) -> None:
    spoil, parts = FAULTS[fault]
    spoil(raw)
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "nothing was written" in " ".join(printed.split())
    assert line_with(printed, *parts), printed
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_all_problems_at_once(recipe: ModuleType, raw: Path, tmp_path: Path, run: Run, line_with: LineWith) -> None:
    backwards(raw)
    (raw / "2014004" / "dynamic" / "2014004_C5_03_grf.mot").unlink()
    code, printed = run(raw, tmp_path / "store")
    assert code == 1 and "2 problem(s)" in printed and line_with(printed, "2014004_C5_03_grf.mot", "can't be read")


def test_as_a_command(tmp_path: Path) -> None:
    script = ROOT / "datasets" / "schreiber2019" / "prepare.py"
    command = [sys.executable, str(script), str(tmp_path), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "anthropometrics.csv: no such file" in result.stderr


def test_the_card_speaks_of_the_release(recipe: ModuleType) -> None:
    card = recipe.load_card(recipe.CARD)
    assert card["labels"]["speed"]["classes"] == list(recipe.SPEEDS.values())
    split = card["protocols"]["by_subject"]
    named = [subject for side in split.values() for subject in side]
    assert len(named) == len(set(named)) == 18 and {"licence", "source", "citation", "traps"} <= set(card)
