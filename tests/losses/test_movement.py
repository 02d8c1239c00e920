"""Losses of corrected movements, against plain loops."""

from __future__ import annotations

import pytest
import torch

from graphnets.losses.movement import bone_error, bone_lengths, comparable, displacement, roughness
from graphnets.skeleton import Skeleton

BODY = Skeleton.load("kinect20")


def clip(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 6, 20, 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 6, 20, generator=generator) > 0.2
    return x, mask


def test_bone_error_as_a_loop() -> None:
    (x, mask), (y, _) = clip(0), clip(1)
    for n in range(2):
        usual, total, count = {}, 0.0, 0
        for a, b in BODY.bones:
            seen = [t for t in range(6) if mask[n, t, a] and mask[n, t, b]]
            usual[a, b] = sum(float((x[n, t, a] - x[n, t, b]).norm()) for t in seen) / max(len(seen), 1)
            for t in seen:
                total += abs(float((y[n, t, a] - y[n, t, b]).norm() - (x[n, t, a] - x[n, t, b]).norm())) / usual[a, b]
                count += 1
        torch.testing.assert_close(bone_error(y, x, mask, BODY)[n], torch.tensor(total / count, dtype=torch.float64))


def test_bone_error_knows_no_place_and_no_turn() -> None:
    x, mask = clip()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    torch.testing.assert_close(bone_error(x @ turn + 5, x, mask, BODY), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(bone_lengths(2 * x, BODY), 2 * bone_lengths(x, BODY))


def test_bone_error_of_a_longer_bone_is_its_share() -> None:
    x, mask = clip()
    mask[:] = True
    longer = 1.1 * x
    still = x[:, :1].expand_as(x)
    torch.testing.assert_close(bone_error(1.1 * still, still, mask, BODY), torch.full((2,), 0.1, dtype=torch.float64))
    assert bool((bone_error(longer, x, mask, BODY) > 0.05).all())


def test_roughness_as_a_loop_and_of_polynomials() -> None:
    x, mask = clip()
    total, count = 0.0, 0
    for t in range(5):
        for v in range(20):
            if mask[0, t, v] and mask[0, t + 1, v]:
                total, count = total + float((x[0, t + 1, v] - x[0, t, v]).square().mean()), count + 1
    torch.testing.assert_close(roughness(x, mask)[0], torch.tensor(total / count, dtype=torch.float64))
    time = torch.arange(6.0, dtype=torch.float64)[None, :, None, None].expand(1, 6, 20, 3)
    whole = torch.ones(1, 6, 20, dtype=torch.bool)
    torch.testing.assert_close(roughness(time**2, whole, 3), torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(roughness(time**3, whole, 3), torch.full((1,), 36.0, dtype=torch.float64))


def test_displacement_and_what_is_masked() -> None:
    x, mask = clip()
    moved = x + torch.tensor([0.0, 3.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(displacement(moved, x, mask), torch.full((2,), 5.0, dtype=torch.float64))
    poisoned = moved.masked_fill(~mask[..., None], torch.nan)
    torch.testing.assert_close(displacement(poisoned, x, mask), displacement(moved, x, mask))
    torch.testing.assert_close(bone_error(poisoned, x, mask, BODY), bone_error(moved, x, mask, BODY))
    torch.testing.assert_close(roughness(poisoned, mask), roughness(moved, mask))


def test_a_joint_that_one_never_saw_is_left_out_of_both() -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(2, 7, 5, 3, generator=generator), torch.randn(2, 9, 5, 3, generator=generator)
    x_mask, y_mask = torch.ones(2, 7, 5, dtype=torch.bool), torch.ones(2, 9, 5, dtype=torch.bool)
    x_mask[0, :, 1], y_mask[0, :, 3] = False, False
    x_mask[1, 2:4, 0] = False  # a gap, to be bridged
    a, b = comparable(x.masked_fill(~x_mask[..., None], torch.nan), x_mask, y, y_mask)
    assert a.shape == (2, 7, 15) and b.shape == (2, 9, 15)
    cost = torch.cdist(a, b).square()
    for i, j in ((0, 0), (3, 5)):
        near = sum(float((x[0, i, v] - y[0, j, v]).square().sum()) for v in (0, 2, 4)) * 5 / 3
        assert float(cost[0, i, j]) == pytest.approx(near, rel=1e-5)
    bridged = x[1].clone()
    bridged[2, 0], bridged[3, 0] = (2 * x[1, 1, 0] + x[1, 4, 0]) / 3, (x[1, 1, 0] + 2 * x[1, 4, 0]) / 3
    torch.testing.assert_close(a[1], bridged.flatten(1), atol=1e-6, rtol=1e-6)
    x_mask[0] = False  # nothing in common: nothing to compare
    a, b = comparable(x, x_mask, y, y_mask)
    assert not a[0].any() and not b[0].any()
