"""Warm-up and cosine at the steps where their values are known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from graphnets.tasks import WarmupCosine


def made(total: int, **settings: float) -> tuple[torch.optim.SGD, WarmupCosine]:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 0.2}])
    return optimizer, WarmupCosine(optimizer, total, **settings)


def rates(total: int, steps: int, **settings: float) -> list[float]:
    """Learning rate of the first group before each step and after the last; the second stays a fifth of it."""
    optimizer, schedule = made(total, **settings)
    seen = []
    for _ in range(steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[1]["lr"] == pytest.approx(0.2 * seen[-1])
        optimizer.step()
        schedule.step()
    return seen


def test_known_values() -> None:
    seen = rates(100, 120, warmup=0.2, start=0.1, final=0.01)
    assert seen[0] == pytest.approx(0.1)
    assert seen[10] == pytest.approx(0.55), "half of the warm-up"
    assert seen[20] == pytest.approx(1.0), "its end"
    assert seen[40] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi / 4))), "a quarter of the cosine"
    assert seen[60] == pytest.approx(0.505), "half of it"
    assert seen[100] == pytest.approx(0.01)
    assert seen[101:] == pytest.approx([0.01] * 20), "and there it stays"
    assert all(a < b for a, b in pairwise(seen[:21])) and all(a > b for a, b in pairwise(seen[20:101]))


def test_without_warmup_it_is_torch_cosine() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.25)
    expected = []
    for _ in range(31):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates(30, 30, warmup=0, final=0.25) == pytest.approx(expected)


@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (1, 0.9), (2, 0.9), (10, 0.95), (7, 0.5)])
def test_short_trainings_end_where_they_should(total: int, warmup: float) -> None:
    seen = rates(total, total, warmup=warmup, final=0.05)
    assert seen[-1] == pytest.approx(0.05)
    assert all(0.05 - 1e-9 <= rate <= 1 for rate in seen)


def test_a_resumed_schedule_goes_on() -> None:
    whole = rates(20, 20, warmup=0.3)
    optimizer, schedule = made(20, warmup=0.3)
    for _ in range(8):
        optimizer.step()
        schedule.step()
    state, optimizer_state = schedule.state_dict(), optimizer.state_dict()
    optimizer, schedule = made(20, warmup=0.3)
    optimizer.load_state_dict(optimizer_state)
    schedule.load_state_dict(state)
    seen = []
    for _ in range(8, 21):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx(whole[8:])


@pytest.mark.parametrize(("total", "warmup"), [(0, 0.1), (10, 1.0), (10, -0.1), (10, math.nan)])
def test_numbers_out_of_range_are_named(total: int, warmup: float) -> None:
    with pytest.raises(ValueError, match=rf"warmup is {warmup} .*total_steps is {total}"):
        made(total, warmup=warmup)
