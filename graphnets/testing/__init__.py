"""Contract tests for encoders: inherit them, and your encoder is tested for all that the library promises.

Example:
    In a test file of yours::

        from graphnets.testing import EncoderContract
        from my_file import MyNet

        class TestMyNet(EncoderContract):
            def make(self, skeleton, in_channels):
                return MyNet(skeleton, in_channels, width=8)

    and run ``pytest``. Keep the widths small: the whole contract then takes a few seconds.
"""

from __future__ import annotations

from graphnets.testing.clips import disconnected, random_motion, random_tree
from graphnets.testing.compilation import CompileContract
from graphnets.testing.deployment import DeploymentContract
from graphnets.testing.gradients import GradientContract
from graphnets.testing.masks import MaskContract
from graphnets.testing.sequences import SequenceContract
from graphnets.testing.shapes import ShapeContract
from graphnets.testing.training import TrainingContract

__all__ = ["EncoderContract", "disconnected", "random_motion", "random_tree"]


class EncoderContract(
    ShapeContract,
    MaskContract,
    SequenceContract,
    GradientContract,
    TrainingContract,
    DeploymentContract,
    CompileContract,
):
    """What every :class:`~graphnets.encoders.Encoder` keeps, one test a promise.

    Define :meth:`make` in a subclass. Attributes of the subclass adapt it, and ``test_... = None`` leaves a promise
    out; ``test_export = None`` leaves out ``test_onnx`` and ``test_compile`` as well, which take seconds each.

    Attributes:
        in_channels: C of the clips that the encoder is tested on.
        tolerance: Largest allowed difference, relative to the largest value where that exceeds 1. It is for float32 in
            eval mode; in training mode, where moments of the batch enter, ten times as much is allowed.
        unused_parameters: Names (``*`` is a wildcard) of parameters that need not get gradients.
        bf16_tolerance: Largest allowed relative error of the features under bfloat16 autocast.
        compile_backend: That ``torch.compile`` is tested with; ``"inductor"`` needs a C++ compiler.
    """
