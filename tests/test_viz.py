"""Pictures: what is drawn where, in which colour, for how long, and that nothing half-written stays."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from graphnets import viz
from graphnets.skeleton import Skeleton
from graphnets.viz.body import Stage
from graphnets.viz.clip import limits_of, project
from graphnets.viz.figure import CENTRE, LEFT, OVERLAY, RIGHT, new_figure, place_axes

BODY = Skeleton(
    name="small",
    joints=("pelvis", "neck", "left_hand", "right_hand"),
    parents=(-1, 0, 1, 1),
    edges=((0, 1), (1, 2), (1, 3)),
    mirror_pairs=((2, 3),),
    center=("pelvis",),
)
SENSOR = Skeleton(name="axes", joints=("acc_x", "acc_y"), parents=(-1, 0), edges=())


def standing(frames: int = 12, turn: float = 0.0) -> NDArray[np.float64]:
    """A body with y up that faces z, its left at +x, hands forward; turned about y by ``turn`` radians."""
    pose = np.array([[0, 0, 0], [0, 1, 0], [0.5, 1, 0.4], [-0.5, 1, 0.4]], dtype=np.float64)
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.repeat((pose @ rotation.T)[None], frames, axis=0)


def count(picture: NDArray[np.uint8] | Image.Image, color: str) -> int:
    """Pixels that have exactly this colour."""
    pixels = np.asarray(picture)[..., :3].astype(int)
    return int((np.abs(pixels - np.round(255 * np.array(to_rgb(color)))).max(-1) <= 1).sum())


def drawn(x: NDArray[np.float64], mask: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """One frame ``[V, C]`` on 200 x 200 pixels that show -1 to 1."""
    figure = new_figure(2, 2)
    ax = place_axes(figure, 0, 0, 2, 2)
    viz.skeleton_frame(ax, x, mask, BODY, linewidth=4)
    ax.set_xlim(-1, 1)
    ax.set_ylim(-1, 1)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


POSE = np.array([[0, -0.5], [0, 0.5], [0.5, 0.5], [-0.5, 0.5]])


def test_bones_lie_where_the_joints_are_in_the_colours_of_their_sides() -> None:
    picture = drawn(POSE, None)
    for (x, y), color in {(0.25, 0.5): LEFT, (-0.25, 0.5): RIGHT, (0, 0): CENTRE}.items():
        pixel = picture[round(100 - 100 * y), round(100 + 100 * x)]
        np.testing.assert_allclose(pixel, 255 * np.array(to_rgb(color)), atol=1.5)
    assert (picture[120:, :80] == 255).all(), "there is nothing below the right hand"


def test_a_missing_joint_vanishes_with_its_bones() -> None:
    without_left = drawn(POSE, np.array([True, True, False, True]))
    assert count(without_left, LEFT) == 0
    assert count(without_left, RIGHT) > 100 < count(without_left, CENTRE)
    without_neck = drawn(POSE, np.array([True, False, True, True]))
    assert 0 < count(without_neck, LEFT) < 80, "the hand remains, its bone doesn't"
    assert (without_neck[95:105] == 255).all(), "nor does the spine"


def test_what_is_masked_has_no_influence() -> None:
    mask = np.array([True, True, False, True])
    poisoned = POSE.copy()
    poisoned[2] = np.nan
    far = POSE.copy()
    far[2] = 1e6
    np.testing.assert_array_equal(drawn(POSE, mask), drawn(poisoned, mask))
    np.testing.assert_array_equal(drawn(POSE, mask), drawn(far, mask))
    np.testing.assert_array_equal(drawn(POSE, mask), drawn(poisoned, None))  # NaN is missing without a mask too


@pytest.mark.parametrize(
    ("fps", "length", "frames"),
    [(30.0, 30, 15), (25.0, 20, 20), (60.0, 60, 20), (10.0, 7, 7), (100.0, 50, 13)],
)
def test_gif_plays_in_real_time(tmp_path: Path, fps: float, length: int, frames: int) -> None:
    x = standing(length)
    x[:, 2, 1] += np.linspace(0, 1, length)  # no two frames alike: equal ones are merged
    path = viz.animate(x, BODY, tmp_path / "deep" / "a.gif", fps=fps, title="raising a hand")
    assert path == tmp_path / "deep" / "a.gif"
    picture = Image.open(path)
    assert picture.format == "GIF" and picture.n_frames == frames  # type: ignore[attr-defined]
    durations = []
    for i in range(frames):
        picture.seek(i)
        durations.append(picture.info["duration"])
    step = np.ceil(fps / 25)
    assert sum(durations) == pytest.approx(1000 * frames * step / fps, abs=10)
    assert min(durations) >= 40 - 1e-9
    assert [p.name for p in path.parent.iterdir()] == ["a.gif"]


def test_gif_keeps_the_colours(tmp_path: Path) -> None:
    x = standing()
    path = viz.animate(x, BODY, tmp_path / "a.gif", overlay=x + np.array([0.1, 0.1, 0]))
    frame = Image.open(path).convert("RGB")
    assert all(count(frame, color) > 100 for color in (LEFT, RIGHT, CENTRE, OVERLAY))
    mask = np.ones(x.shape[:2], dtype=bool)
    mask[:, 2] = False
    plain = Image.open(viz.animate(x, BODY, tmp_path / "b.gif", mask=mask)).convert("RGB")
    # The legend still says "left", in thin letters.
    assert count(plain, OVERLAY) == 0 and count(plain, LEFT) < 0.2 * count(frame, LEFT)


def test_max_frames_thins_out_and_keeps_the_time(tmp_path: Path) -> None:
    x = standing(100)
    x[:, 2, 1] += np.linspace(0, 1, 100)
    picture = Image.open(viz.animate(x, BODY, tmp_path / "a.gif", fps=25, max_frames=10))
    assert picture.n_frames == 10  # type: ignore[attr-defined]
    assert picture.info["duration"] == 400


def test_padding_at_both_ends_is_left_out() -> None:
    mask = np.zeros((20, 4), dtype=bool)
    mask[5:15] = True
    mask[8] = False  # a gap stays
    frames, rate = viz.Clip(standing(20), BODY, 20.0, mask).picked(25.0, 250)
    np.testing.assert_array_equal(frames, np.arange(5, 15))
    assert rate == 20.0


def test_tensors_are_drawn_as_arrays_are(tmp_path: Path) -> None:
    x = torch.tensor(standing(3), requires_grad=True)
    viz.animate(x, BODY, tmp_path / "a.gif", mask=torch.ones(3, 4, dtype=torch.bool))
    viz.animate(standing(3), BODY, tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@settings(max_examples=20, deadline=None)
@given(turn=st.floats(0, 6.28))
def test_front_and_side_are_those_of_the_body_however_it_stands(turn: float) -> None:
    clip = viz.Clip(standing(2, turn), BODY)
    planes = clip.planes()
    assert list(planes) == ["front", "side"]
    front, side = (project(clip.values[0], matrix) for matrix in planes.values())
    left, right = front[2] - front[1], front[3] - front[1]
    # Seen from the front, left is to the right of the picture; from its right side, forward is.
    assert left[0] > 0.4 and right[0] < -0.4
    assert side[2, 0] - side[0, 0] > 0.3 < side[3, 0] - side[0, 0]
    np.testing.assert_allclose(front[:, 1], standing(1)[0, :, 1], atol=1e-12)
    for matrix in planes.values():
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    ("up", "axes", "signs"),
    [("y", [0, 1, 2], [1, 1, 1]), ("z", [2, 0, 1], [1, 1, 1]), ("-y", [0, 1, 2], [-1, -1, 1])],
)
def test_the_body_stands_upright_whatever_axis_is_up(up: str, axes: list[int], signs: list[int]) -> None:
    """The same body in other right-handed coordinates gives the same pictures."""
    x = standing(2)
    other = np.empty_like(x)
    # z up: (x, y, z) <- (z, x, y), a rotation; y down: half a turn about z.
    for target, (source, sign) in enumerate(zip(axes, signs, strict=True)):
        other[..., target] = sign * x[..., source]
    expected, clip = viz.Clip(x, BODY), viz.Clip(other, BODY)
    for a, b in zip(expected.planes().values(), clip.planes(up).values(), strict=True):
        np.testing.assert_allclose(project(clip.values, b), project(expected.values, a), atol=1e-12)


def test_bodies_that_turn_round_and_bodies_without_sides_are_shown_along_the_axes() -> None:
    turning = np.concatenate([standing(5), standing(5, np.pi)])
    assert list(viz.Clip(turning, BODY).planes()) == ["x, y", "z, y"]
    assert list(viz.Clip(turning, BODY).planes("z")) == ["x, z", "y, z"]
    plain = Skeleton(name="rod", joints=("a", "b"), parents=(-1, 0), edges=((0, 1),))
    assert list(viz.Clip(standing()[:, :2], plain).planes()) == ["x, y", "z, y"]
    assert list(viz.Clip(standing(), BODY).planes(view="axes")) == ["x, y", "z, y"]


def test_2d_is_drawn_with_y_down_and_its_third_channel_is_no_coordinate() -> None:
    x = np.zeros((3, 4, 3))
    x[..., :2] = np.array([[300, 400], [300, 200], [380, 200], [220, 200]])  # pixels: the pelvis is at the bottom
    x[..., 2] = np.nan  # confidence is not drawn
    clip = viz.Clip(x, BODY, channels=("x", "y", "confidence"))
    planes = clip.planes()
    assert clip.dims == 2 and list(planes) == ["image"]
    (picture,) = Stage([clip], planes).play([0])
    body = np.asarray(picture)[:-60].astype(int)  # without the legend
    place = {c: np.argwhere(np.abs(body - 255 * np.array(to_rgb(c))).max(-1) <= 1) for c in (LEFT, RIGHT, CENTRE)}
    assert place[RIGHT][:, 1].max() < place[LEFT][:, 1].min()
    hands, trunk = place[LEFT][:, 0], place[CENTRE][:, 0]
    assert abs(hands.min() - trunk.min()) < 10 and trunk.max() - hands.max() > 100


def test_single_outliers_do_not_shrink_the_body() -> None:
    x = standing(50)
    plain = limits_of([x[..., :2]])
    x[7, 2] = 6e5
    low, high = limits_of([x[..., :2]])
    assert (high - low).max() < 4 * (plain[1] - plain[0]).max()
    assert (low <= plain[0] + 1e-9).all() and (high >= plain[1] - 1e-9).all()


def test_film_strip_and_contact_sheet(tmp_path: Path) -> None:
    x = standing(40)
    viz.animate(x, BODY, tmp_path / "strip.png", title="standing")
    clip = viz.Clip(x, BODY, 30.0, title="a $tandard $ title_with [markup]")
    figure = viz.film_strip(clip, frames=5)
    assert [len(ax.texts) for ax in figure.axes] == [5, 5], "two views, five times each"
    sensor = viz.Clip(np.random.default_rng(0).normal(size=(30, 2, 1)), SENSOR, channels=("value",), title="imu")
    sheet = viz.contact_sheet([clip, clip, sensor], tmp_path / "sheet.png")
    assert len(sheet.axes) == 3
    for name in ("strip.png", "sheet.png"):
        picture = Image.open(tmp_path / name).convert("RGB")
        assert count(picture, LEFT) > 100 < count(picture, RIGHT)
    with pytest.raises(ValueError, match="1 to 200 recordings, not 0"):
        viz.contact_sheet([])


def test_signals_are_one_panel_a_node_over_seconds(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2, 3))
    mask = np.ones((50, 2), dtype=bool)
    mask[10:20, 1] = False
    figure = viz.signals(x, SENSOR, tmp_path / "s.png", fps=50, mask=mask, title="wrist", channels=("a", "b", "c"))
    assert [len(ax.lines) for ax in figure.axes] == [3, 3]
    time, values = (np.asarray(a, dtype=np.float64) for a in figure.axes[1].lines[2].get_data())
    np.testing.assert_allclose(time, np.arange(50) / 50)
    np.testing.assert_array_equal(values, np.where(mask[:, 1], x[:, 1, 2], np.nan))
    assert {text.get_text() for text in figure.texts} == {"wrist", "a", "b", "c"}
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_confusion_matrix_writes_counts_and_colours_rows_by_share() -> None:
    counts = np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]])
    figure = viz.confusion_matrix(torch.tensor(counts), ["squat", "lunge", "never seen"], title="test")
    ax = figure.axes[0]
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert written == {(0, 0): "8", (0, 1): "2", (1, 1): "5"}
    share = ax.images[0].get_array()
    assert share is not None
    np.testing.assert_allclose(np.asarray(share, dtype=np.float64), np.array([[0.8, 0.2, 0], [0, 1, 0], [0, 0, 0]]))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["squat", "lunge", "never seen"]


@pytest.mark.parametrize(("k", "texts"), [(27, 27), (31, 0)])
def test_large_confusion_matrices_fit_their_figure(tmp_path: Path, k: int, texts: int) -> None:
    names = [f"standing up from a chair, kind {i}" for i in range(k)]
    figure = viz.confusion_matrix(np.eye(k, dtype=int) * 7, names, tmp_path / "m.png")
    assert len(figure.axes[0].texts) == texts
    box = figure.axes[0].get_tightbbox()
    assert box is not None and box.x0 >= 0 and box.y0 >= 0 and box.y1 <= figure.bbox.height


def test_long_titles_stay_in_the_picture() -> None:
    title = "an identifier_that_has_no_spaces_" * 3 + " and a sentence that goes on and on, and does not stop" * 2
    clip = viz.Clip(standing(), BODY, title=title)
    stage = Stage([clip], clip.planes())
    box = stage.figure.texts[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= stage.figure.bbox.width and box.y1 <= stage.figure.bbox.height
    top = max(ax.get_tightbbox().y1 for ax in stage.figure.axes)  # type: ignore[union-attr]
    assert box.y0 > top, "the title lies above the names of the views"


def test_a_failure_leaves_no_file_and_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")

    def break_off(picture: Image.Image, target: Path, **kwargs: object) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        viz.animate(standing(), BODY, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def fake_ffmpeg(folder: Path, code: int) -> None:
    program = folder / "ffmpeg"
    program.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        + ("cat > $last\n" if code == 0 else "echo half > $last; echo no such encoder >&2\n")
        + f"exit {code}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_mp4_gets_every_frame_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"ffmpeg, which is not on the PATH.*GIF"):
        viz.animate(standing(), BODY, tmp_path / "a.mp4")
    monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / name))
    fake_ffmpeg(tmp_path, 0)
    clip = viz.Clip(standing(10), BODY)
    viz.animate_clip(clip, tmp_path / "a.mp4")
    (frame,) = Stage([clip], clip.planes()).play([0])
    assert frame.width % 2 == frame.height % 2 == 0
    assert (tmp_path / "a.mp4").stat().st_size == 10 * frame.width * frame.height * 3
    fake_ffmpeg(tmp_path, 1)
    with pytest.raises(RuntimeError, match="no such encoder"):
        viz.animate(standing(), BODY, tmp_path / "b.mp4")
    assert {p.name for p in tmp_path.iterdir()} == {"ffmpeg", "a.mp4"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((3, 5, 3))}, r"\(3, 5, 3\), expected \[T, 4, C\] for skeleton 'small'"),
        ({"mask": np.ones((3, 4), dtype=bool)}, r"mask has shape \(3, 4\), expected \(12, 4\)"),
        ({"mask": np.zeros((12, 4), dtype=bool)}, "nothing was observed"),
        ({"channels": ("x", "y")}, "3 channels don't fit the names x, y"),
        ({"channels": ("a", "b", "c")}, "a, b, c don't begin with x, y"),
        ({"fps": 0.0}, "fps is 0.0, expected a number above 0"),
        ({"path": "a.avi"}, "'.avi' is not one of .gif, .mp4, .png"),
        ({"up": "up"}, "up is 'up', allowed are x, y, z, -x, -y, -z"),
        ({"view": "top"}, "view is 'top', allowed are body, axes"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"overlay": standing(5)}, r"overlay has shape \(5, 4, 3\), expected \(12, 4, 3\)"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"x": standing(), "skeleton": BODY, "path": "a.gif", **change}
    arguments["path"] = tmp_path / str(arguments["path"])
    with pytest.raises(ValueError, match=message):
        viz.animate(**arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\) doesn't fit 2"),
        (-np.eye(2), "0 or more"),
        (np.full((2, 2), np.nan), "0 or"),
    ],
)
def test_confusion_matrix_errors(matrix: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        viz.confusion_matrix(matrix, ["a", "b"])


def test_figures_are_written_in_known_formats_only(tmp_path: Path) -> None:
    viz.confusion_matrix(np.eye(2), ["a", "b"], tmp_path / "m.svg")
    with pytest.raises(ValueError, match=r"suffix 'bmp2' is not one of .*png"):
        viz.confusion_matrix(np.eye(2), ["a", "b"], tmp_path / "m.bmp2")
    assert [p.name for p in tmp_path.iterdir()] == ["m.svg"]
