"""What holds for every transform: padding, poison, seeds, modes, and batches that stay as they were."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.transforms import (
    Butterworth,
    Center,
    FillGaps,
    FrameDrop,
    GramianField,
    Jitter,
    JointDrop,
    Normalize,
    OneEuro,
    RandomBias,
    RandomBoneScale,
    RandomCrop,
    RandomGain,
    RandomMirror,
    RandomRotate,
    RandomScale,
    Remap,
    Resample,
    ResampleRate,
    Scale,
    Streams,
    TimeWarp,
    Transform,
)
from graphnets.transforms.streams import STREAMS


def normalize(per):
    transform = Normalize(per)
    shape = (3,) if per == "channel" else (20, 3)
    transform.load_state_dict({"mean": torch.rand(shape), "std": 1 + torch.rand(shape)})
    return transform


FIXED = [
    Resample(7),
    ResampleRate(21.0),
    Center(),
    Center("frame"),
    Center("clip", ["left_hip", "right_hip"]),
    Scale(),
    Remap("openpose18", allow_missing=True),
    Remap(Skeleton.load("kinect20").subset(["pelvis", "head", "left_hand"])),
    Streams(list(STREAMS)),
    GramianField(6, modality="pose"),
    GramianField(5, "difference", "pose"),
    normalize("channel"),
    normalize("joint"),
    FillGaps(2, "frames"),
    FillGaps(0.11),
    OneEuro(beta=0.5),
    Butterworth(5.0),
    Butterworth(3.0, 5),
]
RANDOM = [
    RandomCrop(0.5),
    TimeWarp(0.6),
    RandomRotate(40.0),
    RandomScale(0.2),
    RandomScale(0.2, per_axis=False),
    RandomBoneScale(0.2),
    RandomMirror("x", probability=1.0),
    RandomBias(0.1, modality="pose"),
    RandomGain(0.1, modality="pose"),
    Jitter(0.1),
    Jitter(0.1, per="clip"),
    JointDrop(0.4),
    FrameDrop(0.4),
]
ALL = FIXED + RANDOM + [type(t)(**{**t.init_args, "probability": 0.5}) for t in RANDOM]

every = pytest.mark.parametrize("transform", ALL, ids=str)
every_fixed = pytest.mark.parametrize("transform", FIXED, ids=str)
every_random = pytest.mark.parametrize("transform", ALL[len(FIXED) :], ids=str)


def run(transform: Transform, batch: MotionBatch, seed: int = 0) -> MotionBatch:
    torch.manual_seed(seed)
    return transform(batch)


def changed(batch: MotionBatch, x: torch.Tensor, mask: torch.Tensor) -> MotionBatch:
    batch = copy.copy(batch)
    batch["pose"].x, batch["pose"].mask = x, mask
    return batch


def assert_same(actual: MotionBatch, expected: MotionBatch) -> None:
    """Equal where it counts: the masks up to padding, the values where observed, and the frame rates."""
    a, b = actual["pose"], expected["pose"]
    frames = min(a.mask.shape[1], b.mask.shape[1])
    assert torch.equal(a.mask[:, :frames], b.mask[:, :frames])
    assert not a.mask[:, frames:].any()
    assert not b.mask[:, frames:].any()
    torch.testing.assert_close(a.x[:, :frames][a.mask[:, :frames]], b.x[:, :frames][b.mask[:, :frames]])
    assert torch.equal(a.fps, b.fps)


@every
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), more=st.integers(1, 20))
def test_padding_changes_nothing(make_batch, transform, seed, more):
    batch = make_batch(seed)
    x, mask = batch["pose"].x, batch["pose"].mask
    n, _, v, c = x.shape
    padded = changed(
        batch,
        torch.cat([x, torch.full((n, more, v, c), float("nan"))], 1),
        torch.cat([mask, torch.zeros(n, more, v, dtype=torch.bool)], 1),
    )
    assert_same(run(transform, padded, seed), run(transform, batch, seed))


@every
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -1e30])
def test_what_is_masked_changes_nothing(make_batch, transform, poison):
    batch = make_batch(3)
    x, mask = batch["pose"].x, batch["pose"].mask
    result = run(transform, changed(batch, x.masked_fill(~mask[..., None], poison), mask))
    assert result["pose"].x[result["pose"].mask].isfinite().all()
    assert_same(result, run(transform, batch))


@every
def test_a_clip_with_nothing_observed_does_no_harm(make_batch, transform):
    batch = make_batch(1)
    mask = batch["pose"].mask.clone()
    mask[1] = False
    x = batch["pose"].x.masked_fill(~mask[..., None], float("nan"))
    result = run(transform, changed(batch, x, mask))["pose"]
    assert not result.mask[1].any()
    assert result.mask[[0, 2, 3]].any((1, 2)).all()
    assert result.x[result.mask].isfinite().all()
    nothing = run(transform, changed(batch, x, torch.zeros_like(mask)))["pose"]
    assert not nothing.mask.any()


@every
def test_shapes_agree_and_the_batch_that_came_in_stays(make_batch, transform):
    batch = make_batch(2)
    before = dict(batch["pose"].items())
    tensors = {key: value.clone() for key, value in before.items() if isinstance(value, torch.Tensor)}
    edges = batch["pose", "bone", "pose"].edge_index
    result = run(transform, batch)
    assert result is not batch
    for key, value in before.items():
        assert batch["pose"][key] is value
    for key, value in tensors.items():
        assert torch.equal(batch["pose"][key], value)
    assert batch["pose", "bone", "pose"].edge_index is edges

    store = result["pose"]
    n, _, v, c = store.x.shape
    assert (n, v, c) == (4, store.skeleton.num_joints, len(store.channels))
    assert store.num_nodes == v
    assert store.mask.shape == store.x.shape[:-1]
    assert store.mask.dtype == torch.bool
    assert store.fps.shape == (4,)
    assert store.x.dtype == torch.float32
    assert store.fps.dtype == torch.float32
    assert torch.equal(result["pose", "bone", "pose"].edge_index, store.skeleton.edge_index())
    assert result.action is batch.action
    assert result.id == batch.id


@every_fixed
def test_clips_do_not_see_each_other(make_batch, transform):
    batch = make_batch(4)
    whole = run(transform, batch)["pose"]
    for clip in range(4):
        one = copy.copy(batch)
        for key in ("x", "mask", "fps"):
            one["pose"][key] = batch["pose"][key][clip : clip + 1]
        alone = run(transform, one)["pose"]
        mask, frames = alone.mask[0], alone.mask.shape[1]
        assert torch.equal(mask, whole.mask[clip, :frames])
        torch.testing.assert_close(alone.x[0][mask], whole.x[clip, :frames][mask])


@every_random
def test_evaluation_mode_is_the_identity(make_batch, transform):
    batch = make_batch()
    result = run(copy.deepcopy(transform).eval(), batch)
    assert result["pose"].x is batch["pose"].x
    assert result["pose"].mask is batch["pose"].mask


@every_random
def test_probability_zero_is_the_identity(make_batch, transform):
    batch = make_batch()
    result = run(type(transform)(**{**transform.init_args, "probability": 0.0}), batch)
    assert result["pose"].x is batch["pose"].x
    assert result["pose"].mask is batch["pose"].mask


@every_random
def test_the_seed_says_it_all(make_batch, transform):
    batch = make_batch(clips=16)
    first, again, other = run(transform, batch, 1), run(transform, batch, 1), run(transform, batch, 2)
    assert torch.equal(first["pose"].x, again["pose"].x)
    assert torch.equal(first["pose"].mask, again["pose"].mask)
    if str(transform) != "RandomMirror(axis='x', probability=1.0)":  # nothing is left to chance there
        same = [torch.equal(first["pose"][key], other["pose"][key]) for key in ("x", "mask")]
        assert not all(same)


@pytest.mark.parametrize("transform", RANDOM, ids=str)
def test_clips_are_changed_with_the_given_probability(make_batch, transform):
    batch = make_batch(5, clips=200, frames=6, missing=0.0)
    batch["pose"].mask[:] = True
    half = type(transform)(**{**transform.init_args, "probability": 0.5})
    result = run(half, batch)["pose"]
    moved = (result.x != batch["pose"].x).any(-1) | (result.mask != batch["pose"].mask)
    # Whether a picked clip changes is up to chance too, for a crop or a drop: never more than half.
    assert 0.25 < moved.flatten(1).any(1).float().mean() < 0.62


@every
def test_it_is_rebuilt_from_its_spec(make_batch, transform):
    again = from_spec(to_spec(transform), Transform)
    assert type(again) is type(transform)
    assert str(again) == str(transform)
    again.load_state_dict(transform.state_dict())
    assert_same(run(again, make_batch()), run(transform, make_batch()))


@pytest.mark.parametrize("transform", [t for t in ALL if not isinstance(t, Normalize | GramianField)], ids=str)
def test_two_dimensions_with_confidence(make_batch, transform):
    batch = make_batch(6, channels=("x", "y", "confidence"))
    result = run(transform, batch)["pose"]
    assert result.x[result.mask].isfinite().all()
    assert result.x.shape[-1] == len(result.channels)
    assert result.channels[-1] == "confidence"


@pytest.mark.parametrize(
    "cls", [RandomCrop, TimeWarp, RandomScale, RandomBoneScale, RandomMirror, JointDrop, FrameDrop]
)
@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_an_impossible_probability_is_refused(cls, probability):
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\], got"):
        cls(probability=probability)
