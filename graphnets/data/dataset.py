"""Reading a store: a data set of some of its sequences, and the LightningDataModule over a protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader, Dataset, Sampler

from graphnets.data.motion import MotionBatch, MotionSequence
from graphnets.data.partners import Partners
from graphnets.data.protocols import Protocol, Split, named_protocol
from graphnets.data.store import Store
from graphnets.runtime import epoch_seed


class MotionDataset(Dataset[MotionSequence]):
    """Some sequences of a store. A list of positions is read as one batch, by one indexed read a modality.

    Args:
        store: The store.
        rows: Rows of its index; all by default.
        modalities: Which to read; all by default.
        partners: Who comes along with each sequence, found among ``rows`` alone; nobody by default. Batches have the
            partner's modality under the partners' ``name``, and its labels and id as ``<name>_<label>``, ``<name>_id``.

    Raises:
        ValueError: A modality that the store doesn't have, or a sequence without a partner.

    Example:
        >>> dataset = MotionDataset(Store("stores/utd_mhad"), modalities=["pose"])
        >>> dataset.__getitems__([0, 5, 7])["pose"].x.shape
        torch.Size([3, 98, 20, 3])
    """

    def __init__(
        self,
        store: Store,
        rows: Sequence[int] | np.ndarray | None = None,
        modalities: Sequence[str] | None = None,
        partners: Partners | None = None,
    ) -> None:
        self.store = store
        self.rows = torch.arange(len(store)) if rows is None else torch.as_tensor(np.asarray(rows, dtype=np.int64))
        self.modalities = list(modalities) if modalities is not None else store.modalities
        for name in self.modalities:
            store.arrays(name)
        self.partners = partners
        if partners is not None:
            if partners.name in self.modalities:
                raise ValueError(f"partners can't come as {partners.name!r}: the store has a modality of that name")
            self._beside = partners.find(store, self.rows.numpy()) if len(self.rows) else self.rows

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.rows)

    def __getitem__(self, position: int) -> MotionSequence:
        """One sequence, without padding."""
        row = int(self.rows[position])
        sequence = self.store.sequence(row, self.modalities)
        if self.partners is not None:
            arrays = self.store.arrays(self.partners.modality)
            sequence.put_modality(self.partners.name, arrays.sequence(int(self._beside[row])))
        return sequence

    def __getitems__(self, positions: Sequence[int] | torch.Tensor) -> MotionBatch:
        """Several sequences as a batch; PyTorch's loaders call this with a whole batch of positions."""
        rows = self.rows[torch.as_tensor(positions)]
        batch = self.store.read(rows, self.modalities)
        if self.partners is not None:
            beside, name = self._beside[rows], self.partners.name
            theirs = self.store.read(beside, [self.partners.modality])
            batch.put_modality(name, dict(theirs[self.partners.modality]))
            labels = {f"{name}_{label}": theirs[label] for label in self.store.labels}
            batch.put_attributes({**labels, f"{name}_id": theirs.id})
        return batch


class EpochShuffle(Sampler[int]):
    """A shuffled order that depends on the seed and the epoch alone, so that a resumed run goes on with its own order.

    Args:
        size: How many there are to shuffle.
        seed: Of all orders.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """The length of an epoch."""
        return self.size

    def __iter__(self) -> Iterator[int]:
        """One epoch's order."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        return iter(torch.randperm(self.size, generator=generator).tolist())


class MotionDataModule(pl.LightningDataModule):
    """A store under a protocol.

    Args:
        store: The store's folder, or an open store.
        protocol: The name of a protocol on the store's card, or a :class:`~graphnets.data.Protocol`.
        batch_size: Sequences a batch.
        modalities: Which to read; all by default.
        incomplete: Keep recordings that lack one of the modalities; without it they are left out, with a warning.
        workers: Processes that read ahead; 0 reads in the training process, which is the fastest for what fits into
            memory.
        seed: Of the order of the training sequences; by default the seed of the run (``--seed_everything``).
        partners: Who comes along with each sequence as a further modality, such as the correct repetition that a
            wrong one should have been; found on each side of the protocol by itself.

    Raises:
        ValueError: The store or the protocol is wrong, or a sequence has no partner.
    """

    def __init__(
        self,
        store: str | Path | Store,
        protocol: str | Protocol,
        batch_size: int = 32,
        modalities: list[str] | None = None,
        incomplete: bool = False,
        workers: int = 0,
        seed: int | None = None,
        partners: Partners | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; at least 1")
        if workers < 0:
            raise ValueError(f"workers is {workers}; at least 0")
        self.store = store if isinstance(store, Store) else Store(store)
        self.protocol = named_protocol(self.store.card, protocol) if isinstance(protocol, str) else protocol
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.modalities = modalities
        self.rows: Split = self.protocol.split(self.store.index)
        if not incomplete:
            self.rows = self._complete(self.rows)
        self.train_set, self.val_set, self.test_set = (
            MotionDataset(self.store, rows, modalities, partners)
            for rows in (self.rows.train, self.rows.val, self.rows.test)
        )

    def _complete(self, rows: Split) -> Split:
        """Leave out the recordings that lack a modality."""
        names = self.store.modalities if self.modalities is None else self.modalities
        there = torch.stack([self.store.arrays(name).length > 0 for name in names]).all(0).numpy()
        kept = Split(*(side[there[side]] for side in (rows.train, rows.val, rows.test)))
        lost = sum(len(side) for side in (rows.train, rows.val, rows.test)) - sum(
            len(side) for side in (kept.train, kept.val, kept.test)
        )
        if lost:
            rank_zero_warn(f"{lost} recordings lack one of the modalities {', '.join(names)} and are left out")
        if not len(kept.train) or not len(kept.test):
            raise ValueError(f"no recording of the training or the test side has all of {', '.join(names)}")
        return kept

    def train_dataloader(self) -> DataLoader[Any]:
        """Training sequences, shuffled; a last incomplete batch is dropped unless it is the only one."""
        seed = self.seed if self.seed is not None else torch.initial_seed() % 2**31
        sampler = EpochShuffle(len(self.train_set), seed)
        return self._loader(self.train_set, sampler=sampler, drop_last=len(self.train_set) > self.batch_size)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Validation sequences in the order of the index; an empty list when the protocol has none."""
        return self._loader(self.val_set) if len(self.val_set) else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test sequences in the order of the index."""
        return self._loader(self.test_set)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The test sequences."""
        return self.test_dataloader()

    def _loader(self, dataset: MotionDataset, **options: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=_as_it_is,
            **options,
        )


def _as_it_is(batch: Any) -> Any:
    """The data set hands out whole batches already."""
    return batch
