from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from graphnets.video import Person, PoseDetector, Track
from graphnets.video.detector import _people, distinct, overlap


def person(x: float, y: float, width: float = 40.0, height: float = 100.0) -> Person:
    """Somebody whose box begins at x, y."""
    pixels = np.random.default_rng(0).uniform(size=(33, 2))
    pixels[0], pixels[1] = 0, 1
    return Person(pixels * (width, height) + (x, y), np.zeros((33, 3)), np.ones(33))


def test_overlap() -> None:
    a = np.array([0.0, 0, 10, 10])
    assert overlap(a, a) == 1
    assert overlap(a, np.array([5.0, 0, 15, 10])) == pytest.approx(50 / 150)
    assert overlap(a, np.array([20.0, 20, 30, 30])) == overlap(np.zeros(4), np.zeros(4)) == 0


def test_one_person_found_twice_is_one() -> None:
    a, twin, b = person(0, 0), person(2, 3), person(30, 0)
    assert distinct([a, twin, b]) == [a, b] and distinct([]) == []


def test_the_largest_is_taken_first_and_kept() -> None:
    track = Track()
    small, large = person(300, 0, 30, 80), person(0, 0)
    assert track.pick([small, large], 0.0) is large
    for frame in range(1, 60):  # the two pass each other, and the other one gets larger
        at = frame / 30
        ours, other = person(5 * frame, 0), person(300 - 5 * frame, 10, 60, 150)
        assert track.pick([other, ours] if frame % 2 else [ours, other], at) is ours


def test_nobody_else_takes_the_place_of_who_left() -> None:
    track = Track()
    assert track.pick([], 0.0) is None
    ours = person(0, 0)
    assert track.pick([ours], 0.1) is ours
    assert track.pick([person(400, 0)], 0.2) is None
    assert track.pick([], 0.3) is None
    back = person(60, 0)
    assert track.pick([back, person(400, 0)], 0.4) is back


def test_pixels_and_axes() -> None:
    point = SimpleNamespace(x=0.5, y=0.25, z=0.1, visibility=0.7)
    unknown = SimpleNamespace(x=0.1, y=0.2, z=0.3, visibility=None)
    bad = SimpleNamespace(x=float("nan"), y=0.2, z=0.3, visibility=1.0)
    result = SimpleNamespace(
        pose_landmarks=[[point, unknown], [point, bad]], pose_world_landmarks=[[point, unknown], [point, point]]
    )
    (found,) = _people(result, 640, 480)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.pixels, [[320, 120], [64, 96]])
    np.testing.assert_allclose(found.world, [[0.5, -0.25, -0.1], [0.1, -0.2, -0.3]])
    np.testing.assert_allclose(found.visibility, [0.7, 0])


def test_black_pictures_show_nobody_and_nothing_is_printed(pose_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with PoseDetector(pose_model) as detector:
        assert detector(np.zeros((48, 64, 3), np.uint8), 0.0) == []
        assert detector(np.zeros((48, 64, 3), np.uint8), 0.0) == [], "a time that stands still is no problem"
        for wrong in (np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3)), np.zeros((0, 64, 3), np.uint8)):
            with pytest.raises(ValueError, match=r"a picture is uint8 \[H, W, 3\]"):
                detector(wrong, 1.0)
    assert capfd.readouterr().err == ""
