"""Alignment against plain loops over fractions; fusion modules against their formulas in float64."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from graphnets.data import MotionBatch
from graphnets.nn.align import align
from graphnets.nn.fusion import ConcatFusion, Fusion, MeanFusion, MultiModalFusion, SumFusion
from graphnets.nn.masking import clip_lengths
from graphnets.skeleton import Skeleton
from graphnets.transforms import Resample

# Alignment ------------------------------------------------------------------------------------------------------


def loops(
    x: Tensor, mask: Tensor, frames: int, length: list[int], to_length: list[int], stride: int, to_stride: int
) -> tuple[Tensor, Tensor]:
    """Frame by frame and joint by joint, times as fractions of the clip."""
    n, _, v, c = x.shape
    y, seen = torch.zeros(n, frames, v, c, dtype=x.dtype), torch.zeros(n, frames, v, dtype=torch.bool)
    for i in range(n):
        for t in range(frames):
            if t * to_stride >= to_length[i]:
                continue
            relative = Fraction(t * to_stride, to_length[i] - 1) if to_length[i] > 1 else Fraction(0)
            last = max(length[i] - 1, 0) // stride  # the last frame that isn't padding
            position = min(relative * max(length[i] - 1, 0) / stride, Fraction(last))
            before = math.floor(position)
            weight = {before: 1 - (position - before), min(before + 1, last): position - before}
            weight[before] = 1 - sum(w for frame, w in weight.items() if frame != before)
            for j in range(v):
                there = {frame: w for frame, w in weight.items() if mask[i, frame, j]}
                total = sum(there.values())
                if total >= Fraction(1, 2):
                    seen[i, t, j] = True
                    y[i, t, j] = sum(float(w / total) * x[i, frame, j] for frame, w in there.items())
    return y, seen


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 9), to_frames=st.integers(1, 9), stride=st.integers(1, 3), to_stride=st.integers(1, 3),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_align_equals_loops(frames: int, to_frames: int, stride: int, to_stride: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    n, v, c = 3, 2, 2
    length = torch.randint(0, frames + 1, (n,), generator=draw)
    to_length = torch.randint(0, to_frames + 1, (n,), generator=draw)
    kept, to_kept = -(-frames // stride), -(-to_frames // to_stride)
    x = torch.randn(n, kept, v, c, generator=draw, dtype=torch.float64)
    mask = torch.rand(n, kept, v, generator=draw) > 0.3
    mask &= (torch.arange(kept) * stride < length[:, None])[..., None]
    x = x.masked_fill(~mask[..., None], math.nan).requires_grad_()
    y, seen = align(x, mask, to_kept, length, to_length, stride, to_stride)
    reference = x.detach().clone().requires_grad_()
    expected, expected_seen = loops(reference, mask, to_kept, length.tolist(), to_length.tolist(), stride, to_stride)
    assert torch.equal(seen, expected_seen)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    if seen.any():
        probe = torch.randn(y.shape, generator=draw, dtype=torch.float64)
        [gradient] = torch.autograd.grad((y * probe).sum(), [x])
        [wanted] = torch.autograd.grad((expected * probe).sum(), [reference])
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_same_rates_are_left_as_they_are(dtype: torch.dtype) -> None:
    x = (1e3 * torch.randn(2, 13, 3, 2)).to(dtype)
    whole = clip_lengths(x, None)
    assert whole.tolist() == [13, 13]
    y, seen = align(x, None, 13, whole, whole)
    assert torch.equal(y, x) and y.dtype == dtype and seen.all()
    mask = torch.rand(2, 13, 3) > 0.4
    length = clip_lengths(x, mask)
    y, seen = align(x, mask, 13, length, length)
    assert torch.equal(y[mask], x[mask]) and torch.equal(seen, mask)
    # Every fourth of 15 frames lies at the time of every second of 8.
    y, _ = align(x[:, :4], None, 4, torch.tensor([15, 15]), torch.tensor([8, 8]), 4, 2)
    assert torch.equal(y, x[:, :4])


def test_align_to_a_length_is_resampling() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(3, 17, 6, 1), torch.rand(3, 17, 6) > 0.2
    mask[1, 9:] = False
    skeleton = Skeleton.load("imu_axes6")
    parts = {"x": x, "mask": mask, "fps": 50.0, "skeleton": skeleton, "channels": ("value",)}
    resampled = Resample(11, modality="imu")(MotionBatch.from_arrays({"imu": parts}))["imu"]
    y, seen = align(x, mask, 11, clip_lengths(x, mask), torch.full((3,), 11))
    assert torch.equal(seen, resampled.mask)
    torch.testing.assert_close(y[seen], resampled.x[seen], rtol=0, atol=1e-6)


def test_a_ramp_stays_a_ramp() -> None:
    """107 samples or 326 of the same second: at half of it both have half of the height."""
    for frames in (107, 180, 326):
        x = torch.linspace(0, 1, frames).view(1, -1, 1, 1)
        y, _ = align(x, None, 41, clip_lengths(x, None), torch.tensor([41]))
        torch.testing.assert_close(y.flatten(), torch.linspace(0, 1, 41), rtol=0, atol=1e-6)


def test_padding_changes_nothing_and_absence_is_unobserved() -> None:
    x, mask = torch.randn(2, 9, 2, 3), torch.rand(2, 9, 2) > 0.3
    mask[1] = False
    length = clip_lengths(x, mask)
    assert length[1] == 0
    y, seen = align(x, mask, 6, length, torch.tensor([6, 5]))
    more = torch.cat([x, torch.full_like(x, math.nan)], 1), torch.cat([mask, torch.zeros_like(mask)], 1)
    padded, also = align(*more, 8, clip_lengths(*more), torch.tensor([6, 5]))
    assert torch.equal(padded[:, :6], y) and torch.equal(also[:, :6], seen)
    assert not also[:, 6:].any() and not padded[:, 6:].any()
    assert not seen[1].any() and not y[1].any()


# Fusion ---------------------------------------------------------------------------------------------------------


def tokens(n: int, t: int, m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Values, NaN where absent, with a frame that lacks all and a sequence that lacks the first modality."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, t, m, d, generator=draw, dtype=torch.float64)
    present = torch.rand(n, t, m, generator=draw) > 0.4
    present[0, 0], present[-1, :, 0], present[0, 1] = False, False, True
    return x, present


def by_hand(module: MultiModalFusion, vectors: list[Tensor | None]) -> Tensor:
    """One frame: :math:`o_1, o_2, o_3` from the formulas, attention by torch's own module."""
    p = dict(module.named_parameters())
    d = module.width
    zero = torch.zeros(d, dtype=torch.float64)
    there = [v for v in vectors if v is not None]
    if not there:
        return torch.zeros(module.out_channels, dtype=torch.float64)
    attention = nn.MultiheadAttention(d, module.heads, batch_first=True, dtype=torch.float64)
    attention.in_proj_weight, attention.in_proj_bias = p["queries.weight"], p["queries.bias"]
    attention.out_proj.weight, attention.out_proj.bias = p["attended.weight"], p["attended.bias"]
    alone = torch.stack(there)[None]  # who is absent isn't even in the sequence
    mixed = iter(attention(alone, alone, alone)[0][0])
    o1 = torch.cat([zero if v is None else next(mixed) for v in vectors])
    x = torch.cat([zero if v is None else v for v in vectors])
    o2 = torch.sigmoid(p["gate.weight"] @ x + p["gate.bias"]) * x
    o3 = torch.ones(d, dtype=torch.float64)
    for v in there:
        o3 = o3 * v
    u = torch.cat([o1, o2, o3])
    u = u * torch.sigmoid(p["last_gate.weight"] @ u + p["last_gate.bias"])
    return p["linear.weight"] @ u + p["linear.bias"]


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_modal_fusion_equals_its_formula(m: int, masked: bool) -> None:
    torch.manual_seed(m)
    module = MultiModalFusion(8, m, heads=2, out_channels=5).double()
    x, present = tokens(2, 3, m, 8)
    if not masked:
        present = torch.ones_like(present)
    given = x.masked_fill(~present[..., None], math.nan) if masked else x
    y = module(given.requires_grad_(), present if masked else None)
    expected = torch.zeros(2, 3, 5, dtype=torch.float64)
    for i in range(2):
        for t in range(3):
            expected[i, t] = by_hand(module, [x[i, t, k] if present[i, t, k] else None for k in range(m)])
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)

    names = [name for name, _ in module.named_parameters()]
    probe = torch.randn(y.shape, dtype=torch.float64)
    ours = torch.autograd.grad((y * probe).sum(), [*module.parameters()])
    theirs = torch.autograd.grad((expected * probe).sum(), [*module.parameters()])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert a.isfinite().all() and torch.allclose(a, b, rtol=0, atol=1e-12), name


def test_multi_modal_fusion_has_the_paper_s_sizes() -> None:
    module = MultiModalFusion(128, 3)
    assert module.gate.weight.shape == (384, 384) and module.last_gate.weight.shape == (896, 896)
    assert module.heads == 4 and module.out_channels == 128


@pytest.mark.parametrize("masked", [False, True])
def test_sum_mean_and_concatenation(masked: bool) -> None:
    torch.manual_seed(0)
    x, present = tokens(2, 3, 3, 4)
    if not masked:
        present = torch.ones_like(present)
    linear = ConcatFusion(4, 3, out_channels=5).double()
    weight, bias = linear.linear.weight, linear.linear.bias
    for i in range(2):
        for t in range(3):
            there = [x[i, t, k] for k in range(3) if present[i, t, k]]
            joined = torch.cat([x[i, t, k] * present[i, t, k] for k in range(3)])
            zeros = torch.zeros(4, dtype=torch.float64)
            total = sum(there, zeros)
            expected = {
                SumFusion: total,
                MeanFusion: total / max(len(there), 1),
                ConcatFusion: weight @ joined + bias if there else torch.zeros(5, dtype=torch.float64),
            }
            for kind, wanted in expected.items():
                module = linear if kind is ConcatFusion else kind(4, 3)
                given = x.masked_fill(~present[..., None], math.nan) if masked else x
                y = module(given, present if masked else None)
                torch.testing.assert_close(y[i, t], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [SumFusion, MeanFusion, ConcatFusion, MultiModalFusion])
def test_half_precision_stays_half(kind: type[Fusion]) -> None:
    x, present = tokens(2, 3, 3, 8)
    module = kind(8, 3)
    with torch.autocast("cpu", torch.bfloat16):
        for given in (None, present):
            y = module(x.bfloat16(), given)
            assert y.dtype == torch.bfloat16 and y.isfinite().all()


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="3 heads can't share 8 features"):
        MultiModalFusion(8, 2, heads=3)
    with pytest.raises(ValueError, match="modalities is 1; there must be 2 or more"):
        SumFusion(8, 1)
    with pytest.raises(ValueError, match="ConcatFusion: width is 0"):
        ConcatFusion(0, 2)
