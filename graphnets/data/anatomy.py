"""From markers on the skin to joints and frames of the body.

Axes of the room: x forward, y up, z to the right.
"""

from __future__ import annotations

import numpy as np


def hip_centres(
    left_front: np.ndarray, right_front: np.ndarray, left_back: np.ndarray, right_back: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the left and the right hip from the spines of the pelvis.

    In the frame of the pelvis (origin in the middle between the anterior spines), with its width w between these and
    its depth d from their middle to that of the posterior ones, in mm: forward ``-0.24 d - 9.9``,
    up ``-0.30 w - 10.9``, outwards ``0.33 w + 7.3``.

    Harrington et al., *Prediction of the hip joint centre in adults, children, and patients with cerebral palsy based
    on magnetic resonance imaging*, Journal of Biomechanics 40(3), 2007, pp. 595-602.

    Args:
        left_front: Left anterior superior iliac spine, metres, ``[T, 3]``.
        right_front: The right one.
        left_back: Left posterior superior iliac spine.
        right_back: The right one.

    Returns:
        Left and right, ``[T, 3]`` each.
    """
    front, back = (left_front + right_front) / 2, (left_back + right_back) / 2
    right = _unit(right_front - left_front)
    up = _unit(np.cross(right, front - back))
    forward = np.cross(up, right)
    width = np.linalg.norm(right_front - left_front, axis=-1, keepdims=True)
    depth = np.linalg.norm(front - back, axis=-1, keepdims=True)
    middle = front + (-0.24 * depth - 0.0099) * forward + (-0.30 * width - 0.0109) * up
    out = (0.33 * width + 0.0073) * right
    return middle - out, middle + out


def carried(cluster: np.ndarray, points: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Where points that are fixed to a rigid cluster of markers have moved with it.

    The motion of the cluster is the one of least squares: Arun, Huang, Blostein, *Least-squares fitting of two 3-D
    point sets*, IEEE TPAMI 9(5), 1987, pp. 698-700.

    Args:
        cluster: Where its markers were, ``[K, 3]``; at least three that lie on no line.
        points: Where the points were, ``[P, 3]``.
        moving: Where the markers are, ``[T, K, 3]``; NaN where not seen.

    Returns:
        Where the points are, ``[T, P, 3]``; NaN in frames without all markers.

    Raises:
        ValueError: There are fewer than three markers, or they lie on a line.
    """
    origin = cluster.mean(0)
    if len(cluster) < 3 or np.linalg.matrix_rank(cluster - origin, tol=1e-3) < 2:
        raise ValueError(f"{len(cluster)} markers; at least three that lie on no line tell how a segment is turned")
    seen = np.isfinite(moving).all((1, 2))
    out = np.full((len(moving), len(points), 3), np.nan)
    centre = moving[seen].mean(1, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(moving[seen] - centre, 1, 2) @ (cluster - origin))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a turn, not a mirror image
    out[seen] = (points - origin) @ np.swapaxes(u @ vt, 1, 2) + centre
    return out


def shank_frame(knee: np.ndarray, ankle: np.ndarray, rightwards: np.ndarray) -> np.ndarray:
    """The frame of a shank as :func:`graphnets.simulation.knee.knee_moments` wants it: x left, y up, z forward.

    y runs from ankle to knee; x is as near as can be to the line through the epicondyles.

    Args:
        knee: Joint centre, ``[T, 3]``.
        ankle: Joint centre, ``[T, 3]``.
        rightwards: From the left to the right side of the knee, of any length, ``[T, 3]``: of a right leg from its
            medial to its lateral epicondyle.

    Returns:
        Rotations from shank to room, ``[T, 3, 3]``, axes as columns.
    """
    up = _unit(knee - ankle)
    forward = _unit(np.cross(up, rightwards))
    return np.stack([np.cross(up, forward), up, forward], axis=-1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector, axis=-1, keepdims=True))
