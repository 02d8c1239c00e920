from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders import Encoder
from graphnets.encoders.recurrent import RecurrentGraph
from graphnets.nn.recurrent import RaggedLSTM, reverse
from graphnets.skeleton import Skeleton
from graphnets.testing import EncoderContract, random_motion


class TestRecurrentGraph(EncoderContract):
    test_compile = None  # type: ignore[assignment]  # never one graph: see test_compiles_around_the_lstm

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return RecurrentGraph(skeleton, in_channels, hidden=(6,), graph_channels=3, width=8)


class TestTwoLayers(EncoderContract):
    test_export = None  # type: ignore[assignment]  # takes seconds; only a second layer is added

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return RecurrentGraph(skeleton, in_channels, hidden=(6, 4), graph_channels=3, width=8)


class TestCausal(EncoderContract):
    test_export = None  # type: ignore[assignment]  # takes seconds; only one direction is left out

    def make(self, skeleton: Skeleton, in_channels: int) -> Encoder:
        return RecurrentGraph(skeleton, in_channels, hidden=(6,), graph_channels=3, width=5, bidirectional=False)


# The textbook: frame by frame, joint by joint. -----------------------------------------------------------------------


def cells(p: dict[str, Tensor], name: str, frames: list[Tensor]) -> list[Tensor]:
    """States after each frame, from the equations of the gates."""
    of_input, of_state = p[f"{name}.weight_ih_l0"], p[f"{name}.weight_hh_l0"]
    bias = p[f"{name}.bias_ih_l0"] + p[f"{name}.bias_hh_l0"]
    size = of_state.shape[1]
    h, c, states = frames[0].new_zeros(size), frames[0].new_zeros(size), []
    for x in frames:
        i, f, g, o = ((of_input @ x + of_state @ h + bias)[k * size : k * size + size] for k in range(4))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    return states


def input_norm(p: dict[str, Tensor], x: Tensor, mask: Tensor, training: bool) -> Tensor:
    c, out = x.shape[3], torch.zeros_like(x)
    for j in range(x.shape[2]):
        span, seen = slice(j * c, j * c + c), mask[:, :, j]
        mean, var = p["norm.running_mean"][span], p["norm.running_var"][span]
        if training and seen.any():
            mean, var = x[:, :, j][seen].mean(0), x[:, :, j][seen].var(0, correction=0)
        y = (x[:, :, j] - mean) / (var + 1e-5).sqrt() * p["norm.weight"][span] + p["norm.bias"][span]
        out[:, :, j] = y * seen[..., None]
    return out


def textbook(p: dict[str, Tensor], skeleton: Skeleton, x: Tensor, mask: Tensor, training: bool) -> Tensor:
    x = input_norm(p, x, mask, training)
    width = p["gate.bias"].shape[0]
    out = x.new_zeros(*x.shape[:2], 1, width)
    loops = skeleton.adjacency() + torch.eye(skeleton.num_joints)
    adjacency = (loops / loops.sum(1, keepdim=True)).to(x.dtype)
    for n in range(len(x)):
        length = int(mask[n].any(1).nonzero().max()) + 1
        states = [x[n, t].flatten() for t in range(length)]
        i = 0
        while f"layers.{i}.forwards.weight_ih_l0" in p:
            ahead = cells(p, f"layers.{i}.forwards", states)
            if f"layers.{i}.backwards.weight_ih_l0" in p:
                back = cells(p, f"layers.{i}.backwards", states[::-1])[::-1]
                ahead = [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
            states, i = ahead, i + 1
        for t in range(length):
            if not mask[n, t].any():
                continue
            h = states[t]
            if "project.weight" in p:
                h = p["project.weight"] @ h + p["project.bias"]
            joints = mask[n, t].nonzero().flatten()
            attention = torch.zeros(len(mask[n, t]), dtype=x.dtype)
            scores = torch.stack([p["attention.weight"][0] @ x[n, t, j] for j in joints])
            attention[joints] = scores.exp() / scores.exp().sum() * len(joints)
            graph = F.relu(adjacency @ (attention[:, None] * x[n, t]) @ p["spatial.weight"][0].T + p["spatial.bias"])
            graph = graph * mask[n, t][:, None]
            g = p["flatten.weight"] @ graph.flatten() + p["flatten.bias"]
            gate = torch.sigmoid(p["gate.weight"] @ torch.cat([h, g]) + p["gate.bias"])
            out[n, t, 0] = gate * h + (1 - gate) * g
    return out


def perturbed(**arguments: object) -> RecurrentGraph:
    torch.manual_seed(0)
    sizes = {"hidden": (5, 3), "graph_channels": 4, "width": 6, "dropout": 0.0, "graph_dropout": 0.0, **arguments}
    net = RecurrentGraph("tan_imu8", 2, **sizes).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in net.named_buffers():
            if name.startswith("norm"):
                buffer.uniform_(0.5, 2) if name.endswith("running_var") else buffer.normal_()
    return net


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("sizes", [{}, {"hidden": (4,), "bidirectional": False}], ids=["both", "causal"])
def test_equals_textbook(training: bool, masked: bool, sizes: dict[str, object]) -> None:
    net = perturbed(**sizes).train(training)
    assert isinstance(net.project, nn.Linear) == bool(sizes), "one case needs the projection, one goes without"
    x, mask = random_motion(8, 8, 2, batch=3)
    mask[0, 2] = False
    x, mask = x.double(), mask if masked else torch.ones_like(mask)
    p = {name: value.detach().clone() for name, value in net.state_dict().items()}
    for name, _ in net.named_parameters():
        p[name].requires_grad_()
    expected = textbook(p, net.skeleton, x, mask, training)
    actual, kept = net.encode(x, mask if masked else None)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    assert kept is None or torch.equal(kept[..., 0], mask.any(2))

    probe = torch.randn_like(expected)
    names = [name for name, _ in net.named_parameters()]
    ours = torch.autograd.grad((actual * probe).sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * probe).sum(), [p[name] for name in names])
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10), f"gradient of {name}: off by {(a - b).abs().max()}"


def test_equals_packed_sequences() -> None:
    """What torch gives for a bidirectional LSTM over packed clips."""
    ours = RaggedLSTM(3, 4).double()
    theirs = nn.LSTM(3, 4, batch_first=True, bidirectional=True).double()
    state = {name: value for name, value in ours.forwards.state_dict().items()}
    assert ours.backwards is not None
    state |= {f"{name}_reverse": value for name, value in ours.backwards.state_dict().items()}
    theirs.load_state_dict(state)
    x, lengths = torch.randn(4, 9, 3).double(), torch.tensor([9, 1, 6, 3])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    valid = torch.arange(9) < lengths[:, None]
    torch.testing.assert_close(ours(x, lengths)[valid], expected[valid], rtol=0, atol=1e-12)
    torch.testing.assert_close(ours(x), theirs(x)[0], rtol=0, atol=1e-12)


def test_reverse() -> None:
    x = torch.arange(10.0).view(2, 5, 1)
    assert reverse(x, torch.tensor([3, 0]))[..., 0].tolist() == [[2, 1, 0, 3, 4], [5, 6, 7, 8, 9]]
    assert torch.equal(reverse(x), reverse(x, torch.tensor([5, 5])))


def test_compiles_around_the_lstm() -> None:
    """``torch.compile`` leaves ``nn.LSTM`` to its own kernels, and so breaks the graph there."""
    torch.compiler.reset()
    net = perturbed(hidden=(4,))
    compiled = torch.compile(net, backend="eager", dynamic=True)
    for frames in (7, 11):
        x, mask = random_motion(frames, 8, 2)
        x = x.double()
        torch.testing.assert_close(compiled(x, mask), net(x, mask), rtol=0, atol=1e-12)
        probe = torch.randn(6, dtype=torch.float64)
        ours = torch.autograd.grad((compiled(x, mask) * probe).sum(), list(net.parameters()))
        theirs = torch.autograd.grad((net(x, mask) * probe).sum(), list(net.parameters()))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    torch.compiler.reset()


def test_paper_sizes() -> None:
    net = RecurrentGraph("tan_video11", 4)
    assert [(layer.forwards.input_size, layer.forwards.hidden_size) for layer in net.layers] == [(44, 128), (256, 64)]
    assert isinstance(net.project, nn.Identity) and net.flatten.out_features == net.out_channels == 128
    assert not net.causal and RecurrentGraph("tan_video11", 4, bidirectional=False).causal


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match=r"hidden \[\] must hold at least one"):
        RecurrentGraph("kinect20", 3, hidden=())
    with pytest.raises(ValueError, match="width 0 must be 1 or more"):
        RecurrentGraph("kinect20", 3, width=0)
