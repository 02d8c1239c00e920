from __future__ import annotations

import pytest
import torch

from graphnets.data import LeaveOneSubjectOut, MotionBatch, MotionDataModule, MotionDataset, Store, Subjects
from graphnets.data.dataset import EpochShuffle


def check_same(one: MotionBatch, other: MotionBatch) -> None:
    assert one.modalities == other.modalities and one.id == other.id and one.subject == other.subject
    for name in one.modalities:
        for key in ("x", "mask", "fps"):
            assert torch.equal(one[name][key], other[name][key])
    assert torch.equal(one.exercise, other.exercise)


def test_a_data_set_is_some_rows_of_a_store(small_store: Store) -> None:
    dataset = MotionDataset(small_store, [5, 2, 9], ["pose"])
    assert len(dataset) == 3
    check_same(dataset.__getitems__([2, 0]), small_store.read([9, 5], ["pose"]))
    single = dataset[1]
    assert single.id == small_store.ids[2] and single.modalities == ["pose"]
    assert torch.equal(single["pose"].x, small_store[2]["pose"].x)
    assert len(MotionDataset(small_store)) == 12
    with pytest.raises(ValueError, match="no modality 'video'"):
        MotionDataset(small_store, modalities=["video"])
    with pytest.raises(IndexError):
        dataset[3]


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        shuffle = EpochShuffle(50, seed)
        shuffle.set_epoch(epoch)
        return list(shuffle)

    assert order(1, 3) == order(1, 3) and sorted(order(1, 3)) == list(range(50))
    orders = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9 and len(EpochShuffle(50, 0)) == 50


def test_loaders_follow_the_protocol(small_store: Store) -> None:
    module = MotionDataModule(small_store, "validated", batch_size=2, incomplete=True, seed=3)
    train = [id for batch in module.train_dataloader() for id in batch.id]
    assert (
        set(train) <= {id for id in small_store.ids if id.startswith("s1_")} and len(train) == 2
    )  # the last is dropped
    val = list(module.val_dataloader())
    check_same(val[0], small_store.read(module.rows.val[:2]))
    assert [id for batch in val for id in batch.id] == [id for id in small_store.ids if id.startswith("s2_")]
    test = [id for batch in module.test_dataloader() for id in batch.id]
    assert test == [id for id in small_store.ids if id[:3] in ("s3_", "s10")]
    assert test == [id for batch in module.predict_dataloader() for id in batch.id]
    assert MotionDataModule(small_store, "official").val_dataloader() == []


def test_recordings_without_a_modality_are_left_out(small_store: Store) -> None:
    lacking = {id for id, n in zip(small_store.ids, small_store.arrays("imu").length.tolist(), strict=True) if n == 0}
    assert lacking
    every = MotionDataModule(small_store, "validated", incomplete=True)
    with pytest.warns(UserWarning, match="lack one of the modalities"):
        complete = MotionDataModule(small_store, "validated")
    for side in ("train", "val", "test"):
        kept = small_store.ids[getattr(complete.rows, side)].tolist()
        assert kept == [id for id in small_store.ids[getattr(every.rows, side)] if id not in lacking]
    one = MotionDataModule(small_store, "validated", modalities=["pose"])
    assert len(one.test_set) == len(every.test_set)


def test_training_batches_are_shuffled_and_repeatable(small_store: Store) -> None:
    def epochs(seed: int | None) -> list[list[str]]:
        loader = MotionDataModule(small_store, "official", batch_size=3, seed=seed).train_dataloader()
        result = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            result.append([id for batch in loader for id in batch.id])
        return result

    first, second = epochs(0)
    assert len(first) == 6 and len(set(first)) == 6 and first != second
    assert epochs(0) == [first, second] and epochs(1) != [first, second]
    torch.manual_seed(5)
    by_run = epochs(None)
    torch.manual_seed(5)
    assert epochs(None) == by_run


def test_a_training_side_smaller_than_a_batch_is_one_batch(small_store: Store) -> None:
    module = MotionDataModule(small_store, "validated", batch_size=64)
    assert [len(batch) for batch in module.train_dataloader()] == [3]


def test_any_protocol_and_an_open_path(small_store: Store) -> None:
    module = MotionDataModule(small_store.path, LeaveOneSubjectOut(3), modalities=["imu"])
    assert {subject for batch in module.test_dataloader() for subject in batch.subject} == {"s10"}
    assert next(iter(module.test_dataloader())).modalities == ["imu"]


def test_worker_processes_read_the_same(small_store: Store) -> None:
    at_home = MotionDataModule(small_store, "official", batch_size=4).test_dataloader()
    away = MotionDataModule(small_store, "official", batch_size=4, workers=1).test_dataloader()
    for one, other in zip(at_home, away, strict=True):
        check_same(one, other)
        assert other["pose"].channels == ("x", "y", "z") and other["pose"].skeleton == small_store.skeleton("pose")


def test_what_is_refused(small_store: Store) -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        MotionDataModule(small_store, "official", batch_size=0)
    with pytest.raises(ValueError, match="workers is -1"):
        MotionDataModule(small_store, "official", workers=-1)
    with pytest.raises(ValueError, match="no protocol 'best'"):
        MotionDataModule(small_store, "best")
    with pytest.raises(ValueError, match="not in the data"):
        MotionDataModule(small_store, Subjects(["s1"], ["nobody"]))
    with pytest.raises(ValueError, match="no modality 'video'"):
        MotionDataModule(small_store, "official", modalities=["video"])
