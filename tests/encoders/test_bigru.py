"""Gated recurrent units against the equations, frame by frame."""

from __future__ import annotations

import pytest
import torch

from graphnets.encoders import BiGRU, Encoder
from graphnets.nn.recurrent import RaggedGRU, _scan_gru
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract


class TestBiGRU(EncoderContract):
    test_compile = None  # type: ignore[assignment]  # never one graph, as with LSTM cells

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return BiGRU(skeleton, in_channels, hidden=(6,))


def test_as_written() -> None:
    torch.manual_seed(0)
    layer = RaggedGRU(3, 4, bidirectional=False).double()
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    w, u, b, c = (p.detach() for p in layer.forwards.parameters())
    h = torch.zeros(4, dtype=torch.float64)
    for t in range(5):
        r = torch.sigmoid(w[:4] @ x[0, t] + b[:4] + u[:4] @ h + c[:4])
        z = torch.sigmoid(w[4:8] @ x[0, t] + b[4:8] + u[4:8] @ h + c[4:8])
        n = torch.tanh(w[8:] @ x[0, t] + b[8:] + r * (u[8:] @ h + c[8:]))
        h = (1 - z) * n + z * h
        torch.testing.assert_close(layer(x)[0, t], h)


def test_the_scan_is_the_same() -> None:
    torch.manual_seed(0)
    layer, x = RaggedGRU(3, 4, bidirectional=False), torch.randn(2, 6, 3)
    torch.testing.assert_close(_scan_gru(layer.forwards, x), layer(x))  # type: ignore[arg-type]


def test_sizes() -> None:
    with pytest.raises(ValueError, match=r"hidden is \[\]"):
        BiGRU("kinect20", 3, hidden=())
