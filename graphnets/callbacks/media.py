"""Pictures of a test: the confusion matrix, and the recording that went most wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from graphnets import viz
from graphnets.data import MotionBatch, MotionSequence
from graphnets.data.store import UNLABELLED
from graphnets.tasks.classification import Classification
from graphnets.tasks.task import Task


class Media(pl.Callback):
    """Writes ``confusion_<objective>.png`` and ``worst_<objective>.gif`` into a folder and logs both to W&B.

    The worst recording is the one whose true class got the smallest probability.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.written: list[Path] = []
        self._worst: dict[str, tuple[float, str, str, str]] = {}  # probability, id, true, predicted

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin anew."""
        self._worst, self.written = {}, []

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: MotionBatch,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Look for a worse one."""
        assert isinstance(pl_module, Task)
        for name, objective in self._classifications(pl_module):
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
        for name, objective in self._classifications(pl_module):
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
    def _classifications(task: Task) -> list[tuple[str, Classification]]:
        found = ((name, task.objective(name)) for name in task.objectives)
        return [(name, objective) for name, objective in found if isinstance(objective, Classification)]
