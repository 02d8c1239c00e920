"""Losses on predictions and features against their formulas in loops, float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.losses import (
    DASK,
    AngleLoss,
    AttentionTransfer,
    DecoupledKD,
    DistanceLoss,
    FrameHint,
    GatedDistillation,
    Hint,
    KnowledgeDistillation,
    SemCKD,
    SeriesMatching,
    SimilarityPreserving,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def soft(z: Tensor, t: float = 1.0) -> list[float]:
    top = [math.exp(v / t) for v in z.tolist()]
    return [v / sum(top) for v in top]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_kd() -> None:
    student, teacher = draw(5, 4), draw(5, 4, seed=1)
    expected = sum(9 * kl(soft(t, 3), soft(s, 3)) for s, t in zip(student, teacher, strict=True)) / 5
    assert KnowledgeDistillation(3)(student, teacher).item() == pytest.approx(expected, rel=1e-12)
    assert KnowledgeDistillation()(teacher, teacher).item() == pytest.approx(0, abs=1e-15)
    with pytest.raises(ValueError, match="temperature is 0"):
        KnowledgeDistillation(0)


def test_decoupled() -> None:
    student, teacher, label = draw(5, 4), draw(5, 4, seed=1), torch.tensor([0, 3, -1, 2, 2])
    total = 0.0
    for s, t, y in zip(student, teacher, label.tolist(), strict=True):
        if y < 0:
            continue
        p, q = soft(t, 3), soft(s, 3)
        rest = [k for k in range(4) if k != y]
        others = [[v[k] / (1 - v[y]) for k in rest] for v in (p, q)]
        total += 9 * (1.5 * kl([p[y], 1 - p[y]], [q[y], 1 - q[y]]) + 6 * kl(*others))
    found = DecoupledKD(1.5, 6, 3)(student, teacher, label)
    assert found.item() == pytest.approx(total / 4, rel=1e-10)
    # With beta = 1 - p_y it is plain distillation.
    one, y = slice(0, 1), 1
    beta = 1 - soft(teacher[0], 3)[y]
    plain = DecoupledKD(1.0, beta, 3)(student[one], teacher[one], torch.tensor([y]))
    assert plain.item() == pytest.approx(KnowledgeDistillation(3)(student[one], teacher[one]).item(), rel=1e-10)
    assert DecoupledKD()(student, teacher, torch.full((5,), -1)) == 0


def test_decoupled_gradient_is_finite_where_the_student_is_certain() -> None:
    student = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    DecoupledKD()(student, torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([0])).backward()
    assert student.grad is not None and student.grad.isfinite().all()


def test_gate() -> None:
    student, teacher, label = draw(8, 4), draw(8, 4, seed=1), torch.tensor([0, 3, -1, 2, 2, 1, -1, 0])
    total, open_gates = 0.0, 0
    for s, t, y in zip(student, teacher, label.tolist(), strict=True):
        p, q = soft(t), soft(s)
        knows = p[y] > q[y] if y >= 0 else max(p) > max(q)
        open_gates += knows
        total += 16 * kl(soft(t, 4), soft(s, 4)) * knows
    assert 0 < open_gates < 8
    assert GatedDistillation()(student, teacher, label).item() == pytest.approx(total / 8, rel=1e-10)


def test_series_and_frames_as_written() -> None:
    student, teacher = draw(3, 6, 4), draw(3, 6, 4, seed=1)
    total = 0.0
    for k in range(4):
        s, t = student[..., k].flatten().tolist(), teacher[..., k].flatten().tolist()
        mean = sum(t) / len(t)
        spread = sum((v - mean) ** 2 for v in t) / len(t)
        total += sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / len(t) / (spread + 1e-6)
    assert SeriesMatching()(student, teacher).item() == pytest.approx(total / 4, rel=1e-10)
    assert SeriesMatching()(teacher, teacher).item() == 0
    scale = torch.tensor([1.0, 10.0, 0.1, 3.0])  # each target counts alike, whatever its unit
    assert SeriesMatching(0)(student * scale, teacher * scale).item() == pytest.approx(total / 4, rel=1e-5)
    with pytest.raises(ValueError, match=r"not \[3, 6, 4\] and \[3, 6, 3\]"):
        SeriesMatching()(student, teacher[..., :3])

    hint, seen = FrameHint(4, 5).double(), torch.ones(3, 6, dtype=torch.bool)
    teacher, other = draw(3, 6, 5, seed=1), seen.clone()
    seen[0, 4:], other[1, :2] = False, False
    total, count = 0.0, 0
    for n in range(3):
        for t in range(6):
            if bool(seen[n, t]) and bool(other[n, t]):
                wrong = student[n, t] @ hint.project.weight.T + hint.project.bias - teacher[n, t]
                total, count = total + float(wrong @ wrong), count + 5
    assert hint(student, teacher, seen, other).item() == pytest.approx(total / count, rel=1e-10)
    assert hint(student, teacher, ~seen & seen, other).item() == 0
    with pytest.raises(ValueError, match="has 6 frames, the teacher 4"):
        hint(student, teacher[:, :4], seen, other[:, :4])


def test_hint_and_attention_and_similarity() -> None:
    student, teacher = draw(3, 6, 4), draw(3, 6, 5, seed=1)
    hint = Hint(4, 5).double()
    expected = ((student @ hint.project.weight.T + hint.project.bias - teacher) ** 2).sum() / teacher.numel()
    assert hint(student, teacher).item() == pytest.approx(expected.item(), rel=1e-12)

    maps = [[[sum(v * v for v in row) / len(row) for row in clip] for clip in f.tolist()] for f in (student, teacher)]
    total = 0.0
    for a, b in zip(*maps, strict=True):
        na, nb = (math.sqrt(sum(v * v for v in m)) for m in (a, b))
        total += sum((x / na - y / nb) ** 2 for x, y in zip(a, b, strict=True))
    assert AttentionTransfer()(student, teacher).item() == pytest.approx(total / 3, rel=1e-10)
    masked = torch.ones(3, 6, dtype=torch.bool)
    masked[:, 4:] = False
    short = AttentionTransfer()(student[:, :4], teacher[:, :4])
    assert AttentionTransfer()(student, teacher, masked).item() == pytest.approx(short.item(), rel=1e-10)
    assert AttentionTransfer()(student, 7 * student.repeat_interleave(2, 2)).item() == pytest.approx(0, abs=1e-15)

    f, g = draw(4, 3), draw(4, 7, seed=3)
    total = 0.0
    for i in range(4):
        rows = [[float(x[i] @ x[j]) for j in range(4)] for x in (f, g)]
        norms = [math.sqrt(sum(v * v for v in row)) for row in rows]
        total += sum((rows[0][j] / norms[0] - rows[1][j] / norms[1]) ** 2 for j in range(4))
    assert SimilarityPreserving()(f, g).item() == pytest.approx(total / 16, rel=1e-10)


def test_frames_of_another_rate_are_compared_at_the_same_time() -> None:
    time = torch.linspace(0, 1, 9, dtype=torch.float64)
    slow, fast = torch.sqrt(1 + time[::2])[None, :, None], torch.sqrt(1 + time)[None, :, None]
    assert AttentionTransfer()(slow, fast).item() == pytest.approx(0, abs=1e-15)


def test_dask_is_the_sum_of_its_terms() -> None:
    torch.manual_seed(0)
    s, t, zs, zt = draw(6, 3), draw(6, 5, seed=1), draw(6, 4, seed=2), draw(6, 4, seed=3)
    dask = DASK(3, 5, 0.5, 2.0, 3.0, 0.25, temperature=2).double()
    expected = (
        0.5 * KnowledgeDistillation(2)(zs, zt)
        + 2 * DistanceLoss()(s, t)
        + 3 * AngleLoss()(s, t)
        + 0.25 * F.mse_loss(dask.semantic.project(s), t)
    )
    assert dask(s, t, zs, zt).item() == pytest.approx(expected.item(), rel=1e-12)
    assert set(DASK(3, 5, angle=0).double().terms(s, t, zs, zt)) == {"prediction", "distance", "semantic"}
    with pytest.raises(ValueError, match="none may be below 0"):
        DASK(3, 5, distance=-1)


def test_semckd() -> None:
    torch.manual_seed(0)
    loss = SemCKD([3, 4], [5, 6, 2], width=7, batch=8).double()
    student, teacher = [draw(8, c, seed=c) for c in (3, 4)], [draw(8, c, seed=10 + c) for c in (5, 6, 2)]
    share = loss.attention(student, teacher)
    assert share.shape == (8, 2, 3) and torch.allclose(share.sum(2), torch.ones(8, 2, dtype=torch.float64))
    total = 0.0
    for n in range(8):
        for s in range(2):
            for t in range(3):
                wrong = loss.projections[s][t](student[s][n]) - teacher[t][n]  # type: ignore[index]
                total += float(share[n, s, t] * (wrong**2).mean()) / 8
    assert loss(student, teacher).item() == pytest.approx(total, rel=1e-10)
    assert loss([f[:5] for f in student], [f[:5] for f in teacher]).isfinite(), "a smaller last batch"
    with pytest.raises(ValueError, match="needs layers of both"):
        SemCKD([], [3])


@pytest.mark.parametrize("loss", [KnowledgeDistillation(), GatedDistillation(), DecoupledKD()])
def test_the_teacher_gets_no_gradient(loss: torch.nn.Module) -> None:
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 3, seed=1)
    label = () if isinstance(loss, KnowledgeDistillation) else (torch.tensor([0, 1, 2, 0]),)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, *label), (student,))
