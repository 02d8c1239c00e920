"""What every transform shares: where it finds its modality, when it is active, and how it reads masks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVarTuple

import torch
from torch import Tensor
from torch_geometric.data.storage import NodeStorage

from graphnets.skeleton import Skeleton
from graphnets.spec import Configurable
from graphnets.transforms.masking import take_joints

if TYPE_CHECKING:  # the data package needs Lightning, transforms don't
    from graphnets.data import MotionBatch

AXES = ("x", "y", "z")
IN_TIME = "in time"
"""How crops and warps move a modality."""
Arguments = TypeVarTuple("Arguments")


class Transform(Configurable):
    """Base of all transforms: takes a :class:`~graphnets.data.MotionBatch` and returns a changed one.

    The batch that comes in stays as it was: ``forward`` hands a shallow copy of it to :meth:`transform`,
    which puts *new* tensors on the modality's node store and never writes into those it finds there. What a
    masked entry holds afterwards is unspecified, as it was before; only the mask says what is real, and the
    length of a clip is that of its mask (its last frame with any observed joint, plus one). Padding a batch
    with more masked frames changes no transform's result on the frames that were there.

    Transforms chain with :class:`torch.nn.Sequential`.
    """

    def __init__(self, modality: str = "pose") -> None:
        """Choose the modality.

        Args:
            modality: The node type that is changed.
        """
        super().__init__()
        self.modality = modality

    def forward(self, batch: MotionBatch) -> MotionBatch:
        """Transform one modality of a batch.

        Args:
            batch: Values ``[N, T, V, C]`` and masks ``[N, T, V]``.

        Returns:
            A shallow copy of ``batch`` with new tensors in the transformed modality.

        Raises:
            ValueError: The batch hasn't got the modality.
        """
        if self.modality not in batch.modalities:
            raise ValueError(
                f"{type(self).__name__} is for modality {self.modality!r}, the batch has {batch.modalities}"
            )
        batch = copy.copy(batch)
        store = batch[self.modality]
        skeleton = store.skeleton
        # Autocast would round coordinates in products to bfloat16: centimetres at the far end of a room.
        with torch.autocast(store.x.device.type, enabled=False):
            self.transform(store)
        if store.skeleton is not skeleton:  # the bones of the batch follow
            store.num_nodes = store.skeleton.num_joints
            batch[self.modality, "bone", self.modality].edge_index = _edge_index(store.x.device, store.skeleton)
        return batch

    def transform(self, store: NodeStorage) -> None:
        """Replace tensors on the node store of the modality.

        Args:
            store: ``x [N, T, V, C]``, ``mask [N, T, V]``, ``fps [N]``, ``skeleton`` and ``channels``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define transform(store)")

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        shown = {k: v.name if isinstance(v, Skeleton) else v for k, v in self.init_args.items()}
        return ", ".join(f"{k}={v!r}" for k, v in shown.items())


class RandomTransform(Transform):
    """Base of augmentations: active in training mode, the identity in evaluation mode.

    Random numbers come from torch's global generator of the device that holds the batch, so that a seed
    reproduces them. They are drawn in shapes that don't depend on padding: one set a clip, or, where every
    frame needs its own, one for each frame of the longest clip (as the mask tells its length).
    """

    per_clip: bool = False
    """Its random numbers are one set a clip, whatever the skeleton, the channels and the number of frames."""
    moves: str = ""
    """How the modality is moved against others of the recording, in words: "in time", "from side to side"."""

    def __init__(self, probability: float = 1.0, modality: str = "pose") -> None:
        """Choose how often clips are changed.

        Args:
            probability: The chance of each clip to be changed, 0 to 1; the other clips stay exactly as they
                were.
            modality: The node type that is changed.

        Raises:
            ValueError: ``probability`` is outside its range.
        """
        super().__init__(modality)
        self.probability = in_range("probability", probability, 0, 1)

    def augment(self, store: NodeStorage) -> tuple[Tensor, Tensor]:
        """Make the changed values and mask for all clips, in the shapes they have.

        Args:
            store: As in :meth:`Transform.transform`; not to be changed.

        Returns:
            New ``x [N, T, V, C]`` and ``mask [N, T, V]``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define augment(store)")

    def transform(self, store: NodeStorage) -> None:
        """Augment the clips that chance picks."""
        if not self.training or self.probability == 0:
            return
        # Drawn first: how many random numbers a change takes may depend on the modality, who is picked must not.
        picked = (
            torch.rand(len(store.x), 1, 1, device=store.x.device) < self.probability if self.probability < 1 else None
        )
        x, mask = self.augment(store)
        if picked is not None:
            if x is not store.x:
                x = torch.where(picked[..., None], x, store.x)
            if mask is not store.mask:
                mask = torch.where(picked, mask, store.mask)
        store.x, store.mask = x, mask


def coordinate_count(channels: tuple[str, ...]) -> int:
    """Count the leading channels that are spatial coordinates.

    Args:
        channels: Channel names, e.g. ``("x", "y", "confidence")``.

    Returns:
        3 for channels that start with x, y, z; 2 for those that start with x, y.

    Raises:
        ValueError: The channels don't start with coordinates.
    """
    for count in (3, 2):
        if tuple(channels[:count]) == AXES[:count]:
            return count
    raise ValueError(
        f"this transform needs spatial coordinates, but the channels {tuple(channels)} don't start with "
        "x, y or x, y, z (streams are made after the geometry, not before)"
    )


def with_coordinates(x: Tensor, coordinates: Tensor) -> Tensor:
    """Put new coordinates before the channels that are none, such as a confidence.

    Args:
        x: ``[N, T, V, C]``, the values before.
        coordinates: ``[N, T, V, c]``, the new first ``c`` channels.

    Returns:
        ``[N, T, V, C]``.
    """
    count = coordinates.shape[-1]
    return coordinates if count == x.shape[-1] else torch.cat([coordinates, x[..., count:]], -1)


def constant(build: Callable[[*Arguments], Tensor]) -> Callable[[torch.device, *Arguments], Tensor]:
    """Make a tensor that depends on a skeleton alone once for each device, instead of in every step.

    Args:
        build: Makes the tensor from hashable arguments.

    Returns:
        The same function, with the device as a first argument.
    """

    @lru_cache(maxsize=64)
    def kept(device: torch.device, *arguments: Any) -> Tensor:
        # A tensor first made under inference mode would be refused by every later backward pass.
        with torch.inference_mode(False):
            return build(*arguments).to(device)

    @wraps(build)
    def of_device(device: torch.device, *arguments: *Arguments) -> Tensor:
        return kept(device, *arguments)

    return of_device


@constant
def _edge_index(skeleton: Skeleton) -> Tensor:
    """The edges in both directions, ``[2, 2E]``."""
    return skeleton.edge_index()


@constant
def parents(skeleton: Skeleton) -> Tensor:
    """The parent of each joint in the skeleton's tree, ``[V]``; the root is its own."""
    return torch.tensor([i if parent < 0 else parent for i, parent in enumerate(skeleton.parents)])


def bones(points: Tensor, mask: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Subtract from every joint its parent.

    Args:
        points: Coordinates, ``[N, T, V, c]``.
        mask: True where observed, ``[N, T, V]``.
        skeleton: The skeleton, for its tree.

    Returns:
        The bone that ends in each joint ``[N, T, V, c]`` (that of the root is 0), and where both of its ends
        are observed ``[N, T, V]``.
    """
    parent = parents(points.device, skeleton)
    return points - take_joints(points, parent), mask & mask.index_select(2, parent)


def symmetric(limit: Tensor | float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Draw numbers that are uniform in plus or minus ``limit``, on the device and in the type of ``like``."""
    return (2 * torch.rand(shape, device=like.device, dtype=like.dtype) - 1) * limit


def in_range(
    name: str,
    value: float,
    low: float,
    high: float = float("inf"),
    ends: Literal["[]", "[)", "(]", "()"] = "[]",
) -> float:
    """Check an argument.

    Args:
        name: What the argument is called.
        value: Its value.
        low: The least value.
        high: The greatest value.
        ends: Whether the ends belong to the range: a bracket where they do, a parenthesis where not.

    Returns:
        ``value``.

    Raises:
        ValueError: ``value`` is outside the range, or not a number.
    """
    above = value >= low if ends[0] == "[" else value > low
    below = value <= high if ends[1] == "]" else value < high
    if not (above and below):
        raise ValueError(f"{name} must be in {ends[0]}{low:g}, {high:g}{ends[1]}, got {value!r}")
    return value
