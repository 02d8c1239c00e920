"""Distillation of features: hints, attention maps, similarities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.losses.base import Criterion


class Hint(Criterion):
    r"""The student's features, mapped by a learned projection, as the teacher's (Romero et al. 2015, arXiv 1412.6550).

    .. math:: L = \frac{1}{N D_T} \sum_n \|W f^S_n + b - f^T_n\|^2

    On the embeddings before the classifier it is the *semantic* term of SAKDN and DASK (Liu et al. 2021,
    arXiv 2009.00210, Eq. 12; Ni et al. 2022, arXiv 2112.01849).

    Args:
        in_channels: D_S.
        out_channels: D_T.

    Shapes:
        Student ``[N, ..., D_S]``, teacher ``[N, ..., D_T]`` -> scalar.
    """

    reads = ("embedding",)

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_channels, out_channels)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss."""
        return F.mse_loss(self.project(student), teacher.detach())


class AttentionTransfer(Criterion):
    r"""Where the features are large (Zagoruyko and Komodakis 2017, arXiv 1612.03928, Eq. 2).

    .. math:: L = \frac{1}{N} \sum_n \left\| \frac{a^S_n}{\|a^S_n\|} - \frac{a^T_n}{\|a^T_n\|} \right\|^2, \qquad
              a_{nt} = \operatorname{mean}_{d} f_{ntd}^2

    over frames: two modalities have no joints in common, but the same span of time. Frames that one of the two lacks
    don't count.

    Shapes:
        Student ``[N, T, D_S]`` and teacher ``[N, T', D_T]``, brought to the student's frames; masks ``[N, T]`` and
        ``[N, T']``, or None -> scalar.
    """

    reads = ("frames", "seen")

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        student_mask: Tensor | None = None,
        teacher_mask: Tensor | None = None,
    ) -> Tensor:
        """The loss."""
        frames = student.shape[1]
        kind = torch.promote_types(student.dtype, torch.float32)
        own = student.to(kind).square().mean(-1)
        other = _to_frames(teacher.detach().to(kind).square().mean(-1), frames)
        for mask in (student_mask, teacher_mask):
            if mask is not None:
                seen = _to_frames(mask.to(own.dtype), frames) > 0.5
                own, other = own.masked_fill(~seen, 0), other.masked_fill(~seen, 0)
        return (F.normalize(own, dim=1) - F.normalize(other, dim=1)).square().sum(1).mean()


class SimilarityPreserving(Criterion):
    r"""Which recordings of a batch are alike (Tung and Mori 2019, arXiv 1907.09682, Eq. 4).

    .. math:: L = \frac{1}{N^2} \|G^S - G^T\|_F^2, \qquad
              G_{i} = \frac{(f_i^\top f_1, \dots, f_i^\top f_N)}{\|(f_i^\top f_1, \dots, f_i^\top f_N)\|}

    Shapes:
        Student ``[N, D_S]``, teacher ``[N, D_T]`` -> scalar.
    """

    reads = ("embedding",)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss."""
        return (_similarity(student) - _similarity(teacher.detach())).square().mean()


def _similarity(f: Tensor) -> Tensor:
    f = f.flatten(1)
    with torch.autocast(f.device.type, enabled=False):  # squares of norms leave the range of half precision
        f = f.float() if f.dtype in (torch.float16, torch.bfloat16) else f
        return F.normalize(f @ f.T, dim=1)


def _to_frames(values: Tensor, frames: int) -> Tensor:
    """``[N, T]`` read at ``frames`` times over the same span, linearly; the first and last ones coincide."""
    if values.shape[1] == frames:
        return values
    return F.interpolate(values[:, None], size=frames, mode="linear", align_corners=True)[:, 0]
