from __future__ import annotations

import numpy as np
import pytest
from chains import people, random_pose, still
from scipy.integrate import solve_ivp
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from graphnets.simulation.chain import INDEX, forward
from graphnets.simulation.imu import IMU, ideal, measure
from graphnets.simulation.segments import LINKS

MOUNTING = tuple(map(tuple, Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()))
PERFECT = {"accelerometer_noise": 0.0, "gyroscope_noise": 0.0, "accelerometer_bias": 0.0, "gyroscope_bias": 0.0}


def sources(n):
    return [np.random.default_rng(i) for i in range(n)]


def test_at_rest_a_sensor_reads_one_g_upwards():
    lean = Rotation.from_rotvec([0.4, 0.1, -0.2])
    motion = forward(still({"thorax": lean.as_rotvec()}, people(2)), 30.0, np.arange(10) / 30.0)
    sensors = [IMU("thorax", (0.1, 0.2, 0.3), **PERFECT), IMU("thorax", (0.0, 0.1, 0.0), MOUNTING, **PERFECT)]
    read = measure(motion, sensors, sources(2))
    up = lean.inv().apply([0.0, 9.81, 0.0])
    np.testing.assert_allclose(read.accelerometer[:, :, 0], up + 0 * read.accelerometer[:, :, 0], atol=1e-9)
    mounted = np.array(MOUNTING).T @ up
    np.testing.assert_allclose(read.accelerometer[:, :, 1], mounted + 0 * read.accelerometer[:, :, 0], atol=1e-9)
    np.testing.assert_allclose(read.gyroscope, 0.0, atol=1e-9)


def test_in_free_fall_it_reads_nothing_wherever_it_sits_and_only_the_spin_if_it_tumbles():
    time = np.arange(30) / 60.0
    pose = still({}, people(1), frames=30)
    pose.root[..., 1] += 2.0 * time - 0.5 * 9.81 * time**2
    pose.root[..., 2] += 0.7 * time
    sensors = [IMU("left_foot", (0.0, 0.1, 0.2), MOUNTING), IMU("head", (0.1, 0.1, 0.1)), IMU("pelvis")]
    read = ideal(forward(pose, 60.0, time), sensors)
    np.testing.assert_allclose(read.accelerometer, 0.0, atol=1e-7)
    spin = Rotation.from_rotvec(time[:, None] * [0.0, 0.0, 3.0]).as_quat(scalar_first=True)
    pose.quaternion[:] = spin[None, :, None]
    read = ideal(forward(pose, 60.0, time), [*sensors, IMU("pelvis", (0.2, 0.0, 0.0))])
    np.testing.assert_allclose(read.accelerometer[:, :, 2], 0.0, atol=1e-4)
    np.testing.assert_allclose(read.gyroscope[:, :, 2], [[[0.0, 0.0, 3.0]] * 30], atol=1e-4)
    # Away from the axis: centripetal, w^2 r inwards.
    np.testing.assert_allclose(read.accelerometer[0, :, 3], [[-9.0 * 0.2, 0.0, 0.0]] * 30, atol=2e-3)


def test_integrating_the_gyroscope_returns_the_orientation():
    pose = random_pose(n=1, knots=40)
    time = np.arange(1301) / 1000.0
    motion = forward(pose, 30.0, time)
    for segment in ("left_forearm", "pelvis", "right_foot"):
        read = ideal(motion, [IMU(segment, mounting=MOUNTING)])
        rate = make_interp_spline(time, read.gyroscope[0, :, 0], k=5)

        def turning(t, m, rate=rate):
            x, y, z = rate(t)
            return (m.reshape(3, 3) @ [[0, -z, y], [z, 0, -x], [-y, x, 0]]).ravel()

        start = motion.rotation[0, 0, INDEX[segment]] @ MOUNTING
        end = solve_ivp(turning, (0, 1.3), start.ravel(), rtol=1e-10, atol=1e-12).y[:, -1].reshape(3, 3)
        expected = motion.rotation[0, -1, INDEX[segment]] @ MOUNTING
        assert np.degrees(Rotation.from_matrix(end @ expected.T).magnitude()) < 1e-4


def test_integrating_the_accelerometer_twice_returns_the_path():
    pose = random_pose(n=1, knots=40)
    time = np.arange(1301) / 1000.0
    motion = forward(pose, 30.0, time)
    sensor = IMU("right_hand", (0.02, -0.05, 0.03), MOUNTING)
    read = ideal(motion, [sensor])
    i = INDEX["right_hand"]
    turn = motion.rotation[0, :, i] @ np.array(MOUNTING)
    push = make_interp_spline(
        time, np.einsum("tij,tj->ti", turn, read.accelerometer[0, :, 0]) + np.array([0, -9.81, 0]), k=5
    )
    local = np.zeros((1, len(LINKS), 3))
    local[0, i] = sensor.position
    path = motion.point(local)[0][0, :, i]
    speed = motion.velocity[0, 0, i] + np.cross(motion.omega[0, 0, i], motion.rotation[0, 0, i] @ sensor.position)
    twice = push.antiderivative(2)
    np.testing.assert_allclose(
        path[0] + speed * 1.3 + twice(1.3) - twice(0) - push.antiderivative()(0) * 1.3, path[-1], atol=1e-6
    )


def test_errors_have_their_sizes():
    motion = forward(still({}, people(1), 40), 30.0, np.arange(1300) / 1000.0)
    motion = type(motion)(**{k: (v if k in ("time", "links") else v.repeat(300, 0)) for k, v in vars(motion).items()})
    sensor = IMU(
        "head", accelerometer_noise=2e-3, gyroscope_noise=1e-4, accelerometer_bias=0.1, gyroscope_bias=0.02, rate=1000.0
    )
    read = measure(motion, [sensor], sources(300))
    for values, noise, bias, rest in (
        (read.accelerometer, 2e-3, 0.1, [0, 9.81, 0]),
        (read.gyroscope, 1e-4, 0.02, [0, 0, 0]),
    ):
        mean = values[:, :, 0].mean(1) - rest
        assert mean.std() == pytest.approx(bias, rel=0.1)
        assert abs(mean.mean()) < 0.2 * bias
        assert (values[:, :, 0] - values[:, :, 0].mean(1, keepdims=True)).std() == pytest.approx(
            noise * np.sqrt(1000), rel=0.02
        )


def test_readings_are_clipped_and_follow_from_their_source():
    pose = random_pose(n=2)
    motion = forward(pose, 30.0, np.arange(40) / 30.0)
    sensor = IMU("left_hand", accelerometer_range=20.0, gyroscope_range=4.0)
    read = measure(motion, [sensor, IMU("head")], sources(2))
    assert np.abs(read.accelerometer[:, :, 0]).max() == 20.0 and np.abs(read.gyroscope[:, :, 0]).max() == 4.0
    assert np.abs(ideal(motion, [sensor]).accelerometer).max() > 21
    again = measure(motion, [sensor, IMU("head")], sources(2))
    np.testing.assert_array_equal(read.gyroscope, again.gyroscope)
    other = measure(motion, [sensor, IMU("head")], sources(3)[1:])
    assert np.abs(read.gyroscope - other.gyroscope).max() > 1e-4


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"segment": "tail"}, "'tail'; allowed are pelvis"),
        ({"mounting": ((2.0, 0, 0), (0, 1, 0), (0, 0, 1))}, "rotation"),
        ({"rate": 0.0}, "rate"),
    ],
)
def test_impossible_sensors_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        IMU(**({"segment": "head"} | change))


def test_sensors_of_several_rates_are_refused():
    motion = forward(still({}, people(1)), 30.0, np.arange(5) / 30.0)
    with pytest.raises(ValueError, match="one rate"):
        measure(motion, [IMU("head", rate=50.0), IMU("head")], sources(1))
