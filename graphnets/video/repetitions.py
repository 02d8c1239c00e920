"""Counting the repetitions of an exercise, and cutting a recording into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from graphnets.skeleton import Skeleton
from graphnets.video.angles import ANGLES, all_angles, both_sides, fill, low_pass

CUTOFF = 3.0
"""Hz. People repeat an exercise about once a second at most; what is faster is noise."""
MIN_SECONDS = 0.4
"""Nobody repeats an exercise faster."""
SWING = 0.35
"""A movement back counts as one if it is this part of the range of the whole recording,"""
NAMED_SWING = 0.2
"""or this part where an angle is known that has no reason to go back in between."""
RETURN = 0.6
"""A repetition leads back where it came from: of its two ways the shorter is at least this part of the longer."""
EDGE = 0.1
"""A repetition begins and ends where it is this part of its way from rest."""


NEAR = 0.25
"""Seconds around a frame of a repetition in which a bound of good form has to be met."""
SEEN = 0.5
"""What is observed in less than this part of the frames says nothing about the movement."""


class Repetition(NamedTuple):
    """Frames of a repetition: where it leaves the resting pose, its far end, and where it is back."""

    start: int
    turn: int
    end: int


@dataclass(frozen=True)
class Exercise:
    """How to see the repetitions of an exercise in one joint angle, the mean of both sides.

    Attributes:
        angle: A name in :data:`~graphnets.video.angles.ANGLES`.
        bends: The angle gets smaller on the way out (squat), or larger (jumping jack).
        min_range: Degrees. Less movement is no repetition.
        turn: Bounds (least, most) that angles keep at the far end of a repetition in good form, degrees.
        ends: Likewise at its beginning and its end.
    """

    angle: str
    bends: bool = True
    min_range: float = 30.0
    turn: dict[str, tuple[float, float]] = field(default_factory=dict)
    ends: dict[str, tuple[float, float]] = field(default_factory=dict)


EXERCISES: dict[str, Exercise] = {
    "push_up": Exercise(
        "elbow",
        min_range=20.0,
        turn={"elbow": (0, 90), "hip": (160, 180)},
        ends={"elbow": (160, 180), "shoulder": (40, 180), "hip": (160, 180)},
    ),
    "squat": Exercise("knee", min_range=20.0, turn={"knee": (0, 90)}, ends={"knee": (169, 180)}),
    "sit_up": Exercise("hip", min_range=25.0),
    "jumping_jack": Exercise("shoulder", bends=False, min_range=40.0),
    "biceps_curl": Exercise("elbow", min_range=30.0),
    "sit_to_stand": Exercise("knee", bends=False, min_range=25.0),
    "lunge": Exercise("knee", min_range=20.0),
    "arm_raise": Exercise("shoulder", bends=False, min_range=30.0),
}
"""Named exercises. Bounds of good form are those of DeepFit, which knows them for push-ups and squats."""


def find_repetitions(
    x: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    mask: np.ndarray | None = None,
    exercise: str | Exercise | None = None,
) -> list[Repetition]:
    """The repetitions in a recording.

    With an exercise the angle that it names tells them, so that any skeleton with the joints of that angle will do.
    Without one, they are seen in the movement itself, see :func:`main_movement`.

    Args:
        x: Positions in the plane or in space, ``[T, V, 2 or 3]``; further channels must be left out.
        skeleton: Of the V joints.
        fps: Frames a second.
        mask: True where observed, ``[T, V]``; None = everywhere.
        exercise: A name in :data:`EXERCISES`, or one of your own; None = any.

    Raises:
        ValueError: Shapes don't agree, the exercise is unknown, or the skeleton lacks a joint that it needs.
    """
    x, mask = _checked(x, skeleton, fps, mask)
    if len(x) < 2 or not mask.any():
        return []
    if exercise is None:
        return cut(main_movement(x, mask, skeleton, fps), fps)
    known = named(exercise)
    angle = low_pass(fill(both_sides(x, mask, skeleton, known.angle)), fps, CUTOFF)
    return cut(-angle if known.bends else angle, fps, NAMED_SWING, known.min_range)


def named(exercise: str | Exercise) -> Exercise:
    """An exercise by its name.

    Raises:
        ValueError: There is none of this name.
    """
    if isinstance(exercise, Exercise):
        found = exercise
    elif exercise in EXERCISES:
        found = EXERCISES[exercise]
    else:
        raise ValueError(f"no exercise {exercise!r}; there are {', '.join(EXERCISES)}; None counts any other")
    if unknown := {found.angle, *found.turn, *found.ends} - set(ANGLES):
        raise ValueError(f"unknown angles {', '.join(sorted(unknown))}; there are {', '.join(ANGLES)}")
    return found


def in_form(
    x: np.ndarray,
    skeleton: Skeleton,
    fps: float,
    repetitions: Sequence[Repetition],
    exercise: str | Exercise,
    mask: np.ndarray | None = None,
) -> list[bool]:
    """Does each repetition reach the bounds of good form? An exercise without any is always in form.

    The bounds come from angles that were measured on people; landmarks of a video err by ten degrees and more.

    Args:
        x: As in :func:`find_repetitions`, and so are the others.
        skeleton: See there.
        fps: See there.
        repetitions: To judge.
        exercise: See there.
        mask: See there.
    """
    x, mask = _checked(x, skeleton, fps, mask)
    known = named(exercise)
    angles = {a: low_pass(fill(both_sides(x, mask, skeleton, a)), fps, CUTOFF) for a in {*known.turn, *known.ends}}

    near = round(NEAR * fps)

    def kept(bounds: dict[str, tuple[float, float]], frame: int) -> bool:
        around = slice(max(frame - near, 0), frame + near + 1)
        inside = [(least <= angles[a][around]) & (angles[a][around] <= most) for a, (least, most) in bounds.items()]
        return bool(np.all(inside, axis=0).any()) if inside else True

    return [kept(known.turn, r.turn) and kept(known.ends, r.start) and kept(known.ends, r.end) for r in repetitions]


def cut(signal: np.ndarray, fps: float, swing: float = SWING, min_range: float = 0.0) -> list[Repetition]:
    """Cut a smooth signal into its repetitions: from a low to a high and back to a low.

    A turn counts once the signal has come back from it by ``swing``, so that neither noise nor a slow drift nor pauses
    disturb. What begins or ends half-way is no repetition.

    Args:
        signal: Low at rest, ``[T]``.
        fps: Frames a second.
        swing: Part of the range of the signal.
        min_range: The least way of a repetition in the unit of the signal.
    """
    low, high = np.percentile(signal, [2, 98])
    least = max(swing * float(high - low), min_range)
    if not least > 0:
        return []
    turns = turning_points(signal, least)
    found: list[Repetition] = []
    for before, turn, after in zip(turns[:-2], turns[1:-1], turns[2:], strict=True):
        rise, fall = signal[turn] - signal[before], signal[turn] - signal[after]
        if rise <= 0 or min(rise, fall) < RETURN * max(rise, fall):
            continue
        resting = np.flatnonzero(signal[before : turn + 1] <= signal[before] + EDGE * rise)
        back = np.flatnonzero(signal[turn : after + 1] <= signal[after] + EDGE * fall)
        repetition = Repetition(before + int(resting[-1]), turn, turn + int(back[0]))
        if repetition.end - repetition.start >= MIN_SECONDS * fps:
            found.append(repetition)
    return found


def turning_points(signal: np.ndarray, swing: float) -> list[int]:
    """Frames where a signal turns, lows and highs by turns, the ends of the recording included.

    Args:
        signal: ``[T]``.
        swing: Between two neighbouring turns the signal moves at least this far.
    """
    low = high = 0
    turns: list[int] = []
    direction = 0  # of the movement that is going on: 1 up, -1 down, 0 not known yet
    for t, value in enumerate(signal.tolist()):
        low = t if value < signal[low] else low
        high = t if value > signal[high] else high
        if direction >= 0 and signal[high] - value >= swing:
            turns.append(high)
            direction, low = -1, t
        elif direction <= 0 and value - signal[low] >= swing:
            turns.append(low)
            direction, high = 1, t
    if direction:
        turns.append(high if direction > 0 else low)
    return turns


def main_movement(x: np.ndarray, mask: np.ndarray, skeleton: Skeleton, fps: float) -> np.ndarray:
    """One number a frame that follows the dominating periodic movement of a body.

    The angles of elbows, shoulders, hips, knees and ankles, low-passed, are projected on their principal components;
    where a skeleton has none of them, the positions of its joints from the body's centre are. Of the first three
    components that one is taken whose share of the movement, weighted by how well it repeats itself, is largest. Its
    sign is such that the recording begins and ends low, at rest.

    Args:
        x: ``[T, V, 2 or 3]``.
        mask: ``[T, V]``.
        skeleton: Of the V joints.
        fps: Frames a second.

    Returns:
        ``[T]``, degrees, or the unit of ``x``.
    """
    features = all_angles(x, mask, skeleton)
    if features.shape[1] == 0:
        points = fill(np.where(mask[..., None], x.astype(np.float64), np.nan))
        middle = [skeleton.index(name) for name in skeleton.center or skeleton.joints]
        centre = points[:, middle].mean(1, keepdims=True)
        features = np.where(mask[..., None], points - centre, np.nan).reshape(len(x), -1)
    features = features[:, np.isfinite(features).mean(0) >= SEEN]
    if features.shape[1] == 0:
        return np.zeros(len(x))
    moves = low_pass(fill(features), fps, CUTOFF)
    moves = moves - moves.mean(0)
    left, size, _ = np.linalg.svd(moves, full_matrices=False)
    best = max(range(min(3, len(size))), key=lambda k: size[k] ** 2 * (0.2 + _periodicity(left[:, k], fps)))
    signal = left[:, best] * size[best]
    ends = max(1, round(0.2 * fps))
    middle = np.percentile(signal, [2, 98]).mean()
    return -signal if signal[:ends].mean() + signal[-ends:].mean() > 2 * middle else signal


def _periodicity(signal: np.ndarray, fps: float) -> float:
    """Largest autocorrelation past its first dip, 0 to 1."""
    centred = signal - signal.mean()
    n = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[: max(n // 2, 1)]
    if not correlation[0] > 0:
        return 0.0
    # With every lag fewer frames overlap: the mean of a product, not its sum.
    correlation = correlation / correlation[0] * n / (n - np.arange(len(correlation)))
    (negative,) = np.nonzero(correlation < 0)
    first = max(int(negative[0]) if len(negative) else n, round(MIN_SECONDS * fps))
    return float(np.clip(correlation[first:].max(initial=0.0), 0, 1))


def _checked(x: np.ndarray, skeleton: Skeleton, fps: float, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim != 3 or x.shape[1] != skeleton.num_joints or x.shape[2] not in (2, 3):
        expected = f"[T, {skeleton.num_joints}, 2 or 3]"
        raise ValueError(f"positions of the skeleton {skeleton.name!r} are {expected}, not {list(x.shape)}")
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps!r}; it must be a number above 0")
    mask = np.ones(x.shape[:2], dtype=bool) if mask is None else np.asarray(mask)
    if mask.shape != x.shape[:2] or mask.dtype != np.bool_:
        raise ValueError(f"the mask must be bool {list(x.shape[:2])}, not {mask.dtype} {list(mask.shape)}")
    return x, mask & np.isfinite(x).all(-1)
