"""The one LightningModule: transforms, encoder, objectives, optimiser."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.encoders import Encoder, Features
from graphnets.encoders.fusion import MultiModalEncoder
from graphnets.runtime import epoch_seed
from graphnets.spec import Configurable, from_spec, to_spec
from graphnets.tasks.objective import Objective, ObjectiveOutput
from graphnets.tasks.teacher import digest
from graphnets.transforms import RandomTransform, Together, Transform
from graphnets.transforms.base import IN_TIME
from graphnets.version import __version__

SPEC = "graphnets"
TRAINED_ON = "graphnets_trained_on"
SIDES = ("train", "val", "test")
OptimizerFactory = Callable[[Iterable[Any]], Optimizer]
SchedulerFactory = Callable[[Optimizer, int], LRScheduler]


class Task(pl.LightningModule):
    """Trains an encoder on any set of objectives.

    A checkpoint of a task holds plain data and weights only: :meth:`from_checkpoint` rebuilds the task from it.

    Args:
        encoder: The backbone: of one modality, or of several.
        objectives: What to learn, by name, in order: later ones see the predictions of earlier ones.
        modality: Which modality the encoder reads; one of several modalities names its own.
        transforms: Run on each batch on the device, in this order, by name, so that a command line or a sweep can reach
            each. Random ones act in training only; ``Normalize`` is fitted on the training sequences before the first
            epoch and travels in the checkpoint.
        optimizer: Called with the parameter groups; biases, norms and other vectors get no weight decay. By default
            AdamW with a learning rate of 0.001 and a weight decay of 0.01.
        scheduler: Called with the optimiser and the number of training steps, stepped after each.

        pretrained: A checkpoint of another task with the same encoder, whose weights are where training starts; heads
            and statistics of the data begin anew.

    Raises:
        ValueError: There is no objective, or the checkpoint's encoder is another one.

    Example:
        >>> encoder = STGCN("kinect20", in_channels=6, widths=(48, 96), strides=(1, 2))
        >>> task = Task(encoder, {"action": Classification("action", 27)}, transforms={"resample": Resample(32)})
    """

    def __init__(
        self,
        encoder: Encoder,
        objectives: dict[str, Objective],
        modality: str = "pose",
        transforms: dict[str, Transform] | None = None,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if not objectives:
            raise ValueError("a task needs at least one objective")
        self.encoder = encoder
        self.modalities = encoder.modalities if isinstance(encoder, MultiModalEncoder) else (modality,)
        self.modality = self.modalities[0]  # what pictures show
        self.objectives = nn.ModuleDict(objectives)
        self.transforms = nn.ModuleDict(transforms or {})
        self.make_optimizer = optimizer or partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.01)
        self.make_scheduler = scheduler
        for objective in objectives.values():
            objective.build(encoder)
        self._check_framewise()
        self.seed = 0
        self.trained_on: dict[str, Any] = {}
        self.pretrained: dict[str, str] | None = None if pretrained is None else start_from(encoder, Path(pretrained))

    # What it computes ---------------------------------------------------------------------------------------

    def transform(self, batch: MotionBatch) -> MotionBatch:
        """The batch as the encoder reads it; the given one stays as it is, and is the ``raw`` of the new one.

        Targets that aren't there, as when predicting, aren't transformed.
        """
        raw, batch = batch, copy.copy(batch)
        batch.keep_raw(raw)
        for transform in self.transforms.values():
            read = getattr(transform, "modality", self.modality)
            if read in self.modalities or read in batch.modalities:
                batch = transform(batch)
        return batch

    def forward(self, batch: MotionBatch) -> dict[str, ObjectiveOutput]:
        """Outputs of every objective for a raw batch."""
        return self.outputs(self.transform(batch))

    def outputs(self, batch: MotionBatch) -> dict[str, ObjectiveOutput]:
        """Outputs of every objective for a transformed batch."""
        features = self.features(batch)
        outputs: dict[str, ObjectiveOutput] = {}
        predictions: dict[str, Tensor] = {}
        for name, objective in self.objectives.items():
            outputs[name] = objective(features, batch, predictions)
            predictions[name] = outputs[name].prediction
        return outputs

    def features(self, batch: MotionBatch) -> Features:
        """What the encoder makes of a transformed batch."""
        # Nothing missing is the usual case and the faster one: norms and convolutions then skip the mask.
        complete = all(bool(batch[name].mask.all()) for name in self.modalities)
        if isinstance(self.encoder, MultiModalEncoder):
            x = {name: batch[name].x for name in self.modalities}
            return self.encoder.encode(x, None if complete else {name: batch[name].mask for name in self.modalities})
        store = batch[self.modality]
        return self.encoder.encode(store.x, None if complete else store.mask)

    # Lightning ----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Check objectives and encoder against the data, and fit the transforms that learn from it."""
        data = self._data()
        for name in self.objectives:
            self.objective(name).prepare(data)
            self.objective(name).attach(self)
            if stage == "fit":
                self.objective(name).ready(self, data)
        self._fit_transforms(data)
        with torch.no_grad():
            was_training = self.training
            sample = self.eval().transform(data.train_set.__getitems__([0]))
            self.train(was_training)
        self._check(sample)

    def on_fit_start(self) -> None:
        """Note the seed of the run: what is random in an epoch follows from it and the epoch alone."""
        self.seed = torch.initial_seed() % 2**31

    def on_train_batch_start(self, batch: MotionBatch, index: int) -> None:
        """Seed the epoch at its first batch, when the loader has drawn what it draws: how much depends on resuming."""
        if index == 0:
            torch.manual_seed(epoch_seed(self.seed, self.current_epoch))
            if self.current_epoch > 0:
                torch.empty((), dtype=torch.int64).random_()  # as in the runs behind the README's tables
            for name in self.objectives:
                self.objective(name).begin_epoch(self.current_epoch / max(self.trainer.max_epochs or 1, 1))

    def training_step(self, batch: MotionBatch, index: int) -> Tensor:
        """The weighted sum of the losses.

        Raises:
            ValueError: It is not finite: the weights would be lost, and every number after them.
        """
        outputs = self(batch)
        total = self._log_losses("train", outputs, len(batch))
        if not bool(total.isfinite()):
            raise ValueError(
                f"the loss is {float(total)} in epoch {self.current_epoch}, batch {index} (recordings "
                f"{', '.join(batch.id[:5])}, ...): check the data with tools/validate.py, or lower the learning rate"
            )
        return total

    def validation_step(self, batch: MotionBatch, index: int) -> None:
        """Losses and metrics."""
        self._evaluate("val", batch)

    def test_step(self, batch: MotionBatch, index: int) -> dict[str, ObjectiveOutput]:
        """Losses and metrics; the outputs go to the callbacks."""
        return self._evaluate("test", batch)

    def predict_step(self, batch: MotionBatch, index: int) -> dict[str, ObjectiveOutput]:
        """The outputs."""
        outputs: dict[str, ObjectiveOutput] = self(batch)
        return outputs

    def on_test_start(self) -> None:
        """Forget an earlier test; the metrics of this one stay for the callbacks to read."""
        for name in self.objectives:
            self.objective(name).stage_metrics("test").reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics."""
        self._log_metrics("test")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser and schedule; weight decay on matrices only."""
        trained = [p for p in self.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim > 1]},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = self.make_optimizer([g for g in groups if g["params"]])
        if self.make_scheduler is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_scheduler(optimizer, steps), "interval": "step"},
        }

    def _evaluate(self, stage: str, batch: MotionBatch) -> dict[str, ObjectiveOutput]:
        outputs: dict[str, ObjectiveOutput] = self(batch)
        self._log_losses(stage, outputs, len(batch))
        for name, output in outputs.items():
            self.objective(name).observe(stage, output, batch)
        return outputs

    def _log_losses(self, stage: str, outputs: dict[str, ObjectiveOutput], n: int) -> Tensor:
        total = torch.stack([self.objective(name).weight * o.loss for name, o in outputs.items()]).sum()
        self.log(f"{stage}/loss", total.detach(), on_step=False, on_epoch=True, batch_size=n)
        for name, output in outputs.items():
            scalars = {f"{stage}/{name}/loss": output.loss.detach()}
            if stage == "train":
                scalars |= {f"{stage}/{name}/{key}": value for key, value in output.logs.items()}
            # A mean over what was labelled: a batch without labels has no say in it.
            count = n if output.count is None else output.count
            if count:
                self.log_dict(scalars, on_step=False, on_epoch=True, batch_size=count)
        return total

    def validation_metrics(self) -> list[str]:
        """What validation logs, to choose a checkpoint by."""
        names = ["val/loss"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the metrics haven't seen anything yet
            for name in self.objectives:
                objective = self.objective(name)
                metrics = objective.summarize(objective.metrics())
                names += [f"val/{name}/{key}" for key in ("loss", *metrics)]
        return names

    def _log_metrics(self, stage: str) -> None:
        for name in self.objectives:
            metrics = self.objective(name).stage_metrics(stage)
            values = self.objective(name).summarize(metrics)
            self.log_dict({f"{stage}/{name}/{key}": value for key, value in values.items()}, prog_bar=stage == "val")
            if stage == "val":
                metrics.reset()

    def objective(self, name: str) -> Objective:
        """An objective by name."""
        found = self.objectives[name]
        assert isinstance(found, Objective)
        return found

    # Before fitting -----------------------------------------------------------------------------------------

    def _data(self) -> MotionDataModule:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, MotionDataModule):
            raise ValueError("a Task is trained and tested with a MotionDataModule: trainer.fit(task, datamodule=data)")
        return data

    def _fit_transforms(self, data: MotionDataModule) -> None:
        """Fit what learns from data on the training sequences, as the transforms before it leave them."""
        was_training = self.training
        self.eval()
        transforms = list(self.transforms.values())
        for i, transform in enumerate(transforms):
            fit = getattr(transform, "fit", None)
            if fit is None or bool(transform.fitted):
                continue
            with torch.no_grad():
                fit(self._partly(transforms[:i], data))
        self.train(was_training)

    @staticmethod
    def _partly(transforms: Iterable[nn.Module], data: MotionDataModule) -> Iterable[MotionBatch]:
        rows = torch.arange(len(data.train_set))
        for part in rows.split(256):
            batch = data.train_set.__getitems__(part)
            for transform in transforms:
                batch = transform(batch)
            yield batch

    def _check(self, batch: MotionBatch) -> None:
        """Does the encoder fit what the transforms hand it?"""
        for name in self.modalities:
            if name not in batch.modalities:
                raise ValueError(
                    f"the task reads modality {name!r}, but the data has {', '.join(batch.modalities)}: see "
                    "model.modality and data.modalities"
                )
            store, encoder = batch[name], self.encoder
            if isinstance(encoder, MultiModalEncoder):
                skeleton, channels = encoder.skeletons[name], encoder.channels[name]
            else:
                skeleton, channels = encoder.skeleton, encoder.in_channels
            if store.skeleton.joints != skeleton.joints:
                raise ValueError(
                    f"the encoder was made for skeleton {skeleton.name!r}, but {name!r} has "
                    f"{store.skeleton.name!r}: set the encoder's skeleton, or add the transform Remap"
                )
            if store.x.shape[-1] != channels:
                raise ValueError(
                    f"the encoder's in_channels is {channels}, but {name!r} comes out of the "
                    f"transforms with {store.x.shape[-1]}: {', '.join(store.channels)}"
                )

    def _check_framewise(self) -> None:
        """What is compared frame by frame must not be moved by chance."""
        compared = {target: name for name in self.objectives for target in self.objective(name).framewise}
        for name, transform in self.transforms.items():
            if not isinstance(transform, RandomTransform | Together) or not transform.moves:
                continue
            moved = transform.modalities if isinstance(transform, Together) else (transform.modality,)
            for target, objective in compared.items():
                # What both sides follow alike tears nothing apart, unless it changes what the numbers mean.
                alike = transform.moves == IN_TIME or self.objective(objective).moves_along
                if alike and {target, *self.modalities} <= set(moved):
                    continue
                raise ValueError(
                    f"transform {name!r} ({type(transform).__name__}) moves {', '.join(moved)} {transform.moves}, but "
                    f"objective {objective!r} compares predictions with {target!r} frame by frame, which stays: "
                    "leave it out, or move both with Together"
                )

    # Checkpoints --------------------------------------------------------------------------------------------

    def spec(self) -> dict[str, Any]:
        """All that rebuilds this task, as plain data."""
        return {
            "version": __version__,
            "encoder": to_spec(self.encoder),
            "objectives": {name: to_spec(objective) for name, objective in self.objectives.items()},
            "transforms": {name: to_spec(transform) for name, transform in self.transforms.items()},
            "modality": self.modality,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the spec."""
        checkpoint[SPEC] = self.spec()
        data = getattr(self._trainer, "datamodule", None)
        if isinstance(data, MotionDataModule):  # whom a teacher has seen must not be tested by its students
            subjects = {side: sorted(set(data.store.subjects[getattr(data.rows, side)].tolist())) for side in SIDES}
            self.trained_on = {"store_checksum": data.store.checksum, "subjects": subjects}
        checkpoint[TRAINED_ON] = self.trained_on

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str | torch.device = "cpu") -> Task:
        """Rebuild a trained task, ready for inference.

        Nothing is unpickled: the file is read with ``weights_only=True`` and only subclasses of the project's own
        contracts are made from it.

        Args:
            path: A checkpoint that training wrote.
            device: Where to put it.

        Raises:
            ValueError: There is no such file, it is no checkpoint of a task, or a class of it can't be imported.
        """
        checkpoint = load_checkpoint(path, device)
        spec = checkpoint[SPEC]
        task = cls(
            encoder=from_spec(spec["encoder"], Configurable),
            objectives=from_spec(spec["objectives"], Configurable),
            modality=spec["modality"],
            transforms=from_spec(spec["transforms"], Configurable),
        )
        task.load_state_dict(checkpoint["state_dict"])
        task.trained_on = checkpoint.get(TRAINED_ON, {})
        return task.to(device).eval()


def start_from(encoder: Encoder, path: Path) -> dict[str, str]:
    """Give an encoder the weights that a task's checkpoint holds of its own.

    Args:
        encoder: Of the same architecture.
        path: The checkpoint.

    Returns:
        What a run record says of it: the name of the file and the SHA-256 of its bytes.

    Raises:
        ValueError: There is no such file, it is no checkpoint of a task, or its encoder is another one.
    """
    checkpoint = load_checkpoint(path, "cpu")
    prefix = "encoder."
    other = from_spec(checkpoint[SPEC]["encoder"], Configurable)
    if graphs_of(other) != graphs_of(encoder):
        raise ValueError(
            f"{path}: its encoder was made for other joints or edges than this one's, "
            f"{', '.join(encoder.skeleton.joints)}"
        )
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    own = encoder.state_dict()
    wrong = [f"{key} is missing" for key in own if key not in weights]
    wrong += [f"{key} is not the encoder's" for key in weights if key not in own]
    wrong += [
        f"{key} is {list(weights[key].shape)}, the encoder's {list(own[key].shape)}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    if wrong:
        there = checkpoint[SPEC]["encoder"]
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"{path}: holds another encoder: {'; '.join(wrong[:3])}{more}; it is {there}")
    encoder.load_state_dict(weights)
    return {"file": path.name, "sha256": digest(path)}


def graphs_of(encoder: Encoder) -> list[tuple[Any, ...]]:
    """Joints and edges that an encoder was made for, of each modality."""
    skeletons = encoder.skeletons.values() if isinstance(encoder, MultiModalEncoder) else [encoder.skeleton]
    return [(skeleton.joints, skeleton.edges) for skeleton in skeletons]


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint without unpickling anything but tensors and plain data.

    Raises:
        ValueError: There is no such file or it is no checkpoint of a task.
    """
    path = Path(path)
    if not path.is_file():
        inside = path / "checkpoints" / "last.ckpt"
        raise ValueError(f"{path}: no such checkpoint{f'; there is {inside}' if inside.is_file() else ''}")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises RuntimeError, EOFError, UnpicklingError, ... by what is wrong
        # Its advice to read what it doesn't trust is not ours.
        why = str(error).split(". ")[0].splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not readable as a checkpoint: {why}") from error
    if not isinstance(checkpoint, dict) or SPEC not in checkpoint:
        raise ValueError(f"{path}: not a checkpoint of a graphnets Task (it holds no {SPEC!r})")
    return checkpoint
