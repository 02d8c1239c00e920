from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BPoly
from scipy.spatial.transform import Rotation

from graphnets.simulation.kinematics import (
    norm,
    perpendicular,
    quintic,
    rotate,
    rotation,
    smooth_min,
    span,
    two_bone,
    vector,
    wander,
    within_reach,
)

angles = st.floats(-3.0, 3.0)
coordinates = st.tuples(*(st.floats(-1.0, 1.0) for _ in range(3))).map(np.array)


@settings(max_examples=30, deadline=None)
@given(angles, angles, angles, coordinates)
def test_rotation_is_twist_then_lean_then_roll(lean, roll, twist, point):
    expected = Rotation.from_euler("YXZ", [twist, lean, roll])
    np.testing.assert_allclose(rotation(lean, roll, twist), expected.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotate(rotation(lean, roll, twist), point), expected.apply(point), atol=1e-12)


def test_positive_angles_lean_forward_roll_right_and_twist_left():
    up, ahead = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    assert rotate(rotation(lean=0.3), up)[2] > 0
    assert rotate(rotation(roll=0.3), up)[0] < 0
    assert rotate(rotation(twist=0.3), ahead)[0] > 0


def test_rotations_broadcast():
    matrix = rotation(np.zeros((4, 1)), 0.0, np.linspace(0, 1, 5))
    assert matrix.shape == (4, 5, 3, 3)


@settings(max_examples=60, deadline=None)
@given(coordinates, coordinates, coordinates, st.floats(0.2, 0.5), st.floats(0.2, 0.5), st.floats(0.02, 0.98))
def test_two_bones_keep_their_lengths_and_the_joint_lies_on_the_hinted_side(root, way, hint, upper, lower, share):
    if np.linalg.norm(way) < 0.1 or np.linalg.norm(np.cross(way, hint)) < 0.05:
        return
    near, far = abs(upper - lower), upper + lower
    target = root + way / np.linalg.norm(way) * (near + share * (far - near))
    joint = two_bone(root, target, hint, upper, lower)
    assert np.linalg.norm(joint - root) == pytest.approx(upper, abs=1e-9)
    assert np.linalg.norm(joint - target) == pytest.approx(lower, abs=1e-9)
    foot = root + np.dot(joint - root, way) / np.dot(way, way) * way
    assert np.dot(joint - foot, hint) > 0
    # root, target, hint and joint lie in one plane
    assert abs(np.dot(np.cross(way, hint), joint - root)) < 1e-9


@pytest.mark.parametrize("distance", [0.9, 1.2, 0.05, 0.09])
def test_targets_out_of_reach_are_refused(distance):
    root, hint = np.zeros(3), np.array([0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="cannot reach"):
        two_bone(root, np.array([distance, 0.0, 0.0]), hint, 0.5, 0.4)


def test_span_against_coordinates():
    for angle in (0.3, 1.5, np.pi):
        end = 0.4 * np.array([np.cos(angle), np.sin(angle)])
        assert span(angle, 0.5, 0.4) == pytest.approx(np.hypot(*(end - [0.5, 0.0])))


def test_perpendicular_is_a_unit_vector_across():
    axis = np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(perpendicular(np.array([0.3, 5.0, 0.4]), axis), [0.6, 0.0, 0.8])


@settings(max_examples=40, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2))
def test_smooth_min_is_below_but_close(a, b):
    assert min(a, b) - 0.0026 <= smooth_min(a, b, 0.005) < min(a, b)


def test_within_reach_leaves_what_is_near_and_draws_what_is_far():
    root = np.zeros(3)
    near, far = np.array([0.2, 0.1, 0.0]), np.array([3.0, 0.0, 4.0])
    np.testing.assert_allclose(within_reach(root, near, 0.6), near, atol=1e-3)
    drawn = within_reach(root, far, 0.6)
    assert 0.59 < norm(drawn) < 0.6
    np.testing.assert_allclose(np.cross(drawn, far), 0.0, atol=1e-12)


def test_quintic_matches_scipy_between_the_knots_and_rests_outside():
    knots, values, speeds, pushes = [0.2, 0.5, 1.3], [0.0, 1.0, -0.5], [0.1, -0.4, 0.0], [0.0, 2.0, 1.0]
    reference = BPoly.from_derivatives(knots, list(map(list, zip(values, speeds, pushes, strict=True))))
    time = np.linspace(0.2, 1.3, 200)[None]
    np.testing.assert_allclose(quintic(time, knots, values, speeds, pushes)[0], reference(time[0]), atol=1e-12)
    np.testing.assert_allclose(
        quintic(np.array([[0.0, 2.0]]), knots, values, speeds, pushes), [[0.0, -0.5]], atol=1e-12
    )


def test_quintic_between_ballistic_states_is_the_parabola():
    time = np.linspace(0.0, 0.4, 50)[None]
    parabola = 1.0 + 2.0 * time - 0.5 * 9.81 * time**2
    end = 1.0 + 2.0 * 0.4 - 0.5 * 9.81 * 0.16
    out = quintic(time, [0.0, 0.4], [1.0, end], [2.0, 2.0 - 9.81 * 0.4], [-9.81, -9.81])
    np.testing.assert_allclose(out, parabola, atol=1e-12)


def test_quintic_takes_knots_of_each_repetition():
    time = np.linspace(0, 1, 11)[None].repeat(2, 0)
    out = quintic(time, [np.array([[0.0], [0.5]]), 1.0], [0.0, np.array([[1.0], [3.0]])])
    assert out[0, 5] == pytest.approx(0.5)
    assert out[1, 5] == 0.0
    assert out[:, -1].tolist() == [1.0, 3.0]


def test_quintic_refuses_knots_that_do_not_increase_or_match():
    with pytest.raises(ValueError, match="increase"):
        quintic(np.zeros((1, 2)), [0.0, 0.5, 0.5], [0, 1, 2])
    with pytest.raises(ValueError, match="as many"):
        quintic(np.zeros((1, 2)), [0.0, 0.5], [0, 1, 2])


def test_wander_has_zero_mean_unit_variance_and_is_slow():
    rng = np.random.default_rng(0)
    waves = np.stack([rng.uniform(0.1, 0.9, (200, 3, 4)), rng.uniform(0, 2 * np.pi, (200, 3, 4))], -1)
    time = np.broadcast_to(np.arange(0, 40, 0.1), (200, 400))
    noise = wander(time, waves)
    assert noise.shape == (3, 200, 400)
    assert abs(noise.mean()) < 0.02
    assert noise.var() == pytest.approx(1.0, abs=0.03)
    assert np.abs(np.diff(noise)).max() < 2 * np.pi * 0.9 * 0.1 * np.sqrt(8)


def test_vector_broadcasts():
    assert vector(np.zeros((2, 1)), 1.0, np.arange(3.0)).shape == (2, 3, 3)
