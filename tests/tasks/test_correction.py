"""Correction: what it learns from, what it measures, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from graphnets.data import MotionDataModule, Store, StoreWriter
from graphnets.encoders import STGCN
from graphnets.nn.soft_dtw import soft_dtw_divergence
from graphnets.tasks import Classification, Correction, NearestCorrect, Task
from graphnets.transforms import Jitter, RandomScale, Resample, Together

CLASSES = ["squat_correct", "squat_shallow"]
CARD = {
    "name": "reps", "title": "Repetitions", "description": "Made for tests", "licence": "MIT", "source": "tests",
    "modalities": {"pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"]}},
    "labels": {
        "exercise": {"classes": ["squat"]}, "correctness": {"classes": ["correct", "incorrect"]},
        "mistake": {"classes": CLASSES},
    },
    "protocols": {"split": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Deep squats are right, shallow ones are not."""
    path = tmp_path_factory.mktemp("reps") / "store"
    rng = np.random.default_rng(0)
    with StoreWriter(path, CARD) as writer:
        for subject in "abcd":
            for k in range(8):
                right, frames = k % 2 == 0, int(rng.integers(18, 26))
                depth = (1.0 if right else 0.4) + 0.05 * rng.normal()
                x = np.zeros((frames, 20, 3))
                x[:, :, 0] = np.linspace(0, 1, 20)
                x[:, :, 1] = np.linspace(1, 0, 20)
                x[:, :4, 1] -= depth * np.sin(np.linspace(0, np.pi, frames))[:, None]
                labels = {
                    "exercise": "squat",
                    "correctness": "correct" if right else "incorrect",
                    "mistake": CLASSES[0 if right else 1],
                }
                writer.add(f"{subject}{k}", subject, {"pose": (x, None, 30.0)}, labels)
    return Store(path)


def data(store: Store) -> MotionDataModule:
    return MotionDataModule(store, "split", batch_size=8, partners=NearestCorrect())


def task(judge: Path | None = None, feedback: str | None = "mistake", **options: object) -> Task:
    torch.manual_seed(0)
    encoder = STGCN("kinect20", 3, widths=[8, 16], strides=[1, 2], kernel=3)
    objectives = {
        "mistake": Classification("mistake", 2),
        "correction": Correction(
            "mistake", 2, feedback=feedback, coefficients=6, judge=judge and str(judge), **options
        ),  # type: ignore[arg-type]
    }
    transforms = {
        "length": Resample(16),
        "target_length": Resample(16, "target"),
        "size": Together(RandomScale(0.1), ["pose", "target"]),
    }
    optimizer = lambda groups: torch.optim.AdamW(groups, lr=1e-2)  # noqa: E731
    return Task(encoder, objectives, transforms=transforms, optimizer=optimizer)


def trainer(epochs: int) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def judge(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    encoder = STGCN("kinect20", 3, widths=[6, 12], strides=[1, 2], kernel=5)
    transforms = {"length": Resample(16), "noise": Jitter(0.03)}  # without it small kinks fool it
    made = Task(encoder, {"mistake": Classification("mistake", 2, peak=True)}, transforms=transforms)
    run = trainer(40)
    run.fit(made, datamodule=MotionDataModule(store, "split", batch_size=8))
    path = tmp_path_factory.mktemp("judge") / "last.ckpt"
    run.save_checkpoint(path, weights_only=True)
    return path


def test_learns_to_correct_and_leaves_alone_what_is_right(store: Store, judge: Path) -> None:
    made, run = task(judge, bones=0.0, smoothness=0.1), trainer(60)  # bodies whose bones stretch when they bend
    run.fit(made, datamodule=data(store))
    (found,) = run.test(made, datamodule=data(store), verbose=False)
    figures = {key.removeprefix("test/correction/"): value for key, value in found.items()}
    assert figures["judge_accuracy"] == 1, "the judge must be one"
    assert figures["success_mistakes"] >= 0.75 and figures["dtw_gain"] > 0.7
    assert figures["moved_correct"] < 0.5 * figures["moved_mistakes"]
    assert set(made.objective("correction").sources()) == {"last.ckpt"}


def test_untrained_it_changes_nothing(store: Store, judge: Path) -> None:
    made, run = task(judge), trainer(1)
    (found,) = run.test(made, datamodule=data(store), verbose=False)
    assert found["test/correction/success_mistakes"] == 0 and found["test/correction/success_all"] == 0.5
    assert found["test/correction/moved_mistakes"] == 0 and found["test/correction/dtw_gain"] == pytest.approx(0)
    assert found["test/correction/bone_error"] == 0 and found["test/correction/jerk_ratio"] == pytest.approx(1)


def test_loss_by_hand(store: Store) -> None:
    made = task(feedback=None, smoothness=0.5, bones=2.0, identity=3.0).train()
    head = made.objective("correction").head
    torch.nn.init.normal_(head.leave.weight, std=0.01)  # type: ignore[union-attr, arg-type]
    module = data(store)
    batch = made.transform(module.train_set.__getitems__([0, 1, 2, 3]))
    output = made.outputs(batch)["correction"]
    x, y, corrected = batch["pose"].x, batch["target"].x, output.prediction
    own = torch.tensor([a == b for a, b in zip(batch.id, batch.target_id, strict=True)])
    assert own.tolist() == [True, False, True, False]
    divergence = soft_dtw_divergence(corrected.flatten(2), y.flatten(2), 0.01) / 16
    steps = (corrected[:, 1:] - corrected[:, :-1]).square().mean((1, 2, 3))
    lengths = []
    for z in (corrected, x):
        lengths.append(torch.stack([(z[:, :, b] - z[:, :, a]).norm(dim=-1) for a, b in made.encoder.skeleton.bones], 2))
    bones = ((lengths[0] - lengths[1]).abs() / lengths[1].mean(1, keepdim=True)).mean((1, 2))
    kept = own * (corrected - x).square().mean((1, 2, 3))
    expected = (divergence + 0.5 * steps + 2 * bones + 3 * kept).mean()
    torch.testing.assert_close(output.loss, expected, rtol=1e-4, atol=1e-6)


def test_the_truth_is_told_less_and_less(store: Store) -> None:
    made = task().train()
    objective = made.objective("correction")
    batch = data(store).train_set.__getitems__([0, 1, 2, 3, 4, 5, 6, 7])
    logits = torch.zeros(8, 2)
    truth = torch.nn.functional.one_hot(batch.mistake, 2).float()
    told = {}
    for progress in (0.0, 0.5, 1.0):
        objective.begin_epoch(progress)
        drawn = [objective._told(batch, {"mistake": logits}) for _ in range(200)]  # type: ignore[attr-defined]
        told[progress] = float(torch.stack([(d == truth).all(1).float().mean() for d in drawn]).mean())
    assert told[0.0] == 1 and told[1.0] == 0 and 0.4 < told[0.5] < 0.6
    objective.begin_epoch(0.0)
    assert torch.equal(objective.eval()._told(batch, {"mistake": logits}), logits.softmax(1))  # type: ignore[attr-defined]


def test_a_checkpoint_corrects_without_targets(store: Store, judge: Path, tmp_path: Path) -> None:
    made, run = task(judge), trainer(1)
    run.fit(made, datamodule=data(store))
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    again = Task.from_checkpoint(tmp_path / "a.ckpt")
    transforms = {name: t for name, t in again.transforms.items() if name == "length"}
    again.transforms = torch.nn.ModuleDict(transforms)
    made.transforms = torch.nn.ModuleDict(transforms)
    batch = store.read([0, 1, 2])
    with torch.no_grad():
        corrected = again(batch)["correction"].prediction
        assert corrected.shape == (3, 16, 20, 3)
        torch.testing.assert_close(corrected, made.eval()(batch)["correction"].prediction)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "posture"}, "label 'posture'"),
        ({"num_classes": 3}, "3 classes"),
        ({"target": "goal"}, "no target comes along as 'goal'"),
    ],
)
def test_what_does_not_fit_is_named(store: Store, change: dict[str, object], message: str) -> None:
    arguments = {"label": "mistake", "num_classes": 2, **change}
    encoder = STGCN("kinect20", 3, widths=[4], strides=[1], kernel=3)
    made = Task(encoder, {"correction": Correction(**arguments)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        trainer(1).fit(made, datamodule=data(store))


def test_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="coefficients is 0"):
        Correction("mistake", 2, coefficients=0)
