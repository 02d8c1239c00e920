"""Videos as recordings of a store: their ids, the card, and what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from graphnets.data.files import sha256
from graphnets.video.landmarks import Modalities, find_landmarks
from graphnets.video.model import find_model
from graphnets.video.quality import quality

NAME = "videos"


@dataclass(frozen=True)
class Settings:
    """What decides the landmarks of a video.

    Attributes:
        model: The bundle of the pose landmarker; None = where the environment says.
        min_visibility: A landmark that MediaPipe believes less visible is not observed, 0 to 1.
        people: How many are looked for in every frame, None = two where there are two, see
            :func:`~graphnets.video.landmarks.find_landmarks`.
    """

    model: Path | None = None
    min_visibility: float = 0.5
    people: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_visibility <= 1:
            raise ValueError(f"min_visibility is {self.min_visibility}; it must be in [0, 1]")
        if self.people is not None and self.people < 1:
            raise ValueError(f"people is {self.people}; at least 1 is to be looked for")

    def card(self) -> dict[str, Any]:
        """The card of a store made with them."""
        try:
            release = version("mediapipe")
        except PackageNotFoundError:
            release = "unknown"
        made_with = {
            "model_sha256": sha256(find_model(self.model)),
            "mediapipe": release,
            "min_visibility": self.min_visibility,
            "people": "2 where there are 2" if self.people is None else self.people,
        }
        return {
            "name": NAME,
            "title": "Landmarks of videos",
            "description": (
                "One person a video, found by MediaPipe's pose landmarker frame by frame, neither filtered nor filled. "
                "Frames without the person and landmarks that are hardly visible are masked. The columns of the index "
                "say how well each video went."
            ),
            "licence": "that of the videos",
            "source": "the videos named in the index, through tools/extract_pose.py",
            "modalities": {
                "pose2d": {
                    "skeleton": "mediapipe33",
                    "channels": ["x", "y", "confidence"],
                    "unit": "px",
                    "axes": "x to the right and y DOWN from the upper left corner of the upright picture",
                },
                "pose3d": {
                    "skeleton": "mediapipe33",
                    "channels": ["x", "y", "z"],
                    "unit": "m",
                    "axes": "x to the right of the picture, y up, z towards the camera, from the middle of the hips",
                },
            },
            "labels": {},
            "landmarks": made_with,
            "traps": [
                "The origin of pose3d is the middle of the hips in every frame: it neither jumps nor walks on.",
                "The depth of pose3d is a network's guess. Angles in the plane of the picture can be trusted more.",
                "A video of variable frame rate was interpolated on a regular clock (column variable_rate).",
            ],
        }


@dataclass(frozen=True)
class Recording:
    """A video that was gone through, as ``StoreWriter.add`` takes it.

    Attributes:
        modalities: ``pose2d`` and ``pose3d``.
        extra: More columns of the index: the file, its SHA-256, size and quality.
        frames: How many were decoded.
        spent: Seconds of work by stage.
    """

    modalities: Modalities
    extra: dict[str, Any]
    frames: int
    spent: dict[str, float]


def record(path: Path, settings: Settings, tick: Callable[[int], None] | None = None) -> Recording:
    """Find the landmarks of a video.

    Raises:
        ValueError: See :func:`~graphnets.video.landmarks.find_landmarks`.
    """
    digest = sha256(path) if path.is_file() else ""
    landmarks = find_landmarks(path, settings.model, settings.people, tick)
    extra = {
        "file": path.name,
        "sha256": digest,
        "width": landmarks.size[0],
        "height": landmarks.size[1],
        "variable_rate": not landmarks.even,
        **{k: round(v, 5) for k, v in quality(landmarks, settings.min_visibility).to_dict().items()},
    }
    return Recording(landmarks.modalities(settings.min_visibility), extra, len(landmarks), landmarks.spent)


def ids_of(videos: Sequence[Path]) -> dict[str, Path]:
    """An id for every video: the file's name without its ending, after that of the folder where two are called alike.

    Raises:
        ValueError: A video is given twice, or even with their folders two are called alike.
    """
    alike = Counter(path.stem for path in videos)
    found: dict[str, Path] = {}
    for path in videos:
        id = path.stem if alike[path.stem] == 1 else f"{path.resolve().parent.name}_{path.stem}"
        if id in found:
            raise ValueError(f"{found[id]} and {path} would have the same id {id!r}: give each once, or rename one")
        found[id] = path
    return dict(sorted(found.items()))


def check_settings(card: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Was a store made by this tool, and with the same settings?

    Raises:
        ValueError: It was not.
    """
    if card["name"] != NAME:
        raise ValueError(f"{path} holds the data set {card['name']!r}; choose another folder")
    then, now = card["landmarks"], wanted["landmarks"]
    if different := [f"{key} {then.get(key)} (now {now[key]})" for key in now if then.get(key) != now[key]]:
        raise ValueError(f"{path} was made with other settings: {', '.join(different)}; choose another folder")
