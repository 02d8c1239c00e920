"""Who stands beside whom: a second recording for each one, as a further modality of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from graphnets.data.store import Store


class Partners(ABC):
    """Finds for each recording another one, whose movement comes along as the modality ``name``.

    Args:
        modality: Which of the partner's modalities.
        name: What it is called in the batch.
    """

    def __init__(self, modality: str = "pose", name: str = "target") -> None:
        self.modality, self.name = modality, name

    @abstractmethod
    def find(self, store: Store, rows: np.ndarray) -> Tensor:
        """The partner of each row of the store.

        Args:
            store: The store.
            rows: Rows that need one, and that may be one.

        Returns:
            ``[len(store)]`` int64, -1 for the rows that weren't asked for.

        Raises:
            ValueError: A recording has none.
        """
