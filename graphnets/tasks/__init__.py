"""The one task, and the objectives it is trained with."""

from graphnets.tasks.classification import Classification
from graphnets.tasks.correction import Correction
from graphnets.tasks.distillation import Distillation
from graphnets.tasks.objective import Objective, ObjectiveOutput
from graphnets.tasks.partners import NearestCorrect
from graphnets.tasks.regression import SequenceRegression
from graphnets.tasks.schedule import WarmupCosine
from graphnets.tasks.simkd import SimKD
from graphnets.tasks.task import Task

__all__ = [
    "Classification",
    "Correction",
    "Distillation",
    "NearestCorrect",
    "Objective",
    "ObjectiveOutput",
    "SequenceRegression",
    "SimKD",
    "Task",
    "WarmupCosine",
]
