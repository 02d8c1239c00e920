"""Soft-DTW against a plain loop in float64, DTW by brute force, and finite differences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphnets.nn.soft_dtw import soft_dtw, soft_dtw_divergence, squared_distances


def loop(cost: np.ndarray, gamma: float) -> float:
    """The recursion, cell by cell."""
    table = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    table[0, 0] = 0
    for i, j in itertools.product(range(1, table.shape[0]), range(1, table.shape[1])):
        before = np.array([table[i - 1, j], table[i, j - 1], table[i - 1, j - 1]])
        least = before.min()
        table[i, j] = cost[i - 1, j - 1] + least - gamma * np.log(np.exp(-(before - least) / gamma).sum())
    return float(table[-1, -1])


def paths(rows: int, columns: int, i: int = 0, j: int = 0) -> Iterator[list[tuple[int, int]]]:
    """Every alignment of two sequences."""
    if (i, j) == (rows - 1, columns - 1):
        yield [(i, j)]
        return
    for di, dj in ((1, 0), (0, 1), (1, 1)):
        if i + di < rows and j + dj < columns:
            for rest in paths(rows, columns, i + di, j + dj):
                yield [(i, j), *rest]


def sequences(seed: int, n: int, t: int, u: int, d: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, frames, d, dtype=torch.float64, generator=generator) for frames in (t, u))
    return x, y


@given(seed=st.integers(0, 99), t=st.integers(1, 9), u=st.integers(1, 9), gamma=st.sampled_from([0.01, 0.3, 1.0, 20.0]))
@settings(max_examples=40, deadline=None)
def test_equals_the_loop(seed: int, t: int, u: int, gamma: float) -> None:
    cost = squared_distances(*sequences(seed, 3, t, u))
    expected = [loop(c.numpy(), gamma) for c in cost]
    torch.testing.assert_close(soft_dtw(cost, gamma), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 99), n=st.integers(1, 6), m=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_what_lies_beyond_the_end_plays_no_part(seed: int, n: int, m: int) -> None:
    x, y = sequences(seed, 1, 6, 4)
    cost = squared_distances(x, y)
    short = cost[:, :n, :m].clone().requires_grad_()
    cost[:, n:], cost[:, :, m:] = torch.nan, -1e6
    cost.requires_grad_()
    whole = soft_dtw(cost, 0.5, torch.tensor([n]), torch.tensor([m]))
    part = soft_dtw(short, 0.5)
    torch.testing.assert_close(whole, part)
    whole.sum().backward()
    part.sum().backward()
    assert cost.grad is not None and short.grad is not None
    torch.testing.assert_close(cost.grad[:, :n, :m], short.grad)
    assert not cost.grad[:, n:].any() and not cost.grad[:, :, m:].any()


def test_is_the_soft_minimum_over_all_alignments() -> None:
    cost = squared_distances(*sequences(0, 1, 4, 5))[0]
    sums = torch.stack([sum((cost[i, j] for i, j in path), cost.new_zeros(())) for path in paths(4, 5)])
    torch.testing.assert_close(soft_dtw(cost[None], 0.7)[0], -0.7 * (-sums / 0.7).logsumexp(0))
    torch.testing.assert_close(soft_dtw(cost[None], 1e-4)[0], sums.min(), atol=1e-3, rtol=0)


def test_gradient_is_where_the_alignment_passes() -> None:
    cost = squared_distances(*sequences(1, 1, 3, 4))[0].requires_grad_()
    (gradient,) = torch.autograd.grad(soft_dtw(cost[None], 0.7).sum(), cost)
    every = list(paths(3, 4))
    sums = torch.stack([sum((cost[i, j] for i, j in path), cost.new_zeros(())) for path in every])
    share = (-sums / 0.7).softmax(0).detach()
    expected = torch.zeros_like(cost)
    for weight, path in zip(share, every, strict=True):
        for i, j in path:
            expected[i, j] += weight
    torch.testing.assert_close(gradient, expected)


def test_gradients_against_finite_differences() -> None:
    x, y = sequences(2, 3, 5, 4)
    n, m = torch.tensor([5, 3, 1]), torch.tensor([4, 4, 2])
    x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: soft_dtw_divergence(a, b, 0.5, n, m), (x, y))


@given(seed=st.integers(0, 99), t=st.integers(1, 7), u=st.integers(1, 7), gamma=st.sampled_from([0.05, 1.0, 5.0]))
@settings(max_examples=40, deadline=None)
def test_divergence_is_positive_and_symmetric_and_zero_at_equality(seed: int, t: int, u: int, gamma: float) -> None:
    x, y = sequences(seed, 2, t, u)
    there, back = soft_dtw_divergence(x, y, gamma), soft_dtw_divergence(y, x, gamma)
    assert bool((there > 0).all())
    torch.testing.assert_close(there, back)
    torch.testing.assert_close(soft_dtw_divergence(x, x, gamma), torch.zeros(2, dtype=torch.float64), atol=1e-8, rtol=0)


def test_divergence_pads_the_shorter_one() -> None:
    x, y = sequences(3, 2, 6, 4)
    lengths = torch.tensor([6, 2])
    both = soft_dtw_divergence(x, y, 0.5, lengths)
    alone = [soft_dtw_divergence(x[i : i + 1, :n], y[i : i + 1], 0.5)[0] for i, n in enumerate((6, 2))]
    torch.testing.assert_close(both, torch.stack(alone))


def test_single_precision_far_from_the_origin() -> None:
    x, y = sequences(4, 2, 40, 50)
    exact = soft_dtw_divergence(x * 0.1, y * 0.1, 0.01)
    near = soft_dtw_divergence((x * 0.1 + 30).float(), (y * 0.1 + 30).float(), 0.01)
    torch.testing.assert_close(near.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3, 3), 0.0), "gamma is 0"),
        ((torch.zeros(2, 3), 1.0), r"\[N, T, U\]"),
        ((torch.zeros(2, 0, 3), 1.0), "at least one frame"),
        (
            (torch.zeros(2, 3, 3), 1.0, torch.tensor([3, 4])),
            r"lengths must be whole numbers \[2\] in 1 to 3, not \[3, 4\]",
        ),
        ((torch.zeros(2, 3, 3), 1.0, None, torch.tensor([0, 1])), "other_lengths"),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        soft_dtw(*arguments)


def test_sequences_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[N, T, D\] and \[N, U, D\]"):
        soft_dtw_divergence(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5))
