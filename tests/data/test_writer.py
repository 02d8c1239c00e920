from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import Store, StoreWriter, growing, validate, writer

FRAME = np.zeros((2, 20, 3), np.float32)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@pytest.fixture(scope="session")
def whole(small_store: Store) -> dict[str, bytes]:
    """The small store as it is when written in one go."""
    return content(small_store.path)


class StoppedError(BaseException):
    """Ends a run in the middle."""


@contextmanager
def stopped() -> Iterator[None]:
    with pytest.raises(StoppedError):
        yield


def begin(path: Path, card: dict[str, Any], recordings: list[dict[str, Any]], after: int) -> None:
    """Write some recordings, then be interrupted."""
    with stopped(), StoreWriter(path, card) as store:
        for recording in recordings[:after]:
            store.add(**recording)
        raise StoppedError


def resume(path: Path, card: dict[str, Any], recordings: list[dict[str, Any]]) -> int:
    """Run the recipe to its end; returns how many recordings were there already."""
    with StoreWriter(path, card) as store:
        done = len(store.done)
        for recording in recordings:
            if recording["id"] not in store.done:
                store.add(**recording)
    return done


def test_a_store_appears_whole_or_not_at_all(tmp_path: Path, card: dict[str, Any], recordings: list[dict[str, Any]]) -> None:
    path = tmp_path / "deep" / "down" / "store"
    with StoreWriter(path, card) as store:
        store.add(**recordings[0])
        assert not path.exists() and path.with_name("store.partial").is_dir()
    assert path.is_dir() and [p.name for p in path.parent.iterdir()] == ["store"]
    assert validate(path) == []


def test_what_is_written(whole: dict[str, bytes], small_store: Store) -> None:
    assert set(whole) == {"card.yaml", "index.csv", "imu.npy", "pose.npy", "pose.mask.npy"}  # imu has no gaps: no mask
    pose = np.load(small_store.path / "pose.npy")
    assert pose.dtype == np.float32 and pose.shape == (small_store.index["pose.length"].sum(), 20, 3)
    assert (pose[~np.load(small_store.path / "pose.mask.npy")] == 0).all()
    header = whole["index.csv"].decode().splitlines()[0]
    assert header == (
        "id,subject,exercise,side,trial,note,pose.start,pose.length,pose.fps,imu.start,imu.length,imu.fps"
    )


def test_two_runs_give_the_same_bytes(store_path: Path, whole: dict[str, bytes]) -> None:
    assert content(store_path) == whole


@pytest.mark.parametrize("after", [0, 1, 5, 12])
def test_an_interrupted_run_resumes(
    tmp_path: Path, card: dict[str, Any], recordings: list[dict[str, Any]], whole: dict[str, bytes], after: int
) -> None:
    path = tmp_path / "small"
    begin(path, card, recordings, after)
    assert not path.exists()
    assert resume(path, card, recordings) == after
    assert content(path) == whole


DAMAGED = ["journal.jsonl", "pose.npy", "pose.mask.npy", "imu.npy", "imu.mask.npy"]


@given(
    cuts=st.dictionaries(st.sampled_from(DAMAGED), st.floats(0, 1), max_size=3),
    garbage=st.dictionaries(st.sampled_from(DAMAGED), st.binary(min_size=1, max_size=400), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_a_run_killed_anywhere_resumes_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[str, bytes], cuts: dict[str, float], garbage: dict[str, bytes]
) -> None:
    """Files that end early (a power cut), or go on with what was never finished (a kill between two writes)."""
    from_conftest = tmp_path_factory.mktemp("killed")
    path = from_conftest / "small"
    partial = from_conftest / "small.partial"
    shutil.copytree(BEGUN["path"], partial)
    for name, share in cuts.items():
        size = (partial / name).stat().st_size
        os.truncate(partial / name, int(size * share))
    for name, data in garbage.items():
        with (partial / name).open("ab") as file:
            file.write(data)
    done = resume(path, BEGUN["card"], BEGUN["recordings"])
    assert content(path) == whole
    if not cuts:
        assert done == 8
    shutil.rmtree(from_conftest)


BEGUN: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A run that was interrupted after eight recordings, to be copied and damaged."""
    from_here = tmp_path_factory.mktemp("begun")
