"""A task whose encoder reads several modalities: from the store to the checkpoint and back."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml

from graphnets.cli import main
from graphnets.data import MotionBatch, MotionDataModule, StoreWriter
from graphnets.encoders import STGCN, Encoder
from graphnets.encoders.fusion import EarlyFusion, FusionEncoder
from graphnets.nn.fusion import MultiModalFusion
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Task
from graphnets.transforms import Center, Normalize, Resample

CARD = {
    "name": "tiny",
    "title": "Two modalities",
    "description": "Made for tests",
    "licence": "MIT",
    "source": "tests",
    "modalities": {
        # Not in the order in which the encoders read them.
        "imu": {"skeleton": "imu_axes6", "channels": ["value"], "unit": "g"},
        "pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"},
    },
    "labels": {"move": {"classes": ["still", "wave", "shake", "both"]}},
    "protocols": {"split": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}},
}
SMALL: dict[str, Any] = {"widths": [8, 8], "strides": [2, 1], "kernel": 3}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the label is seen by the pose alone, the other half by the sensor alone."""
    path = tmp_path_factory.mktemp("stores") / "tiny"
    rng = np.random.default_rng(0)
    with StoreWriter(path, CARD) as writer:
        for subject in "abcd":
            for k in range(4):
                for trial in range(4):
                    t = int(rng.integers(10, 20))
                    pose, imu = rng.normal(size=(t, 20, 3)) * 0.1, rng.normal(size=(int(2.5 * t), 6, 1)) * 0.1
                    pose[:, 8:12, 0] += (k % 2) * 2 * np.sin(np.linspace(0, 9, t))[:, None]
                    imu[:, :3, 0] += (k // 2) * 2 * np.sin(np.linspace(0, 9, len(imu)))[:, None]
                    parts: dict[str, Any] = {"pose": (pose, None, 30.0), "imu": (imu, None, 75.0)}
                    if (subject, k, trial) == ("d", 0, 0):
                        parts["imu"] = None
                    if (subject, k, trial) == ("d", 0, 1):
                        parts["pose"] = None
                    there = {name: part for name, part in parts.items() if part is not None}
                    move = CARD["labels"]["move"]["classes"][k]  # type: ignore[index]
                    writer.add(f"{subject}_{k}_{trial}", subject, there, {"move": move})
    return path


def encoders(**sensor: Any) -> dict[str, Encoder]:
    return {
        "pose": STGCN("kinect20", 3, **SMALL),
        "imu": STGCN(**{"skeleton": "imu_axes6", "in_channels": 1, **sensor, **SMALL}),
    }


def late(**sensor: Any) -> Encoder:
    return FusionEncoder(encoders(**sensor), MultiModalFusion(8, 2, heads=2))


def early() -> Encoder:
    inner = STGCN("kinect20+imu_axes6", 4, **SMALL)
    return EarlyFusion(inner, {"pose": "kinect20", "imu": "imu_axes6"}, {"pose": 3, "imu": 1})


def task_of(encoder: Encoder, resample: bool = False) -> Task:
    torch.manual_seed(0)
    transforms: dict[str, Any] = {"center": Center(), "imu": Normalize(per="joint", modality="imu")}
    if resample:
        transforms |= {"a": Resample(12), "b": Resample(24, modality="imu")}
    return Task(
        encoder,
        {"move": Classification("move", 4)},
        transforms=transforms,
        optimizer=partial(torch.optim.AdamW, lr=0.01),
    )


def data_of(store: Path, **options: Any) -> MotionDataModule:
    return MotionDataModule(store, "split", batch_size=8, seed=0, **options)


def trainer_of(epochs: int, tmp_path: Path) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        default_root_dir=tmp_path, num_sanity_val_steps=0,
    )  # fmt: skip


@pytest.mark.parametrize("make", [late, early])
def test_learns_from_both_and_comes_back_from_a_checkpoint(make: Any, store: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = data_of(store, incomplete=True)
    task = task_of(make())
    assert task.modality == "pose" and task.modalities == ("pose", "imu")
    trainer = trainer_of(28, tmp_path)
    trainer.fit(task, datamodule=data)
    # Neither modality alone tells more than two of the four classes from the other two.
    assert trainer.callback_metrics["val/move/accuracy"] > 0.8
    [metrics] = trainer.test(task, datamodule=data, verbose=False)
    assert all(math.isfinite(v) for v in metrics.values()), "some test recordings lack a modality"

    trainer.save_checkpoint(tmp_path / "task.ckpt")
    rebuilt = Task.from_checkpoint(tmp_path / "task.ckpt")
    assert type(rebuilt.encoder) is type(task.encoder) and rebuilt.modalities == ("pose", "imu")
    batch = data.test_set.__getitems__(list(range(8)))
    with torch.no_grad():
        expected = task.eval()(batch)["move"].prediction
        assert torch.equal(rebuilt(batch)["move"].prediction, expected)
        assert expected.isfinite().all()


@pytest.mark.parametrize("make", [late, early])
@pytest.mark.parametrize("resample", [False, True])
def test_what_pads_a_recording_has_no_say(make: Any, resample: bool, store: Path) -> None:
    data = data_of(store)
    task = task_of(make(), resample)
    batch = data.train_set.__getitems__(list(range(12)))
    task.transforms["imu"].fit([batch])  # type: ignore[operator]
    task.eval()
    with torch.no_grad():
        together = task(batch)["move"].prediction
        for i in (0, 5):
            alone = task(data.train_set.__getitems__([i]))["move"].prediction
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-5)
        for name in batch.modalities:
            node = batch[name]
            node.x = torch.cat([node.x, torch.full_like(node.x, math.nan)], 1)
            node.mask = torch.cat([node.mask, torch.zeros_like(node.mask)], 1)
            torch.testing.assert_close(task(batch)["move"].prediction, together, rtol=0, atol=1e-5)


def test_modalities_stay_paired() -> None:
    """The features of recording i come from both of its modalities, whatever the others hold."""
    torch.manual_seed(0)
    task = Task(late(), {"move": Classification("move", 4)}).eval()
    parts = {
        "imu": {"x": torch.randn(3, 20, 6, 1), "skeleton": Skeleton.load("imu_axes6"), "channels": ("value",)},
        "pose": {"x": torch.randn(3, 8, 20, 3), "skeleton": Skeleton.load("kinect20"), "channels": ("x", "y", "z")},
    }
    batch = MotionBatch.from_arrays({n: {**p, "fps": 30.0} for n, p in parts.items()})
    before = task(batch)["move"].prediction
    for name in parts:
        batch[name].x = batch[name].x.clone()
        batch[name].x[1] += torch.randn_like(batch[name].x[1])
        after = task(batch)["move"].prediction
        changed = (after - before).abs().amax(1)
        assert changed[1] > 1e-4 and changed[0] == changed[2] == 0, name
        before = after


@pytest.mark.parametrize(
    ("sensor", "modalities", "message"),
    [
        ({}, ["pose"], "the task reads modality 'imu', but the data has pose"),
        ({"in_channels": 2}, None, "in_channels is 2, but 'imu' comes out of the transforms with 1: value"),
        ({"skeleton": "tan_imu8"}, None, "made for skeleton 'tan_imu8', but 'imu' has 'imu_axes6'"),
    ],
)
def test_each_modality_is_checked(
    sensor: dict[str, Any], modalities: list[str] | None, message: str, store: Path, tmp_path: Path
) -> None:
    task = Task(late(**sensor), {"move": Classification("move", 4)})
    with pytest.raises(ValueError, match=message):
        trainer_of(1, tmp_path).fit(task, datamodule=data_of(store, modalities=modalities))


def test_one_modality_is_read_as_before(store: Path, tmp_path: Path) -> None:
    task = Task(STGCN("imu_axes6", 1, **SMALL), {"move": Classification("move", 4)}, modality="imu")
    assert task.modality == "imu" and task.modalities == ("imu",)
    with pytest.raises(ValueError, match="the task reads modality 'imu', but the data has pose"):
        trainer_of(1, tmp_path).fit(task, datamodule=data_of(store, modalities=["pose"]))
    trainer_of(1, tmp_path).fit(task, datamodule=data_of(store))


def test_the_command_line_keeps_the_order_of_the_modalities(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is the primary, in the run, in its checkpoint, and when the run is repeated from its record."""
    network = {"class_path": "graphnets.encoders.STGCN"}
    config = {
        "model": {
            "encoder": {
                "class_path": "graphnets.encoders.fusion.FusionEncoder",
                "init_args": {
                    "encoders": {
                        "pose": {**network, "init_args": {"skeleton": "kinect20", "in_channels": 3, **SMALL}},
                        "imu": {**network, "init_args": {"skeleton": "imu_axes6", "in_channels": 1, **SMALL}},
                    },
                    "fusion": {
                        "class_path": "graphnets.nn.fusion.ConcatFusion", "init_args": {"width": 8, "modalities": 2},
                    },
                },
            },
            "objectives": {
                "move": {"class_path": "graphnets.tasks.Classification", "init_args": {"label": "move", "num_classes": 4}}
            },
        },
        "data": {"protocol": "split", "batch_size": 8},
        "trainer": {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"},
    }  # fmt: skip
    file = tmp_path / "fusion.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    where = ("--runs", str(tmp_path), "--wandb", "disabled")
    more = ("--model.encoder.fusion.width", "6", "--data.store", str(store))
    first = main(["--config", str(file), *more, "--name", "one", *where])
    task = Task.from_checkpoint(tmp_path / "one/checkpoints/last.ckpt")
    assert isinstance(task.encoder, FusionEncoder)
    assert task.modalities == ("pose", "imu") and task.encoder.fusion.width == 6
    again = main(["--from-record", str(tmp_path / "one/metrics.json"), "--name", "two", *where])
    assert again["test"] == first["test"]
    assert Task.from_checkpoint(tmp_path / "two/checkpoints/last.ckpt").modalities == ("pose", "imu")
    with pytest.raises(SystemExit):
        main(["--config", str(file), *more, "--name", "three", *where, "--model.encoder.fusion.modalities", "3"])
    assert "the fusion was made for 3 modalities" in " ".join(capsys.readouterr().err.split())
