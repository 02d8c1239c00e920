"""Heads: pooling and projection of features."""

from graphnets.heads.classification import ClassificationHead

__all__ = ["ClassificationHead"]
