"""From videos to landmarks, and from landmarks to repetitions.

Needs MediaPipe (``pip install "graphnets[video]"``), imported when used, and its model, see
:func:`~graphnets.video.model.find_model`.
"""

from graphnets.video.coach import repetitions, smooth
from graphnets.video.detector import Person, PoseDetector, Track
from graphnets.video.landmarks import Landmarks, find_landmarks
from graphnets.video.model import MODEL_VARIABLE, find_model
from graphnets.video.quality import Quality, quality
from graphnets.video.reading import Frame, VideoReader
from graphnets.video.recordings import Recording, Settings, record
from graphnets.video.repetitions import EXERCISES, Exercise, Repetition, find_repetitions, in_form

__all__ = [
    "EXERCISES",
    "MODEL_VARIABLE",
    "Exercise",
    "Frame",
    "Landmarks",
    "Person",
    "PoseDetector",
    "Quality",
    "Recording",
    "Repetition",
    "Settings",
    "Track",
    "VideoReader",
    "find_landmarks",
    "find_model",
    "find_repetitions",
    "in_form",
    "quality",
    "record",
    "repetitions",
    "smooth",
]
