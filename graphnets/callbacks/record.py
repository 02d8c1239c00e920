"""The run record: everything a number needs to be trusted and repeated."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.data.files import atomic_path, write_text
from graphnets.tasks.objective import ObjectiveOutput
from graphnets.tasks.task import Task
from graphnets.version import __version__

PACKAGES = ("torch", "torch-geometric", "pytorch-lightning", "torchmetrics", "numpy", "pandas")


class RunRecord(pl.Callback):
    """Writes ``metrics.json`` and the predictions into the run's folder.

    ``predictions.csv`` holds those of the test, ``predictions_val.csv`` those for the validation subjects, by the same
    weights: what comes after the network (fusion weights, thresholds, calibration) is chosen on these.

    Args:
        folder: Of the run.
        variant: What the run is called in a results table, e.g. ``joint_velocity``.
        config: The resolved configuration; without one, the task's spec and the protocol stand in its place.
    """

    def __init__(self, folder: str | Path, variant: str, config: dict[str, Any] | None = None) -> None:
        self.folder, self.variant, self.config = Path(folder), variant, config
        self._before, self._started, self._running = 0.0, 0.0, False
        self._store = ""
        self._validations: dict[int, dict[str, float | None]] = {}  # by epoch
        self._tables: dict[str, list[pd.DataFrame]] = {}
        self.record: dict[str, Any] | None = None

    # The clock goes on where an interrupted run left it.
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; a resumed run must go on with the same data.

        Raises:
            ValueError: The store was changed since.
        """
        now = trainer.datamodule.store.checksum  # type: ignore[attr-defined]
        if self._store not in ("", now):
            raise ValueError(f"the store was changed since the run was begun: checksum {now}, then {self._store}")
        self._store = now
        self._started, self._running = time.monotonic(), True

    def state_dict(self) -> dict[str, Any]:
        """Seconds so far, validation metrics and the store's checksum, for the checkpoint."""
        return {"wall_seconds": self._seconds(), "validations": self._validations, "store": self._store}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What the run was before it was interrupted."""
        self._before = float(state_dict["wall_seconds"])
        self._validations, self._store = dict(state_dict["validations"]), state_dict["store"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the metrics: the test clears them, and the tested epoch may be an earlier one."""
        if not trainer.sanity_checking:
            self._validations[trainer.current_epoch] = scalars(trainer, "val")

    def _seconds(self) -> float:
        return self._before + (time.monotonic() - self._started if self._running else 0.0)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock: what is reported is the training."""
        self._before, self._running = self._seconds(), False

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the predictions of an earlier test."""
        self._tables = {}

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: MotionBatch,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Keep the predictions of a batch."""
        assert isinstance(pl_module, Task)
        collect(self._tables, pl_module, outputs, batch)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the predictions and the record."""
        self._write_tables(self._tables, "predictions")
        self.write(trainer, pl_module)

    def write(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Write the record and the predictions for validation; before a test the record holds validation only."""
        assert isinstance(task, Task)
        self._write_tables(validation_tables(task, trainer.datamodule), "predictions_val")  # type: ignore[attr-defined]
        self.record = self.describe(trainer, task, trainer.datamodule)  # type: ignore[attr-defined]
        write_text(self.folder / "metrics.json", json.dumps(self.record, indent=1, allow_nan=False) + "\n")

    def _write_tables(self, tables: dict[str, list[pd.DataFrame]], stem: str) -> None:
        for name, parts in tables.items():
            file = f"{stem}.csv" if len(tables) == 1 else f"{stem}_{name}.csv"
            with atomic_path(self.folder / file) as temporary:
                pd.concat(parts).to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")

    def describe(self, trainer: pl.Trainer, task: Task, data: MotionDataModule) -> dict[str, Any]:
        """The record, as plain data."""
        store, protocol = data.store, data.protocol
        # What was tested: the checkpoint that was loaded for it, or else the weights of the last epoch.
        checkpoint = str(trainer.ckpt_path or "last epoch")
        return {
            "dataset": store.card["name"],
            "protocol": protocol.name,
            "variant": self.variant,
            "seed": task.seed,
            "fold": protocol.fold,
            "n_train": len(data.train_set),
            "n_val": len(data.val_set),
            "n_test": tested(next(iter(self._tables.values()))) if self._tables else len(data.test_set),
            "subjects": {
                side: sorted(set(store.subjects[getattr(data.rows, side)])) for side in ("train", "val", "test")
            },
            "test": scalars(trainer, "test"),
            "val": self._validations.get(_epoch(checkpoint), self._validations.get(trainer.current_epoch - 1, {})),
            **{
                key: {name: details[key] for name, details in self._details(task).items() if key in details}
                for key in ("per_class", "confusion", "classes", "per_target", "per_subject")
            },
            "epochs": trainer.current_epoch,
            "parameters": count_parameters(task),
            "checkpoint": Path(checkpoint).name,
            **({"pretrained": task.pretrained} if task.pretrained else {}),
            **({"teachers": teachers} if (teachers := teachers_of(task)) else {}),
            "wall_seconds": round(self._seconds(), 1),
            "store_checksum": store.checksum,
            "git_commit": git_commit(),
            "versions": versions(),
            "device": str(task.device),
            "threads": torch.get_num_threads(),
            "config": self.config if self.config is not None else plain_config(task, data),
        }

    @staticmethod
    def _details(task: Task) -> dict[str, dict[str, Any]]:
        objectives = {name: task.objective(name) for name in task.objectives}
        return {name: o.details(o.stage_metrics("test")) for name, o in objectives.items() if o.test is not None}


def teachers_of(task: Task) -> dict[str, dict[str, str]]:
    """What objectives learned from, by objective: files and their SHA-256."""
    found = {name: task.objective(name).sources() for name in task.objectives}
    return {name: sources for name, sources in found.items() if sources}


def count_parameters(task: Task) -> int:
    """How many it predicts with: without those of objectives that are losses only."""
    unused = (task.objective(name) for name in task.objectives if not task.objective(name).predicts)
    return sum(p.numel() for p in task.parameters()) - sum(p.numel() for o in unused for p in o.parameters())


def collect(
    tables: dict[str, list[pd.DataFrame]], task: Task, outputs: dict[str, ObjectiveOutput], batch: MotionBatch
) -> None:
    """Add the predictions for a batch to the tables, one for each objective."""
    for name, output in outputs.items():
        if not task.objective(name).predicts:
            continue
        # A table with several rows a recording brings ids and subjects of its own.
        columns = {"id": batch.id, "subject": batch.subject, **task.objective(name).table(output, batch)}
        tables.setdefault(name, []).append(pd.DataFrame(columns))


def tested(tables: list[pd.DataFrame]) -> int:
    """How many recordings are in the tables of an objective; some have several rows for each."""
    return sum(table["id"].nunique() for table in tables)


def validation_tables(task: Task, data: MotionDataModule) -> dict[str, list[pd.DataFrame]]:
    """The predictions for the validation subjects; empty where there are none."""
    tables: dict[str, list[pd.DataFrame]] = {}
    was_training = task.training
    task.eval()
    with torch.no_grad():
        for batch in data.val_dataloader() if len(data.val_set) else ():
            on_device = batch.to(task.device)
            collect(tables, task, task(on_device), on_device)
    task.train(was_training)
    return tables


def _epoch(checkpoint: str) -> int:
    """The epoch in the name of a checkpoint such as ``best-epoch=3.ckpt``; -1 when it has none."""
    found = re.search(r"epoch=(\d+)", Path(checkpoint).name)
    return int(found[1]) if found else -1


def scalars(trainer: pl.Trainer, stage: str) -> dict[str, float | None]:
    """The logged metrics of a stage without the stage's name; what isn't finite becomes None."""
    found = {k.removeprefix(f"{stage}/"): float(v) for k, v in trainer.callback_metrics.items() if k.startswith(stage)}
    return {k: v if math.isfinite(v) else None for k, v in sorted(found.items())}


def plain_config(task: Task, data: MotionDataModule) -> dict[str, Any]:
    """What stands in for a configuration when the run was made in Python."""
    return {"model": task.spec(), "data": {"protocol": data.protocol.describe(), "batch_size": data.batch_size}}


def versions() -> dict[str, str]:
    """Versions of this package, Python and what the numbers depend on."""
    own = {"graphnets": __version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in PACKAGES}


def git_commit() -> str | None:
    """The commit of the code, with ``+dirty`` when tracked files were changed; None outside a checkout."""
    here = Path(__file__).parent

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # In site-packages a checkout further up would be somebody else's.
    if ask("ls-files", "--error-unmatch", str(Path(__file__))) is None:
        return None
    changed = ask("status", "--porcelain", "--untracked-files=no")
    return f"{ask('rev-parse', 'HEAD')}{'+dirty' if changed else ''}"
