from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.encoders.dct_gcn import DCTGCN
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, random_motion


class TestDCTGCN(EncoderContract):
    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return DCTGCN(skeleton, in_channels, coefficients=6, width=8, blocks=1, out_channels=5)


class TestMoreCoefficientsThanFrames(EncoderContract):
    test_export = None  # type: ignore[assignment]  # takes seconds; only the sizes differ

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return DCTGCN(skeleton, in_channels, width=8, blocks=0, out_channels=5, input_norm=False)


# The textbook: each clip by itself, explicit matrices for interpolation, DCT and graph. --------------------------------


def norm_of(p: dict[str, Tensor], name: str, entries: Tensor, training: bool) -> Tensor:
    """``entries [n, features]``, all of them observed, normalised."""
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    if training:
        mean, var = entries.mean(0), entries.var(0, correction=0)
    return (entries - mean) / (var + 1e-5).sqrt() * p[f"{name}.weight"] + p[f"{name}.bias"]


def lines(seen: Tensor) -> Tensor:
    """The matrix ``[T, T]`` that fills the gaps of a trajectory observed at ``seen [T]``."""
    if not seen.any():
        return torch.zeros(len(seen), len(seen), dtype=torch.float64)
    (at,) = np.nonzero(seen.numpy())
    columns = [np.interp(np.arange(len(seen)), at, unit[at]) for unit in np.eye(len(seen))]
    return torch.from_numpy(np.stack(columns, 1)) * seen


def textbook(p: dict[str, Tensor], x: Tensor, mask: Tensor, k: int, training: bool) -> list[Tensor]:
    """Features of each clip up to its last observed frame, ``[T_i, V, D]``, before the last norm."""
    n, _, v, c = x.shape
    if "norm.weight" in p:
        normal = torch.zeros_like(x)
        for j in range(v):
            span = {name: value[j * c : j * c + c] for name, value in p.items() if name.startswith("norm.")}
            normal[:, :, j][mask[:, :, j]] = norm_of(span, "norm", x[:, :, j][mask[:, :, j]], training)
        x = normal
    inputs, cosines = [], []
    for clip, seen in zip(x, mask, strict=True):
        length = int(seen.any(1).nonzero().max()) + 1
        full = torch.from_numpy(scipy.fft.dct(np.eye(length), norm="ortho", axis=0))[:k]  # [K, T_i]
        rows = [full @ lines(seen[:length, j]) @ clip[:length, j, i] for j in range(v) for i in range(c)]
        inputs.append(F.pad(torch.stack(rows), (0, k - len(full))))
        cosines.append(F.pad(full, (0, 0, 0, k - len(full))))
    h = torch.stack(inputs)

    def layer(name: str, h: Tensor) -> Tensor:
        y = torch.einsum("ij,njf,fg->nig", p[f"{name}.conv.adjacency"], h, p[f"{name}.conv.weight"])
        y = y + p[f"{name}.conv.bias"]
        return F.relu(norm_of(p, f"{name}.norm", y.flatten(1), training).view_as(y))

    h = layer("enter", h)
    i = 0
    while f"blocks.{i}.first.conv.weight" in p:
        h = h + layer(f"blocks.{i}.second", layer(f"blocks.{i}.first", h))
        i += 1
    h = F.linear(h.reshape(n, v, -1), p["leave.weight"], p["leave.bias"]).view(n, v, k, -1)
    return [torch.einsum("kt,vkd->tvd", b, clip) for b, clip in zip(cosines, h, strict=True)]


def perturbed(**arguments: object) -> DCTGCN:
    torch.manual_seed(0)
    sizes = {"coefficients": 5, "width": 6, "out_channels": 4, "dropout": 0.0, **arguments}
    net = DCTGCN("imu_axes6", 2, **sizes).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in net.named_buffers():
            buffer.uniform_(0.5, 2) if name.endswith("running_var") else buffer.normal_()
    return net


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("sizes", [{"blocks": 2}, {"blocks": 0, "coefficients": 14, "input_norm": False}], ids=str)
def test_equals_textbook(training: bool, masked: bool, sizes: dict[str, object]) -> None:
    net = perturbed(**sizes).train(training)
    x, mask = random_motion(11, 6, 2, batch=4)
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    for name, _ in net.named_parameters():
        p[name].requires_grad_()
    frames = textbook(p, x, mask, net.coefficients, training)
    rows = torch.cat([clip[seen[: len(clip)]] for clip, seen in zip(frames, mask, strict=True)])
    expected = F.relu(norm_of(p, "out_norm", rows, training))
    y = net(x, mask if masked else None)
    actual = y[mask]
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)
    assert not y[~mask].any()

    probe = torch.randn_like(expected)
    names = [name for name, _ in net.named_parameters()]
    ours = torch.autograd.grad((actual * probe).sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * probe).sum(), [p[name] for name in names])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-8), f"gradient of {name}: off by {(a - b).abs().max()}"


def test_a_gap_in_a_straight_movement_changes_nothing() -> None:
    net = perturbed().eval()
    x = torch.linspace(-1, 1, 12, dtype=torch.float64)[None, :, None, None].expand(1, 12, 6, 2).clone()
    mask = torch.ones(1, 12, 6, dtype=torch.bool)
    mask[:, 4:8] = False
    torch.testing.assert_close(net(x, mask)[mask], net(x)[mask], rtol=0, atol=1e-12)


def test_a_clip_with_nothing_observed_gives_no_moments() -> None:
    x, mask = random_motion(9, 6, 2, batch=4)
    mask[2] = False
    rest = torch.tensor([0, 1, 3])
    net, twin = perturbed().train(), perturbed().train()
    expected, y = twin(x[rest].double(), mask[rest]), net(x.double(), mask)
    torch.testing.assert_close(y[rest], expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(dict(net.named_buffers()), dict(twin.named_buffers()), rtol=0, atol=1e-11)


def test_one_clip_trains() -> None:
    net = perturbed().train()
    loss = (net(torch.randn(1, 9, 6, 2).double()) * torch.randn(4)).sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_shapes_of_the_released_weights() -> None:
    net = DCTGCN("ec3d19", 3, blocks=1)
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes["enter.conv.weight"] == (25, 256) and shapes["enter.conv.adjacency"] == (57, 57)
    assert shapes["enter.norm.running_mean"] == (14592,)
    assert shapes["blocks.0.second.conv.weight"] == (256, 256) and shapes["blocks.0.first.norm.weight"] == (14592,)


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="coefficients is 0"):
        DCTGCN("kinect20", 3, coefficients=0)
    with pytest.raises(ValueError, match="blocks is -1; it must be 0 or more"):
        DCTGCN("kinect20", 3, blocks=-1)
