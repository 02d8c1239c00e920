"""A body that moves: people, exercises, mistakes, cameras that film them, and the forces and sensors of their motion.

The world frame is right-handed: x to the left of a person who faces z, y up, z forward; metres, radians, seconds.
"""

from __future__ import annotations

from graphnets.simulation.body import Body, Person
from graphnets.simulation.camera import Camera, Detector, aim, draw_camera
from graphnets.simulation.clips import CORRECT, Clip, mistake_classes, plan
from graphnets.simulation.exercises import EXERCISES, Control, Exercise, Mistake
from graphnets.simulation.generate import Recording, generate, groups, render
from graphnets.simulation.motion import Motion, move, person_of
from graphnets.simulation.recorded import Recorded, as_motion
from graphnets.simulation.signals import Signals, signals
from graphnets.simulation.streams import MODALITIES, VIEWS, Setup, Stream

__all__ = [
    "CORRECT",
    "EXERCISES",
    "MODALITIES",
    "VIEWS",
    "Body",
    "Camera",
    "Clip",
    "Control",
    "Detector",
    "Exercise",
    "Mistake",
    "Motion",
    "Person",
    "Recorded",
    "Recording",
    "Setup",
    "Signals",
    "Stream",
    "aim",
    "as_motion",
    "draw_camera",
    "generate",
    "groups",
    "mistake_classes",
    "move",
    "person_of",
    "plan",
    "render",
    "signals",
]
