from __future__ import annotations

import numpy as np
import pytest

from graphnets.simulation import MODALITIES, VIEWS, Clip, Setup, move, render
from graphnets.simulation.camera import Camera, aim
from graphnets.simulation.chain import forward, with_ancestors
from graphnets.simulation.generate import AT_ONCE, groups
from graphnets.simulation.imu import IMU, ideal
from graphnets.simulation.inverse import invert
from graphnets.simulation.landmarks import landmarks, possible
from graphnets.simulation.signals import signals
from graphnets.simulation.worn import askew, sensor_skeleton, worn
from graphnets.skeleton import Skeleton

CLIPS = [Clip("squat", "correct", s, 1) for s in (1, 2, 3)]
NO_ERRORS = {
    "accelerometer_noise": 0.0,
    "gyroscope_noise": 0.0,
    "accelerometer_bias": 0.0,
    "gyroscope_bias": 0.0,
}


def moving(clips=CLIPS):
    motion = move(clips)
    frames = int(motion.lengths.max())
    return motion, forward(invert(motion.joints), motion.fps, np.arange(frames) / motion.fps, lengths=motion.lengths)


def test_streams_are_the_signals_in_the_units_of_the_card():
    made = render(CLIPS, seed=3, setup=Setup(MODALITIES))
    motion = move(CLIPS, seed=3)
    out = signals(motion, seed=3, imus=())
    for i, r in enumerate(made):
        n, mass = int(motion.lengths[i]), float(motion.body.mass[i, 0])
        assert list(r.streams) == list(MODALITIES) and r.mass == mass
        grf = r.streams["grf"].values
        np.testing.assert_allclose(grf[:, 1] * mass * 9.81, out.force["right_foot"][i, :n], atol=0.01)
        np.testing.assert_array_equal(grf[:, 2:], 0.0)
        np.testing.assert_allclose(r.streams["knee_moment"].values[:, 0, 1], out.kam["left"][i, :n], atol=1e-6)
        np.testing.assert_allclose(r.streams["knee_moment"].values[:, 1, 0], out.kfm["right"][i, :n], atol=1e-6)
        np.testing.assert_allclose(
            np.linalg.norm(r.streams["moment"].values[:, 5], axis=-1) * mass,
            np.linalg.norm(out.moment[i, :n, 14], axis=-1),
            atol=1e-3,
        )
        cop, mask = r.streams["cop"].values, r.streams["cop"].mask
        assert np.isfinite(cop).all() and mask[:, :2].any() and not mask[:, 2:].any()
        np.testing.assert_allclose(cop[mask[:, 0], 0], out.centre["left_foot"][i, :n][mask[:, 0]], atol=1e-6)


@pytest.mark.parametrize("name", MODALITIES)
def test_a_modality_does_not_depend_on_which_others_are_recorded(name):
    whole, alone = render(CLIPS, setup=Setup(MODALITIES)), render(CLIPS, setup=Setup((name,)))
    for a, b in zip(whole, alone, strict=True):
        assert list(b.streams) == [name]
        np.testing.assert_allclose(a.streams[name].values, b.streams[name].values, atol=2e-4)


def test_views_stand_ninety_degrees_apart_and_see_the_same_body():
    made = render([Clip("squat", "correct", s, 1) for s in range(1, 7)], setup=Setup(("pose", *VIEWS), distortion=0.0))
    for r in made:
        place = np.array([r.azimuths[v] for v in VIEWS])
        turn = (np.diff(place) + 180) % 360 - 180
        assert np.all(np.abs(turn - 90) < 25)
        # In opposite views left and right change sides.
        front, back = r.streams["pose2d"].values, r.streams["pose2d_back"].values
        both = r.streams["pose2d"].mask[:, [4, 8]].all(1) & r.streams["pose2d_back"].mask[:, [4, 8]].all(1)
        wide = (front[:, 4, 0] - front[:, 8, 0])[both], (back[:, 4, 0] - back[:, 8, 0])[both]
        if abs(wide[0].mean()) > 30:
            assert wide[0].mean() * wide[1].mean() < 0


def test_distortion_moves_a_ray_by_the_cube_of_its_distance():
    straight, bent = (Camera(0.3, 4.0, 1.2, 0.9, 1000.0, k) for k in (0.0, -0.1))
    points = np.random.default_rng(0).uniform((-1, 0, -1), (1, 2, 1), (1, 50, 3))
    (a, _), (b, _) = aim([straight]).project(points), aim([bent]).project(points)
    ray = (a[0] - [640, 360]) / 1000.0
    expected = ray * (1 - 0.1 * (ray**2).sum(-1, keepdims=True))
    np.testing.assert_allclose((b[0] - [640, 360]) / 1000.0, expected, atol=1e-12)


def test_some_links_move_as_in_the_whole_chain():
    motion = move(CLIPS)
    pose, times = invert(motion.joints), np.arange(60) / 50.0
    whole, some = (forward(pose, motion.fps, times, lengths=motion.lengths, links=x) for x in (None, ["left_hand"]))
    assert some.links == ("pelvis", "thorax", "left_upper_arm", "left_forearm", "left_hand", "left_clavicle")
    assert some.links == with_ancestors(["left_hand"])
    for i, link in enumerate(some.links):
        for name in ("rotation", "omega", "alpha", "position", "velocity", "acceleration"):
            np.testing.assert_allclose(
                getattr(some, name)[:, :, i], getattr(whole, name)[:, :, whole.links.index(link)], atol=1e-11
            )


def test_a_tilted_sensor_reads_the_same_vector_in_its_own_frame():
    _, motion = moving()
    sensors = [IMU("left_shank", (0.0, -0.1, 0.05), **NO_ERRORS), IMU("head", **NO_ERRORS)]
    tilt = np.stack([askew(np.random.default_rng(s), 2, 10.0) for s in range(3)])
    straight, tilted = ideal(motion, sensors), ideal(motion, sensors, tilt)
    np.testing.assert_allclose(np.matmul(tilt, tilt.swapaxes(-1, -2)) - np.eye(3), 0.0, atol=1e-12)
    for name in ("accelerometer", "gyroscope"):
        back = np.einsum("rkij,rskj->rski", tilt, getattr(tilted, name))
        np.testing.assert_allclose(back, getattr(straight, name), atol=1e-9)
    angle = np.degrees(np.arccos((np.trace(tilt, axis1=-2, axis2=-1) - 1) / 2))
    assert 2 < angle.mean() < 40


def len_of(recording) -> int:
    return round(recording.duration * 30) + 1


def test_a_standing_wearer_reads_gravity_along_y():
    made = render(CLIPS, setup=Setup(("imu",), imu_rate=50.0, askew=0.0))
    for r in made:
        imu = r.streams["imu"]
        assert imu.fps == 50.0 and len(imu.values) == int((len_of(r) - 1) / 30 * 50 + 1e-9) + 1
        np.testing.assert_allclose(imu.values[0, 4, :3], [0.0, 9.8, 0.0], atol=1.5)  # waist


def test_sensors_hang_on_the_nearest_one_inwards():
    skeleton = sensor_skeleton(["waist", "left_wrist", "left_upper_arm", "right_foot", "right_wrist"])
    parent = {skeleton.joints[c]: skeleton.joints[p] for c, p in enumerate(skeleton.parents) if p >= 0 and p != c}
    assert parent == {
        "left_wrist": "left_upper_arm",
        "left_upper_arm": "waist",
        "right_foot": "waist",
        "right_wrist": "waist",
    }
    assert sensor_skeleton() == Skeleton.load("tan_imu8")
    assert [s.segment for s in worn(["waist", "left_wrist"])] == ["pelvis", "left_forearm"]
    with pytest.raises(ValueError, match="no sensor can be worn at 'tail'"):
        worn(["tail"])


def test_every_built_in_body_but_vicons_can_be_had():
    sensors_or_markers = {"vicon39", "tan_imu8", "imu_axes6", "mhad_imu6", "mmact_axes9", "kinetics5"}
    has_collars = {"kinect22"}
    assert set(possible()) == set(Skeleton.available()) - sensors_or_markers - has_collars
    motion, chain = moving([Clip("calf_raise", "correct", s, 1) for s in (1, 2)])
    for name in possible():
        skeleton = Skeleton.load(name)
        points = landmarks(chain, motion.body, skeleton)
        assert points.shape == (*chain.position.shape[:2], skeleton.num_joints, 3) and np.isfinite(points).all()
        for i, joint in enumerate(skeleton.joints):
            if joint in motion.joints and joint != "head":
                np.testing.assert_allclose(points[0, :40, i], motion.joints[joint][0, :40], atol=1e-9)
        for left, right in skeleton.mirror_pairs:
            # Someone who stands faces 'heading': left lies to the left.
            h = motion.controls["heading"][:, 0]
            across = (points[:, 0, left] - points[:, 0, right]) * np.stack([np.cos(h), 0 * h, -np.sin(h)], -1)
            assert (across.sum(-1) > 0).all(), (name, skeleton.joints[left])
    for name in sensors_or_markers:
        with pytest.raises(ValueError, match="the simulated body has not"):
            landmarks(chain, motion.body, Skeleton.load(name))


def test_face_and_heels_are_where_they_belong():
    motion, chain = moving([Clip("calf_raise", "correct", 1, 1)])
    place = {
        n: landmarks(chain, motion.body, Skeleton.load(s))[0, 0, Skeleton.load(s).index(n)]
        for s, names in {
            "body25": ["nose", "left_eye", "left_ear", "left_heel", "left_big_toe", "left_small_toe"],
            "h36m17": ["head", "neck"],
        }.items()
        for n in names
    }
    height, head = float(motion.body.height[0, 0]), motion.joints["head"][0, 0]
    assert place["head"][1] == pytest.approx(height, rel=0.04)  # the top of the head, after the skeleton's meaning
    assert place["neck"][1] < head[1] < place["left_eye"][1] < place["head"][1]
    assert -0.02 < place["left_heel"][1] < 0.06 and -0.02 < place["left_big_toe"][1] < 0.06
    ahead = (place["nose"] - head) @ (place["left_big_toe"] - place["left_heel"])
    assert ahead > 0


def test_groups_are_bounded_whole_and_in_the_order_of_the_plan():
    made = list(groups(2, 9, ["squat"]))
    assert max(map(len, made)) == AT_ONCE and sum(map(len, made)) == 2 * 9 * 4
    skip = {c.id for c in made[0]} | {made[1][0].id}
    assert list(groups(2, 9, ["squat"], skip)) == made[1:]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"modalities": ("posse",)}, "no modality 'posse'; allowed are pose, pose2d"),
        ({"modalities": ()}, "at least one"),
        ({"skeleton": "vicon39"}, "skeleton is 'vicon39'; allowed are body20"),
        ({"distortion": -1.0}, "distortion is -1.0; allowed are 0 to 0.2"),
        ({"imu_rate": 0.0}, "imu_rate is 0.0"),
        ({"askew": 90.0}, "askew is 90.0"),
        ({"sensors": ()}, "at least one"),
    ],
)
def test_setups_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Setup(**arguments)
