"""DCT-GCN: a graph network between whole trajectories, seen through their cosine coefficients."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from graphnets.encoders.base import Encoder
from graphnets.nn.dct import clip_basis, dct, fill_gaps, idct
from graphnets.nn.norm import MaskedBatchNorm
from graphnets.nn.trajectory import TrajectoryBlock, TrajectoryLayer
from graphnets.skeleton import Skeleton


class DCTGCN(Encoder):
    r"""Graph convolution over trajectory coefficients (Mao et al. 2019, arXiv 1908.05436).

    The trunk of the pose corrector of Zhao et al. (2022, arXiv 2208.03257, EC3D). Every channel of every joint is a
    node, and the first K coefficients of the DCT of its trajectory are the node's features; the adjacency between the
    ``V C`` nodes is dense and learned:

    .. math:: X = B^\top x, \qquad H = \mathrm{ReLU}(\mathrm{BN}(A X W + b)), \qquad
              H \leftarrow H + \mathrm{GC}(\mathrm{GC}(H)), \qquad y = \mathrm{ReLU}(\mathrm{BN}(B \, U H))

    with the DCT basis B of each clip's own length and U a linear map, the same for every joint, from the features of a
    joint's C nodes to K coefficients of each of the D channels. The papers stop at coefficients; the way back
    to frames is ours, so that every head can be put on top.

    Gaps in a trajectory are filled by straight lines (:func:`graphnets.nn.dct.fill_gaps`): a zero would be a jump,
    which spreads over all coefficients. A joint that is never observed is 0. Where the input is masked the features
    are 0 and masked too, as in every other encoder, although the network has a guess there.

    Nodes are ordered joint by joint, node ``v C + c``. The transform is along time alone. The released EC3D networks
    transform the coordinates as well, in two dimensions, so that their nodes are no coordinates of joints: their
    weights don't fit here.

    Args:
        skeleton: The joints; edges aren't used. The name or file of a skeleton will do.
        in_channels: C.
        coefficients: K. A clip of fewer frames has zeros in the rest.
        width: Features of each node inside.
        blocks: Residual blocks of two graph convolutions each (12 in the paper of 2019, 2 in EC3D's corrector).
        out_channels: D.
        dropout: After every graph convolution but the last map.
        input_norm: Normalise the input, each channel of each joint; the papers don't.

    Raises:
        ValueError: ``coefficients``, ``width`` or ``out_channels`` is below 1, or ``blocks`` below 0.

    Shapes:
        ``x [N, T, V, C]``, ``mask [N, T, V]`` or None -> ``[N, T, V, D]``.
    """

    def __init__(
        self,
        skeleton: Skeleton | str,
        in_channels: int,
        coefficients: int = 25,
        width: int = 256,
        blocks: int = 2,
        out_channels: int = 64,
        dropout: float = 0.5,
        input_norm: bool = True,
    ) -> None:
        super().__init__(skeleton, in_channels)
        for name, value in (("coefficients", coefficients), ("width", width), ("out_channels", out_channels)):
            if value < 1:
                raise ValueError(f"DCTGCN: {name} is {value}; it must be 1 or more")
        if blocks < 0:
            raise ValueError(f"DCTGCN: blocks is {blocks}; it must be 0 or more")
        self.coefficients, self.out_channels = coefficients, out_channels
        joints = self.skeleton.num_joints
        nodes = joints * in_channels
        self.norm = MaskedBatchNorm(in_channels, joints) if input_norm else None
        self.enter = TrajectoryLayer(coefficients, width, nodes, dropout)
        self.blocks = nn.ModuleList(TrajectoryBlock(width, nodes, dropout) for _ in range(blocks))
        self.leave = nn.Linear(in_channels * width, coefficients * out_channels)
        self.out_norm = MaskedBatchNorm(out_channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See :meth:`Encoder.forward`."""
        self.check(x, mask)
        n, t, v, _ = x.shape
        basis = clip_basis(x, mask, self.coefficients)
        h = self.trajectories(x, mask, basis).reshape(n, v, -1)
        h = self.leave(h).view(n, v, self.coefficients, -1).transpose(1, 2).reshape(n, self.coefficients, -1)
        y = idct(h, basis).view(n, t, v, self.out_channels)
        return F.relu(self.out_norm(y, mask))

    def trajectories(self, x: Tensor, mask: Tensor | None, basis: Tensor) -> Tensor:
        """The features of every node, ``[N, V C, width]``.

        Args:
            x: ``[N, T, V, C]``.
            mask: ``[N, T, V]`` or None.
            basis: Of :func:`graphnets.nn.dct.clip_basis`.
        """
        seen = None if mask is None else mask.flatten(1).any(1)
        h = fill_gaps(x if self.norm is None else self.norm(x, mask), mask)
        h = self.enter(dct(h.flatten(2), basis), seen)
        for block in self.blocks:
            h = block(h, seen)
        return h
