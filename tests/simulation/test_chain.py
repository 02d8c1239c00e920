from __future__ import annotations

import numpy as np
import pytest
from chains import random_pose
from scipy.interpolate import BSpline, make_interp_spline
from scipy.spatial.transform import Rotation

from graphnets.simulation.chain import forward
from graphnets.simulation.spline import spline

# Weights of the central first difference of eighth order.
DIFFERENCE = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
STEP = 1e-3


def stencil(times: np.ndarray, step: float = STEP) -> np.ndarray:
    return (times[:, None] + step * np.arange(-4, 5)).ravel()


def differentiated(values: np.ndarray, step: float = STEP) -> np.ndarray:
    """Derivative of values at ``stencil(times)`` along axis 1, another way than by the spline's derivatives."""
    shaped = values.reshape(values.shape[0], -1, 9, *values.shape[2:])
    return np.einsum("rtk...,k->rt...", shaped, DIFFERENCE) / step


def inside(knots: int, rate: float, n: int = 12) -> np.ndarray:
    """Times whose stencils cross no knot."""
    return (np.linspace(0, knots - 2, n).astype(int) + 0.5) / rate


@pytest.mark.parametrize("degree", [3, 5])
def test_spline_matrices_against_scipys_spline(degree):
    rng = np.random.default_rng(0)
    values, times = rng.standard_normal((30, 4)), np.sort(rng.uniform(0, 29 / 25, 50))
    curve = make_interp_spline(np.arange(30) / 25.0, values, k=degree)
    assert isinstance(curve, BSpline)
    basis = spline(30, 25.0, times, degree)
    for k in range(3):
        np.testing.assert_allclose(basis[k] @ values, curve(times, nu=k), atol=1e-8 * 25.0**k)
    assert spline(30, 25.0, times.copy(), degree) is basis


def test_splines_reproduce_polynomials_and_knots():
    knots = np.arange(20) / 10.0
    times = np.linspace(0, 1.9, 77)
    basis = spline(20, 10.0, times)
    poly = np.polynomial.Polynomial([1.0, -2, 3, 0.5, -1, 0.3])
    for k, p in enumerate((poly, poly.deriv(), poly.deriv(2))):
        np.testing.assert_allclose(basis[k] @ poly(knots), p(times), atol=1e-9)
    np.testing.assert_allclose(spline(20, 10.0, knots)[0], np.eye(20), atol=1e-12)


@pytest.mark.parametrize("knots", [1, 2, 3, 4, 5, 6])
def test_few_knots_give_a_lower_degree(knots):
    values = 2.0 + np.arange(knots)
    basis = spline(knots, 10.0, np.array([0.0, (knots - 1) / 10.0]))
    np.testing.assert_allclose(basis[0] @ values, values[[0, -1]], atol=1e-12)
    np.testing.assert_allclose(basis[1] @ values, 10.0 if knots > 1 else 0.0, atol=1e-9)
    np.testing.assert_allclose(basis[2] @ values, 0.0, atol=1e-8)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="degree 4"):
        spline(9, 10.0, np.zeros(1), 4)
    with pytest.raises(ValueError, match=r"leave the knots' 0\.\.0\.8000"):
        spline(9, 10.0, np.array([0.9]))


@pytest.mark.parametrize("degree", [3, 5])
def test_velocities_and_accelerations_are_the_derivatives_of_the_positions(degree):
    pose = random_pose()
    times = inside(40, 30.0)
    at, fine = forward(pose, 30.0, times, degree), forward(pose, 30.0, stencil(times), degree)
    np.testing.assert_allclose(differentiated(fine.position), at.velocity, atol=1e-8)
    np.testing.assert_allclose(differentiated(fine.velocity), at.acceleration, atol=1e-7)
    local = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 17, 3))
    point, push = at.point(local)
    moved = fine.point(local)[0]
    np.testing.assert_allclose(differentiated(differentiated_twice(pose, times, local, degree)), push, atol=2e-3)
    assert point.shape == moved[:, : len(times)].shape


def differentiated_twice(pose, times, local, degree):
    """Velocity of points at the stencil, itself by differences of positions."""
    outer = stencil(times)
    return differentiated(forward(pose, 30.0, stencil(outer), degree).point(local)[0])


@pytest.mark.parametrize("degree", [3, 5])
def test_angular_velocities_and_accelerations_are_those_of_the_rotations(degree):
    pose = random_pose()
    times = inside(40, 30.0)
    at, fine = forward(pose, 30.0, times, degree), forward(pose, 30.0, stencil(times), degree)
    # W = R' R^T is the skew matrix of omega.
    skew = differentiated(fine.rotation) @ at.rotation.swapaxes(-1, -2)
    omega = np.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], axis=-1)
    np.testing.assert_allclose(omega, at.omega, atol=1e-8)
    np.testing.assert_allclose(differentiated(fine.omega), at.alpha, atol=1e-7)
    np.testing.assert_allclose(at.rotation @ at.rotation.swapaxes(-1, -2), np.eye(3) + 0 * at.rotation, atol=1e-12)


def test_a_steady_turn_has_its_angular_velocity():
    pose = random_pose(n=1, knots=60)
    spin = np.array([1.0, -2.0, 0.5])
    turns = Rotation.from_rotvec(np.arange(60)[:, None] / 60.0 * spin).as_quat(scalar_first=True)
    pose.quaternion[:] = turns[None, :, None]
    motion = forward(pose, 60.0, np.linspace(0.1, 0.8, 20))
    np.testing.assert_allclose(motion.omega, spin + 0 * motion.omega, atol=1e-6)
    np.testing.assert_allclose(motion.alpha, 0.0, atol=1e-3)


def test_repetitions_do_not_depend_on_longer_ones_and_stand_still_after_their_end():
    pose = random_pose(n=3, knots=40)
    times = np.arange(40) / 30.0
    lengths = np.array([40, 25, 31])
    together = forward(pose, 30.0, times, lengths=lengths)
    for r, n in enumerate(lengths):
        part = type(pose)(pose.quaternion[[r], :n], pose.root[[r], :n], pose.offset[[r]], pose.tip[[r]])
        alone = forward(part, 30.0, times[:n])
        for name in ("position", "velocity", "acceleration", "omega", "alpha", "rotation"):
            np.testing.assert_allclose(getattr(together, name)[r, :n], getattr(alone, name)[0], atol=1e-11)
        np.testing.assert_array_equal(together.velocity[r, n:], 0.0)
        np.testing.assert_array_equal(together.alpha[r, n:], 0.0)
        np.testing.assert_array_equal(together.position[r, n:], together.position[r, [n - 1] * (40 - n)])
