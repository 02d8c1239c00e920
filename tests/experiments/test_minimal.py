"""The example without the command line runs and leaves the same kind of record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from graphnets.tasks import Task

ROOT = Path(__file__).parents[2]


def test_minimal_trains_and_records(tmp_path: Path) -> None:
    recipe = [str(ROOT / "datasets/synthetic/prepare.py"), "store", "--subjects", "3", "--repetitions", "1"]
    example = [str(ROOT / "experiments/minimal.py"), "store", "run", "--epochs", "1"]
    for command in (recipe, example):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run/metrics.json").read_text())
    assert record["protocol"] == "by_subject" and record["config"]["model"]["encoder"]["class_path"].endswith("STGCN")
    task = Task.from_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert record["parameters"] == sum(p.numel() for p in task.parameters())
