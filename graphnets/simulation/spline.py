"""Interpolating splines as matrices: value, first and second derivative at any times are linear in the knots."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline

from graphnets.simulation.kinematics import Array


def spline(knots: int, rate: float, times: Array, degree: int = 5) -> Array:
    """Matrices that map the values at uniform knots to a spline through them.

    ``x(times) = M[0] @ x_knots``, velocities ``M[1] @ x_knots``, accelerations ``M[2] @ x_knots``: exact derivatives of
    the one piecewise polynomial with ``degree - 1`` continuous derivatives and "not-a-knot" ends (de Boor, "A Practical
    Guide to Splines", 1978). Cached by its arguments.

    Args:
        knots: Number of knots, at 0, 1 / rate, ...; with fewer than ``degree + 1`` the degree falls to what they bear.
        rate: Knots a second.
        times: Where to evaluate, seconds, ``[T]``, within the knots.
        degree: 5 (accelerations twice continuously differentiable) or 3.

    Returns:
        ``[3, T, knots]``, read-only.

    Raises:
        ValueError: No knots, a degree other than 3 and 5, or a time outside the knots.
    """
    if knots < 1 or degree not in (3, 5):
        raise ValueError(f"got {knots} knots and degree {degree}; allowed are at least 1 knot, degree 3 or 5")
    times = np.ascontiguousarray(times, np.float64)
    end = (knots - 1) / rate
    if times.size and (times.min() < -1e-9 or times.max() > end + 1e-9):
        raise ValueError(f"times {times.min():.4f}..{times.max():.4f} s leave the knots' 0..{end:.4f} s")
    return _matrices(knots, float(rate), times.tobytes(), degree)


@lru_cache(maxsize=256)
def _matrices(knots: int, rate: float, times: bytes, degree: int) -> Array:
    at = np.frombuffer(times)
    if knots == 1:
        out = np.zeros((3, len(at), 1))
        out[0] = 1.0
    else:
        k = min(degree, 2 * ((knots - 2) // 2) + 1)  # odd degrees alone
        curve = make_interp_spline(np.arange(knots) / rate, np.eye(knots), k=k)
        out = np.stack([curve(at, nu) if nu <= k else np.zeros((len(at), knots)) for nu in range(3)])
    out.setflags(write=False)
    return out
