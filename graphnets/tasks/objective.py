"""An objective: head, loss, metrics and weight in one object."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.encoders import Encoder, Features
from graphnets.spec import Configurable

if TYPE_CHECKING:
    from graphnets.tasks.task import Task


@dataclass
class ObjectiveOutput:
    """What an objective says of a batch.

    Attributes:
        prediction: What the head puts out, e.g. logits ``[N, K]``.
        loss: A scalar, unweighted.
        logs: More scalars to log.
        count: How many recordings the loss is over; None for the whole batch.
        target: What a prediction over time was compared with, as the transforms left it, NaN where nothing was
            measured; None for labels, which transforms don't touch.
        measures: Figures of each recording ``[N]``, taken in evaluation while the transformed batch is at hand.
    """

    prediction: Tensor
    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)
    count: int | None = None
    target: Tensor | None = None
    measures: dict[str, Tensor] = field(default_factory=dict)


class Objective(Configurable):
    """Something to learn from features. The task knows nothing about it but this.

    Args:
        weight: Of its loss in the sum.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.validation: MetricCollection | None = None
        self.test: MetricCollection | None = None

    predicts: bool = True
    """Whether it has predictions to list and metrics to report; or a loss only."""

    @property
    def framewise(self) -> tuple[str, ...]:
        """Modalities that predictions are compared with frame by frame: the input must not move against them."""
        return ()

    moves_along: bool = False
    """Whether these are movements of the same body: what happens to it and to them together changes nothing."""

    @abstractmethod
    def build(self, encoder: Encoder) -> None:
        """Make the head, once it is known whose features it reads."""

    def prepare(self, data: MotionDataModule) -> None:
        """Check against the data and take from its training side what the loss needs; before fitting."""

    def ready(self, task: Task | None = None, data: MotionDataModule | None = None) -> None:
        """Get what training alone needs, such as a teacher; before fitting, not before a test.

        Args:
            task: Whose objective it is, to check against; None if nobody is there to be checked against.
            data: Likewise.
        """

    def attach(self, task: Task) -> None:
        """Get to know whose objective it is, to ask it something in evaluation; before fitting and testing."""

    def begin_epoch(self, progress: float) -> None:
        """An epoch of training begins.

        Args:
            progress: The share of the training that is done, 0 to below 1.
        """

    def sources(self) -> dict[str, str]:
        """Files that it learns from, for the run record: the name of each and the SHA-256 of its bytes."""
        return {}

    @abstractmethod
    def forward(self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> ObjectiveOutput:
        """Predict and compare.

        Args:
            features: Of the encoder.
            batch: With labels and targets.
            predictions: Of the objectives before this one, by name.
        """

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Fresh metrics for validation or test."""

    @abstractmethod
    def update(self, metrics: MetricCollection, output: ObjectiveOutput, batch: MotionBatch) -> None:
        """Feed metrics with a batch."""

    @abstractmethod
    def summarize(self, metrics: MetricCollection) -> dict[str, float]:
        """The scalars of the metrics, by name."""

    def details(self, metrics: MetricCollection) -> dict[str, Any]:
        """Values per class or per target and what pictures are drawn from; plain data for the run record."""
        return {}

    @abstractmethod
    def table(self, output: ObjectiveOutput, batch: MotionBatch) -> dict[str, Any]:
        """Columns of the prediction table for a batch."""

    @torch.no_grad()
    def observe(self, stage: str, output: ObjectiveOutput, batch: MotionBatch) -> None:
        """Feed the metrics of a stage (``val`` or ``test``)."""
        self.update(self.stage_metrics(stage), output, batch)

    def stage_metrics(self, stage: str) -> MetricCollection:
        """The metrics of a stage, made when first asked for."""
        name = "validation" if stage == "val" else "test"
        if getattr(self, name) is None:
            device = next(self.parameters()).device
            setattr(self, name, self.metrics().to(device))
        found: MetricCollection = getattr(self, name)
        return found
