"""Figures of corrections, against counting by hand."""

from __future__ import annotations

import pytest
import torch

from graphnets.metrics import CorrectionQuality


def test_by_hand() -> None:
    metric = CorrectionQuality(4)  # classes 0 and 2 are right, 1 should have been 0, 3 should have been 2
    label = torch.tensor([0, 1, 1, 1, 3, 2])
    wanted = torch.tensor([0, 0, 0, 0, 2, 2])
    success = torch.tensor([1.0, 1, 1, 0, 0, 1])
    right = torch.tensor([1.0, 0, 1, 1, 1, 0])
    before, after = torch.tensor([0.0, 4, 2, 2, 2, 0]), torch.tensor([1.0, 1, 1, 2, 1, 0])
    moved = torch.tensor([0.1, 1, 2, 3, 4, 0.3])
    for part in (slice(0, 2), slice(2, 6)):
        metric.update(
            label[part], wanted[part],
            {
                "judged": torch.ones(6)[part], "success": success[part], "judge_right": right[part], "before": before[part],
                "after": after[part], "moved": moved[part], "bones": torch.full((6,), 0.02)[part],
                "jerk_before": torch.full((6,), 2.0)[part], "jerk_after": torch.full((6,), 1.0)[part],
            },
        )  # fmt: skip
    found = {key: float(value) for key, value in metric.compute().items()}
    assert found["success_mistakes"] == pytest.approx(2 / 4)
    assert found["success_all"] == pytest.approx(4 / 6)
    assert found["success_mistakes_macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["success_all_macro"] == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert found["judge_accuracy"] == pytest.approx(4 / 6)
    assert found["dtw_gain"] == pytest.approx(1 - 5 / 10)
    assert found["moved_mistakes"] == pytest.approx(10 / 4) and found["moved_correct"] == pytest.approx(0.2)
    assert found["bone_error"] == pytest.approx(0.02) and found["jerk_ratio"] == pytest.approx(0.5)


def test_without_a_judge_or_mistakes_there_is_no_figure() -> None:
    metric = CorrectionQuality(2)
    metric.update(torch.tensor([0]), torch.tensor([0]), {"moved": torch.ones(1)})
    found = metric.compute()
    assert bool(found["success_all"].isnan()) and bool(found["dtw_gain"].isnan()) and float(found["moved_correct"]) == 1
