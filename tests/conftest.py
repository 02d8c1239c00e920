"""A small store for whoever needs one: ragged lengths, two modalities, gaps, four subjects, some labels unknown."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphnets.data import Store, StoreWriter

os.environ.pop("COLUMNS", None)  # pytest's workers set it to 80, and tables would break their lines there

SMALL_CARD = {
    "name": "small",
    "title": "A small store",
    "description": "Made for tests",
    "licence": "MIT",
    "source": "tests",
    "citation": "nobody",
    "modalities": {
        "pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"},
        "imu": {"skeleton": "imu_axes6", "channels": ["value"], "unit": "g; deg/s"},
    },
    "labels": {
        "exercise": {"classes": ["squat", "lunge", "walk"]},
        "side": {"classes": ["left", "right"]},
    },
    "protocols": {
        "official": {"train": ["s1", "s2"], "test": ["s3", "s10"]},
        "validated": {"train": ["s1"], "val": ["s2"], "test": ["s3", "s10"]},
    },
}


def _recordings() -> list[dict[str, Any]]:
    """Twelve recordings as arguments of ``StoreWriter.add``; what is masked in them is NaN."""
    rng = np.random.default_rng(7)
    made = []
    for i in range(12):
        subject = ("s1", "s2", "s3", "s10")[i % 4]
        frames, samples = int(rng.integers(3, 11)), int(rng.integers(5, 19))
        pose, imu = rng.normal(size=(frames, 20, 3)), rng.normal(size=(samples, 6, 1))
        mask = rng.random((frames, 20)) > 0.2
        if i == 4:
            mask[-2:] = False  # nobody was seen in the last two frames, but they were recorded
        pose[~mask] = np.nan
        modalities: dict[str, tuple[np.ndarray, np.ndarray | None, float]] = {}
        modalities["pose"] = (pose.astype(np.float32), mask, (30.0, 25.0)[i % 2])
        if i != 6:  # one recording was made without the sensor
            modalities["imu"] = (imu.astype(np.float32), None, 50.0)
        exercise = (None, "squat", "lunge", "walk")[i % 4] if i < 8 else ("squat", "lunge", "walk")[i % 3]
        labels = {"exercise": exercise, "side": None if i % 5 == 0 else ("left", "right")[i % 2]}
        made.append(
            {
                "id": f"{subject}_{i:02}",
                "subject": subject,
                "modalities": modalities,
                "labels": labels,
                "extra": {"trial": i // 4 + 1, "note": 'a, "quoted" one' if i == 3 else f"n{i}"},
            }
        )
    return made


@pytest.fixture(scope="session")
def small_card() -> dict[str, Any]:
    """The card of the small store, for reading only."""
    return SMALL_CARD


@pytest.fixture(scope="session")
def small_recordings() -> list[dict[str, Any]]:
    """What the small store is made of, for reading only."""
    return _recordings()


@pytest.fixture
def card() -> dict[str, Any]:
    """The card of the small store, to be changed."""
    return copy.deepcopy(SMALL_CARD)


@pytest.fixture
def recordings() -> list[dict[str, Any]]:
    """What the small store is made of, to be changed."""
    return _recordings()


def _make_store(path: Path, recordings: Sequence[dict[str, Any]] | None = None, **settings: Any) -> Path:
    with StoreWriter(path, settings.pop("card", SMALL_CARD), **settings) as writer:
        for recording in recordings if recordings is not None else _recordings():
            writer.add(**recording)
    return path


@pytest.fixture(scope="session")
def make_store() -> Callable[..., Path]:
    """``make_store(path, recordings=the small ones, card=the small one)`` writes a store and returns its path."""
    return _make_store


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """A fresh small store that a test may spoil."""
    return _make_store(tmp_path / "small")


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The small store, for reading only."""
    return Store(_make_store(tmp_path_factory.mktemp("stores") / "small"))


@pytest.fixture(scope="session")
def raw_root() -> Path:
    """The folder of raw data sets that GRAPHNETS_RAW names; without it the test is skipped."""
    root = os.environ.get("GRAPHNETS_RAW")
    if not root:
        pytest.skip("GRAPHNETS_RAW is not set: tests on real files need the folder with the raw data sets")
    return Path(root)
