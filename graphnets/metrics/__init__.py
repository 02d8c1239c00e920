"""Metrics that torchmetrics lacks: per target and subject, aware of masks."""

from graphnets.metrics.correction import CorrectionQuality
from graphnets.metrics.series import SeriesErrors

__all__ = ["CorrectionQuality", "SeriesErrors"]
