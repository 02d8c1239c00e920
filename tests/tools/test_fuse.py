"""Score fusion against the sum of the probabilities in the prediction tables."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from graphnets.data.scripts import run_script

TOOL = Path(__file__).parents[2] / "tools/fuse.py"
CLASSES = ["1", "None", "c"]  # names that a careless reader takes for something else


def write_run(folder: Path, draw: int, **changes: object) -> pd.DataFrame:
    rng = np.random.default_rng(draw)
    p = rng.dirichlet(np.ones(3), size=30)
    table = pd.DataFrame(p, columns=[f"p[{c}]" for c in CLASSES])
    table.insert(0, "predicted", [CLASSES[i] for i in p.argmax(1)])
    table.insert(0, "true", [CLASSES[i % 3] for i in range(30)])
    table.insert(0, "subject", "s")
    table.insert(0, "id", [f"r{i}" for i in range(30)])
    folder.mkdir()
    table.to_csv(folder / "predictions.csv", index=False)
    record = {
        "dataset": "d", "protocol": "p", "seed": 1, "fold": None, "n_test": 30, "store_checksum": "c", "n_train": 5,
        "n_val": 0, "subjects": {"train": ["t"], "val": [], "test": ["s"]}, "test": {"move/accuracy": 0.5},
        "classes": {"move": CLASSES}, "parameters": 10, "wall_seconds": 1.5, "variant": folder.name,
        "config": {},
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(record | changes))
    return table


class Done(NamedTuple):
    returncode: int
    stderr: str


def load() -> ModuleType:
    """The script as a module under a name of its own: tools/ is no package."""
    spec = importlib.util.spec_from_file_location("fuse_script", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load()


@pytest.fixture
def fuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            run_script(script.main, arguments)
        return Done(int(ended.value.code or 0), capsys.readouterr().err)

    return run


def test_fusion_is_the_weighted_sum(tmp_path: Path, fuse: Callable[..., Done]) -> None:
    tables = [write_run(tmp_path / f"r{i}", i) for i in range(3)]
    done = fuse("r0", "r1", "r2", "--weights", "2", "1", "1", "--name", "f", "--variant", "three")
    assert done.returncode == 0, done.stderr
    columns = [f"p[{c}]" for c in CLASSES]
    expected = sum(w * t[columns].to_numpy() for w, t in zip((0.5, 0.25, 0.25), tables, strict=True))
    record = json.loads((tmp_path / "runs/f/metrics.json").read_text())
    truth = tables[0]["true"].map(CLASSES.index).to_numpy()
    assert record["test"]["move/accuracy"] == pytest.approx((expected.argmax(1) == truth).mean(), abs=1e-6)
    table = pd.read_csv(tmp_path / "runs/f/predictions.csv")
    assert np.allclose(table[columns], expected, atol=1e-6)
    assert record["config"] == {"fusion": ["r0", "r1", "r2"], "weights": [0.5, 0.25, 0.25]}
    assert record["weights"] == [0.5, 0.25, 0.25]
    again = fuse("r0", "r1", "--name", "f")
    assert again.returncode != 0 and "there already" in again.stderr
    assert (record["variant"], record["parameters"], record["wall_seconds"]) == ("three", 30, 4.5)
    assert sum(map(sum, record["confusion"]["move"])) == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"seed": 2}, "seed is 2"), ({"store_checksum": "x"}, "store_checksum"), ({"test": {}}, "tested run")],
)
def test_runs_that_cannot_be_compared_are_refused(
    tmp_path: Path, fuse: Callable[..., Done], changes: dict, message: str
) -> None:
    write_run(tmp_path / "r0", 0)
    write_run(tmp_path / "r1", 1, **changes)
    done = fuse("r0", "r1", "--name", "f")
    assert done.returncode != 0 and message in done.stderr and "r1" in done.stderr
    assert not (tmp_path / "runs/f/metrics.json").exists()


def test_unfinished_run_is_named(tmp_path: Path, fuse: Callable[..., Done]) -> None:
    write_run(tmp_path / "r0", 0)
    done = fuse("r0", "nowhere", "--name", "f")
    assert done.returncode != 0 and "nowhere: no metrics.json" in done.stderr


def test_weights_must_fit(tmp_path: Path, fuse: Callable[..., Done]) -> None:
    write_run(tmp_path / "r0", 0)
    assert "one each" in fuse("r0", "--weights", "1", "2", "--name", "f").stderr


def cross_entropy(tables: list[pd.DataFrame], weights: tuple[float, ...]) -> float:
    """By a loop over the recordings."""
    total = 0.0
    for i, label in enumerate(tables[0]["true"]):
        total -= np.log(sum(w * table[f"p[{label}]"][i] for w, table in zip(weights, tables, strict=True)))
    return total / len(tables[0])


def test_weights_chosen_on_validation_are_the_best_of_a_grid(tmp_path: Path, fuse: Callable[..., Done]) -> None:
    for i in range(3):
        write_run(tmp_path / f"r{i}", i)
        table = write_run(tmp_path / f"v{i}", 10 + i)
        right = table["true"].map(CLASSES.index).to_numpy()
        table.loc[np.arange(30) % 4 < i, [f"p[{c}]" for c in CLASSES]] = 0.1  # the later, the more it knows
        for row in np.flatnonzero(np.arange(30) % 4 < i):
            table.loc[row, f"p[{CLASSES[right[row]]}]"] = 0.8
        table.to_csv(tmp_path / f"r{i}/predictions_val.csv", index=False)
    done = fuse("r0", "r1", "r2", "--weights", "validation", "--name", "f")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs/f/metrics.json").read_text())
    chosen = record["weights"]
    assert record["config"] == {"fusion": ["r0", "r1", "r2"], "weights": "validation"}  # alike for all seeds
    tables = [pd.read_csv(tmp_path / f"r{i}/predictions_val.csv", keep_default_na=False) for i in range(3)]
    grid = [(a / 20, b / 20, 1 - (a + b) / 20) for a in range(21) for b in range(21 - a)]
    assert sum(chosen) == pytest.approx(1)
    assert cross_entropy(tables, tuple(chosen)) <= min(cross_entropy(tables, weights) for weights in grid) + 1e-6
    assert chosen[2] > chosen[0]

    same = fuse("r0", "r1", "r2", "--weights", "runs/f", "--name", "g")
    assert same.returncode == 0, same.stderr
    again = json.loads((tmp_path / "runs/g/metrics.json").read_text())
    assert again["weights"] == chosen
    assert again["config"]["weights"] == f"validation, on protocol {record['protocol']}"


def test_weights_that_cannot_be_had_are_refused(tmp_path: Path, fuse: Callable[..., Done]) -> None:
    write_run(tmp_path / "r0", 0)
    write_run(tmp_path / "r1", 1)
    assert "no predictions_val.csv" in fuse("r0", "r1", "--weights", "validation", "--name", "f").stderr
    assert "neither 'equal'" in fuse("r0", "r1", "--weights", "best", "--name", "f").stderr
    assert "none below 0" in fuse("r0", "r1", "--weights", "0", "0", "--name", "f").stderr
    fuse("r0", "--name", "alone")
    assert "a fusion of ['r0']" in fuse("r0", "r1", "--weights", "runs/alone", "--name", "f").stderr
