"""Distillation of predictions: temperature, decoupled, confidence-gated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from graphnets.losses.base import Criterion


def divergences(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    r"""Each recording's :math:`T^2\,\mathrm{KL}(\sigma(z^T / T) \,\|\, \sigma(z^S / T))`, ``[N]``."""
    check_logits(student, teacher)
    log_p, log_q = (torch.log_softmax(z / temperature, 1) for z in (teacher.detach(), student))
    return (log_p.exp() * (log_p - log_q)).sum(1) * temperature**2


def check_logits(student: Tensor, teacher: Tensor) -> None:
    """Raises ValueError unless both are ``[N, K]``."""
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(f"logits are [N, K] of both, not {list(student.shape)} and {list(teacher.shape)}")


def positive(name: str, value: float) -> float:
    """Check an argument.

    Raises:
        ValueError: It is not above 0.
    """
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}; it must be above 0 and finite")
    return value


class KnowledgeDistillation(Criterion):
    r"""Follow the teacher's probabilities (Hinton et al. 2015, arXiv 1503.02531, section 2).

    .. math:: L = \frac{T^2}{N} \sum_n \mathrm{KL}\left(\sigma(z^T_n / T) \,\|\, \sigma(z^S_n / T)\right)

    Args:
        temperature: T.

    Shapes:
        Logits ``[N, K]`` of student and teacher -> scalar.
    """

    reads = ("logits",)

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss."""
        return divergences(student, teacher, self.temperature).mean()


class DecoupledKD(Criterion):
    r"""Target and non-target classes weighed apart (Zhao et al. 2022, arXiv 2203.08679, Eq. 7).

    With :math:`b = [p_y, 1 - p_y]` and :math:`\hat p` the probabilities of the other classes among themselves,

    .. math:: L = T^2 \left[\alpha\, \mathrm{KL}(b^T \| b^S) + \beta\, \mathrm{KL}(\hat p^T \| \hat p^S)\right]

    averaged over the labelled recordings; :math:`\alpha = 1, \beta = 1 - p^T_y` would be plain distillation.

    Args:
        alpha: Weight of the target class.
        beta: Weight of the others.
        temperature: T.

    Shapes:
        Logits ``[N, K]`` of student and teacher, labels ``[N]`` int64, -1 = unlabelled -> scalar.
    """

    reads = ("logits", "label")

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0) -> None:
        super().__init__()
        if min(alpha, beta) < 0:
            raise ValueError(f"alpha is {alpha} and beta {beta}; neither may be below 0")
        self.alpha, self.beta, self.temperature = alpha, beta, positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor, label: Tensor) -> Tensor:
        """The loss; 0 without a labelled recording."""
        check_logits(student, teacher)
        known = label >= 0
        own = F.one_hot(label.clamp(min=0), student.shape[1]).bool()
        logs = [torch.log_softmax(z / self.temperature, 1) for z in (teacher.detach(), student)]
        # log p_y, and log(1 - p_y) as the sum of the others: exact where p_y is nearly 1.
        target = [(z.masked_fill(~own, 0).sum(1), z.masked_fill(own, -torch.inf).logsumexp(1)) for z in logs]
        (t_own, t_rest), (s_own, s_rest) = target
        binary = t_own.exp() * (t_own - s_own) + t_rest.exp() * (t_rest - s_rest)
        others = [z.masked_fill(own, 0) - rest[:, None] for z, rest in zip(logs, (t_rest, s_rest), strict=True)]
        share = others[0].exp().masked_fill(own, 0)
        rest = (share * (others[0] - others[1]).masked_fill(own, 0)).sum(1)
        each = (self.alpha * binary + self.beta * rest) * self.temperature**2
        return each.masked_fill(~known, 0).sum() / known.sum().clamp(min=1)


class GatedDistillation(Criterion):
    r"""Follow the teacher only where it knows better: a gate by confidence (after Ni et al. 2022, arXiv 2208.08090).

    .. math:: L = \frac{1}{N} \sum_n g_n\, T^2\, \mathrm{KL}(\sigma(z^T_n/T) \| \sigma(z^S_n/T)), \qquad
              g_n = \left[\sigma(z^T_n)_{y_n} > \sigma(z^S_n)_{y_n}\right]

    The gate passes no gradient. Where a recording has no label, the confidence is the largest probability.

    Args:
        temperature: T.

    Shapes:
        Logits ``[N, K]`` of student and teacher, labels ``[N]`` int64, -1 = unlabelled -> scalar.
    """

    reads = ("logits", "label")

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor, label: Tensor) -> Tensor:
        """The loss."""
        each = divergences(student, teacher, self.temperature)
        return (each * (self._confidence(teacher, label) > self._confidence(student, label))).mean()

    @staticmethod
    def _confidence(logits: Tensor, label: Tensor) -> Tensor:
        p = logits.detach().softmax(1)
        return torch.where(label >= 0, p.gather(1, label.clamp(min=0)[:, None])[:, 0], p.amax(1))
