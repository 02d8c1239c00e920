"""Baselines against the closed forms, written another way, and against predicting by hand."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from graphnets.data import Store, StoreWriter

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("baseline", ROOT / "experiments/baseline.py")
assert SPEC is not None and SPEC.loader is not None
baseline = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(baseline)

CARD = {
    "name": "lines",
    "title": "Forces that follow a joint",
    "description": "Made for tests",
    "licence": "MIT",
    "source": "tests",
    "modalities": {
        "pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"},
        "force": {"skeleton": "imu_axes6", "channels": ["value"], "unit": "N"},
    },
    "labels": {"move": {"classes": ["up", "down"]}},
    "protocols": {
        "validated": {"train": ["a", "b"], "val": ["c"], "test": ["d"]},
        "bare": {"train": ["a"], "test": ["d"]},
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "lines"
    rng = np.random.default_rng(0)
    with StoreWriter(path, CARD) as writer:
        for subject in "abcd":
            for trial in range(20):
                move = ("up", "down")[trial % 2]
                pose = (1e-7 * rng.normal(size=(8, 20, 3))).astype(np.float32)  # too little to count
                pose[:, 0, 0] = rng.normal(size=8)
                pose[:, 0, 0] += 3 if move == "up" else -3
                force = np.repeat(2 * pose[:, :1, :1] + 5, 6, axis=1)
                force[0, 1] = np.nan
                known = np.isfinite(force[..., 0])
                clip = {"pose": (pose, None, 30.0), "force": (force, known, 30.0)}
                writer.add(f"{subject}{trial}", subject, clip, {"move": move})
    return path


def config(tmp_path: Path, objective: dict[str, object]) -> list[str]:
    encoder = {
        "class_path": "graphnets.encoders.STGCN",
        "init_args": {"skeleton": "kinect20", "in_channels": 3, "widths": [4], "strides": [1], "kernel": 3},
    }
    content = {"model": {"encoder": encoder, "objectives": {"it": objective}}, "data": {"protocol": "validated"}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return ["--config", str(path), "--runs", str(tmp_path / "runs")]


MOVE = {"class_path": "graphnets.tasks.Classification", "init_args": {"label": "move", "num_classes": 2}}


def force(store: Path) -> dict[str, object]:
    names = list(Store(store).sequence(0)["force"].skeleton.joints[:2])
    init = {"target": "force", "joints": names, "channels": ["value"]}
    return {"class_path": "graphnets.tasks.SequenceRegression", "init_args": init}


def test_ridge_is_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 7)), rng.normal(size=(30, 2))
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    predictors = baseline.ridges(torch.from_numpy(x), torch.from_numpy(y))
    new = torch.from_numpy(rng.normal(size=(5, 7)))
    for strength, predict in zip(baseline.STRENGTHS, predictors, strict=True):
        w = np.linalg.solve(z.T @ z + strength * 7 * np.eye(7), z.T @ (y - y.mean(0)))
        wanted = ((new.numpy() - x.mean(0)) / x.std(0, ddof=1)) @ w + y.mean(0)
        assert np.allclose(predict(new).numpy(), wanted, atol=1e-8)


def test_ridge_tells_classes_and_forces_apart(store: Path, tmp_path: Path) -> None:
    given = [*config(tmp_path, MOVE), "--data.store", str(store), "--name", "ridge"]
    record = baseline.main(["ridge", *given])
    assert record["test"]["it/accuracy"] == 1.0 and record["variant"] == "ridge" and record["parameters"] == 0
    assert json.loads((tmp_path / "runs/ridge/metrics.json").read_text())["test"] == record["test"]
    regression = [*config(tmp_path, force(store)), "--data.store", str(store)]
    ridge = baseline.main(["ridge", *regression, "--name", "force", "--data.modalities", "[pose, force]"])
    mean = baseline.main(["mean", *regression, "--name", "mean", "--data.modalities", "[pose, force]"])
    assert ridge["test"]["it/rmse"] < 0.2 * mean["test"]["it/rmse"]


def test_the_mean_curve_is_the_mean_over_the_training_side(store: Path, tmp_path: Path) -> None:
    regression = [*config(tmp_path, force(store)), "--data.store", str(store), "--data.modalities", "[pose, force]"]
    record = baseline.main(["mean", *regression, "--name", "mean"])
    batch = Store(store).read(torch.arange(80), ["force"])
    y = batch["force"].x[:, :, :2, 0].double()
    y = y.masked_fill(~batch["force"].mask[:, :, :2], torch.nan)
    errors = (y[60:] - y[:40].nanmean(0)).square().nanmean((0, 1)).sqrt()
    assert record["test"]["it/rmse"] == pytest.approx(float(errors.mean()), rel=1e-4)


def test_nobody_to_choose_by(store: Path, tmp_path: Path) -> None:
    given = [*config(tmp_path, MOVE), "--data.store", str(store), "--data.protocol", "bare", "--name", "ridge"]
    with pytest.raises(SystemExit, match="has no validation subjects to choose by"):
        baseline.main(["ridge", *given])
