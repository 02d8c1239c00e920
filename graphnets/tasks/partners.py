"""The correct repetition that a wrong one should have been."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphnets.data import Partners, Store
from graphnets.losses.movement import comparable
from graphnets.nn.soft_dtw import soft_dtw_divergence
from graphnets.transforms import Center, Resample

CHUNK = 256
"""Pairs compared at once."""


class NearestCorrect(Partners):
    """The subject's own correct repetition that comes nearest (Zhao et al. 2022, arXiv 2208.03257, section 3.1).

    Nearest by soft-DTW divergence of the positions, centred at the pelvis (its mean over the clip), among the correct
    repetitions of the same subject and exercise. A correct repetition, and one without a label, is its own partner:
    there is nothing to correct.
    Only repetitions on the same side of the protocol are compared, as a subject is on one side.

    Args:
        label: The label that says whether a repetition is correct.
        correct: Its values for those that are.
        within: Labels that partners share, such as the exercise.
        modality: Whose positions are compared, and which comes along.
        name: What it is called in the batch.
        frames: To which repetitions are resampled for the comparison.
        gamma: Smoothing of the soft minimum, in squared units of the positions.

    Raises:
        ValueError: ``frames`` is less than 2.
    """

    def __init__(
        self,
        label: str = "correctness",
        correct: list[str] | None = None,
        within: list[str] | None = None,
        modality: str = "pose",
        name: str = "target",
        frames: int = 50,
        gamma: float = 0.01,
    ) -> None:
        super().__init__(modality, name)
        if frames < 2:
            raise ValueError(f"frames is {frames}; at least 2")
        self.label, self.correct = label, list(correct or ["correct"])
        self.within = list(["exercise"] if within is None else within)
        self.frames, self.gamma = frames, gamma

    def find(self, store: Store, rows: np.ndarray) -> Tensor:
        """See :meth:`Partners.find`."""
        index = store.index.iloc[rows]
        for name in (self.label, *self.within):
            if name not in store.card["labels"]:
                raise ValueError(
                    f"the store {store.path} has no label {name!r}; it has {', '.join(store.card['labels'])}"
                )
        right = index[self.label].isin(self.correct).to_numpy()
        known = index[self.label].notna().to_numpy()  # of what nobody labelled, nobody knows what to correct
        keys = list(zip(index["subject"], *(index[name] for name in self.within), strict=True))
        groups: dict[tuple[str, ...], list[int]] = {}
        for place in np.flatnonzero(right):
            groups.setdefault(keys[place], []).append(int(place))
        if alone := [i for i in np.flatnonzero(known) if keys[i] not in groups]:
            raise ValueError(
                f"{len(alone)} repetitions have no correct one of the same subject and {', '.join(self.within)}, "
                f"e.g. {index['id'].iloc[alone[0]]} ({self.label} is one of {', '.join(self.correct)})"
            )
        wrong = [int(i) for i in np.flatnonzero(known & ~right)]
        pairs = torch.tensor([(i, j) for i in wrong for j in groups[keys[i]]], dtype=torch.int64).reshape(-1, 2)
        divergence = self._divergences(store, rows, pairs)
        partner = np.arange(len(rows))
        best = dict.fromkeys(wrong, np.inf)
        for (i, j), value in zip(pairs.tolist(), divergence.tolist(), strict=True):
            if value < best[i]:
                best[i], partner[i] = value, j
        found = torch.full((len(store),), -1, dtype=torch.int64)
        found[torch.as_tensor(rows)] = torch.as_tensor(np.asarray(rows)[partner])
        return found

    @torch.no_grad()
    def _divergences(self, store: Store, rows: np.ndarray, pairs: Tensor) -> Tensor:
        """Of pairs of places in rows, ``[P]``."""
        if not len(pairs):
            return torch.zeros(0)
        center, resample = Center(modality=self.modality), Resample(self.frames, self.modality)
        moved, masks = [], []
        for part in torch.as_tensor(rows).split(CHUNK):
            here = center(resample(store.read(part, [self.modality])))[self.modality]
            moved.append(here.x)
            masks.append(here.mask)
        x, mask = torch.cat(moved), torch.cat(masks)
        parts = ((i, j) for i, j in (p.T for p in pairs.split(CHUNK)))
        both = (comparable(x[i], mask[i], x[j], mask[j]) for i, j in parts)
        return torch.cat([soft_dtw_divergence(a, b, self.gamma) for a, b in both])
