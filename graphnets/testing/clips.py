"""Skeletons and clips that encoders are tested on."""

from __future__ import annotations

import torch
from torch import Tensor

from graphnets.skeleton import Skeleton


def random_tree(num_joints: int, seed: int = 0) -> Skeleton:
    """A skeleton whose joints each hang on a random earlier one.

    Args:
        num_joints: V, at least 1.
        seed: Of the tree.
    """
    draw = torch.Generator().manual_seed(seed)
    parents = [-1] + [int(torch.randint(i, (1,), generator=draw)) for i in range(1, num_joints)]
    edges = tuple((parent, child) for child, parent in enumerate(parents) if parent >= 0)
    return Skeleton(f"tree{num_joints}", tuple(f"joint_{i}" for i in range(num_joints)), tuple(parents), edges)


def disconnected() -> Skeleton:
    """Five joints in a tree, of whose bones only two are edges: one joint has no neighbour."""
    tree = random_tree(5)
    return Skeleton("disconnected", tree.joints, (-1, 0, 1, 0, 3), ((0, 1), (3, 4)))


def random_motion(frames: int, joints: int, channels: int, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with everything missing that can be missing: entries, a joint, a frame, the last third of a clip.

    Args:
        frames: T.
        joints: V.
        channels: C.
        batch: N.
        seed: Of values and mask.

    Returns:
        Values ``[N, T, V, C]``, finite everywhere, and mask ``[N, T, V]``, with something observed in every sequence.
    """
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, frames, joints, channels, generator=draw)
    mask = torch.rand(batch, frames, joints, generator=draw) > 0.2
    mask[0, :, -1] = False
    mask[0, frames // 2] = False
    mask[-1, frames - frames // 3 :] = False
    mask[:, 0, 0] = True
    return x, mask
