"""Errors of predicted time series, per target and subject."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

_MOMENTS = ("n", "y", "p", "yy", "pp", "yp", "ee", "mm")


class SeriesErrors(Metric):
    r"""RMSE, NRMSE and Pearson's r of each target, over all observed frames of each subject.

    .. math:: \mathrm{RMSE}_k = \sqrt{\operatorname{mean}_t (\hat y_{tk} - y_{tk})^2}, \qquad
              \mathrm{NRMSE}_k = \frac{\mathrm{RMSE}_k}{\max_t y_{tk} - \min_t y_{tk}}

    A subject's recordings are one series: so are range and correlation meant in the literature on moments from
    wearables and video. The correlation of a constant is 0, and the NRMSE of a target that is constant in a subject's
    measurement is NaN: means over subjects leave it out. ``rmse_of_mean`` is the error of always predicting the
    training mean.

    Sums are kept in float64, a row for each subject: memory doesn't grow with the recordings.

    Args:
        targets: K.
        subjects: How many there are; codes are 0 to ``subjects - 1``.
        mean: What the baseline predicts, ``[K]``.

    Shapes:
        Predictions and targets ``[N, T, K]``, NaN where nothing was measured, subjects ``[N]`` int64.
    """

    full_state_update = False
    higher_is_better = False
    sums: Tensor
    least: Tensor
    most: Tensor
    mean: Tensor

    def __init__(self, targets: int, subjects: int, mean: Tensor) -> None:
        super().__init__()
        shape = (subjects, targets)
        self.register_buffer("mean", mean.detach().double(), persistent=False)
        self.add_state("sums", torch.zeros(len(_MOMENTS), *shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("least", torch.full(shape, torch.inf, dtype=torch.float64), dist_reduce_fx="min")
        self.add_state("most", torch.full(shape, -torch.inf, dtype=torch.float64), dist_reduce_fx="max")

    def update(self, prediction: Tensor, target: Tensor, subject: Tensor) -> None:
        """Add a batch."""
        mask = target.isfinite()
        y = target.double().masked_fill(~mask, 0.0)
        p = prediction.double().masked_fill(~mask, 0.0)
        m = (y - self.mean).masked_fill(~mask, 0.0)
        terms = torch.stack([mask.double(), y, p, y * y, p * p, y * p, (p - y) ** 2, m * m]).sum(2)  # over frames
        self.sums.index_add_(1, subject, terms)
        low = target.double().masked_fill(~mask, torch.inf).amin(1)
        high = target.double().masked_fill(~mask, -torch.inf).amax(1)
        index = subject[:, None].expand_as(low)
        self.least.scatter_reduce_(0, index, low, "amin")
        self.most.scatter_reduce_(0, index, high, "amax")

    def compute(self) -> dict[str, Tensor]:
        """Of every subject and target ``[S, K]``: ``n``, ``rmse``, ``rmse_of_mean``, ``range``, ``nrmse``, ``r``.

        NaN where a subject has no frame with the target.
        """
        n, y, p, yy, pp, yp, ee, mm = self.sums
        count = n.masked_fill(n == 0, torch.nan)
        rmse, of_mean = (ee / count).sqrt(), (mm / count).sqrt()
        span = torch.where(n > 0, self.most - self.least, torch.nan)
        spread = (yy - y * y / count).clamp(min=0), (pp - p * p / count).clamp(min=0)
        # Below this share of the squares it is rounding.
        constant = (spread[0] <= 1e-12 * yy) | (spread[1] <= 1e-12 * pp)
        r = (yp - y * p / count) / (spread[0] * spread[1]).sqrt()
        r = torch.where(constant & (n > 0), 0.0, r)
        nrmse = rmse / span.masked_fill(span == 0, torch.nan)
        return {"n": n, "rmse": rmse, "rmse_of_mean": of_mean, "range": span, "nrmse": nrmse, "r": r}
