"""Learning from a teacher that sees the same recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.data.store import UNLABELLED
from graphnets.encoders import Encoder, Features
from graphnets.losses import Criterion
from graphnets.losses.base import READABLE
from graphnets.nn.masking import masked_mean
from graphnets.tasks.objective import Objective, ObjectiveOutput
from graphnets.tasks.teacher import (
    CrossFitted,
    Knowledge,
    Teacher,
    View,
    check_same,
    check_taps,
    check_view,
    digests,
    input_mask,
    layers_of,
    listen,
)

if TYPE_CHECKING:
    from graphnets.tasks.task import Task


class Distillation(Objective):
    """Follow a frozen teacher, by any criterion of :mod:`graphnets.losses` or of your own.

    Student and teacher see the same recordings; they may read other modalities of them, and the teacher more than one.
    The teacher is asked in training only and isn't needed afterwards: a checkpoint of the student doesn't hold it. For
    several teachers, add an objective for each.

    Args:
        teacher: The checkpoint of a trained task; or of each training subject that of one which hasn't seen the
            subject, see :class:`graphnets.tasks.teacher.CrossFitted`.
        criterion: What compares the two.
        of: The student's objective whose predictions are compared, which must come before this one; None: the first.
        teacher_objective: The teacher's; None: the first.
        taps: The student's layers and the teacher's that they are compared with, by module path within the encoder
            (``{"blocks.3": "blocks.5"}``); without taps the encoders' features. A criterion that reads embeddings or
            frames is summed over the pairs, one that reads layers gets all of them.
        view: ``"stored"``: the teacher sees each recording as it is in the store, and is asked once. ``"student"``: as
            the student's transforms leave it, and is asked in every step: both see the same crop and warp of time
            where the student's transforms move their modalities with :class:`graphnets.transforms.Together` (consistent
            teaching, Beyer et al. 2022, arXiv 2106.05237).
        weight: Of this loss in the sum.

    Raises:
        ValueError: The criterion compares something that isn't there.
    """

    predicts = False

    def __init__(
        self,
        teacher: str | dict[str, str],
        criterion: Criterion,
        of: str | None = None,
        teacher_objective: str | None = None,
        taps: dict[str, str] | None = None,
        view: View = "stored",
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if unknown := [name for name in criterion.reads if name not in READABLE]:
            raise ValueError(f"{type(criterion).__name__} reads {', '.join(unknown)}; there are {', '.join(READABLE)}")
        self.view = check_view(view)
        self.path, self.criterion, self.of, self.teacher_objective = teacher, criterion, of, teacher_objective
        self.taps = dict(taps or {})
        if len(self.taps) > 1 and "logits" in criterion.reads and {"embedding", "frames"} & set(criterion.reads):
            raise ValueError(f"{type(criterion).__name__} compares predictions too, and so one pair of layers at most")
        self._modalities: tuple[str, ...] = ()
        self._heard: dict[str, Tensor] = {}
        self._begun_with: list[str] = []
        self._teacher: list[Teacher | CrossFitted] = []  # in a list: no module of the student

    def build(self, encoder: Encoder) -> None:
        """Listen to the tapped layers of the student."""
        check_taps(encoder, list(self.taps), "the student")
        listen(encoder, list(self.taps), self._heard)
        self.placeholder = nn.Parameter(torch.zeros(()), requires_grad=False)  # the device, for metrics

    def ready(self, task: Task | None = None, data: MotionDataModule | None = None) -> None:
        """Load the teacher, and see whether it can teach this task on these data.

        Raises:
            ValueError: It can't, see :meth:`graphnets.tasks.teacher.Teacher.check`.
        """
        if not self._teacher:
            several = isinstance(self.path, dict)
            kind: Any = CrossFitted if several else Teacher
            self._teacher = [kind(self.path, self.teacher_objective, list(self.taps.values()))]
        if task is not None and data is not None:
            of = self.of or next((name for name in task.objectives if task.objective(name) is not self), None)
            self._teacher[0].check(task, data, self.view, self.criterion.reads, of)
            self._modalities = task.modalities

    def forward(self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> ObjectiveOutput:
        """Compare, in training; see :meth:`Objective.forward`.

        Raises:
            ValueError: There is no teacher yet, no such objective before this one, or shapes that don't fit.
        """
        nothing = features.x.new_zeros(())
        heard = [self._heard[name] for name in self.taps]
        self._heard.clear()  # or copies of this objective would have to copy a graph of gradients
        if not self.training:
            return ObjectiveOutput(nothing, nothing, {}, count=0)
        if not self._teacher:
            raise ValueError("the teacher is loaded by ready(), which a Trainer calls before it fits")
        of = self.of or next(iter(predictions), "")
        if of not in predictions:
            raise ValueError(f"no objective {self.of!r} before this one; there are {', '.join(predictions) or 'none'}")
        teacher = self._teacher[0](batch, changed=self.view == "student")
        layers, seen = layers_of(features, heard, input_mask(batch, self._modalities) if self._modalities else None)
        embedding = masked_mean(features.x, features.mask, (1, 2))
        student = Knowledge(predictions[of], embedding, layers, seen, teacher.known)
        labels = self._labels(batch, len(teacher.logits))
        if not bool(teacher.known.all()):  # it has nothing to say of what it doesn't see
            rows = teacher.known.nonzero()[:, 0]
            student, teacher, labels = student.take(rows), teacher.take(rows), labels[rows]
            if not len(rows):
                return ObjectiveOutput(nothing, features.x.sum() * 0.0, {}, count=0)
        try:
            loss = self._compare(student, teacher, labels)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            shapes = [[list(p.shape) for p in (k.logits, k.embedding, *k.layers)] for k in (student, teacher)]
            raise ValueError(
                f"{type(self.criterion).__name__} does not fit: logits, embedding and layers are {shapes[0]} of the "
                f"student and {shapes[1]} of the teacher ({error})"
            ) from error
        return ObjectiveOutput(loss.detach(), loss, {}, len(labels))

    def _compare(self, student: Knowledge, teacher: Knowledge, labels: Tensor) -> Tensor:
        reads = self.criterion.reads
        pairs = len(self.taps) if {"embedding", "frames"} & set(reads) else 1
        total = student.logits.new_zeros(())
        for i in range(max(pairs, 1)):
            given: list[Any] = []
            for name in reads:
                if name == "label":
                    given.append(labels)
                    continue
                given += [self._part(knowledge, name, i) for knowledge in (student, teacher)]
            total = total + self.criterion(*given)
        return total

    def _part(self, knowledge: Knowledge, name: str, pair: int) -> Any:
        if name == "logits":
            return knowledge.logits
        if name == "layers":
            return knowledge.pooled()
        if name == "frames":
            return knowledge.layers[pair]
        if name == "seen":
            return knowledge.seen[pair]
        return knowledge.pooled()[pair] if self.taps else knowledge.embedding

    def _labels(self, batch: MotionBatch, n: int) -> Tensor:
        """The labels by which the teacher was trained; all unlabelled where it predicts something else."""
        (asked,) = self._teacher
        one = asked.first if isinstance(asked, CrossFitted) else asked
        label = getattr(one.task.objective(one.objective), "label", None)
        if label is None or label not in batch:
            return torch.full((n,), UNLABELLED, device=self.placeholder.device)
        found: Tensor = batch[label]
        return found

    def sources(self) -> dict[str, str]:
        """The teacher."""
        return self._teacher[0].sources if self._teacher else {}

    def begin_epoch(self, progress: float) -> None:
        """See :meth:`Objective.begin_epoch`.

        Raises:
            ValueError: A run is resumed with another teacher than it was begun with.
        """
        check_same(self._begun_with, self.sources())

    def get_extra_state(self) -> list[str]:
        """Who taught, for whoever resumes."""
        return digests(self.sources()) or self._begun_with

    def set_extra_state(self, state: list[str]) -> None:
        """Remember who taught."""
        self._begun_with = list(state)

    def metrics(self) -> MetricCollection:
        """None: what it is good for shows in the other objectives."""
        return MetricCollection({})

    def update(self, metrics: MetricCollection, output: ObjectiveOutput, batch: MotionBatch) -> None:
        """Nothing to measure."""

    def summarize(self, metrics: MetricCollection) -> dict[str, float]:
        """Nothing."""
        return {}

    def table(self, output: ObjectiveOutput, batch: MotionBatch) -> dict[str, Any]:
        """Nothing."""
        return {}
