"""A trained task as a teacher: frozen, and asked once for each recording."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from graphnets.data import MotionBatch
from graphnets.encoders import Features
from graphnets.nn.masking import masked_mean

CACHE_BYTES = 1 << 30
"""What a teacher's answers may take in all; after that the rest is computed anew each time."""

View = Literal["stored", "student"]
"""What a teacher sees: recordings as they are in the store, or as the student's transforms leave them."""


@dataclass
class Knowledge:
    """What a network knows of a batch.

    Attributes:
        logits: ``[N, K]``.
        embedding: Mean of the features over observed frames and joints, ``[N, D]``.
        read: What the classifier reads, ``[N, D]`` or with peaks ``[N, 2 D]``; only of a teacher.
        layers: Of each tapped layer the mean over joints, ``[N, T', D]``; without taps of the encoder's features.
    """

    logits: Tensor
    embedding: Tensor
    layers: tuple[Tensor, ...]
    read: Tensor | None = None

    def pooled(self) -> list[Tensor]:
        """Each layer's mean over frames, ``[N, D]``."""
        return [layer.mean(1) for layer in self.layers]


class Teacher:
    """A task from a checkpoint that answers and never learns: no part of whoever asks, nor of a checkpoint.

    Its own transforms run on the recordings as they are in the store, in evaluation mode, so a recording has one
    answer, which is kept.

    Args:
        checkpoint: What training wrote.
        objective: Whose logits; the name of one of its objectives, by default the first.
        taps: Module paths in its encoder; none for the encoder's features.

    Raises:
        ValueError: There is no such checkpoint, objective or module.
    """

    def __init__(self, checkpoint: str | Path, objective: str | None = None, taps: Sequence[str] = ()) -> None:
        from graphnets.tasks.task import Task  # a task has objectives, and this is part of one

        self.task = Task.from_checkpoint(checkpoint)
        self.sources = {Path(checkpoint).name: digest(checkpoint)}
        self.task.requires_grad_(False)
        names = list(self.task.objectives)
        self.objective = names[0] if objective is None else objective
        if self.objective not in names:
            raise ValueError(f"{checkpoint}: the teacher has no objective {objective!r}; it has {', '.join(names)}")
        self.taps = tuple(taps)
        check_taps(self.task.encoder, self.taps, f"the teacher {checkpoint}")
        self._heard: dict[str, Tensor] = {}
        listen(self.task.encoder, self.taps, self._heard)
        self._kept: dict[str, tuple[Tensor, ...]] = {}
        self._bytes = 0

    @torch.no_grad()
    def __call__(self, batch: MotionBatch, changed: bool = False) -> Knowledge:
        """Its answer to a batch.

        Args:
            batch: Looked at is what it is the transformed of, :attr:`graphnets.data.MotionBatch.raw`.
            changed: Look at the batch itself instead, whose random changes a kept answer knows nothing of.

        Raises:
            ValueError: The recordings lack a modality that it reads.
        """
        if not changed and all(name in self._kept for name in batch.id):
            known = [list(parts) for parts in zip(*(self._kept[i] for i in batch.id), strict=True)]
            # Without a Resample of the teacher's own, layers are as long as the batch that they were asked in.
            if all(part.shape == parts[0].shape for parts in known for part in parts):
                return unpack([torch.stack(parts) for parts in known])
        raw = batch if changed else batch.raw
        if missing := [name for name in self.task.modalities if name not in raw.modalities]:
            raise ValueError(
                f"the teacher reads {', '.join(self.task.modalities)}, but {', '.join(missing)} isn't read from the "
                f"store: add to data.modalities, which are {', '.join(raw.modalities)}"
            )
        self.task.eval().to(batch[batch.modalities[0]].x.device)
        transformed = self.task.transform(raw)
        features = self.task.features(transformed)
        asked = self.task.objective(self.objective)
        logits = asked(features, transformed, {}).prediction
        head = getattr(asked, "head", None)
        pool = getattr(head, "pool", None)
        embedding = masked_mean(features.x, features.mask, (1, 2))
        layers = layers_of(features, [self._heard[name] for name in self.taps])
        self._heard.clear()
        parts = [logits, embedding, pool(features) if pool else embedding, *layers]
        size = sum(part[0].numel() * part.element_size() for part in parts)
        for row, name in enumerate(batch.id):
            if not changed and name not in self._kept and self._bytes + size <= CACHE_BYTES:
                self._kept[name] = tuple(part[row] for part in parts)
                self._bytes += size
        return unpack(parts)


class CrossFitted:
    """Several teachers, each for the subjects that it has not seen.

    A teacher knows the recordings it was trained on by heart, and has little more to say of them than their labels.
    Train one for each training subject (or fold of them) on the others, and let it speak of that one.

    Args:
        checkpoints: Of each subject the teacher's checkpoint.
        objective: As of :class:`Teacher`.
        taps: Likewise.

    Raises:
        ValueError: There is none, or one can't be had; see :class:`Teacher`.
    """

    def __init__(self, checkpoints: Mapping[str, str], objective: str | None = None, taps: Sequence[str] = ()) -> None:
        if not checkpoints:
            raise ValueError("no teacher: give the checkpoint of one, or of one for each subject")
        made = {path: Teacher(path, objective, taps) for path in dict.fromkeys(checkpoints.values())}
        self.teachers = {str(subject): made[path] for subject, path in checkpoints.items()}
        self.first = next(iter(made.values()))
        self.sources = {f"{i + 1}: {name}": sha for i, t in enumerate(made.values()) for name, sha in t.sources.items()}

    def __call__(self, batch: MotionBatch, changed: bool = False) -> Knowledge:
        """Each recording's answer is that of its subject's teacher; see :meth:`Teacher.__call__`.

        Raises:
            ValueError: A subject has none.
        """
        if unknown := sorted({str(s) for s in batch.subject} - set(self.teachers)):
            raise ValueError(f"no teacher for the subjects {unknown}; there are some for {sorted(self.teachers)}")
        asked = [self.teachers[str(subject)] for subject in batch.subject]
        answers = {id(teacher): teacher(batch, changed) for teacher in dict.fromkeys(asked)}
        rows = [(answers[id(teacher)], row) for row, teacher in enumerate(asked)]
        return Knowledge(
            torch.stack([known.logits[row] for known, row in rows]),
            torch.stack([known.embedding[row] for known, row in rows]),
            tuple(torch.stack([known.layers[k][row] for known, row in rows]) for k in range(len(rows[0][0].layers))),
        )


def check_view(view: View) -> View:
    """Raises ValueError unless it is one."""
    if view not in get_args(View):
        raise ValueError(f"view is {view!r}; it may be {' or '.join(map(repr, get_args(View)))}")
    return view


def digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(parts: Sequence[Tensor]) -> Knowledge:
    """Knowledge from logits, embedding, what the classifier reads, and layers, in this order."""
    return Knowledge(parts[0], parts[1], tuple(parts[3:]), parts[2])


def check_taps(encoder: nn.Module, taps: Sequence[str], whose: str) -> None:
    """Raises ValueError unless all taps are modules of the encoder."""
    known = dict(encoder.named_modules())
    if unknown := [tap for tap in taps if tap not in known or not tap]:
        near = [name for name in known if name and name.count(".") <= 1]
        raise ValueError(f"{whose} has no layer {', '.join(unknown)}; there are {', '.join(near)}, and their parts")


def listen(encoder: nn.Module, taps: Sequence[str], heard: dict[str, Tensor]) -> None:
    """From now on note what layers put out, ``[N, T', V', D]``, whenever the encoder works.

    Args:
        encoder: Whose layers.
        taps: Their module paths.
        heard: Where to; each pass replaces what was heard in the one before.

    Raises:
        ValueError: In a pass, if a layer puts out something else.
    """
    known = dict(encoder.named_modules())
    for name in dict.fromkeys(taps):
        known[name].register_forward_hook(_Note(name, heard))


@dataclass
class _Note:
    """A hook; no closure, so that the copy of a task listens for itself."""

    name: str
    heard: dict[str, Tensor]

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, tuple) and output:  # our blocks hand on the mask too
            output = output[0]
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"layer {self.name!r} puts out {shape}, not features [N, T', V', D]; tap another one")
        self.heard[self.name] = output


def layers_of(features: Features, heard: Sequence[Tensor]) -> list[Tensor]:
    """Means over joints of what was heard, or without taps of the features, ``[N, T', D]`` each."""
    if not heard:
        return [masked_mean(features.x, features.mask, (2,))]
    # Blocks blank what is masked, so its mean over all joints is that of the observed ones but for a factor.
    return [layer.mean(2) for layer in heard]
