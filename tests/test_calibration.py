"""Calibration against known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphnets.calibration import calibration_error, fit_temperature, read_predictions


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_the_temperature_that_the_labels_were_drawn_with(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    honest = softmax(logits)
    true = (honest.cumsum(1) > rng.random((len(logits), 1))).argmax(1)
    boastful = softmax(logits * temperature)
    assert fit_temperature(boastful, true) == pytest.approx(temperature, rel=0.05)
    assert calibration_error(honest, true) < 0.01
    if temperature == 3.0:
        assert calibration_error(boastful, true) > 0.1


def test_being_right_everywhere_is_no_reason_to_be_sure() -> None:
    p = np.tile([0.9, 0.05, 0.05], (40, 1))
    temperature = fit_temperature(p, np.zeros(40, dtype=int))
    sure = 0.9 ** (1 / temperature) / (0.9 ** (1 / temperature) + 2 * 0.05 ** (1 / temperature))
    assert sure == pytest.approx(1 - 1 / 42, abs=1e-3)


def test_error_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.95, 0.05], [0.4, 0.6]])
    true = np.array([0, 1, 0, 1])
    # bins 0.8-0.9: 0.8 wrong; from 0.9: 0.9 and 0.95 right; 0.6 right
    assert calibration_error(p, true) == pytest.approx((0.8 + abs(1.85 - 2) + 0.4) / 4)


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "predictions_val.csv"
    path.write_text("id,subject,true,predicted,p[a],p[b]\n1,s,b,a,0.7,0.3\n2,s,,a,0.6,0.4\n")
    p, true = read_predictions(path)
    assert p.tolist() == [[0.7, 0.3]] and true.tolist() == [1]
    path.write_text("id,subject,true,predicted,p[a]\n1,s,c,a,1\n")
    with pytest.raises(ValueError, match="no probabilities of the classes c"):
        read_predictions(path)
    with pytest.raises(ValueError, match="no such table"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="validation recordings"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=int))
