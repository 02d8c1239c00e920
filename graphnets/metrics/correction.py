"""How good corrected repetitions are: nearer, judged right, of the same body, and not moved without need."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

MEASURES = (
    "n", "judged", "success", "untouched", "judge_right", "own", "by_itself",
    "before", "after", "bones", "moved", "jerk_before", "jerk_after",
)  # fmt: skip


class CorrectionQuality(Metric):
    r"""Sums over repetitions, kept for each class of the mistakes, from which all figures follow.

    ``success`` is the share of corrected repetitions that the judge takes for the class of the correct repetition that
    they should have become: over all (``_all``), and over those that weren't of that class before (``_mistakes``);
    ``macro`` is the mean over the classes. ``success_untouched`` is that of the mistakes before the correction: what
    there was for nothing. ``judge_accuracy`` is what the judge makes of the untouched ones, ``judge_accuracy_mistakes``
    of the mistakes among them. ``success_by_itself`` is the success on mistakes in the opinion of the corrector.
    ``dtw_gain`` is :math:`1 - \sum \mathrm{DTW}_{after} / \sum \mathrm{DTW}_{before}` of the mistakes, from
    sums of squared distances.
    ``moved_correct`` and ``moved_mistakes`` are mean distances of joints, ``bone_error`` a fraction, ``jerk_ratio``
    that of the squared third differences after and before.

    Args:
        classes: P.

    Shapes:
        Classes ``[N]`` int64 of the repetitions and of what they should be, measures ``[N]``.
    """

    full_state_update = False
    higher_is_better = True
    sums: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        shape = (classes, 2, len(MEASURES))  # of mistakes, of correct ones
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, label: Tensor, wanted: Tensor, measures: dict[str, Tensor]) -> None:
        """Add a batch; ``measures`` holds some of :data:`MEASURES`, ``n`` is added."""
        rows = torch.zeros(len(label), len(MEASURES), dtype=torch.float64, device=label.device)
        rows[:, 0] = 1
        for name, values in measures.items():
            rows[:, MEASURES.index(name)] = values.double()
        self.sums.view(-1, len(MEASURES)).index_add_(0, 2 * label + (label == wanted).long(), rows)

    def compute(self) -> dict[str, Tensor]:
        """The figures; NaN where there is nothing to take a mean of."""
        of = {name: self.sums[..., k] for k, name in enumerate(MEASURES)}
        n, judged = of["n"], of["judged"]
        wrong, all_judged = judged[:, 0], judged.sum(1)
        return {
            "success_mistakes": of["success"][:, 0].sum() / wrong.sum(),
            "success_all": of["success"].sum() / judged.sum(),
            "success_mistakes_macro": _macro(of["success"][:, 0], wrong),
            "success_all_macro": _macro(of["success"].sum(1), all_judged),
            "success_untouched": of["untouched"][:, 0].sum() / wrong.sum(),
            "success_by_itself": of["by_itself"][:, 0].sum() / of["own"][:, 0].sum(),
            "judge_accuracy": of["judge_right"].sum() / judged.sum(),
            "judge_accuracy_mistakes": of["judge_right"][:, 0].sum() / wrong.sum(),
            "dtw_gain": 1 - of["after"][:, 0].sum() / of["before"][:, 0].sum(),
            "bone_error": of["bones"].sum() / n.sum(),
            "moved_mistakes": of["moved"][:, 0].sum() / n[:, 0].sum(),
            "moved_correct": of["moved"][:, 1].sum() / n[:, 1].sum(),
            "jerk_ratio": of["jerk_after"].sum() / of["jerk_before"].sum(),
        }


def _macro(sums: Tensor, n: Tensor) -> Tensor:
    there = n > 0
    return (sums[there] / n[there]).mean()
