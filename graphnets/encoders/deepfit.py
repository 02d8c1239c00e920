"""A small network on single frames, the baseline of DeepFit."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from graphnets.encoders.base import Encoder
from graphnets.nn.masking import blank
from graphnets.skeleton import Skeleton


class DeepFit(Encoder):
    r"""A multilayer perceptron on all coordinates of a frame, as DeepFit classifies exercises.

    .. math:: h_0 = [x_1 \dots x_V \; y_1 \dots y_V], \qquad h_l = \mathrm{drop}(\sigma(W_l h_{l-1} + b_l))

    It knows neither the skeleton nor time: what a graph or a temporal encoder adds is what it does better. With a
    linear layer for ten classes on top, ``openpose18`` and two channels it has the 5,146 parameters of the original.
    That one classifies single frames and takes the majority of 250; here the head takes the mean of a clip's features.

    It expects coordinates about 0 and of size 1, such as :class:`graphnets.transforms.CenterOfGravity` makes; it
    normalises nothing itself.

    Args:
        skeleton: The joints; edges aren't used. The name or file of a skeleton will do.
        in_channels: C.
        widths: Features of each hidden layer; the last is D.
        dropout: After every hidden layer.

    Raises:
        ValueError: ``widths`` is empty or holds a number below 1.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, T, 1, D]``, masked where no joint of the frame is
        observed. A masked joint counts as 0, as in the original.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        widths: Sequence[int] = (64, 32, 16),
        dropout: float = 0.5,
    ) -> None:
        super().__init__(skeleton, in_channels)
        if not widths or min(widths) < 1:
            raise ValueError(f"DeepFit: widths are {list(widths)}; there must be one at least, each 1 or more")
        self.out_channels, self.out_joints, self.causal = widths[-1], 1, True
        layers: list[nn.Module] = []
        features = self.skeleton.num_joints * in_channels
        for width in widths:
            layers += [nn.Linear(features, width), nn.Sigmoid(), nn.Dropout(dropout)]
            features = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :meth:`Encoder.forward`."""
        self.check(x, mask)
        planar = blank(x, mask).transpose(2, 3).flatten(2)
        y: Tensor = self.layers(planar)[:, :, None]
        return blank(y, self.feature_mask(mask))

    def feature_mask(self, mask: Tensor | None) -> Tensor | None:
        """``[N, T, 1]``: is any joint of the frame observed?"""
        return None if mask is None else mask.any(2, keepdim=True)
