"""The encoder contract passes a sound encoder and catches each kind of broken one by the right test."""

from __future__ import annotations

import re
import sys
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


class PeeksAhead(Sound):
    """Its convolution is centred."""

    causal = True


class KnowsTheLength(Sound):
    """Each frame sees itself alone, and the number of frames."""

    causal = True

    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, in_channels)
        self.temporal = TemporalConv(4, 4, kernel=3, stride=2, causal=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        frames = x.new_ones(x.shape[1]).sum() if mask is None else mask.any(2).sum(1)[:, None, None, None]
        return super().forward(x, mask) / frames.clamp(min=1)


class TakesAnything(Sound):
    def check(self, x: Tensor, mask: Tensor | None = None) -> None:
        pass


class TakesNoChannels(Sound):
    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, max(in_channels, 1))


class AddsToMuch(Sound):
    """float32 has the digits for it, bfloat16 has not."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = super().forward(x, mask)
        return (features + 64) - 64


class MixesPrecisions(Sound):
    """What may not differ in type does so under autocast alone."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = super().forward(x, mask)
        first = torch.zeros(1, dtype=torch.long)
        return features.new_zeros(features.shape, dtype=x.dtype).index_add(1, first, features[:, :1]) + features


class HalvesGradient(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = super().forward(x, mask)
        return features + features.detach()


class BranchesOnLength(Sound):
    """Right for each length, but by another program."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).relu() if x.shape[1] > 12 else super().forward(x, mask).clamp(min=0)


class IsMiscompiled(Sound):
    """As if a compiler had a fault."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) * (2 if torch.compiler.is_dynamo_compiling() else 1)


class IsMisexported(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) * (2 if torch.compiler.is_exporting() else 1)


class HasNoOnnx(Sound):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.special.bessel_j0(super().forward(x, mask))


class NamesItGraph(Sound):
    def __init__(self, skeleton: Skeleton, in_channels: int) -> None:
        super().__init__(skeleton, in_channels)
        self.graph = nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y: Tensor = self.graph(super().forward(x, mask))
        return y


class TestSound(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return Sound(skeleton, in_channels)


def failures(encoder: type[Sound], unused: tuple[str, ...] = ()) -> dict[str, str]:
    """Name and message of every contract test that fails, save for those that export or compile and take seconds."""

    class Contract(EncoderContract):
        unused_parameters = unused
        test_export = None  # type: ignore[assignment]

        def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
            return encoder(skeleton, in_channels)

    found = {}
    for name in dir(Contract):
        test = getattr(Contract(), name)
        if name.startswith("test_") and test is not None:
            try:
                test()
            except unittest.SkipTest:
                continue
            except Exception as error:
                found[name.removeprefix("test_")] = str(error)
    return found


MASKED = {"masked_values_change_nothing", "masked_values_change_nothing_in_training", "bf16_autocast"}
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
        (PeeksAhead, {"causal"}, "frames after the first 1 change the first 1 features without a mask"),
        (TakesAnything, {"bad_input"}, "encode must refuse a joint too many with a ValueError that says '5, 3]'"),
        (TakesNoChannels, {"bad_input"}, "in_channels=0"),
        (AddsToMuch, {"bf16_autocast"}, "in float32"),
        (MixesPrecisions, {"bf16_autocast"}, "values and weights share a dtype"),
        (HalvesGradient, {"gradcheck"}, "look for detach"),
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
        (KnowsTheLength, "causal", "for what depends on T"),
    ],
)
def test_the_right_test_fails_among_others(encoder: type[Sound], expected: str, says: str) -> None:
    assert says in failures(encoder)[expected]


def test_unused_parameters_may_be_listed() -> None:
    assert failures(HasUnusedParameter, unused=("spare.*",)) == {}


def contract(encoder: type[Sound]) -> EncoderContract:
    class Contract(EncoderContract):
        def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
            return encoder(skeleton, in_channels)

    return Contract()


@pytest.mark.parametrize(
    ("encoder", "test", "says"),
    [
        (BranchesOnValues, "export", "don't branch on values"),
        (NamesItGraph, "export", "a member called 'graph'"),
        (IsMisexported, "export", "the exported encoder gives something else"),
        (IsMisexported, "onnx", "the ONNX model gives something else"),
        (HasNoOnnx, "onnx", "use common operators"),
        (BranchesOnValues, "compile", "one graph; don't branch on values"),
        (BranchesOnLength, "compile", "a graph for each size"),
        (IsMiscompiled, "compile", "features differ between the compiled encoder and the plain one"),
    ],
)
def test_faults_of_other_places(encoder: type[Sound], test: str, says: str) -> None:
    if test == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    with pytest.raises(AssertionError, match=re.escape(says)):
        getattr(contract(encoder), f"test_{test}")()


def test_one_program_is_exported_for_all_tests_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = contract(Sound)
    program = sound._program(sound._encoder(), masked=True)
    monkeypatch.setattr(torch.export, "export", None)
    assert type(sound)()._program(sound._encoder(), masked=True) is program
    with pytest.raises(AssertionError, match="NoneType"):
        sound._program(sound._encoder(), masked=False)
    with pytest.raises(AssertionError, match="NoneType"):
        contract(Sound)._program(sound._encoder(), masked=True)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(unittest.SkipTest, match=r"pip install 'graphnets\[export\]'"):
        contract(Sound).test_onnx()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    sound = contract(Sound)
    sound.compile_backend = "inductor"
    with pytest.raises(unittest.SkipTest, match="C\\+\\+ compiler"):
        sound.test_compile()


def test_a_kink_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip that lies on a kink fails, the next one tells."""
    sound = contract(Sound)
    motion, tried = sound._motion, []

    def at_a_kink(encoder: Encoder, frames: int | None = None, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
        tried.append((frames, seed))
        x, mask = motion(encoder, frames, batch, seed)
        return (torch.zeros_like(x) if frames == 3 and seed == 0 else x), mask

    class OnTheKink(Sound):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return super().forward(blank(x, mask).relu(), mask)

    sound.make = OnTheKink  # type: ignore[method-assign]
    monkeypatch.setattr(sound, "_motion", at_a_kink)
    sound.test_gradcheck()
    assert [seed for frames, seed in tried if frames == 3] == [0, 1]


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
