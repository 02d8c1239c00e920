"""A trained task as a teacher: frozen, and asked once for each recording."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from graphnets.data import MotionBatch, MotionDataModule
from graphnets.encoders import Features
from graphnets.nn.masking import masked_mean
from graphnets.nn.temporal import stride_mask
from graphnets.transforms import Together, Transform
from graphnets.transforms.base import IN_TIME

if TYPE_CHECKING:
    from graphnets.tasks.task import Task

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
        seen: Of each of these in which frames anything was observed, ``[N, T']``.
        known: Whether it saw anything of a recording at all, ``[N]``.
    """

    logits: Tensor
    embedding: Tensor
    layers: tuple[Tensor, ...]
    seen: tuple[Tensor, ...]
    known: Tensor
    read: Tensor | None = None

    def pooled(self) -> list[Tensor]:
        """Each layer's mean over observed frames, ``[N, D]``."""
        return [masked_mean(layer, seen, (1,)) for layer, seen in zip(self.layers, self.seen, strict=True)]

    def take(self, rows: Tensor) -> Knowledge:
        """Of some recordings alone."""
        parts = self.pack()
        return unpack([part[rows] for part in parts])

    def pack(self) -> list[Tensor]:
        """All of it, as :func:`unpack` reads it."""
        read = self.embedding if self.read is None else self.read
        return [self.logits, self.embedding, read, self.known, *self.layers, *self.seen]


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

        self.path = str(checkpoint)
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
            kept = [list(parts) for parts in zip(*(self._kept[i] for i in batch.id), strict=True)]
            # Without a Resample of the teacher's own, layers are as long as the batch that they were asked in.
            if all(part.shape == parts[0].shape for parts in kept for part in parts):
                return unpack([torch.stack(parts) for parts in kept])
        raw = batch if changed else batch.raw
        self._has_modalities(raw)
        self.task.eval().to(batch[batch.modalities[0]].x.device)
        transformed = self.task.transform(raw)
        features = self.task.features(transformed)
        asked = self.task.objective(self.objective)
        logits = asked(features, transformed, {}).prediction
        head = getattr(asked, "head", None)
        pool = getattr(head, "pool", None)
        embedding = masked_mean(features.x, features.mask, (1, 2))
        heard = [self._heard[name] for name in self.taps]
        layers, seen = layers_of(features, heard, input_mask(transformed, self.task.modalities))
        self._heard.clear()
        known = torch.stack([raw[name].mask.flatten(1).any(1) for name in self.task.modalities]).any(0)
        answer = Knowledge(logits, embedding, layers, seen, known, pool(features) if pool else embedding)
        parts = [part.float() if part.is_floating_point() else part for part in answer.pack()]
        size = sum(part[0].numel() * part.element_size() for part in parts)
        for row, name in enumerate(batch.id):
            if not changed and name not in self._kept and self._bytes + size <= CACHE_BYTES:
                self._kept[name] = tuple(part[row].clone() for part in parts)  # a view would hold the whole batch
                self._bytes += size
        return unpack(parts)

    def check(self, task: Task, data: MotionDataModule, view: View, reads: Sequence[str], of: str | None) -> None:
        """Can it teach this task on these data?

        Raises:
            ValueError: It was made for other joints, channels or classes, it was trained on people that validate or
                test here, or it would transform a second time what the student's transforms leave.
        """
        refuse = f"the teacher {self.path}"
        raw = data.train_set.__getitems__([0])
        self._has_modalities(raw)
        try:
            self.task._check(self.task.eval().transform(raw))
        except ValueError as error:
            raise ValueError(f"{refuse}: {error}") from error
        theirs = self.task.objective(self.objective)
        label, classes = getattr(theirs, "label", None), getattr(theirs, "classes", None)
        if isinstance(label, str) and isinstance(classes, list):
            there = data.store.labels.get(label)
            if there is None and "label" in reads:
                raise ValueError(f"{refuse} names {label!r}, which the store {data.store.path} has not")
            if there is not None and list(there) != list(classes):
                raise ValueError(f"{refuse} knows the classes {classes} of {label!r}; the store's are {there}")
            ours = getattr(task.objective(of), "classes", classes) if of and of in task.objectives else classes
            if "logits" in reads and isinstance(ours, list) and list(ours) != list(classes):
                raise ValueError(f"{refuse} knows the classes {classes}; objective {of!r} has {ours}")
        if view == "student":
            for name, transform in task.transforms.items():
                assert isinstance(transform, Transform)
                touched = transform.modalities if isinstance(transform, Together) else (transform.modality,)
                twice = sorted(set(touched) & set(self.task.modalities))
                if twice and getattr(transform, "moves", "") != IN_TIME:
                    raise ValueError(
                        f"{refuse} reads {', '.join(twice)}, and so does the student's transform {name!r}: with the "
                        "view 'student' it would be transformed twice; use the view 'stored'"
                    )
        self.check_people(data)

    def check_people(self, data: MotionDataModule) -> None:
        """Was it trained on people of whom it has to know nothing?

        Raises:
            ValueError: It was trained on subjects of this store that validate or test here.
        """
        seen = self.task.trained_on
        if seen.get("store_checksum") != data.store.checksum:
            return
        sides = {name: set(data.store.subjects[getattr(data.rows, name)]) for name in ("train", "val", "test")}
        if sides["train"] & (sides["val"] | sides["test"]):  # a protocol that puts people on both sides, and says so
            return
        if both := sorted(set(seen["subjects"]["train"]) & (sides["val"] | sides["test"])):
            raise ValueError(
                f"the teacher {self.path} was trained on the subjects {', '.join(both)}, which validate or test here: "
                "train one under the protocol of the student"
            )

    def _has_modalities(self, raw: MotionBatch) -> None:
        if missing := [name for name in self.task.modalities if name not in raw.modalities]:
            raise ValueError(
                f"the teacher reads {', '.join(self.task.modalities)}, but {', '.join(missing)} isn't read from the "
                f"store: add to data.modalities, which are {', '.join(raw.modalities)}"
            )


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
        rows = [(answers[id(teacher)].pack(), row) for row, teacher in enumerate(asked)]
        return unpack([torch.stack([parts[k][row] for parts, row in rows]) for k in range(len(rows[0][0]))])

    def check(self, task: Task, data: MotionDataModule, view: View, reads: Sequence[str], of: str | None) -> None:
        """As :meth:`Teacher.check`, for each of them.

        Raises:
            ValueError: One can't teach this task, or was trained on the subject that it is to speak of.
        """
        for subject, teacher in self.teachers.items():
            seen = teacher.task.trained_on
            if seen.get("store_checksum") == data.store.checksum and subject in seen["subjects"]["train"]:
                raise ValueError(f"the teacher {teacher.path} for subject {subject} was trained on this subject")
        for teacher in {id(t): t for t in self.teachers.values()}.values():
            teacher.check(task, data, view, reads, of)


def check_view(view: View) -> View:
    """Raises ValueError unless it is one."""
    if view not in get_args(View):
        raise ValueError(f"view is {view!r}; it may be {' or '.join(map(repr, get_args(View)))}")
    return view


def digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(sources: Mapping[str, str]) -> list[str]:
    """The SHA-256 of sources, sorted."""
    return sorted(sources.values())


def check_same(before: list[str], sources: Mapping[str, str]) -> None:
    """Raises ValueError if what is learned from isn't what was learned from before."""
    if before and before != digests(sources):
        raise ValueError(f"this run was begun with another teacher than {', '.join(sources)}; begin a new one")


def unpack(parts: Sequence[Tensor]) -> Knowledge:
    """Knowledge from what :meth:`Knowledge.pack` made."""
    logits, embedding, read, known, *rest = parts
    half = len(rest) // 2
    return Knowledge(logits, embedding, tuple(rest[:half]), tuple(rest[half:]), known, read)


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


def input_mask(batch: MotionBatch, modalities: Sequence[str]) -> Tensor | None:
    """The mask of what an encoder of a single modality read; None for several."""
    mask: Tensor | None = batch[modalities[0]].mask if len(modalities) == 1 else None
    return mask


def layers_of(
    features: Features, heard: Sequence[Tensor], mask: Tensor | None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Means over observed joints of what was heard, or without taps of the features.

    Args:
        features: Of the encoder.
        heard: Outputs of tapped layers, ``[N, T', V', D]``.
        mask: Of what the encoder read, ``[N, T, V]``; None for all observed.

    Returns:
        ``[N, T', D]`` of each, and in which frames anything was observed, ``[N, T']``.
    """
    masks = [(layer, _layer_mask(mask, layer)) for layer in heard] or [(features.x, features.mask)]
    means = tuple(masked_mean(layer, mask, (2,)) for layer, mask in masks)
    seen = tuple(
        torch.ones(layer.shape[:2], dtype=torch.bool, device=layer.device) if mask is None else mask.any(2)
        for layer, mask in masks
    )
    return means, seen


def _layer_mask(mask: Tensor | None, layer: Tensor) -> Tensor | None:
    """The input's mask at the frames of a layer; None where they don't correspond."""
    frames, joints = layer.shape[1:3]
    if mask is None or mask.shape[2] != joints:
        return None
    strided = stride_mask(mask, -(-mask.shape[1] // frames))
    return strided if strided is not None and strided.shape[1] == frames else None
