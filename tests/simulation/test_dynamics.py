from __future__ import annotations

import numpy as np
import pytest
from chains import people, random_pose, still
from scipy.special import ellipj, ellipk
from test_chain import differentiated, inside, stencil

from graphnets.simulation.chain import INDEX, forward
from graphnets.simulation.dynamics import GRAVITY, Wrench, demand, joint_moments, total
from graphnets.simulation.inverse import PARENT, Pose
from graphnets.simulation.segments import LINKS, Inertia, inertia

G = 9.81


def momenta(motion, mass: Inertia) -> tuple[np.ndarray, np.ndarray]:
    """Linear and angular momentum about the world's origin, by dense tensors."""
    arm = np.einsum("rtlij,rlj->rtli", motion.rotation, mass.centre)
    centre, speed = motion.position + arm, motion.velocity + np.cross(motion.omega, arm)
    tensor = np.einsum("rtlij,rlj,rtlkj->rtlik", motion.rotation, mass.moments, motion.rotation)
    linear = mass.mass[:, None, :, None] * speed
    angular = np.cross(centre, linear) + np.einsum("rtlij,rtlj->rtli", tensor, motion.omega)
    return linear.sum(2), angular.sum(2)


@pytest.mark.parametrize("degree", [3, 5])
def test_momentum_balance_of_the_whole_body(degree):
    pose, mass = random_pose(n=3), inertia(people(3))
    times = inside(40, 30.0)
    motion = forward(pose, 30.0, times, degree)
    whole = total(demand(motion, mass), np.zeros((3, len(times), 3)))
    linear, angular = (differentiated(p) for p in momenta(forward(pose, 30.0, stencil(times), degree), mass))
    arm = np.einsum("rtlij,rlj->rtli", motion.rotation, mass.centre)
    weight = mass.mass[:, None, :, None] * GRAVITY
    force = linear - weight.sum(2)
    moment = angular - np.cross(motion.position + arm, weight + 0 * arm).sum(2)
    assert np.abs(whole.force - force).max() / np.abs(force).max() < 1e-8
    assert np.abs(whole.moment - moment).max() / np.abs(moment).max() < 1e-8


def test_power_is_the_rate_of_energy():
    """Work of all joints and of the root's wrench against kinetic and potential energy, differenced."""
    pose, mass = random_pose(n=2), inertia(people(2))
    times = inside(40, 30.0)

    def energy(motion):
        arm = np.einsum("rtlij,rlj->rtli", motion.rotation, mass.centre)
        speed = motion.velocity + np.cross(motion.omega, arm)
        spin = np.einsum("rtlji,rtlj->rtli", motion.rotation, motion.omega)
        kinetic = 0.5 * (mass.mass[:, None] * (speed**2).sum(-1) + (mass.moments[:, None] * spin**2).sum(-1))
        return (kinetic + mass.mass[:, None] * G * (motion.position + arm)[..., 1]).sum(2)

    motion = forward(pose, 30.0, times)
    moment, force = joint_moments(motion, demand(motion, mass), {})
    parents = [INDEX.get(PARENT.get(name, ""), 0) for name in LINKS]
    relative = motion.omega - motion.omega[:, :, parents]
    relative[:, :, 0] = motion.omega[:, :, 0]
    power = (moment * relative).sum((-1, -2)) + (force[:, :, 0] * motion.velocity[:, :, 0]).sum(-1)
    rate = differentiated(energy(forward(pose, 30.0, stencil(times))))
    assert np.abs(power - rate).max() / np.abs(rate).max() < 1e-8


def swinging(angle: np.ndarray) -> tuple[Pose, dict[str, int]]:
    """A body whose stiff left leg swings forward by ``angle`` about the hip; everything else stands still."""
    pose = still({}, people(1), frames=len(angle))
    for name in ("left_thigh", "left_shank", "left_foot"):
        pose.quaternion[0, :, INDEX[name]] = np.stack([np.cos(angle / 2), -np.sin(angle / 2), 0 * angle, 0 * angle], -1)
    return pose, INDEX


def leg_about_hip(pose: Pose, mass: Inertia) -> tuple[float, np.ndarray, float]:
    """Mass, first moment and moment of inertia of a straight left leg about the hip, by hand."""
    total_mass, first, second, origin = 0.0, np.zeros(3), 0.0, np.zeros(3)
    for name, previous in (("left_thigh", None), ("left_shank", "left_thigh"), ("left_foot", "left_shank")):
        i = INDEX[name]
        if previous:
            origin = origin + pose.offset[0, i]
        centre = origin + mass.centre[0, i]
        m = mass.mass[0, i]
        total_mass, first = total_mass + m, first + m * centre
        second += mass.moments[0, i, 0] + m * (centre[1] ** 2 + centre[2] ** 2)
    return total_mass, first, second


def test_a_leg_that_falls_as_a_compound_pendulum_needs_no_moment():
    """Exact solution: ``sin(a / 2) = k sn(w t + K, k^2)``, ``w^2 = m g d / I``."""
    rate, size = 400.0, 1.2
    time = np.arange(480) / rate
    pose, _ = swinging(time)
    mass = inertia(people(1))
    _, first, second = leg_about_hip(pose, mass)
    distance, tilt = np.hypot(first[1], first[2]), np.arctan2(first[2], -first[1])
    w, k = np.sqrt(G * distance / second), np.sin(size / 2)
    sn, cn, dn, _ = ellipj(w * time + ellipk(k**2), k**2)
    angle = 2 * np.arcsin(k * sn)
    pose, _ = swinging(angle - tilt)
    motion = forward(pose, rate, time)
    moment, force = joint_moments(motion, demand(motion, mass), {})
    hip = INDEX["left_thigh"]
    assert np.abs(moment[0, 20:-20, hip, 0]).max() < 1e-5 * G * distance
    # Force along the leg's line: weight's share and centripetal, m d a'^2 + m g cos(a).
    speed = 2 * k * cn * dn * w / np.sqrt(1 - (k * sn) ** 2)
    inward = np.stack([0 * angle, np.cos(angle), -np.sin(angle)], -1)
    along = (force[0, :, hip] * inward).sum(-1)
    expected = mass.mass[0, [hip, INDEX["left_shank"], INDEX["left_foot"]]].sum() * G * np.cos(angle)
    expected += distance * speed**2
    np.testing.assert_allclose(along[20:-20], expected[20:-20], rtol=1e-6)


def test_a_driven_leg_needs_the_textbook_moment():
    rate = 200.0
    time = np.arange(200) / rate
    angle, push = 0.7 * np.sin(6 * time), -0.7 * 36 * np.sin(6 * time)
    pose, _ = swinging(angle)
    mass = inertia(people(1))
    _, first, second = leg_about_hip(pose, mass)
    motion = forward(pose, rate, time)
    moment, _ = joint_moments(motion, demand(motion, mass), {})
    # Forward swing is a turn about -x. The centre lies at (y, z) turned forward by the angle.
    ahead = first[2] * np.cos(angle) - first[1] * np.sin(angle)
    expected = second * push + G * ahead
    np.testing.assert_allclose(-moment[0, 10:-10, INDEX["left_thigh"], 0], expected[10:-10], rtol=2e-6, atol=1e-4)


def test_static_moments_are_weights_times_levers():
    """Left arm level ahead, right arm level sideways, the rest upright: by hand."""
    body = people(2)
    mass = inertia(body)
    arms = {f"left_{n}": np.array([-np.pi / 2, 0, 0]) for n in ("upper_arm", "forearm", "hand")}
    arms |= {f"right_{n}": np.array([0, 0, -np.pi / 2]) for n in ("upper_arm", "forearm", "hand")}
    motion = forward(still(arms, body), 30.0, np.arange(5) / 30.0)
    moment, force = joint_moments(motion, demand(motion, mass), {})
    for r in range(2):
        upper, fore = body.upper_arm[r, 0], body.forearm[r, 0]
        for side, axis, sign in ((0, 0, -1.0), (1, 2, -1.0)):
            label = ("left", "right")[side]
            m = {n: mass.mass[r, INDEX[f"{label}_{n}"]] for n in ("upper_arm", "forearm", "hand")}
            d = {n: -mass.centre[r, INDEX[f"{label}_{n}"], 1] for n in ("upper_arm", "forearm", "hand")}
            shoulder = d["upper_arm"] * m["upper_arm"] + (upper[side] + d["forearm"]) * m["forearm"]
            shoulder += (upper[side] + fore[side] + d["hand"]) * m["hand"]
            elbow = d["forearm"] * m["forearm"] + (fore[side] + d["hand"]) * m["hand"]
            for joint, lever in (("upper_arm", shoulder), ("forearm", elbow), ("hand", d["hand"] * m["hand"])):
                got = moment[r, :, INDEX[f"{label}_{joint}"]]
                np.testing.assert_allclose(got[:, axis], sign * G * lever, rtol=1e-9)
                np.testing.assert_allclose(np.delete(got, axis, axis=1), 0.0, atol=1e-9)
            np.testing.assert_allclose(force[r, :, INDEX[f"{label}_upper_arm"], 1], G * sum(m.values()), rtol=1e-9)


def test_a_contact_takes_its_share_off_every_joint_on_the_way():
    """Standing on the left foot alone: the left hip carries all but the leg, with the lever of the rest's weight."""
    body = people(1)
    mass = inertia(body)
    motion = forward(still({}, body), 30.0, np.arange(5) / 30.0)
    needed = demand(motion, mass)
    point = motion.position[:, :, INDEX["left_foot"]] * [1, 0, 1] + [0.02, 0, 0.05]
    whole = total(needed, point)
    moment, force = joint_moments(motion, needed, {"left_foot": [Wrench(whole.force, whole.moment, point)]})
    np.testing.assert_allclose(moment[:, :, 0], 0.0, atol=1e-9)
    np.testing.assert_allclose(force[:, :, 0], 0.0, atol=1e-9)
    leg = [INDEX[f"left_{n}"] for n in ("thigh", "shank", "foot")]
    rest = np.setdiff1d(np.arange(len(LINKS)), leg)
    hip = motion.position[0, 0, INDEX["left_thigh"]]
    weight = mass.mass[0, rest, None] * GRAVITY
    lever = needed.point[0, 0, rest] - hip
    # The leg holds the rest up; the parent's moment on the thigh is what the rest's weight exerts on it.
    np.testing.assert_allclose(moment[0, 0, leg[0]], np.cross(lever, weight).sum(0), atol=1e-9)
    np.testing.assert_allclose(force[0, 0, leg[0]], weight.sum(0), atol=1e-9)
