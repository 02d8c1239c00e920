"""How well one person was seen in a video."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from graphnets.skeleton import Skeleton
from graphnets.video.landmarks import Landmarks

LIMBS = [
    (f"{side}_{above}", f"{side}_{below}")
    for side in ("left", "right")
    for above, below in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]
"""Bones that don't bend: their length tells how far the landmarks err."""


@dataclass(frozen=True)
class Quality:
    """What can be said of a clip's landmarks without knowing the truth; NaN where nothing can.

    Attributes:
        detection_rate: Share of the frames in which the person was followed.
        visible: Share of their landmarks there that are visible enough.
        jitter: Root mean square of the second difference from frame to frame of visible landmarks in space (median over
            landmarks), in trunk lengths. Movement itself is in it, so compare clips of like movements and frame rates.
        bone_variation: Standard deviation of a limb's length over its mean, in space, mean over upper arms, forearms,
            thighs and shanks.
        out_of_frame: Share of the landmarks that lie outside of the picture, of frames with the person.
        most_people: The most people seen in a frame.
        several: Share of the frames with more than one.
    """

    detection_rate: float
    visible: float
    jitter: float
    bone_variation: float
    out_of_frame: float
    most_people: int
    several: float

    def to_dict(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def quality(landmarks: Landmarks, min_visibility: float = 0.5) -> Quality:
    """Judge a clip.

    Args:
        landmarks: Of T frames.
        min_visibility: Landmarks that are less visible don't count as observed.
    """
    there, seen = landmarks.followed, landmarks.mask(min_visibility)
    inside = np.all((landmarks.pixels >= 0) & (landmarks.pixels <= landmarks.size), axis=-1)
    return Quality(
        detection_rate=float(there.mean()),
        visible=float(seen[there].mean()) if there.any() else np.nan,
        jitter=_jitter(landmarks.world, seen),
        bone_variation=_bone_variation(landmarks.world, seen),
        out_of_frame=float((~inside[there]).mean()) if there.any() else np.nan,
        most_people=int(landmarks.people.max()),
        several=float((landmarks.people > 1).mean()),
    )


def _jitter(world: np.ndarray, seen: np.ndarray) -> float:
    """Of positions ``[T, V, 3]`` observed where ``seen [T, V]``."""
    second = world[2:] - 2 * world[1:-1] + world[:-2]
    both = np.stack([seen[2:], seen[1:-1], seen[:-2]]).all(0)
    squares, counts = np.where(both, (second**2).sum(-1), 0).sum(0), both.sum(0)
    trunk = _trunk(world, seen)
    if not counts.any() or not trunk > 0:
        return np.nan
    return float(np.median(np.sqrt(squares[counts > 0] / counts[counts > 0]))) / trunk


def _trunk(world: np.ndarray, seen: np.ndarray) -> float:
    """Median distance from the middle of the shoulders to that of the hips, NaN if they are never all seen."""
    skeleton = Skeleton.load("mediapipe33")
    ends = [[skeleton.index(f"{side}_{part}") for side in ("left", "right")] for part in ("shoulder", "hip")]
    frames = seen[:, ends[0] + ends[1]].all(1)
    middle = [world[frames][:, joints].mean(1) for joints in ends]
    return float(np.median(np.linalg.norm(middle[0] - middle[1], axis=-1))) if frames.any() else np.nan


def _bone_variation(world: np.ndarray, seen: np.ndarray) -> float:
    skeleton, found = Skeleton.load("mediapipe33"), []
    for ends in LIMBS:
        a, b = (skeleton.index(name) for name in ends)
        lengths = np.linalg.norm(world[:, a] - world[:, b], axis=-1)[seen[:, a] & seen[:, b]]
        if len(lengths) > 1 and lengths.mean() > 0:
            found.append(lengths.std() / lengths.mean())
    return float(np.mean(found)) if found else np.nan
