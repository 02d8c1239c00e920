"""Correction: the repetition as the same person does it when it is right."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.encoders import Encoder, Features
from graphnets.heads import CorrectionHead
from graphnets.heads.correction import CosineTransform
from graphnets.losses.movement import bone_error, comparable, displacement, roughness
from graphnets.metrics import CorrectionQuality
from graphnets.nn.masking import blank, clip_lengths
from graphnets.nn.soft_dtw import soft_dtw, soft_dtw_divergence, squared_distances
from graphnets.tasks.classification import Classification
from graphnets.tasks.objective import Objective, ObjectiveOutput
from graphnets.tasks.teacher import Teacher
from graphnets.transforms import Streams
from graphnets.transforms.base import AXES

if TYPE_CHECKING:
    from graphnets.tasks.task import Task

HARD = 1e-3
"""Smoothing of the DTW that is reported, in squared units of the positions: nearly the hard minimum."""


class Correction(Objective):
    r"""Change a repetition into a correct one (after Zhao et al. 2022, arXiv 2208.03257, Eq. 3).

    .. math:: L = \frac1N \sum_n \left[\frac{D_\gamma(\hat x_n, y_n)}{T_n}
              + \lambda_s \overline{(\hat x_{t+1} - \hat x_t)^2} + \lambda_b E_b(\hat x_n, x_n)
              + \lambda_i [y_n = x_n] \overline{(\hat x_n - x_n)^2}\right]

    with the soft-DTW divergence D to the target y, which comes along as a modality
    (:class:`graphnets.tasks.NearestCorrect`), over the joints that both observe; the paper has the first two terms, the
    first without the division by the frames T. :math:`E_b` is the relative change of bone lengths, and the last term
    holds on to repetitions that are right.

    All is measured in the space that the transforms leave, which must be one that target and input share: give every
    transform of geometry to both.

    With ``feedback``, the head is told what an objective before this one takes for the mistake: in training the truth
    with a probability that falls from 1 to 0 over the epochs, else, and in evaluation, the predicted probabilities.

    Args:
        label: The label of the mistakes, of which every correct class is one.
        num_classes: P; checked against the store.
        target: The modality with the targets.
        modality: What is corrected.
        feedback: The objective whose predictions are fed in; None for no feedback.
        coefficients: K of the cosine transform that is changed.
        gamma: Smoothing of soft-DTW, in squared units of the positions.
        smoothness: :math:`\lambda_s`.
        bones: :math:`\lambda_b`.
        identity: :math:`\lambda_i`.
        dropout: In the head.
        transform: See :class:`graphnets.heads.CorrectionHead`.
        judge: The checkpoint of a classifier of the same label, trained apart, that says whether corrected repetitions
            are right; None leaves its figures out.
        weight: Of this loss in the sum.

    Raises:
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        label: str,
        num_classes: int,
        target: str = "target",
        modality: str = "pose",
        feedback: str | None = None,
        coefficients: int = 25,
        gamma: float = 0.01,
        smoothness: float = 0.001,
        bones: float = 1.0,
        identity: float = 1.0,
        dropout: float = 0.0,
        transform: CosineTransform = "temporal",
        judge: str | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if coefficients < 1 or num_classes < 2 or min(smoothness, bones, identity) < 0 or gamma <= 0:
            raise ValueError(
                f"coefficients is {coefficients} (at least 1), num_classes {num_classes} (at least 2), smoothness "
                f"{smoothness}, bones {bones}, identity {identity} (at least 0), gamma {gamma} (above 0)"
            )
        self.label, self.classes, self.target, self.modality = label, num_classes, target, modality
        self.feedback, self.coefficients, self.gamma = feedback, coefficients, gamma
        self.smoothness, self.bones, self.identity, self.dropout = smoothness, bones, identity, dropout
        self.transform, self.judge_path, self.truth = transform, judge, 1.0
        self._judge: list[Teacher] = []  # in lists: no modules of ours
        self._task: list[tuple[Task, str]] = []

    moves_along = True

    @property
    def framewise(self) -> tuple[str, ...]:
        """See :attr:`Objective.framewise`."""
        return (self.target,)

    def build(self, encoder: Encoder) -> None:
        """See :meth:`Objective.build`.

        Raises:
            ValueError: The encoder's features aren't at the joints that are corrected.
        """
        if encoder.out_joints != encoder.skeleton.num_joints:
            raise ValueError(f"a correction needs features at the joints; {type(encoder).__name__} has others")
        self.skeleton = encoder.skeleton
        told = self.classes if self.feedback else 0
        self.head = CorrectionHead(
            encoder.out_channels,
            encoder.out_joints,
            3,
            self.coefficients,
            told,
            dropout=self.dropout,
            transform=self.transform,
        )

    def prepare(self, data: MotionDataModule) -> None:
        """Check labels and targets; load the judge.

        Raises:
            ValueError: The store lacks the label, has other classes, or no targets come along; or the judge judges
                something else, or has seen the people whom it is to judge.
        """
        classes = data.store.labels.get(self.label)
        if classes is None or len(classes) != self.classes:
            there = ", ".join(f"{name} ({len(c)})" for name, c in data.store.labels.items())
            raise ValueError(f"label {self.label!r} with {self.classes} classes: the store has {there}")
        if data.train_set.partners is None or data.train_set.partners.name != self.target:
            raise ValueError(
                f"no target comes along as {self.target!r}: set data.partners, e.g. to graphnets.tasks.NearestCorrect"
            )
        if self.judge_path and not self._judge:
            self._judge = [self._find_judge(self.judge_path, list(classes))]
            self._judge[0].check_people(data)

    def _find_judge(self, path: str, classes: list[str]) -> Teacher:
        judge = Teacher(path)
        for name in judge.task.objectives:
            theirs = judge.task.objective(name)
            if isinstance(theirs, Classification) and (theirs.label, theirs.classes) == (self.label, classes):
                if judge.task.modalities != (self.modality,):
                    raise ValueError(
                        f"{path}: the judge reads {', '.join(judge.task.modalities)}; corrected is {self.modality!r}"
                    )
                judge.objective = name
                return judge
        raise ValueError(f"{path}: the judge doesn't classify {self.label!r} into the classes of the store")

    def attach(self, task: Task) -> None:
        """See :meth:`Objective.attach`: whoever names the same label can be asked about corrected repetitions."""
        for name in task.objectives:
            theirs = task.objective(name)
            if isinstance(theirs, Classification) and (theirs.label, theirs.num_classes) == (self.label, self.classes):
                self._task = [(task, name)]
                return

    def begin_epoch(self, progress: float) -> None:
        """See :meth:`Objective.begin_epoch`: less and less of the truth is told."""
        self.truth = 1.0 - progress

    def sources(self) -> dict[str, str]:
        """The judge."""
        return self._judge[0].sources if self._judge else {}

    def forward(self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> ObjectiveOutput:
        """See :meth:`Objective.forward`; without targets, as when predicting, there is no loss.

        Raises:
            ValueError: There is no such objective before this one.
        """
        x, mask = self._positions(batch, self.modality)
        corrected = self.head(features, x, mask, self._told(batch, predictions))
        if self.target not in batch.modalities:
            return ObjectiveOutput(corrected, corrected.sum() * 0.0, count=0)
        y, y_mask = self._positions(batch, self.target)
        lengths, target_lengths = clip_lengths(x, mask), clip_lengths(y, y_mask)
        pair = comparable(corrected, mask, y, y_mask)
        near = soft_dtw_divergence(*pair, self.gamma, lengths.clamp(min=1), target_lengths.clamp(min=1))
        away = (corrected - x).square().mean(-1).masked_fill(~mask, 0).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
        terms = {
            "divergence": near / lengths.clamp(min=1),
            "smoothness": self.smoothness * roughness(corrected, mask),
            "bones": self.bones * bone_error(corrected, x, mask, self.skeleton),
            "identity": self.identity * self._own(batch, x.device) * away,
        }
        logs = {name: value.detach().mean() for name, value in terms.items()}
        loss = torch.stack(list(terms.values())).sum(0).mean()
        measures = {} if self.training else self.measure(corrected.detach(), batch)
        shown = y.masked_fill(~y_mask[..., None], torch.nan)
        return ObjectiveOutput(corrected, loss, logs, len(batch), shown, measures)

    def metrics(self) -> MetricCollection:
        """See :class:`graphnets.metrics.CorrectionQuality`."""
        return MetricCollection({"quality": CorrectionQuality(self.classes)})

    def update(self, metrics: MetricCollection, output: ObjectiveOutput, batch: MotionBatch) -> None:
        """See :meth:`Objective.update`."""
        if not output.measures:
            return
        label, wanted = (batch[key].to(output.prediction.device) for key in (self.label, f"{self.target}_{self.label}"))
        kept = (label >= 0) & (wanted >= 0)
        metrics.update(label[kept], wanted[kept], {name: values[kept] for name, values in output.measures.items()})

    @torch.no_grad()
    def measure(self, corrected: Tensor, batch: MotionBatch) -> dict[str, Tensor]:
        """What :class:`graphnets.metrics.CorrectionQuality` sums up, of each repetition ``[N]``."""
        x, mask = self._positions(batch, self.modality)
        y, y_mask = self._positions(batch, self.target)
        ends = clip_lengths(x, mask).clamp(min=1), clip_lengths(y, y_mask).clamp(min=1)
        pairs = [comparable(s, mask, y, y_mask) for s in (x, corrected)]
        far = [soft_dtw(squared_distances(*pair), HARD, *ends).clamp(min=0) for pair in pairs]
        found = {
            "before": far[0],
            "after": far[1],
            "bones": bone_error(corrected, x, mask, self.skeleton),
            "moved": displacement(corrected, x, mask),
            "jerk_before": roughness(x, mask, 3),
            "jerk_after": roughness(corrected, mask, 3),
        }
        if self._judge:
            wanted = batch[f"{self.target}_{self.label}"].to(x.device)
            judged, before = self._judged(batch, corrected), self._judged(batch, x)
            found |= {
                "judged": torch.ones(len(x), device=x.device),
                "success": (judged == wanted).float(),
                "untouched": (before == wanted).float(),
                "judge_right": (before == batch[self.label].to(x.device)).float(),
            }
        if self._task:
            wanted = batch[f"{self.target}_{self.label}"].to(x.device)
            found |= {
                "own": torch.ones(len(x), device=x.device),
                "by_itself": (self._by_itself(batch, corrected) == wanted).float(),
            }
        return found

    def summarize(self, metrics: MetricCollection) -> dict[str, float]:
        """The figures; those of judges only with them."""
        values = {key: float(value) for key, value in metrics.compute().items()}
        asked = ("success", "judge")
        return {key: value for key, value in values.items() if math.isfinite(value) or not key.startswith(asked)}

    def table(self, output: ObjectiveOutput, batch: MotionBatch) -> dict[str, Any]:
        """A row a repetition: what it is, what it should be, and the measures."""
        columns: dict[str, Any] = {"id": list(batch.id), "subject": list(batch.subject)}
        if not output.measures:
            return columns
        columns["target"] = list(batch[f"{self.target}_id"])
        return columns | {
            name: values.cpu().tolist() for name, values in output.measures.items() if name not in ("judged", "own")
        }

    def _positions(self, batch: MotionBatch, name: str) -> tuple[Tensor, Tensor]:
        """The first three channels, which must be positions; other streams may follow."""
        store = batch[name]
        if tuple(c.removeprefix("joint_") for c in store.channels[:3]) != AXES:
            raise ValueError(
                f"{name!r} begins with {', '.join(store.channels[:3])}; a correction needs the positions x, y, z first"
            )
        return blank(store.x[..., :3], store.mask), store.mask

    def _own(self, batch: MotionBatch, device: torch.device) -> Tensor:
        """1 where a repetition is its own target."""
        same = [a == b for a, b in zip(batch.id, batch[f"{self.target}_id"], strict=True)]
        return torch.tensor(same, dtype=torch.float32, device=device)

    def _told(self, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> Tensor | None:
        if self.feedback is None:
            return None
        if self.feedback not in predictions:
            raise ValueError(f"no objective {self.feedback!r} before this one; there are {', '.join(predictions)}")
        guess = predictions[self.feedback].detach().softmax(1)
        if guess.shape[1] != self.classes:
            raise ValueError(
                f"feedback {self.feedback!r} has {guess.shape[1]} classes, {self.label!r} has {self.classes}"
            )
        if not self.training or self.label not in batch:
            return guess
        label = batch[self.label]
        tell = (torch.rand(len(guess), device=guess.device) < self.truth) & (label >= 0)
        return torch.where(tell[:, None], F.one_hot(label.clamp(min=0), self.classes).to(guess.dtype), guess)

    @torch.no_grad()
    def _by_itself(self, batch: MotionBatch, x: Tensor) -> Tensor:
        """What the task itself takes the corrected repetitions for, ``[N]``: a judge that isn't independent."""
        ((task, name),) = self._task
        changed = restreamed(task, batch, x)
        if changed is None:
            return torch.full((len(x),), -1, device=x.device)
        logits: Tensor = task.objective(name)(task.features(changed), changed, {}).prediction
        return logits.argmax(1)

    @torch.no_grad()
    def _judged(self, batch: MotionBatch, x: Tensor) -> Tensor:
        """The judge's class of each repetition, ``[N]``."""
        (judge,) = self._judge
        changed = copy.copy(batch)
        store = changed[self.modality]
        store.x, store.channels = x, AXES
        judge.task.eval().to(x.device)
        predicted: Tensor = judge.task(changed)[judge.objective].prediction
        return predicted.argmax(1)


def restreamed(task: Task, batch: MotionBatch, x: Tensor) -> MotionBatch | None:
    """A transformed batch with other positions, as the encoder reads them; None if it reads more than streams of them.

    Args:
        task: Whose transforms made the batch.
        batch: Transformed.
        x: Positions ``[N, T, V, 3]``.
    """
    changed = copy.copy(batch)
    before = changed[task.modality].x.shape
    store = changed[task.modality]
    store.x, store.channels = x, AXES
    last = list(task.transforms.values())[-1:]
    if last and isinstance(last[0], Streams):
        changed = last[0](changed)
    return changed if changed[task.modality].x.shape == before else None
