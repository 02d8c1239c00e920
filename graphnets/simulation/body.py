"""A person as segments with human proportions: who they are, and how joints follow from a pose.

Segment lengths are fractions of stature from de Leva, "Adjustments to Zatsiorsky-Seluyanov's segment inertia
parameters", J. Biomech. 29(9), 1996, table 4 (lengths over the mean statures 1.735 m and 1.741 m); ankle height from
Drillis & Contini, "Body segment parameters", 1966; the distance of the hip joints from Bell, Pedersen & Brand,
J. Biomech. 23(6), 1990. Our estimates: how far the shoulder joint lies from the neck and the toes from the ankle, and
how the body mass index spreads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from graphnets.simulation.kinematics import Array, norm, perpendicular, rotate, smooth_min, vector

LEFT_RIGHT = np.array([1.0, -1.0])
"""Sign of x on each side: axes that hold both sides are ordered left, right."""

# Fraction of stature: (female, male).
PROPORTIONS: dict[str, tuple[float, float]] = {
    "trunk": (0.3051, 0.3055),  # middle of the hips to the suprasternal notch
    "neck": (0.1050, 0.1000),  # suprasternal notch to the centre of the head
    "shoulder": (0.1000, 0.1070),  # neck to shoulder joint, sideways
    "shoulder_drop": (0.0181, 0.0094),  # neck to shoulder joint, downwards
    "hip": (0.0520, 0.0490),  # middle of the hips to a hip joint
    "upper_arm": (0.1586, 0.1618),
    "forearm": (0.1523, 0.1545),
    "hand": (0.0450, 0.0495),  # wrist to the third knuckle
    "thigh": (0.2124, 0.2425),
    "shank": (0.2528, 0.2529),
    "ankle": (0.0390, 0.0390),  # height of the ankle above the floor
    "forefoot": (0.0724, 0.0815),  # ankle to the ball of the foot, forwards
}
TOE_HEIGHT = 0.010  # of the ball of the foot above the floor, fraction of stature
LOWER_TRUNK = 0.40  # share of the trunk below the spine joint
STATURE = ((1.65, 0.06), (1.78, 0.065))  # metres: mean and spread, female and male
BMI = (23.5, 25.0)  # kg / m^2: median, female and male; the spread is 13 % of it
TRAITS = ("tempo", "flexibility", "stance", "strength")


@dataclass(frozen=True)
class Body:
    """Segment lengths in metres, body mass in kg and sex (0 female, 1 male, or between) of one or of ``R`` people.

    Shapes: ``[R, 1]`` for what lies in the middle, ``[R, 1, 2]`` (left, right) for the limbs; ``R = 1`` broadcasts.
    """

    height: Array
    trunk: Array
    neck: Array
    shoulder: Array
    shoulder_drop: Array
    hip: Array
    upper_arm: Array
    forearm: Array
    hand: Array
    thigh: Array
    shank: Array
    ankle: Array
    forefoot: Array
    mass: Array
    male: Array

    @property
    def toe_height(self) -> Array:
        """Height of the ball of the foot above the floor, ``[R, 1]``."""
        return TOE_HEIGHT * self.height

    @property
    def foot(self) -> Array:
        """Vector from the ankle to the ball of a foot that stands flat and straight ahead, ``[R, 1, 3]``."""
        return vector(0.0, self.toe_height - self.ankle, self.forefoot)

    @staticmethod
    def stack(bodies: Sequence[Body]) -> Body:
        """One body of ``R`` people from ``R`` bodies of one."""
        return Body(*(np.concatenate([getattr(b, f.name) for b in bodies]) for f in fields(Body)))


@dataclass(frozen=True)
class Person:
    """A subject: a body and the traits of character that all of their exercises share.

    Attributes:
        body: Segment lengths, ``R = 1``.
        male: 0 for female and 1 for male proportions, and anything between.
        traits: A standard score for each of :data:`TRAITS`.
    """

    body: Body
    male: float
    traits: dict[str, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Person:
        """Draw a person: stature, sex-like proportions, their variation (2 %) and asymmetry (0.3 %), traits, mass."""
        sex = int(rng.integers(2))
        male = float(sex + (0.5 - sex) * 0.4 * rng.random())
        mean, spread = STATURE[sex]
        height = mean + spread * float(truncated(rng, ()))
        share = {name: f + male * (m - f) for name, (f, m) in PROPORTIONS.items()}
        varied = {name: height * s * (1.0 + 0.02 * truncated(rng, ())) for name, s in share.items()}
        paired = ("upper_arm", "forearm", "hand", "thigh", "shank")
        lengths = {name: np.reshape(length, (1, 1)) for name, length in varied.items()}
        for name in paired:
            lengths[name] = varied[name] * (1.0 + 0.003 * truncated(rng, (1, 1, 1)) * LEFT_RIGHT)
        traits = dict(zip(TRAITS, map(float, truncated(rng, (len(TRAITS),))), strict=True))
        # Drawn last, so that what people were before they had a mass stays as it was.
        bmi = BMI[sex] * float(np.exp(0.13 * truncated(rng, ())))
        weight = {"mass": np.full((1, 1), bmi * height**2), "male": np.full((1, 1), male)}
        return cls(Body(height=np.full((1, 1), height), **lengths, **weight), male, traits)

    @property
    def mass(self) -> float:
        """Body mass in kg."""
        return float(self.body.mass[0, 0])


def truncated(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard normal draws that saturate smoothly at two standard deviations, so that nobody is a monster."""
    return 2.0 * np.tanh(0.6 * rng.standard_normal(shape))


@dataclass(frozen=True)
class Frame:
    """The trunk of a pose, to which limbs are attached; all ``[R, F, ...]``.

    Attributes:
        joints: ``pelvis``, ``spine``, ``neck``, ``head``: ``[R, F, 3]``.
        hips: ``[R, F, 2, 3]``, left and right.
        shoulders: ``[R, F, 2, 3]``.
        chest: Orientation of the chest, ``[R, F, 3, 3]``.
    """

    joints: dict[str, Array]
    hips: Array
    shoulders: Array
    chest: Array


def trunk(body: Body, pelvis: Array, hip: Array, chest: Array, head: Array, shrug: Array) -> Frame:
    """Place pelvis, spine, neck, head, hips and shoulders.

    Args:
        body: Segment lengths.
        pelvis: Middle of the hip joints, ``[R, F, 3]``.
        hip: Orientation of the pelvis, ``[R, F, 3, 3]``; its y axis points along the lower trunk.
        chest: Orientation of the chest; its y axis points along the upper trunk.
        head: Orientation of the head; its y axis points from neck to head.
        shrug: Elevation of each shoulder girdle in radians, ``[R, F, 2]``.

    Returns:
        The frame that limbs attach to.
    """
    spine = pelvis + (LOWER_TRUNK * body.trunk)[..., None] * hip[..., 1]
    neck = spine + ((1.0 - LOWER_TRUNK) * body.trunk)[..., None] * chest[..., 1]
    joints = {"pelvis": pelvis, "spine": spine, "neck": neck, "head": neck + body.neck[..., None] * head[..., 1]}
    width, drop = body.shoulder[..., None], body.shoulder_drop[..., None]
    out, up = width * np.cos(shrug) + drop * np.sin(shrug), width * np.sin(shrug) - drop * np.cos(shrug)
    shoulders = neck[..., None, :] + rotate(chest[..., None, :, :], vector(LEFT_RIGHT * out, up, 0.0))
    return Frame(joints, pelvis[..., None, :] + hip_offsets(body, hip), shoulders, chest)


def hip_offsets(body: Body, hip: Array) -> Array:
    """Vectors from the pelvis to the hip joints, ``[R, F, 2, 3]``, for pelvis orientations ``[R, F, 3, 3]``."""
    return LEFT_RIGHT[:, None] * body.hip[..., None, None] * hip[..., None, :, 0]


def foot_vector(body: Body, pitch: Array, toe_out: Array) -> Array:
    """Vectors from ankle to toes, ``[R, F, 2, 3]``.

    Args:
        body: Segment lengths.
        pitch: Rise of the heel about the toes in radians, ``[R, F, 2]``; zero stands flat.
        toe_out: Outward turn of the foot in radians, ``[R, F, 2]``.

    Returns:
        Vectors of constant length.
    """
    flat = body.foot[..., None, :]
    y, z = flat[..., 1], flat[..., 2]
    down, ahead = y * np.cos(pitch) - z * np.sin(pitch), z * np.cos(pitch) + y * np.sin(pitch)
    return vector(LEFT_RIGHT * ahead * np.sin(toe_out), down, ahead * np.cos(toe_out))


def swing_arm(
    body: Body, shoulders: Array, elevation: Array, plane: Array, flexion: Array
) -> tuple[Array, Array, Array]:
    """Arms by forward kinematics in the world frame.

    Args:
        body: Segment lengths.
        shoulders: ``[R, F, 2, 3]``.
        elevation: Of the upper arm from hanging (0) over level (pi / 2) to upright (pi), ``[R, F, 2]``.
        plane: In which the arm rises: 0 sideways, pi / 2 straight ahead, ``[R, F, 2]``.
        flexion: Of the elbow; 0 is straight, ``[R, F, 2]``.

    Returns:
        Elbows, wrists and hands, each ``[R, F, 2, 3]``.
    """
    level = np.sin(elevation)
    upper = vector(LEFT_RIGHT * level * np.cos(plane), -np.cos(elevation), level * np.sin(plane))
    # Elbows fold forwards when the arm hangs, upwards when it is level, and over the head when it is raised.
    bend = perpendicular(vector(-LEFT_RIGHT * (0.3 + 0.45 * (1.0 - np.cos(elevation))), 1.0, 1.0), upper)
    # An elbow never bends backwards: at least two degrees of flexion, whatever the noise.
    flexion = -smooth_min(-flexion, -0.035, 0.06)
    lower = np.cos(flexion)[..., None] * upper + np.sin(flexion)[..., None] * bend
    elbows = shoulders + body.upper_arm[..., None] * upper
    wrists = elbows + body.forearm[..., None] * lower
    return elbows, wrists, wrists + body.hand[..., None] * lower


def shortest(a: Array, b: Array) -> tuple[Array, Array]:
    """Lengths ``[R, 1]`` of a limb's two bones on the side where the limb is shorter."""
    left = (a + b)[..., 0] <= (a + b)[..., 1]
    return np.where(left, a[..., 0], a[..., 1]), np.where(left, b[..., 0], b[..., 1])


def unit(v: Array) -> Array:
    """Vectors scaled to length one."""
    return v / norm(v)[..., None]
