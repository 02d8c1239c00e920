from __future__ import annotations

import csv
import dataclasses
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import MotionBatch, Store

JOINTS = {"pose": (20, 3), "imu": (6, 1)}


def by_hand(path: Path, rows: list[int], modality: str) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Each clip cut out of the files by itself: values, mask, fps."""
    with (path / "index.csv").open(newline="", encoding="utf-8") as file:
        index = list(csv.DictReader(file))
    values = np.load(path / f"{modality}.npy")
    mask_file = path / f"{modality}.mask.npy"
    mask = np.load(mask_file) if mask_file.exists() else np.ones(values.shape[:2], dtype=bool)
    clips = []
    for row in rows:
        start, length = int(index[row][f"{modality}.start"]), int(index[row][f"{modality}.length"])
        clips.append(
            (values[start : start + length], mask[start : start + length], float(index[row][f"{modality}.fps"]))
        )
    return clips


def check_batch(batch: MotionBatch, path: Path, rows: list[int], modality: str) -> None:
    clips = by_hand(path, rows, modality)
    stream = batch[modality]
    longest = max(1, max(len(x) for x, _, _ in clips))
    assert stream.x.shape == (len(rows), longest, *JOINTS[modality]) and stream.x.dtype == torch.float32
    assert torch.isfinite(stream.x).all()
    for n, (x, mask, fps) in enumerate(clips):
        assert np.array_equal(stream.x[n, : len(x)].numpy(), x)
        assert np.array_equal(stream.mask[n, : len(x)].numpy(), mask)
        assert not stream.mask[n, len(x) :].any()
        assert stream.fps[n] == fps


@given(st.lists(st.integers(-12, 11), min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_a_batch_is_every_clip_padded(small_store: Store, rows: list[int]) -> None:
    batch = small_store.read(rows)
    assert len(batch) == len(rows)
    for modality in ("pose", "imu"):
        check_batch(batch, small_store.path, rows, modality)
    assert batch.id == [small_store.ids[row] for row in rows]
    assert batch.subject == [small_store.subjects[row] for row in rows]


def test_reading_gives_back_what_was_written(small_store: Store, recordings: list[dict[str, Any]]) -> None:
    for row, recording in enumerate(recordings):
        sequence = small_store[row]
        assert (sequence.id, sequence.subject) == (recording["id"], recording["subject"])
        for name, (x, mask, fps) in recording["modalities"].items():
            mask = np.ones(x.shape[:2], dtype=bool) if mask is None else mask
            assert np.array_equal(sequence[name].mask.numpy(), mask) and sequence[name].fps == fps
            assert np.array_equal(sequence[name].x.numpy()[mask], x[mask])
            assert (sequence[name].x.numpy()[~mask] == 0).all()
        for label, value in recording["labels"].items():
            code = -1 if value is None else small_store.labels[label].index(value)
            assert int(sequence[label]) == code


def test_a_sequence_keeps_frames_in_which_nobody_was_seen(small_store: Store, recordings: list[dict[str, Any]]) -> None:
    assert not recordings[4]["modalities"]["pose"][1][-2:].any()
    assert len(small_store[4]["pose"].x) == len(recordings[4]["modalities"]["pose"][0])


def test_a_missing_modality_is_masked(small_store: Store) -> None:
    assert small_store[6]["imu"].x.shape == (0, 6, 1)
    assert not small_store.read([6, 7])["imu"].mask[0].any()
    alone = small_store.read([6])
    assert alone["imu"].x.shape == (1, 1, 6, 1) and not alone["imu"].mask.any()


def test_a_modality_that_nobody_has(
    tmp_path: Path, make_store: Callable[..., Path], recordings: list[dict[str, Any]]
) -> None:
    for recording in recordings:
        recording["modalities"].pop("imu", None)
    store = Store(make_store(tmp_path / "pose_only", recordings))
    batch = store.read([0, 1])
    assert batch["imu"].x.shape == (2, 1, 6, 1) and not batch["imu"].mask.any()
    assert store[0]["imu"].x.shape == (0, 6, 1)


@pytest.mark.parametrize("gaps", [False, True])
def test_equally_long_clips_take_a_shorter_way_to_the_same_batch(
    tmp_path: Path, make_store: Callable[..., Path], card: dict[str, Any], gaps: bool
) -> None:
    rng = np.random.default_rng(0)
    del card["modalities"]["imu"]
    recordings = [
        {
            "id": f"r{i}",
            "subject": f"s{i % 3}",
            "modalities": {"pose": (rng.normal(size=(6, 20, 3)), rng.random((6, 20)) > 0.3 if gaps else None, 30.0)},
        }
        for i in range(5)
    ]
    card["protocols"] = {}
    store = Store(make_store(tmp_path / "regular", recordings, card=card))
    arrays = store.arrays("pose")
    assert arrays.regular == 6
    rows = torch.tensor([4, 0, 0, 2])
    quick, general = arrays.read(rows), dataclasses.replace(arrays)
    general.__dict__["regular"] = 0
    slow = general.read(rows)
    assert torch.equal(quick["x"], slow["x"]) and torch.equal(quick["mask"], slow["mask"])
    check_batch(store.read(rows), store.path, rows.tolist(), "pose")


def test_clips_of_one_length_that_lie_in_another_order_are_not_taken_for_regular(
    tmp_path: Path, make_store: Callable[..., Path], card: dict[str, Any]
) -> None:
    del card["modalities"]["imu"]
    frames = [np.full((2, 20, 3), float(i)) for i in range(3)]
    recordings = [
        {"id": str(i), "subject": "s1", "modalities": {"pose": (x, None, 30.0)}} for i, x in enumerate(frames)
    ]
    path = make_store(tmp_path / "order", recordings, card=card | {"protocols": {}})
    index = (path / "index.csv").read_text().splitlines()
    (path / "index.csv").write_text("\n".join([index[0], index[3], index[1], index[2]]) + "\n")
    store = Store(path)
    assert store.ids.tolist() == ["2", "0", "1"] and store.arrays("pose").regular == 0
    assert store.read([0, 1, 2])["pose"].x[:, 0, 0, 0].tolist() == [2.0, 0.0, 1.0]


def test_only_the_modalities_asked_for(small_store: Store) -> None:
    assert small_store.read([0, 1], ["imu"]).modalities == ["imu"]
    assert small_store.sequence(0, ["pose"]).modalities == ["pose"]
    with pytest.raises(ValueError, match=r"no modality 'video'; there are pose, imu"):
        small_store.read([0], ["video"])


def test_changing_a_batch_leaves_the_store_alone(small_store: Store) -> None:
    before = small_store.read([1])["pose"].x.clone()
    small_store.read([1])["pose"].x.fill_(7)
    small_store[1]["pose"].x.fill_(7)
    small_store[1]["imu"].mask.fill_(False)
    assert torch.equal(small_store.read([1])["pose"].x, before) and small_store[1]["imu"].mask.all()


def test_rows_that_do_not_exist(small_store: Store) -> None:
    for row in (12, -13):
        with pytest.raises(IndexError):
            small_store[row]
        with pytest.raises(IndexError):
            small_store.read([0, row])
    with pytest.raises(ValueError, match="at least one row"):
        small_store.read([])
    assert [sequence.id for sequence in small_store] == small_store.ids.tolist()


def test_labels_are_codes(small_store: Store) -> None:
    assert small_store.labels == {"exercise": ["squat", "lunge", "walk"], "side": ["left", "right"]}
    assert small_store.codes("exercise").tolist()[:4] == [-1, 0, 1, 2]
    assert small_store.codes("side")[[0, 5, 10]].tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match=r"no label 'mood'; there are exercise, side"):
        small_store.codes("mood")


def test_text_stays_text(tmp_path: Path, make_store: Callable[..., Path], card: dict[str, Any]) -> None:
    card["labels"]["exercise"]["classes"] = ["NA", "1", "null"]
    x = np.zeros((2, 20, 3))
    recordings = [
        {"id": id, "subject": subject, "modalities": {"pose": (x, None, 30.0)}, "labels": {"exercise": label}}
        for id, subject, label in (("007", "NA", "null"), ("null", "01", "NA"), ('a,b "c"\nd', "é", "1"))
    ]
    store = Store(make_store(tmp_path / "text", recordings, card=card))
    assert store.ids.tolist() == ["007", "null", 'a,b "c"\nd'] and store.subjects.tolist() == ["NA", "01", "é"]
    assert store.codes("exercise").tolist() == [2, 0, 1]


def test_a_pickled_store_is_its_path(small_store: Store) -> None:
    data = pickle.dumps(small_store)
    assert len(data) < 1000
    assert torch.equal(pickle.loads(data).read([3])["pose"].x, small_store.read([3])["pose"].x)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_it_says_why_a_store_does_not_open(store_path: Path) -> None:
    with pytest.raises(ValueError, match="no such store"):
        Store(store_path.with_name("other"))
    shutil.move(store_path, store_path.with_name("half.partial"))
    with pytest.raises(ValueError, match="interrupted: run the recipe again to resume"):
        Store(store_path.with_name("half"))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index.csv", "s2_01,", "s1_00,", r"row 3: id 's1_00' stands there twice"),
        ("index.csv", "s2_01,s2", "s2_01,", r"row 3: empty subject"),
        ("index.csv", "squat", "squad", r"row 3 \(id 's2_01'\): exercise is 'squad'; allowed are squat, lunge, walk"),
        ("index.csv", "pose.length", "pose.size", r"columns pose.length are missing"),
        ("index.csv", "25.0", "0", r"pose.fps is '0', not a number above 0"),
        ("index.csv", "side", "sides", r"column 'side'"),
        ("card.yaml", "title:", "titel:", r"card.yaml: key 'title' is missing"),
        ("card.yaml", "- squat", "- squat\n    - squat", r"label 'exercise' needs a list of different classes"),
        ("card.yaml", "name: small", "name: [small", r"not readable as YAML"),
    ],
)
def test_wrong_texts(store_path: Path, file: str, old: str, new: str, message: str) -> None:
    edit(store_path / file, old, new)
    with pytest.raises(ValueError, match=message):
        Store(store_path)


def test_wrong_arrays(store_path: Path) -> None:
    pose = store_path / "pose.npy"
    content = pose.read_bytes()
    pose.write_bytes(content[:-500])
    with pytest.raises(ValueError, match=r"pose.npy: truncated or not an .npy file"):
        Store(store_path)
    np.save(pose, np.zeros((70, 19, 3), np.float32))
    with pytest.raises(ValueError, match=r"float32 \(70, 19, 3\), expected float32 \(frames, 20, 3\)"):
        Store(store_path)
    np.save(pose, np.zeros((4, 20, 3), np.float32))
    with pytest.raises(ValueError, match=r"mask.npy: \d+ frames, but pose.npy has 4"):
        Store(store_path)
    (store_path / "pose.mask.npy").unlink()
    with pytest.raises(
        ValueError, match=r"index.csv, row \d+ \(id 's\d+_\d\d'\): pose frames \d+ to \d+ lie outside the 4"
    ):
        Store(store_path)
    pose.unlink()
    with pytest.raises(ValueError, match=r"pose.npy: missing"):
        Store(store_path)


def test_pickled_arrays_are_not_loaded(store_path: Path) -> None:
    np.save(store_path / "pose.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pose.npy"):
        Store(store_path)


def test_the_card_travels_with_the_store(small_store: Store) -> None:
    written = yaml.safe_load((small_store.path / "card.yaml").read_text(encoding="utf-8"))
    assert written["sequences"] == 12 and written["modalities"]["pose"]["skeleton"]["name"] == "kinect20"
    assert small_store.checksum == written["checksum"]
