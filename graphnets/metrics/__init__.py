"""Metrics that torchmetrics lacks: per target and subject, aware of masks."""

from graphnets.metrics.correction import CorrectionQuality
from graphnets.metrics.repetitions import RepetitionErrors
from graphnets.metrics.series import SeriesErrors

__all__ = ["CorrectionQuality", "RepetitionErrors", "SeriesErrors"]
