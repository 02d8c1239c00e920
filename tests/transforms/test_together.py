"""Together: several modalities of a recording change alike."""

from __future__ import annotations

import pytest
import torch

from graphnets.data import MotionBatch
from graphnets.encoders import STGCN
from graphnets.skeleton import Skeleton
from graphnets.spec import from_spec, to_spec
from graphnets.tasks import SequenceRegression, Task
from graphnets.transforms import (
    FrameDrop,
    Jitter,
    JointDrop,
    RandomBoneScale,
    RandomCrop,
    RandomMirror,
    Resample,
    TimeWarp,
    Together,
    Transform,
)

FRAMES = {"pose": 31, "imu": 61}


def batch(clips: int = 64) -> MotionBatch:
    """Every value is its relative time, in two modalities of different rates and skeletons."""
    modalities = {}
    for name, skeleton in (("pose", "kinect20"), ("imu", "imu_axes6")):
        bones, frames = Skeleton.load(skeleton), FRAMES[name]
        x = torch.linspace(0, 1, frames)[None, :, None, None].expand(clips, frames, bones.num_joints, 1).clone()
        modalities[name] = {
            "x": x, "mask": torch.ones(x.shape[:3], dtype=torch.bool), "fps": torch.full((clips,), frames - 1.0),
            "skeleton": bones, "channels": ("value",),
        }  # fmt: skip
    return MotionBatch.from_arrays(modalities, labels={})


def times(transforms: list[Transform], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """What time each modality shows at 21 instants, ``[N, 21]``."""
    torch.manual_seed(seed)
    both = batch()
    for transform in transforms:
        both = transform.train()(both)
    shown = [Resample(21, name)(both)[name] for name in FRAMES]
    assert all(bool(store.mask.all()) for store in shown)
    return shown[0].x[..., 0, 0], shown[1].x[..., 0, 0]


CHANGES = [RandomCrop(0.5), TimeWarp(0.8), RandomCrop(0.4, probability=0.5)]


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_both_show_the_same_time(change: Transform) -> None:
    pose, imu = times([Together(change, ["pose", "imu"])])
    assert float((pose - imu).abs().max()) < 1.1 / (FRAMES["pose"] - 1), "within a frame of the slower"
    assert float((pose - torch.linspace(0, 1, 21)).abs().max()) > 0.1
    apart = times([change, type(change)(**{**change.init_args, "modality": "imu"})])
    assert float((apart[0] - apart[1]).abs().max()) > 0.1, "drawn for each by itself they are torn apart"


def test_the_same_seed_makes_the_same_change_and_the_next_draw_another() -> None:
    chain = [Together(RandomCrop(0.5), ["pose", "imu"])]
    assert torch.equal(times(chain)[0], times(chain)[0])
    first, second = batch(), batch()
    torch.manual_seed(0)
    assert not torch.equal(chain[0].train()(first)["pose"].mask, chain[0](second)["pose"].mask)


def test_draws_the_same_whatever_the_order_or_number_of_modalities() -> None:
    a = times([Together(RandomCrop(0.5), ["pose", "imu"])])
    b = times([Together(RandomCrop(0.5), ["imu", "pose"])])
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_evaluation_leaves_all_as_it_is_and_a_batch_that_comes_in_stays() -> None:
    both = batch()
    together = Together(TimeWarp(0.5), ["pose", "imu"])
    assert together.eval()(both) is both
    before = both["imu"].x.clone()
    assert not torch.equal(together.train()(both)["imu"].x, before) and torch.equal(both["imu"].x, before)


def test_round_trip() -> None:
    again = from_spec(to_spec(Together(RandomCrop(0.7), ["pose", "imu"])), Transform)
    assert isinstance(again, Together) and again.modalities == ("pose", "imu")
    assert isinstance(again.inner, RandomCrop) and again.inner.min_fraction == 0.7


@pytest.mark.parametrize("modalities", [["pose"], [], ["imu", "imu"]])
def test_needs_two(modalities: list[str]) -> None:
    with pytest.raises(ValueError, match="two or more"):
        Together(RandomCrop(), modalities)


def test_a_modality_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'markers'"):
        Together(RandomCrop(), ["pose", "markers"]).train()(batch())


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        (Together(RandomCrop(), ["imu", "pose"]), True),
        (Together(RandomCrop(), ["imu", "grf"]), False),
        (RandomCrop(modality="imu"), False),
        (Together(RandomMirror(), ["imu", "pose"]), False),
    ],
    ids=repr,
)
def test_targets_that_move_along_may_be_compared_frame_by_frame(change: Transform, allowed: bool) -> None:
    encoder = STGCN("imu_axes6", 1, widths=[4], strides=[1], kernel=3)
    objectives = {"angle": SequenceRegression("pose", ["head"], ["x"])}
    if allowed:
        Task(encoder, objectives, modality="imu", transforms={"change": change})
        return
    with pytest.raises(ValueError, match=r"'change'.*frame by frame"):
        Task(encoder, objectives, modality="imu", transforms={"change": change})


def test_picks_the_same_clips() -> None:
    """Whatever a change draws besides, who is changed is drawn first."""
    torch.manual_seed(0)
    both = Together(RandomCrop(0.4, probability=0.5), ["pose", "imu"]).train()(batch(200))
    cropped = [both[name].mask[..., 0].sum(1) < FRAMES[name] for name in FRAMES]
    assert torch.equal(cropped[0] | cropped[1], cropped[1]) and 60 < int(cropped[1].sum()) < 140


@pytest.mark.parametrize("change", [Jitter(0.1), RandomBoneScale(0.1), FrameDrop(0.5), JointDrop(0.5)], ids=repr)
def test_what_draws_for_joints_or_frames_needs_the_same_ones(change: Transform) -> None:
    with pytest.raises(ValueError, match=r"draws numbers for joints or frames, and pose, imu differ"):
        Together(change, ["pose", "imu"]).train()(batch())
    twice = batch(4)
    channels = ("x", "y", "z")
    pose = {**dict(twice["pose"]), "x": torch.randn(4, 31, 20, 3), "channels": channels}
    twice = MotionBatch.from_arrays({"pose": pose, "target": {**pose, "x": pose["x"].clone()}}, labels={})
    torch.manual_seed(3)
    changed = Together(change, ["pose", "target"]).train()(twice)
    assert torch.equal(changed["pose"].mask, changed["target"].mask)
    kept = changed["pose"].mask[..., None].expand_as(changed["pose"].x)
    assert torch.equal(changed["pose"].x[kept], changed["target"].x[kept])
    assert not torch.equal(changed["pose"].x, twice["pose"].x) or not bool(changed["pose"].mask.all())


def test_only_what_is_random() -> None:
    with pytest.raises(ValueError, match="Resample isn't random"):
        Together(Resample(8), ["pose", "imu"])  # type: ignore[arg-type]
