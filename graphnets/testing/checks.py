"""Comparisons whose failure explains itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from graphnets.encoders import Encoder

BLANK = "blank masked entries with graphnets.nn.blank or torch.where: a product with the mask keeps NaN"


def padded(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Twice the frames; large numbers in the second half, which is masked."""
    mask = torch.ones(x.shape[:3], dtype=torch.bool) if mask is None else mask
    return torch.cat([x, 1e3 * x.flip(1) + 1e3], dim=1), torch.cat([mask, torch.zeros_like(mask)], dim=1)


def filled(x: Tensor, mask: Tensor, value: float) -> Tensor:
    """``x`` with ``value`` in its masked entries."""
    return x.masked_fill(~mask[..., None], value)


def valid_features(encoder: Encoder, features: Tensor, mask: Tensor | None) -> Tensor:
    """Which features count, ``[N, T', V']``."""
    kept = encoder.feature_mask(mask)
    return torch.ones(features.shape[:3], dtype=torch.bool) if kept is None else kept


def probe(features: Tensor, valid: Tensor) -> Tensor:
    """A sum with random weights: a plain one has no gradient behind a norm or a softmax."""
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).to(features.dtype)
    return (features * weights)[valid].sum()


def check(condition: bool | Tensor, message: str) -> None:
    """Assert, even where Python runs without assertions."""
    if not condition:
        raise AssertionError(message)


def finite(values: Tensor, message: str) -> None:
    """Neither NaN nor infinite."""
    check(values.isfinite().all(), message)


def same(actual: Tensor, expected: Tensor, tolerance: float, message: str) -> None:
    """Equal up to ``tolerance``, which is relative to the largest value where that exceeds 1."""
    shapes = f"{list(actual.shape)} and {list(expected.shape)}"
    check(actual.shape == expected.shape, f"{message}: the shapes are {shapes}")
    if not expected.numel():
        return
    allowed = tolerance * max(1.0, float(expected.detach().abs().max()))
    difference = float((actual.detach() - expected.detach()).abs().max())
    check(difference <= allowed, f"{message}: they differ by {difference:.3g}, allowed is {allowed:.3g}")


@contextmanager
def explained(message: str) -> Iterator[None]:
    """Say what it means when the block fails."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{message}: {type(error).__name__}: {error}") from error
