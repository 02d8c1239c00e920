"""Classification of whole recordings: the exercise, the action, the mistake."""

from __future__ import annotations

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
from graphnets.encoders import Features
from graphnets.heads import ClassificationHead
from graphnets.tasks.objective import Objective, ObjectiveOutput

UNLABELLED = -1


class Classification(Objective):
    r"""Cross-entropy with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7) and class weights.

    .. math:: L = \frac{\sum_n w_{y_n} \left[-(1 - \epsilon) \log p_{n, y_n} - \frac{\epsilon}{K} \sum_k \log p_{nk}\right]}
                       {\sum_n w_{y_n}}

    (the smoothing term carries the weights of its own classes, as in ``torch.nn.functional.cross_entropy``).
    Recordings without this label (code -1) are skipped; ``unlabelled`` in the logs counts them.

    Args:
        label: Which label of the store.
        num_classes: K; checked against the store.
        label_smoothing: :math:`\epsilon`, from 0 to below 1.
        class_weights: A weight for each class; ``"balanced"`` takes the inverse frequency on the training side, scaled
            to mean 1; None weighs all alike.
        dropout: Before the last linear map.
        weight: Of this loss in the sum.

    Raises:
        ValueError: A number is out of its range.
    """

    class_weight: Tensor

    def __init__(
        self,
        label: str,
        num_classes: int,
        label_smoothing: float = 0.0,
        class_weights: list[float] | Literal["balanced"] | None = None,
        dropout: float = 0.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if num_classes < 2:
            raise ValueError(f"num_classes is {num_classes}; at least 2")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; it must be at least 0 and below 1")
        self.label, self.num_classes, self.label_smoothing = label, num_classes, label_smoothing
        self.class_weights, self.dropout = class_weights, dropout
        self.classes = [str(k) for k in range(num_classes)]
        given = class_weights if isinstance(class_weights, list) else [1.0] * num_classes
        if len(given) != num_classes or any(not w >= 0 for w in given) or not sum(given) > 0:
            raise ValueError(f"class_weights are {given}; expected {num_classes} numbers >= 0, not all 0")
        self.register_buffer("class_weight", torch.tensor(given, dtype=torch.float32))

    def build(self, encoder_channels: int) -> None:
        """See :meth:`Objective.build`."""
        self.head = ClassificationHead(encoder_channels, self.num_classes, self.dropout)

    def prepare(self, data: MotionDataModule) -> None:
        """Check the number of classes, note their names, weigh them.

        Raises:
            ValueError: The store lacks the label or has another number of classes, or the training side lacks labels.
        """
        codes = data.store.codes(self.label)
        classes = data.store.labels[self.label]
        if len(classes) != self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, but {self.label!r} has {len(classes)} classes in {data.store.path}: "
                f"{', '.join(classes)}"
            )
        self.classes = classes
        train = codes[torch.from_numpy(data.rows.train)]
        counts = torch.bincount(train[train >= 0], minlength=self.num_classes).float()
        if counts.sum() == 0:
            raise ValueError(f"no training recording has the label {self.label!r}")
        if self.class_weights == "balanced":
            inverse = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros_like(counts))
            self.class_weight.copy_(inverse / inverse[counts > 0].mean())

    def forward(
        self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]
    ) -> ObjectiveOutput:
        """See :meth:`Objective.forward`."""
        logits = self.head(features).float()
        target: Tensor = batch[self.label]
        known = target != UNLABELLED
        loss = F.cross_entropy(
            logits, target, self.class_weight, ignore_index=UNLABELLED, label_smoothing=self.label_smoothing,
            reduction="sum",
        ) / self.class_weight[target[known]].sum().clamp(min=1e-12)  # fmt: skip
        correct = (logits.argmax(1) == target)[known].float()
        logs = {"unlabelled": (~known).sum().float()}
        if len(correct):
            logs["accuracy"] = correct.mean()
        return ObjectiveOutput(logits, loss, logs)

    def metrics(self) -> MetricCollection:
        """Accuracy, macro F1 over the classes that occur, balanced accuracy, and the confusion matrix."""
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
        metrics.update(output.prediction, batch[self.label])

    def summarize(self, metrics: MetricCollection) -> dict[str, float]:
        """See :meth:`Objective.summarize`."""
        values = metrics.compute()
        recall = _ratio(values["confusion"].diagonal(), values["confusion"].sum(1))
        return {
            "accuracy": float(values["accuracy"]),
            "macro_f1": float(values["macro_f1"]),
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
            "true": [self.classes[i] if i >= 0 else None for i in batch[self.label].tolist()],
            "predicted": [self.classes[i] for i in probabilities.argmax(1).tolist()],
            **{f"p[{name}]": values for name, values in named.items()},
        }

    def get_extra_state(self) -> dict[str, Any]:
        """The names of the classes travel with the weights."""
        return {"classes": list(self.classes)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the names back from a checkpoint."""
        self.classes = list(state["classes"])


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, NaN where ``b`` is 0."""
    return torch.where(b > 0, a.double() / b.double().clamp(min=1), torch.full_like(b, float("nan"), dtype=torch.double))
