"""The classification head averages what was observed, and nothing else."""

from __future__ import annotations

import math

import torch

from graphnets.encoders import Features
from graphnets.heads import ClassificationHead


def test_mean_of_observed_features_then_linear() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(4, 3, dropout=0.5).double().eval()
    x = torch.randn(5, 6, 7, 4, dtype=torch.float64)
    mask = torch.rand(5, 6, 7) > 0.5
    mask[4] = False
    pooled = torch.stack([x[i][mask[i]].mean(0) if mask[i].any() else torch.zeros(4).double() for i in range(5)])
    expected = pooled @ head.linear.weight.t() + head.linear.bias
    torch.testing.assert_close(head(Features(x.masked_fill(~mask[..., None], math.nan), mask)), expected)
    everything = x.mean((1, 2)) @ head.linear.weight.t() + head.linear.bias
    torch.testing.assert_close(head(Features(x, None)), everything)
    torch.testing.assert_close(head(Features(x, torch.ones_like(mask))), everything)


def test_peak_is_the_maximum_over_time_of_the_mean_over_joints() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(4, 3, peak=True).double().eval()
    x = torch.randn(5, 6, 7, 4, dtype=torch.float64)
    mask = torch.rand(5, 6, 7) > 0.5
    mask[2, 3:] = False
    mask[4] = False
    rows = []
    for i in range(5):
        frames = [x[i, t][mask[i, t]].mean(0) for t in range(6) if mask[i, t].any()]
        peak = torch.stack(frames).amax(0) if frames else torch.zeros(4).double()
        mean = x[i][mask[i]].mean(0) if frames else torch.zeros(4).double()
        rows.append(torch.cat([mean, peak]))
    expected = torch.stack(rows) @ head.linear.weight.t() + head.linear.bias
    torch.testing.assert_close(head(Features(x.masked_fill(~mask[..., None], math.nan), mask)), expected)
    everything = head(Features(x, torch.ones_like(mask)))
    torch.testing.assert_close(head(Features(x, None)), everything)


def test_peak_is_the_largest_mean_over_joints() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(4, 3, peak=True).double()
    x = torch.randn(3, 6, 7, 4, dtype=torch.float64) - 3  # below zero: a masked frame must not win with its 0
    mask = torch.rand(3, 6, 7) > 0.6
    mask[0, 2:4], mask[2] = False, False
    rows = []
    for i in range(3):
        frames = [x[i, t][mask[i, t]].mean(0) for t in range(6) if mask[i, t].any()]
        nothing = torch.zeros(8, dtype=torch.float64)
        rows.append(torch.cat([x[i][mask[i]].mean(0), torch.stack(frames).amax(0)]) if frames else nothing)
    expected = torch.stack(rows) @ head.linear.weight.t() + head.linear.bias
    poisoned = x.masked_fill(~mask[..., None], math.nan).requires_grad_()
    logits = head(Features(poisoned, mask))
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert poisoned.grad is not None and poisoned.grad.isfinite().all() and (poisoned.grad[~mask] == 0).all()
    full = torch.ones_like(mask)
    torch.testing.assert_close(head(Features(x, None)), head(Features(x, full)))
