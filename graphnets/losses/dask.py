"""DASK: distances, angles, semantics and predictions together."""

from __future__ import annotations

from torch import Tensor

from graphnets.losses.base import Criterion
from graphnets.losses.features import Hint
from graphnets.losses.kd import KnowledgeDistillation
from graphnets.losses.relational import AngleLoss, DistanceLoss

TERMS = ("prediction", "distance", "angle", "semantic")


class DASK(Criterion):
    r"""Distance and angle-wise structural knowledge with semantics (Ni et al. 2022, arXiv 2112.01849).

    .. math:: L = \lambda_P L_{KD} + \lambda_D L_D + \lambda_A L_A + \lambda_S L_S

    the sum that the paper intends: what the authors' release optimises leaves out distances, angles and semantics.

    Args:
        in_channels: D_S, the width of the student's embeddings.
        out_channels: D_T, that of the teacher's.
        prediction: :math:`\lambda_P`, of :class:`KnowledgeDistillation`.
        distance: :math:`\lambda_D`, of :class:`DistanceLoss`.
        angle: :math:`\lambda_A`, of :class:`AngleLoss`.
        semantic: :math:`\lambda_S`, of :class:`Hint` on the embeddings.
        temperature: T, of the predictions.

    Shapes:
        Embeddings ``[N, D_S]`` and ``[N, D_T]``, logits ``[N, K]`` of both -> scalar.

    Raises:
        ValueError: A weight is below 0, or all are 0.
    """

    reads = ("embedding", "logits")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        prediction: float = 0.01,
        distance: float = 1.0,
        angle: float = 1.0,
        semantic: float = 1.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__()
        self.weights = dict(zip(TERMS, (prediction, distance, angle, semantic), strict=True))
        if min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise ValueError(f"the weights of DASK's terms are {self.weights}; none may be below 0, nor all be 0")
        self.prediction, self.distance = KnowledgeDistillation(temperature), DistanceLoss()
        self.angle = AngleLoss()
        if semantic > 0:  # a projection that nothing trains would stop a parallel training
            self.semantic = Hint(in_channels, out_channels)

    def terms(
        self, student: Tensor, teacher: Tensor, student_logits: Tensor, teacher_logits: Tensor
    ) -> dict[str, Tensor]:
        """Each term that weighs anything, unweighted."""
        logits, embeddings = (student_logits, teacher_logits), (student, teacher)
        return {
            name: getattr(self, name)(*(logits if name == "prediction" else embeddings))
            for name in TERMS
            if self.weights[name] > 0
        }

    def forward(self, student: Tensor, teacher: Tensor, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The loss."""
        found = self.terms(student, teacher, student_logits, teacher_logits)
        total: Tensor = sum((self.weights[name] * value for name, value in found.items()), student.new_zeros(()))
        return total
