"""Makes ``tiny_videos``, which several tests share, importable; stands in for the model where that is missing."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graphnets.video import Landmarks

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def pose_model() -> Path:
    """The real bundle; without it the test is skipped."""
    path = os.environ.get("GRAPHNETS_POSE_MODEL")
    if not path or not Path(path).is_file():
        pytest.skip("GRAPHNETS_POSE_MODEL names no file: tests that find people need the model")
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    return Path(path)


@pytest.fixture
def mock_model(tmp_path: Path) -> Path:
    """A file that looks like the bundle, for tests that find nobody."""
    path = tmp_path / "mock.task"
    with zipfile.ZipFile(path, "w") as bundle:
        for part in ("pose_detector.tflite", "pose_landmarks_detector.tflite"):
            bundle.writestr(part, b"nothing")
    return path


def _somebody(frames: int = 40, fps: float = 30.0) -> Landmarks:
    """A rigid body (33 points at random) that moves at constant speed through a picture of 640 x 480."""
    rng = np.random.default_rng(3)
    shape = rng.uniform(-0.5, 0.5, (33, 3))
    t = np.arange(frames) / fps
    world = shape + t[:, None, None] * [0.1, 0.0, 0.05]
    return Landmarks(
        seconds=t,
        pixels=320 + 200 * world[..., :2],
        world=world,
        visibility=np.full((frames, 33), 0.9),
        people=np.ones(frames, dtype=int),
        followed=np.ones(frames, dtype=bool),
        size=(640, 480),
        spent={"decode": 0.1, "landmarks": 0.2},
    )


@pytest.fixture(scope="session")
def somebody() -> Callable[..., Landmarks]:
    """``somebody(frames=40, fps=30)`` makes landmarks of somebody."""
    return _somebody
