"""Losses of distillation: each a module with its paper, formula and shapes."""

from graphnets.losses.base import Criterion
from graphnets.losses.dask import DASK
from graphnets.losses.features import AttentionTransfer, Hint, SimilarityPreserving
from graphnets.losses.kd import DecoupledKD, GatedDistillation, KnowledgeDistillation
from graphnets.losses.relational import AngleLoss, DistanceLoss
from graphnets.losses.semckd import SemCKD
from graphnets.losses.series import FrameHint, SeriesMatching

__all__ = [
    "DASK",
    "AngleLoss",
    "AttentionTransfer",
    "Criterion",
    "DecoupledKD",
    "DistanceLoss",
    "FrameHint",
    "GatedDistillation",
    "Hint",
    "KnowledgeDistillation",
    "SemCKD",
    "SeriesMatching",
    "SimilarityPreserving",
]
