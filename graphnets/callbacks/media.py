"""Pictures of a test: confusion matrices, mean curves, and the recording that went most wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

from graphnets import viz
from graphnets.data import MotionBatch, MotionSequence
from graphnets.data.store import UNLABELLED
from graphnets.tasks.classification import Classification
from graphnets.tasks.objective import Objective
from graphnets.tasks.regression import SequenceRegression
from graphnets.tasks.task import Task

Kind = TypeVar("Kind", bound=Objective)
POINTS = 101
"""Of the mean curves: percent of the recording."""


class Media(pl.Callback):
    """Writes pictures of every objective into a folder and logs them to W&B.

    Of a classification ``confusion_<objective>.png`` and ``worst_<objective>.gif``, the recording whose true class got
    the smallest probability; of a regression of time series ``curves_<objective>.png``.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.written: list[Path] = []
        self._worst: dict[str, tuple[float, str, str, str]] = {}  # probability, id, true, predicted
        self._curves: dict[str, Tensor] = {}  # sums over recordings

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin anew."""
        self._worst, self._curves, self.written = {}, {}, []

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: MotionBatch,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Look for a worse one, add to the curves."""
        assert isinstance(pl_module, Task)
        for name, _ in self._of_kind(pl_module, SequenceRegression):
            if outputs[name].target is None:
                continue
            sums = curve_sums(outputs[name].target, outputs[name].prediction).cpu()
            self._curves[name] = self._curves.get(name, torch.zeros_like(sums)) + sums
        for name, objective in self._of_kind(pl_module, Classification):
            target = batch[objective.label]
            known = (target != UNLABELLED).nonzero()[:, 0]
            if not len(known):
                continue
            probability = outputs[name].prediction.softmax(1)[known, target[known]]
            i = int(known[probability.argmin()])
            said = int(outputs[name].prediction[i].argmax())
            found = (float(probability.min()), batch.id[i], objective.classes[target[i]], objective.classes[said])
            self._worst[name] = min(self._worst.get(name, found), found)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw and log."""
        assert isinstance(pl_module, Task)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, regression in self._of_kind(pl_module, SequenceRegression):
            if name not in self._curves:  # nothing was measured
                continue
            path = self.folder / f"curves_{name}.png"
            card = trainer.datamodule.store.card["modalities"][regression.target]  # type: ignore[attr-defined]
            unit, sums = str(card.get("unit", "")), self._curves[name]
            title = f"{name}: mean and standard deviation over the recordings of the test"
            viz.curves(*mean_and_sd(sums), regression.names, path, unit=unit, title=title)
            self._log(trainer, f"test/{name}/curves", path)
        for name, objective in self._of_kind(pl_module, Classification):
            path = self.folder / f"confusion_{name}.png"
            counts = objective.details(objective.stage_metrics("test"))["confusion"]
            viz.confusion_matrix(counts, objective.classes, path)
            self._log(trainer, f"test/{name}/confusion", path)
            if name in self._worst:
                self._draw_worst(trainer, pl_module, name)

    def _draw_worst(self, trainer: pl.Trainer, task: Task, name: str) -> None:
        probability, id, true, said = self._worst[name]
        store = trainer.datamodule.store  # type: ignore[attr-defined]
        sequence: MotionSequence = store[store.ids.tolist().index(id)]
        node = sequence[task.modality]
        if not bool(node.mask.any()):
            return
        title = f"{id}\ntrue {true} (p = {probability:.2f}), predicted {said}"
        if node.channels[:2] == ("x", "y"):
            path = self.folder / f"worst_{name}.gif"
            viz.animate(node.x, node.skeleton, path, fps=node.fps, mask=node.mask, title=title, channels=node.channels)
        else:  # a sensor: curves
            path = self.folder / f"worst_{name}.png"
            viz.signals(node.x, node.skeleton, path, fps=node.fps, mask=node.mask, title=title)
        self._log(trainer, f"test/{name}/worst", path)

    def _log(self, trainer: pl.Trainer, key: str, path: Path) -> None:
        self.written.append(path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                import wandb

                media = wandb.Video(str(path)) if path.suffix == ".gif" else wandb.Image(str(path))
                logger.experiment.log({key: media})

    @staticmethod
    def _of_kind(task: Task, kind: type[Kind]) -> list[tuple[str, Kind]]:
        found = ((name, task.objective(name)) for name in task.objectives)
        return [(name, objective) for name, objective in found if isinstance(objective, kind)]


def curve_sums(measured: Tensor, predicted: Tensor) -> Tensor:
    """What means over recordings are made of: at points from a recording's first to its last frame, nearest frame.

    Args:
        measured: ``[N, T, K]``, NaN where nothing was.
        predicted: Likewise.

    Returns:
        Of measured and predicted the count, the sum and the sum of squares, float64 ``[2, 3, POINTS, K]``.
    """
    n, frames, k = measured.shape
    known = measured.isfinite()
    last = (known.any(2) * torch.arange(frames, device=known.device)).amax(1)
    share = torch.linspace(0, 1, POINTS, device=known.device)
    at = (last[:, None] * share).round().long()[..., None].expand(n, POINTS, k)
    seen = known.gather(1, at).double()
    both = [values.double().nan_to_num().gather(1, at) for values in (measured, predicted)]
    return torch.stack([torch.stack([seen, y * seen, y * y * seen]) for y in both]).sum(2)


def mean_and_sd(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``[2, POINTS, K]`` of measured and predicted, of :func:`curve_sums`."""
    count, total, squares = sums.unbind(1)
    mean = total / count.masked_fill(count == 0, torch.nan)
    sd = (squares / count.clamp(min=1) - mean**2).clamp(min=0).sqrt()
    measured, predicted = torch.stack([mean, sd], 1)
    return measured, predicted
