from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from graphnets.data.scripts import run_script

TOOLS = Path(__file__).parents[2] / "tools"


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_sound_store(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_tool("validate").main([str(store_path)]) == 0
    printed = capsys.readouterr().out
    assert f"{store_path} is sound: 12 sequences" in printed and "pose" in printed and "imu" in printed


def test_every_problem_is_a_row(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = (store_path / "index.csv").read_text()
    (store_path / "index.csv").write_text(index.replace("squat", "[red]squad", 1).replace("s3_02,", "s1_00,", 1))
    imu = np.load(store_path / "imu.npy")
    imu[0, 3, 0] = np.nan
    np.save(store_path / "imu.npy", imu)
    (store_path / "pose.npy").unlink()
    assert load_tool("validate").main([str(store_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("problem(s) in" in line and line.startswith("6 ") for line in lines)
    for parts in (
        ("index.csv", "3", "[red]squad", "is no exercise; allowed are squat, lunge, walk"),
        ("index.csv", "4", "s1_00", "this id stands in row 2 already"),
        ("imu.npy", "2", "nan at frame 0, joint 'gyro_x'", "must be finite where observed"),
        ("pose.npy", "missing"),
        ("index.csv", "the file was changed"),
        ("imu.npy", "the file was changed"),
    ):
        assert any(all(part in line for part in parts) for line in lines), (parts, lines)


def test_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        run_script(load_tool("validate").main, [str(tmp_path / "absent")])
    assert exit.value.code == 1 and "no such folder" in capsys.readouterr().out


def test_reading_is_profiled(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = load_tool("profile_reading")
    assert profile.main([str(store_path), "--modality", "imu", "--rounds", "2", "--batch-size", "4"]) == 0
    printed = capsys.readouterr().out
    for way in ("Store.read", "DataLoader of MotionDataset", "PyG DataLoader"):
        assert way in printed
    with pytest.raises(ValueError, match="rounds is 0"):
        profile.main([str(store_path), "--rounds", "0"])
