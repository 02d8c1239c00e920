"""Regression of time series: ground reaction forces, joint moments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.encoders import Encoder, Features
from graphnets.heads import SequenceHead
from graphnets.metrics import SeriesErrors
from graphnets.tasks.objective import Objective, ObjectiveOutput

CHUNK = 256
"""Recordings read at once to find mean and spread of the targets."""


class SequenceRegression(Objective):
    r"""Squared error of every target at every frame, each on a scale of its own.

    .. math:: L = \frac{1}{|M|} \sum_{(n, t, k) \in M} \left(\frac{\hat y_{ntk} - y_{ntk}}{s_k}\right)^2

    where :math:`s_k` is the target's standard deviation over the training side and :math:`M` is what was measured:
    entries that are masked or NaN are skipped, and ``skipped`` in the logs counts them.

    The targets are the values of another modality of the same recording, frame by frame, so it must have as many frames
    as the input: where their rates differ, give both a ``Resample`` to one length. Transforms that move the input alone
    in time or swap its sides (``RandomCrop``, ``TimeWarp``, ``RandomMirror``) are refused by the task. One that turns
    the input (``RandomRotate``) is right only for targets that don't turn with it, such as vertical forces and joint
    moments in a frame of the body.

    Args:
        target: The modality with the targets, e.g. ``"grf"``.
        joints: Which of its joints.
        channels: Which of its channels, of every joint; a target is called ``<joint>_<channel>``, or by its joint alone
            where the channel is called ``value``.
        dropout: Of features, before the linear map.
        weight: Of this loss in the sum.

    Raises:
        ValueError: A list is empty or names something twice.
    """

    mean: Tensor
    scale: Tensor
    fitted: Tensor

    def __init__(
        self, target: str, joints: list[str], channels: list[str], dropout: float = 0.0, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        for what, names in (("joints", joints), ("channels", channels)):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{what} of the target {target!r} are {names}; give different names, at least one")
        self.target, self.joints, self.channels, self.dropout = target, list(joints), list(channels), dropout
        self.names = [j if channel == "value" else f"{j}_{channel}" for j in joints for channel in channels]
        self.subjects: list[str] = []
        self.register_buffer("mean", torch.zeros(len(self.names)))
        self.register_buffer("scale", torch.ones(len(self.names)))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @property
    def framewise(self) -> tuple[str, ...]:
        """See :attr:`Objective.framewise`."""
        return (self.target,)

    def build(self, encoder: Encoder) -> None:
        """See :meth:`Objective.build`."""
        self.head = SequenceHead(
            encoder.out_channels, encoder.out_joints, len(self.names), encoder.time_stride, self.dropout
        )

    def prepare(self, data: MotionDataModule) -> None:
        """Find the targets, and, once and for all, their mean and spread on the training side.

        A task from a checkpoint keeps those that it was trained with, whatever it is tested on.

        Raises:
            ValueError: The store lacks the modality, a joint or a channel; it isn't read; or a target has no value, or
                always the same one, in all of the training side.
        """
        if self.target not in data.train_set.modalities:
            raise ValueError(
                f"the target modality {self.target!r} is not read: data.modalities are {data.train_set.modalities}, "
                f"the store {data.store.path} has {data.store.modalities}"
            )
        self.subjects = sorted({str(s) for s in data.store.subjects})
        self.validation = self.test = None  # made for the subjects of another store
        if bool(self.fitted):
            self.measured(data.store.read(data.train_set.rows[:1], [self.target]))
            return
        total = torch.zeros(3, len(self.names), dtype=torch.float64)
        shift: Tensor | None = None  # near the mean, so that the squares don't drown the spread
        for rows in torch.arange(len(data.train_set)).split(CHUNK):
            batch = data.store.read(data.train_set.rows[rows], [self.target])
            y, known = self.measured(batch)
            y = y.double()
            if shift is None:
                shift = (y.masked_fill(~known, 0).sum((0, 1)) / known.sum((0, 1)).clamp(min=1)).cpu()
            y = (y - shift).masked_fill(~known, 0.0)
            total += torch.stack([known.double(), y, y * y]).sum((1, 2)).cpu()
        assert shift is not None
        count, mean = total[0], total[1] / total[0].clamp(min=1)
        scale = (total[2] / count.clamp(min=1) - mean**2).clamp(min=0).sqrt()
        if still := [n for n, s, c in zip(self.names, scale, count, strict=True) if c == 0 or s <= 1e-9]:
            raise ValueError(
                f"{', '.join(still)} of {self.target!r} never change{'s' if len(still) == 1 else ''} on the training "
                "side, there is nothing to learn: leave out such joints or channels"
            )
        self.mean.copy_(mean + shift)
        self.scale.copy_(scale)
        self.fitted.fill_(True)

    def forward(self, features: Features, batch: MotionBatch, predictions: Mapping[str, Tensor]) -> ObjectiveOutput:
        """See :meth:`Objective.forward`; without the target modality, as when predicting, there is no loss.

        Raises:
            ValueError: The target has another number of frames than the features are of.
        """
        if self.target not in batch.modalities:
            frames = features.x.shape[1] * self.head.time_stride
            scaled = self.head(features, frames)
            return ObjectiveOutput(self._physical(scaled), scaled.sum() * 0.0, {}, count=0)
        y, known = self.measured(batch)
        frames, stride = y.shape[1], self.head.time_stride
        if features.x.shape[1] != -(-frames // stride):
            raise ValueError(
                f"the target {self.target!r} has {frames} frames, but the input about {features.x.shape[1] * stride}: "
                f"give both the same length, e.g. by the transforms Resample(64) and Resample(64, '{self.target}')"
            )
        scaled = self.head(features, frames)
        scaled = scaled.to(torch.promote_types(scaled.dtype, torch.float32))
        wrong = ((y - self.mean) / self.scale - scaled).masked_fill(~known, 0.0)
        count = known.sum()
        loss = wrong.square().sum() / count.clamp(min=1)
        logs = {"skipped": (~known).sum().float()}
        measured = y.masked_fill(~known, torch.nan)
        return ObjectiveOutput(self._physical(scaled), loss, logs, int(known.any(2).any(1).sum()), measured)

    def metrics(self) -> MetricCollection:
        """Errors per target and subject."""
        return MetricCollection({"series": SeriesErrors(len(self.names), max(len(self.subjects), 1), self.mean)})

    def update(self, metrics: MetricCollection, output: ObjectiveOutput, batch: MotionBatch) -> None:
        """See :meth:`Objective.update`.

        Raises:
            ValueError: A prediction is not finite where there is a target.
        """
        if output.target is None:
            return
        broken = (~output.prediction.isfinite() & output.target.isfinite()).flatten(1).any(1)
        if bool(broken.any()):
            names = [name for name, bad in zip(batch.id, broken.tolist(), strict=True) if bad]
            raise ValueError(f"predictions of {', '.join(self.names)} are not finite for {', '.join(names[:5])}")
        places = {name: i for i, name in enumerate(self.subjects)}
        codes = torch.tensor([places[str(s)] for s in batch.subject], device=output.target.device)
        metrics.update(output.prediction.detach(), output.target, codes)

    def summarize(self, metrics: MetricCollection) -> dict[str, float]:
        """Means over the subjects, of the targets together and of each, ``<target>/rmse`` and so on.

        ``nrmse`` is a fraction of the range over the subject's recordings, ``rmse`` in the unit of the target, ``r``
        Pearson's over all frames of a subject. ``nrmse_of_mean`` is what predicting the training mean would give.
        """
        values = self._values(metrics)
        kept = {key: values[key].nanmean(0).nanmean() for key in ("nrmse", "r", "rmse")}
        of_mean = values["rmse_of_mean"] / values["range"].masked_fill(values["range"] == 0, torch.nan)
        kept["nrmse_of_mean"] = of_mean.nanmean(0).nanmean()
        for k, name in enumerate(self.names):
            kept |= {f"{name}/{key}": values[key][:, k].nanmean() for key in ("rmse", "nrmse", "r")}
        return {key: float(value) for key, value in kept.items()}

    def details(self, metrics: MetricCollection) -> dict[str, Any]:
        """The errors of every target (means over subjects) and of every subject (means over targets)."""
        values = self._values(metrics)
        frames = values["n"]
        tested = frames.sum(1) > 0
        keys = ("nrmse", "r", "rmse", "rmse_of_mean", "range")
        per_target = {
            name: {"n": int(frames[:, k].sum()), **_plain({key: values[key][:, k].nanmean() for key in keys})}
            for k, name in enumerate(self.names)
        }
        per_subject = {
            name: {"n": int(frames[i].sum()), **_plain({key: values[key][i].nanmean() for key in ("nrmse", "r")})}
            for i, name in enumerate(self.subjects)
            if tested[i]
        }
        return {"per_target": per_target, "per_subject": per_subject}

    def table(self, output: ObjectiveOutput, batch: MotionBatch) -> dict[str, Any]:
        """A row a frame with a measurement: recording, frame, and each target as measured and predicted."""
        predicted = output.prediction.detach().cpu()
        target = torch.full_like(predicted, torch.nan) if output.target is None else output.target.cpu()
        kept = target.isfinite().any(2) | torch.tensor(output.target is None)
        rows, times = kept.nonzero(as_tuple=True)
        measured = target[kept]
        columns: dict[str, Any] = {
            "id": [batch.id[i] for i in rows.tolist()],
            "subject": [batch.subject[i] for i in rows.tolist()],
            "frame": times.tolist(),
        }
        for k, name in enumerate(self.names):
            columns[f"true[{name}]"] = measured[:, k].tolist()
            columns[f"predicted[{name}]"] = predicted[kept][:, k].tolist()
        return columns

    def _values(self, metrics: MetricCollection) -> dict[str, Tensor]:
        found: dict[str, Tensor] = metrics.compute()
        return {key: value.cpu() for key, value in found.items()}

    def _physical(self, scaled: Tensor) -> Tensor:
        return scaled * self.scale + self.mean

    def measured(self, batch: MotionBatch) -> tuple[Tensor, Tensor]:
        """The targets of a batch and which of them were measured, both ``[N, T, K]``.

        Raises:
            ValueError: The modality lacks a joint or a channel.
        """
        store = batch[self.target]
        rows = _places("joint", self.joints, store.skeleton.joints, self.target)
        columns = _places("channel", self.channels, store.channels, self.target)
        y = store.x[:, :, rows][..., columns]
        known = store.mask[:, :, rows][..., None] & y.isfinite()
        return y.flatten(2), known.flatten(2)

    def get_extra_state(self) -> dict[str, Any]:
        """The subjects' names, by which errors are kept."""
        return {"subjects": list(self.subjects)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them back from a checkpoint."""
        self.subjects = list(state["subjects"])


def _places(what: str, wanted: Sequence[str], there: Sequence[str], target: str) -> list[int]:
    if unknown := [name for name in wanted if name not in there]:
        raise ValueError(f"the target {target!r} has no {what} {', '.join(unknown)}; it has {', '.join(there)}")
    return [list(there).index(name) for name in wanted]


def _plain(values: dict[str, Tensor]) -> dict[str, float | None]:
    return {key: float(v) if math.isfinite(float(v)) else None for key, v in values.items()}
