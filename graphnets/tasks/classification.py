"""Classification of whole recordings: the exercise, the action, the mistake."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.data.store import UNLABELLED
from graphnets.encoders import Encoder, Features
from graphnets.heads import ClassificationHead
from graphnets.tasks.objective import Objective, ObjectiveOutput


class Classification(Objective):
    r"""Cross-entropy with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7) and class weights.

    .. math:: L = -\frac{\sum_n \left[(1 - \epsilon) \, w_{y_n} \log p_{n, y_n}
                         + \frac{\epsilon}{K} \sum_k w_k \log p_{nk}\right]}{\sum_n w_{y_n}}

    over the labelled recordings, as in ``torch.nn.functional.cross_entropy``.
    Recordings without this label (code -1) are skipped, and so are batches that haven't got it at all, as when
    predicting; ``unlabelled`` in the logs counts them. A batch whose labels weigh nothing in all has the loss 0.

    Args:
        label: Which label of the store.
        num_classes: K; checked against the store.
        label_smoothing: :math:`\epsilon`, from 0 to below 1.
        class_weights: A weight for each class; ``"balanced"`` takes the inverse frequency on the training side, scaled
            to mean 1; None weighs all alike.
        dropout: Before the last linear map.
        peak: Let the head read the peak of each feature over time beside its mean.
        weight: Of this loss in the sum.

    Raises:
        ValueError: A number is out of its range, or ``class_weights`` is a word other than ``"balanced"``.
    """

    class_weight: Tensor

    def __init__(
        self,
        label: str,
        num_classes: int,
        label_smoothing: float = 0.0,
        class_weights: list[float] | Literal["balanced"] | None = None,
        dropout: float = 0.0,
        peak: bool = False,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if num_classes < 2:
            raise ValueError(f"num_classes is {num_classes}; at least 2")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; it must be at least 0 and below 1")
        self.label, self.num_classes, self.label_smoothing = label, num_classes, label_smoothing
        self.class_weights, self.dropout, self.peak = class_weights, dropout, peak
        self.classes = [str(k) for k in range(num_classes)]
        given = [1.0] * num_classes
        if isinstance(class_weights, str):
            if class_weights != "balanced":
                raise ValueError(f"class_weights is {class_weights!r}; expected 'balanced', numbers or None")
        elif class_weights is not None:
            given = [float(w) for w in class_weights]
        if len(given) != num_classes or not all(0 <= w < math.inf for w in given) or not sum(given) > 0:
            raise ValueError(f"class_weights are {given}; expected {num_classes} numbers >= 0, not all 0")
        self.register_buffer("class_weight", torch.tensor(given, dtype=torch.float32))

    def build(self, encoder: Encoder) -> None:
        """See :meth:`Objective.build`."""
        self.head = ClassificationHead(encoder.out_channels, self.num_classes, self.dropout, self.peak)

    def prepare(self, data: MotionDataModule) -> None:
        """Check the number of classes, note their names, weigh them.

        Raises:
            ValueError: The store lacks the label or has another number of classes, or no recording of the training
                side has it.
        """
        codes = data.store.codes(self.label)
        classes = data.store.labels[self.label]
        if len(classes) != self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, but {self.label!r} has {len(classes)} classes in "
                f"{data.store.path}: {', '.join(classes)}"
            )
        self.classes = classes
        train = codes[torch.from_numpy(data.rows.train)]
        counts = torch.bincount(train[train >= 0], minlength=self.num_classes).float()
        if counts.sum() == 0:
            raise ValueError(f"no training recording has the label {self.label!r}")
        if self.class_weights == "balanced":
            inverse = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros_like(counts))
            self.class_weight.copy_(inverse / inverse[counts > 0].mean())

    def forward(self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> ObjectiveOutput:
        """See :meth:`Objective.forward`."""
        logits = self.head(features)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        target = self._target(batch, logits)
        known = target != UNLABELLED
        weight = self.class_weight.to(logits.dtype)
        summed = F.cross_entropy(
            logits, target, weight, ignore_index=UNLABELLED, label_smoothing=self.label_smoothing, reduction="sum"
        )
        total = weight[target[known]].sum()
        # Without weight there is nothing to average: divided by infinity, the loss and its gradients are 0.
        loss = summed / total.masked_fill(total == 0, math.inf)
        correct = (logits.argmax(1) == target)[known].float()
        logs = {"unlabelled": (~known).sum().float()}
        if len(correct):
            logs["accuracy"] = correct.mean()
        return ObjectiveOutput(logits, loss, logs, count=len(correct))

    def metrics(self) -> MetricCollection:
        """Accuracy, macro F1 over the classes that occur or are predicted, and the confusion matrix."""
        k = self.num_classes
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(k, average="micro", ignore_index=UNLABELLED),
                "macro_f1": MulticlassF1Score(k, average="macro", ignore_index=UNLABELLED),
                "confusion": MulticlassConfusionMatrix(k, ignore_index=UNLABELLED),
            },
            compute_groups=False,
        )

    def update(self, metrics: MetricCollection, output: ObjectiveOutput, batch: MotionBatch) -> None:
        """See :meth:`Objective.update`."""
        metrics.update(output.prediction, self._target(batch, output.prediction))

    def summarize(self, metrics: MetricCollection) -> dict[str, float]:
        """Accuracy, macro F1 and balanced accuracy (mean recall of the classes that occur); NaN without any label."""
        values = metrics.compute()
        confusion = values["confusion"]
        recall = _ratio(confusion.diagonal(), confusion.sum(1))
        labelled = bool(confusion.sum() > 0)
        return {
            "accuracy": float(values["accuracy"]) if labelled else math.nan,
            "macro_f1": float(values["macro_f1"]) if labelled else math.nan,
            "balanced_accuracy": float(recall.nanmean()),
        }

    def details(self, metrics: MetricCollection) -> dict[str, Any]:
        """Recall, precision, F1 and count of every class, and the confusion matrix (rows = true)."""
        confusion = metrics.compute()["confusion"].double().cpu()
        hits, true, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        columns = {
            "recall": _ratio(hits, true),
            "precision": _ratio(hits, said),
            "f1": _ratio(2 * hits, true + said),
        }
        per_class = {
            name: {
                "n": int(true[i]),
                **{key: None if value[i].isnan() else float(value[i]) for key, value in columns.items()},
            }
            for i, name in enumerate(self.classes)
        }
        return {"per_class": per_class, "confusion": confusion.long().tolist(), "classes": self.classes}

    def table(self, output: ObjectiveOutput, batch: MotionBatch) -> dict[str, Any]:
        """True and predicted class and the probability of each."""
        probabilities = output.prediction.softmax(1).cpu()
        named = {c: probabilities[:, i].tolist() for i, c in enumerate(self.classes)}
        return {
            "true": [self.classes[i] if i >= 0 else None for i in self._target(batch, probabilities).tolist()],
            "predicted": [self.classes[i] for i in probabilities.argmax(1).tolist()],
            **{f"p[{name}]": values for name, values in named.items()},
        }

    def _target(self, batch: MotionBatch, logits: Tensor) -> Tensor:
        """The codes [N], all -1 in a batch without this label: indexing it would add a node type of that name."""
        if self.label not in batch:
            return torch.full_like(logits[:, 0], UNLABELLED, dtype=torch.long)
        target: Tensor = batch[self.label]
        return target

    def get_extra_state(self) -> dict[str, Any]:
        """The names of the classes travel with the weights."""
        return {"classes": list(self.classes)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the names back from a checkpoint."""
        self.classes = list(state["classes"])


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, NaN where ``b`` is 0."""
    return torch.where(b > 0, a.double() / b.double().clamp(min=1), math.nan)
