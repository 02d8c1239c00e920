"""Exercises, one a file."""

from __future__ import annotations

from graphnets.simulation.exercises.arm_raise import ArmRaise
from graphnets.simulation.exercises.base import CHANNELS, SINES, Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.biceps_curl import BicepsCurl
from graphnets.simulation.exercises.calf_raise import CalfRaise
from graphnets.simulation.exercises.jumping_jack import JumpingJack
from graphnets.simulation.exercises.lunge import Lunge
from graphnets.simulation.exercises.push_up import PushUp
from graphnets.simulation.exercises.sit_to_stand import SitToStand
from graphnets.simulation.exercises.sit_up import SitUp
from graphnets.simulation.exercises.squat import Squat
from graphnets.simulation.exercises.walking import Walking

EXERCISES: dict[str, Exercise] = {
    e.name: e
    for e in (
        Squat(),
        Lunge(),
        SitToStand(),
        ArmRaise(),
        JumpingJack(),
        PushUp(),
        CalfRaise(),
        BicepsCurl(),
        SitUp(),
        Walking(),
    )
}
"""All exercises by name."""

__all__ = [
    "CHANNELS",
    "EXERCISES",
    "SINES",
    "ArmRaise",
    "BicepsCurl",
    "CalfRaise",
    "Control",
    "Controls",
    "Exercise",
    "Joints",
    "JumpingJack",
    "Lunge",
    "Mistake",
    "PushUp",
    "SitToStand",
    "SitUp",
    "Squat",
    "Walking",
]
