from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_videos import HEIGHT, WIDTH, edited, retimed, rotated, write

from graphnets.video import VideoReader
from graphnets.video import reading as module

pytest.importorskip("cv2", reason="OpenCV is not installed")


def corner(picture: np.ndarray) -> str:
    """Which quarter of the picture is bright."""
    rows, columns = picture.shape[0] // 4, picture.shape[1] // 4
    bright = {(y, x): picture[y, x].mean() for y in (rows, 3 * rows) for x in (columns, 3 * columns)}
    y, x = max(bright, key=bright.__getitem__)
    return f"{'upper' if y == rows else 'lower'} {'left' if x == columns else 'right'}"


@pytest.mark.parametrize(
    ("fps", "code", "ending"), [(30.0, "mp4v", "mp4"), (12.5, "mp4v", "mov"), (59.94, "MJPG", "avi")]
)
def test_frames_in_order_with_their_times(tmp_path: Path, fps: float, code: str, ending: str) -> None:
    with VideoReader(write(tmp_path / f"a.{ending}", 9, fps, code=code)) as video:
        assert (video.width, video.height, video.announced) == (WIDTH, HEIGHT, 9)
        assert video.nominal_fps == pytest.approx(fps, abs=0.01)
        seconds, pictures = zip(*video, strict=True)
    np.testing.assert_allclose(seconds, np.arange(9) / fps, atol=1e-3)
    assert pictures[0].shape == (HEIGHT, WIDTH, 3) and pictures[0].dtype == np.uint8
    np.testing.assert_allclose([p[5, 5].mean() for p in pictures], 60 + 12 * np.arange(9), atol=8)
    assert {corner(p) for p in pictures} == {"upper left"}


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 200), np.uint8))  # OpenCV's red
    writer.release()
    with VideoReader(tmp_path / "a.mp4") as video:
        red, green, blue = next(iter(video)).picture.mean((0, 1))
    assert red > 150 and green < 40 and blue < 40


@pytest.mark.parametrize(
    ("degrees", "where"), [(0, "upper left"), (90, "upper right"), (180, "lower right"), (270, "lower left")]
)
def test_videos_of_a_turned_phone_are_upright(tmp_path: Path, degrees: int, where: str) -> None:
    with VideoReader(rotated(write(tmp_path / "a.mp4", 3), degrees)) as video:
        pictures = [picture for _, picture in video]
        size = (video.height, video.width)
    assert {corner(p) for p in pictures} == {where}
    assert size == pictures[0].shape[:2] == ((WIDTH, HEIGHT) if degrees in (90, 270) else (HEIGHT, WIDTH))


def test_variable_frame_rate(tmp_path: Path) -> None:
    steps = [33, 33, 100, 20, 33, 50]
    with VideoReader(retimed(write(tmp_path / "a.mp4", 6), steps)) as video:
        seconds = [at for at, _ in video]
    np.testing.assert_allclose(seconds, np.cumsum([0, *steps[:-1]]) / 1000, atol=1e-3)


def test_stamps_that_stand_still_get_regular_instants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoReader(write(tmp_path / "a.mp4", 5, 25.0)) as video:
        decode = video._decode
        stood = iter([0.04, 0.04, 0.0, 0.16])
        monkeypatch.setattr(video, "_decode", lambda: (f := decode()) and f._replace(seconds=next(stood)))
        seconds = [at for at, _ in video]
    np.testing.assert_allclose(seconds, [0, 0.04, 0.08, 0.12, 0.16], atol=1e-9)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("frame,x,y\n" * 50)


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def half(path: Path) -> None:
    data = write(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def last_bytes(path: Path) -> None:
    path.write_bytes(write(path).read_bytes()[:-7])


def no_index(path: Path) -> None:
    path.write_bytes(edited(write(path).read_bytes(), [b"moov"], None))


def only_head(path: Path) -> None:
    path.write_bytes(write(path).read_bytes()[:28])


def no_frames(path: Path) -> None:
    """A movie whose tables say that there are no frames."""
    data = write(path).read_bytes()
    table = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    for name in (b"stts", b"stsc", b"stco"):
        data = edited(data, (*table, name), bytes(8))
    path.write_bytes(edited(data, (*table, b"stsz"), bytes(12)))


def scrambled(path: Path) -> None:
    data = write(path).read_bytes()
    path.write_bytes(edited(data, [b"mdat"], bytes(len(data))))


def audio(path: Path) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))


def folder(path: Path) -> None:
    path.mkdir()


def absent(path: Path) -> None:
    assert not path.exists()


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("gone.mp4"))


def pipe(path: Path) -> None:
    os.mkfifo(path)


def array(path: Path) -> None:
    np.save(path.with_suffix(".npy"), np.zeros((4, 33, 3)))
    path.with_suffix(".npy").rename(path)


HOSTILE: list[tuple[Callable[[Path], None], str]] = [
    (nothing, r"the file is empty \(0 bytes\)"),
    (text, "not readable as a video; it holds text"),
    (noise, "not readable as a video; a format that FFmpeg doesn't know, or a damaged file"),
    (half, r"cut off: [\d,]+ of [\d,]+ bytes of its part"),
    (last_bytes, r"cut off: [\d,]+ of [\d,]+ bytes of its part 'moov' are there; copy or download it again"),
    (no_index, "not readable as a video; its index is damaged or missing"),
    (only_head, "not readable as a video; its index is damaged or missing"),
    (no_frames, "holds no frame that can be decoded|not readable as a video"),
    (scrambled, "holds no frame that can be decoded|not readable as a video"),
    (audio, "not readable as a video"),
    (folder, "is a folder; give the video files in it"),
    (absent, "no such file"),
    (dangling, "no such file"),
    (pipe, "is no regular file"),
    (array, "not readable as a video"),
]


@pytest.mark.parametrize(("make", "message"), HOSTILE, ids=lambda x: getattr(x, "__name__", ""))
def test_what_is_no_video_is_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    capfd.readouterr()
    with pytest.raises(ValueError, match=message) as error, VideoReader(path) as video:
        list(video)
    assert str(error.value).startswith(f"{path}: ")
    assert capfd.readouterr().err == "", "FFmpeg's own messages are kept away"


def test_a_picture_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(ValueError, match=rf"pictures of {WIDTH} x {HEIGHT}; at most .* make the video smaller first"):
        VideoReader(write(tmp_path / "a.mp4"))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ValueError, match="can't be read: Permission denied"):
        VideoReader(path)
