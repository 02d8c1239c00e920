"""Score fusion against the sum of the probabilities in the prediction tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(record | changes))
    return table


def fuse(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *arguments], cwd=tmp_path, capture_output=True, text=True)


def test_fusion_is_the_weighted_sum(tmp_path: Path) -> None:
    tables = [write_run(tmp_path / f"r{i}", i) for i in range(3)]
    done = fuse(tmp_path, "r0", "r1", "r2", "--weights", "2", "1", "1", "--name", "f", "--variant", "three")
    assert done.returncode == 0, done.stderr
    columns = [f"p[{c}]" for c in CLASSES]
    expected = sum(w * t[columns].to_numpy() for w, t in zip((0.5, 0.25, 0.25), tables, strict=True))
    record = json.loads((tmp_path / "runs/f/metrics.json").read_text())
    truth = tables[0]["true"].map(CLASSES.index).to_numpy()
    assert record["test"]["move/accuracy"] == pytest.approx((expected.argmax(1) == truth).mean(), abs=1e-6)
    table = pd.read_csv(tmp_path / "runs/f/predictions.csv")
    assert np.allclose(table[columns], expected, atol=1e-6)
    assert record["config"]["fusion"] == [{"variant": f"r{i}", "weight": w} for i, w in enumerate((0.5, 0.25, 0.25))]
    again = fuse(tmp_path, "r0", "r1", "--name", "f")
    assert again.returncode != 0 and "there already" in again.stderr
    assert (record["variant"], record["parameters"], record["wall_seconds"]) == ("three", 30, 4.5)
    assert sum(map(sum, record["confusion"]["move"])) == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"seed": 2}, "seed is 2"), ({"store_checksum": "x"}, "store_checksum"), ({"test": {}}, "tested run")],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    write_run(tmp_path / "r0", 0)
    write_run(tmp_path / "r1", 1, **changes)
    done = fuse(tmp_path, "r0", "r1", "--name", "f")
    assert done.returncode != 0 and message in done.stderr and "r1" in done.stderr
    assert not (tmp_path / "runs/f/metrics.json").exists()


def test_unfinished_run_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "r0", 0)
    done = fuse(tmp_path, "r0", "nowhere", "--name", "f")
    assert done.returncode != 0 and "nowhere: no metrics.json" in done.stderr


def test_weights_must_fit(tmp_path: Path) -> None:
    write_run(tmp_path / "r0", 0)
    assert "one each" in fuse(tmp_path, "r0", "--weights", "1", "2", "--name", "f").stderr
