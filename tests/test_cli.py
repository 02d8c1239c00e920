"""The whole path, from a store to a run folder, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import yaml

from graphnets.callbacks import RunRecord
from graphnets.cli import differences, expand_record, has_wandb_key, main
from graphnets.data import MotionDataModule, StoreWriter
from graphnets.tasks import Task

ROOT = Path(__file__).parents[1]
CLASSES = ["still", "wave", "jump"]
CARD = {
    "name": "tiny",
    "title": "Three movements",
    "description": "Made for tests",
    "licence": "MIT",
    "source": "tests",
    "modalities": {"pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"}},
    "labels": {"move": {"classes": CLASSES}},
    "protocols": {
        "split": {"train": ["a", "b"], "test": ["d"]},
        "validated": {"train": ["a", "b"], "val": ["c"], "test": ["d"]},
    },
}


def movement(kind: str, rng: np.random.Generator) -> np.ndarray:
    frames = int(rng.integers(12, 30))
    x = np.repeat(rng.normal(size=(1, 20, 3)), frames, axis=0)
    swing = np.sin(np.linspace(0, 4 * np.pi, frames))
    if kind == "wave":
        x[:, 10, 0] += swing
    if kind == "jump":
        x[:, :, 1] += np.abs(swing)[:, None]
    return (x + 0.01 * rng.normal(size=x.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "tiny"
    rng = np.random.default_rng(0)
    with StoreWriter(path, CARD) as writer:
        for subject in "abcd":
            for kind in CLASSES:
                for trial in range(4):
                    clip = {"pose": (movement(kind, rng), None, 30.0)}
                    writer.add(f"{subject}_{kind}_{trial}", subject, clip, {"move": kind})
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    transform = "graphnets.transforms."
    content = {
        "variant": "tiny",
        "threads": 1,
        "wandb": "disabled",
        "model": {
            "encoder": {
                "class_path": "graphnets.encoders.STGCN",
                "init_args": {
                    "skeleton": "kinect20", "in_channels": 6, "widths": [8, 16], "strides": [2, 1], "kernel": 3,
                    "dropout": 0.1,
                },
            },
            "objectives": {
                "move": {
                    "class_path": "graphnets.tasks.Classification",
                    "init_args": {"label": "move", "num_classes": 3},
                }
            },
            "transforms": {
                "resample": {"class_path": transform + "Resample", "init_args": {"length": 16}},
                "center": {"class_path": transform + "Center"},
                "rotate": {"class_path": transform + "RandomRotate", "init_args": {"degrees": 10}},
                "streams": {"class_path": transform + "Streams", "init_args": {"streams": ["joint", "velocity"]}},
                "normalize": {"class_path": transform + "Normalize"},
            },
            "scheduler": {"class_path": "graphnets.tasks.WarmupCosine"},
        },
        "data": {"protocol": "split", "batch_size": 8},
        "trainer": {
            "max_epochs": 4, "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1,
        },
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content, sort_keys=False))  # transforms run in this order
    return path


def arguments(config: Path, store: Path, runs: Path, name: str, *more: str) -> list[str]:
    return ["--config", str(config), "--data.store", str(store), "--runs", str(runs), "--name", name, *more]


@pytest.fixture(scope="module")
def unbroken(config: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    main(arguments(config, store, runs, "one", "--seed_everything", "3"))
    return runs / "one"


def read(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_run_folder_holds_everything(unbroken: Path) -> None:
    record = read(unbroken)
    needed = {
        "dataset", "protocol", "variant", "seed", "fold", "n_test", "test", "per_class", "config", "git_commit",
        "store_checksum", "versions", "wall_seconds",
    }  # fmt: skip
    assert needed <= set(record)
    assert (record["dataset"], record["protocol"], record["variant"]) == ("tiny", "split", "tiny")
    assert (record["seed"], record["n_train"], record["n_test"]) == (3, 24, 12)
    assert record["subjects"] == {"train": ["a", "b"], "val": [], "test": ["d"]}
    assert record["versions"]["torch"] == torch.__version__
    assert record["config"] == yaml.safe_load((unbroken / "config.yaml").read_text())
    for file in ("confusion_move.png", "worst_move.gif", "checkpoints/last.ckpt", "log/metrics.csv"):
        assert (unbroken / file).stat().st_size > 0, file


def test_record_agrees_with_the_predictions(unbroken: Path) -> None:
    record, table = read(unbroken), pd.read_csv(unbroken / "predictions.csv")
    assert len(table) == 12 and set(table["subject"]) == {"d"}
    assert record["test"]["move/accuracy"] == pytest.approx((table["true"] == table["predicted"]).mean())
    probabilities = table[[f"p[{c}]" for c in CLASSES]].to_numpy()
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert [CLASSES[i] for i in probabilities.argmax(1)] == table["predicted"].tolist()
    counts = pd.crosstab(table["true"], table["predicted"]).reindex(index=CLASSES, columns=CLASSES, fill_value=0)
    assert record["confusion"]["move"] == counts.to_numpy().tolist()
    for name in CLASSES:
        hits = ((table["true"] == name) & (table["predicted"] == name)).sum()
        assert record["per_class"]["move"][name]["recall"] == pytest.approx(hits / 4)


def test_predictions_for_validation_are_those_of_the_tested_weights(config: Path, store: Path, tmp_path: Path) -> None:
    main(arguments(config, store, tmp_path, "v", "--data.protocol", "validated", "--trainer.max_epochs", "1"))
    folder = tmp_path / "v"
    record, table = read(folder), pd.read_csv(folder / "predictions_val.csv", dtype={"subject": str})
    assert set(table["subject"]) == set(record["subjects"]["val"]) and len(table) == record["n_val"] > 0
    task = Task.from_checkpoint(folder / "checkpoints/last.ckpt")
    data = MotionDataModule(store, "validated", batch_size=3)
    data.setup("validate")
    [objective] = task.objectives
    with torch.no_grad():
        parts = [task(batch)[objective].prediction.softmax(1) for batch in data.val_dataloader()]
    assert np.allclose(table.filter(regex=r"^p\[").to_numpy(), torch.cat(parts), atol=1e-5)


def test_same_seed_same_bits(unbroken: Path, config: Path, store: Path, tmp_path: Path) -> None:
    main(arguments(config, store, tmp_path, "two", "--seed_everything", "3"))
    assert (tmp_path / "two/predictions.csv").read_bytes() == (unbroken / "predictions.csv").read_bytes()
    a, b = (
        torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (unbroken, tmp_path / "two")
    )
    tensors = [k for k, v in a.items() if isinstance(v, torch.Tensor)]
    assert tensors and all(torch.equal(a[k], b[k]) for k in tensors)


def test_another_seed_gives_other_weights(unbroken: Path, config: Path, store: Path, tmp_path: Path) -> None:
    main(arguments(config, store, tmp_path, "two", "--seed_everything", "4"))
    assert (tmp_path / "two/predictions.csv").read_bytes() != (unbroken / "predictions.csv").read_bytes()


def test_killed_run_resumes_to_the_same_metrics(unbroken: Path, config: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "killer.py").write_text(
        "import os, signal\n"
        "import pytorch_lightning as pl\n"
        "class Kill(pl.Callback):\n"
        "    def on_train_batch_end(self, trainer, *_):\n"
        "        if trainer.current_epoch == 2 and trainer.global_step == 8 and not os.path.exists('killed'):\n"
        "            open('killed', 'w').close()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    kill = tmp_path / "kill.yaml"
    kill.write_text("trainer:\n  callbacks:\n    - class_path: killer.Kill\n")
    command = [sys.executable, str(ROOT / "experiments/train.py")]
    command += arguments(config, store, tmp_path, "broken", "--config", str(kill), "--seed_everything", "3")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    first = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert first.returncode == -9, first.stderr
    assert not (tmp_path / "broken/metrics.json").exists()
    second = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert "resuming from" in second.stdout
    whole, resumed = read(unbroken)["test"], read(tmp_path / "broken")["test"]
    assert set(whole) == set(resumed)
    for key, value in whole.items():
        assert resumed[key] == pytest.approx(value, abs=1e-4), key
    # A change of one random draw would hide in these metrics; it can't hide in the bits.
    assert (tmp_path / "broken/predictions.csv").read_bytes() == (unbroken / "predictions.csv").read_bytes()


def test_checkpoint_rebuilds_the_task(unbroken: Path, store: Path) -> None:
    task = Task.from_checkpoint(unbroken / "checkpoints/last.ckpt")
    data = MotionDataModule(store, "split", batch_size=5)
    table = pd.read_csv(unbroken / "predictions.csv").set_index("id")
    with torch.no_grad():
        for batch in data.test_dataloader():
            probabilities = task(batch)["move"].prediction.softmax(1).numpy()
            expected = table.loc[batch.id, [f"p[{c}]" for c in CLASSES]].to_numpy()
            assert np.abs(probabilities - expected).max() < 1e-5
    assert task.objective("move").classes == CLASSES  # type: ignore[attr-defined]


def test_padding_and_poison_change_no_logit(unbroken: Path, store: Path) -> None:
    task = Task.from_checkpoint(unbroken / "checkpoints/last.ckpt")
    batch = MotionDataModule(store, "split").test_set.__getitems__(list(range(6)))
    pose = batch["pose"]
    pose.mask = pose.mask.clone()
    pose.mask[0, :, 7] = False  # a joint that was never seen
    pose.mask[1, 3:6] = False  # frames in between
    with torch.no_grad():
        plain = task(batch)["move"].prediction
        t = pose.x.shape[1]
        pose.x = torch.cat(
            [pose.x.masked_fill(~pose.mask[..., None], float("nan")), torch.full_like(pose.x, float("nan"))], 1
        )
        pose.mask = torch.cat([pose.mask, torch.zeros_like(pose.mask)], 1)
        assert pose.x.shape[1] == 2 * t
        poisoned = task(batch)["move"].prediction
    assert torch.isfinite(plain).all()
    assert (plain - poisoned).abs().max() <= 1e-5


def test_record_can_be_run_again(unbroken: Path, store: Path, tmp_path: Path) -> None:
    record = str(unbroken / "metrics.json")
    main(["--from-record", record, "--runs", str(tmp_path), "--name", "again", "--wandb", "disabled"])
    assert read(tmp_path / "again")["test"] == read(unbroken)["test"]


def test_validation_chooses_the_checkpoint(config: Path, store: Path, tmp_path: Path) -> None:
    more = ("--data.protocol", "validated", "--monitor", "val/move/macro_f1", "--trainer.max_epochs", "3")
    main(arguments(config, store, tmp_path, "chosen", *more))
    [best] = (tmp_path / "chosen/checkpoints").glob("best-*.ckpt")
    record = read(tmp_path / "chosen")
    log = pd.read_csv(tmp_path / "chosen/log/metrics.csv").dropna(subset=["val/move/macro_f1"])
    epoch = int(best.stem.split("=")[1].split("-")[0])
    best_value = log["val/move/macro_f1"].max()
    assert log.loc[log["epoch"] == epoch, "val/move/macro_f1"].item() == best_value
    assert record["n_val"] == 12 and record["subjects"]["val"] == ["c"]
    assert record["checkpoint"] == best.name and record["val"]["move/macro_f1"] == pytest.approx(best_value)
    assert torch.load(best, weights_only=True)["epoch"] == epoch


def test_dotted_keys_reach_every_setting(config: Path, store: Path, tmp_path: Path) -> None:
    more = ("--model.transforms.streams.init_args.streams", "[bone]", "--model.encoder.in_channels", "3")
    record = main(arguments(config, store, tmp_path, "bone", *more, "--trainer.max_epochs", "1"))
    assert record["config"]["model"]["transforms"]["streams"]["init_args"]["streams"] == ["bone"]
    assert list(record["config"]["model"]["transforms"]) == ["resample", "center", "rotate", "streams", "normalize"]


def test_no_test_leaves_the_test_subjects_alone(config: Path, store: Path, tmp_path: Path) -> None:
    record = main(
        arguments(
            config, store, tmp_path, "v", "--data.protocol", "validated", "--test", "false", "--trainer.max_epochs", "1"
        )
    )
    assert record["test"] == {} and "move/accuracy" in record["val"]
    assert not (tmp_path / "v/predictions.csv").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data.protocol", "nowhere"], "no protocol 'nowhere'; it has split, validated"),
        (
            ["--model.encoder.init_args.in_channels", "3"],
            "in_channels is 3, but 'pose' comes out of the transforms with 6",
        ),
        (["--model.encoder.init_args.skeleton", "coco17"], "made for skeleton 'coco17'"),
        (["--model.objectives.move.init_args.num_classes", "4"], "has 3 classes"),
        (["--model.objectives.move.init_args.label", "mood"], "no label 'mood'; there are move"),
        (["--data.batch_size", "0"], "batch_size is 0"),
        (["--monitor", "val/move/accuracy"], "protocol 'split' has no validation subjects"),
        (["--data.protocol", "validated", "--monitor", "val/move/f1"], "no such metric; there are val/loss, val/move/"),
        (["--test", "false"], "has no validation subjects"),
        (["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "1e30"], "the loss is nan in epoch"),
        (["--seed_everything", "false"], "--seed_everything must be a number"),
        (["--model.modality", "imu"], "reads modality 'imu', but the data has pose"),
        (["--model.encoder.init_args.widht", "4"], "widht"),
    ],
)
def test_mistakes_are_named(
    more: list[str], message: str, config: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments(config, store, tmp_path, "wrong", *more))
    assert stop.value.code not in (0, None)
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_missing_store_is_named(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments(config, tmp_path / "nowhere", tmp_path, "wrong"))
    assert "nowhere: no such store" in capsys.readouterr().err


def test_kill_does_not_forget_the_best_checkpoint(config: Path, store: Path, tmp_path: Path) -> None:
    """What resumes from the last checkpoint knows the best one of the epochs up to it."""
    more = ("--data.protocol", "validated", "--monitor", "val/move/loss", "--mode", "min", "--trainer.max_epochs", "1")
    main(arguments(config, store, tmp_path, "m", *more))
    last = torch.load(tmp_path / "m/checkpoints/last.ckpt", weights_only=True)
    [best] = (tmp_path / "m/checkpoints").glob("best-*.ckpt")
    kept = [s["best_model_path"] for k, s in last["callbacks"].items() if "val/move/loss" in k]
    assert [Path(p).name for p in kept] == [best.name]


class Interrupt(pl.Callback):
    """Presses Ctrl-C in the second epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_ctrl_c_says_how_to_go_on(
    config: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # Lightning would switch Ctrl-C off for the tests after this
    monkeypatch.setitem(sys.modules, "interrupting", SimpleNamespace(Interrupt=Interrupt, __name__="interrupting"))
    monkeypatch.setattr(Interrupt, "__module__", "interrupting")
    more = tmp_path / "more.yaml"
    more.write_text("trainer:\n  callbacks:\n    - class_path: interrupting.Interrupt\n")
    with pytest.raises(SystemExit):
        main(arguments(config, store, tmp_path, "c", "--config", str(more)))
    message = capsys.readouterr().err.replace("\n", "")
    assert "interrupted; the same command resumes from" in message and "last.ckpt" in message


def test_a_second_test_begins_anew(unbroken: Path, store: Path) -> None:
    task = Task.from_checkpoint(unbroken / "checkpoints/last.ckpt")
    data = MotionDataModule(store, "split", batch_size=5)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    first = trainer.test(task, datamodule=data, verbose=False)
    assert trainer.test(task, datamodule=data, verbose=False) == first
    counts = task.objective("move").details(task.objective("move").stage_metrics("test"))["confusion"]
    assert sum(map(sum, counts)) == 12


def test_a_changed_store_is_no_resumption(unbroken: Path) -> None:
    record = RunRecord("nowhere", "v")
    checkpoint = torch.load(unbroken / "checkpoints/last.ckpt", weights_only=True)
    [state] = [s for k, s in checkpoint["callbacks"].items() if k.startswith("RunRecord")]
    record.load_state_dict(state | {"store": "other"})
    trainer = SimpleNamespace(datamodule=SimpleNamespace(store=SimpleNamespace(checksum="this")))
    with pytest.raises(ValueError, match="checksum this, then other"):
        record.on_fit_start(trainer, None)  # type: ignore[arg-type]


def test_finished_run_is_not_overwritten(
    unbroken: Path, config: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (unbroken / "metrics.json").read_bytes()
    with pytest.raises(SystemExit):
        main(arguments(config, store, unbroken.parent, "one"))
    assert "is finished" in capsys.readouterr().err
    assert (unbroken / "metrics.json").read_bytes() == before


def test_differences_names_dotted_keys() -> None:
    a = {"name": "a", "model": {"lr": 1, "w": [1]}, "data": {"x": 1}}
    b = {"name": "b", "model": {"lr": 2, "w": [1]}, "data": {"x": 1, "y": None}}
    assert differences(a, b) == ["model.lr"]


def test_from_record_refuses_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(SystemExit):
        expand_record(["--from-record", str(tmp_path / "x.json")])
    assert "not a run record" in capsys.readouterr().err


def test_wandb_key_in_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert has_wandb_key()


def test_wandb_offline_logs_media(config: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    main(arguments(config, store, tmp_path, "w", "--wandb", "offline", "--trainer.max_epochs", "1"))
    [run] = (tmp_path / "w/wandb").glob("offline-run-*")
    media = {p.suffix for p in (run / "files/media").rglob("*") if p.is_file()}
    assert media == {".png", ".gif"}
