from __future__ import annotations

import pytest
import torch

from graphnets.skeleton import Skeleton
from graphnets.transforms import Center, Jitter, Resample, Transform, coordinate_count, lengths, masked_mean
from graphnets.transforms.base import (
    RandomTransform,
    bones,
    in_range,
    parents,
)
from graphnets.transforms.masking import blank, finite, repeat_channels, take_joints


def test_lengths_are_those_of_the_mask():
    mask = torch.zeros(4, 6, 3, dtype=torch.bool)
    mask[0] = True
    mask[1, 2, 1] = True
    mask[2, 0] = True
    assert lengths(mask).tolist() == [6, 3, 1, 0]


@pytest.mark.parametrize(
    ("channels", "count"),
    [
        (("x", "y", "z"), 3),
        (("x", "y"), 2),
        (("x", "y", "confidence"), 2),
        (("x", "y", "z", "confidence"), 3),
    ],
)
def test_coordinates_lead_the_channels(channels, count):
    assert coordinate_count(channels) == count


@pytest.mark.parametrize("channels", [("value",), ("confidence", "x", "y"), ("joint_x", "joint_y", "joint_z"), ()])
def test_channels_without_coordinates_are_refused(channels):
    with pytest.raises(ValueError, match="don't start with x, y"):
        coordinate_count(channels)


def test_masked_mean_reads_observed_entries_only():
    x = torch.tensor([[1.0, float("nan")], [3.0, 11.0], [float("inf"), float("nan")]])
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    assert masked_mean(x, mask, 0).tolist() == [2.0, 11.0]
    assert masked_mean(x, mask, 1).tolist() == [1.0, 7.0, 0.0]
    assert masked_mean(x[..., None].expand(3, 2, 4), mask[..., None], (0, 1)).tolist() == [5.0] * 4


@pytest.mark.parametrize("poison", [7.0, float("nan"), float("inf"), float("-inf")])
def test_blank_and_finite(poison):
    x, mask = torch.randn(2, 3, 4, 2), torch.rand(2, 3, 4) < 0.5
    poisoned = x.masked_fill(~mask[..., None], poison)
    assert torch.equal(blank(poisoned, mask), torch.where(mask[..., None], x, 0))
    safe = finite(poisoned, mask)
    assert torch.equal(safe[mask], x[mask])
    assert torch.equal(safe * 0, torch.zeros_like(x))


def test_an_observed_nan_is_not_hidden():
    x = torch.full((1, 1, 2, 2), float("nan"))
    mask = torch.tensor([[[True, False]]])
    assert blank(x, mask).isnan()[0, 0].tolist() == [[True, True], [False, False]]


def test_layout_helpers():
    x = torch.randn(2, 3, 4, 2)
    value = torch.randn(2, 3, 4)
    assert torch.equal(repeat_channels(value, x), value[..., None].expand(2, 3, 4, 2))
    index = torch.tensor([3, 0, 0])
    assert torch.equal(take_joints(x, index), x[:, :, index])


def test_bones_point_from_the_parent_to_the_joint():
    skeleton = Skeleton.load("kinect20")
    x, mask = torch.randn(2, 3, 20, 3), torch.rand(2, 3, 20) < 0.8
    bone, seen = bones(x, mask, skeleton)
    for joint, parent in enumerate(skeleton.parents):
        start = joint if parent < 0 else parent
        assert torch.equal(bone[:, :, joint], x[:, :, joint] - x[:, :, start])
        assert torch.equal(seen[:, :, joint], mask[:, :, joint] & mask[:, :, start])


def test_constants_are_made_once_and_usable_outside_inference_mode():
    skeleton = Skeleton.load("coco17")
    with torch.inference_mode():
        first = parents(torch.device("cpu"), skeleton)
    assert not first.is_inference()
    assert parents(torch.device("cpu"), Skeleton.load("coco17")) is first


@pytest.mark.parametrize(
    ("ends", "allowed", "refused"),
    [
        ("[]", [0, 0.5, 1], [-0.1, 1.1]),
        ("[)", [0, 0.5], [1]),
        ("(]", [0.5, 1], [0]),
        ("()", [0.5], [0, 1]),
    ],
)
def test_in_range(ends, allowed, refused):
    for value in allowed:
        assert in_range("rate", value, 0, 1, ends) == value
    for value in [*refused, float("nan")]:
        with pytest.raises(ValueError, match=r"rate must be in .0, 1., got"):
            in_range("rate", value, 0, 1, ends)


def test_an_unknown_modality_is_named(make_batch):
    with pytest.raises(ValueError, match=r"Center is for modality 'imu', the batch has \['pose'\]"):
        Center(modality="imu")(make_batch())


def test_the_shown_name_says_the_arguments():
    assert str(Resample(64, modality="imu")) == "Resample(length=64, modality='imu')"


def test_bases_say_what_is_missing(make_batch):
    with pytest.raises(NotImplementedError, match="Transform must define transform"):
        Transform()(make_batch())
    with pytest.raises(NotImplementedError, match="RandomTransform must define augment"):
        RandomTransform()(make_batch())


def test_autocast_does_not_round_coordinates(make_batch):
    batch = make_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.manual_seed(0)
        inside = Jitter(0.1)(Center()(batch))["pose"].x
    torch.manual_seed(0)
    outside = Jitter(0.1)(Center()(batch))["pose"].x
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)
