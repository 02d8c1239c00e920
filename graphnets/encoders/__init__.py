"""Spatio-temporal encoders, one paper a file."""

from graphnets.encoders.base import Encoder, Features
from graphnets.encoders.stgcn import STGCN

__all__ = ["STGCN", "Encoder", "Features"]
