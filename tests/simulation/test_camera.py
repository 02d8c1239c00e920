from __future__ import annotations

import numpy as np
import pytest

from graphnets.simulation import CORRECT, Camera, Clip, Detector, aim, draw_camera, move, render
from graphnets.simulation.camera import HEIGHT, WIDTH
from graphnets.simulation.streams import Setup, cast_cameras
from graphnets.skeleton import Skeleton

JOINTS = Skeleton.load("kinect20").joints


def camera_matrix(camera: Camera) -> np.ndarray:
    """A 3 x 4 projection matrix, put together the textbook way: K [R | -R c]."""
    centre = np.array(
        [camera.distance * np.sin(camera.azimuth), camera.height, camera.distance * np.cos(camera.azimuth)]
    )
    ahead = np.array([0.0, camera.target, 0.0]) - centre
    ahead = ahead / np.linalg.norm(ahead)
    down = np.array([0.0, -1.0, 0.0]) - np.dot([0.0, -1.0, 0.0], ahead) * ahead
    down = down / np.linalg.norm(down)
    turn = np.stack([np.cross(down, ahead), down, ahead])
    k = np.array([[camera.focal, 0.0, WIDTH / 2], [0.0, camera.focal, HEIGHT / 2], [0.0, 0.0, 1.0]])
    assert np.linalg.det(turn) == pytest.approx(1.0)
    return k @ np.hstack([turn, -turn @ centre[:, None]])


def test_projection_matches_homogeneous_coordinates():
    rng = np.random.default_rng(0)
    cameras = [draw_camera(rng, rng, 0.9) for _ in range(6)]
    points = rng.uniform((-1, 0, -1), (1, 2, 1), (6, 7, 5, 3))
    pixels, depth = aim(cameras).project(points)
    for i, camera in enumerate(cameras):
        homogeneous = np.concatenate([points[i], np.ones((7, 5, 1))], -1) @ camera_matrix(camera).T
        np.testing.assert_allclose(pixels[i], homogeneous[..., :2] / homogeneous[..., 2:], atol=1e-9)
        np.testing.assert_allclose(depth[i], homogeneous[..., 2], atol=1e-12)


def test_a_camera_in_front_sees_the_left_side_on_its_right_and_the_head_above():
    front = Camera(azimuth=0.0, distance=4.0, height=1.2, target=0.9, focal=1000.0)
    people = move([Clip("arm_raise", CORRECT, 1, 1)])
    pixels, _ = aim([front]).project(people.stack(JOINTS))
    place = dict(zip(JOINTS, pixels[0, 0], strict=True))
    assert place["left_shoulder"][0] > place["right_shoulder"][0]
    assert place["head"][1] < place["pelvis"][1] < place["left_ankle"][1]
    middle, _ = aim([front]).project(np.array([[[0.0, 0.9, 0.0]]]))
    np.testing.assert_allclose(middle, [[[WIDTH / 2, HEIGHT / 2]]])


def test_what_lies_behind_the_camera_is_refused():
    view = aim([Camera(0.0, 4.0, 1.2, 0.9, 1000.0)])
    with pytest.raises(ValueError, match="in front of the camera"):
        view.project(np.array([[[0.0, 1.0, 5.0]]]))


def clips(exercise: str = "squat", subjects: int = 12):
    return render([Clip(exercise, CORRECT, s, 1) for s in range(1, subjects + 1)], seed=3)


def test_what_is_missed_is_zero_and_what_is_found_lies_in_the_picture_with_a_confidence():
    for r in clips("push_up"):
        assert r.pose2d.shape == (*r.pose.shape[:2], 3) and r.pose2d_mask.shape == r.pose.shape[:2]
        assert np.all(r.pose2d[~r.pose2d_mask] == 0)
        found = r.pose2d[r.pose2d_mask]
        assert np.all((found[:, 0] >= 0) & (found[:, 0] < WIDTH) & (found[:, 1] >= 0) & (found[:, 1] < HEIGHT))
        assert np.all((found[:, 2] > 0) & (found[:, 2] <= 1))
    missed = np.concatenate([~r.pose2d_mask for r in clips("push_up")])
    assert 0.002 < missed.mean() < 0.1


def test_missed_joints_come_in_bursts():
    missed = np.concatenate([~r.pose2d_mask for r in clips(subjects=20)])
    again = missed[1:][missed[:-1]].mean()
    assert again > 3 * missed.mean()


def test_found_joints_lie_near_the_truth_and_the_unsure_ones_farther():
    errors, confidence = [], []
    for r in clips(subjects=20):
        camera = _camera_of(r)
        true, depth = aim([camera]).project(r.pose[None].astype(float))
        off = np.linalg.norm(r.pose2d[..., :2] - true[0], axis=-1) * depth[0] / camera.focal
        errors.append(off[r.pose2d_mask])
        confidence.append(r.pose2d[..., 2][r.pose2d_mask])
    error, sure = np.concatenate(errors), np.concatenate(confidence)
    assert 0.004 < np.median(error) < 0.03
    assert np.median(error[sure < 0.5]) > 1.8 * np.median(error[sure > 0.8])


def _camera_of(recording):
    return cast_cameras(3, move([recording.clip], seed=3), 0, [0], Setup().distortion)[0]


def test_the_trunk_hides_what_is_behind_it():
    detector = Detector(JOINTS)
    pose = np.zeros((1, 1, 20, 3))
    pose[0, 0] = [0.0, 1.0, 0.0]
    place = dict(zip(JOINTS, range(20), strict=True))
    pose[0, 0, place["pelvis"]], pose[0, 0, place["neck"]] = [0.0, 0.9, 0.0], [0.0, 1.4, 0.0]
    pose[0, 0, place["left_wrist"]] = [0.0, 1.1, -0.25]  # behind the back
    pose[0, 0, place["right_wrist"]] = [0.0, 1.1, 0.25]  # before the belly
    pose[0, 0, place["left_hand"]] = [0.6, 1.1, -0.25]  # far aside
    view = aim([Camera(0.0, 4.0, 1.2, 0.9, 1000.0)])
    hidden = detector.hidden(*view.project(pose), view.focal)[0, 0]
    assert hidden[place["left_wrist"]] > 0.9
    assert hidden[place["right_wrist"]] < 0.05
    assert hidden[place["left_hand"]] < 0.05
    assert hidden[place["pelvis"]] == hidden[place["head"]] == 0


def test_azimuth_differs_between_subjects_more_than_between_clips():
    azimuth = np.array(
        [
            [r.camera_azimuth for r in render([Clip("squat", CORRECT, s, k) for k in (1, 2, 3)], fps=5.0)]
            for s in range(1, 16)
        ]
    )
    assert azimuth.mean(1).std() > 4 * azimuth.std(1).mean() > 0
    assert np.abs(azimuth).max() < 105
