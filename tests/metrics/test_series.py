"""Errors of time series against plain loops, numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from graphnets.metrics import SeriesErrors

S, K = 3, 2


def draw(seed: int, n: int = 5, frames: int = 7, missing: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(n, frames, K)) + 100.0
    target[rng.random(target.shape) < missing] = np.nan
    return target + rng.normal(size=target.shape) * 0.3, target, rng.integers(0, S, n)


def measured(seed: int, parts: int = 2) -> tuple[dict[str, torch.Tensor], list[np.ndarray]]:
    """The metric fed with batches, and what it was fed with, end to end."""
    metric = SeriesErrors(K, S, torch.tensor([99.0, 101.0]))
    fed = [draw(seed + i) for i in range(parts)]
    for prediction, target, subject in fed:
        metric.update(torch.tensor(prediction), torch.tensor(target), torch.tensor(subject))
    return metric.compute(), [np.concatenate(x) for x in zip(*fed, strict=True)]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_each_subject_and_target_as_by_a_loop(seed: int) -> None:
    found, (prediction, target, subject) = measured(seed)
    for s in range(S):
        for k in range(K):
            pairs = [
                (p[k], y[k])
                for row in np.flatnonzero(subject == s)
                for p, y in zip(prediction[row], target[row], strict=True)
                if np.isfinite(y[k])
            ]
            assert found["n"][s, k] == len(pairs)
            if len(pairs) < 3:
                continue
            p, y = np.array(pairs).T
            rmse = np.sqrt(np.mean((p - y) ** 2))
            assert found["rmse"][s, k].item() == pytest.approx(rmse, rel=1e-9)
            assert found["range"][s, k].item() == pytest.approx(y.max() - y.min(), rel=1e-12)
            assert found["nrmse"][s, k].item() == pytest.approx(rmse / (y.max() - y.min()), rel=1e-9)
            assert found["r"][s, k].item() == pytest.approx(pearsonr(p, y)[0], abs=1e-6)
            baseline = np.sqrt(np.mean((y - (99.0, 101.0)[k]) ** 2))
            assert found["rmse_of_mean"][s, k].item() == pytest.approx(baseline, rel=1e-9)


def test_perfect_constant_and_absent() -> None:
    metric = SeriesErrors(1, 3, torch.zeros(1))
    y = torch.linspace(0, 1, 9)[None, :, None]
    metric.update(y, y, torch.tensor([0]))
    metric.update(torch.full_like(y, 2.0), y, torch.tensor([1]))
    found = metric.compute()
    assert found["nrmse"][0, 0] == 0 and found["r"][0, 0].item() == pytest.approx(1.0)
    assert found["r"][1, 0] == 0, "a constant has no correlation"
    assert found["n"][2, 0] == 0 and all(found[key][2, 0].isnan() for key in ("rmse", "nrmse", "r", "range"))
    still = SeriesErrors(1, 1, torch.zeros(1))
    still.update(y, torch.ones_like(y), torch.tensor([0]))
    assert still.compute()["nrmse"].isnan().all() and still.compute()["r"] == 0


def test_two_processes_make_what_one_makes() -> None:
    parts = [SeriesErrors(K, S, torch.zeros(K)) for _ in range(2)]
    whole = SeriesErrors(K, S, torch.zeros(K))
    for i, part in enumerate(parts):
        values = [torch.tensor(v) for v in draw(i)]
        part.update(*values)
        whole.update(*values)
    merged = parts[0]
    merged.merge_state(parts[1])
    for key, value in whole.compute().items():
        assert torch.allclose(merged.compute()[key], value, equal_nan=True), key
