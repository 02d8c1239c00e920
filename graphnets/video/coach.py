"""From one person's landmarks to repetitions that a trained task can look at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton
from graphnets.transforms import Butterworth, FillGaps
from graphnets.video.landmarks import Landmarks
from graphnets.video.repetitions import Exercise, Repetition, find_repetitions

MAX_GAP = 0.3
"""Seconds that a landmark may be missing and still be bridged."""
CUTOFF = 6.0
"""Hz, of the low-pass."""


def smooth(landmarks: Landmarks, min_visibility: float = 0.5) -> MotionBatch:
    """The landmarks in space, short gaps bridged, low-passed, y up and the person facing z.

    For a person who faces the camera the axes are those of the synthetic set. Any other heading is taken off: the mean
    direction from right joints to left ones becomes x.

    Returns:
        One recording ``pose`` of MediaPipe's 33 landmarks, metres.

    Raises:
        ValueError: Nobody was seen.
    """
    x, mask, fps = landmarks.modalities(min_visibility)["pose3d"]
    assert mask is not None
    if not mask.any():
        raise ValueError("nobody was seen in the video")
    skeleton = Skeleton.load("mediapipe33")
    batch = MotionBatch()
    values = torch.from_numpy(np.where(mask[..., None], x, 0).astype(np.float32))[None]
    rate = torch.tensor([fps], dtype=torch.float32)
    batch.set_modality("pose", values, torch.from_numpy(mask)[None], rate, skeleton, ("x", "y", "z"))
    batch.put_attributes({"id": ["video"], "subject": ["?"]})
    batch = FillGaps(MAX_GAP)(batch)
    if fps > 2 * CUTOFF:
        batch = Butterworth(CUTOFF)(batch)
    store = batch["pose"]
    store.x = face_ahead(store.x, store.mask, skeleton).masked_fill(~store.mask[..., None], 0)
    return batch


def face_ahead(x: Tensor, mask: Tensor, skeleton: Skeleton) -> Tensor:
    """Turn a recording about y so that the mean direction from right joints to left ones is x.

    Args:
        x: ``[1, T, V, 3]``, y up.
        mask: ``[1, T, V]``.
        skeleton: With mirror pairs.
    """
    left, right = torch.tensor(skeleton.mirror_pairs).T
    both = (mask[:, :, left] & mask[:, :, right])[..., None]
    across = ((x[:, :, left] - x[:, :, right]) * both).sum((0, 1, 2))
    size = float(torch.hypot(across[0], across[2]))
    if size < 1e-6:
        return x
    cos, sin = across[0] / size, across[2] / size
    a, y, b = x.unbind(-1)
    return torch.stack([cos * a + sin * b, y, cos * b - sin * a], -1)


def repetitions(
    batch: MotionBatch, target: Skeleton, modality: str, exercise: str | Exercise | None = None
) -> tuple[MotionBatch | None, list[Repetition]]:
    """Cut a recording into repetitions, on the skeleton that a task reads.

    Args:
        batch: Of :func:`smooth`.
        target: The task's; joints that MediaPipe doesn't have stay unobserved.
        modality: What the task calls the movement.
        exercise: Which exercise is counted; None for whatever repeats itself.

    Returns:
        The repetitions as a batch, None if there are none, and their frames.
    """
    store = batch["pose"]
    x, mask, fps = store.x[0], store.mask[0], float(store.fps[0])
    found = find_repetitions(x.numpy(), store.skeleton, fps, mask.numpy(), exercise)
    if not found:
        return None, []
    mapped, seen = store.skeleton.remap(target, True)(store.x, store.mask)
    length = max(r.end - r.start + 1 for r in found)
    clips = x.new_zeros(len(found), length, target.num_joints, 3)
    known = torch.zeros(clips.shape[:3], dtype=torch.bool)
    for i, r in enumerate(found):
        n = r.end - r.start + 1
        clips[i, :n], known[i, :n] = mapped[0, r.start : r.end + 1], seen[0, r.start : r.end + 1]
    made = MotionBatch()
    made.set_modality(modality, clips, known, torch.full((len(found),), fps), target, ("x", "y", "z"))
    made.put_attributes({"id": [f"repetition_{i + 1:02}" for i in range(len(found))], "subject": ["?"] * len(found)})
    return made, found
