"""Probabilities that mean what they say: temperature scaling on validation people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

LIMITS = (0.05, 20.0)
"""Between which temperatures are looked for."""


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    r"""The T that makes :math:`p_k^{1/T} / \sum_j p_j^{1/T}` likeliest (Guo et al. 2017, arXiv 1706.04599).

    Of one recording in N + 2 the label is taken to be any other (after Platt 1999): where all are right, no temperature
    would be low enough otherwise, and whatever comes next would be sure.

    Args:
        probabilities: ``[N, K]`` of recordings that the network hasn't learned from.
        true: Their classes, ``[N]`` int.

    Raises:
        ValueError: There is no recording.
    """
    if not len(true):
        raise ValueError("a temperature needs validation recordings; there are none")
    logits = np.log(np.clip(probabilities, 1e-12, None))
    wrong = 1 / (len(true) + 2)
    target = np.full(logits.shape, wrong / max(logits.shape[1] - 1, 1))
    target[np.arange(len(true)), true] = 1 - wrong

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(1, keepdims=True)
        found = np.log(np.exp(scaled).sum(1)) - (target * scaled).sum(1)
        return float(found.mean())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded").x))


def calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: how far confidence is from accuracy, over bins of equal width, weighted by counts."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((confidence[places == b] - right[places == b]).sum()) for b in range(bins)]
    return float(sum(gaps) / len(true))


def read_predictions(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and true classes of a table that training wrote, without unlabelled rows.

    Raises:
        ValueError: There is no such table, or it isn't one of a classification.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such table of predictions (were there validation people?)")
    table = pd.read_csv(path, dtype={"true": str}).dropna(subset=["true"])
    columns = [c for c in table.columns if c.startswith("p[")]
    codes = {c[2:-1]: i for i, c in enumerate(columns)}
    if unknown := set(table["true"]) - set(codes):
        raise ValueError(f"{path}: no probabilities of the classes {', '.join(sorted(unknown))}")
    return table[columns].to_numpy(float), table["true"].map(codes).to_numpy(int)
