"""The one task, and the objectives it is trained with."""

from graphnets.tasks.classification import Classification
from graphnets.tasks.objective import Objective, ObjectiveOutput
from graphnets.tasks.regression import SequenceRegression
from graphnets.tasks.schedule import WarmupCosine
from graphnets.tasks.task import Task

__all__ = ["Classification", "Objective", "ObjectiveOutput", "SequenceRegression", "Task", "WarmupCosine"]
