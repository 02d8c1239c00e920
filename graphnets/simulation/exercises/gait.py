"""What walking is made of: published curves of the leg, the rolling foot, and the height that the legs allow."""

from __future__ import annotations

import numpy as np

from graphnets.simulation.body import LEFT_RIGHT, Body
from graphnets.simulation.exercises.posture import both
from graphnets.simulation.kinematics import Array, quintic, vector

# Cosine and sine of each harmonic of the cycle, degrees; 0 is heel contact. Our Fourier series through what we measured
# in the trials at 1.3 m/s of Schreiber & Moissenet, "A multimodal dataset of human gait at different walking speeds
# established on injury-free adult participants", Sci. Data 6:111, 2019, contact being where the force plate feels 20 N;
# Winter, "The biomechanics and motor control of human gait", 1991, has the same turning points. The knee gives way to
# 15 degrees, extends to 5 and swings at 60; the thigh goes from 20 degrees ahead of the vertical to 20 behind it.
KNEE = ((21.31, 0.0), (-3.38, -21.01), (-12.52, 8.09), (0.26, 4.38), (-0.68, 0.86), (0.42, 0.52), (0.17, 0.09))
THIGH = ((3.11, 0.0), (20.19, -5.34), (-3.56, -0.67), (-0.17, 1.66), (-0.19, 0.08))
HEEL = 0.030
"""How far the heel reaches behind the ankle, fraction of stature (our estimate)."""
CONTACT_PITCH, SWING_PITCH, UPWARD_PITCH = np.radians([-17.0, 70.0, -21.0])
"""Rise of the heel about the toes at heel contact, where it is greatest, and where it is least before contact."""
CONTACT_RATE, CONTACT_SLOWING = np.radians([380.0, -4500.0])
"""Speed of that rise at heel contact, radians a cycle, and its derivative."""
FLAT = 0.09
"""Share of the cycle at which the foot lies flat."""
HEEL_OFF = 0.28
"""Share of the cycle before toe-off at which the heel leaves the floor."""
PUSHES = (0.12, 0.055, 0.0)
"""Shares of the cycle before toe-off at which the rise of the heel is such that the knee is flexed as in the curve."""
USUAL_PUSH = np.radians([[12.5, 29.5, 61.0], [190.0, 440.0, 640.0], [1500.0, 4500.0, 0.0]])
"""What that rise usually is there, its speed, radians a cycle, and its derivative."""
MOST_PUSH = np.radians(72.0)
"""More than that the heel does not rise before toe-off."""
AFTER, BEFORE = np.array([0.14, 0.20, 0.20]), np.array([0.08, 0.24, 0.24])
"""Shares of the cycle after toe-off and before heel contact in which the leg passes between floor and curves: its
length, direction and place aside. A leg lands nearly straight and soon gives way."""
ABOVE = 80.0
"""How much more a stretched knee counts than a bent one."""
BOB = 0.028
"""Amplitude of the height of the pelvis twice a cycle, over the square of the step by the length of the leg. So the
vertical force grows with the square of the speed, as it does in the measurements, from which this is taken."""
HIGHEST, RIPPLE = 0.26, 0.07
"""Phase at which the pelvis is highest, and how much of that amplitude there is four times a cycle, highest at 0.09."""
STIFF = (4.0, 12.0, 60.0)
"""What it costs if the waves of the height are others, once, twice and four times a cycle: quick ones shake most."""
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


def heel_rise(phase: Array, off: Array, push: Array, late: Array) -> Array:
    """Rise of the heel about the toes over the cycle, radians: below zero the toes are up.

    Args:
        phase: Of each leg, 0 to 1, ``[R, F, 2]``.
        off: Phase of toe-off, ``[R, 1, 2]``.
        push: Factor on the rise in swing and on how far the toes are up at contact.
        late: Rise at :data:`PUSHES`, ``[3, R, 1, 2]``.
    """
    up, contact = UPWARD_PITCH * (0.3 + 0.7 * push), CONTACT_PITCH * (0.6 + 0.4 * push)
    rate, slowing = CONTACT_RATE * (0.6 + 0.4 * push), CONTACT_SLOWING * (0.6 + 0.4 * push)
    top = np.maximum(SWING_PITCH * push, late[-1] + np.radians(16.0))
    knots: list[Array | float] = [0.0, FLAT, off - HEEL_OFF, *(off - way for way in PUSHES), off + 0.06, 0.935, 1.0]
    values = [contact, 0.0, 0.0, *late, top, up, contact]
    some = late[0] / USUAL_PUSH[0, 0]  # so that the heel never goes through the floor
    rates = [rate, 0.0, 0.0, some * USUAL_PUSH[1, 0], *USUAL_PUSH[1, 1:], 0.0, 0.0, rate]
    pushes = [slowing, 0.0, 0.0, some * USUAL_PUSH[2, 0], *USUAL_PUSH[2, 1:], 0.0, 0.0, slowing]
    return quintic(phase, knots, values, rates, pushes)


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


def fading(way: Array, state: tuple[Array, ...], length: Array) -> Array:
    """Quintic from a value, velocity and acceleration ``[R, 1, 2, 3]`` to rest at zero; zero beyond.

    Args:
        way: From there, ``[R, F, 2]``, from 0; backwards in time the velocity's sign is turned by the caller.
        state: Value, velocity and acceleration.
        length: Of the way for each of the three.
    """
    s = np.clip(way[..., None] / length, 0.0, 1.0)
    p, v, a = state[0], state[1] * length, state[2] * length**2
    c3, c4, c5 = -10.0 * p - 6.0 * v - 1.5 * a, 15.0 * p + 8.0 * v + 1.5 * a, -6.0 * p - 3.0 * v - 0.5 * a
    return p + s * (v + s * (0.5 * a + s * (c3 + s * (c4 + s * c5))))


def waves_of(phase: Array) -> Array:
    """The terms of the pelvis's height: constant, once, twice and four times a cycle, ``[..., 7]``."""
    angle = 2.0 * np.pi * phase[..., None] * np.array([1.0, 2.0, 4.0])
    return np.concatenate([np.ones((*phase.shape, 1)), np.cos(angle), np.sin(angle)], axis=-1)


def usual_waves(step: Array, leg: Array) -> Array:
    """Coefficients ``[R, 7]`` of the height of a pelvis that moves as measured, less its mean.

    Args:
        step: Metres, ``[R, 1]``.
        leg: Its length from hip to ankle, ``[R, 1]``.
    """
    high, quick = 4.0 * np.pi * HIGHEST, 8.0 * np.pi * 0.09
    cosines = [0.0, 0.0, np.cos(high), RIPPLE * np.cos(quick)]
    usual: Array = BOB * step**2 / leg * np.array([*cosines, 0.0, np.sin(high), RIPPLE * np.sin(quick)])
    return usual


def fitted_height(wanted: Array, weight: Array, phase: Array, usual: Array) -> Array:
    """Coefficients ``[R, 7]`` of the smooth height that comes closest to what both legs want, rather below than above.

    Least squares in which what lies above counts :data:`ABOVE` times (Newey & Powell, "Asymmetric least squares
    estimation and testing", Econometrica 55(4), 1987): a knee can bend more than it should, but not stretch more.

    Args:
        wanted: Height of the pelvis at which the knee is flexed as in the curve, ``[R, GRID, 2]``.
        weight: Of each leg, ``[R, GRID, 2]``.
        phase: Of the body, ``[GRID]``.
        usual: From :func:`usual_waves`: to be other than that costs :data:`STIFF`.
    """
    terms = waves_of(phase)
    small = np.diag([0.0, *2 * STIFF])
    used = weight
    for _ in range(6):
        normal = np.einsum("gi,rg,gj->rij", terms, used.sum(-1), terms) + small
        right = np.einsum("gi,rg->ri", terms, (used * wanted).sum(-1)) + usual @ small
        found = np.linalg.solve(normal, right[..., None])[..., 0]
        above = (found @ terms.T)[..., None] > wanted
        used = weight * np.where(above, ABOVE, 1.0)
    return found
