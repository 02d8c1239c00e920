"""Partners: the nearest correct repetition of the same person and exercise, on one's own side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphnets.data import MotionDataModule, MotionDataset, Store, StoreWriter
from graphnets.tasks import NearestCorrect

CARD = {
    "name": "reps", "title": "Repetitions", "description": "Made for tests", "licence": "MIT", "source": "tests",
    "modalities": {"pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"]}},
    "labels": {"exercise": {"classes": ["squat", "lunge"]}, "correctness": {"classes": ["correct", "incorrect"]}},
    "protocols": {"split": {"train": ["a"], "val": ["b"], "test": ["c"]}},
}  # fmt: skip


def movement(depth: float, frames: int, place: float = 0.0) -> np.ndarray:
    """Hips and head go down by ``depth`` and up again."""
    x = np.zeros((frames, 20, 3))
    x[:, :, 0] = place + np.linspace(0, 1, 20)
    x[:, :4, 1] -= depth * np.sin(np.linspace(0, np.pi, frames))[:, None]
    return x


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Of each subject and exercise two correct depths, 1.0 and 0.6, and two wrong ones near to one of them."""
    with StoreWriter(tmp_path / "store", CARD) as writer:
        for subject in "abc":
            for exercise, shift in (("squat", 0.0), ("lunge", 0.1)):
                for depth, label in ((1.0, "correct"), (0.6, "correct"), (0.7, "incorrect"), (0.95, "incorrect")):
                    x = movement(depth + shift, 20 + int(30 * depth), place=ord(subject) - 97 + depth)
                    name = f"{subject}_{exercise}_{depth}"
                    writer.add(name, subject, {"pose": (x, None, 30.0)}, {"exercise": exercise, "correctness": label})
    return Store(tmp_path / "store")


def test_the_nearest_one_whatever_tempo_and_place(store: Store) -> None:
    found = NearestCorrect().find(store, np.arange(len(store)))
    nearest = {1.0: 1.0, 0.6: 0.6, 0.7: 0.6, 0.95: 1.0}
    for row, name in enumerate(store.ids.tolist()):
        subject, exercise, depth = name.split("_")
        assert store.ids[int(found[row])] == f"{subject}_{exercise}_{nearest[float(depth)]}"


def test_it_comes_along_as_a_modality(store: Store) -> None:
    data = MotionDataModule(store, "split", batch_size=4, partners=NearestCorrect())
    batch = data.train_set.__getitems__([2, 0, 3])
    assert batch.modalities == ["pose", "target"] and batch.id == ["a_squat_0.7", "a_squat_1.0", "a_squat_0.95"]
    for i, expected in enumerate(("a_squat_0.6", "a_squat_1.0", "a_squat_1.0")):
        row = store.ids.tolist().index(expected)
        alone = store.sequence(row)["pose"].x
        assert torch.equal(batch["target"].x[i, : len(alone)], alone)
        assert int(batch["target"].mask[i, :, 0].sum()) == len(alone)
        assert batch.target_id[i] == expected and int(batch.target_correctness[i]) == 0
        single = data.train_set[[2, 0, 3][i]]
        assert torch.equal(single["target"].x, alone)


def test_sides_are_kept_apart(store: Store) -> None:
    rows = np.array([i for i, name in enumerate(store.ids.tolist()) if name != "a_squat_0.6"])
    found = NearestCorrect().find(store, rows)
    index = store.ids.tolist()
    assert store.ids[int(found[index.index("a_squat_0.7")])] == "a_squat_1.0"
    assert int(found[index.index("a_squat_0.6")]) == -1


def test_without_a_correct_one_it_says_whose(store: Store) -> None:
    rows = np.array(
        [i for i, name in enumerate(store.ids.tolist()) if not name.startswith(("b_lunge_1", "b_lunge_0.6"))]
    )
    with pytest.raises(ValueError, match=r"2 repetitions have no correct one .*b_lunge_0.7"):
        MotionDataset(store, rows, partners=NearestCorrect())


def test_unknown_labels_and_names_that_are_taken(store: Store) -> None:
    with pytest.raises(ValueError, match="no label 'quality'; it has exercise, correctness"):
        MotionDataset(store, partners=NearestCorrect(label="quality"))
    with pytest.raises(ValueError, match="'pose'"):
        MotionDataset(store, partners=NearestCorrect(name="pose"))
    with pytest.raises(ValueError, match="frames is 1"):
        NearestCorrect(frames=1)
