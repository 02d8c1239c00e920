"""Teacher and student: paired by recording, the teacher frozen and left out, every loss as it is by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from graphnets.data import MotionDataModule, RandomSequences, Store, StoreWriter, Subjects
from graphnets.encoders import STGCN
from graphnets.losses import (
    DASK,
    AngleLoss,
    AttentionTransfer,
    Criterion,
    DecoupledKD,
    DistanceLoss,
    GatedDistillation,
    Hint,
    KnowledgeDistillation,
    SemCKD,
    SimilarityPreserving,
)
from graphnets.nn.masking import masked_mean
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Distillation, SimKD, Task
from graphnets.tasks.teacher import CrossFitted, Teacher
from graphnets.transforms import Center, Jitter, RandomCrop, Resample, Together

CARD = {
    "name": "pair", "title": "Two modalities", "description": "Made for tests", "licence": "MIT", "source": "tests",
    "modalities": {
        "imu": {"skeleton": "imu_axes6", "channels": ["value"]},
        "pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"]},
    },
    "labels": {"move": {"classes": ["still", "wave", "shake"]}},
    "protocols": {"split": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("pair") / "store"
    rng = np.random.default_rng(0)
    with StoreWriter(path, CARD) as writer:
        for i in range(36):
            t = int(rng.integers(8, 14))
            time = np.linspace(0, 6, t)[:, None]
            pose, imu = rng.normal(size=(t, 20, 3)) * 0.05, rng.normal(size=(2 * t, 6, 1)) * 0.5
            pose[:, 8:12, 0] += (i % 3) * np.sin(time)
            imu[:, :3, 0] += (i % 3) * np.sin(np.linspace(0, 6, 2 * t))[:, None]
            streams = {"pose": (pose, None, 30.0), "imu": (imu, None, 60.0)}
            writer.add(f"r{i}", "abcd"[i % 4], streams, {"move": CARD["labels"]["move"]["classes"][i % 3]})  # type: ignore[index]
    return Store(path)


def trainer(epochs: int = 1) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def teacher(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reads the pose, with another length and another number of features than the student."""
    torch.manual_seed(0)
    encoder = STGCN("kinect20", 3, widths=[8, 12], strides=[1, 2], kernel=3)
    transforms = {"length": Resample(10), "centre": Center(), "noise": Jitter(0.01)}
    task = Task(encoder, {"move": Classification("move", 3, peak=True)}, transforms=transforms)
    run = trainer(8)
    run.fit(task, datamodule=MotionDataModule(store, "split", batch_size=6))
    path = tmp_path_factory.mktemp("teacher") / "last.ckpt"
    run.save_checkpoint(path, weights_only=True)
    return path


def student(*objectives: Any, moves: bool = True) -> Task:
    torch.manual_seed(1)
    encoder = STGCN("imu_axes6", 1, widths=[6, 10], strides=[2, 1], kernel=3)
    transforms: dict[str, Any] = {"crop": RandomCrop(0.5, modality="imu")} if moves else {}
    transforms["length"] = Resample(16, "imu")
    named = {"move": Classification("move", 3), **{f"d{i}": objective for i, objective in enumerate(objectives)}}
    return Task(encoder, named, modality="imu", transforms=transforms)


def test_the_teacher_may_see_what_the_student_sees(store: Store, teacher: Path) -> None:
    task = Task(
        STGCN("imu_axes6", 1, widths=[6, 10], strides=[2, 1], kernel=3),
        {
            "move": Classification("move", 3),
            "d0": Distillation(str(teacher), KnowledgeDistillation(), view="student"),
        },
        modality="imu",
        transforms={"crop": Together(RandomCrop(0.5), ["imu", "pose"]), "length": Resample(16, "imu")},
    )
    data = MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    task.objective("d0").ready()
    task.train()
    asked = task.objective("d0")._teacher[0]  # type: ignore[attr-defined]
    batch = data.train_set.__getitems__([5, 0, 9, 2])
    answers = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        transformed = task.transform(batch)
        assert transformed.raw is batch and batch.raw is batch
        answers.append(asked(transformed, changed=True).logits)
        known = Task.from_checkpoint(teacher)
        assert torch.allclose(answers[-1], known(transformed)["move"].prediction, atol=1e-6)
        assert torch.allclose(asked(transformed).logits, known(batch)["move"].prediction, atol=1e-6), "as stored"
    assert torch.equal(answers[0], answers[1]) and not torch.allclose(answers[0], answers[2])
    torch.manual_seed(2)
    transformed = task.transform(batch)
    outputs = task.outputs(transformed)
    expected = KnowledgeDistillation()(outputs["move"].prediction, answers[2])
    assert torch.allclose(outputs["d0"].loss, expected)


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(ValueError, match="'stored' or 'student'"):
        Distillation("a.ckpt", KnowledgeDistillation(), view="both")  # type: ignore[arg-type]


LOSSES: list[Criterion] = [
    KnowledgeDistillation(3), DecoupledKD(), GatedDistillation(), Hint(10, 12), DistanceLoss(), AngleLoss(),
    AttentionTransfer(), SimilarityPreserving(), DASK(10, 12), SemCKD([10], [12]),
]  # fmt: skip


@pytest.mark.parametrize("criterion", LOSSES, ids=lambda c: type(c).__name__)
def test_every_loss_compares_the_same_recordings(store: Store, teacher: Path, criterion: Criterion) -> None:
    task, data = student(Distillation(str(teacher), criterion)), MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    objective = task.objective("d0")
    objective.ready()
    task.train()
    rows = [5, 0, 9, 2]
    batch = data.train_set.__getitems__(rows)
    transformed = task.transform(batch)
    torch.manual_seed(3)
    outputs = task.outputs(transformed)
    # By hand: the teacher alone, on the recordings as they are in the store.
    known = Task.from_checkpoint(teacher)
    with torch.no_grad():
        pose = known.transform(data.train_set.__getitems__(rows))
        features = known.features(pose)
        theirs = {
            "logits": known(data.train_set.__getitems__(rows))["move"].prediction,
            "embedding": masked_mean(features.x, features.mask, (1, 2)),
            "frames": masked_mean(features.x, features.mask, (2,)),
            "seen": torch.ones(features.x.shape[:2], dtype=torch.bool),
        }
    own = task.features(transformed)
    ours = {
        "logits": outputs["move"].prediction,
        "embedding": masked_mean(own.x, own.mask, (1, 2)),
        "frames": masked_mean(own.x, own.mask, (2,)),
        "seen": torch.ones(own.x.shape[:2], dtype=torch.bool),
    }
    given: list[Any] = []
    for name in criterion.reads:
        if name == "label":
            given.append(batch["move"])
        elif name == "layers":
            given += [[side["frames"].mean(1)] for side in (ours, theirs)]
        else:
            given += [ours[name], theirs[name]]
    assert outputs["d0"].loss.item() == pytest.approx(float(criterion(*given)), rel=1e-4, abs=1e-7)
    outputs["d0"].loss.backward()
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in task.encoder.parameters())
    # In evaluation there is nothing to compare.
    assert task.eval().outputs(transformed)["d0"].count == 0


def test_answers_are_kept_and_right(store: Store, teacher: Path) -> None:
    data = MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    asked = Teacher(teacher, taps=["blocks.0"])
    first = [asked(data.train_set.__getitems__([0, 1, 2])), asked(data.train_set.__getitems__([3, 4]))]
    calls: list[int] = []
    asked.task.encoder.register_forward_hook(lambda *_: calls.append(1))
    again = asked(data.train_set.__getitems__([4, 1]))
    assert not calls, "both are known"
    assert torch.equal(again.logits[0], first[1].logits[1]) and torch.equal(again.embedding[1], first[0].embedding[1])
    assert len(again.layers) == 1 and again.layers[0].shape == (2, 10, 8)
    assert torch.equal(again.layers[0][1], first[0].layers[0][1])


def test_the_teacher_stays_as_it_is_and_out_of_the_checkpoint(store: Store, teacher: Path, tmp_path: Path) -> None:
    distil = Distillation(str(teacher), DASK(10, 12), taps=None)
    task = student(distil)
    run = trainer(2)
    run.fit(task, datamodule=MotionDataModule(store, "split", batch_size=6))
    before = torch.load(teacher, weights_only=True)["state_dict"]
    (asked,) = distil._teacher
    now = {name: value for name, value in asked.task.state_dict().items() if isinstance(value, torch.Tensor)}
    assert all(torch.equal(value, before[name]) for name, value in now.items())
    assert not any(module.training for module in asked.task.modules())
    names = [name for name, _ in task.named_parameters()]
    assert any("semantic" in name for name in names), "projections are learned"
    assert sum(p.numel() for p in task.parameters()) < sum(before[name].numel() for name in now) + 10_000
    run.save_checkpoint(tmp_path / "s.ckpt", weights_only=True)
    teacher_file = teacher.read_bytes()
    teacher.unlink()
    try:
        alone = Task.from_checkpoint(tmp_path / "s.ckpt")
        trainer().test(alone, datamodule=MotionDataModule(store, "split", batch_size=6), verbose=False)
        batch = MotionDataModule(store, "split").store.read(torch.arange(3), ["imu"])
        with torch.no_grad():
            assert torch.allclose(alone(batch)["move"].prediction, task.eval()(batch)["move"].prediction, atol=1e-6)
    finally:
        teacher.write_bytes(teacher_file)


def test_each_subject_has_the_teacher_that_has_not_seen_it(store: Store, teacher: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.ckpt"
    checkpoint = torch.load(teacher, weights_only=True)
    weights = checkpoint["state_dict"]
    weights["objectives.move.head.linear.bias"] = weights["objectives.move.head.linear.bias"] + 1.5
    weights["objectives.move.head.linear.bias"][0] -= 3.0
    torch.save(checkpoint, other)
    data = MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    batch = data.train_set.__getitems__([0, 1, 2, 3, 4, 5])
    assert set(batch.subject) == {"a", "b"}
    found = CrossFitted({"a": str(teacher), "b": str(other)}, taps=["blocks.0"])(batch)
    for path, subject in ((teacher, "a"), (other, "b")):
        alone = Teacher(path, taps=["blocks.0"])(batch)
        rows = [i for i, s in enumerate(batch.subject) if s == subject]
        assert torch.equal(found.logits[rows], alone.logits[rows])
        assert torch.equal(found.embedding[rows], alone.embedding[rows])
        assert torch.equal(found.layers[0][rows], alone.layers[0][rows])
    distil = Distillation({"a": str(teacher), "b": str(other)}, DecoupledKD())
    task = student(distil)
    distil.ready()
    assert task.train()(batch)["d0"].loss > 0 and len(distil.sources()) == 2
    with pytest.raises(ValueError, match=r"no teacher for the subjects \['b'\]"):
        CrossFitted({"a": str(teacher)})(batch)
    with pytest.raises(ValueError, match="no teacher: give"):
        CrossFitted({})


def test_taps_compare_layer_by_layer(store: Store, teacher: Path) -> None:
    distil = Distillation(str(teacher), AttentionTransfer(), taps={"blocks.0": "blocks.1", "blocks.1": "blocks.0"})
    task, data = student(distil), MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    distil.ready()
    task.train()
    out = task(data.train_set.__getitems__([0, 1, 2, 3]))["d0"]
    assert out.loss > 0 and out.loss.requires_grad
    for taps, message in (({"nowhere": "blocks.0"}, "the student has no layer nowhere; there are"),):
        with pytest.raises(ValueError, match=message):
            student(Distillation(str(teacher), AttentionTransfer(), taps=taps))
    with pytest.raises(ValueError, match=r"the teacher .* has no layer blocks\.9"):
        Distillation(str(teacher), AttentionTransfer(), taps={"blocks.0": "blocks.9"}).ready()


def test_two_layers_may_learn_from_one_and_clips_may_differ_in_length(
    store: Store, teacher: Path, tmp_path: Path
) -> None:
    distil = Distillation(str(teacher), AttentionTransfer(), taps={"blocks.0": "blocks.0", "blocks.1": "blocks.0"})
    task, data = student(distil), MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    distil.ready()
    assert task.train()(data.train_set.__getitems__([0, 1]))["d0"].loss > 0
    # A teacher without a length of its own is asked again where answers are of different lengths.
    checkpoint = torch.load(teacher, weights_only=True)
    del checkpoint["graphnets"]["transforms"]["length"]
    torch.save(checkpoint, tmp_path / "ragged.ckpt")
    ragged = Teacher(tmp_path / "ragged.ckpt")
    lengths = [int(store[int(row)]["pose"].x.shape[0]) for row in data.train_set.rows]
    a = lengths.index(min(lengths))
    b = lengths.index(max(lengths))
    ragged(data.train_set.__getitems__([a]))
    ragged(data.train_set.__getitems__([b]))
    assert ragged(data.train_set.__getitems__([a, b])).layers[0].shape[0] == 2


def test_a_copy_listens_for_itself(store: Store, teacher: Path) -> None:
    task, data = (
        student(Distillation(str(teacher), AttentionTransfer(), taps={"blocks.0": "blocks.0"})),
        MotionDataModule(store, "split", batch_size=6),
    )
    data.setup("fit")
    twin = copy.deepcopy(task).train()
    objective = twin.objective("d0")
    objective.ready()
    assert twin(data.train_set.__getitems__([0, 1]))["d0"].loss > 0
    original = task.objective("d0")
    assert isinstance(original, Distillation) and not original._heard


def test_memory_that_runs_out_is_not_called_a_misfit(store: Store, teacher: Path) -> None:
    class Hungry(KnowledgeDistillation):
        def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("no more")

    task, data = student(Distillation(str(teacher), Hungry())), MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")
    task.objective("d0").ready()
    with pytest.raises(torch.OutOfMemoryError):
        task.train()(data.train_set.__getitems__([0, 1]))


def test_what_does_not_fit_is_told(store: Store, teacher: Path, tmp_path: Path) -> None:
    data = MotionDataModule(store, "split", batch_size=6)
    data.setup("fit")

    def fails(objective: Distillation, message: str, modalities: list[str] | None = None) -> None:
        task = student(objective)
        objective.ready()
        task.train()
        with pytest.raises(ValueError, match=message):
            task(data.store.read(torch.arange(4), modalities or ["imu", "pose"]))

    fails(Distillation(str(teacher), Hint(10, 99)), "Hint does not fit: logits, embedding and layers are")
    fails(Distillation(str(teacher), KnowledgeDistillation(), of="other"), "no objective 'other' before this one")
    fails(Distillation(str(teacher), KnowledgeDistillation()), "pose isn't read from the store", ["imu"])
    with pytest.raises(ValueError, match="no objective 'x'; it has move"):
        Distillation(str(teacher), KnowledgeDistillation(), teacher_objective="x").ready()
    with pytest.raises(ValueError, match="no such checkpoint"):
        Distillation(str(tmp_path / "no.ckpt"), KnowledgeDistillation()).ready()


def test_simkd_speaks_through_the_teachers_classifier(store: Store, teacher: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoder = STGCN("imu_axes6", 1, widths=[6, 10], strides=[2, 1], kernel=3)
    sim = SimKD(str(teacher), "move", 3, channels=12, peak=True)
    task = Task(encoder, {"move": sim}, modality="imu", transforms={"length": Resample(16, "imu")})
    run, data = trainer(3), MotionDataModule(store, "split", batch_size=6)
    run.fit(task, datamodule=data)
    head = Task.from_checkpoint(teacher).objective("move").head.state_dict()
    assert all(torch.equal(value, head[name]) for name, value in sim.head.state_dict().items())
    assert list(sim.sources()) == [teacher.name]
    run.save_checkpoint(tmp_path / "s.ckpt", weights_only=True)
    alone = Task.from_checkpoint(tmp_path / "s.ckpt")
    resumed = alone.objective("move")
    assert isinstance(resumed, SimKD)
    with torch.no_grad():
        resumed.head.linear.bias += 1
    with pytest.raises(ValueError, match="another one than when training began"):
        resumed.ready()
    alone = Task.from_checkpoint(tmp_path / "s.ckpt")
    batch = data.store.read(torch.arange(3), ["imu"])
    with torch.no_grad():
        assert torch.allclose(alone(batch)["move"].prediction, task.eval()(batch)["move"].prediction, atol=1e-6)
    with pytest.raises(ValueError, match="channels 12 and peak True, not 8 and True"):
        wrong = SimKD(str(teacher), "move", 3, channels=8, peak=True)
        wrong.build(encoder)
        wrong.prepare(data)
        wrong.ready()


# A teacher that can't be one ---------------------------------------------------------------------------------


def trained(store: Store, path: Path, split: Any = "split", **changes: Any) -> Path:
    """A teacher of the pose after one epoch."""
    torch.manual_seed(0)
    encoder = STGCN(changes.get("skeleton", "kinect20"), 3, widths=[8, 12], strides=[1, 2], kernel=3)
    label = changes.get("label", "move")
    task = Task(encoder, {"move": Classification(label, 3)}, transforms={"length": Resample(10)})
    run = trainer()
    run.fit(task, datamodule=MotionDataModule(store, split, batch_size=6))
    run.save_checkpoint(path, weights_only=True)
    return path


def other_store(path: Path, changes: dict[str, Any]) -> Store:
    card = copy.deepcopy(CARD) | changes
    rng = np.random.default_rng(1)
    label = next(iter(card["labels"]))
    with StoreWriter(path, card) as writer:
        for i in range(16):
            streams = {
                "pose": (rng.normal(size=(9, 20, 3)), None, 30.0),
                "imu": (rng.normal(size=(18, 6, 1)), None, 60.0),
            }
            writer.add(f"r{i}", "abcd"[i % 4], streams, {label: card["labels"][label]["classes"][i % 3]})
    return Store(path)


def fit(store: Store, *objectives: Any, split: Any = "split") -> None:
    trainer().fit(student(*objectives), datamodule=MotionDataModule(store, split, batch_size=6))


def test_a_teacher_of_other_classes_is_refused(store: Store, tmp_path: Path) -> None:
    other = other_store(tmp_path / "other", {"labels": {"move": {"classes": ["wave", "shake", "still"]}}})
    wrong = trained(other, tmp_path / "wrong.ckpt")
    with pytest.raises(ValueError, match=r"wrong.ckpt knows the classes .*'wave', 'shake', 'still'"):
        fit(store, Distillation(str(wrong), KnowledgeDistillation()))


def test_a_teacher_of_another_label_can_teach_no_loss_that_needs_it(store: Store, tmp_path: Path) -> None:
    other = other_store(tmp_path / "other", {"labels": {"action": {"classes": ["still", "wave", "shake"]}}})
    wrong = trained(other, tmp_path / "wrong.ckpt", label="action")
    with pytest.raises(ValueError, match=r"names 'action', which the store .* has not"):
        fit(store, Distillation(str(wrong), DecoupledKD()))
    fit(store, Distillation(str(wrong), DistanceLoss()))


def test_a_teacher_of_other_joints_is_refused(store: Store, tmp_path: Path) -> None:
    bones = Skeleton.load("kinect20")
    turned = bones.subset(list(reversed(bones.joints)))
    modalities = {**CARD["modalities"], "pose": {"skeleton": turned.to_dict(), "channels": ["x", "y", "z"]}}  # type: ignore[dict-item]
    wrong = trained(
        other_store(tmp_path / "other", {"modalities": modalities}), tmp_path / "wrong.ckpt", skeleton=turned
    )
    with pytest.raises(ValueError, match=r"the teacher .*wrong.ckpt: the encoder was made for skeleton"):
        fit(store, Distillation(str(wrong), KnowledgeDistillation()))


def test_a_teacher_must_not_know_the_people_that_are_tested(store: Store, tmp_path: Path) -> None:
    wrong = trained(store, tmp_path / "wrong.ckpt", Subjects(train=["a", "d"], test=["b"]))
    for taught in (Distillation(str(wrong), KnowledgeDistillation()), Distillation({"a": str(wrong)}, DistanceLoss())):
        with pytest.raises(ValueError, match=r"wrong.ckpt .*trained on (the subjects d|this subject)"):
            fit(store, taught)
    fit(store, Distillation(str(wrong), KnowledgeDistillation()), split=RandomSequences(0.5, 0.25, seed=0))


def test_what_the_student_transforms_is_not_transformed_again(store: Store, tmp_path: Path) -> None:
    task = Task(
        STGCN("imu_axes6", 1, widths=[8, 12], strides=[1, 2], kernel=3), {"move": Classification("move", 3)},
        modality="imu", transforms={"length": Resample(16, "imu")},
    )  # fmt: skip
    run = trainer()
    run.fit(task, datamodule=MotionDataModule(store, "split", batch_size=6))
    run.save_checkpoint(tmp_path / "imu.ckpt", weights_only=True)
    with pytest.raises(ValueError, match=r"imu.ckpt reads imu, and so does the student's transform 'crop'|'length'"):
        fit(store, Distillation(str(tmp_path / "imu.ckpt"), KnowledgeDistillation(), view="student"))
    fit(store, Distillation(str(tmp_path / "imu.ckpt"), KnowledgeDistillation()))


def test_resuming_with_another_teacher_is_refused(store: Store, teacher: Path, tmp_path: Path) -> None:
    data = MotionDataModule(store, "split", batch_size=6)
    for made in (
        lambda path: student(Distillation(path, KnowledgeDistillation())),
        lambda path: speaking(path),
    ):
        begun, run = made(str(teacher)), trainer(1)
        run.fit(begun, datamodule=data)
        run.save_checkpoint(tmp_path / "begun.ckpt")
        other = trained_like(store, tmp_path / "other.ckpt")
        with pytest.raises(ValueError, match="another teacher"):
            trainer(2).fit(made(str(other)), datamodule=data, ckpt_path=tmp_path / "begun.ckpt", weights_only=True)
        trainer(2).fit(made(str(teacher)), datamodule=data, ckpt_path=tmp_path / "begun.ckpt", weights_only=True)


def speaking(path: str) -> Task:
    """A student through the teacher's classifier."""
    torch.manual_seed(1)
    encoder = STGCN("imu_axes6", 1, widths=[6, 10], strides=[2, 1], kernel=3)
    objective = SimKD(path, "move", 3, channels=12, peak=True)
    return Task(encoder, {"move": objective}, modality="imu", transforms={"length": Resample(16, "imu")})


def trained_like(store: Store, path: Path) -> Path:
    """As the fixture, with other weights."""
    torch.manual_seed(7)
    encoder = STGCN("kinect20", 3, widths=[8, 12], strides=[1, 2], kernel=3)
    task = Task(encoder, {"move": Classification("move", 3, peak=True)}, transforms={"length": Resample(10)})
    run = trainer(1)
    run.fit(task, datamodule=MotionDataModule(store, "split", batch_size=6))
    run.save_checkpoint(path, weights_only=True)
    return path


# What is missing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taps", [None, {"blocks.0": "blocks.1"}], ids=["features", "taps"])
@pytest.mark.parametrize(
    "criterion", [SemCKD([10], [12]), AttentionTransfer(), DistanceLoss()], ids=lambda c: type(c).__name__
)
def test_padding_changes_no_loss(
    store: Store, tmp_path: Path, criterion: Criterion, taps: dict[str, str] | None
) -> None:
    """Neither network resamples: clips have their own lengths, padded in a batch."""
    torch.manual_seed(0)
    encoder = STGCN("kinect20", 3, widths=[8, 12], strides=[1, 2], kernel=3)
    run, data = trainer(), MotionDataModule(store, "split", batch_size=6)
    task = Task(encoder, {"move": Classification("move", 3)}, transforms={"centre": Center()})
    run.fit(task, datamodule=data)
    run.save_checkpoint(tmp_path / "t.ckpt", weights_only=True)
    if taps and isinstance(criterion, SemCKD):
        criterion = SemCKD([6], [12])
    objective = Distillation(str(tmp_path / "t.ckpt"), criterion, taps=taps)
    made = Task(
        STGCN("imu_axes6", 1, widths=[6, 10], strides=[2, 1], kernel=3),
        {"move": Classification("move", 3), "d": objective}, modality="imu",
    )  # fmt: skip
    objective.ready(made, data)
    batch = data.train_set.__getitems__([0, 1, 2, 3])
    lengths = [int(batch["pose"].mask[i, :, 0].sum()) for i in range(4)]
    assert len(set(lengths)) > 1
    made.eval()
    objective.train()
    whole = made.outputs(made.transform(batch))["d"].loss
    padded = copy.copy(batch)
    for name in ("pose", "imu"):
        node = padded[name]
        node.x = torch.nn.functional.pad(node.x, (0, 0, 0, 0, 0, 8), value=float("nan"))
        node.mask = torch.nn.functional.pad(node.mask, (0, 0, 0, 8))
    objective._teacher[0]._kept.clear()
    again = made.outputs(made.transform(padded))["d"].loss
    if isinstance(criterion, AttentionTransfer):  # over relative time of the batch: what is padding has no say
        assert bool(again.isfinite())
    else:
        torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-6)


def test_of_what_the_teacher_does_not_see_it_says_nothing(store: Store, teacher: Path) -> None:
    task, data = (
        student(Distillation(str(teacher), KnowledgeDistillation()), moves=False),
        MotionDataModule(store, "split"),
    )
    objective = task.objective("d0")
    task.objective("move").prepare(data)
    objective.ready(task, data)
    batch = data.train_set.__getitems__([0, 1, 2, 3])
    part = data.train_set.__getitems__([0, 2])
    batch["pose"].mask[[1, 3]] = False
    batch["pose"].x[[1, 3]] = torch.nan
    task.eval()
    objective.train()
    output = task.outputs(task.transform(batch))["d0"]
    assert output.count == 2
    torch.testing.assert_close(output.loss, task.outputs(task.transform(part))["d0"].loss)
    batch["pose"].mask[:] = False
    objective._teacher[0]._kept.clear()  # type: ignore[attr-defined]
    nothing = task.outputs(task.transform(batch))["d0"]
    assert nothing.count == 0 and float(nothing.loss) == 0 and nothing.loss.requires_grad


def test_a_copy_can_be_made_after_an_evaluation(store: Store, teacher: Path) -> None:
    task = student(Distillation(str(teacher), Hint(6, 8), taps={"blocks.0": "blocks.0"}))
    task.eval()(MotionDataModule(store, "split").train_set.__getitems__([0, 1]))
    twin = copy.deepcopy(task)
    assert all(torch.equal(a, b) for a, b in zip(task.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize(
    "criterion", [KnowledgeDistillation(), DecoupledKD(), GatedDistillation()], ids=lambda c: type(c).__name__
)
def test_predictions_of_the_teacher_get_no_gradient(criterion: Criterion) -> None:
    student_logits, teacher_logits = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    labels = [torch.tensor([0, 1, 2, 0])] if "label" in criterion.reads else []
    criterion(student_logits, 3 * teacher_logits, *labels).backward()
    assert student_logits.grad is not None and teacher_logits.grad is None
    with pytest.raises(ValueError, match=r"logits are \[N, K\]"):
        criterion(student_logits, torch.randn(4, 1), *labels)


def test_predictions_are_compared_once() -> None:
    with pytest.raises(ValueError, match="one pair of layers at most"):
        Distillation("a.ckpt", DASK(10, 12), taps={"blocks.0": "blocks.0", "blocks.1": "blocks.1"})
