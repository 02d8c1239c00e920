"""Encoders whose spatial operator is a convolution of PyTorch Geometric, named by its import path."""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import EdgeConv
from torch_geometric.utils import degree

from graphnets.encoders.blocks import BlockEncoder
from graphnets.encoders.stgcn import PAPER_STRIDES, PAPER_WIDTHS
from graphnets.nn import Block, TemporalConv
from graphnets.nn.pyg import Path, PyGConv
from graphnets.skeleton import Skeleton

_WIDTHS = ("in_channels", "out_channels", "channels")
_OURS = (*_WIDTHS, "nn", "deg", "node_dim", "decomposed_layers")


class PyGEncoder(BlockEncoder):
    """Any convolution of PyTorch Geometric (or one written like them) over the joints, in turn with one over time.

    The convolution is called as ``conv(x, edge_index)`` with the edges of the skeleton in both directions; it adds
    loops as it does by itself. Widths are passed as it takes them:

    - ``in_channels`` and ``out_channels``, or a width that is kept (``channels``, ``in_channels`` or ``out_channels``
      alone), then after a linear map where a block changes the width; after a linear map in every block where the
      convolution knows no width at all (``APPNP``, ``LGConv``).
    - Where it puts out a multiple of the width it is asked for (``heads`` that are concatenated, ``powers`` of
      ``MixHopConv``), each part gets its share: with 4 heads a width of 64 is 4 times 16. With ``concat=False`` each
      head has the full width, and they are averaged.
    - A convolution around a network of its own (``nn`` of ``GINConv``, ``EdgeConv``) gets linear, ReLU, linear.
    - The histogram of degrees that ``PNAConv`` wants (``deg``) comes from the skeleton.

    How frames are passed, and what it costs, says :class:`graphnets.nn.pyg.PyGConv`; it is in ``paths``. Drop-out of
    the convolution's own goes into ``conv_args``, that after the temporal convolution is ``dropout``.

    Args:
        skeleton: The graph, or the name or file of one.
        in_channels: C.
        conv: Import path of the convolution: an ``nn.Module`` whose ``forward`` takes ``(x, edge_index)``.
        conv_args: Further arguments of the convolution, plain values.
        widths: Channels of each block. The ten blocks of ST-GCN by default.
        strides: Temporal stride of each block, as many as widths.
        kernel: Frames that a temporal convolution spans; odd.
        dropout: After each temporal convolution.
        separable: Use depthwise-separable temporal convolutions.
        causal: Let no frame see a later one.

    Attributes:
        paths: The way each block's convolution runs: ``"matrix"``, ``"static"`` or ``"disjoint"``.

    Raises:
        ValueError: There is no such convolution, it can't run on node features and edges alone or mixes the graphs of
            a batch, an argument is unknown, missing or set by the encoder, or the width can't be had.

    Example:
        .. code-block:: python

            net = PyGEncoder("kinect20", 3, "torch_geometric.nn.TransformerConv", {"heads": 4, "beta": True})
            net = PyGEncoder("kinect20", 3, "torch_geometric.nn.ChebConv", {"K": 3}, widths=(64, 64), strides=(1, 2))
            net.paths  # ["matrix", "matrix"]

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, ceil(T / prod(strides)), V, widths[-1]]``.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        conv: str = "torch_geometric.nn.GATv2Conv",
        conv_args: dict[str, Any] | None = None,
        widths: Sequence[int] = PAPER_WIDTHS,
        strides: Sequence[int] = PAPER_STRIDES,
        kernel: int = 9,
        dropout: float = 0.0,
        separable: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__(skeleton, in_channels)
        self.causal = causal
        cls, arguments = _find(conv), dict(conv_args or {})
        _check_arguments(cls, conv, arguments)
        edges, joints = self.skeleton.edge_index(), self.skeleton.num_joints

        def block(in_channels: int, width: int, stride: int, residual: bool) -> Block:
            try:
                made = _make(cls, arguments, in_channels, width, edges, joints)
                spatial = PyGConv(made, in_channels, width, edges, joints)
            except ValueError as error:
                raise ValueError(f"{conv} from {in_channels} to {width} channels, with {arguments}: {error}") from error
            temporal = TemporalConv(width, width, kernel, stride, separable, causal=causal)
            return Block(spatial, temporal, residual, dropout=dropout)

        self.chain(block, widths, strides)

    @property
    def paths(self) -> list[Path]:
        """The way each block's convolution runs."""
        return [module.path for module in self.modules() if isinstance(module, PyGConv)]


class _AfterLinear(nn.Module):
    """A convolution that keeps its width, after a linear map to that width."""

    def __init__(self, conv: nn.Module, in_channels: int, width: int) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(in_channels, width), conv

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        y: Tensor = self.conv(self.linear(x), edge_index)
        return y


def _find(path: str) -> type[nn.Module]:
    """The class of that path; raises ValueError if there is none or it is no convolution over edges."""
    if not isinstance(path, str):
        raise ValueError(f"conv is {path!r}; give its import path as text, 'torch_geometric.nn.GATv2Conv'")
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, TypeError, ValueError) as error:  # the last two: a relative path or none
        raise ValueError(f"conv is {path!r}, which can't be imported ({error}); give 'package.module.Class'") from error
    cls = getattr(module, name, None)
    if cls is None:
        near = difflib.get_close_matches(name, dir(module), cutoff=0.5)
        raise ValueError(f"conv is {path!r}, but {module_name} has no {name}" + (f"; it has {near}" if near else ""))
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"conv is {path!r}, which is no torch.nn.Module class")
    taken = list(inspect.signature(cls.forward).parameters.values())[1:]
    others = [parameter for parameter in taken[2:] if parameter.default is parameter.empty and _named(parameter)]
    if len(taken) < 2 or taken[1].name != "edge_index" or others:
        raise ValueError(
            f"{path} is no convolution of node features over edges: its forward takes "
            f"({', '.join(parameter.name for parameter in taken)}), not (x, edge_index)"
        )
    return cls


def _named(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)


def _parameters(cls: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """All that the constructor takes, with what it passes on to those of its base classes."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        for parameter in filter(_named, parameters):
            found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _check_arguments(cls: type[nn.Module], path: str, arguments: dict[str, Any]) -> None:
    taken = _parameters(cls)
    allowed = [name for name in taken if name not in _OURS]
    if wrong := [name for name in arguments if name not in allowed]:
        ours = [name for name in wrong if name in _OURS]
        hint = f" ({', '.join(ours)}: set by the encoder)" if ours else ""
        raise ValueError(f"{path} doesn't take {wrong}{hint}; conv_args may have {allowed}")
    own = inspect.signature(cls.__init__).parameters
    needed = [name for name in allowed if name in own and own[name].default is inspect.Parameter.empty]
    if missing := [name for name in needed if name not in arguments]:
        raise ValueError(f"{path} needs {missing}; give them in conv_args, which may have {allowed}")


def _make(
    cls: type[nn.Module], arguments: dict[str, Any], in_channels: int, width: int, edges: Tensor, joints: int
) -> nn.Module:
    """The convolution from ``in_channels`` to ``width``; raises ValueError if it can't be made."""

    def build(out_channels: int) -> nn.Module:
        given: dict[str, Any] = {}
        if "in_channels" in taken and "out_channels" in taken:
            given = {"in_channels": in_channels, "out_channels": out_channels}
        elif "nn" in taken:
            read = 2 * in_channels if issubclass(cls, EdgeConv) else in_channels
            given["nn"] = nn.Sequential(nn.Linear(read, width), nn.ReLU(), nn.Linear(width, width))
        else:
            given = {name: width for name in _WIDTHS if name in taken}
        if "deg" in taken:
            given["deg"] = torch.bincount(degree(edges[1], joints, torch.long))
        try:
            conv = cls(**given, **arguments)
        except Exception as error:
            raise ValueError(f"{cls.__name__} refuses: {type(error).__name__}: {error}") from error
        keeps = "nn" not in taken and not {"in_channels", "out_channels"} <= taken.keys()
        if keeps and (in_channels != width or not any(name in taken for name in _WIDTHS)):
            return _AfterLinear(conv, in_channels, width)
        return conv

    taken = _parameters(cls)
    conv = build(width)
    times = _width_of(conv, in_channels, edges, joints) // width
    if times < 2 or "out_channels" not in taken:
        return conv
    if width % times:
        concat = ", or set concat=False" if "concat" in taken else ""
        raise ValueError(f"it puts out {times} parts side by side, but {width} isn't a multiple of {times}{concat}")
    return build(width // times)


def _width_of(conv: nn.Module, in_channels: int, edges: Tensor, joints: int) -> int:
    """Channels it puts out, or 0 if it doesn't run: :class:`PyGConv` then says why."""
    with torch.no_grad():
        try:
            y = copy.deepcopy(conv).eval()(torch.zeros(joints, in_channels), edges)
        except Exception:  # any error of a foreign convolution; PyGConv meets it again and reports it
            return 0
    return int(y.shape[-1]) if isinstance(y, Tensor) else 0
