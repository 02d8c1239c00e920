"""Balance: by how much the pelvis must move so that the floor can give what a movement takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.linalg import solve_banded
from scipy.ndimage import convolve1d, minimum_filter1d

from graphnets.simulation.body import LOWER_TRUNK, Body
from graphnets.simulation.inverse import JOINTS, ORIGIN
from graphnets.simulation.kinematics import Array
from graphnets.simulation.segments import LIMBS, SEGMENTS, SIDES, inertia

G = 9.81
PAD = 0.6
"""Seconds before and after a repetition that are solved with it: twice the time constant of a falling body."""
SETTLE = 0.07
"""Seconds in which a body gets back to its height after a flight, and leaves it before one."""
LEAST_LOAD = 0.3
"""Share of the weight below which the centre of pressure counts less."""

_ENDS = {"pelvis": "spine", "thorax": "neck", "head": "head"} | {
    f"{side}_{name}": f"{side}_{end}"
    for name, end in zip(LIMBS, ("elbow", "wrist", "hand", "knee", "ankle", "foot"), strict=True)
    for side in SIDES
}
_ALONG = {"knee": 0.5, "ankle": 0.0, "foot": 0.0}


class Points:
    """A body as two equal point masses a segment, on its long axis.

    They have the segment's mass, centre and moment of inertia across the axis; what is lost is the small moment about
    it and, for trunk and feet, that the centre lies a little off the line between the joints.

    Args:
        body: Of ``R`` people.
    """

    def __init__(self, body: Body) -> None:
        masses, rows = inertia(body), range(len(SEGMENTS))
        lengths = np.stack([_length(body, name) for name in SEGMENTS], axis=-1)
        feet = np.array([name.endswith("foot") for name in SEGMENTS])
        level = np.abs(np.where(feet, masses.centre[:, rows, 2], masses.centre[:, rows, 1]))
        spread = np.sqrt(masses.moments[:, rows, 0] / masses.mass[:, rows])
        self.mass = 0.5 * masses.mass[:, rows]
        self.near, self.far = (level - spread) / lengths, (level + spread) / lengths
        self.total = body.mass
        starts, ends = ([JOINTS.index(of[name]) for name in SEGMENTS] for of in (ORIGIN, _ENDS))
        mix = np.zeros((2, len(lengths), len(SEGMENTS), len(JOINTS)))
        for row, share in zip(mix, (self.near, self.far), strict=True):
            row[:, rows, starts], row[:, rows, ends] = 1.0 - share, share
        self.matrix = (mix.swapaxes(-1, -2) @ (self.mass[..., None] * mix)).sum(0)
        # What goes with the pelvis, whatever the exercise: all of the body but the feet, knees half the way.
        along = np.array([_ALONG.get(name.partition("_")[2], 1.0) for name in JOINTS])
        self.along = self.matrix @ along
        self.whole = self.along @ along
        self.share = self.along.sum(-1, keepdims=True) / self.total

    def sums(self, joints: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """What balance takes of a motion, sums over the points.

        The points lie between joints, so ``sum m a b = a^T A b`` for coordinates ``a``, ``b`` of the joints with one
        matrix ``A`` a person; its rows add up to the weights of the centre.

        Args:
            joints: Positions by name, ``[R, F, 3]``.

        Returns:
            Centre of mass ``[3, R, F]``; sideways and forwards ``sum m (y(t + h) x(t) - x(t + h) y(t))``,
            ``[2, R, F - 1]``, whose change over ``h^2`` is ``sum m (y'' x - x'' y)``; and ``sum m w a``,
            ``[3, R, F]``, ``w`` being how much of a shift of the pelvis a point goes along.
        """
        shape = np.broadcast_shapes(*(np.shape(joints[name]) for name in JOINTS))
        place = np.empty((3, shape[0], len(JOINTS), shape[1]))
        for i, name in enumerate(JOINTS):
            place[:, :, i] = joints[name].transpose(2, 0, 1)
        heavy = self.matrix @ place
        spin = place[1, ..., 1:] * heavy[::2, ..., :-1]
        spin -= place[::2, ..., 1:] * heavy[1, ..., :-1]
        return heavy.sum(2) / self.total, spin.sum(2), (self.along[:, None] @ place)[:, :, 0]

    def moved(self, joints: Mapping[str, Array]) -> tuple[Array, Array]:
        """Places ``[3, R, F, 30]`` and masses ``[R, 1, 30]``."""
        shape = np.broadcast_shapes(*(np.shape(x) for x in joints.values()))
        starts, ends = (
            np.stack([np.broadcast_to(joints[name], shape) for name in names]).transpose(3, 1, 2, 0)
            for names in ([ORIGIN[s] for s in SEGMENTS], [_ENDS[s] for s in SEGMENTS])
        )
        way = ends - starts
        places = [starts + share[:, None] * way for share in (self.near, self.far)]
        return np.concatenate(places, axis=-1), np.concatenate([self.mass, self.mass], axis=-1)[:, None]


def _length(body: Body, name: str) -> Array:
    """Distance of a segment's two joints as ``Points`` takes it, ``[R]``."""
    if name in ("pelvis", "thorax"):
        return (LOWER_TRUNK if name == "pelvis" else 1.0 - LOWER_TRUNK) * body.trunk[:, 0]
    if name == "head":
        return body.neck[:, 0]
    side, part = name.split("_", 1)
    if part == "foot":
        return body.forefoot[:, 0]
    length: Array = getattr(body, part)[:, 0, SIDES.index(side)]
    return length


def grid(duration: Array, count: int) -> Array:
    """Times from ``PAD`` before to ``PAD`` after a repetition, ``[R, count]``; each row depends on its own alone."""
    return -PAD + (duration + 2.0 * PAD) * np.linspace(0.0, 1.0, count)


def second(values: Array, step: Array) -> Array:
    """Second derivative by differences along the last axis of ``[K, R, F]``; the ends repeat their neighbours'."""
    out = np.diff(values, 2) / step[:, None] ** 2
    return np.pad(out, ((0, 0), (0, 0), (1, 1)), mode="edge")


def correction(
    points: Points,
    joints: Mapping[str, Array],
    supports: Array,
    active: Array,
    play: tuple[float, float],
    time: Array,
    steps: int = 1,
) -> Array:
    """By how much to move the pelvis, so that the centre of pressure lies where the contacts are.

    With the masses ``m`` at ``(x, y)``, the centre of pressure of the whole body lies at ``p`` where
    ``sum m ((y'' + g)(x - p) - x'' y) = 0``. Moving a body by ``d``, taken as the cart on a table (Kajita et al.,
    "Biped walking pattern generation by using preview control of zero-moment point", ICRA 2003, equation 7), changes
    that moment by ``M ((h'' + g) d - h d'')``, ``h`` the height of the centre of mass. So, with load
    ``l = (h'' + g) / g`` and error ``e`` of the centre of pressure,

        l d - (h / g) d'' = l e                                  on the floor,
        d'' = -x_c''  and, upwards,  d_y'' = -(g + h'')           in flight,

    blended by the activation. All instants together are one tridiagonal system: ``d`` starts before the error does, as
    people do. Sideways and forwards an error counts as ``e^3 / (e^2 + s^2)`` with a play ``s``, wider by half the way
    between the contacts, for a centre of pressure may be anywhere in between.

    Args:
        points: The body.
        joints: Positions by name, ``[R, F, 3]``, in the person's own frame.
        supports: Points of the contacts, ``[R, F, K, 3]``.
        active: Their activations, ``[R, F, K]``.
        play: Sideways and forwards, metres.
        time: Evenly spaced, ``[R, F]``.
        steps: How often that is done; after the first with the motion as it would be if the whole body but the feet
            were shifted by what was found so far, knees by half of it: all sums then follow without moving it anew.

    Returns:
        Sideways, upwards and forwards, ``[3, R, F]``.
    """
    step = time[:, 1] - time[:, 0]
    start, spin, pull = points.sums(joints)
    flying = 1.0 - np.minimum(active.sum(-1), 1.0)
    weight = (active / np.maximum(active.sum(-1, keepdims=True), 1e-9))[..., None]
    aim = (weight * supports).sum(-2)
    apart = 0.25 * (weight * (supports - aim[..., None, :]) ** 2).sum(-2)
    shift = np.zeros((3, *time.shape))
    for _ in range(steps):
        centre = start + points.share * shift
        push = second(centre, step)
        load, swing = push[1] / G + 1.0, centre[1] / G
        firm = (1.0 - flying) * np.maximum(load, 0.0)
        turn = spin + _turn(pull[1], shift[::2]) + _turn(shift[1], pull[::2] + points.whole[:, None] * shift[::2])
        turn = np.pad(np.diff(turn) / step[:, None] ** 2, ((0, 0), (0, 0), (1, 1)), mode="edge")
        right = flying * swing * push
        right[1] = flying * swing * G * load
        for axis, slack in ((0, play[0]), (2, play[1])):
            need = turn[axis // 2] / (points.total * G) + centre[axis]
            error = aim[..., axis] - need / np.maximum(load, LEAST_LOAD)
            right[axis] += firm * error * error**2 / (error**2 + slack**2 + apart[..., axis])
        diagonal = np.stack([firm, 1.0 - flying, firm])
        curve = np.stack([swing, (1.0 - flying) * SETTLE**2 + flying * swing, swing])
        shift += _solve(diagonal, curve, right, step)
    return shift


def _turn(up: Array, aside: Array) -> Array:
    """``up(t + h) aside(t) - aside(t + h) up(t)``, ``[2, R, F - 1]``."""
    out: Array = up[..., 1:] * aside[..., :-1] - aside[..., 1:] * up[..., :-1]
    return out


def _solve(diagonal: Array, curve: Array, right: Array, step: Array) -> Array:
    """``diagonal d - curve d'' = right``, ``[K, R, F]``, each row for itself; zero at the ends."""
    off = -curve / step[:, None] ** 2
    middle = diagonal - 2.0 * off
    for band, value in ((off, 0.0), (middle, 1.0), (right, 0.0)):
        band[..., 0] = band[..., -1] = value
    bands = np.zeros((3, off.size))
    bands[0, 1:], bands[1], bands[2, :-1] = off.ravel()[:-1], middle.ravel(), off.ravel()[1:]
    return solve_banded((1, 1), bands, right.ravel()).reshape(right.shape)


def eased(height: Array, width: Array) -> Array:
    """The smooth height below one that has corners: its least value within a window, averaged over such a window.

    Nowhere above the height itself, for the least value around every instant of the average is not; so legs that could
    just reach still reach. The weights of the average are ``(1 - s^2)^3``.

    Args:
        height: At evenly spaced times, ``[R, F]``.
        width: Half the window in steps of the times, ``[R]``.
    """
    out = np.empty_like(height)
    for row, (values, half) in enumerate(zip(height, width, strict=True)):
        n = max(int(half), 1)
        low = minimum_filter1d(values, 2 * n + 1, mode="nearest")
        kernel = (1.0 - (np.arange(-n, n + 1) / (half + 1.0)) ** 2) ** 3
        out[row] = convolve1d(low, kernel / kernel.sum(), mode="nearest")
    return out


def between(values: Array, time: Array, wanted: Array) -> Array:
    """Quintic splines through ``[K, R, F]`` at times ``[R, F]``, read at ``wanted [R, T]``: ``[K, R, T]``."""
    count = time.shape[1]
    place = (wanted - time[:, :1]) / (time[:, 1:2] - time[:, :1])
    place = np.clip(place, 0.0, count - 1.0)
    curves = make_interp_spline(np.arange(count), np.moveaxis(values, -1, 0), k=5)
    rows = [type(curves)(curves.t, curves.c[:, :, r], 5)(place[r]) for r in range(len(time))]
    return np.stack(rows).transpose(2, 0, 1)
