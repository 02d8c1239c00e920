from __future__ import annotations

import math

import pytest
import torch

from graphnets.metrics import RepetitionErrors


def test_known_errors() -> None:
    metric = RepetitionErrors()
    metric.update(torch.tensor([5, 4, 10]), torch.tensor([5, 5, 7]))
    metric.update(torch.tensor([3.0, 8.0, 2.0]), torch.tensor([4.0, math.nan, -1.0]))
    result = {key: float(value) for key, value in metric.compute().items()}
    assert result == pytest.approx({"n": 4, "mae": 5 / 4, "exact": 1 / 4, "off_by_one": 3 / 4})
    metric.reset()
    assert all(math.isnan(float(metric.compute()[key])) for key in ("mae", "exact", "off_by_one"))


def test_one_count_a_recording() -> None:
    with pytest.raises(ValueError, match=r"\[2\] counts for \[3\] recordings"):
        RepetitionErrors().update(torch.zeros(2), torch.zeros(3))
