"""Distillation of regressions over time: what is predicted, and the features behind it, frame by frame."""

from __future__ import annotations

from torch import Tensor, nn

from graphnets.losses.base import Criterion


class SeriesMatching(Criterion):
    r"""The teacher's curves as targets, each on a scale of its own (the prediction term of Hossain et al. 2025).

    .. math:: L = \frac1K \sum_k \frac{\overline{(\hat y^S_k - \hat y^T_k)^2}}{\mathrm{var}(\hat y^T_k) + \epsilon}

    with mean and variance over the batch's recordings and frames. The paper (doi 10.1371/journal.pone.0335257) takes
    the root of the mean over all targets, in which those of the largest unit drown the others.

    Args:
        eps: :math:`\epsilon`.

    Shapes:
        Student and teacher ``[N, T, K]`` -> scalar.
    """

    reads = ("logits",)

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss.

        Raises:
            ValueError: The two differ in shape, or aren't curves.
        """
        if student.ndim != 3 or student.shape != teacher.shape:
            raise ValueError(f"curves are [N, T, K] of both, not {list(student.shape)} and {list(teacher.shape)}")
        teacher = teacher.detach()
        spread = teacher.var((0, 1), unbiased=False) + self.eps
        loss: Tensor = ((student - teacher).square().mean((0, 1)) / spread).mean()
        return loss


class FrameHint(Criterion):
    r"""A :class:`graphnets.losses.Hint` at every frame that both observe: the feature matching of Hossain et al. 2025.

    .. math:: L = \frac{1}{|M| D_T} \sum_{(n, t) \in M} \|W f^S_{nt} + b - f^T_{nt}\|^2

    Args:
        in_channels: D_S.
        out_channels: D_T.

    Shapes:
        Student ``[N, T, D_S]``, teacher ``[N, T, D_T]``, where each observed anything ``[N, T]`` -> scalar.
    """

    reads = ("frames", "seen")

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_channels, out_channels)

    def forward(self, student: Tensor, teacher: Tensor, student_seen: Tensor, teacher_seen: Tensor) -> Tensor:
        """The loss; 0 without a common frame.

        Raises:
            ValueError: The two differ in frames.
        """
        if student.shape[:2] != teacher.shape[:2]:
            raise ValueError(f"the student has {student.shape[1]} frames, the teacher {teacher.shape[1]}")
        both = (student_seen & teacher_seen)[..., None]
        wrong = (self.project(student) - teacher.detach()).square() * both
        loss: Tensor = wrong.sum() / (both.sum() * teacher.shape[2]).clamp(min=1)
        return loss
