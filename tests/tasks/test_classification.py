"""Loss of the classification objective against its formula in float64, metrics against counting."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphnets.data import MotionBatch
from graphnets.encoders import STGCN, Encoder, Features
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.tasks import Classification, ObjectiveOutput

K, D = 4, 6
AXES = Skeleton.load("imu_axes6")


def batch_of(codes: list[int] | None) -> MotionBatch:
    n = len(codes) if codes is not None else 3
    imu = {"x": torch.zeros(n, 2, 6, 1), "skeleton": AXES, "channels": ("value",), "fps": torch.full((n,), 50.0)}
    return MotionBatch.from_arrays({"imu": imu}, {} if codes is None else {"action": torch.tensor(codes)})


def encoder_of(channels: int) -> Encoder:
    return STGCN(AXES, 1, widths=[channels], strides=[1])


def made(seed: int = 0, **arguments: Any) -> Classification:
    torch.manual_seed(seed)
    objective = Classification("action", K, **arguments)
    objective.build(encoder_of(D))
    return objective


def features_of(n: int, seed: int = 0) -> Features:
    draw = torch.Generator().manual_seed(seed)
    return Features(torch.randn(n, 3, 6, D, generator=draw), torch.rand(n, 3, 6, generator=draw) > 0.3)


def formula(logits: Tensor, codes: list[int], smoothing: float, weights: list[float]) -> float:
    above = below = 0.0
    for row, code in zip(logits.double().tolist(), codes, strict=True):
        if code >= 0:
            log_sum = math.log(sum(math.exp(v) for v in row))
            log_p = [v - log_sum for v in row]
            above -= (1 - smoothing) * weights[code] * log_p[code]
            above -= smoothing / K * sum(w * p for w, p in zip(weights, log_p, strict=True))
            below += weights[code]
    return above / below if below else 0.0


@settings(max_examples=25, deadline=None)
@given(
    codes=st.lists(st.integers(-1, K - 1), min_size=1, max_size=6),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    weights=st.sampled_from([None, [1.0, 2.0, 0.5, 3.0], [1.0, 0.0, 0.0, 2.0]]),
    seed=st.integers(0, 1000),
)
def test_loss_equals_the_formula(codes: list[int], smoothing: float, weights: list[float] | None, seed: int) -> None:
    objective = made(seed, label_smoothing=smoothing, class_weights=weights)
    features = features_of(len(codes), seed)
    output = objective(features, batch_of(codes), {})
    assert torch.equal(output.prediction, objective.head(features))
    expected = formula(output.prediction.detach(), codes, smoothing, weights or [1.0] * K)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert output.logs["unlabelled"].item() == codes.count(-1)
    known = [(p, c) for p, c in zip(output.prediction.argmax(1).tolist(), codes, strict=True) if c >= 0]
    if known:
        assert output.logs["accuracy"].item() == pytest.approx(sum(p == c for p, c in known) / len(known))
    else:
        assert "accuracy" not in output.logs
    output.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


@pytest.mark.parametrize(
    ("codes", "weights"), [([-1, -1, -1], None), (None, None), ([1, 2, 1], [1.0, 0.0, 0.0, 2.0])],
    ids=["unlabelled", "label missing from the batch", "labels without weight"],
)  # fmt: skip
def test_nothing_to_learn_gives_loss_zero(codes: list[int] | None, weights: list[float] | None) -> None:
    objective = made(label_smoothing=0.1, class_weights=weights)
    batch = batch_of(codes)
    output = objective(features_of(3), batch, {})
    assert output.loss.item() == 0
    output.loss.backward()
    for parameter in objective.parameters():
        assert parameter.grad is not None and (parameter.grad == 0).all()
    assert batch.modalities == ["imu"], "asking for a missing label must not add a modality"


def test_a_batch_without_the_label_is_predicted_and_tabled() -> None:
    objective = made()
    batch = batch_of(None)
    output = objective(features_of(3), batch, {})
    assert output.prediction.shape == (3, K) and output.logs["unlabelled"] == 3
    assert objective.table(output, batch)["true"] == [None] * 3
    objective.observe("test", output, batch)
    assert objective.stage_metrics("test").compute()["confusion"].sum() == 0


def test_float64_and_autocast() -> None:
    codes = [0, 3, -1]
    features = features_of(3)
    double = made(class_weights=[1.0, 2.0, 3.0, 4.0]).double()
    output = double(Features(features.x.double(), features.mask), batch_of(codes), {})
    assert output.loss.dtype == torch.float64
    expected = formula(output.prediction.detach(), codes, 0.0, [1.0, 2.0, 3.0, 4.0])
    assert output.loss.item() == pytest.approx(expected, rel=1e-12)
    with torch.autocast("cpu", torch.bfloat16):
        half = made()(Features(features.x.bfloat16(), features.mask), batch_of(codes), {})
    assert half.loss.dtype == half.prediction.dtype == torch.float32


# Metrics ------------------------------------------------------------------------------------------------------------


def count(predicted: list[int], true: list[int]) -> dict[str, Any]:
    pairs = [(p, t) for p, t in zip(predicted, true, strict=True) if t >= 0]
    recall, precision, f1 = {}, {}, {}
    for k in range(K):
        hits = sum(p == t == k for p, t in pairs)
        of_class, said = sum(t == k for _, t in pairs), sum(p == k for p, _ in pairs)
        recall[k] = hits / of_class if of_class else None
        precision[k] = hits / said if said else None
        f1[k] = 2 * hits / (of_class + said) if of_class + said else None
    mean = {name: [v for v in values.values() if v is not None] for name, values in (("recall", recall), ("f1", f1))}
    return {
        "accuracy": sum(p == t for p, t in pairs) / len(pairs) if pairs else math.nan,
        "macro_f1": sum(mean["f1"]) / len(mean["f1"]) if pairs else math.nan,
        "balanced_accuracy": sum(mean["recall"]) / len(mean["recall"]) if pairs else math.nan,
        "recall": recall,
        "precision": precision,
        "f1": f1,
        "confusion": [[sum(p == j and t == i for p, t in pairs) for j in range(K)] for i in range(K)],
    }


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, K - 1), st.integers(-1, K - 1)), min_size=1, max_size=14))
def test_metrics_equal_counting(pairs: list[tuple[int, int]]) -> None:
    objective = made()
    objective.classes = ["a", "b", "c", "d"]
    for start in range(0, len(pairs), 5):  # several batches
        predicted, true = map(list, zip(*pairs[start : start + 5], strict=True))
        logits = torch.nn.functional.one_hot(torch.tensor(predicted), K).float()
        objective.observe("val", ObjectiveOutput(logits, torch.zeros(())), batch_of(true))
    metrics = objective.stage_metrics("val")
    expected = count([p for p, _ in pairs], [t for _, t in pairs])
    for name, value in objective.summarize(metrics).items():
        assert value == pytest.approx(expected[name], nan_ok=True), name
    details = objective.details(metrics)
    assert details["confusion"] == expected["confusion"] and details["classes"] == ["a", "b", "c", "d"]
    for k, name in enumerate(details["classes"]):
        row = details["per_class"][name]
        assert row["n"] == sum(expected["confusion"][k])
        for key in ("recall", "precision", "f1"):
            assert row[key] == pytest.approx(expected[key][k])


def test_stages_keep_metrics_of_their_own() -> None:
    objective = made()
    output = ObjectiveOutput(torch.eye(K)[:2], torch.zeros(()))
    objective.observe("val", output, batch_of([0, 0]))
    objective.observe("test", output, batch_of([0, 1]))
    assert objective.summarize(objective.stage_metrics("val"))["accuracy"] == 0.5
    assert objective.summarize(objective.stage_metrics("test"))["accuracy"] == 1.0


def test_table() -> None:
    objective = made()
    objective.classes = ["a", "b", "c", "d"]
    logits = torch.tensor([[0.0, math.log(3.0), 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    table = objective.table(ObjectiveOutput(logits, torch.zeros(())), batch_of([2, -1]))
    assert table["true"] == ["c", None] and table["predicted"] == ["b", "a"]
    assert table["p[b]"][0] == pytest.approx(0.5)
    assert sum(table[f"p[{c}]"][1] for c in "abcd") == pytest.approx(1.0)


# Before training, and afterwards --------------------------------------------------------------------------------------


def data_of(codes: list[int], train: list[int], classes: tuple[str, ...] = ("a", "b", "c", "d")) -> Any:
    store = SimpleNamespace(codes=lambda label: torch.tensor(codes), labels={"action": list(classes)}, path="stores/x")
    return SimpleNamespace(store=store, rows=SimpleNamespace(train=np.array(train)))


def test_balanced_weights_come_from_the_training_side() -> None:
    objective = made(class_weights="balanced")
    objective.prepare(data_of([0, 0, 0, 0, 1, 2, 2, -1, 3, 3], train=[0, 1, 2, 3, 4, 5, 6, 7]))
    inverse = torch.tensor([1 / 4, 1, 1 / 2, 0])  # class d occurs on the other side alone
    torch.testing.assert_close(objective.class_weight, inverse / inverse[:3].mean())
    assert objective.classes == ["a", "b", "c", "d"]


def test_prepare_checks_the_data() -> None:
    with pytest.raises(ValueError, match=r"num_classes is 4, but 'action' has 2 classes in stores/x: a, b"):
        made().prepare(data_of([0, 1], [0, 1], ("a", "b")))
    with pytest.raises(ValueError, match="no training recording has the label 'action'"):
        made().prepare(data_of([-1, 0], [0]))


def test_state_travels_in_a_checkpoint() -> None:
    objective = made(class_weights="balanced", label_smoothing=0.1, dropout=0.3)
    objective.prepare(data_of([0, 0, 1, 2, 3], [0, 1, 2, 3, 4]))
    file = io.BytesIO()
    torch.save({"spec": to_spec(objective), "state": objective.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    rebuilt = from_spec(saved["spec"])
    rebuilt.build(encoder_of(D))
    rebuilt.load_state_dict(saved["state"])
    assert rebuilt.classes == ["a", "b", "c", "d"] and torch.equal(rebuilt.class_weight, objective.class_weight)
    features, batch = features_of(3), batch_of([0, 1, -1])
    expected = objective.eval()(features, batch, {})
    assert torch.equal(rebuilt.eval()(features, batch, {}).loss, expected.loss)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_classes": 1}, "num_classes is 1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"label_smoothing": math.nan}, "label_smoothing is nan"),
        ({"class_weights": "balance"}, "class_weights is 'balance'"),
        ({"class_weights": [1.0, 2.0]}, "expected 4 numbers"),
        ({"class_weights": [1.0, -2.0, 1.0, 1.0]}, "-2.0"),
        ({"class_weights": [1.0, math.nan, 1.0, 1.0]}, "nan"),
        ({"class_weights": [1.0, math.inf, 1.0, 1.0]}, "inf"),
        ({"class_weights": [0, 0, 0, 0]}, "not all 0"),
    ],
)
def test_numbers_out_of_range_are_named(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Classification(**{"label": "action", "num_classes": K, **arguments})


def test_a_tuple_of_weights_counts_as_a_list() -> None:
    weights: Any = (1.0, 2.0, 3.0, 4.0)
    assert made(class_weights=weights).class_weight.tolist() == list(weights)
