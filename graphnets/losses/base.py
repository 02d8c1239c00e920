"""What every loss of distillation says of itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from graphnets.spec import Configurable

READABLE = ("logits", "embedding", "frames", "seen", "layers", "label")
"""What a criterion can compare: predictions ``[N, K]``, embeddings ``[N, D]``, features over time ``[N, T', D]`` and in
which of those frames anything was observed ``[N, T']``, lists
of embeddings ``[N, D]`` of several layers; and the recordings' labels ``[N]`` of which there is but one side."""


class Criterion(Configurable):
    """Compares a student with a teacher.

    A subclass lists in ``reads`` what it compares, out of :data:`READABLE`, and takes in ``forward`` for each of them
    the student's and the teacher's, in this order; ``"label"``, if any, comes last and once.
    """

    reads: ClassVar[tuple[str, ...]]

    @abstractmethod
    def forward(self, *compared: Any) -> Tensor:
        """A scalar; no gradient reaches the teacher."""
