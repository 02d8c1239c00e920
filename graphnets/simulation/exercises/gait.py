"""What walking is made of: published curves of the leg, the rolling foot, and the height that the legs allow."""

from __future__ import annotations

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body
from graphnets.simulation.exercises.posture import both
from graphnets.simulation.kinematics import Array, quintic, vector

# Cosine and sine of each harmonic of the cycle, degrees; 0 is heel contact. Our Fourier series through the well known
# turning points of level walking at 1.3 m/s (Winter, "The biomechanics and motor control of human gait", 1991; Fukuchi
# et al., PeerJ 6:e4640, 2018): the knee gives way to 17 degrees, extends, and swings at 61; the thigh goes from 20
# degrees ahead of the vertical to 20 behind it, which is 30 to -10 degrees of the hip under a pelvis tilted by 10.
KNEE = ((22.05, 0.0), (-0.52, -20.48), (-15.04, 4.72), (-1.79, 4.37), (-0.68, 0.69), (0.14, 0.46), (0.12, 0.06))
THIGH = ((3.25, 0.0), (19.95, -1.39), (-2.56, -1.79), (-0.29, 0.73), (-0.21, -0.26))
HEEL = 0.030
"""How far the heel reaches behind the ankle, fraction of stature (our estimate)."""
CONTACT_PITCH, OFF_PITCH, SWING_PITCH = np.radians([-18.0, 45.0, 70.0])
"""Rise of the heel about the toes at heel contact, at toe-off and where it is greatest."""
OFF_RATE = np.radians(430.0)
"""Speed of that rise at toe-off, radians a cycle."""
FLAT = 0.13
"""Share of the cycle at which the foot lies flat."""
AFTER, BEFORE = 0.20, 0.12
"""Shares of the cycle after toe-off and before heel contact in which the foot passes between floor and curves."""
ABOVE = 80.0
"""How much more a stretched knee counts than a bent one."""
QUICK = 30.0
"""What the quickest of the waves of the pelvis's height costs: it shakes the body most."""
TERMS = 7
"""Terms of the height of the pelvis, see :func:`waves_of`."""
GRID = 48
"""Instants of a cycle from which the height of the pelvis is found."""


def series(phase: Array, harmonics: tuple[tuple[float, float], ...]) -> Array:
    """Fourier series of a curve in degrees at phases in cycles; radians."""
    terms = (
        a * np.cos(2 * np.pi * k * phase) + b * np.sin(2 * np.pi * k * phase) for k, (a, b) in enumerate(harmonics)
    )
    return np.radians(sum(terms))


def knee_flexion(phase: Array, loading: Array) -> Array:
    """Flexion of the knee over the cycle, radians; ``loading`` scales how far it gives way in early stance."""
    early = quintic(phase % 1.0, [0.0, 0.14, 0.38], [0.0, 1.0, 0.0])
    return series(phase, KNEE) + np.radians(12.0) * (loading - 1.0) * early


def heel_rise(phase: Array, off: Array, push: Array) -> Array:
    """Rise of the heel about the toes over the cycle, radians: below zero the toes are up.

    Args:
        phase: Of each leg, 0 to 1, ``[R, F, 2]``.
        off: Phase of toe-off, ``[R, 1, 2]``.
        push: Factor on the rise.
    """
    contact = CONTACT_PITCH * (0.6 + 0.4 * push)
    values = [contact, 0.0, 0.0, OFF_PITCH * push, SWING_PITCH * push, contact]
    rates = [0.0, 0.0, 0.0, OFF_RATE * push, 0.0, 0.0]
    return quintic(phase, [0.0, FLAT, off - 0.26, off, off + 0.08, 0.955], values, rates)


def swivel(y: Array, z: Array, pitch: Array, toe_out: Array) -> Array:
    """Vectors ``(y, z)`` fixed in a foot, when its heel rises by ``pitch`` and it is turned out; ``[R, F, 2, 3]``."""
    ahead = z * np.cos(pitch) + y * np.sin(pitch)
    return vector(LEFT_RIGHT * ahead * np.sin(toe_out), y * np.cos(pitch) - z * np.sin(pitch), ahead * np.cos(toe_out))


def rolling_ankle(body: Body, pitch: Array, toe_out: Array) -> Array:
    """Ankle of a foot on the floor, from where it is when the foot lies flat: about the heel, then about the toes.

    Args:
        body: Segment lengths.
        pitch: From :func:`heel_rise`, ``[R, F, 2]``.
        toe_out: Outward turn of the foot, ``[R, 1, 2]``.

    Returns:
        ``[R, F, 2, 3]``.
    """
    floor = -both(body.ankle)
    tip = both(body.toe_height - body.ankle)
    pivots = [
        (floor, -HEEL * both(body.height), np.minimum(pitch, 0.0)),
        (tip, both(body.forefoot), np.maximum(pitch, 0.0)),
    ]
    # One of the two angles is zero, so that the two ways add up.
    return sum((swivel(y, z, 0.0 * pitch, toe_out) - swivel(y, z, p, toe_out) for y, z, p in pivots), np.zeros(3))


def fading(way: Array, state: tuple[Array, ...], length: float) -> Array:
    """Quintic from a value, velocity and acceleration ``[R, 1, 2, 3]`` to rest at zero; zero beyond.

    Args:
        way: From there, ``[R, F, 2]``, from 0; backwards in time the velocity's sign is turned by the caller.
        state: Value, velocity and acceleration.
        length: Of the way.
    """
    s = np.clip(way / length, 0.0, 1.0)[..., None]
    p, v, a = state[0], state[1] * length, state[2] * length**2
    c3, c4, c5 = -10.0 * p - 6.0 * v - 1.5 * a, 15.0 * p + 8.0 * v + 1.5 * a, -6.0 * p - 3.0 * v - 0.5 * a
    return p + s * (v + s * (0.5 * a + s * (c3 + s * (c4 + s * c5))))


def waves_of(phase: Array) -> Array:
    """The terms of the pelvis's height: constant, once, twice and four times a cycle, ``[..., 7]``."""
    angle = 2.0 * np.pi * phase[..., None] * np.array([1.0, 2.0, 4.0])
    return np.concatenate([np.ones((*phase.shape, 1)), np.cos(angle), np.sin(angle)], axis=-1)


def fitted_height(wanted: Array, weight: Array, phase: Array) -> Array:
    """Coefficients ``[R, 7]`` of the smooth height that comes closest to what both legs want, rather below than above.

    Least squares in which what lies above counts :data:`ABOVE` times (Newey & Powell, "Asymmetric least squares
    estimation and testing", Econometrica 55(4), 1987): a knee can bend more than it should, but not stretch more.

    Args:
        wanted: Height of the pelvis at which the knee is flexed as in the curve, ``[R, GRID, 2]``.
        weight: Of each leg, ``[R, GRID, 2]``.
        phase: Of the body, ``[GRID]``.
    """
    terms = waves_of(phase)
    small = np.diag([0.0, *2 * (1e-4, 1e-4, QUICK)])
    used = weight
    for _ in range(6):
        normal = np.einsum("gi,rg,gj->rij", terms, used.sum(-1), terms) + small
        right = np.einsum("gi,rg->ri", terms, (used * wanted).sum(-1))
        found = np.linalg.solve(normal, right[..., None])[..., 0]
        above = (found @ terms.T)[..., None] > wanted
        used = weight * np.where(above, ABOVE, 1.0)
    return found
