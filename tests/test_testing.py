"""The encoder contract passes a sound encoder and catches each kind of broken one by the right test."""

from __future__ import annotations

import unittest

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.nn import MaskedBatchNorm, TemporalConv, blank
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, disconnected, random_motion, random_tree


class Sound(Encoder):
    """Norm, linear map, temporal convolution of stride 2: as little as can go wrong."""

    def __init__(self, skeleton: Skeleton, in_channels: int, width: int = 4) -> None:
        super().__init__(skeleton, in_channels)
        self.norm = MaskedBatchNorm(in_channels)
        self.linear = nn.Linear(in_channels, width)
        self.temporal = TemporalConv(width, width, kernel=3, stride=2)
        self.out_channels, self.time_stride = width, 2

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.temporal(F.relu(self.linear(self.norm(x, mask))), mask)


class IgnoresMask(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.temporal(F.relu(self.linear(self.norm(x, mask))))


class MultipliesMask(Sound):
    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, in_channels)
        self.norm = nn.Identity()  # type: ignore[assignment]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = 1.0 if mask is None else mask[..., None].to(x.dtype)
        return self.temporal(F.relu(self.linear(self.norm(x * seen))) * seen)


class CountsPaddingInMoments(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.temporal(F.relu(self.linear(self.norm(blank(x, mask)))), mask)


class MixesBatch(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = super().forward(x, mask)
        return features - features.mean(0, keepdim=True)


class Nondeterministic(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) + 0.1 * torch.rand(1)


class ForgetsStride(Sound):
    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, in_channels)
        self.temporal = TemporalConv(4, 4, kernel=3, stride=1)


class HasUnusedParameter(Sound):
    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, in_channels)
        self.spare = nn.Linear(2, 2)


class WritesIntoInput(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None and not x.requires_grad:
            x[~mask] = 0.0
        return super().forward(x, mask)


class LosesState(Sound):
    """What it drew when made is not in its state dict."""

    shift: Tensor

    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, in_channels)
        self.register_buffer("shift", torch.randn(4), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) + self.shift


class BranchesOnValues(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) if x.sum() > 0 else 2 * super().forward(x, mask)


class TestSound(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return Sound(skeleton, in_channels)


def failures(encoder: type[Sound], unused: tuple[str, ...] = ()) -> dict[str, str]:
    """Name and message of every contract test that fails; export aside, which takes seconds."""

    class Contract(EncoderContract):
        unused_parameters = unused

        def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
            return encoder(skeleton, in_channels)

    found = {}
    for name in dir(Contract):
        if name.startswith("test_") and name != "test_export":
            try:
                getattr(Contract(), name)()
            except unittest.SkipTest:
                continue
            except Exception as error:
                found[name.removeprefix("test_")] = str(error)
    return found


MASKED = {"masked_values_change_nothing", "masked_values_change_nothing_in_training"}
PADDED = {"padding_changes_nothing", "padding_changes_nothing_in_training"}


@pytest.mark.parametrize(
    ("encoder", "expected", "says"),
    [
        (IgnoresMask, PADDED, "graphnets.nn.blank"),
        (MultipliesMask, MASKED, "keeps NaN"),
        (CountsPaddingInMoments, {"padding_changes_nothing_in_training"}, "MaskedBatchNorm"),
        (MixesBatch, {"sequences_are_independent"}, "dimension 0"),
        (HasUnusedParameter, {"gradients_reach_every_parameter"}, "spare.weight"),
        (LosesState, {"checkpoint"}, "rebuilt"),
    ],
)
def test_exactly_the_right_tests_fail(encoder: type[Sound], expected: set[str], says: str) -> None:
    found = failures(encoder)
    assert set(found) == expected
    assert any(says in message for message in found.values())


@pytest.mark.parametrize(
    ("encoder", "expected", "says"),
    [
        (Nondeterministic, "determinism", "two calls in eval mode differ"),
        (ForgetsStride, "output_shape", "time_stride 2"),
        (WritesIntoInput, "output_shape", "wrote into its input"),
    ],
)
def test_the_right_test_fails_among_others(encoder: type[Sound], expected: str, says: str) -> None:
    assert says in failures(encoder)[expected]


def test_unused_parameters_may_be_listed() -> None:
    assert failures(HasUnusedParameter, unused=("spare.*",)) == {}


def test_export_catches_branches_on_values() -> None:
    class Contract(EncoderContract):
        def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
            return BranchesOnValues(skeleton, in_channels)

    with pytest.raises(AssertionError, match="don't branch on values"):
        Contract().test_export()


def test_make_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match="must define make"):
        EncoderContract().test_output_shape()


def test_skeletons_and_motion() -> None:
    tree = random_tree(100)
    assert (tree.hop_distances() >= 0).all() and len(tree.edges) == 99
    assert (disconnected().adjacency().sum(0) == 0).sum() == 1
    x, mask = random_motion(9, 5, 3)
    assert x.isfinite().all() and mask.flatten(1).any(1).all()
    assert not mask[0, :, -1].any() and not mask[0, 4].any() and not mask[1, 6:].any()
