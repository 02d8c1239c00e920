"""Sensors: rotations against scipy's, the axis graph against indexing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.transforms import AxisGraph, Normalize, RandomBias, RandomGain, RandomMounting

CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
SENSORS = Skeleton.load("tan_imu8")


def worn(n: int = 4, frames: int = 5) -> MotionBatch:
    torch.manual_seed(0)
    imu = {"x": torch.randn(n, frames, 8, 6), "skeleton": SENSORS, "channels": CHANNELS, "fps": 100.0}
    return MotionBatch.from_arrays({"imu": imu})


def axes(n: int = 4) -> MotionBatch:
    x = torch.randn(n, 5, 6, 1)
    return MotionBatch.from_arrays(
        {"imu": {"x": x, "skeleton": Skeleton.load("imu_axes6"), "channels": ("value",), "fps": 50.0}}
    )


@pytest.mark.parametrize("make", [worn, axes])
def test_mounting_turns_both_vectors_alike_and_keeps_their_lengths(make) -> None:  # type: ignore[no-untyped-def]
    batch = make()
    x, y = batch["imu"].x, RandomMounting(180).train()(batch)["imu"].x
    if x.shape[-1] == 1:
        x, y = x.transpose(2, 3), y.transpose(2, 3)
    assert not torch.allclose(x, y, atol=1e-2)
    for n in range(x.shape[0]):
        for s in range(x.shape[2]):
            # The rotation that fits all frames of both kinds: one for the sensor, proper and exact.
            a = torch.cat([x[n, :, s, :3], x[n, :, s, 3:]]).double().numpy()
            b = torch.cat([y[n, :, s, :3], y[n, :, s, 3:]]).double().numpy()
            u, _, vt = np.linalg.svd(a.T @ b)
            turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
            assert np.allclose(a @ turn, b, atol=1e-5)


def test_angles_stay_below_their_limit() -> None:
    transform = RandomMounting(30)
    turn = transform._turns(torch.zeros(1, dtype=torch.float64), 2000, 1)[:, 0]
    angle = torch.rad2deg(((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos())
    assert angle.max() <= 30 + 1e-6 and 14 < angle.mean() < 16
    eye = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(turn @ turn.transpose(1, 2), eye.expand_as(turn), atol=1e-12)
    assert torch.allclose(torch.linalg.det(turn), torch.ones(2000, dtype=torch.float64))


def test_bias_is_one_offset_and_gain_one_factor_for_a_clip() -> None:
    batch = worn(50)
    x = batch["imu"].x
    offset = RandomBias(0.5).train()(batch)["imu"].x - x
    assert torch.allclose(offset, offset[:, :1].expand_as(offset), atol=1e-5)
    assert 0.45 < offset[:, 0].std() < 0.55 and offset[:, 0].flatten().unique().numel() > 2000
    gain = RandomGain(0.2).train()(batch)["imu"].x / x
    assert torch.allclose(gain, gain[:, :1].expand_as(gain), atol=1e-3)
    assert 0.8 <= gain[:, 0].min() < 0.82 and 1.18 < gain[:, 0].max() <= 1.2001
    with pytest.raises(ValueError, match="std"):
        RandomBias(-1)
    with pytest.raises(ValueError, match="factor"):
        RandomGain(1.0)


def test_evaluation_leaves_the_mounting() -> None:
    batch = worn()
    assert RandomMounting(90).eval()(batch)["imu"].x is batch["imu"].x


def test_axis_graph_shows_one_sensor() -> None:
    batch = worn(200)
    x, mask = batch["imu"].x, batch["imu"].mask
    first, second = SENSORS.joints[2], SENSORS.joints[5]
    mask[0, :, 2] = False
    graph = AxisGraph([first, second])
    shown = graph.eval()(batch)
    assert shown["imu"].skeleton.name == "imu_axes6" and shown["imu"].channels == ("value",)
    assert shown["imu", "bone", "imu"].edge_index.max() == 5 and shown["imu"].num_nodes == 6
    assert torch.equal(shown["imu"].x[1:, ..., 0], x[1:, :, 2]), "the first one"
    assert torch.equal(shown["imu"].x[0, ..., 0], x[0, :, 5]), "the first one that was observed"
    assert bool(shown["imu"].mask.all())
    drawn = graph.train()(batch)["imu"].x[..., 0]
    took = [(torch.equal(drawn[n], x[n, :, 2]), torch.equal(drawn[n], x[n, :, 5])) for n in range(200)]
    assert all(a != b for a, b in took) and not took[0][0]
    assert 60 < sum(a for a, _ in took) < 140
    assert batch["imu"].skeleton is SENSORS, "the batch that came in stays as it was"


def test_what_is_no_sensor_is_refused() -> None:
    with pytest.raises(ValueError, match="give different names"):
        AxisGraph([])
    with pytest.raises(ValueError, match="no sensor elbow in 'imu'; there are"):
        AxisGraph(["elbow"])(worn())
    batch = worn()
    batch["imu"].channels = tuple("abcdef")
    with pytest.raises(ValueError, match="hold no acc_x"):
        RandomMounting().train()(batch)
    with pytest.raises(ValueError, match="degrees"):
        RandomMounting(181)


@pytest.mark.parametrize("make", [worn, axes])
def test_vectors_are_normalised_alike_however_they_are_mounted(make) -> None:  # type: ignore[no-untyped-def]
    batch = make(50)
    plain, turned = Normalize("vector", "imu"), Normalize("vector", "imu")
    plain.fit([batch])
    turned.fit([RandomMounting(180).train()(batch)])
    assert (plain.mean == 0).all() and torch.allclose(plain.std, turned.std, rtol=1e-5)
    x = batch["imu"].x if batch["imu"].x.shape[-1] == 6 else batch["imu"].x.transpose(2, 3)
    size = x[..., 3:].square().mean((0, 1, 3)).sqrt()
    std = plain.std if plain.std.shape[-1] == 6 else plain.std.T
    assert torch.allclose(std[:, 3:], size[:, None].expand(-1, 3), rtol=1e-5)


def test_an_axis_that_is_missing_leaves_none_of_the_three() -> None:
    x = torch.randn(2, 5, 6, 1)
    mask = torch.ones(2, 5, 6, dtype=torch.bool)
    mask[0, 2, 0] = False  # acc_x
    x[0, 2, 0] = torch.nan
    imu = {"x": x, "mask": mask, "fps": 50.0, "skeleton": Skeleton.load("imu_axes6"), "channels": ("value",)}
    turned = RandomMounting(90).train()(MotionBatch.from_arrays({"imu": imu}))["imu"]
    assert turned.mask[0, 2].tolist() == [False] * 3 + [True] * 3
    assert bool(turned.x[turned.mask].isfinite().all()) and int(turned.mask.sum()) == 57


def test_each_device_of_a_graph_of_axes_turns_by_itself() -> None:
    bones = Skeleton.load("mmact_axes9")
    x = torch.randn(1, 7, 9, 1, dtype=torch.float64)
    mask = torch.ones(1, 7, 9, dtype=torch.bool)
    imu = {"x": x, "mask": mask, "fps": 50.0, "skeleton": bones, "channels": ("value",)}
    torch.manual_seed(0)
    turned = RandomMounting(180).train()(MotionBatch.from_arrays({"imu": imu}))["imu"].x[0, :, :, 0]
    turns = [torch.linalg.lstsq(x[0, :, k : k + 3, 0], turned[:, k : k + 3]).solution for k in (0, 3, 6)]
    eye = torch.eye(3, dtype=torch.float64)
    for turn in turns:
        torch.testing.assert_close(turn @ turn.T, eye, atol=1e-5, rtol=0)
    torch.testing.assert_close(turns[1], turns[2], atol=1e-5, rtol=0)  # the phone's two
    assert float((turns[0] - turns[1]).abs().max()) > 0.1
