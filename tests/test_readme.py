"""What the README shows works when pasted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = {match[1]: match[2] for match in re.finditer(r"```python\n# (\w+\.py)\n(.*?)```", README, flags=re.DOTALL)}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("somewhere")
    for name, code in BLOCKS.items():
        (path / name).write_text(code)
    return path


def test_blocks_are_found() -> None:
    assert set(BLOCKS) == {"mynet.py", "test_mynet.py", "prepare.py", "mylosses.py"}
    body = [line for line in BLOCKS["mynet.py"].splitlines() if line.strip()]
    assert len(body) <= 12, "it says twelve lines"


def test_a_loss_of_ones_own(folder: Path) -> None:
    code = (
        "import torch; from mylosses import Cosine; from graphnets.tasks import Distillation; "
        "loss = Distillation('a.ckpt', Cosine()).criterion; z = torch.randn(4, 3); "
        "print(round(float(loss(z, 2 * z)), 6), round(float(loss(z, -z)), 6))"
    )
    done = run(folder, "-c", code)
    assert done.returncode == 0, done.stderr
    zero, two = map(float, done.stdout.split())
    assert abs(zero) < 1e-5 and abs(two - 2) < 1e-5


def test_own_data_and_own_backbone(folder: Path) -> None:
    done = run(folder, "prepare.py")
    assert done.returncode == 0, done.stderr
    done = run(folder, str(ROOT / "tools/validate.py"), "stores/mine")
    assert done.returncode == 0, done.stdout + done.stderr
    arguments = [
        "--config", str(ROOT / "experiments/configs/synthetic/exercise.yaml"), "--data.store", "stores/mine",
        "--model.encoder", "mynet.MyNet", "--model.encoder.skeleton", "coco17", "--model.encoder.in_channels", "5",
        "--model.objectives.exercise.num_classes", "2", "--wandb", "disabled", "--variant", "mynet",
        "--name", "mynet", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false",
    ]  # fmt: skip
    done = run(folder, str(ROOT / "experiments/train.py"), *arguments)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "runs/mynet/metrics.json").read_text())
    assert record["config"]["model"]["encoder"]["class_path"] == "mynet.MyNet"
    assert record["n_test"] == 2


def test_own_backbone_keeps_the_contract(folder: Path) -> None:
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mynet.py")
    assert done.returncode == 0, done.stdout


def test_files_and_folders_that_it_names_exist() -> None:
    named = set(re.findall(r"`((?:graphnets|datasets|experiments|tools|tests)/[\w/.]*)`", README))
    named |= set(re.findall(r"python ((?:tools|datasets|experiments)/[\w/]+\.py)", README))
    assert named
    missing = sorted(n for n in named if not (ROOT / n).exists())
    assert not missing
