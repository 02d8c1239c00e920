"""Every configuration that ships runs for one batch, and so does a trial of every sweep."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from graphnets.cli import main
from graphnets.data import StoreWriter
from graphnets.data.card import skeleton_of
from graphnets.simulation.worn import sensor_skeleton

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "experiments/configs").rglob("*.yaml"))
SWEEPS = sorted((ROOT / "experiments/sweeps").glob("*.yaml"))

STORES = {"pretrain_imu": "synthetic_worn"}
"""Configurations for a store that is made with other options than the recipe's usual ones."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store with the card of each recipe and random movement: every class once for each of the subjects."""
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    for card_file in (ROOT / "datasets").glob("*/card.yaml"):
        card = yaml.safe_load(card_file.read_text())
        make_store(folder / card_file.parent.name, card, rng)
        if card_file.parent.name == "synthetic":
            card["modalities"]["imu"]["skeleton"] = sensor_skeleton(["right_wrist", "right_thigh"]).to_dict()
            make_store(folder / "synthetic_worn", card, rng)
    return folder


def make_store(path: Path, card: dict[str, Any], rng: np.random.Generator) -> None:
    """Random movement under a card."""
    declared = card.setdefault("protocols", {}) or {}
    declared.setdefault("by_subject", {"train": ["1", "3"], "val": ["5"], "test": ["2"]})
    card["protocols"] = declared
    subjects = sorted({str(s) for p in declared.values() for side in p.values() for s in side})
    longest = max((len(label["classes"]) for label in card["labels"].values()), default=1)
    with StoreWriter(path, card) as writer:
        for subject in subjects:
            right = "correct" in card["labels"].get("mistake", {"classes": ()})["classes"]
            for k in range(longest + 10 * right):
                # Each exercise both right and wrong.
                labels = {n: s["classes"][k % len(s["classes"])] for n, s in card["labels"].items()}
                if k >= longest:
                    labels["mistake"] = "correct"
                if "correctness" in labels:
                    labels["correctness"] = ("correct", "incorrect")[(k // 10) % 2]
                modalities = {}
                for name, modality in card["modalities"].items():
                    shape = (10 + k % 3, skeleton_of(modality).num_joints, len(modality["channels"]))
                    modalities[name] = (rng.normal(size=shape), None, 30.0)
                writer.add(f"{subject}_{k}", subject, modalities, labels)


BASES = {
    "utd_mhad/encoders": "skeleton.yaml", "utd_mhad/distil": "imu.yaml", "utd_mhad/students": "imu.yaml",
    "tan2022/distil": "video2.yaml",
}  # fmt: skip
"""Folders of overlays, and what these come after."""
# Those of UTD-MHAD under the stricter protocol, so that the teacher has not seen those that validate in the other.
TEACHERS = {
    "utd_mhad": ("skeleton.yaml", "--data.protocol", "cross_subject_val7"),
    "tan2022": ("imu8_video2.yaml",),
}
"""Who teaches the overlays in ``distil``, and how it is trained."""
QUICK = (
    "--wandb", "disabled", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1",
    "--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1", "--trainer.enable_progress_bar", "false",
)  # fmt: skip


def run(configs: list[Path], store: Path, folder: Path, *more: str) -> dict[str, Any]:
    named = [argument for config in configs for argument in ("--config", str(config))]
    return main([*named, "--data.store", str(store), "--name", "one", "--runs", str(folder), *QUICK, *more])


@pytest.fixture(scope="module")
def teachers(stores: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each data set's after one batch."""
    folder = tmp_path_factory.mktemp("teacher")
    for dataset, (config, *more) in TEACHERS.items():
        run([ROOT / "experiments/configs" / dataset / config], stores / dataset, folder / dataset, *more)
    return {dataset: folder / dataset / "one/checkpoints/last.ckpt" for dataset in TEACHERS}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.parent.name}/{c.stem}")
def test_config_runs_for_a_batch(config: Path, stores: Path, teachers: dict[str, Path], tmp_path: Path) -> None:
    base = BASES.get(f"{config.parents[1].name}/{config.parent.name}")
    configs = [config] if base is None else [config.parents[1] / base, config]
    dataset = configs[0].parent.name
    objectives = yaml.safe_load(config.read_text())["model"].get("objectives", {})
    learning = [name for name, o in objectives.items() if "teacher" in o["init_args"]]
    taught = [f"--model.objectives.{name}.init_args.teacher={teachers[dataset]}" for name in learning]
    record = run(configs, stores / STORES.get(config.stem, dataset), tmp_path, *taught)
    assert record["dataset"] == dataset
    assert any(key.endswith(("/accuracy", "/nrmse", "/dtw_gain")) for key in record["test"])
    if config.parent.name in ("encoders", "students"):
        # What it leaves out it would inherit from the common settings: then it says another thing alone.
        alone = yaml.safe_load(config.read_text())["model"]["encoder"]
        trained = record["config"]["model"]["encoder"]["init_args"]
        defaults = inspect.signature(_import(alone["class_path"])).parameters
        for name in trained.keys() - alone["init_args"].keys():
            assert _plain(trained[name]) == _plain(defaults[name].default), f"{config} must state {name}"


def _import(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def trials(sweep: dict[str, Any]) -> list[list[str]]:
    """The corners of a sweep: what ``${args}`` becomes, with a range's end points as its values."""
    choices = []
    for name, given in sweep["parameters"].items():
        values = given.get("values") or [given["value"]] if given.keys() & {"value", "values"} else None
        values = values or [given["min"], given["max"]]
        choices.append([f"--{name}={value}" for value in values])
    return [list(combination) for combination in itertools.product(*choices)]


def command(sweep: dict[str, Any], arguments: list[str]) -> list[str]:
    """What an agent runs, from the program on, with the paths of the repository made absolute."""
    words: list[str] = []
    for word in sweep["command"]:
        words += arguments if word == "${args}" else [word.replace("${program}", sweep["program"])]
    words = words[words.index(sweep["program"]) + 1 :]
    return [word.replace("=experiments/", f"={ROOT}/experiments/") for word in words]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_all_files_of_a_sweep_exist(path: Path) -> None:
    assert path.read_text().startswith("#")
    sweep = yaml.safe_load(path.read_text())
    assert (ROOT / sweep["program"]).is_file()
    for arguments in trials(sweep):
        files = [word.partition("=")[2] for word in command(sweep, arguments) if word.startswith("--config=")]
        assert files and all(Path(file).is_file() for file in files)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_a_trial_of_a_sweep_runs(
    path: Path, stores: Path, teachers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stores").symlink_to(stores)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/teacher").symlink_to(teachers["utd_mhad"].parents[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")  # as an agent does for the process of a trial
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    sweep = yaml.safe_load(path.read_text())
    record = main([*command(sweep, trials(sweep)[-1]), *QUICK])
    assert sweep["metric"]["name"].removeprefix("val/") in record["val"]
    assert (tmp_path / "runs/sweep_xyz/metrics.json").is_file()
    assert record["teachers"] and not record["test"], "settings are chosen on validation subjects"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.parent.name}/{c.stem}")
def test_every_config_says_what_it_is(config: Path) -> None:
    content = config.read_text()
    assert content.startswith("#"), "a configuration begins with a comment that says what it is for"
    assert yaml.safe_load(content)["variant"] != "default"


@pytest.mark.parametrize(
    "record", sorted((ROOT / "experiments/records").rglob("*.json")), ids=lambda r: f"{r.parent.name}/{r.stem}"
)
def test_records_are_repeatable(record: Path) -> None:
    """The configuration inside a record still means something to the code of today."""
    content = json.loads(record.read_text())
    config = content["config"]
    assert content["git_commit"] and "dirty" not in content["git_commit"]
    if "fusion" in config:
        assert sum(content["weights"]) == pytest.approx(1)
        assert len(content["weights"]) == len(config["fusion"])
        return
    for name in ("model", "data", "trainer", "seed_everything"):
        assert name in config
    assert config["seed_everything"] == content["seed"]
