"""The convolution in the frequency domain against the direct one, in float64, gradients included."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphnets.encoders import STGCN
from graphnets.nn import Block, FrequencyConv, TemporalConv
from graphnets.nn.adaptive import AdaptiveGraphConv
from graphnets.nn.frequency import algorithm, tile_for
from graphnets.skeleton import Skeleton


def pair(stride: int = 1, kernel: int = 9, time_major: bool = False) -> tuple[TemporalConv, ...]:
    direct = TemporalConv(3, 5, kernel, stride).double()
    spectral = FrequencyConv(3, 5, kernel, stride, time_major).double()
    spectral.load_state_dict(direct.state_dict())
    return direct, spectral


@settings(max_examples=40, deadline=None)
@given(
    tile=st.integers(1, 34),
    taps=st.sampled_from([1, 3, 5, 9, 15]),
    seed=st.integers(0, 2**20),
)
def test_the_algorithm_correlates(tile: int, taps: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, w = torch.randn(tile + taps - 1).double(), torch.randn(taps).double()
    into, kernel, back = algorithm(tile, taps)
    found = back @ ((into @ x) * (kernel @ w))
    expected = torch.stack([w @ x[s : s + taps] for s in range(tile)])
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("taps", [1, 3, 9, 15])
def test_it_takes_three_real_products_a_complex_one(taps: int) -> None:
    length = 2 * ((16 + taps) // 2)
    assert len(algorithm(16, taps).into) == 2 + 3 * (length // 2 - 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    t=st.integers(1, 100),
    stride=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 9]),
    masked=st.booleans(),
    time_major=st.booleans(),
)
def test_equals_the_direct_one(seed: int, t: int, stride: int, kernel: int, masked: bool, time_major: bool) -> None:
    torch.manual_seed(seed)
    direct, spectral = pair(stride, kernel, time_major)
    x = torch.randn(2, t, 4, 3, dtype=torch.float64)
    mask = torch.rand(2, t, 4) > 0.3 if masked else None

    def turned(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, 1) if time_major else tensor

    one, other = x.clone().requires_grad_(), turned(x).clone().requires_grad_()
    expected = direct(one, mask)
    found = spectral(other, None if mask is None else turned(mask))
    torch.testing.assert_close(turned(found), expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (turned(found) * weights).sum().backward()
    assert one.grad is not None and other.grad is not None
    torch.testing.assert_close(turned(other.grad), one.grad, rtol=1e-10, atol=1e-10)
    for (name, p), q in zip(direct.named_parameters(), spectral.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("needs", ["x", "weight", "bias"])
def test_gradient_of_one_argument_alone(needs: str) -> None:
    direct, spectral = pair()
    x = torch.randn(1, 11, 2, 3, dtype=torch.float64)
    grads = []
    for module in (direct, spectral):
        given_x = x.clone().requires_grad_(needs == "x")
        module.conv.weight.requires_grad_(needs == "weight")
        module.conv.bias.requires_grad_(needs == "bias")
        module(given_x).square().sum().backward()
        wanted = given_x if needs == "x" else getattr(module.conv, needs)
        grads.append(wanted.grad)
    torch.testing.assert_close(grads[1], grads[0])


def test_finite_differences() -> None:
    _, spectral = pair(stride=2, kernel=3)
    x = torch.randn(1, 5, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, *_: spectral(v), (x, *spectral.parameters()))


def test_float32_keeps_its_accuracy() -> None:
    torch.manual_seed(0)
    direct = TemporalConv(64, 64)
    spectral = FrequencyConv(64, 64)
    spectral.load_state_dict(direct.state_dict())
    x = torch.randn(2, 64, 25, 64)
    with torch.no_grad():
        exact = copy.deepcopy(direct).double()(x.double())
        error = (spectral(x) - exact).abs().max() / exact.abs().max()
    assert error < 2e-6


@pytest.mark.parametrize("frames", [1, 2, 31, 32, 33, 64, 100, 300])
def test_tiles_are_few_and_alike(frames: int) -> None:
    tile = tile_for(frames)
    assert tile <= 32
    assert tile % 4 == 0
    assert -(-frames // tile) == -(-frames // 32)


def test_the_weight_that_is_used_is_the_current_one() -> None:
    direct, spectral = pair()
    spectral.eval()
    x = torch.randn(1, 12, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(spectral(x), direct(x))
        for change in (
            lambda m: m.conv.weight.mul_(2),
            lambda m: m.load_state_dict({k: v + 1 for k, v in direct.state_dict().items()}),
        ):
            change(spectral)
            direct.load_state_dict(spectral.state_dict())
            torch.testing.assert_close(spectral(x), direct(x))
        spectral.conv.weight.data = torch.randn_like(spectral.conv.weight)
        direct.load_state_dict(spectral.state_dict())
        torch.testing.assert_close(spectral(x), direct(x))
        torch.testing.assert_close(copy.deepcopy(spectral)(x), direct(x))
    spectral.train()(x.requires_grad_()).sum().backward()  # what inference has kept is no obstacle to training


def test_inference_mode_first_then_training() -> None:
    """The matrices are kept: those first made in inference must serve gradients as well."""
    direct, spectral = pair(kernel=5)
    x = torch.randn(1, 23, 2, 3, dtype=torch.float64)
    with torch.inference_mode():
        spectral.eval()(x)
    gradients = []
    for module in (direct, spectral):
        module.train()(x).square().sum().backward()
        gradients.append(module.conv.weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0])


def test_networks_share_their_weights() -> None:
    torch.manual_seed(0)
    arguments = {"skeleton": "openpose18", "in_channels": 3, "widths": (8, 12, 12), "strides": (1, 2, 1)}
    direct, spectral = STGCN(**arguments).double(), STGCN(**arguments, frequency=True).double()  # type: ignore[arg-type]
    spectral.load_state_dict(direct.state_dict())
    x = torch.randn(2, 37, 18, 3, dtype=torch.float64)
    mask = torch.rand(2, 37, 18) > 0.2
    for training in (True, False):
        torch.testing.assert_close(spectral.train(training)(x, mask), direct.train(training)(x, mask))


@pytest.mark.parametrize("option", ["separable", "causal"])
def test_networks_that_it_is_not_for(option: str) -> None:
    with pytest.raises(ValueError, match="frequency=True is for dense, centred"):
        STGCN("openpose18", 3, frequency=True, **{option: True})  # type: ignore[arg-type]


def test_what_mixes_frames_takes_no_time_major_clips() -> None:
    partitions = Skeleton.load("openpose18").partitions("spatial")
    time = FrequencyConv(4, 4, time_major=True)
    with pytest.raises(ValueError, match=r"needs a spatial operator with per_frame = True .* AdaptiveGraphConv"):
        Block(AdaptiveGraphConv(3, 4, partitions), time)
