from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from graphnets.skeleton import Skeleton
from graphnets.viz import Acting, Clip, animate_forces
from graphnets.viz.forces import ForceStage, barbed

BODY = Skeleton.load("kinect20")


def clip(frames: int = 6) -> Clip:
    x = np.zeros((frames, 20, 3))
    x[..., 0] = np.linspace(-0.4, 0.4, 20)
    for left, right in BODY.mirror_pairs:  # left lies to the left
        x[:, left, 0], x[:, right, 0] = 0.3, -0.3
    x[..., 1] = np.linspace(1.7, 0.0, 20)
    return Clip(x, BODY, 10.0, title="someone")


def acting(frames: int = 6, sensors: int = 1, up: float = 0.5) -> Acting:
    force, centre = np.zeros((2, frames, 2, 3))
    force[:, 0, 1], centre[:, 0, 0] = up, 0.2
    centre[:, 1] = np.nan
    origin = np.full((frames, sensors, 3), 0.5)
    return Acting(force, centre, origin, np.broadcast_to(np.eye(3), (frames, sensors, 3, 3)))


def test_arrows_begin_at_the_centre_of_pressure_and_are_as_long_as_the_force():
    ends = acting().arrows()
    np.testing.assert_allclose(ends[:, 0], [[[0.2, 0.0, 0.0], [0.2, 0.35, 0.0]]] * 6)
    assert np.isnan(ends[:, 1]).any()
    assert np.isnan(acting(up=0.0).arrows()[:, 0, 1]).all()  # no force, no arrow


def test_spikes_are_the_columns_of_the_rotation():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # x becomes y
    a = Acting(*(np.zeros((1, 1, 3)),) * 2, np.ones((1, 1, 3)), turn[None, None], length=1.0)
    np.testing.assert_allclose(a.spikes()[0, :, 1] - a.spikes()[0, :, 0], 0.17 * turn.T)
    assert acting(sensors=0).spikes().shape == (6, 0, 2, 3)


def test_barbs_end_at_the_tip():
    line = barbed(np.array([[[0.0, 0.0], [0.0, 1.0]]]))[0]
    np.testing.assert_allclose(line[[0, 1, 3]], [[0, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(line[2] * [-1, 1], line[4])


def test_a_greater_force_draws_a_longer_arrow():
    black = [np.asarray(next(ForceStage(clip(), acting(up=up)).play([2]))).max(-1) < 60 for up in (0.2, 0.9)]
    assert black[1].sum() > black[0].sum() + 50


@pytest.mark.parametrize("suffix", [".gif", ".png"])
@pytest.mark.parametrize("view", [False, True])
def test_pictures_are_written(tmp_path, suffix, view):
    second = Clip(np.random.default_rng(0).random((6, 20, 3)) * 700, BODY, 10.0, None, ("x", "y", "c"), "view")
    path = animate_forces(clip(), acting(), tmp_path / f"a{suffix}", second if view else None)
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == (6 if suffix == ".gif" else 1)


def test_what_can_not_be_drawn_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must have the body's 6 frames"):
        animate_forces(clip(), acting(5), tmp_path / "a.gif")
    with pytest.raises(ValueError, match="suffix"):
        animate_forces(clip(), acting(), tmp_path / "a.tif")
    flat = Clip(np.random.default_rng(0).random((6, 20, 3)), BODY, 10.0, None, ("x", "y", "confidence"))
    with pytest.raises(ValueError, match="three dimensions"):
        animate_forces(flat, acting(), tmp_path / "a.gif")
