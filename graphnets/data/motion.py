"""Recordings as PyG heterogeneous graphs: every modality is a node type, its bones are the edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.data import size_repr

from graphnets.skeleton import Skeleton

BONE = "bone"
_FIXED = frozenset({"skeleton", "channels", "id", "subject"})


@lru_cache(maxsize=64)
def _edge_index(skeleton: Skeleton) -> Tensor:
    return skeleton.edge_index()


class _Motion(HeteroData):
    """What a recording and a batch of recordings have in common."""

    _layout: tuple[str, ...]  # the axes of ``x``

    @property
    def modalities(self) -> list[str]:
        """The names of the modalities, in the order they were added."""
        return list(self._node_store_dict)

    def set_modality(
        self, name: str, x: Tensor, mask: Tensor, fps: Any, skeleton: Skeleton, channels: Sequence[str]
    ) -> None:
        """Add or replace one modality.

        Args:
            name: The node type, e.g. ``"pose"``.
            x: Values, ``[(N,) T, V, C]``.
            mask: True where observed, bool ``[(N,) T, V]``.
            fps: Frames per second: a number, or one a sequence ``[N]``.
            skeleton: The graph over the ``V`` nodes.
            channels: The names of the ``C`` channels.

        Raises:
            ValueError: The shapes don't agree with each other, the skeleton or the channels.
        """
        v, c = skeleton.num_joints, len(channels)
        if x.dim() != len(self._layout) or x.shape[-2:] != (v, c) or mask.shape != x.shape[:-1]:
            lead = ", ".join(self._layout[:-2])
            raise ValueError(
                f"modality {name!r}: values {tuple(x.shape)} and mask {tuple(mask.shape)} don't fit skeleton "
                f"{skeleton.name!r} with {v} joints and channels {tuple(channels)}: expected [{lead}, {v}, {c}] and "
                f"[{lead}, {v}]"
            )
        if mask.dtype != torch.bool:
            raise ValueError(f"modality {name!r}: the mask is {mask.dtype}, expected torch.bool, True = observed")
        fields = {"x": x, "mask": mask, "fps": fps, "skeleton": skeleton, "channels": tuple(channels)}
        self.put_modality(name, fields)

    def put_modality(self, name: str, fields: Mapping[str, Any]) -> None:
        """Add or replace one modality, unchecked: :meth:`set_modality` for those who know that all fits."""
        skeleton = fields["skeleton"]
        # Past PyG's attribute access, which takes longer than reading the frames themselves.
        node = self.get_node_store(name)._mapping
        node.update(fields)
        node["num_nodes"] = skeleton.num_joints
        # A copy: whoever changes a recording's edges must not change those of all others.
        edges = _edge_index(skeleton).clone()
        self.get_edge_store(name, BONE, name)._mapping["edge_index"] = edges.to(fields["x"].device)

    def put_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set what concerns the recording as a whole, unchecked: labels, ``id``, ``subject``."""
        self._global_store._mapping.update(attributes)

    def apply(self, func: Callable[[Any], Any], *args: str) -> Self:
        """Apply a function to tensors, as ``to``, ``cpu``, ``clone`` and ``pin_memory`` do.

        Skeletons and names stay as they are; PyG would turn the tuple of channels into a list.
        """
        for store in self.stores:
            if keys := [key for key in store.keys(*args) if key not in _FIXED]:
                store.apply(func, *keys)
        return self

    def __repr__(self) -> str:
        """Shapes, and the names of the skeletons."""
        lines = [size_repr(key, value, 2) for key, value in self._global_store.items()]
        for key, store in (*self._node_store_dict.items(), *self._edge_store_dict.items()):
            shown = {k: _Name(v.name) if isinstance(v, Skeleton) else v for k, v in store.items()}
            lines.append(size_repr(key, shown, 2))
        return f"{type(self).__name__}(\n" + ",\n".join(lines) + "\n)"


class _Name:
    """Prints without quotes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


class MotionSequence(_Motion):
    """One recording.

    ``sequence["pose"]`` holds ``x [T, V, C]`` (float32), ``mask [T, V]`` (True = observed), ``fps``, ``skeleton`` and
    ``channels``; ``sequence["pose", "bone", "pose"].edge_index`` its edges. Labels, ``id`` and ``subject`` are
    attributes of the recording, shared by all of its modalities: these are paired by construction.
    """

    _layout = ("T", "V", "C")

    @classmethod
    def from_arrays(
        cls,
        modalities: Mapping[str, Mapping[str, Any]],
        labels: Mapping[str, Any] | None = None,
        id: str = "0",
        subject: str = "0",
    ) -> MotionSequence:
        """Build a recording from arrays.

        Args:
            modalities: For each name a mapping with ``x [T, V, C]``, ``skeleton``, ``channels``, ``fps`` and
                optionally ``mask [T, V]`` (default: all observed).
            labels: Recording-level labels.
            id: A unique name.
            subject: Who moved.

        Raises:
            ValueError: Shapes, skeleton and channels don't agree.
        """
        sequence = cls()
        _fill(sequence, modalities, labels)
        sequence.id, sequence.subject = id, subject
        return sequence


class MotionBatch(_Motion):
    """Several recordings, padded to the longest: the names of :class:`MotionSequence` with a leading ``N``.

    ``batch["pose"].x`` is ``[N, T, V, C]``, ``mask`` ``[N, T, V]``, ``fps`` ``[N]``; ``id`` and ``subject`` are lists;
    labels are ``[N]`` int64, -1 where unlabelled. The mask alone says what is real: padded frames and missing joints
    are False, and whatever number stands there means nothing.
    """

    _layout = ("N", "T", "V", "C")

    @property
    def raw(self) -> MotionBatch:
        """The recordings before a task transformed them; the batch itself if none did."""
        raw: MotionBatch = self.__dict__.get("_raw", self)
        return raw

    def keep_raw(self, raw: MotionBatch) -> None:
        """Note what this batch is the transformed of; an attribute would end up among the data, where PyG puts it."""
        self.__dict__["_raw"] = raw.raw

    @classmethod
    def from_arrays(
        cls,
        modalities: Mapping[str, Mapping[str, Any]],
        labels: Mapping[str, Any] | None = None,
        id: Sequence[str] | None = None,
        subject: Sequence[str] | None = None,
    ) -> MotionBatch:
        """Build a batch from stacked arrays; arguments as in :meth:`MotionSequence.from_arrays` with a leading N.

        Raises:
            ValueError: Shapes, skeleton and channels don't agree, or there isn't one of everything a recording.
        """
        batch = cls()
        _fill(batch, modalities, labels)
        n = len(batch)
        for name in batch.modalities:
            store = batch[name]
            rate = torch.as_tensor(store.fps, dtype=torch.float32, device=store.x.device)
            store.fps = rate.expand(n).clone() if rate.dim() == 0 else rate
        batch.id = list(id) if id is not None else [str(i) for i in range(n)]
        batch.subject = list(subject) if subject is not None else ["0"] * n
        for key in labels or {}:
            batch[key] = torch.as_tensor(batch[key])
        counts = {name: len(batch[name].x) for name in batch.modalities}
        counts |= {f"fps of {name}": len(batch[name].fps) for name in batch.modalities}
        counts |= {key: len(value) for key, value in batch._global_store.items()}
        if wrong := {key: count for key, count in counts.items() if count != n}:
            raise ValueError(f"a batch of {n} recordings needs {n} of everything, but has {wrong}")
        return batch

    def __len__(self) -> int:
        """The number of recordings, N."""
        return int(self[self.modalities[0]].x.shape[0])

    def sequence(self, i: int) -> MotionSequence:
        """Recording ``i`` alone, without its padding: up to the last frame in which anything was observed."""
        modalities = {}
        for name in self.modalities:
            store = self[name]
            mask = store.mask[i]
            length = int(mask.any(-1).nonzero().max()) + 1 if bool(mask.any()) else 0
            modalities[name] = {
                "x": store.x[i, :length],
                "mask": mask[:length],
                "fps": float(store.fps[i]),
                "skeleton": store.skeleton,
                "channels": store.channels,
            }
        return MotionSequence.from_arrays(modalities, self.labels_of(i), self.id[i], self.subject[i])

    def labels_of(self, i: int) -> dict[str, Any]:
        """The recording-level labels of recording ``i``."""
        graph_level = self._global_store
        return {k: v[i] for k, v in graph_level.items() if k not in ("id", "subject")}

    def to_pyg(self) -> HeteroData:
        """The disjoint union as PyG lays it out, node first, for layers that want one big graph.

        Returns:
            For each modality ``x [N*V, T, C]``, ``mask [N*V, T]``, ``batch [N*V]``, ``ptr [N+1]`` and the bone
            relation's ``edge_index`` shifted by recording; recording-level labels as they are.
        """
        data = HeteroData()
        for name in self.modalities:
            x, mask = self[name].x, self[name].mask
            n, t, v, c = x.shape
            node = data[name]
            node.x = x.permute(0, 2, 1, 3).reshape(n * v, t, c)
            node.mask = mask.permute(0, 2, 1).reshape(n * v, t)
            offsets = torch.arange(n, device=x.device)
            node.batch = offsets.repeat_interleave(v)
            node.ptr = torch.arange(n + 1, device=x.device) * v
            edges = self[name, BONE, name].edge_index
            shifted = edges[:, None, :] + (offsets * v)[None, :, None]
            data[name, BONE, name].edge_index = shifted.reshape(2, -1)
        for key, value in self._global_store.items():
            data[key] = value
        return data


def _fill(motion: _Motion, modalities: Mapping[str, Mapping[str, Any]], labels: Mapping[str, Any] | None) -> None:
    if not modalities:
        raise ValueError("a recording needs at least one modality")
    for name, m in modalities.items():
        x = m["x"] if isinstance(m["x"], Tensor) else torch.as_tensor(m["x"], dtype=torch.float32)
        given = m.get("mask")
        mask = x.new_ones(x.shape[:-1], dtype=torch.bool) if given is None else torch.as_tensor(given)
        motion.set_modality(name, x, mask, m["fps"], m["skeleton"], m["channels"])
    for key, value in (labels or {}).items():
        motion[key] = value
