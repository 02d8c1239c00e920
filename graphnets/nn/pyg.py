"""Graph convolutions of PyTorch Geometric on many frames that share one graph."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import Linear, MessagePassing

Path = Literal["matrix", "static", "disjoint"]

_DRAWS, _FRAMES, _SCALES = 4, 24, (0.01, 1.0, 100.0)


class PyGConv(nn.Module):
    r"""A spatial operator around any convolution of PyTorch Geometric (Fey and Lenssen 2019, arXiv 1903.02428).

    Every frame of every sequence is a graph of its own, with the same edges. There are three ways to say that to a
    convolution; on random input, when the operator is made, it is found out which of them are right for this one, and
    the fastest is taken:

    - ``"matrix"``: all frames at once, ``[N * T, V, C]``, and wherever the convolution propagates node features in a
      linear way that is the same for every channel (``GCNConv``, ``GraphConv``, ``SAGEConv``, ``ChebConv``, ...), a
      dense product with the matrix of that map. The matrix comes from the convolution itself: its columns are what it
      makes of the unit vectors, so :math:`\mathrm{propagate}(x) = \mathrm{propagate}(I)\, x`, and weights of edges
      get their gradients. A linear map right before it (``lin`` of ``GCNConv``) comes after it if it widens.
    - ``"static"``: all frames at once, ``[N * T, V, C]``, propagated by the convolution (``GINConv`` with maximum,
      ``EdgeConv``, ``CGConv``, ...).
    - ``"disjoint"``: all frames as one large graph, ``[N * T * V, C]``, as a batch of PyTorch Geometric is
      (``GATv2Conv``, ``TransformerConv``, ...). Edges are repeated with offsets, for any N and T.

    A masked joint is a zero vector, and still a neighbour: in a mean, in a degree, in a softmax, and with the bias of a
    linear map that comes before the propagation.

    Args:
        conv: The convolution, called as ``conv(x, edge_index)``. The operator changes it: where it has an attribute
            ``add_self_loops``, the loops become edges of the graph once and for all, if that gives the same.
        in_channels: ``C_in``.
        out_channels: ``C_out``; what ``conv`` gives must have this width.
        edge_index: Edges of one frame ``[2, E]``, from sender to receiver.
        num_joints: V.

    Attributes:
        path: The way taken.

    Raises:
        ValueError: ``conv`` can't run on node features and edges alone, gives another width, mixes graphs of a batch
            (normalises over all their nodes, for instance), or keeps tensors from one call to the next.

    Shapes:
        ``x [N, T, V, C_in]``, 0 where masked -> ``[N, T, V, C_out]``.
    """

    edge_index: Tensor
    path: Path

    def __init__(
        self, conv: nn.Module, in_channels: int, out_channels: int, edge_index: Tensor, num_joints: int
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            probe = _Probe(conv, in_channels, out_channels, edge_index, num_joints)
            self.path, loops, late = probe.plan()
        if loops:
            edge_index = _with_loops(conv, edge_index, num_joints)
        if self.path == "matrix":
            _use_matrices(conv, late)
        self.conv = conv
        self.register_buffer("edge_index", edge_index.clone(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve; entries that are masked must be 0 in ``x``, the mask itself isn't read."""
        n, t, v, c = x.shape
        frames = x.reshape(n * t, v, c)
        if self.path == "disjoint":
            return _disjoint(self.conv, frames, self.edge_index).view(n, t, v, self.out_channels)
        y: Tensor = self.conv(frames, self.edge_index)
        return y.view(n, t, v, self.out_channels)

    def extra_repr(self) -> str:
        """The way taken."""
        return f"path={self.path!r}"


class _MatrixPropagate:
    """Takes the place of ``conv.propagate``: sends the unit vectors through it, then multiplies.

    Tensors of three dimensions or more are node features of many frames; whatever else is given, weights of edges
    say, is the same for all of them.
    """

    def __init__(self, conv: MessagePassing, late: _Late | None) -> None:
        self.conv, self.late = conv, late

    def __call__(self, edge_index: Tensor, size: Any = None, **given: Any) -> Tensor:
        features: list[Tensor] = []
        for value in given.values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Tensor) and part.ndim > 2 and not any(part is known for known in features):
                    features.append(part)
        # Two features, such as messages a_j - b_i, are two linear maps: each has its matrix with the other at zero.
        y: Any = 0
        for feature in features:
            eye = torch.eye(feature.shape[-2], dtype=feature.dtype, device=feature.device)
            unit = {name: _replace(value, feature, eye) for name, value in given.items()}
            matrix = type(self.conv).propagate(self.conv, edge_index, size=size, **unit).to(feature.dtype)
            frames = feature.reshape(-1, *feature.shape[-2:])
            # Given a matrix and many frames, matmul copies the frames; bmm reads the one matrix for each.
            y = y + torch.bmm(matrix.expand(frames.shape[0], -1, -1), frames).view(feature.shape)
        return y if self.late is None else F.linear(y, self.late.weight)


class _Late(Linear):
    """A linear map that passes its input on: whoever propagates it applies the map."""

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x


def _replace(value: Any, feature: Tensor, eye: Tensor) -> Any:
    if isinstance(value, tuple):
        return tuple(_replace(part, feature, eye) for part in value)
    if not isinstance(value, Tensor) or value.ndim <= 2:
        return value
    return eye if value is feature else torch.zeros_like(eye)


def _use_matrices(conv: nn.Module, late: bool) -> bool:
    """Let all that propagates do it with matrices; say whether there is a linear map that may come after."""
    found = False
    for module in list(conv.modules()):
        if isinstance(module, MessagePassing):
            linear: Any = getattr(module, "lin", None)
            widens = type(linear) is Linear and linear.bias is None and linear.in_channels < linear.out_channels
            if late and widens:
                linear.__class__ = _Late  # the same parameters under the same names
            module.propagate = _MatrixPropagate(module, linear if late and widens else None)
            found |= widens
    return found


def _with_loops(conv: nn.Module, edge_index: Tensor, num_joints: int) -> Tensor:
    """Tell the convolution to add no loops, and give the edges with loops."""
    for module in conv.modules():
        if isinstance(getattr(module, "add_self_loops", None), bool):
            module.add_self_loops = False  # type: ignore[assignment]
    return torch.cat([edge_index, torch.arange(num_joints, device=edge_index.device).expand(2, -1)], dim=1)


def _disjoint(conv: nn.Module, frames: Tensor, edge_index: Tensor) -> Tensor:
    """``[B, V, C] -> [B * V, C']``, as one graph of ``B * V`` nodes."""
    b, v, c = frames.shape
    offsets = v * torch.arange(b, device=edge_index.device)
    y: Tensor = conv(frames.reshape(b * v, c), (edge_index[:, None] + offsets[:, None]).reshape(2, -1))
    return y


class _Probe:
    """Finds out what a convolution does to random frames, in float64, on copies with parameters of its own.

    A nonlinearity that is dead or saturated would look linear, and what starts at zero would hide what it does. So ways
    are compared for several draws of all parameters, on frames from small to large. The draws are always the same: a
    network that is rebuilt for a checkpoint takes the way that it was trained on.
    """

    def __init__(
        self, conv: nn.Module, in_channels: int, out_channels: int, edge_index: Tensor, num_joints: int
    ) -> None:
        self.width, self.edges, self.joints = out_channels, edge_index, num_joints
        draw = torch.Generator().manual_seed(0)
        self.conv = copy.deepcopy(conv).double().eval()
        device = next((parameter.device for parameter in conv.parameters()), edge_index.device)
        self.edges = edge_index.to(device)
        frames = torch.randn(_FRAMES, num_joints, in_channels, generator=draw, dtype=torch.float64)
        self.x = frames[:3].to(device)
        scales = torch.tensor(_SCALES, dtype=torch.float64).repeat(_FRAMES // len(_SCALES))
        self.scaled = (frames * scales[:, None, None]).to(device)
        self.draws: list[nn.Module] = []
        for _ in range(_DRAWS):
            drawn = copy.deepcopy(self.conv)
            for parameter in drawn.parameters():
                noise = torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
                parameter.copy_((noise / max(1, parameter.shape[-1] if parameter.ndim else 1) ** 0.5).to(device))
            self.draws.append(drawn)
        self.conv = self.draws[0]

    def plan(self) -> tuple[Path, bool, bool]:
        """The way to take, whether loops can be edges of the graph, and whether ``lin`` can come late."""
        self._refuse_unfit()
        loops = any(getattr(module, "add_self_loops", False) is True for module in self.conv.modules())
        loops = loops and self._right(loops=True, batch=True)
        if not self._right(loops):
            return "disjoint", loops, False
        if not self._right(loops, late=False):
            return "static", loops, False
        widens = _use_matrices(copy.deepcopy(self.conv), late=False)
        return "matrix", loops, widens and self._right(loops, late=True)

    def _right(self, loops: bool, late: bool | None = None, batch: bool = False) -> bool:
        """Does a way give what the batch gives, for all draws? With ``late`` True or False, it is that by matrices."""
        for drawn in self.draws:
            expected = _disjoint(drawn, self.scaled, self.edges)
            conv, edges = copy.deepcopy(drawn), self.edges
            if loops:
                edges = _with_loops(conv, edges, self.joints)
            if late is not None:
                _use_matrices(conv, late)
            if not self._agrees(conv, edges, expected, batch):
                return False
        return True

    def _refuse_unfit(self) -> None:
        """Refuse a convolution that isn't fit for batches."""
        for module in self.conv.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                raise ValueError(
                    f"the convolution holds a {type(module).__name__}, whose moments would count masked joints and "
                    "other sequences; choose another norm, or none: the block around the convolution normalises"
                )
        train, before = copy.deepcopy(self.conv).train(), _kept_tensors(self.conv)
        try:
            y, learning = _disjoint(self.conv, self.x, self.edges), self._run(train, seed=0)
        except Exception as error:
            raise ValueError(
                "the convolution can't convolve node features over edge_index alone (does it need attributes or types "
                f"of edges?): {type(error).__name__}: {error}"
            ) from error
        if kept := sorted({*_kept_tensors(self.conv), *_kept_tensors(train)} - before):
            raise ValueError(
                f"the convolution keeps tensors of one batch for the next in {kept}, by cached=True or for a loss"
            )
        shape = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
        if shape != [3 * self.joints, self.width]:
            raise ValueError(
                f"the convolution gives {shape} for {3 * self.joints} nodes; it must be {[3 * self.joints, self.width]}"
            )
        if not y.isfinite().all():
            raise ValueError("the convolution gives values that aren't finite for random input of the graph")
        for conv, whole in ((self.conv, y), (train, learning)):
            if conv is train and not torch.equal(whole, self._run(train, seed=1)):
                continue  # drop-out hides the difference that is looked for
            alone = torch.cat([_disjoint(conv, frame[None], self.edges) for frame in self.x])
            if not _close(alone, whole):
                raise ValueError("the convolution mixes the graphs of a batch: one alone gives something else")

    def _run(self, conv: nn.Module, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        return _disjoint(conv, self.x, self.edges)

    def _agrees(self, conv: nn.Module, edges: Tensor, expected: Tensor, batch: bool = False) -> bool:
        """Does it give that, and each frame its own chance in training?"""
        try:
            if batch:
                return _close(_disjoint(conv, self.scaled, edges), expected)
            y = conv(self.scaled, edges)
            if y.shape != (*self.scaled.shape[:2], self.width) or not _close(y.flatten(0, 1), expected):
                return False
            train, equal = copy.deepcopy(conv).train(), self.x[:1].expand_as(self.x)
            one, other = train(equal, edges), train(equal, edges)
            # One edge or joint dropped for all frames isn't the drop-out that the convolution does in a batch.
            return torch.equal(one, other) or not torch.equal(one[0], one[1])
        except Exception:  # whatever it stumbles over, it isn't made for frames that share their edges
            return False


def _close(actual: Tensor, expected: Tensor) -> bool:
    """For every node, relative to its largest value: some convolutions weigh edges in float32 whatever x is."""
    scale = expected.abs().amax(1, keepdim=True).nan_to_num(0, posinf=0).clamp(min=1)
    return torch.allclose(actual / scale, expected / scale, rtol=1e-6, atol=1e-6, equal_nan=True)


def _kept_tensors(conv: nn.Module) -> set[str]:
    """Attributes, other than parameters and buffers, that hold tensors."""
    return {
        attribute
        for module in conv.modules()
        for attribute, value in vars(module).items()
        if any(isinstance(part, Tensor) for part in (value if isinstance(value, tuple) else (value,)))
    }
