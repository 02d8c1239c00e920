"""Combining the features of several modalities, frame by frame."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from graphnets.nn.masking import blank
from graphnets.spec import Configurable


class Fusion(Configurable):
    """Base of what combines one feature vector a modality into one a frame.

    A subclass sets ``out_channels`` and defines :meth:`combine`.

    Args:
        width: D, the features of every modality.
        modalities: M, how many there are.

    Raises:
        ValueError: ``width`` is below 1 or ``modalities`` below 2.
    """

    out_channels: int

    def __init__(self, width: int, modalities: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"{type(self).__name__}: width is {width}; it must be 1 or more")
        if modalities < 2:
            raise ValueError(f"{type(self).__name__}: modalities is {modalities}; there must be 2 or more to fuse")
        self.width, self.modalities = width, modalities

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Combine.

        Args:
            x: ``[N, T, M, D]``; nothing is read where ``present`` is False.
            present: Whether a modality was observed in a frame, bool ``[N, T, M]``; None = all were.

        Returns:
            ``[N, T, out_channels]``, 0 in frames without any modality.
        """
        y = self.combine(blank(x, present), present)
        return y if present is None else blank(y, present.any(2))

    @abstractmethod
    def combine(self, x: Tensor, present: Tensor | None) -> Tensor:
        """``x [N, T, M, D]``, 0 where absent -> ``[N, T, out_channels]``."""


class SumFusion(Fusion):
    r""":math:`y = \sum_m m_m` over the modalities that are present."""

    def __init__(self, width: int, modalities: int) -> None:
        super().__init__(width, modalities)
        self.out_channels = width

    def combine(self, x: Tensor, present: Tensor | None) -> Tensor:
        """See :meth:`Fusion.combine`."""
        return x.sum(2)


class MeanFusion(SumFusion):
    r""":math:`y = \frac{1}{|P|} \sum_{m \in P} m_m` over the modalities P that are present.

    Unlike the sum it keeps its size when a modality is missing.
    """

    def combine(self, x: Tensor, present: Tensor | None) -> Tensor:
        """See :meth:`Fusion.combine`."""
        if present is None:
            return x.mean(2)
        return x.sum(2) / present.sum(2, keepdim=True).clamp(min=1).to(x.dtype)


class ConcatFusion(Fusion):
    r""":math:`y = W [m_1; \ldots; m_M] + b`, a modality that is absent being 0.

    Args:
        width: D, the features of every modality.
        modalities: M, how many there are.
        out_channels: The features of the result; D by default.
    """

    def __init__(self, width: int, modalities: int, out_channels: int | None = None) -> None:
        super().__init__(width, modalities)
        self.out_channels = width if out_channels is None else out_channels
        self.linear = nn.Linear(modalities * width, self.out_channels)

    def combine(self, x: Tensor, present: Tensor | None) -> Tensor:
        """See :meth:`Fusion.combine`."""
        y: Tensor = self.linear(x.flatten(2))
        return y


class MultiModalFusion(Fusion):
    r"""The multi-modal fusion module of Hossain et al. 2025 (PLOS ONE, doi 10.1371/journal.pone.0335257).

    With :math:`m_1, \ldots, m_M` the modalities of a frame and :math:`x = [m_1; \ldots; m_M]`,

    .. math:: o_1 &= \mathrm{MHA}(m_1, \ldots, m_M), \qquad
              o_2 = \sigma(W x + b) \odot x, \qquad
              o_3 = m_1 \odot \cdots \odot m_M \\
              u &= [o_1; o_2; o_3], \qquad
              y = V \, (u \odot \sigma(W_u u + b_u)) + c

    that is, attention between the modalities, a weighting of each feature, and their product, all weighted once more.
    The published code attends with the vector ``x``, of which there is one a frame; here the modalities of a frame
    attend to each other, so that frames of a clip are fused independently, and ``o_1`` has the same M D features.

    A modality that is absent is 0 in ``x``, is attended to by none and has zeros in ``o_1``, and doesn't enter the
    product: of a single one that is left the product is that one.

    Args:
        width: D, the features of every modality.
        modalities: M, how many there are.
        heads: Of the attention; they share out the D features.
        out_channels: The features of the result; D by default.

    Raises:
        ValueError: ``heads`` doesn't divide ``width``.
    """

    def __init__(self, width: int, modalities: int, heads: int = 4, out_channels: int | None = None) -> None:
        super().__init__(width, modalities)
        if heads < 1 or width % heads:
            raise ValueError(f"MultiModalFusion: {heads} heads can't share {width} features; heads must divide width")
        self.heads = heads
        self.out_channels = width if out_channels is None else out_channels
        both = modalities * width
        self.queries = nn.Linear(width, 3 * width)  # and keys and values
        self.attended = nn.Linear(width, width)
        self.gate = nn.Linear(both, both)
        self.last_gate = nn.Linear(2 * both + width, 2 * both + width)
        self.linear = nn.Linear(2 * both + width, self.out_channels)

    def combine(self, x: Tensor, present: Tensor | None) -> Tensor:
        """See :meth:`Fusion.combine`."""
        flat = x.flatten(2)
        factors = x if present is None else x.masked_fill(~present[..., None], 1.0)
        product = factors.unbind(2)[0]
        for factor in factors.unbind(2)[1:]:  # prod() can't be exported everywhere, and M is small
            product = product * factor
        weighted = torch.sigmoid(self.gate(flat)) * flat
        u = torch.cat([self._attend(x, present).flatten(2), weighted, product], -1)
        y: Tensor = self.linear(u * torch.sigmoid(self.last_gate(u)))
        return y

    def _attend(self, x: Tensor, present: Tensor | None) -> Tensor:
        """Attention between the modalities of each frame, ``[N, T, M, D]`` to the same."""
        n, t, m, d = x.shape
        # [3, N T, heads, M, D / heads]
        parts = self.queries(x).view(n * t, m, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(d // self.heads)
        if present is not None:
            # A large number, not infinity: a frame without any modality has no maximum to subtract.
            absent = ~present.reshape(n * t, 1, 1, m)
            scores = scores.masked_fill(absent, torch.finfo(scores.dtype).min)
        mixed = torch.matmul(scores.softmax(-1).to(value.dtype), value)
        y: Tensor = self.attended(mixed.transpose(1, 2).reshape(n, t, m, d))
        return blank(y, present)
