"""A corrected movement, as a change of the cosine coefficients of every joint's trajectory."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphnets.encoders.base import Features
from graphnets.nn.dct import clip_basis, dct_basis, idct
from graphnets.nn.masking import blank

CosineTransform = Literal["temporal", "2d"]


class CorrectionHead(nn.Module):
    r"""Adds low frequencies to a movement (after Zhao et al. 2022, arXiv 2208.03257, on any encoder's features).

    .. math:: c_{kv} = W_0 \sum_{t'} B'_{t'k} f_{t'v}, \qquad
              h_v = \mathrm{ReLU}\left(W_1 [c_{1v}; \dots; c_{Kv}] + U_v p + b_1\right), \qquad
              [\Delta_{1v}; \dots; \Delta_{Kv}] = W_2 h_v, \qquad
              \hat x_{tv} = x_{tv} + \sum_k B_{tk} \Delta_{kv}

    with orthonormal DCT bases :math:`B'` over the encoder's frames and :math:`B` over the movement's, of each clip's
    own length. :math:`p` is the feedback: the probabilities of the mistakes, so that the correction knows what was
    wrong.
    :math:`W_2` begins as 0: what hasn't learned anything changes nothing.

    With ``transform="2d"`` joints are transformed as well, as the released code of the paper does: v then counts
    frequencies over the order of the joints, which says nothing of the body. It is there to be compared with.

    Args:
        in_channels: D, the encoder's ``out_channels``.
        joints: V, its ``out_joints``.
        channels: C, coordinates.
        coefficients: K; those that the encoder has too few frames for are read as 0.
        feedback: How many classes p has; 0 for no feedback.
        width: Of :math:`h`.
        reduced: Channels that a coefficient of the features is reduced to.
        dropout: Of :math:`h`.
        transform: ``"temporal"``, or ``"2d"``: over joints and time.

    Raises:
        ValueError: ``transform`` is unknown.

    Shapes:
        Features ``[N, T', V, D]``, ``x [N, T, V, C]`` and its mask, feedback ``[N, P]`` -> ``[N, T, V, C]``.
    """

    def __init__(
        self,
        in_channels: int,
        joints: int,
        channels: int,
        coefficients: int,
        feedback: int = 0,
        width: int = 128,
        reduced: int = 16,
        dropout: float = 0.0,
        transform: CosineTransform = "temporal",
    ) -> None:
        super().__init__()
        if transform not in get_args(CosineTransform):
            raise ValueError(f"transform is {transform!r}; one of {', '.join(get_args(CosineTransform))}")
        self.coefficients, self.transform = coefficients, transform
        self.reduce = nn.Linear(in_channels, reduced, bias=False)
        self.enter = nn.Linear(coefficients * reduced, width)
        self.told = nn.Linear(feedback, joints * width, bias=False) if feedback else None
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(width, coefficients * channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, features: Features, x: Tensor, mask: Tensor | None, feedback: Tensor | None = None) -> Tensor:
        """The corrected movement; 0 where ``mask`` is False."""
        n, frames, joints, channels = x.shape
        seen = blank(features.x, features.mask)
        basis = clip_basis(seen, features.mask, self.coefficients)
        found = torch.matmul(basis.transpose(-1, -2), self.reduce(seen).flatten(2))  # [N, K, V R]
        found = self._over_joints(found.view(n, self.coefficients, joints, -1), joints)
        hidden = self.enter(found.transpose(1, 2).flatten(2))
        if self.told is not None:
            assert feedback is not None
            hidden = hidden + self.told(feedback).view(n, joints, -1)
        delta = self.leave(self.dropout(hidden.relu())).view(n, joints, self.coefficients, channels)
        delta = self._over_joints(delta.transpose(1, 2), joints, inverse=True)
        change = idct(delta.flatten(2), clip_basis(x, mask, self.coefficients))
        return blank(x + change.view(n, frames, joints, channels), mask)

    def _over_joints(self, values: Tensor, joints: int, inverse: bool = False) -> Tensor:
        """``[N, K, V, C]``, transformed over the joints if that is asked for."""
        if self.transform == "temporal":
            return values
        basis = dct_basis(joints, joints, values.dtype, values.device)
        return torch.matmul(basis if inverse else basis.T, values)
