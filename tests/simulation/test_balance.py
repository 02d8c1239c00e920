from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from graphnets.simulation import Clip, move
from graphnets.simulation.balance import G, Points, _solve, between, correction, eased, grid
from graphnets.simulation.chain import forward
from graphnets.simulation.dynamics import demand, total
from graphnets.simulation.inverse import invert
from graphnets.simulation.segments import inertia
from graphnets.simulation.signals import signals


@cache
def case(exercise, fps=120.0, mistake="correct"):
    m = move([Clip(exercise, mistake, s, 1) for s in range(1, 9)], 0, fps)
    return m, signals(m, imus=()), np.arange(m.lengths.max()) < m.lengths[:, None]


def weights(m, s):
    """Vertical force in body weights: of each foot, and all that the motion needs."""
    whole = (m.body.mass * G)[..., None]
    feet = [s.force[f"{side}_foot"][..., 1:2] / whole for side in ("left", "right")]
    return [f[..., 0] for f in feet], (sum(feet) + s.residual[..., 1:2] / whole)[..., 0]


def inside(m, s, valid):
    """Whether each loaded foot's centre of pressure lies within heel and toes and 5 cm to the sides."""
    out = []
    for foot, force in zip(("left", "right"), weights(m, s)[0], strict=True):
        ankle, toe, centre = s.joints[f"{foot}_ankle"], s.joints[f"{foot}_foot"], s.centre[f"{foot}_foot"]
        ahead = (toe - ankle) * [1.0, 0.0, 1.0]
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
        along = ((centre - ankle) * ahead).sum(-1) / (m.body.forefoot / 0.55) + 0.2
        aside = np.abs((centre - ankle)[..., 0] * ahead[..., 2] - (centre - ankle)[..., 2] * ahead[..., 0])
        loaded = (force > 0.1) & valid
        out.append(((along > 0.0) & (along < 1.0) & (aside < 0.05))[loaded])
    return np.concatenate(out).mean()


@pytest.mark.parametrize(
    ("exercise", "least"), [("lunge", 0.97), ("walking", 0.98), ("jumping_jack", 0.97), ("squat", 0.99)]
)
def test_the_centre_of_pressure_lies_under_the_feet(exercise, least):
    assert inside(*case(exercise)) > least


# Lowest and highest vertical force in body weights that the motion may need at any instant.
FORCES = {"lunge": (0.4, 1.5), "walking": (0.4, 1.9), "squat": (0.6, 1.5)}


@pytest.mark.parametrize("exercise", list(FORCES))
def test_vertical_forces_are_human(exercise):
    m, s, valid = case(exercise)
    _, need = weights(m, s)
    low, high = FORCES[exercise]
    assert need[valid].min() > low and need[valid].max() < high
    assert np.abs(s.residual[..., :3] / m.body.mass[..., None] / G)[valid].max() < 1e-6, "the feet give all of it"


def test_knee_moments_are_human():
    peaks = {}
    for exercise in ("walking", "squat", "lunge"):
        _, s, valid = case(exercise)
        peaks[exercise] = [
            np.median(np.max([np.where(valid, x, 0.0).max(1) for x in d.values()], axis=0)) for d in (s.kfm, s.kam)
        ]
    # Walking as measured (Schreiber & Moissenet 2019): 0.2 to 1.8 and 0.1 to 0.7 N m/kg; the fast ones are high.
    assert 0.4 < peaks["walking"][0] < 1.4 and 0.3 < peaks["walking"][1] < 0.8
    assert 1.0 < peaks["squat"][0] < 1.6 and peaks["squat"][1] < 0.3
    assert peaks["lunge"][1] < 0.8


def test_pressure_travels_from_heel_to_toes_in_walking():
    m, s, valid = case("walking")
    ankle, toe, centre = (s.joints["left_ankle"], s.joints["left_foot"], s.centre["left_foot"])
    ahead = (toe - ankle) * [1.0, 0.0, 1.0]
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    along = ((centre - ankle) * ahead).sum(-1) / (m.body.forefoot / 0.55) + 0.2
    force = weights(m, s)[0][0]
    early = valid & (force > 0.1) & (force < 0.5) & (np.gradient(force, axis=1) > 0)
    late = valid & (force > 0.9) & (np.gradient(toe[..., 1] - ankle[..., 1], axis=1) < -1e-4)
    assert np.median(along[early]) < 0.35 < 0.65 < np.median(along[late]) < 1.0


def test_point_masses_have_the_bodys_moment_about_the_floor():
    m, _, valid = case("squat")
    place, mass = Points(m.body).moved(m.joints)
    sole = np.arctan2(m.body.ankle - m.body.toe_height, m.body.forefoot)[:, 0]
    pose = invert(m.joints, sole)
    still = forward(pose, m.fps, np.arange(m.lengths.max()) / m.fps, 5, m.lengths)
    needed = demand(still, inertia(m.body))
    centre = (inertia(m.body).mass[:, None, :, None] * needed.point).sum(2) / m.body.mass[..., None]
    np.testing.assert_allclose(
        ((mass * place).sum(-1) / m.body.mass).transpose(1, 2, 0)[valid], centre[valid], atol=0.012
    )
    origin = np.zeros((*valid.shape, 3))
    moment = total(needed, origin).moment[..., 0]
    push = np.gradient(np.gradient(place, axis=2), axis=2) * m.fps**2
    found = (mass * (place[1] * push[2] - place[2] * (push[1] + G))).sum(-1)
    inner = valid[:, 5:-5] & valid[:, 10:]
    np.testing.assert_allclose(
        found[:, 5:-5][inner] / m.body.mass.max(), moment[:, 5:-5][inner] / m.body.mass.max(), atol=0.25
    )


def test_the_system_is_the_differential_equation():
    t = np.linspace(-4.0, 4.0, 1601)[None]
    wanted = np.exp(-(t**2)) * np.cos(3.0 * t)
    curve = 0.09 + 0.02 * np.sin(t)
    second = np.gradient(np.gradient(wanted, t[0], axis=1), t[0], axis=1)
    found = _solve(np.ones((1, 1, 1601)), curve[None], (wanted - curve * second)[None], np.array([0.005]))
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)


def test_eased_is_below_smooth_and_exact_where_constant():
    x = np.linspace(0.0, 4.0, 401)[None]
    height = 1.0 - 0.2 * np.maximum(np.minimum(x - 1.0, 3.0 - x), 0.0)
    low = eased(height, np.array([20.0]))
    assert np.all(low <= height + 1e-12)
    assert np.abs(np.diff(low, 2)).max() < 0.25 * np.abs(np.diff(height, 2)).max()
    np.testing.assert_allclose(low[:, :50], 1.0)


def test_repetitions_are_balanced_for_themselves():
    clips = [Clip("lunge", "correct", s, 1) for s in (1, 2, 3)]
    together, alone = move(clips), move(clips[1:2])
    n = alone.lengths[0]
    for name, x in alone.joints.items():
        np.testing.assert_allclose(
            np.broadcast_to(together.joints[name], (3, together.lengths.max(), 3))[1, :n],
            np.broadcast_to(x, (1, n, 3))[0],
            atol=1e-10,
        )


def test_splines_between_instants():
    time = grid(np.array([[2.0], [3.0]]), 128)
    wanted = np.linspace(0.0, 2.0, 37) + np.zeros((2, 1))
    np.testing.assert_allclose(between(np.sin(time)[None], time, wanted)[0], np.sin(wanted), atol=1e-8)


def test_a_standing_body_beside_its_feet_is_moved_over_them():
    m = move([Clip("squat", "correct", 1, 1)], 0, 30.0)
    joints = {
        name: np.broadcast_to(x, (1, m.lengths[0], 3))[:, :1] + np.zeros((1, 400, 3)) for name, x in m.joints.items()
    }
    points = Points(m.body)
    place, mass = points.moved(joints)
    centre = ((mass * place).sum(-1) / m.body.mass).transpose(1, 2, 0)
    feet = (centre * [1.0, 0.0, 1.0] + [0.05, 0.0, -0.08])[:, :, None]
    time = np.linspace(0.0, 8.0, 400)[None]
    d = correction(points, joints, feet, np.ones((1, 400, 1)), (1e-6, 1e-6), time)
    np.testing.assert_allclose(d[:, 0, 200], [0.05, 0.0, -0.08], atol=1e-5)


def test_the_matrix_of_a_body_sums_over_its_points():
    m, _, _ = case("walking")
    points = Points(m.body)
    place, mass = points.moved(m.joints)
    centre, spin, _ = points.sums(m.joints)
    np.testing.assert_allclose(centre, (mass * place).sum(-1) / m.body.mass, atol=1e-12)
    push = np.diff(place, 2, axis=2)
    for i, axis in enumerate((0, 2)):
        wanted = (mass * (push[1] * place[axis, :, 1:-1] - push[axis] * place[1, :, 1:-1])).sum(-1)
        np.testing.assert_allclose(np.diff(spin)[i], wanted, atol=1e-10)


def test_a_second_step_finds_what_a_shifted_body_needs():
    m, _, valid = case("jumping_jack", 60.0)
    points, n = Points(m.body), int(m.lengths.min())
    joints = {name: np.broadcast_to(x, (*valid.shape, 3))[:, :n] for name, x in m.joints.items()}
    time = np.broadcast_to(np.arange(n) / m.fps, (len(m.clips), n))
    feet = np.stack([joints["left_foot"], joints["right_foot"]], axis=2)
    active = np.stack(list(m.exercise.contacts(m.body, m.controls, time).values()), axis=-1)
    first = correction(points, joints, feet, active, (0.01, 0.02), time)
    moved = {}
    for name, x in joints.items():
        share = {"knee": 0.5, "ankle": 0.0, "foot": 0.0}.get(name.partition("_")[2], 1.0)
        moved[name] = x + share * first.transpose(1, 2, 0)
    wanted = first + correction(points, moved, feet, active, (0.01, 0.02), time)
    assert np.abs(first).max() > 0.01 and np.abs(wanted - first).max() > 0.003
    np.testing.assert_allclose(correction(points, joints, feet, active, (0.01, 0.02), time, 2), wanted, atol=1e-9)
