"""Regression of time series: loss against its formula in float64, what is refused, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from graphnets.callbacks import Media, RunRecord
from graphnets.data import MotionDataModule, Store, StoreWriter, Subjects
from graphnets.encoders import STGCN
from graphnets.skeleton import Skeleton
from graphnets.tasks import SequenceRegression, Task
from graphnets.transforms import RandomCrop, RandomMirror, RandomRotate, Resample

FEET = Skeleton.from_dict(
    {"name": "feet2", "joints": ["left", "right"], "parents": {"left": None, "right": "left"}, "mirror": []}
)
SUBJECTS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The force of each foot is what a joint does: it can be learned."""
    path = tmp_path_factory.mktemp("regression") / "store"
    card = {
        "name": "steps", "title": "Steps", "description": "Made up.", "licence": "CC0-1.0", "source": "a test",
        "modalities": {
            "pose": {"skeleton": "coco17", "channels": ["x", "y"]},
            "force": {"skeleton": FEET.to_dict(), "channels": ["x", "y"], "unit": "N"},
        },
        "labels": {},
        "protocols": {"split": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}},
    }  # fmt: skip
    rng = np.random.default_rng(0)
    with StoreWriter(path, card) as writer:
        for i in range(48):
            frames = 12 + i % 5
            pose = rng.normal(size=(frames, 17, 2)).cumsum(0) * 0.2
            force = np.stack([pose[:, 9] * 3 + 50, pose[:, 10] - pose[:, 9]], 1)
            force[:, 0, 0] = 7.0  # never changes
            mask = np.ones((frames, 2), bool)
            mask[: i % 3, 1] = False
            writer.add(f"r{i}", SUBJECTS[i % 4], {"pose": (pose, None, 30.0), "force": (force, mask, 30.0)}, {})
    return Store(path)


def task_of(**arguments: object) -> Task:
    torch.manual_seed(0)
    encoder = STGCN("coco17", 2, widths=[16, 24], strides=[1, 2], kernel=3)
    given = {"target": "force", "joints": ["left", "right"], "channels": ["y"]} | arguments
    return Task(
        encoder,
        {"force": SequenceRegression(**given)},  # type: ignore[arg-type]
        transforms={"a": Resample(16), "b": Resample(16, "force")},
    )


def data_of(store: Store, **arguments: object) -> MotionDataModule:
    return MotionDataModule(store, "split", batch_size=8, **arguments)  # type: ignore[arg-type]


def test_loss_is_the_scaled_mean_over_what_was_measured(store: Store) -> None:
    task, data = task_of(), data_of(store)
    data.setup("fit")
    objective = task.objective("force")
    assert isinstance(objective, SequenceRegression)
    objective.prepare(data)
    rows = store.index.index[store.index["subject"].isin(["a", "b"])]
    series = [store[int(i)]["force"] for i in rows]
    for k, name in enumerate(("left", "right")):
        values = np.concatenate([s.x[s.mask[:, k], k, 1].double().numpy() for s in series])
        assert objective.mean[k].item() == pytest.approx(values.mean(), rel=1e-5), name
        assert objective.scale[k].item() == pytest.approx(values.std(), rel=1e-5), name
    batch = task.eval().transform(data.train_set.__getitems__([0, 1, 5]))
    out = task.outputs(batch)["force"]
    y, mask = batch["force"].x[..., 1].double(), batch["force"].mask
    total, count = 0.0, 0
    for n, t, k in mask.nonzero().tolist():
        total += float((out.prediction[n, t, k].double() - y[n, t, k]) / objective.scale[k].double()) ** 2
        count += 1
    assert out.loss.item() == pytest.approx(total / count, rel=1e-5)
    assert out.logs["skipped"].item() == mask.numel() - count > 0
    out.loss.backward()
    assert objective.head.linear.weight.grad is not None and bool(objective.head.linear.weight.grad.isfinite().all())


def test_a_run_learns_and_writes(store: Store, tmp_path: Path) -> None:
    task, data = task_of(), data_of(store)
    trainer = pl.Trainer(
        max_epochs=30, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[RunRecord(tmp_path, "v"), Media(tmp_path)],
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data, verbose=False)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["n_test"] == 12 and set(record["per_subject"]["force"]) == {"d"}
    assert record["test"]["force/nrmse"] < 0.8 * record["test"]["force/nrmse_of_mean"]
    # The table holds what the metrics were made of.
    table = pd.read_csv(tmp_path / "predictions.csv")
    error = (table["predicted[left_y]"] - table["true[left_y]"]).dropna()
    assert record["per_target"]["force"]["left_y"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert record["per_target"]["force"]["right_y"]["n"] == int(table["true[right_y]"].notna().sum())
    assert (tmp_path / "curves_force.png").stat().st_size > 5000
    # The weights with their scale survive a checkpoint.
    trainer.save_checkpoint(tmp_path / "c.ckpt", weights_only=True)
    again = Task.from_checkpoint(tmp_path / "c.ckpt")
    batch = data.test_set.__getitems__([0, 1])
    with torch.no_grad():
        assert torch.allclose(again(batch)["force"].prediction, task.eval()(batch)["force"].prediction, atol=1e-5)


def test_without_targets_it_predicts(store: Store) -> None:
    data = data_of(store, modalities=["pose"])
    data.setup("predict")
    task = task_of()
    task.transforms.pop("b")
    out = task.eval()(data.store.read(torch.arange(3), ["pose"]))["force"]
    assert out.prediction.shape == (3, 16, 2) and out.count == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"joints": ["left", "knee"]}, "has no joint knee; it has left, right"),
        ({"channels": ["z"]}, "has no channel z; it has x, y"),
        ({"channels": ["x", "y"]}, "left_x of 'force' never changes"),
        ({"target": "grf"}, "'grf' is not read"),
    ],
)
def test_targets_that_cannot_be_had_are_refused(store: Store, arguments: dict[str, object], message: str) -> None:
    data = data_of(store)
    data.setup("fit")
    with pytest.raises(ValueError, match=message):
        task_of(**arguments).objective("force").prepare(data)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="joints of the target 'f' are"):
        SequenceRegression("f", [], ["x"])
    with pytest.raises(ValueError, match="channels of the target 'f' are"):
        SequenceRegression("f", ["a"], ["x", "x"])


def test_frames_must_agree(store: Store) -> None:
    task, data = task_of(), data_of(store)
    data.setup("fit")
    task.transforms.pop("b")
    with pytest.raises(ValueError, match=r"has 1\d frames, but the input about 16"):
        task(data.train_set.__getitems__([0]))


@pytest.mark.parametrize("transform", [RandomCrop(), RandomMirror()])
def test_what_moves_the_input_alone_is_refused(transform: torch.nn.Module) -> None:
    encoder = STGCN("coco17", 2, widths=[8], strides=[1], kernel=3)
    objective = SequenceRegression("force", ["left"], ["y"])
    with pytest.raises(ValueError, match=r"moves pose (in time|from side to side), but objective 'f' compares"):
        Task(encoder, {"f": objective}, transforms={"t": transform})  # type: ignore[dict-item]
    Task(encoder, {"f": SequenceRegression("force", ["left"], ["y"])}, transforms={"t": RandomRotate(10)})


def test_a_trained_scale_stays_whatever_it_is_tested_on(store: Store) -> None:
    task, data = task_of(), data_of(store)
    data.setup("fit")
    objective = task.objective("force")
    assert isinstance(objective, SequenceRegression)
    objective.prepare(data)
    before = objective.mean.clone(), objective.scale.clone()
    other = MotionDataModule(store, Subjects(["c"], ["d"]), batch_size=8)
    other.setup("fit")
    objective.prepare(other)
    assert torch.equal(objective.mean, before[0]) and torch.equal(objective.scale, before[1])


def test_a_prediction_that_is_no_number_is_told(store: Store) -> None:
    task, data = task_of(), data_of(store)
    data.setup("fit")
    objective = task.objective("force")
    objective.prepare(data)
    batch = data.train_set.__getitems__([0, 1])
    out = task.eval()(batch)["force"]
    out.prediction = out.prediction.clone()
    out.prediction[1, 3, 0] = torch.nan
    with pytest.raises(ValueError, match=f"not finite for {batch.id[1]}"):
        objective.observe("test", out, batch)


def test_a_channel_called_value_leaves_targets_their_joints_names() -> None:
    assert SequenceRegression("kinetics", ["KFM", "vGRF"], ["value"]).names == ["KFM", "vGRF"]
    assert SequenceRegression("force", ["a"], ["value", "y"]).names == ["a", "a_y"]
