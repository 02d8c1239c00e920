"""Errors of counted repetitions."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class RepetitionErrors(Metric):
    """Mean absolute error, and the shares of recordings counted exactly and with at most one too many or too few.

    Shapes:
        Counted and true repetitions ``[N]``, whole numbers of any type; a true count that is NaN or negative is unknown
        and skipped.
    """

    full_state_update = False
    higher_is_better = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(4, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, counted: Tensor, true: Tensor) -> None:
        """Add a batch.

        Raises:
            ValueError: There isn't one count for each true one.
        """
        if counted.shape != true.shape:
            raise ValueError(f"{list(counted.shape)} counts for {list(true.shape)} recordings")
        known = true >= 0
        error = (counted.double() - true.double()).abs()[known]
        terms = [torch.ones_like(error), error, (error < 0.5).double(), (error < 1.5).double()]
        self.sums += torch.stack(terms).flatten(1).sum(1)

    def compute(self) -> dict[str, Tensor]:
        """``n``, ``mae``, ``exact`` and ``off_by_one`` (shares from 0 to 1); NaN without any recording."""
        n, error, exact, near = self.sums
        count = n.masked_fill(n == 0, torch.nan)
        return {"n": n, "mae": error / count, "exact": exact / count, "off_by_one": near / count}
