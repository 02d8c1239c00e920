from __future__ import annotations

import numpy as np
import pytest

from graphnets.simulation import Clip, move
from graphnets.simulation.chain import INDEX
from graphnets.simulation.imu import IMU
from graphnets.simulation.recorded import as_motion, filtered, upright
from graphnets.simulation.signals import signals
from graphnets.skeleton import Skeleton

KINECT = Skeleton.load("kinect20")
FREE = {"accelerometer_noise": 0.0, "gyroscope_noise": 0.0, "accelerometer_bias": 0.0, "gyroscope_bias": 0.0}
SENSORS = (IMU("right_forearm", (0.0, -0.2, 0.03), rate=50.0, **FREE), IMU("pelvis", rate=50.0, **FREE))


def simulated(exercise="squat", noise=0.0):
    motion = move([Clip(exercise, "correct", 1, 1)], seed=6)
    x = motion.stack(KINECT.joints)[0]
    return motion, x + noise * np.random.default_rng(0).standard_normal(x.shape)


def rms(a, b) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


@pytest.mark.parametrize("exercise", ["squat", "biceps_curl"])
def test_noise_free_joints_give_the_signals_of_the_simulation(exercise):
    motion, x = simulated(exercise)
    true = signals(motion, imus=SENSORS)
    found = as_motion(x, KINECT, motion.fps, float(motion.body.mass[0, 0]), float(motion.body.male[0, 0]), imus=SENSORS)
    assert found.error < 0.005
    assert rms(found.signals.imus[50.0].accelerometer[:, 10:-10], true.imus[50.0].accelerometer[:, 10:-10]) < 0.35
    weight = float(motion.body.mass[0, 0]) * 9.81
    for side in ("left", "right"):
        mine, theirs = found.signals.force[f"{side}_foot"], true.force[f"{side}_foot"]
        assert rms(mine[:, 5:-5], theirs[:, 5:-5]) < 0.02 * weight
        assert rms(found.signals.kfm[side][:, 5:-5], true.kfm[side][:, 5:-5]) < 0.12


def test_joints_of_one_centimetre_noise_still_give_forces_and_sensors():
    """Measured: force 2.4 % of body weight, acceleration 0.8 m/s^2, rate 0.3 rad/s, KFM 0.11 N m/kg (correlation 0.8)."""
    motion, x = simulated(noise=0.01)
    mass = float(motion.body.mass[0, 0])
    true = signals(motion, imus=SENSORS)
    found = as_motion(x, KINECT, motion.fps, mass, float(motion.body.male[0, 0]), cutoff=3.0, imus=SENSORS)
    inner = slice(15, -15)
    read, ideal = found.signals.imus[50.0], true.imus[50.0]
    vertical = [sum(f[:, inner, 1] for f in s.force.values()) for s in (found.signals, true)]
    figures = {
        "force": rms(*vertical) / (mass * 9.81),
        "acceleration": rms(read.accelerometer[:, inner], ideal.accelerometer[:, inner]),
        "rate": rms(read.gyroscope[:, inner], ideal.gyroscope[:, inner]),
        "kfm": rms(found.signals.kfm["left"][:, inner], true.kfm["left"][:, inner]),
    }
    limits = {"force": 0.04, "acceleration": 1.1, "rate": 0.45, "kfm": 0.16}
    assert all(figures[name] < limit for name, limit in limits.items()), figures
    rate = [r.gyroscope[0, inner].ravel() for r in (read, ideal)]
    assert np.corrcoef(*rate)[0, 1] > 0.85


@pytest.mark.parametrize(("up", "unit"), [("z", 0.001), ("-y", 1.0), ("-x", 1.0), ("x", 1.0), ("-z", 1.0)])
def test_heading_axes_and_units_change_nothing_but_the_frame(up, unit):
    motion, x = simulated()
    base = as_motion(x, KINECT, motion.fps, 70.0, imus=())
    back = {u: upright(np.eye(3), u) for u in [up]}[up]  # rows: images of the unit vectors
    spin = np.radians(70.0)
    turn = np.array([[np.cos(spin), 0, np.sin(spin)], [0, 1, 0], [-np.sin(spin), 0, np.cos(spin)]])
    other = as_motion((x @ turn.T) @ back.T / unit, KINECT, motion.fps, 70.0, up=up, unit=unit, imus=())
    np.testing.assert_allclose(np.linalg.det(back), 1.0)
    np.testing.assert_allclose(other.signals.kfm["left"], base.signals.kfm["left"], atol=0.02)
    np.testing.assert_allclose(
        other.signals.force["left_foot"][..., 1], base.signals.force["left_foot"][..., 1], atol=5
    )
    np.testing.assert_allclose(other.body.height, base.body.height, rtol=1e-9)


@pytest.mark.parametrize("name", ["h36m17", "body25", "coco17"])
def test_joints_that_a_skeleton_lacks_are_estimated(name):
    from test_streams import moving

    from graphnets.simulation.landmarks import landmarks

    motion, chain = moving([Clip("squat", "correct", 1, 1)])
    skeleton = Skeleton.load(name)
    found = as_motion(landmarks(chain, motion.body, skeleton)[0], skeleton, motion.fps, 70.0, imus=())
    vertical = sum(f[0, 5:-5, 1] for f in found.signals.force.values())
    assert vertical.mean() == pytest.approx(70.0 * 9.81, rel=0.03)
    true = signals(motion, imus=())
    shank = INDEX["left_shank"]
    assert np.median(np.linalg.norm(found.signals.motion.position - true.motion.position, axis=-1)[..., shank]) < 0.03


def test_the_filter_keeps_slow_and_stops_fast_waves():
    t = np.arange(300) / 30.0
    slow, fast, edge = (np.sin(2 * np.pi * f * t) for f in (0.5, 14.0, 6.0))
    inner = slice(60, -60)
    np.testing.assert_allclose(filtered(slow, 30.0, 6.0)[inner], slow[inner], atol=0.01)
    assert np.abs(filtered(fast, 30.0, 6.0)[inner]).max() < 0.01
    assert rms(filtered(edge, 30.0, 6.0)[inner], 0.0) / rms(edge[inner], 0.0) == pytest.approx(np.sqrt(0.5), abs=0.01)


def test_what_can_not_be_fitted_is_refused():
    _, x = simulated()
    with pytest.raises(ValueError, match="expected"):
        as_motion(x[:, :5], KINECT, 30.0)
    x[3, 4] = np.nan
    with pytest.raises(ValueError, match="gaps"):
        as_motion(x, KINECT, 30.0)
    with pytest.raises(ValueError, match="joints lack left_elbow"):
        some = KINECT.subset([j for j in KINECT.joints if j != "left_elbow" and j != "left_wrist" and j != "left_hand"])
        as_motion(np.random.default_rng(0).random((9, some.num_joints, 3)), some, 30.0)
