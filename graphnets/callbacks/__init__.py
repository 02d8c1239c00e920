"""Callbacks: the run record, pictures, and Weights & Biases."""

from graphnets.callbacks.media import Media
from graphnets.callbacks.record import RunRecord

__all__ = ["Media", "RunRecord"]
