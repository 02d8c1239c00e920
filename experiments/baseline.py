"""What a network must beat: ``python experiments/baseline.py ridge --config FILE --data.store STORE --name NAME``.

The configuration is that of a network, whose data, transforms (without chance) and objectives are used, not its
encoder. ``ridge`` is a linear map from the whole flattened recording to the classes, or to the targets of all frames,
so a ``Resample`` must give recordings one length; how strongly it is regularised is chosen on the validation subjects.
``mean`` predicts the mean curve of the training side. The test runs once, and the record is of the same form.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from graphnets.cli import MotionCLI, hush
from graphnets.data import MotionBatch, MotionDataModule
from graphnets.data.files import write_text
from graphnets.data.store import UNLABELLED
from graphnets.nn.masking import blank
from graphnets.tasks import Classification, Objective, ObjectiveOutput, SequenceRegression, Task

STRENGTHS = [10.0**k for k in range(-4, 7)]
"""Of the regularisation, relative to the mean square of a feature."""
Predictor = Callable[[Tensor], Tensor]


def inputs(task: Task, batch: MotionBatch) -> Tensor:
    """All that the encoder would read, as rows ``[N, F]``."""
    return torch.cat([blank(batch[m].x, batch[m].mask).flatten(1) for m in task.modalities], 1).double()


def targets(objective: Objective, batch: MotionBatch) -> Tensor:
    """What is to be predicted, as rows ``[N, K]``, NaN where nothing is known.

    Raises:
        ValueError: The objective is neither a classification nor a regression.
    """
    if isinstance(objective, Classification):
        code = batch[objective.label]
        one_hot = torch.nn.functional.one_hot(code.clamp(min=0), objective.num_classes).double()
        return one_hot.masked_fill((code == UNLABELLED)[:, None], torch.nan)
    if isinstance(objective, SequenceRegression):
        y, known = objective.measured(batch)
        return y.masked_fill(~known, torch.nan).flatten(1).double()
    raise ValueError(f"there is no baseline for a {type(objective).__name__}")


def read(task: Task, objective: Objective, data: MotionDataModule, side: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a side.

    Raises:
        ValueError: Recordings have different lengths.
    """
    dataset = getattr(data, f"{side}_set")
    parts = []
    for rows in torch.arange(len(dataset)).split(256):
        batch = task.transform(dataset.__getitems__(rows))
        parts.append((inputs(task, batch), targets(objective, batch)))
    if len({(x.shape[1], y.shape[1]) for x, y in parts}) > 1:
        raise ValueError("recordings have different lengths: add the transform Resample, of the targets too")
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def ridges(x: Tensor, y: Tensor) -> list[Predictor]:
    r"""Ridge regression for every strength, by one decomposition of the kernel :math:`X X^T`."""
    centre, mean = x.mean(0), y.nanmean(0).nan_to_num()
    spread = x.std(0).clamp(min=1e-6)
    z = (x - centre) / spread
    values, vectors = torch.linalg.eigh(z @ z.T)
    turned = vectors.T @ (torch.where(y.isfinite(), y, mean) - mean)
    weights = [z.T @ (vectors @ (turned / (values.clamp(min=0) + s * x.shape[1])[:, None])) for s in STRENGTHS]

    def predictor(w: Tensor) -> Predictor:
        return lambda new: ((new - centre) / spread) @ w + mean

    return [predictor(w) for w in weights]


def choose(predictors: Sequence[Predictor], x: Tensor, y: Tensor, classes: bool) -> int:
    """Which is best on the validation side: by accuracy, or by squared error."""

    def score(predict: Predictor) -> float:
        found, known = predict(x), y.isfinite()
        if classes:
            return float((found.argmax(1) == y.nan_to_num().argmax(1))[known[:, 0]].double().mean())
        return -float((found - y)[known].square().mean())

    return max(range(len(predictors)), key=lambda k: score(predictors[k]))


@torch.no_grad()
def run(kind: str, cli: MotionCLI) -> dict[str, Any]:
    """Fit, test and write the record.

    Raises:
        ValueError: There is nobody to choose by, or see :func:`read` and :func:`targets`.
    """
    task, data = cli.model, cli.datamodule
    cli.trainer.fit(task, datamodule=data)  # no epochs: checks, and what transforms and objectives learn from data
    task.eval()
    stage = "test" if cli.config["test"] else "val"
    results: dict[str, float] = {}
    chosen: dict[str, float] = {}
    for name in task.objectives:
        objective = task.objective(name)
        classes = isinstance(objective, Classification)
        x, y = read(task, objective, data, "train")
        other = inputs(task, task.transform(data.test_set.__getitems__([0])))
        if other.shape[1] != x.shape[1]:
            raise ValueError("recordings have different lengths: add the transform Resample, of the targets too")
        if kind == "mean":
            mean = y.nanmean(0)
            predict: Predictor = lambda new, mean=mean: mean.expand(len(new), -1)  # type: ignore[misc]  # noqa: E731
        else:
            if not len(data.val_set):
                raise ValueError(f"protocol {data.protocol.name!r} has no validation subjects to choose by")
            every = ridges(x, y)
            best = choose(every, *read(task, objective, data, "val"), classes)
            predict, chosen[name] = every[best], STRENGTHS[best]
        for raw in data.test_dataloader() if stage == "test" else data.val_dataloader():
            batch = task.transform(raw)
            found = predict(inputs(task, batch)).float()
            wanted = None
            if isinstance(objective, SequenceRegression):
                measured, known = objective.measured(batch)
                found, wanted = found.view_as(measured), measured.masked_fill(~known, torch.nan)
            objective.observe(stage, ObjectiveOutput(found, found.sum() * 0, target=wanted), batch)
        values = objective.summarize(objective.stage_metrics(stage))
        results |= {f"{name}/{key}": value for key, value in values.items()}
    record = cli.record.describe(cli.trainer, task, data)
    config = {**cli.resolved, "baseline": kind}
    return {**record, stage: results, "epochs": 0, "parameters": 0, "strengths": chosen, "config": config}


def main(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Run one; returns its record."""
    hush()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["ridge", "mean"])
    known, rest = parser.parse_known_args(args)
    try:
        if args is None:
            sys.argv[1:] = []  # where Lightning would look for them too, and warn
        cli = MotionCLI([*rest, "--variant", known.kind, "--wandb", "disabled", "--trainer.max_epochs", "0"])
        record = run(known.kind, cli)
    except ValueError as error:
        sys.exit(f"error: {error}")
    path = Path(cli.folder) / "metrics.json"
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
    console = Console()
    for stage in ("val", "test"):
        for name, value in record[stage].items():
            console.print(f"{stage} {name} {value:.4f}", highlight=False)
    console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    return record


if __name__ == "__main__":
    main()
