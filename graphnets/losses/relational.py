"""Relational distillation: distances and angles in a batch (Park et al. 2019, arXiv 1904.05068)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from graphnets.losses.base import Criterion

ENTRIES = 1 << 18
"""Of each temporary of the angle loss: what stays in a core's cache."""
SMALL = 1e-12
"""Squared distances below this share of the largest are those of equal points."""


class DistanceLoss(Criterion):
    r"""The pairwise distances of the student's embeddings as those of the teacher's, each relative to their mean.

    .. math:: L_D = \frac{1}{N^2} \sum_{ij} h\left(\tilde D^S_{ij} - \tilde D^T_{ij}\right), \qquad
              \tilde D_{ij} = \frac{\|f_i - f_j\|}{\operatorname{mean}_{D_{kl} > 0} \|f_k - f_l\|}

    with :math:`h` Huber's function, quadratic below 1 (Eq. 7 to 9 there). Invariant to rotation, translation and scale
    of either embedding.

    Shapes:
        Student ``[N, D_S]``, teacher ``[N, D_T]`` -> scalar.
    """

    reads = ("embedding",)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss; 0 for a single recording."""
        return F.smooth_l1_loss(_relative(student), _relative(teacher.detach()))


class AngleLoss(Criterion):
    r"""The angles of all triples of the student's embeddings as those of the teacher's.

    .. math:: L_A = \frac{1}{N^3} \sum_{ijk} h\left(\psi^S_{ijk} - \psi^T_{ijk}\right), \qquad
              \psi_{ijk} = \left\langle \frac{f_i - f_j}{\|f_i - f_j\|}, \frac{f_k - f_j}{\|f_k - f_j\|} \right\rangle

    (Eq. 10 to 12 there), 0 where two of the points are the same. All of it follows from the Gram matrix, vertex by
    vertex, and the gradient is computed along with the value, so memory is O(N^2) rather than O(N^2 D) or O(N^3).
    Invariant to rotation, translation and scale of either embedding.

    Shapes:
        Student ``[N, D_S]``, teacher ``[N, D_T]`` -> scalar.
    """

    reads = ("embedding",)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss."""
        exact = torch.promote_types(student.dtype, torch.float32)
        loss: Tensor = _Angle.apply(_gram(student.to(exact)), _gram(teacher.detach().to(exact)))
        return loss


def _relative(f: Tensor) -> Tensor:
    """Distances ``[N, N]`` over their mean."""
    gram = _gram(f.to(torch.promote_types(f.dtype, torch.float32)))
    squares, same = _squares(gram)
    # The root of 0 has no gradient: equal points are taken out before it.
    distances = squares.masked_fill(same, 1.0).sqrt().masked_fill(same, 0.0)
    return distances / (distances.sum() / (~same).sum().clamp(min=1)).clamp(min=torch.finfo(f.dtype).tiny)


def _gram(f: Tensor) -> Tensor:
    """Inner products ``[N, N]`` about the mean, where differences lose least to rounding."""
    with torch.autocast(f.device.type, enabled=False):
        centred = f - f.mean(0)
        return centred @ centred.T


def _squares(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances ``[N, N]``, and which points are the same."""
    own = gram.diagonal()
    squares = (own[:, None] + own[None] - 2 * gram).clamp(min=0)
    epsilon = SMALL if gram.dtype == torch.float64 else 1e-6
    return squares, squares <= epsilon * squares.detach().amax()


class _Angle(torch.autograd.Function):
    """Value and gradient with respect to the student's Gram matrix in one pass over the vertices."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        n = len(student)
        total, gradient = student.new_zeros(()), torch.zeros_like(student)
        inverse = [_inverse(gram) for gram in (student, teacher)]
        for vertices in torch.arange(n, device=student.device).split(max(1, ENTRIES // (n * n))):
            psi, other = (_cosines(g, i, vertices) for g, i in zip((student, teacher), inverse, strict=True))
            wrong = psi - other
            slope = wrong.clamp(-1, 1)  # of Huber's function
            # h(d) = c (d - c / 2) with c = clip(d)
            total += (slope * (wrong - 0.5 * slope)).sum()
            if not ctx.needs_input_grad[0]:
                continue
            share = inverse[0][vertices]  # 1 / |f_i - f_j|, [chunk, N]
            # By the numerator G_ik - G_ij - G_jk + G_jj ...
            by_square = (slope * psi).sum(2) * share.square()
            by_numerator = slope.mul_(share[:, :, None]).mul_(share[:, None, :])
            rows = by_numerator.sum(2)
            gradient += by_numerator.sum(0)
            gradient[vertices] -= rows
            gradient[:, vertices] -= rows.T
            # ... and by the squared distances G_ii + G_jj - 2 G_ij in the denominator.
            gradient.diagonal().sub_(by_square.sum(0))
            gradient[vertices, vertices] += rows.sum(1) - by_square.sum(1)
            gradient[vertices] += by_square
            gradient[:, vertices] += by_square.T
        ctx.save_for_backward(gradient / n**3)
        return total / n**3

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None


def _inverse(gram: Tensor) -> Tensor:
    squares, same = _squares(gram)
    return squares.rsqrt().masked_fill(same, 0.0)


def _cosines(gram: Tensor, inverse: Tensor, vertices: Tensor) -> Tensor:
    """``psi_ijk`` for the vertices j, ``[chunk, N, N]``."""
    rows = gram[vertices]
    own = gram[vertices, vertices][:, None]
    shifted = rows - 0.5 * own
    numerator = gram[None] - shifted[:, :, None] - shifted[:, None, :]
    share = inverse[vertices]
    return numerator.mul_(share[:, :, None]).mul_(share[:, None, :])
