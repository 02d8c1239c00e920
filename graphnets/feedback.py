"""What a trained task says of repetitions: what it was, what was wrong, where and when, and how it would be right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.data import MotionBatch
from graphnets.explain import integrated_gradients
from graphnets.nn.dct import fill_gaps
from graphnets.nn.masking import clip_lengths
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Correction, Task
from graphnets.tasks.correction import restreamed

CORRECT = "correct"
"""How the class of a correct repetition ends, or is called."""


@dataclass
class Feedback:
    """On one repetition.

    Attributes:
        id: Of the recording.
        said: The class that each classification names, and its probability.
        joints: The joints that most made it a mistake, with their share of what speaks for it, the largest first.
        seconds: From when to when most of that happened.
        shares: The share of every joint at every frame of the transformed clip ``[T', V]``, sum 1.
        corrected: The movement as it would be right, in the unit and at the frames of the recording ``[T, V, 3]``.
        moved: How far the correction moves joints on average, in that unit.
    """

    id: str
    said: dict[str, tuple[str, float]]
    joints: list[tuple[str, float]] = field(default_factory=list)
    seconds: tuple[float, float] | None = None
    shares: Tensor | None = None
    corrected: Tensor | None = None
    moved: float | None = None

    def plain(self) -> dict[str, Any]:
        """As plain data, without the pictures' arrays."""
        said = {name: {"class": c, "probability": round(p, 4)} for name, (c, p) in self.said.items()}
        joints = [{"joint": name, "share": round(share, 4)} for name, share in self.joints]
        return {"id": self.id, **said, "joints": joints, "seconds": self.seconds, "moved": self.moved}


def give_feedback(
    task: Task,
    batch: MotionBatch,
    temperatures: dict[str, float] | None = None,
    most: int = 5,
    correct: list[str] | None = None,
) -> list[Feedback]:
    """Say what the task sees in a batch of repetitions.

    Args:
        task: In evaluation mode; with one classification or more, maybe a correction.
        batch: As a store gives it.
        temperatures: By which the logits of classifications are divided, see :mod:`graphnets.calibration`.
        most: How many joints are named.
        correct: Classes that are no mistakes; None for those whose names say so.

    Raises:
        ValueError: The task has no classification, or its transforms do more than resample, move and scale, so that a
            correction has no way back.
    """
    kinds = {name: task.objective(name) for name in task.objectives}
    naming = {name: o for name, o in kinds.items() if isinstance(o, Classification)}
    if not naming:
        raise ValueError(f"no objective of the task is a classification; there are {', '.join(kinds)}")
    with torch.no_grad():
        ready = task.transform(batch)
        outputs = task.outputs(ready)
    found = [Feedback(id, {}) for id in batch.id]
    for name, objective in naming.items():
        share = (outputs[name].prediction / (temperatures or {}).get(name, 1.0)).softmax(1)
        for one, (p, k) in zip(found, zip(*share.max(1), strict=True), strict=True):
            one.said[name] = objective.classes[int(k)], float(p)
    corrections = [name for name, o in kinds.items() if isinstance(o, Correction)]
    corrected = outputs[corrections[0]].prediction if corrections else None
    if corrected is not None:
        _undo(found, task, batch, ready, corrected)
    judged = next((name for name, o in naming.items() if right_classes(o.classes, correct)), None)
    if correct and judged is None:
        there = "; ".join(", ".join(o.classes) for o in naming.values())
        raise ValueError(f"no classes {', '.join(correct)}; there are {there}")
    if judged is not None:
        right = right_classes(naming[judged].classes, correct)
        _blame(found, task, batch, ready, judged, right, outputs[judged].prediction, corrected, most)
    return found


def right_classes(classes: list[str], correct: list[str] | None = None) -> list[int]:
    """Which classes are correct repetitions: those that are given, or else by their names."""
    if correct:
        return [k for k, name in enumerate(classes) if name in correct]
    return [k for k, name in enumerate(classes) if name == CORRECT or name.endswith(f"_{CORRECT}")]


def _blame(
    found: list[Feedback],
    task: Task,
    batch: MotionBatch,
    ready: MotionBatch,
    name: str,
    right: list[int],
    logits: Tensor,
    corrected: Tensor | None,
    most: int,
) -> None:
    """Which joints and frames made it a mistake rather than the likeliest correct class."""
    said = logits.argmax(1)
    against = torch.tensor(right, device=logits.device)[logits[:, right].argmax(1)]
    changed = None if corrected is None else restreamed(task, ready, corrected)
    baseline = None if changed is None else changed[task.modality].x
    shares = integrated_gradients(task, batch, name, said, against, baseline).clamp(min=0)
    skeleton: Skeleton = ready[task.modality].skeleton
    lengths = clip_lengths(ready[task.modality].x, ready[task.modality].mask)
    raw = batch[task.modality]
    seconds = clip_lengths(raw.x, raw.mask) / raw.fps
    for i, one in enumerate(found):
        if int(said[i]) in right or not float(shares[i].sum()) > 0:
            continue
        one.shares = (shares[i] / shares[i].sum())[: int(lengths[i])].cpu()
        joints = one.shares.sum(0)
        order = joints.argsort(descending=True)[:most].tolist()
        one.joints = [(skeleton.joints[v], float(joints[v])) for v in order]
        passed = one.shares.sum(1).cumsum(0)
        ends = torch.searchsorted(passed, torch.tensor([0.1, 0.9]))
        step = float(seconds[i]) / max(int(lengths[i]), 1)
        one.seconds = round(float(ends[0]) * step, 2), round((float(ends[1]) + 1) * step, 2)


def _undo(found: list[Feedback], task: Task, batch: MotionBatch, ready: MotionBatch, corrected: Tensor) -> None:
    """Bring what the correction changes back to the recordings' own frames, unit and place."""
    store, here = batch[task.modality], ready[task.modality]
    for i, one in enumerate(found):
        raw, seen = store.x[i, ..., :3], store.mask[i]
        length, short = int(clip_lengths(store.x, store.mask)[i]), int(clip_lengths(here.x, here.mask)[i])
        if not length or not short:
            continue
        one_clip = slice(i, i + 1), slice(short)
        change = fill_gaps(corrected[one_clip] - here.x[one_clip][..., :3], here.mask[one_clip])[0]
        size = _scale(raw[:length], seen[:length], here.x[i, :short, :, :3], here.mask[i, :short], one.id)
        flat = size * change.flatten(1).T[None]  # [1, V C, T']
        change = F.interpolate(flat, size=length, mode="linear", align_corners=True)[0].T.view(length, -1, 3)
        made = raw.clone()
        made[:length] += change
        one.corrected = made.masked_fill(~seen[..., None], torch.nan).cpu()
        one.moved = float((change.norm(dim=-1) * seen[:length]).sum() / seen[:length].sum().clamp(min=1))


def _scale(raw: Tensor, seen: Tensor, here: Tensor, mask: Tensor, name: str) -> float:
    """How many units of the recording one of the transformed clip is.

    Raises:
        ValueError: The transformed clip isn't the recording resampled, moved and scaled.
    """
    frames = torch.linspace(0, len(raw) - 1, len(here)).round().long()
    a, b = raw[frames], here
    known = (seen[frames] & mask)[..., None]
    n = known.sum().clamp(min=1)
    a, b = ((z.masked_fill(~known, 0) - z.masked_fill(~known, 0).sum((0, 1)) / n) * known for z in (a, b))
    size = (a * b).sum() / b.square().sum().clamp(min=1e-12)
    rest = (a - size * b).square().sum() / a.square().sum().clamp(min=1e-12)
    if float(rest) > 0.05:  # frames are matched to the nearest, hence not 0
        raise ValueError(
            f"{name}: the transforms do more than resample, move and scale, so a correction can't be brought back"
        )
    return float(size)
