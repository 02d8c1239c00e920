"""Heads: pooling and projection of features."""

from graphnets.heads.classification import ClassificationHead
from graphnets.heads.correction import CorrectionHead
from graphnets.heads.regression import SequenceHead

__all__ = ["ClassificationHead", "CorrectionHead", "SequenceHead"]
