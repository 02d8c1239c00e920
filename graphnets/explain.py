"""Which joints and when: attribution of a decision to the observed movement."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from graphnets.data import MotionBatch
from graphnets.tasks import Task


def integrated_gradients(
    task: Task,
    batch: MotionBatch,
    objective: str,
    classes: Tensor,
    against: Tensor | None = None,
    baseline: Tensor | None = None,
    steps: int = 32,
) -> Tensor:
    r"""Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365, Eq. 1) of a decision.

    .. math:: a_{tv} = \sum_c (x_{tvc} - x'_{tvc}) \int_0^1
              \frac{\partial F(x' + \alpha (x - x'))}{\partial x_{tvc}} \, d\alpha

    by the midpoint rule, in the space that the task's transforms leave, where F is the class's logit, or how far it is
    above another's. Up to the error of the rule all attributions sum to :math:`F(x) - F(x')`.

    Args:
        task: In evaluation mode; it stays as it is.
        batch: As a store gives it, before the transforms.
        objective: The classification whose decision it is.
        classes: Which class of each recording, ``[N]`` int64.
        against: The class that it is compared with, ``[N]``; None for the logit alone.
        baseline: :math:`x'` ``[N, T, V, C]`` in the transformed space; None for each joint standing still at its mean.
        steps: Of the rule.

    Returns:
        ``[N, T, V]`` over the transformed frames; 0 where nothing is observed.

    Raises:
        ValueError: ``steps`` is below 1, or the baseline has another shape.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least 1")
    with torch.no_grad():
        ready = task.transform(batch)
    store = ready[task.modality]
    x, mask = store.x.masked_fill(~store.mask[..., None], 0), store.mask
    if baseline is None:
        count = mask.sum(1, keepdim=True).clamp(min=1)[..., None]
        baseline = (x.sum(1, keepdim=True) / count).expand_as(x).masked_fill(~mask[..., None], 0)
    if baseline.shape != x.shape:
        raise ValueError(f"the baseline is {list(baseline.shape)}, the transformed input {list(x.shape)}")
    total = torch.zeros_like(x)
    for step in range(steps):
        at = (baseline + (step + 0.5) / steps * (x - baseline)).detach().requires_grad_()
        here = copy.copy(ready)
        here[task.modality].x = at
        total += torch.autograd.grad(_score(task, here, objective, classes, against).sum(), at)[0]
    return ((x - baseline) * total / steps).sum(-1).masked_fill(~mask, 0)


def _score(task: Task, ready: MotionBatch, objective: str, classes: Tensor, against: Tensor | None) -> Tensor:
    """How strongly each recording is taken for its class, ``[N]``."""
    logits = task.outputs(ready)[objective].prediction
    score = logits.gather(1, classes[:, None])[:, 0]
    return score if against is None else score - logits.gather(1, against[:, None])[:, 0]
