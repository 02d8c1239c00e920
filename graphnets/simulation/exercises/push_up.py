"""Push-up: hands and toes stay, the straight body sinks to the floor and is pushed up again."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnets.simulation.body import (
    LEFT_RIGHT,
    LOWER_TRUNK,
    Body,
    foot_vector,
    shortest,
    trunk,
)
from graphnets.simulation.exercises.base import Control, Controls, Exercise, Joints, Mistake
from graphnets.simulation.exercises.posture import assemble, both
from graphnets.simulation.kinematics import Array, quintic, rotation, span, two_bone, vector


class PushUp(Exercise):
    """In the plane of symmetry the shoulders lie where two circles meet.

    One is about the ankles, its radius from knee, hip and back angles; the other about the wrists, its radius from the
    elbow angle. Leans are angles about the x axis from upright: 0 stands, pi / 2 lies face down.
    """

    name = "push_up"
    title = "Push-up"
    focus = 0.17
    own: ClassVar[dict[str, Control]] = {
        "duration": Control(2.6, 0.4, 0.15, 1.5, 4.2, "s", "-tempo"),
        "down": Control(0.42, 0.03, 0.015, 0.34, 0.48),
        "hold": Control(0.06, 0.02, 0.01, 0.02, 0.14),
        "straight_elbow": Control(162.0, 2.5, 1.0, 155.0, 166.0, "deg"),
        "depth": Control(76.0, 6.0, 3.0, 62.0, 92.0, "deg", "-strength"),
        "line": Control(0.0, 3.0, 1.5, -8.0, 8.0, "deg"),
        "flare": Control(42.0, 7.0, 3.0, 24.0, 58.0, "deg"),
        "hands": Control(0.035, 0.010, 0.002, 0.012, 0.06, "height"),
        "behind": Control(0.015, 0.006, 0.001, 0.0, 0.03, "height"),
        "feet": Control(0.055, 0.012, 0.002, 0.030, 0.085, "height", "stance"),
        "heel": Control(64.0, 4.0, 1.0, 54.0, 74.0, "deg"),
        "curl": Control(5.0, 3.0, 1.0, -2.0, 12.0, "deg"),
        "nod": Control(16.0, 6.0, 2.0, 2.0, 30.0, "deg"),
    }
    mistakes: ClassVar[dict[str, Mistake]] = {
        "not_low_enough": Mistake("The chest stays far from the floor.", {"depth": (18.0, 58.0)}),
        "hips_sagging": Mistake("The hips hang below the line from shoulders to heels.", {"line": (-9.0, -24.0)}),
        "hips_piked": Mistake("The hips stick up above the line from shoulders to heels.", {"line": (12.0, 42.0)}),
        "elbows_flared": Mistake("The elbows point straight outwards.", {"flare": (17.0, 42.0)}),
    }

    def move(self, body: Body, c: Controls, time: Array, noise: Controls) -> Joints:
        """See :meth:`Exercise.move`."""
        u = time / c["duration"]
        low = quintic(u, [0.05, c["down"], c["down"] + c["hold"], 0.95], [0.0, 1.0, 1.0, 0.0])
        line = (c["line"] + 0.6 * noise["lean"]) * (1.0 - 0.4 * low)
        curl = c["curl"] + 0.35 * line
        thigh, shank = shortest(body.thigh, body.shank)
        leg = np.sqrt(span(c["straight_knee"], thigh, shank) ** 2 - (c["feet"] - body.hip) ** 2)
        ankles, toes = self._feet(body, c)
        upper, fore = shortest(body.upper_arm, body.forearm)
        wrists, hands = self._hands(body, c, leg, upper, fore)
        # The radius about the wrists, seen from the side.
        elbow = c["straight_elbow"] + (c["depth"] - c["straight_elbow"]) * low + 0.4 * noise["knee"]
        aside = wrists[..., 0, 0] - body.shoulder
        radius = np.sqrt(span(elbow, upper, fore) ** 2 - aside**2)
        back, tilt = _back(body, curl)
        reach = np.sqrt(leg**2 + back**2 + 2.0 * leg * back * np.cos(line))
        lean = _meet(ankles[..., 0, 1:], reach, wrists[..., 0, 1:], radius)
        leg_lean = lean - np.arctan2(back * np.sin(line), leg + back * np.cos(line))
        pelvis = ankles.mean(axis=-2) + vector(noise["sway_x"] * 0.3, leg * np.cos(leg_lean), leg * np.sin(leg_lean))
        back_lean = leg_lean + line - tilt
        hip, chest = rotation(back_lean - 0.5 * curl), rotation(back_lean + 0.5 * curl)
        head = rotation(back_lean + 0.5 * curl - c["nod"] + 0.7 * noise["head_lean"], 0.0, noise["head_twist"])
        frame = trunk(body, pelvis, hip, chest, head, np.zeros((*lean.shape, 2)))
        flare = both(c["flare"] * (0.6 + 0.4 * low)) + 0.5 * noise["plane"]
        hint = vector(LEFT_RIGHT * np.sin(flare), 0.0, -np.cos(flare))
        wrists = np.broadcast_to(wrists, frame.shoulders.shape)
        elbows = two_bone(frame.shoulders, wrists, hint, body.upper_arm, body.forearm)
        arms = (elbows, wrists, np.broadcast_to(hands, wrists.shape))
        return assemble(body, frame, ankles, toes, np.array([0.0, -1.0, 0.0]), arms)

    def contacts(self, body: Body, controls: Controls, time: Array) -> dict[str, Array]:
        """Hands and feet, all the time."""
        return {name: np.ones(time.shape) for name in ("left_foot", "right_foot", "left_hand", "right_hand")}

    def _feet(self, body: Body, c: Controls) -> tuple[Array, Array]:
        """Ankles above toes that stand on the floor, ``[R, 1, 2, 3]``."""
        toes = vector(LEFT_RIGHT * both(c["feet"]), both(body.toe_height), both(-0.42 * body.height))
        pitch = both(c["heel"]) + np.zeros(2)
        return toes - foot_vector(body, pitch, np.zeros_like(pitch)), toes

    def _hands(self, body: Body, c: Controls, leg: Array, upper: Array, fore: Array) -> tuple[Array, Array]:
        """Wrists and hands on the floor where the straight arms of a straight body meet it, ``[R, 1, 2, 3]``."""
        ankles, _ = self._feet(body, c)
        level = 0.028 * body.height
        x = body.shoulder + c["hands"]
        back, _ = _back(body, c["curl"])
        top = level + np.sqrt(span(c["straight_elbow"], upper, fore) ** 2 - c["hands"] ** 2 - c["behind"] ** 2)
        z = ankles[..., 0, 2] + np.sqrt((leg + back) ** 2 - (top - ankles[..., 0, 1]) ** 2) - c["behind"]
        wrists = vector(LEFT_RIGHT * both(x), both(level), both(z))
        drop = level - 0.008 * body.height
        ahead = np.sqrt(body.hand**2 - both(drop) ** 2)
        return wrists, wrists + vector(0.0, -both(drop), ahead)


def _back(body: Body, curl: Array) -> tuple[Array, Array]:
    """Distance from the pelvis to the middle of the shoulders, and the lean of that line over the trunk's mean."""
    lower, upper = LOWER_TRUNK * body.trunk, (1.0 - LOWER_TRUNK) * body.trunk - body.shoulder_drop
    along, across = (lower + upper) * np.cos(0.5 * curl), (upper - lower) * np.sin(0.5 * curl)
    return np.sqrt(along**2 + across**2), np.arctan2(across, along)


def _meet(ankle: Array, reach: Array, wrist: Array, radius: Array) -> Array:
    """Lean of the line from the ankles to the upper point where two circles in the (y, z) plane meet, ``[R, F]``."""
    gap = wrist - ankle
    distance = np.sqrt(gap[..., 0] ** 2 + gap[..., 1] ** 2)
    cosine = (reach**2 + distance**2 - radius**2) / (2.0 * reach * distance)
    if np.any(np.abs(cosine) >= 1.0):
        raise ValueError(f"the shoulders cannot be held between feet and hands: cosine {np.abs(cosine).max():.4f} >= 1")
    return np.arctan2(gap[..., 1], gap[..., 0]) - np.arccos(cosine)
