"""Finding the model that MediaPipe needs, which no package brings along."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

MODEL_VARIABLE = "GRAPHNETS_POSE_MODEL"
MODEL_FILE = "pose_landmarker_full.task"
MODEL_PAGE = "https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker"
_PARTS = {"pose_detector.tflite", "pose_landmarks_detector.tflite"}


def find_model(path: str | Path | None = None) -> Path:
    """The bundle of the pose landmarker.

    Args:
        path: Where it lies; None = where the environment variable ``GRAPHNETS_POSE_MODEL`` says.

    Raises:
        ValueError: Neither says where, there is no file, or it is none of these bundles.
    """
    given = path or os.environ.get(MODEL_VARIABLE)
    how = (
        f"download {MODEL_FILE} (section Models of {MODEL_PAGE}), put it where you like, and give its path by --model "
        f"or in the environment variable {MODEL_VARIABLE}"
    )
    if not given:
        raise ValueError(f"no pose model: {how}")
    found = Path(given).expanduser()
    if not found.is_file():
        raise ValueError(f"{found}: no such pose model; {how}")
    try:
        with zipfile.ZipFile(found) as bundle:
            parts = set(bundle.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{found}: no bundle of a pose landmarker ({error}); {how}") from error
    if missing := sorted(_PARTS - parts):
        raise ValueError(f"{found}: this bundle lacks {', '.join(missing)}, so it is not a pose landmarker's; {how}")
    return found
