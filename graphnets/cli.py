"""The command line: a configuration in, a run folder out."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from rich.console import Console
from rich.table import Table

from graphnets.callbacks import Media, RunRecord
from graphnets.data import MotionDataModule
from graphnets.data.files import atomic_path, write_text
from graphnets.runtime import fast_matmul, keep_freed_memory
from graphnets.tasks import Task

# Where a run lies and who watches it: no part of what it computes.
WHERE = ("name", "runs", "wandb")


class MotionCLI(LightningCLI):
    """LightningCLI with a run folder; it trains, selects, tests once and writes the record."""

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self.resolved: dict[str, Any] = {}
        super().__init__(
            Task,
            MotionDataModule,
            save_config_callback=None,
            seed_everything_default=1,
            auto_configure_optimizers=False,
            trainer_defaults={"max_epochs": 50, "log_every_n_steps": 10},
            args=args if args is None else list(args),
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Arguments of the run itself."""
        trial = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        parser.add_argument(
            "--name", type=str, required=trial is None, default=trial and f"sweep_{trial}",
            help="of the run; its folder is RUNS/NAME. A trial of a W&B sweep is sweep_ID by default",
        )  # fmt: skip
        parser.add_argument("--runs", type=str, default="runs", help="folder of all runs")
        parser.add_argument("--variant", type=str, default="default", help="what a results table calls the run")
        parser.add_argument(
            "--monitor", type=str | None, default=None,
            help="test the checkpoint with the best of this validation metric, e.g. val/action/macro_f1; null tests "
            "the last epoch",
        )  # fmt: skip
        parser.add_argument("--mode", type=Literal["max", "min"], default="max", help="which MONITOR is best")
        parser.add_argument(
            "--wandb", type=Literal["auto", "online", "offline", "disabled"], default="auto",
            help="auto is online with an API key and offline without",
        )  # fmt: skip
        parser.add_argument(
            "--test", type=bool, default=True,
            help="false leaves the test subjects alone: for choosing settings on the validation subjects",
        )  # fmt: skip
        parser.add_argument("--threads", type=int | None, default=None, help="CPU threads; null leaves it to PyTorch")

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.config["runs"]) / self.config["name"]

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "checkpoints" / "last.ckpt"

    def before_instantiate_classes(self) -> None:
        """Look at the run's folder before any work is done."""
        text = self.parser.dump(self.config, skip_link_targets=False)
        self.resolved = yaml.safe_load(text)
        if isinstance(self.config["seed_everything"], bool):
            _stop("--seed_everything must be a number: a run without a seed can't be repeated or resumed")
        if (self.folder / "metrics.json").exists():
            _stop(f"run {self.folder} is finished; choose another --name, or remove the folder to run it again")
        saved = self.folder / "config.yaml"
        if saved.exists() and self.last.exists():
            before = yaml.safe_load(saved.read_text(encoding="utf-8"))
            if changed := differences(before, self.resolved):
                _stop(
                    f"run {self.folder} was begun with another configuration ({', '.join(changed)} differ); "
                    "choose another --name, or remove the folder to begin anew"
                )
        if self.config["threads"]:
            torch.set_num_threads(self.config["threads"])
        keep_freed_memory()
        fast_matmul()

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """A trainer with the run's loggers and callbacks beside those of the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "config.yaml", yaml.safe_dump(self.resolved, sort_keys=False))
        self.record = RunRecord(self.folder, self.config["variant"], self.resolved)
        self.media = Media(self.folder)
        folder, monitor = self.folder / "checkpoints", self.config["monitor"]
        own: list[pl.Callback] = [self.record, self.media]
        self.best = None
        if monitor:
            self.best = ModelCheckpoint(folder, filename="best-{epoch}", monitor=monitor, mode=self.config["mode"])
            own.append(self.best)
        own.append(last_checkpoint(folder))  # after the best one, whose choice it keeps
        return super().instantiate_trainer(
            logger=self._loggers(),
            callbacks=[*(self.config_init["trainer"]["callbacks"] or []), *own],
            plugins=[*(self.config_init["trainer"]["plugins"] or []), WholeFiles()],
            **kwargs,
        )

    def after_instantiate_classes(self) -> None:
        """Can the metric to choose by be had? Better to know before the training than after it."""
        monitor = self.config["monitor"]
        if not self.config["test"] and not len(self.datamodule.val_set):
            _stop(f"--test false: protocol {self.datamodule.protocol.name!r} has no validation subjects")
        if not monitor:
            return
        if not len(self.datamodule.val_set):
            _stop(f"--monitor {monitor}: protocol {self.datamodule.protocol.name!r} has no validation subjects")
        allowed = self.model.validation_metrics()
        if monitor not in allowed:
            _stop(f"--monitor {monitor}: no such metric; there are {', '.join(allowed)}")

    def _loggers(self) -> list[Logger]:
        # The logger begins its file anew: a resumed run gets one of its own.
        version = next(v for v in ("log", *(f"log_{i}" for i in range(2, 10_000))) if not (self.folder / v).exists())
        loggers: list[Logger] = [CSVLogger(self.folder, name="", version=version)]
        mode = self.config["wandb"]
        if mode == "auto":
            mode = "online" if has_wandb_key() else "offline"
        if mode != "disabled":
            loggers.append(
                WandbLogger(
                    project=f"graphnets-{Path(self.resolved['data']['store']).name}",
                    name=self.config["name"],
                    group=self.config["variant"],
                    id=_run_id(self.folder),
                    resume="allow",
                    save_dir=self.folder,
                    offline=mode == "offline",
                    config=self.resolved,
                )
            )
        return loggers


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them: a kill in the middle leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save one."""
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)


def last_checkpoint(folder: Path) -> ModelCheckpoint:
    """Keeps ``last.ckpt``, written anew after every epoch, to resume from."""
    return ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)


def main(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, select, test once, write the record; resume when the run's folder holds a checkpoint.

    Args:
        args: The command line; by default that of the process.

    Returns:
        The run record.
    """
    hush()
    given = expand_record(list(sys.argv[1:] if args is None else args))
    try:
        # From the command line it reads sys.argv itself: given a list there, Lightning warns of a mistake.
        if args is None:
            sys.argv[1:] = given
        cli = MotionCLI(None if args is None else given)
        _fit_and_test(cli)
    except ValueError as error:
        _stop(str(error))
    _report(cli)
    assert cli.record.record is not None
    return cli.record.record


def _fit_and_test(cli: MotionCLI) -> None:
    resume = str(cli.last) if cli.last.exists() else None
    if resume:
        print(f"resuming from {resume}")
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=resume, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        how = f"resumes from {cli.last}" if cli.last.exists() else "begins again"
        _stop(f"interrupted; the same command {how}")
    if not cli.config["test"]:
        cli.record.write(cli.trainer, cli.model)
        return
    best = cli.best.best_model_path if cli.best else None
    cli.trainer.test(cli.model, datamodule=cli.datamodule, ckpt_path=best, weights_only=True, verbose=False)


def _report(cli: MotionCLI) -> None:
    record = cli.record.record
    assert record is not None
    stage = "test" if record["test"] else "val"
    table = Table(title=f"{record['dataset']} · {record['protocol']} · {record['variant']} · seed {record['seed']}")
    table.add_column(f"{stage} metric")
    table.add_column("value", justify="right")
    for key, value in record[stage].items():
        table.add_row(key, "-" if value is None else f"{value:.4f}")
    table.add_row("recordings", str(record[f"n_{stage}"]))
    table.add_row("training", f"{record['wall_seconds'] / 60:.1f} min")
    console = Console()
    console.print(table)
    predictions = sorted(cli.folder.glob("predictions*.csv"))
    files = [cli.folder / "metrics.json", *predictions, *cli.media.written, cli.last]
    for file in files:
        if file.exists():
            console.print(f"wrote {file}", soft_wrap=True, highlight=False)


def expand_record(args: list[str]) -> list[str]:
    """Replace ``--from-record FILE`` by the configuration that the record holds; later arguments override it."""
    expanded: list[str] = []
    rest = iter(args)
    for argument in rest:
        name, _, value = argument.partition("=")
        if name not in ("--from-record", "--from_record"):
            expanded.append(argument)
            continue
        path = Path(value or next(rest, ""))
        try:
            config = json.loads(path.read_text(encoding="utf-8"))["config"]
        except (OSError, ValueError, KeyError) as error:
            _stop(f"--from-record {path}: not a run record: {error!r}")
        if not {"model", "data", "trainer"} <= set(config):
            _stop(f"--from-record {path}: not made by train.py (but by a fusion or in Python); it can't be run again")
        for key in WHERE:
            config.pop(key, None)
        expanded.append(f"--config={json.dumps(config)}")
    return expanded


def differences(a: Any, b: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two configurations differ, apart from where things lie."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted({*a, *b} - (set(WHERE) if not prefix else set()))
        return [d for key in keys for d in differences(a.get(key), b.get(key), f"{prefix}{key}.")]
    return [] if a == b else [prefix.removesuffix(".")]


def hush() -> None:
    """Keep advertisements, and warnings about the libraries' own code, out of the output."""
    warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")  # no validation subjects
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    warnings.filterwarnings("ignore", message="The '.*_dataloader' does not have many workers")  # none is fastest here
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_no_tips)


def _no_tips(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("💡")


def has_wandb_key() -> bool:
    """Is there a key for Weights & Biases, in the environment or where ``wandb login`` puts it?"""
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return netrc.is_file() and "api.wandb.ai" in netrc.read_text(encoding="utf-8", errors="ignore")


def _run_id(folder: Path) -> str:
    """The W&B id of the run in this folder, kept so that a resumed run goes on under it."""
    file = folder / "wandb_id.txt"
    if not file.exists():
        write_text(file, os.urandom(4).hex())
    return file.read_text(encoding="utf-8").strip()


def _stop(message: str) -> None:
    """End with a message instead of a traceback."""
    Console(stderr=True).print(f"[bold red]error:[/] {message}", soft_wrap=True, highlight=False)
    raise SystemExit(1)
