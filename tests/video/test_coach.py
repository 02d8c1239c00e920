"""From landmarks to repetitions and an annotated film: known headings, known counts, a film that can be read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphnets.skeleton import Skeleton
from graphnets.video import Landmarks, VideoReader, repetitions, smooth
from graphnets.video.coach import face_ahead
from graphnets.video.overlay import Said, write_overlay

cv2 = pytest.importorskip("cv2")
BODY = Skeleton.load("mediapipe33")


def standing() -> np.ndarray:
    """A body that faces z, its left at x: sides by name, heights by the kind of joint."""
    heights = {
        "nose": 1.6,
        "shoulder": 1.4,
        "elbow": 1.1,
        "wrist": 0.9,
        "hip": 0.9,
        "knee": 0.5,
        "ankle": 0.1,
        "heel": 0.05,
    }
    x = np.zeros((33, 3))
    for v, name in enumerate(BODY.joints):
        side = 1 if name.startswith("left") else -1 if name.startswith("right") else 0
        height = next((h for key, h in heights.items() if key in name), 1.5)
        x[v] = 0.2 * side, height - 0.9, 0.15 if "foot" in name else 0.0
    return x


def squats(count: int, fps: float = 30.0, heading: float = 0.0) -> Landmarks:
    t = np.arange(int((2 * count + 2) * fps)) / fps
    depth = np.where((t > 1) & (t < 1 + 2 * count), (1 - np.cos(np.pi * (t - 1))) / 2, 0)
    x = np.repeat(standing()[None], len(t), 0)
    for name, share in (
        ("hip", 0.35),
        ("shoulder", 0.35),
        ("elbow", 0.35),
        ("wrist", 0.35),
        ("nose", 0.35),
        ("knee", 0.0),
    ):
        for v, joint in enumerate(BODY.joints):
            if name in joint:
                x[:, v, 1] -= share * depth
                x[:, v, 2] += (0.3 if name == "knee" else 0.0) * depth
    c, s = np.cos(heading), np.sin(heading)
    x = x @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    n = len(t)
    pixels = 32 + 16 * x[..., :2] * [1, -1]
    return Landmarks(t, pixels, x, np.ones((n, 33)), np.ones(n, int), np.ones(n, bool), (64, 64))


@pytest.mark.parametrize("heading", [0.0, 0.7, -2.0, 3.1])
def test_whatever_the_heading_the_body_faces_ahead(heading: float) -> None:
    facing = smooth(squats(1, heading=heading))["pose"]
    ahead = smooth(squats(1))["pose"]
    torch.testing.assert_close(facing.x, ahead.x, atol=1e-4, rtol=1e-4)
    left, right = (facing.x[0, 0, BODY.index(f"{side}_hip")] for side in ("left", "right"))
    torch.testing.assert_close(left - right, torch.tensor([0.4, 0.0, 0.0]), atol=1e-3, rtol=0)


def test_a_body_without_sides_stays() -> None:
    x = torch.randn(1, 3, 33, 3)
    assert torch.equal(face_ahead(x, torch.zeros(1, 3, 33, dtype=torch.bool), BODY), x)


@pytest.mark.parametrize("count", [1, 3])
def test_repetitions_on_the_skeleton_of_a_task(count: int) -> None:
    target = Skeleton.load("kinect20")
    batch, places = repetitions(smooth(squats(count)), target, "pose")
    assert batch is not None and len(batch) == len(places) == count
    assert batch["pose"].skeleton == target and batch.id[0] == "repetition_01"
    for i, place in enumerate(places):
        n = place.end - place.start + 1
        assert bool(batch["pose"].mask[i, :n].all()) and not bool(batch["pose"].mask[i, n:].any())
        assert abs((place.turn / 30) - (2 + 2 * i)) < 0.15
    nothing, none = repetitions(smooth(squats(0)), target, "pose")
    assert nothing is None and none == []


def test_nobody_was_seen() -> None:
    seen = squats(1)
    empty = Landmarks(seen.seconds, seen.pixels, seen.world, 0 * seen.visibility, seen.people, seen.followed, seen.size)
    with pytest.raises(ValueError, match="nobody was seen"):
        smooth(empty)


def test_the_film_has_every_frame_and_a_panel(tmp_path: Path) -> None:
    found = squats(1)
    film = cv2.VideoWriter(str(tmp_path / "in.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (64, 64))
    for _ in range(len(found)):
        film.write(np.full((64, 64, 3), 200, np.uint8))
    film.release()
    batch, (place,) = repetitions(smooth(found), Skeleton.load("kinect20"), "pose")
    assert batch is not None
    clip = batch["pose"].x[0].numpy()
    said = [Said(place.start, place.end, ["mistake: none 90%"], clip, clip + 0.1)]

    def interrupt(frame: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_overlay(tmp_path / "in.mp4", found, said, Skeleton.load("kinect20"), tmp_path / "out.mp4", tick=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]
    ticks: list[int] = []
    path = write_overlay(
        tmp_path / "in.mp4", found, said, Skeleton.load("kinect20"), tmp_path / "out.mp4", "in", ticks.append
    )
    with VideoReader(path) as film:
        frames = [picture for _, picture in film]
    assert len(frames) == len(found) == ticks[-1] and frames[0].shape == (64, 64 + 38, 3)
    outside, within = frames[2][:, 64:], frames[place.turn][:, 64:]
    assert (within < 150).sum() > (outside < 150).sum() + 20, "the bodies are drawn beside during the repetition alone"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
