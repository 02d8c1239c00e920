"""Recordings as PyG heterogeneous graphs: every modality is a node type, its bones are the edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphnets.skeleton import Skeleton

BONE = "bone"


class _Motion(HeteroData):
    """What a recording and a batch of recordings have in common."""

    @property
    def modalities(self) -> list[str]:
        """The names of the modalities, in the order they were added."""
        return list(self.node_types)

    def set_modality(
        self, name: str, x: Tensor, mask: Tensor, fps: Any, skeleton: Skeleton, channels: Sequence[str]
    ) -> None:
        """Add or replace one modality.

        Args:
            name: The node type, e.g. ``"pose"``.
            x: Values, ``[(N,) T, V, C]``.
            mask: True where observed, ``[(N,) T, V]``.
            fps: Frames per second: a number, or one a sequence ``[N]``.
            skeleton: The graph over the ``V`` nodes.
            channels: The names of the ``C`` channels.

        Raises:
            ValueError: The shapes don't agree with each other, the skeleton or the channels.
        """
        expected = (skeleton.num_joints, len(channels))
        if tuple(x.shape[-2:]) != expected or mask.shape != x.shape[:-1]:
            raise ValueError(
                f"modality {name!r}: values {tuple(x.shape)} and mask {tuple(mask.shape)} don't fit skeleton "
                f"{skeleton.name!r} with {expected[0]} joints and channels {tuple(channels)}: expected "
                f"[..., T, {expected[0]}, {expected[1]}] and [..., T, {expected[0]}]"
            )
        store = self[name]
        store.x, store.mask, store.fps = x, mask, fps
        store.skeleton, store.channels = skeleton, tuple(channels)
        store.num_nodes = skeleton.num_joints
        self[name, BONE, name].edge_index = skeleton.edge_index()


class MotionSequence(_Motion):
    """One recording.

    ``sequence["pose"]`` holds ``x [T, V, C]`` (float32), ``mask [T, V]`` (True = observed), ``fps``, ``skeleton`` and
    ``channels``; ``sequence["pose", "bone", "pose"].edge_index`` its edges. Labels, ``id`` and ``subject`` are
    attributes of the recording, shared by all of its modalities: these are paired by construction.
    """

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
            ValueError: Shapes, skeleton and channels don't agree.
        """
        batch = cls()
        _fill(batch, modalities, labels)
        n = len(batch)
        batch.id = list(id) if id is not None else [str(i) for i in range(n)]
        batch.subject = list(subject) if subject is not None else ["0"] * n
        return batch

    def __len__(self) -> int:
        """The number of recordings, N."""
        return int(self[self.modalities[0]].x.shape[0])

    def sequence(self, i: int) -> MotionSequence:
        """Recording ``i`` alone, without its padding."""
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


def _fill(
    motion: _Motion, modalities: Mapping[str, Mapping[str, Any]], labels: Mapping[str, Any] | None
) -> None:
    if not modalities:
        raise ValueError("a recording needs at least one modality")
    for name, m in modalities.items():
        x = torch.as_tensor(m["x"])
        mask = m.get("mask")
        mask = torch.ones(x.shape[:-1], dtype=torch.bool) if mask is None else torch.as_tensor(mask)
        motion.set_modality(name, x, mask, m["fps"], m["skeleton"], m["channels"])
    for key, value in (labels or {}).items():
        motion[key] = value
