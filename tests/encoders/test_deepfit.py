from __future__ import annotations

import pytest
import torch
from torch import nn

from graphnets.encoders import DeepFit, Encoder
from graphnets.heads import ClassificationHead
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, random_motion


class TestDeepFit(EncoderContract):
    causal = True

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return DeepFit(skeleton, in_channels, widths=(8, 6))


def test_the_size_of_the_original() -> None:
    net, head = DeepFit("openpose18", 2), ClassificationHead(16, 10)
    assert sum(p.numel() for module in (net, head) for p in module.parameters()) == 5146
    assert net.causal and net.out_channels == 16 and net.out_joints == 1


def test_equals_the_textbook() -> None:
    net = DeepFit("openpose18", 2).double().eval()
    x, mask = random_motion(7, 18, 2, batch=3)
    x = x.double()
    mask[1, 4] = False
    y = net(x, mask)
    weights = list(net.parameters())
    for n in range(3):
        for t in range(7):
            h = torch.tensor(
                [float(x[n, t, v, c]) if mask[n, t, v] else 0.0 for c in range(2) for v in range(18)]
            ).double()
            for k in range(0, 6, 2):
                h = 1 / (1 + torch.exp(-(weights[k] @ h + weights[k + 1])))
            expected = h if mask[n, t].any() else torch.zeros(16).double()
            torch.testing.assert_close(y[n, t, 0], expected, rtol=0, atol=1e-12)


def test_dropout_follows_every_layer() -> None:
    net = DeepFit("openpose18", 2, dropout=0.3)
    drops = [layer.p for layer in net.layers if isinstance(layer, nn.Dropout)]
    assert drops == [0.3] * 3
    x = torch.randn(1, 200, 18, 2)
    share = float((net.train()(x) == 0).float().mean())
    assert 0.25 < share < 0.35


def test_bad_sizes() -> None:
    for widths in ((), (8, 0)):
        with pytest.raises(ValueError, match="widths are"):
            DeepFit("openpose18", 2, widths=widths)
