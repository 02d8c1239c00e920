"""SemCKD: which layer of the teacher each layer of the student learns from, by attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.losses.base import Criterion


class SemCKD(Criterion):
    r"""Cross-layer distillation with semantic calibration (Chen et al. 2021, arXiv 2012.03236, Eq. 4 to 8).

    .. math:: L = \frac{1}{N} \sum_n \sum_s \sum_t \alpha_{nst}\,
              \operatorname{mse}\left(P_{st} f^S_{ns}, f^T_{nt}\right), \qquad
              \alpha_{ns\cdot} = \operatorname{softmax}_t \frac{Q_s(a^S_{ns})^\top K_t(a^T_{nt})}{\sqrt{d}}

    where :math:`a_{n}` are the similarities of recording n to those of its batch in a layer (row n of the Gram matrix
    of normalised features). Here the rows are sorted, so that the order of a batch means nothing, and brought to one
    length, so that the last batch of an epoch may be smaller.

    Args:
        in_channels: Widths of the student's layers.
        out_channels: Widths of the teacher's layers.
        width: d, of queries and keys.
        batch: How many similarities the projections read; rows of other lengths are interpolated.

    Shapes:
        Student: for each layer ``[N, D_s]``; teacher: for each ``[N, D_t]`` -> scalar.

    Raises:
        ValueError: There is no layer on a side.
    """

    reads = ("layers",)

    def __init__(self, in_channels: list[int], out_channels: list[int], width: int = 32, batch: int = 16) -> None:
        super().__init__()
        if not in_channels or not out_channels:
            raise ValueError(f"SemCKD needs layers of both: student {in_channels}, teacher {out_channels}")
        self.batch, self.scale = batch, width**-0.5
        self.queries = nn.ModuleList(nn.Linear(batch, width) for _ in in_channels)
        self.keys = nn.ModuleList(nn.Linear(batch, width) for _ in out_channels)
        self.projections = nn.ModuleList(nn.ModuleList(nn.Linear(a, b) for b in out_channels) for a in in_channels)

    def attention(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Which of the teacher's layers each of the student's learns from, ``[N, S, T]``."""
        queries = torch.stack([q(self._rows(f)) for q, f in zip(self.queries, student, strict=True)], 1)
        keys = torch.stack([k(self._rows(f)) for k, f in zip(self.keys, teacher, strict=True)], 1)
        return (queries @ keys.transpose(1, 2) * self.scale).softmax(2)

    def forward(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """The loss."""
        teacher = [f.detach() for f in teacher]
        share = self.attention(student, teacher)
        total = share.new_zeros(())
        for s, (own, row) in enumerate(zip(student, self.projections, strict=True)):
            assert isinstance(row, nn.ModuleList)
            for t, (other, project) in enumerate(zip(teacher, row, strict=True)):
                total = total + (share[:, s, t] * (project(own) - other).square().mean(1)).mean()
        return total

    def _rows(self, f: Tensor) -> Tensor:
        """Each recording's similarities to its batch, the largest first, ``[N, batch]``."""
        f = F.normalize(f.detach(), dim=1)
        rows = (f @ f.T).sort(1, descending=True).values
        if rows.shape[1] == self.batch:
            return rows
        return F.interpolate(rows[:, None], size=self.batch, mode="linear", align_corners=True)[:, 0]
