"""Learning-rate schedules that know how long the training is."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupCosine(LRScheduler):
    """Linear warm-up, then half a cosine down (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts).

    After s of S steps, of which the first ``warmup * S`` warm up, the share of the learning rate goes in a straight
    line from ``start`` to 1, and then down to ``final`` as ``final + (1 - final) (1 + cos(pi p)) / 2``, where p runs
    from 0 at the end of the warm-up to 1 at S; it stays there.

    Args:
        optimizer: What to schedule.
        total_steps: Training steps in all; the task fills this in.
        warmup: Share of the steps that warm up.
        start: Share of the learning rate to start from.
        final: Share of the learning rate to end with.

    Raises:
        ValueError: ``warmup`` is not in [0, 1) or ``total_steps`` is below 1.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, start: float = 0.1, final: float = 0.0
    ) -> None:
        if not 0 <= warmup < 1 or total_steps < 1:
            raise ValueError(f"warmup is {warmup} (0 to below 1), total_steps is {total_steps} (at least 1)")
        self.total_steps, self.warmup, self.start, self.final = total_steps, warmup, start, final
        super().__init__(optimizer)

    def get_lr(self) -> list[float | object]:  # type: ignore[override]
        """The learning rate of every parameter group after ``last_epoch`` steps."""
        rising = self.warmup * self.total_steps
        step = self.last_epoch
        if step < rising:
            share = self.start + (1 - self.start) * step / rising
        else:
            progress = min(1.0, (step - rising) / max(1e-9, self.total_steps - rising))
            share = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))
        return [base * share for base in self.base_lrs]
