"""Folds and seeds: what is run, that it resumes, and the table by hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from graphnets.data import StoreWriter

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("cross_validate", ROOT / "experiments/cross_validate.py")
assert SPEC is not None and SPEC.loader is not None
cv = importlib.util.module_from_spec(SPEC)
sys.modules["cross_validate"] = cv  # its dataclass looks itself up
SPEC.loader.exec_module(cv)

CARD = {
    "name": "tiny", "title": "Tiny", "description": "Made for tests", "licence": "MIT", "source": "tests",
    "modalities": {"pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"}},
    "labels": {"move": {"classes": ["up", "down"]}}, "protocols": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("cv")
    rng = np.random.default_rng(0)
    with StoreWriter(folder / "store", CARD) as writer:
        for subject in "abcd":
            for k in range(4):
                pose = rng.normal(size=(6, 20, 3)) + 3 * (k % 2)
                writer.add(f"{subject}{k}", subject, {"pose": (pose, None, 30.0)}, {"move": ("up", "down")[k % 2]})
    encoder = {
        "class_path": "graphnets.encoders.STGCN",
        "init_args": {"skeleton": "kinect20", "in_channels": 3, "widths": [4], "strides": [1], "kernel": 3},
    }
    objective = {"class_path": "graphnets.tasks.Classification", "init_args": {"label": "move", "num_classes": 2}}
    protocol = {"class_path": "graphnets.data.SubjectKFold", "init_args": {"fold": 0, "folds": 2, "val_subjects": 1}}
    config = {"model": {"encoder": encoder, "objectives": {"move": objective}}, "data": {"protocol": protocol}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return [
        "--config",
        str(folder / "config.yaml"),
        "--data.store",
        str(folder / "store"),
        "--runs",
        str(folder / "runs"),
    ]


def test_every_fold_with_every_seed() -> None:
    args, rest = cv.parse(
        ["--name", "n", "--folds", "2", "--seeds", "4", "7", "--config", "a.yaml", "--teacher", "t_f{fold}_s{seed}/x"]
    )
    every = cv.jobs(args, rest)
    assert [(job.name, job.fold, job.seed) for job in every] == [
        ("n_f0_s4", 0, 4), ("n_f1_s4", 1, 4), ("n_f0_s7", 0, 7), ("n_f1_s7", 1, 7),
    ]  # fmt: skip
    command = list(every[3].command)
    assert command[command.index("--teacher") + 1] == "t_f1_s7/x" and command[1].endswith("train.py")
    assert command[command.index("--seed_everything") + 1] == "7"
    assert command[command.index("--data.protocol.init_args.fold") + 1] == "1"
    args, rest = cv.parse(["--name", "n", "--folds", "3", "--baseline", "ridge", "--config", "a.yaml"])
    assert [job.seed for job in cv.jobs(args, rest)] == [1, 1, 1]


@pytest.mark.parametrize(
    "wrong", [["--folds", "1"], ["--folds", "3", "--seeds", "1", "1"], ["--folds", "2", "--workers", "0"]]
)
def test_wrong_numbers(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        cv.parse(["--name", "n", "--config", "a.yaml", *wrong])
    with pytest.raises(SystemExit):
        cv.parse(["--name", "n", "--folds", "2"])


def test_runs_resumes_and_copies(given: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runs = Path(given[-1])
    command = ["--name", "ridge", "--folds", "2", "--baseline", "ridge", "--workers", "2", *given]
    cv.main([*command, "--records", str(tmp_path / "records")])
    assert "move/accuracy" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "records").iterdir()) == ["ridge_f0_s1.json", "ridge_f1_s1.json"]
    first = (runs / "ridge_f0_s1/metrics.json").stat().st_mtime_ns
    record = json.loads((runs / "ridge_f1_s1/metrics.json").read_text())
    assert record["fold"] == 1 and record["test"]["move/accuracy"] == 1.0
    (runs / "ridge_f1_s1/metrics.json").unlink()
    cv.main(command)
    assert (runs / "ridge_f0_s1/metrics.json").stat().st_mtime_ns == first
    assert (runs / "ridge_f1_s1/metrics.json").exists()
    with pytest.raises(SystemExit, match="2 of 2 runs failed"):
        cv.main(["--name", "bad", *command[2:], "--data.store", "nowhere"])


def test_table_by_hand(given: list[str], tmp_path: Path) -> None:
    template: dict[str, Any] = json.loads((Path(given[-1]) / "ridge_f0_s1/metrics.json").read_text())
    found = {(0, 1): 0.5, (1, 1): 0.7, (0, 2): 0.6, (1, 2): 1.0}
    every = []
    for (fold, seed), value in found.items():
        job = cv.Job(f"x_f{fold}_s{seed}", fold, seed, ())
        record = {**template, "fold": fold, "seed": seed, "test": {"move/accuracy": value}}
        (tmp_path / job.name).mkdir()
        (tmp_path / job.name / "metrics.json").write_text(json.dumps(record))
        every.append(job)
    (cells,) = zip(*(column._cells for column in cv.table(every, tmp_path, "t").columns), strict=True)
    # seeds: 0.6 and 0.8; folds: 0.55 and 0.85
    assert cells == ("move/accuracy", "0.7000", "0.1414", "0.2121", "0.5500", "0.8500")
