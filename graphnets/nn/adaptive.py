"""Graph convolution over a topology that depends on the clip."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.nn.masking import masked_mean, pointwise


class AdaptiveGraphConv(nn.Module):
    r"""Graph convolution whose adjacency is learned and, in part, attended (2s-AGCN, AAGCN).

    .. math:: y_{ti} = \sum_k \sum_j (P_k + B_k + \alpha C_k)_{ij} \, x_{tj} W_k, \qquad
              C_{kij} = \mathrm{softmax}_j \Big( \frac{1}{E \, |F_{ij}|} \sum_{t \in F_{ij}}
              (x_{ti} \Theta_k)^\top (x_{tj} \Phi_k) \Big)

    where :math:`F_{ij}` are the frames that show both joints. A pair that no frame shows is left out of the softmax; C
    is 0 there. The mean over frames makes clips of all lengths alike; the papers write the plain product. (The code of
    the second paper takes tanh in place of the softmax that is written there.)

    Sources: Shi et al. 2019, *Two-Stream Adaptive Graph Convolutional Networks*, arXiv 1805.07694, eq. 3 to 5
    (``gate=False``: P fixed, B free from almost 0, :math:`\alpha = 1`); Shi et al. 2020, *Skeleton-Based Action
    Recognition with Multi-Stream Adaptive Graph Convolutional Networks*, arXiv 1912.06971 (``gate=True``: no P, B
    starts from the partitions, :math:`\alpha` is learned and starts from 0).

    As C sees the whole clip, every frame depends on all others.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        partitions: Normalised adjacency of each partition ``[K, V, V]``; row i gathers into joint i.
        embed_ratio: ``E = max(1, C_out // embed_ratio)`` channels for :math:`\Theta` and :math:`\Phi`.
        gate: The later of the two papers, see above.

    Raises:
        ValueError: ``embed_ratio`` is below 1.

    Shapes:
        ``x [N, T, V, C_in]``, which must be 0 where masked, ``mask [N, T, V]`` or None -> ``[N, T, V, C_out]``.
    """

    fixed: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, partitions: Tensor, embed_ratio: int = 4, gate: bool = True
    ) -> None:
        super().__init__()
        if embed_ratio < 1:
            raise ValueError(f"embed_ratio is {embed_ratio}; it must be 1 or more")
        self.in_channels, self.out_channels = in_channels, out_channels
        k, self.embedding = partitions.shape[0], max(1, out_channels // embed_ratio)
        start = partitions.clone()
        self.register_buffer("fixed", torch.zeros_like(start) if gate else start, persistent=False)
        self.topology = nn.Parameter(start.clone() if gate else torch.full_like(start, 1e-6))
        self.gate = nn.Parameter(torch.zeros(1)) if gate else None
        # No biases: the next norm would take them out of y, and what is 0 for being masked stays 0.
        self.weight = nn.Parameter(torch.empty(k, out_channels, in_channels))
        self.embed = nn.Parameter(torch.empty(2, k, self.embedding, in_channels))
        nn.init.kaiming_normal_(self.weight.view(-1, in_channels), nonlinearity="relu")
        nn.init.kaiming_normal_(self.embed.view(-1, in_channels), nonlinearity="linear")
        with torch.no_grad():
            self.weight.div_(math.sqrt(k))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve."""
        n, t, v, c = x.shape
        k = self.topology.shape[0]
        attended = self.similarity(x, mask)
        if self.gate is not None:
            attended = self.gate * attended
        adjacency = (self.fixed + self.topology + attended).to(x.dtype)
        # The cheaper product first, as in GraphConv; every frame multiplies with its clip's matrix.
        if self.in_channels < self.out_channels:
            mixing = adjacency.permute(0, 2, 1, 3).reshape(n, 1, v * k, v)
            weight = self.weight.permute(1, 0, 2).reshape(self.out_channels, k * c)
            return pointwise(torch.matmul(mixing, x).view(n, t, v, k * c), weight, None)
        mapped = pointwise(x, self.weight.reshape(k * self.out_channels, c), None)
        mixing = adjacency.permute(0, 2, 3, 1).reshape(n, 1, v, v * k)
        return torch.matmul(mixing, mapped.reshape(n, t, v * k, self.out_channels))

    def similarity(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The attention C of every clip, ``[N, K, V, V]``; a row sums to 1, or to 0 for a joint never observed."""
        n, t, v, c = x.shape
        k, e = self.topology.shape[0], self.embedding
        both = pointwise(x, self.embed.reshape(2 * k * e, c), None).reshape(n, t, v, 2, k, e)
        theta, phi = both.permute(3, 0, 4, 2, 1, 5).reshape(2, n * k, v, t * e)
        products = torch.bmm(theta, phi.transpose(1, 2)).view(n, k, v, v)
        if mask is None:
            return torch.softmax(products / (t * e), dim=-1)
        observed = mask.to(x.dtype)
        together = torch.bmm(observed.transpose(1, 2), observed)[:, None]  # in how many frames
        apart = together < 0.5
        # The lowest number instead of minus infinity: a joint never observed has a row of nothing else.
        scores = (products / (e * together.clamp(min=1))).masked_fill(apart, torch.finfo(products.dtype).min)
        return torch.softmax(scores, dim=-1).masked_fill(apart, 0.0)


class RefinedGraphConv(nn.Module):
    r"""Graph convolution with a topology of its own for every clip and channel (CTR-GC).

    .. math:: Q_{nkij} = \tanh(\psi_k(\mathrm{E}_t[x_{ti}]) - \phi_k(\mathrm{E}_t[x_{tj}])), \qquad
              y_{tic} = \sum_k \sum_j (A_{kij} + \alpha \, \xi_k(Q_{nkij})_c) \, (x_{tj} W_k)_c

    A is shared by all channels; it is learned, from the partitions on. :math:`\psi, \phi` map to few channels,
    :math:`\xi` back to all; :math:`\alpha` is learned and starts from 0. Means run over the frames in which the joint
    was observed, so every frame depends on all others.

    Source: Chen et al. 2021, *Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action
    Recognition*, arXiv 2107.12213, section 3.2, with the correlation function M1. All k are done in one pass, and the
    means are taken before they are mapped, which is the same and spares a map of every frame.

    Args:
        in_channels: ``C_in``.
        out_channels: ``C_out``.
        partitions: Normalised adjacency of each partition ``[K, V, V]``; row i gathers into joint i.
        reduction: :math:`\psi, \phi` map to ``max(8, C_in // reduction)`` channels.

    Raises:
        ValueError: ``reduction`` is below 1.

    Shapes:
        ``x [N, T, V, C_in]``, which must be 0 where masked, ``mask [N, T, V]`` or None -> ``[N, T, V, C_out]``.
    """

    def __init__(self, in_channels: int, out_channels: int, partitions: Tensor, reduction: int = 8) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(f"reduction is {reduction}; it must be 1 or more")
        self.in_channels, self.out_channels = in_channels, out_channels
        k, self.relations = partitions.shape[0], max(8, in_channels // reduction)
        self.topology = nn.Parameter(partitions.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        # Without bias what is 0 for being masked stays 0, and adds nothing to other joints.
        self.weight = nn.Parameter(torch.empty(k, out_channels, in_channels))
        self.relate = nn.Parameter(torch.empty(2, k * self.relations, in_channels))
        self.relate_bias = nn.Parameter(torch.zeros(k * self.relations))  # of psi; that of phi would only shift it
        self.refine = nn.Parameter(torch.empty(k, out_channels, self.relations))
        self.refine_bias = nn.Parameter(torch.zeros(k, out_channels))
        for weight in (self.weight, self.refine):
            nn.init.kaiming_normal_(weight.view(-1, weight.shape[-1]), nonlinearity="relu")
        nn.init.kaiming_normal_(self.relate.view(-1, in_channels), nonlinearity="linear")
        with torch.no_grad():
            self.weight.div_(math.sqrt(k))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve."""
        n, t, v, c = x.shape
        k, out = self.topology.shape[0], self.out_channels
        # One matrix product for each clip and channel needs [V, T] side by side in memory; copying the input into that
        # order is cheaper than copying what it is mapped to. With k innermost the product sums over it as well.
        weight = self.weight.permute(1, 0, 2).reshape(out * k, c)
        mapped = torch.conv2d(x.permute(0, 3, 2, 1).contiguous(), weight[:, :, None, None])
        topology = self.refined(x, mask).permute(0, 2, 1, 4, 3).reshape(n * out, k * v, v)
        y = torch.bmm(topology.transpose(1, 2).to(mapped.dtype), mapped.reshape(n * out, k * v, t))
        return y.view(n, out, v, t).permute(0, 3, 2, 1).contiguous()

    def refined(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The topology of every clip and channel, ``[N, K, C_out, V, V]``."""
        n, _, v, _ = x.shape
        k, r = self.topology.shape[0], self.relations
        related = F.linear(masked_mean(x, mask, (1,)), self.relate.flatten(0, 1))
        psi, phi = related.transpose(1, 2).reshape(n, 2, k * r, v).unbind(1)
        psi = psi + self.relate_bias[:, None].to(psi.dtype)
        # Senders before receivers: so the pairs of a partition stay one piece of memory until they are multiplied.
        relation = torch.tanh(psi[..., None, :] - phi[..., :, None]).view(n, k, r, v * v)
        # The shared topology and the bias enter as two relations more, for adding them would read and write all again.
        shared = self.topology.transpose(1, 2).reshape(1, k, 1, v * v).to(relation.dtype)
        relation = torch.cat([relation, shared.expand(n, -1, -1, -1), torch.ones_like(relation[:, :, :1])], 2)
        change, bias = self.alpha * self.refine, (self.alpha * self.refine_bias)[..., None]
        weight = torch.cat([change, torch.ones_like(bias), bias], 2)
        refined = torch.matmul(weight.to(relation.dtype), relation)
        return refined.view(n, k, self.out_channels, v, v).transpose(3, 4)
