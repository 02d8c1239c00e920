"""Fatigue: what the repetitions of a set do to the controls of each exercise, and to its symmetry."""

from __future__ import annotations

import numpy as np

from graphnets.simulation.body import Person

TIRED: dict[str, dict[str, float]] = {
    "squat": {"duration": 0.5, "depth": 11.0, "lean": 5.0, "knee_in": 3.0},
    "lunge": {"duration": 0.5, "depth": -0.09, "lean": 5.0},
    "sit_to_stand": {"duration": 0.6, "swing": 6.0, "finish": -3.0},
    "arm_raise": {"duration": 0.4, "arms": -9.0, "shrug": 3.0, "uneven": 3.0},
    "jumping_jack": {"duration": 0.25, "arms": -10.0, "flight": -0.015, "wide": -0.02},
    "push_up": {"duration": 0.6, "depth": 13.0, "line": -5.0},
    "calf_raise": {"duration": 0.4, "heel": -7.0, "bend": 3.0},
    "biceps_curl": {"duration": 0.5, "top": -8.0, "drift": 5.0, "momentum": 2.0},
    "sit_up": {"duration": 0.6, "chest": -9.0, "pelvis": -7.0},
    "walking": {"speed": -0.15, "sway": 1.0, "push": -0.05},
}
"""What complete fatigue adds to each control, in its unit: slower, shallower, less upright (our estimates)."""
UNSTEADY = 0.5
"""What it adds to the control ``unsteady`` of every exercise."""
SET = 9.0
"""Repetitions after which a person of usual strength has lost all but 1 / e of what there is to lose."""


def tiredness(repetition: int, person: Person) -> float:
    """Share of complete fatigue in a repetition of a set: ``1 - exp(-(n - 1) exp(-0.35 strength) / SET)``.

    Args:
        repetition: Its number ``n``, from 1, which is not tired at all.
        person: Who does it; ``strength`` is their standard score.

    Returns:
        0 to 1.
    """
    return float(1.0 - np.exp(-(repetition - 1) * np.exp(-0.35 * person.traits["strength"]) / SET))
