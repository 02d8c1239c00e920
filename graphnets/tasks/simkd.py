"""SimKD: the student speaks through the teacher's classifier."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.encoders import Encoder, Features
from graphnets.nn import MaskedBatchNorm
from graphnets.tasks.classification import Classification
from graphnets.tasks.objective import ObjectiveOutput
from graphnets.tasks.teacher import Teacher, View, check_same, check_view, digests

if TYPE_CHECKING:
    from graphnets.tasks.task import Task


class SimKD(Classification):
    r"""Simple distillation with the teacher's classifier (Chen et al. 2022, arXiv 2203.14001).

    .. math:: L = \frac{1}{N D} \sum_n \left\|g(P(f^S_n)) - g(f^T_n)\right\|^2

    The student has no classifier of its own: a projector :math:`P` maps its features to the teacher's width, :math:`g`
    pools them as the teacher's head does, and that head, frozen, decides. Labels are not used in training. The
    projector is the paper's bottleneck at each frame and joint, without its 3 x 3 convolution: two modalities share no
    grid.

    Args:
        teacher: The checkpoint of a trained task with a classification of the same label.
        label: Which label of the store.
        num_classes: K; checked against store and teacher.
        channels: Width of the teacher's features, D.
        peak: Whether the teacher's head reads peaks over time.
        view: Whether the teacher sees recordings as they are in the store or as the student does, see
            :class:`graphnets.tasks.Distillation`.
        factor: By how much the projector's middle is narrower than the teacher's features.
        weight: Of this loss in the sum.

    Raises:
        ValueError: A number is out of its range.
    """

    taught: Tensor

    def __init__(
        self,
        teacher: str,
        label: str,
        num_classes: int,
        channels: int,
        peak: bool = False,
        view: View = "stored",
        factor: int = 2,
        weight: float = 1.0,
    ) -> None:
        super().__init__(label, num_classes, peak=peak, weight=weight)
        if channels < 1 or not 1 <= factor <= channels:
            raise ValueError(f"channels is {channels} and factor {factor}; at least 1, and factor at most channels")
        self.path, self.channels, self.factor, self.view = teacher, channels, factor, check_view(view)
        self._teacher: list[Teacher] = []
        self._begun_with: list[str] = []
        self.register_buffer("taught", torch.zeros((), dtype=torch.bool))

    def build(self, encoder: Encoder) -> None:
        """The projector, and room for the teacher's classifier."""
        middle = max(1, self.channels // self.factor)
        self.enter, self.norm = nn.Linear(encoder.out_channels, middle, bias=False), MaskedBatchNorm(middle)
        self.leave, self.last_norm = nn.Linear(middle, self.channels, bias=False), MaskedBatchNorm(self.channels)
        wide = copy.copy(encoder)
        wide.out_channels = self.channels
        super().build(wide)
        self.head.requires_grad_(False)

    def ready(self, task: Task | None = None, data: MotionDataModule | None = None) -> None:
        """Take the classifier of the teacher.

        Raises:
            ValueError: It doesn't fit: other classes, another width, another kind of pooling, or another classifier
                than the one that was taken when training began.
        """
        if self._teacher:
            return
        teacher = Teacher(self.path)
        theirs = teacher.task.objective(teacher.objective)
        if not isinstance(theirs, Classification) or theirs.label != self.label or theirs.classes != self.classes:
            raise ValueError(f"{self.path}: the teacher doesn't classify {self.label!r} into the store's classes")
        if theirs.peak != self.peak or teacher.task.encoder.out_channels != self.channels:
            raise ValueError(
                f"{self.path}: the teacher has channels {teacher.task.encoder.out_channels} and peak {theirs.peak}, "
                f"not {self.channels} and {self.peak}"
            )
        head = theirs.head.state_dict()
        if bool(self.taught) and any(not torch.equal(v.cpu(), head[k]) for k, v in self.head.state_dict().items()):
            raise ValueError(f"{self.path}: the teacher's classifier is another one than when training began")
        self.head.load_state_dict(head)
        self.taught.fill_(True)
        if task is not None and data is not None:
            teacher.check(task, data, self.view, ("logits", "label"), None)
        self._teacher = [teacher]

    def sources(self) -> dict[str, str]:
        """The teacher."""
        return self._teacher[0].sources if self._teacher else {}

    def begin_epoch(self, progress: float) -> None:
        """See :meth:`Objective.begin_epoch`.

        Raises:
            ValueError: A run is resumed with another teacher than it was begun with.
        """
        check_same(self._begun_with, self.sources())

    def get_extra_state(self) -> dict[str, Any]:
        """The classes, and who taught, for whoever resumes."""
        return super().get_extra_state() | {"teachers": digests(self.sources()) or self._begun_with}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the classes from a checkpoint, and remember who taught."""
        super().set_extra_state(state)
        self._begun_with = list(state.get("teachers", []))

    def forward(self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> ObjectiveOutput:
        """See :meth:`Objective.forward`; in evaluation the loss is the cross-entropy."""
        hidden = self.norm(self.enter(features.x), features.mask).relu()
        projected = Features(self.last_norm(self.leave(hidden), features.mask).relu(), features.mask)
        output = super().forward(projected, batch, predictions)
        if not self.training:
            return output
        if not self._teacher:
            raise ValueError("the teacher is loaded by ready(), which a Trainer calls before it fits")
        theirs = self._teacher[0](batch, changed=self.view == "student").read
        assert theirs is not None
        loss = F.mse_loss(self.head.pool(projected), theirs)
        return ObjectiveOutput(output.prediction, loss, output.logs, len(batch))

    def train(self, mode: bool = True) -> SimKD:
        """The classifier is the teacher's, whatever the mode: it drops nothing out."""
        super().train(mode)
        if hasattr(self, "head"):
            self.head.eval()
        return self
