from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from graphnets.data import MotionBatch
from graphnets.transforms import CenterOfGravity

NOSE, NECK, RHIP, RKNEE, RANKLE, LHIP, LKNEE, LANKLE = 0, 1, 8, 9, 10, 11, 12, 13
FACE = (14, 15, 16, 17)


def textbook(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The normalisation of 18 points; a point at x = 0 is missing."""

    def d(i: int, j: int) -> float:
        if points[i][0] == 0 or points[j][0] == 0:
            return 0.0
        return math.dist(points[i], points[j])

    head = max(d(i, j) for i in (NOSE, NECK) for j in FACE)
    torso = max(d(NECK, LHIP), d(NECK, RHIP))
    leg = max(d(RHIP, RKNEE) + d(RKNEE, RANKLE), d(LHIP, LKNEE) + d(LKNEE, LANKLE))
    length = head + torso + leg
    count = sum(x > 0 for x, _ in points)
    if length == 0:
        return [(0.0, 0.0)] * 18
    cx, cy = (sum(p[k] for p in points) / count for k in range(2))
    return [((x - cx) / length, (y - cy) / length) if x > 0 else (0.0, 0.0) for x, y in points]


def pixels(make_batch, missing: float = 0.2, seed: int = 0) -> MotionBatch:
    batch = make_batch(seed, skeleton="openpose18", channels=("x", "y"), missing=missing, dtype=torch.float64)
    batch = copy.copy(batch)
    mask = batch["pose"].mask.clone()
    mask[0, 1, 1:] = False  # a single point has no length
    mask[1, 0] = False
    batch["pose"].mask = mask
    x = torch.rand(batch["pose"].x.shape, generator=torch.Generator().manual_seed(seed)).double() * 600 + 20
    batch["pose"].x = x.masked_fill(~mask[..., None], torch.nan)
    return batch


@pytest.mark.parametrize("seed", [0, 1])
def test_as_published(make_batch, seed: int) -> None:
    batch = pixels(make_batch, seed=seed)
    result = CenterOfGravity()(batch)["pose"]
    x = batch["pose"].x.nan_to_num(0)
    assert torch.equal(result.mask, batch["pose"].mask)
    for n, t in np.ndindex(*x.shape[:2]):
        expected = textbook([tuple(p) for p in x[n, t].tolist()])
        np.testing.assert_allclose(result.x[n, t], expected, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_as_released(make_batch, seed: int) -> None:
    """One axis after the other, then read as pairs."""
    batch = pixels(make_batch, seed=seed)
    result = CenterOfGravity(legacy_planar=True)(batch)["pose"]
    x = batch["pose"].x.nan_to_num(0)
    for n, t in np.ndindex(*x.shape[:2]):
        planar = [*x[n, t, :, 0].tolist(), *x[n, t, :, 1].tolist()]
        pairs = list(zip(planar[::2], planar[1::2], strict=True))
        scrambled = [value for pair in textbook(pairs) for value in pair]
        np.testing.assert_allclose(result.x[n, t].T.flatten(), scrambled, atol=1e-12)
        assert bool(result.mask[n, t].all()) == bool(batch["pose"].mask[n, t].any())


def test_place_and_size_do_not_matter(make_batch) -> None:
    batch = pixels(make_batch)
    moved = copy.copy(batch)
    moved["pose"].x = 2.5 * batch["pose"].x + torch.tensor([300.0, 40.0])
    a, b = CenterOfGravity()(batch)["pose"].x, CenterOfGravity()(moved)["pose"].x
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    a, b = (CenterOfGravity(legacy_planar=True)(each)["pose"].x for each in (batch, moved))
    assert not torch.allclose(a, b), "scrambled, they do"


def test_a_confidence_and_space(make_batch) -> None:
    flat = make_batch(1, skeleton="openpose18", channels=("x", "y", "confidence"), missing=0.0)
    result = CenterOfGravity()(flat)["pose"]
    assert torch.equal(result.x[..., 2][result.mask], flat["pose"].x[..., 2][result.mask])
    solid = CenterOfGravity()(make_batch(1, skeleton="openpose18", missing=0.0))["pose"]
    assert solid.x.shape[-1] == 3 and float(solid.x[solid.mask].abs().max()) < 3


def test_skeletons_that_will_not_do(make_batch) -> None:
    with pytest.raises(ValueError, match=r"skeleton 'kinect20' has no left_ear, .*see Remap"):
        CenterOfGravity()(make_batch())
    with pytest.raises(ValueError, match=r"legacy_planar is for openpose18 in two dimensions, not 'openpose18' in 3"):
        CenterOfGravity(legacy_planar=True)(make_batch(skeleton="openpose18"))
    with pytest.raises(ValueError, match=r"legacy_planar is for openpose18 in two dimensions, not 'body25'"):
        CenterOfGravity(legacy_planar=True)(make_batch(skeleton="body25", channels=("x", "y")))


@pytest.mark.parametrize("legacy", [False, True])
def test_masks_are_kept_apart(make_batch, legacy: bool) -> None:
    """Poison, padding and the batch that came in: what the contract of transforms asks, on the skeleton it needs."""
    batch = pixels(make_batch)
    x, mask = batch["pose"].x, batch["pose"].mask
    transform = CenterOfGravity(legacy)
    result = transform(batch)["pose"]
    for poison in (float("inf"), -1e30, 0.0):
        other = copy.copy(batch)
        other["pose"].x = x.masked_fill(~mask[..., None], poison)
        again = transform(other)["pose"]
        assert torch.equal(again.x[again.mask], result.x[result.mask]) and torch.equal(again.mask, result.mask)
    padded = copy.copy(batch)
    padded["pose"].x = torch.cat([x, torch.full_like(x, float("nan"))], 1)
    padded["pose"].mask = torch.cat([mask, torch.zeros_like(mask)], 1)
    again = transform(padded)["pose"]
    frames = x.shape[1]
    assert torch.equal(again.x[:, :frames][result.mask], result.x[result.mask]) and not again.mask[:, frames:].any()
    assert batch["pose"].x is x and result.x.isfinite().all()
