"""Recurrence along time that honours the length of every clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Older releases of torch can't tell export from compilation.
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


class RaggedLSTM(nn.Module):
    r"""A layer of LSTM cells (Hochreiter and Schmidhuber 1997), run in one direction or in both.

    .. math:: (i, f, g, o) = W x_t + U h_{t-1} + b, \qquad c_t = \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g),
              \qquad h_t = \sigma(o) \odot \tanh(c_t)

    The backward direction starts at the last frame of each clip, not at the end of its padding, so padding changes
    nothing. That is done by reversing the clips with one gather, which a packed sequence can't do without
    bringing the lengths to the CPU.

    Args:
        in_channels: C.
        hidden: Size of the state of each direction.
        bidirectional: Run in both directions.

    Shapes:
        ``x [N, T, C]``, which must be finite, ``lengths [N]`` or None for T -> ``[N, T, hidden]`` or, for both
        directions, ``[N, T, 2 * hidden]``. Frames past the length hold finite values of no meaning.
    """

    cells: type[nn.LSTM] | type[nn.GRU] = nn.LSTM

    def __init__(self, in_channels: int, hidden: int, bidirectional: bool = True) -> None:
        super().__init__()
        self.out_channels = hidden * (1 + bidirectional)
        self.forwards = self.cells(in_channels, hidden, batch_first=True)
        self.backwards = self.cells(in_channels, hidden, batch_first=True) if bidirectional else None

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run."""
        ahead = run(self.forwards, x)
        if self.backwards is None:
            return ahead
        back = reverse(run(self.backwards, reverse(x, lengths)), lengths)
        return torch.cat([ahead, back], dim=-1)


class RaggedGRU(RaggedLSTM):
    r"""The same of gated recurrent units (Cho et al. 2014, arXiv 1406.1078).

    .. math:: r = \sigma(W_r x_t + U_r h_{t-1} + b_r), \qquad z = \sigma(W_z x_t + U_z h_{t-1} + b_z), \qquad
              n = \tanh(W_n x_t + b_n + r \odot (U_n h_{t-1} + b'_n)), \qquad h_t = (1 - z) \odot n + z \odot h_{t-1}
    """

    cells = nn.GRU


def reverse(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Reverse the frames of each clip, and leave its padding where it is.

    Args:
        x: ``[N, T, C]``.
        lengths: ``[N]`` int64, None for T.
    """
    if lengths is None:
        return x.flip(1)
    frames = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths[:, None] - 1 - frames
    index = torch.where(mirrored >= 0, mirrored, frames)
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def run(cells: nn.LSTM | nn.GRU, x: Tensor) -> Tensor:
    """States of all frames, ``[N, T, hidden]``, of cells of one layer and one direction with the batch first.

    An exporter unrolls ``nn.LSTM`` and ``nn.GRU`` for the number of frames of its example. So in an export the same
    equations are written as a scan, which torch.export and ONNX keep open for any number.

    Args:
        cells: What runs.
        x: ``[N, T, C]``.
    """
    if not _exporting():
        y: Tensor = cells(x)[0]
        return y
    return _scan_gru(cells, x) if isinstance(cells, nn.GRU) else _scan_lstm(cells, x)


def _scan_lstm(lstm: nn.LSTM, x: Tensor) -> Tensor:
    from torch._higher_order_ops.scan import scan_op  # what torch wraps around it would take seconds to trace

    of_input, of_state, bias, other_bias = lstm.parameters()
    gates = F.linear(x, of_input, bias + other_bias).transpose(0, 1)
    start = gates.new_zeros(gates.shape[1], lstm.hidden_size)

    def step(h: Tensor, c: Tensor, gate: Tensor, weight: Tensor) -> list[Tensor]:
        i, f, g, o = (gate + h @ weight).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return [h, c, h.clone()]  # a scan refuses to put out what it carries

    states: Tensor = scan_op(step, [start, start.clone()], [gates], additional_inputs=(of_state.t(),))[2]
    return states.transpose(0, 1)


def _scan_gru(gru: nn.GRU, x: Tensor) -> Tensor:
    from torch._higher_order_ops.scan import scan_op

    of_input, of_state, bias, other_bias = gru.parameters()
    gates = F.linear(x, of_input, bias).transpose(0, 1)
    start = gates.new_zeros(gates.shape[1], gru.hidden_size)

    def step(h: Tensor, gate: Tensor, weight: Tensor, offset: Tensor) -> list[Tensor]:
        r, z, n = gate.chunk(3, dim=-1)
        of_r, of_z, of_n = (h @ weight + offset).chunk(3, dim=-1)
        n = (n + (r + of_r).sigmoid() * of_n).tanh()
        z = (z + of_z).sigmoid()
        h = n + z * (h - n)
        return [h, h.clone()]

    states: Tensor = scan_op(step, [start], [gates], additional_inputs=(of_state.t(), other_bias))[1]
    return states.transpose(0, 1)
