"""Transforms of motion batches, on the device that holds them, aware of masks."""

from graphnets.transforms.base import RandomTransform, Transform, coordinate_count
from graphnets.transforms.body import RandomBoneScale, Remap, Scale
from graphnets.transforms.corruption import FrameDrop, Jitter, JointDrop
from graphnets.transforms.deepfit import CenterOfGravity
from graphnets.transforms.gaf import GramianField
from graphnets.transforms.geometry import Center, RandomMirror, RandomRotate, RandomScale
from graphnets.transforms.masking import lengths, masked_mean
from graphnets.transforms.normalize import Normalize
from graphnets.transforms.sensors import AxisGraph, RandomBias, RandomGain, RandomMounting
from graphnets.transforms.smoothing import Butterworth, FillGaps, OneEuro
from graphnets.transforms.streams import Streams
from graphnets.transforms.temporal import RandomCrop, Resample, ResampleRate, TimeWarp
from graphnets.transforms.together import Together

__all__ = [
    "AxisGraph",
    "Butterworth",
    "Center",
    "CenterOfGravity",
    "FillGaps",
    "FrameDrop",
    "GramianField",
    "Jitter",
    "JointDrop",
    "Normalize",
    "OneEuro",
    "RandomBias",
    "RandomBoneScale",
    "RandomCrop",
    "RandomGain",
    "RandomMirror",
    "RandomMounting",
    "RandomRotate",
    "RandomScale",
    "RandomTransform",
    "Remap",
    "Resample",
    "ResampleRate",
    "Scale",
    "Streams",
    "TimeWarp",
    "Together",
    "Transform",
    "coordinate_count",
    "lengths",
    "masked_mean",
]
