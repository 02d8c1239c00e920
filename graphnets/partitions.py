"""Graph algorithms behind a skeleton: hop distances, neighbourhood partitions, merging of removed joints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Partition = Literal["uniform", "distance", "spatial"]


def adjacency(num_nodes: int, edges: Iterable[tuple[int, int]]) -> Tensor:
    """Symmetric 0/1 adjacency of an undirected graph, without self loops.

    Args:
        num_nodes: Number of nodes V.
        edges: Pairs of node indices; the direction is ignored.

    Returns:
        Float32 tensor [V, V].
    """
    matrix = torch.zeros(num_nodes, num_nodes)
    pairs = torch.tensor(list(edges), dtype=torch.long).reshape(-1, 2)
    matrix[pairs[:, 0], pairs[:, 1]] = 1.0
    matrix[pairs[:, 1], pairs[:, 0]] = 1.0
    return matrix


def hop_distances(matrix: Tensor) -> Tensor:
    """Length of the shortest path between every two nodes, in edges.

    Args:
        matrix: Symmetric 0/1 adjacency [V, V].

    Returns:
        Int64 tensor [V, V] with zeros on the diagonal; -1 where there is no path.
    """
    num_nodes = matrix.shape[0]
    hops = torch.full((num_nodes, num_nodes), -1, dtype=torch.long)
    frontier = torch.eye(num_nodes)
    distance = 0
    while frontier.any():
        hops[frontier.bool()] = distance
        # One step along the edges from the last ring; what was reached before was reached by a shorter path.
        frontier = ((frontier @ matrix > 0) & (hops < 0)).float()
        distance += 1
    return hops


def neighbour_partitions(
    hops: Tensor,
    depth: Tensor,
    strategy: Partition = "spatial",
    max_hop: int = 1,
    normalize: bool = True,
) -> Tensor:
    """Split every node's neighbourhood into subsets that get weights of their own.

    The strategies and the convention are those of :meth:`graphnets.skeleton.Skeleton.partitions`.

    Args:
        hops: Hop distances [V, V], -1 = unreachable.
        depth: Distance of every node to the root [V].
        strategy: ``"uniform"``, ``"distance"`` or ``"spatial"``.
        max_hop: Radius of the neighbourhood in hops.
        normalize: Divide each row by the size of that node's full neighbourhood.

    Returns:
        Float32 tensor [K, V, V].

    Raises:
        ValueError: Unknown strategy or a negative ``max_hop``.
    """
    if strategy not in get_args(Partition):
        raise ValueError(f"partition strategy {strategy!r} is unknown; use one of {list(get_args(Partition))}")
    if max_hop < 0:
        raise ValueError(f"max_hop is {max_hop}; it must be 0 or more")
    reachable = (hops >= 0) & (hops <= max_hop)
    if strategy == "uniform":
        subsets = reachable[None]
    elif strategy == "distance":
        subsets = hops[None] == torch.arange(max_hop + 1)[:, None, None]
    else:
        receiver, sender = depth[:, None], depth[None, :]
        subsets = torch.stack([sender == receiver, sender < receiver, sender > receiver]) & reachable
    result = subsets.float()
    return result / reachable.sum(dim=1, keepdim=True) if normalize else result


def ancestors(parents: Sequence[int], node: int) -> list[int]:
    """Parent, grandparent and so on up to the root (its parent is -1); ends early where a node comes back."""
    found: list[int] = []
    while (node := parents[node]) >= 0 and node not in found:
        found.append(node)
    return found


def merge_removed(parents: Sequence[int], kept: Sequence[int]) -> list[int]:
    """Merge the nodes that are removed from a tree into those that stay.

    Each removed node goes to its nearest kept ancestor; one without goes to the new root, the kept node of
    the smallest depth (of equals, the first given).

    Args:
        parents: Parent of every node, -1 for the root.
        kept: Nodes that stay, in their new order.

    Returns:
        For every old node, the position in ``kept`` of the node that it is merged into.
    """
    lines = [ancestors(parents, node) for node in range(len(parents))]
    position = {old: new for new, old in enumerate(kept)}
    root = position[min(kept, key=[len(line) for line in lines].__getitem__)]
    return [next((position[a] for a in (node, *line) if a in position), root) for node, line in enumerate(lines)]
