from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from test_chain import differentiated, stencil

from graphnets.simulation import EXERCISES, Clip, move, person_of
from graphnets.simulation.chain import INDEX, forward
from graphnets.simulation.exercises import CHANNELS, SINES
from graphnets.simulation.imu import IMU
from graphnets.simulation.inverse import JOINTS, invert
from graphnets.simulation.segments import SIDES, inertia
from graphnets.simulation.signals import signals, signals_of

G = 9.81


@cache
def made(exercise: str, mistake: str = "correct", subjects: int = 4):
    motion = move([Clip(exercise, mistake, s, 1) for s in range(1, subjects + 1)], seed=6)
    return motion, signals(motion)


def own(motion, values: np.ndarray) -> list[np.ndarray]:
    """Each repetition's frames alone."""
    return [values[r, :n] for r, n in enumerate(motion.lengths)]


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_the_signals_joints_are_the_motions(exercise):
    motion, out = made(exercise)
    for name in JOINTS:
        x = np.broadcast_to(motion.joints[name], (4, int(motion.lengths.max()), 3))
        for mine, theirs in zip(own(motion, out.joints[name]), own(motion, x), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-9)


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_forces_balance_momentum_at_every_frame(exercise):
    """Contacts, weight and residual against the momentum of the chain, differenced from the spline on a fine grid."""
    motion, _ = made(exercise)
    fps, body = motion.fps, motion.body
    pose, mass = invert(motion.joints), inertia(body)
    frames = int(motion.lengths.min())
    pose = type(pose)(pose.quaternion[:, :frames], pose.root[:, :frames], pose.offset, pose.tip)
    time = np.arange(frames) / fps
    active = {
        k: v[:, :frames] for k, v in motion.exercise.contacts(body, motion.controls, np.tile(time, (4, 1))).items()
    }
    out = signals_of(pose, body, fps, active)

    def momentum(times):
        m = forward(pose, fps, times)
        arm = np.einsum("rtlij,rlj->rtli", m.rotation, mass.centre)
        linear = mass.mass[:, None, :, None] * (m.velocity + np.cross(m.omega, arm))
        tensor = np.einsum("rtlij,rlj,rtlkj->rtlik", m.rotation, mass.moments, m.rotation)
        angular = np.cross(m.position + arm, linear) + np.einsum("rtlij,rtlj->rtli", tensor, m.omega)
        return np.concatenate([linear.sum(2), angular.sum(2)], axis=-1), m.position + arm

    # Frames are knots, where the fifth derivative jumps: the differences take small steps.
    middle = time[6:-6]
    rate = differentiated(momentum(stencil(middle, 1e-4))[0], 1e-4)
    centre = momentum(middle)[1]
    weight = mass.mass[:, None, :, None] * np.array([0.0, -G, 0.0])
    needed = rate - np.concatenate(
        [weight.sum(2) + 0 * rate[..., :3], np.cross(centre, weight + 0 * centre).sum(2)], -1
    )
    given = np.zeros_like(needed)
    for name, force in out.force.items():
        f = force[:, 6:-6]
        at = np.nan_to_num(out.centre[name])[:, 6:-6]
        firm = ~np.isnan(out.centre[name][:, 6:-6, :1]) | np.all(f == 0.0, axis=-1, keepdims=True)
        given[..., :3] += f
        moment = np.cross(at, f)
        moment[..., 1] += out.twist[name][:, 6:-6]
        given[..., 3:] += np.where(firm, moment, np.nan)
    root = out.joints["pelvis"][:, 6:-6]
    rest = out.residual[:, 6:-6]
    given[..., :3] += rest[..., :3]
    given[..., 3:] += rest[..., 3:] + np.cross(root, rest[..., :3])
    scale = np.abs(needed[..., :3]).max()
    assert np.abs(given[..., :3] - needed[..., :3]).max() / scale < 1e-6
    lever = np.nanmax(np.abs(given[..., 3:] - needed[..., 3:])) / np.abs(needed[..., 3:]).max()
    assert lever < 1e-6
    assert np.isfinite(given[..., 3:]).mean() > 0.05  # elsewhere a loaded contact has no centre of pressure


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_nothing_is_left_over_while_something_fully_supports(exercise):
    motion, out = made(exercise)
    time = np.arange(int(motion.lengths.max())) / motion.fps
    active = motion.exercise.contacts(motion.body, motion.controls, np.tile(time, (4, 1)))
    full = np.max(list(active.values()), axis=0) == 1.0
    assert full.mean() > 0.5
    # Nobody pulls but whoever is held: where the body would have to be pulled down, as before a jump, nothing is given.
    vertical = np.stack([f[..., 1] for n, f in out.force.items() if n not in motion.exercise.held], -1)
    assert vertical.size == 0 or vertical.min() >= 0
    if exercise == "jumping_jack":
        idle = full & np.all([f == 0 for f in out.force.values()], axis=(0, -1))
        assert 0 < idle.mean() < 0.05 and np.all(out.residual[idle][:, 1] < 0)
        full &= ~idle
    np.testing.assert_allclose(out.residual[full], 0.0, atol=1e-8)
    np.testing.assert_allclose(out.moment[:, :, INDEX["pelvis"]], out.residual[..., 3:], atol=1e-12)


def test_mean_vertical_force_over_a_cycle_is_body_weight():
    """Squats in a row without noise: the middle one of three is one period."""
    exercise, body = EXERCISES["squat"], person_of(2, 1).body
    motion = move([Clip("squat", "correct", 1, 1)], seed=2)
    controls = dict(motion.controls) | {"unsteady": np.zeros((1, 1)), "duration": np.full((1, 1), 2.5)}
    fps, period = 40.0, 100
    frames = np.arange(3 * period + 1)
    joints = exercise.perform(body, controls, (frames % period)[None] / fps, np.zeros((1, len(CHANNELS), SINES, 2)))
    out = signals_of(invert(joints), body, fps, {f"{s}_foot": np.ones((1, len(frames))) for s in SIDES})
    vertical = sum(force[0, period : 2 * period, 1] for force in out.force.values())
    assert vertical.mean() == pytest.approx(body.mass[0, 0] * G, rel=1e-3)
    assert np.ptp(vertical) > 0.1 * body.mass[0, 0] * G


def test_in_flight_a_jumpers_feet_bear_nothing_and_what_remains_is_reported():
    motion, out = made("jumping_jack")
    weight = motion.body.mass[:, 0] * G
    for r, n in enumerate(motion.lengths):
        vertical = sum(force[r, :n, 1] for force in out.force.values())
        assert (vertical == 0).sum() >= 6
        assert np.all(np.isnan(out.centre["left_foot"][r, :n][vertical == 0][:, [0, 2]]))
        assert vertical.max() < 4.5 * weight[r]


def test_hands_carry_most_of_a_push_up():
    """Published: 69 % of body weight up, 75 % down (Suprak et al., J. Strength Cond. Res. 25(2), 2011)."""
    motion, out = made("push_up")
    for r, n in enumerate(motion.lengths):
        hands = sum(out.force[f"{s}_hand"][r, :n, 1] for s in SIDES) / (motion.body.mass[r, 0] * G)
        assert 0.6 < hands[0] < 0.8


def test_a_squats_forces_and_moments_are_human():
    motion, out = made("squat", subjects=4)
    for r, n in enumerate(motion.lengths):
        vertical = sum(f[r, :n, 1] for f in out.force.values()) / (motion.body.mass[r, 0] * G)
        assert 0.7 < vertical.min() < 0.97 < 1.03 < vertical.max() < 1.35
        for side in SIDES:
            assert 0.5 < out.kfm[side][r, :n].max() < 1.7
            assert np.abs(out.kam[side][r, :n]).max() < 0.5


def test_frames_after_the_end_and_longer_company_change_nothing():
    clips = [Clip("squat", "correct", s, 1) for s in (1, 2, 3)]
    together = signals(move(clips, seed=6), seed=6)
    for r, clip in enumerate(clips):
        motion = move([clip], seed=6)
        alone, n = signals(motion, seed=6), int(motion.lengths[0])
        for name in ("left_foot", "right_foot"):
            np.testing.assert_allclose(together.force[name][r, :n], alone.force[name][0], atol=1e-7)
        np.testing.assert_allclose(together.kfm["left"][r, :n], alone.kfm["left"][0], atol=1e-9)
        read, own_read = together.imus[100.0], alone.imus[100.0]
        k = len(own_read.time)
        np.testing.assert_allclose(read.accelerometer[r, :k], own_read.accelerometer[0], atol=1e-8)


def test_sensors_of_different_rates_follow_the_seed_and_may_be_left_out():
    motion = move([Clip("squat", "correct", 1, 1), Clip("squat", "correct", 2, 1)], seed=6)
    sensors = [IMU("head", rate=50.0), IMU("pelvis", rate=128.0), IMU("left_foot", rate=50.0)]
    a, b, c = (signals(motion, seed, sensors) for seed in (0, 0, 1))
    assert set(a.imus) == {50.0, 128.0} and a.imus[50.0].accelerometer.shape[2] == 2
    end = (motion.lengths.max() - 1) / motion.fps
    assert end - 1 / 128 < a.imus[128.0].time[-1] <= end + 1e-9
    np.testing.assert_array_equal(a.imus[50.0].gyroscope, b.imus[50.0].gyroscope)
    assert np.abs(a.imus[50.0].gyroscope - c.imus[50.0].gyroscope).max() > 1e-4
    assert signals(motion, imus=()).imus == {}


def test_local_moments_are_the_same_vectors():
    _, out = made("squat")
    np.testing.assert_allclose((out.local_moment**2).sum(-1), (out.moment**2).sum(-1), atol=1e-9)
    knee = INDEX["left_shank"]
    at = 40
    np.testing.assert_allclose(
        out.motion.rotation[0, at, knee] @ out.local_moment[0, at, knee], out.moment[0, at, knee], atol=1e-9
    )


@pytest.mark.parametrize("mistake", ["correct", *EXERCISES["walking"].mistakes])
def test_walking_is_human_as_stores_record_it(mistake):
    """At 30 frames a second, first and last frames included: every frame of every person, not their median."""
    clips = [Clip("walking", mistake, subject, 1) for subject in range(1, 13)]
    for seed in (0, 7):
        motion = move(clips, seed, 30.0)
        out = signals(motion, seed)
        weight = motion.body.mass * G
        for i, n in enumerate(motion.lengths):
            vertical = np.stack([f[i, :n, 1] for f in out.force.values()]) / weight[i, 0]
            level = np.stack([np.hypot(f[i, :n, 0], f[i, :n, 2]) for f in out.force.values()]) / weight[i, 0]
            assert vertical.min() >= 0 and vertical.max() < 1.9
            assert level.max() < 0.8  # when a foot lands; people brake with about a quarter of body weight
            assert max(np.abs(k[i, :n]).max() for k in out.kfm.values()) < 2.6
            assert max(np.abs(k[i, :n]).max() for k in out.kam.values()) < 1.6
        samples = ((motion.lengths - 1) / 30.0 * 100 + 1e-9).astype(int) + 1
        felt = [np.linalg.norm(out.imus[100.0].accelerometer[i, :n], axis=-1).max() for i, n in enumerate(samples)]
        assert max(felt) < 160
