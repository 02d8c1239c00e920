"""Distances and angles: against triple loops in float64, and what they don't depend on."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphnets.losses import AngleLoss, DistanceLoss, relational


def points(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def huber(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 1, 0.5 * x * x, x.abs() - 0.5)


def angles(f: Tensor) -> Tensor:
    """By three loops."""
    n = len(f)
    rows = []
    for i in range(n):
        for j in range(n):
            for k in range(n):
                a, b = f[i] - f[j], f[k] - f[j]
                same = i == j or k == j
                rows.append(a.new_zeros(()) if same else (a / a.norm()) @ (b / b.norm()))
    return torch.stack(rows)


def distances(f: Tensor) -> Tensor:
    n = len(f)
    rows = [(f[i] - f[j]).norm() for i in range(n) for j in range(n) if i != j]
    mean = torch.stack(rows).mean()
    flat = iter(rows)
    return torch.stack([f.new_zeros(()) if i == j else next(flat) / mean for i in range(n) for j in range(n)])


@pytest.mark.parametrize(("loss", "reference"), [(AngleLoss(), angles), (DistanceLoss(), distances)])
@pytest.mark.parametrize("n", [2, 5, 7])
def test_value_and_gradient_equal_the_loops(loss, reference, n) -> None:  # type: ignore[no-untyped-def]
    student, teacher = points(n, 3, n).requires_grad_(), points(n, 6, 100 + n)
    twin = student.detach().clone().requires_grad_()
    expected = huber(reference(twin) - reference(teacher)).mean()
    expected.backward()
    found = loss(student, teacher)
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-15)
    assert torch.allclose(student.grad, twin.grad, rtol=1e-7, atol=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = points(11, 3, 0).requires_grad_(), points(11, 4, 1)
    grads = []
    for entries in (1, 400, 1 << 18):
        monkeypatch.setattr(relational, "ENTRIES", entries)
        student.grad = None
        AngleLoss()(student, teacher).backward()
        grads.append(student.grad.clone())
    assert torch.allclose(grads[0], grads[2], atol=1e-14) and torch.allclose(grads[1], grads[2], atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100.0), shift=st.floats(-5.0, 5.0))
def test_turned_moved_and_scaled_embeddings_are_the_same(seed: int, scale: float, shift: float) -> None:
    teacher = points(6, 4, seed)
    turn = torch.linalg.qr(points(4, 4, seed + 1)).Q
    student = scale * teacher @ turn + shift
    for loss in (AngleLoss(), DistanceLoss()):
        assert loss(student, teacher).item() == pytest.approx(0, abs=1e-16)
        other = points(6, 5, seed + 2)
        assert loss(student, other).item() == pytest.approx(loss(teacher, other).item(), rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [AngleLoss(), DistanceLoss()])
def test_equal_points_have_finite_gradients(loss: torch.nn.Module, dtype: torch.dtype) -> None:
    student = points(4, 3, 0, dtype)
    student[1] = student[0]
    student = (student + 1000.0).requires_grad_()
    value = loss(student, points(4, 3, 1, dtype))
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()
    lone = loss(points(1, 3, 0, dtype), points(1, 3, 1, dtype))
    assert lone == 0


def test_single_precision_is_near_double() -> None:
    student, teacher = points(32, 16, 0) + 3, points(32, 8, 1) - 2
    for loss in (AngleLoss(), DistanceLoss()):
        assert loss(student.float(), teacher.float()).item() == pytest.approx(loss(student, teacher).item(), rel=1e-4)


def test_autocast_keeps_the_precision() -> None:
    student, teacher = points(16, 8, 0, torch.float32), points(16, 8, 1, torch.float32)
    for loss in (AngleLoss(), DistanceLoss()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = loss(student, teacher)
        assert found.item() == pytest.approx(loss(student, teacher).item(), rel=1e-5)
        assert math.isfinite(loss(student.bfloat16(), teacher).item())
