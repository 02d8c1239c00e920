"""The head of time series: against a loop over frames and joints."""

from __future__ import annotations

import pytest
import torch

from graphnets.encoders import Features
from graphnets.heads import SequenceHead


@pytest.mark.parametrize(("stride", "frames"), [(1, 7), (2, 8), (2, 7), (4, 13), (3, 1)])
def test_equals_a_loop(stride: int, frames: int) -> None:
    torch.manual_seed(0)
    kept = -(-frames // stride)
    x, mask = torch.randn(2, kept, 3, 5), torch.rand(2, kept, 3) > 0.3
    head = SequenceHead(5, 3, 4, stride).double()
    poisoned = x.masked_fill(~mask[..., None], torch.nan).double()
    found = head(Features(poisoned, mask), frames)
    assert found.shape == (2, frames, 4)
    weight, bias = head.linear.weight.view(4, 3, 5), head.linear.bias

    def at(n: int, t: int) -> torch.Tensor:
        t = min(t, kept - 1)
        return bias + sum(
            (weight[:, v] @ x[n, t, v].double() for v in range(3) if mask[n, t, v]), torch.zeros(4).double()
        )

    for n in range(2):
        for t in range(frames):
            whole, share = divmod(t, stride)
            above = min(whole + 1, kept - 1)
            part = share / stride if bool(mask[n, above].any()) else 0.0
            expected = (1 - part) * at(n, whole) + part * at(n, above)
            assert torch.allclose(found[n, t], expected, atol=1e-12)


@pytest.mark.parametrize("frames", [9, 10, 11, 12])
def test_padding_changes_nothing(frames: int) -> None:
    torch.manual_seed(0)
    head, kept = SequenceHead(5, 3, 4, 2), -(-frames // 2)
    x = torch.randn(1, kept, 3, 5)
    longer = torch.cat([x, torch.randn(1, 4, 3, 5)], 1)
    mask = torch.zeros(1, kept + 4, 3, dtype=torch.bool)
    mask[:, :kept] = True
    short = head(Features(x, None), frames)
    assert torch.allclose(head(Features(longer, mask), 2 * (kept + 4))[:, :frames], short, atol=1e-6)
