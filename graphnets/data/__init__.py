"""Recordings, stores, protocols and the data module."""

from graphnets.data.dataset import MotionDataModule, MotionDataset
from graphnets.data.motion import MotionBatch, MotionSequence
from graphnets.data.partners import Partners
from graphnets.data.protocols import (
    LeaveOneSubjectOut,
    Protocol,
    RandomSequences,
    RandomSubjects,
    SequenceLists,
    Split,
    SubjectKFold,
    Subjects,
)
from graphnets.data.store import Store
from graphnets.data.validation import Problem, validate
from graphnets.data.writer import StoreWriter

__all__ = [
    "LeaveOneSubjectOut",
    "MotionBatch",
    "MotionDataModule",
    "MotionDataset",
    "MotionSequence",
    "Partners",
    "Problem",
    "Protocol",
    "RandomSequences",
    "RandomSubjects",
    "SequenceLists",
    "Split",
    "Store",
    "StoreWriter",
    "SubjectKFold",
    "Subjects",
    "validate",
]
