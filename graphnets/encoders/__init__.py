"""Spatio-temporal encoders, one paper a file."""

from graphnets.encoders.base import Encoder, Features
from graphnets.encoders.blocks import BlockEncoder
from graphnets.encoders.stgcn import STGCN

__all__ = ["STGCN", "BlockEncoder", "Encoder", "Features"]
