"""The correction head: begins as the identity, adds low frequencies only, to the frames that there are."""

from __future__ import annotations

import pytest
import torch
import torch_dct
from torch import Tensor

from graphnets.encoders.base import Features
from graphnets.heads import CorrectionHead


def made(t: int = 12, stride: int = 2, seed: int = 0) -> tuple[Features, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, t, 5, 3, generator=generator)
    mask = torch.ones(3, t, 5, dtype=torch.bool)
    mask[1, 7:] = False
    features = torch.randn(3, -(-t // stride), 5, 8, generator=generator)
    return Features(features, mask[:, ::stride]), x, mask


def learned(coefficients: int = 4, feedback: int = 0) -> CorrectionHead:
    torch.manual_seed(1)
    head = CorrectionHead(8, 5, 3, coefficients, feedback)
    torch.nn.init.normal_(head.leave.weight)
    torch.nn.init.normal_(head.leave.bias)
    return head


def test_begins_as_the_identity() -> None:
    features, x, mask = made()
    corrected = CorrectionHead(8, 5, 3, 4)(features, x, mask)
    assert torch.equal(corrected, x.masked_fill(~mask[..., None], 0))


def test_changes_the_first_coefficients_and_no_others() -> None:
    features, x, mask = made()
    change = (learned(4)(features, x, mask) - x)[0]  # a clip of all frames
    spectrum = torch_dct.dct(change.movedim(0, -1).double(), norm="ortho")
    assert float(spectrum[..., :4].abs().min()) > 1e-3
    assert float(spectrum[..., 4:].abs().max()) < 1e-5


def test_padding_changes_nothing() -> None:
    features, x, mask = made()
    head = learned(4)
    whole = head(features, x, mask)[1, :7]
    alone = head(Features(features.x[1:2, :4], None), x[1:2, :7], None)[0]
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)
    poisoned = x.masked_fill(~mask[..., None], torch.nan)
    torch.testing.assert_close(head(features, poisoned, mask), head(features, x, mask))


def test_as_written() -> None:
    features, x, mask = made()
    head = learned(4)
    f, n = features.x[0].double(), 12
    c = torch_dct.dct(head.reduce(features.x[0]).double().movedim(0, -1), norm="ortho")[..., :4]  # [V, R, K]
    h = torch.relu(head.enter.double()(c.movedim(-1, 1).flatten(1)))
    delta = head.leave.double()(h).view(5, 4, 3)
    full = torch.zeros(5, 3, n, dtype=torch.float64)
    full[..., :4] = delta.movedim(1, -1)
    expected = x[0].double() + torch_dct.idct(full, norm="ortho").movedim(-1, 0)
    torch.testing.assert_close(head.float()(features, x, mask)[0].double(), expected, atol=1e-5, rtol=1e-4)
    assert len(f) == 6


def test_feedback_is_heard_joint_by_joint() -> None:
    features, x, mask = made()
    head = learned(4, feedback=2)
    told = torch.eye(2)[[0, 1, 0]]
    one, other = head(features, x, mask, told), head(features, x, mask, 1 - told)
    assert bool(((one - other)[0].abs().amax((0, 2)) > 1e-4).all())


@pytest.mark.parametrize("coefficients", [1, 6, 9, 40])
def test_any_number_of_coefficients(coefficients: int) -> None:
    features, x, mask = made()
    assert bool(learned(coefficients)(features, x, mask).isfinite().all())


def test_in_two_dimensions_joints_are_transformed_too() -> None:
    features, x, _ = made()
    torch.manual_seed(1)
    head = CorrectionHead(8, 5, 3, 4, transform="2d")
    torch.nn.init.normal_(head.leave.weight)
    head = head.double()
    f = head.reduce(features.x[0].double())  # [T', V, R]
    c = torch_dct.dct_2d(f.movedim(-1, 0).transpose(1, 2), norm="ortho")[..., :4]  # [R, V, K]
    h = torch.relu(head.enter(c.permute(1, 2, 0).flatten(1)))
    delta = head.leave(h).view(5, 4, 3)  # [V, K, C]
    spectrum = torch.zeros(3, 5, 12, dtype=torch.float64)
    spectrum[..., :4] = delta.permute(2, 0, 1)
    change = torch_dct.idct_2d(spectrum, norm="ortho").permute(2, 1, 0)
    given = Features(features.x[:1].double(), None)
    torch.testing.assert_close(head(given, x[:1].double(), None)[0], x[0].double() + change, atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="transform is '3d'; one of temporal, 2d"):
        CorrectionHead(8, 5, 3, 4, transform="3d")  # type: ignore[arg-type]
