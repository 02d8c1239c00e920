from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from graphnets.data import Store, StoreWriter, validate
from graphnets.data.scripts import run_script
from graphnets.video import Landmarks, recordings, workers

pytest.importorskip("cv2", reason="OpenCV is not installed")
ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load(ROOT / "tools/extract_pose.py", "tools_extract_pose")
videos = load(ROOT / "tests/video/tiny_videos.py", "tiny_videos_of_tools")
write = videos.write


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mock.task"
    with zipfile.ZipFile(path, "w") as bundle:
        for part in ("pose_detector.tflite", "pose_landmarks_detector.tflite"):
            bundle.writestr(part, b"nothing")
    return path


@pytest.fixture
def gone_through(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No MediaPipe: landmarks that only the file's size decides. The list tells which videos were gone through."""
    done: list[str] = []

    def find(path: Path, model: Path, people: int | None, tick: Callable[[int], None]) -> Landmarks:
        done.append(path.name)
        frames = 5 + path.stat().st_size % 7
        rng = np.random.default_rng(path.stat().st_size)
        for k in range(frames):
            tick(k + 1)
        if "broken" in path.name:
            raise ValueError(f"{path}: holds 1 frame; a movement needs 2 at least")
        clip = Landmarks(
            seconds=np.arange(frames) / 30,
            pixels=rng.uniform(0, 48, (frames, 33, 2)),
            world=rng.normal(size=(frames, 33, 3)),
            visibility=rng.uniform(0.4, 1, (frames, 33)),
            people=np.ones(frames, dtype=int),
            followed=np.arange(frames) != 2,
            size=(64, 48),
            spent={"decode": 0.1, "landmarks": 0.3},
        )
        if "nobody" in path.name:
            return dataclasses.replace(clip, followed=np.zeros(frames, dtype=bool), people=np.zeros(frames, dtype=int))
        if "crowd" in path.name:
            return dataclasses.replace(clip, people=np.full(frames, 2))
        return clip

    monkeypatch.setattr(recordings, "find_landmarks", find)
    return done


@pytest.fixture
def run(model: Path, gone_through: list[str], capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit:
            run_script(tool.main, [*map(str, arguments), "--model", str(model)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return int(exit.value.code or 0), printed.out + printed.err

    return call


def test_a_store_from_videos(tmp_path: Path, run: Run, gone_through: list[str]) -> None:
    a, b = write(tmp_path / "squat.mp4", 6), write(tmp_path / "lunge.avi", 7)
    code, printed = run(a, b, tmp_path / "store", "--subject", "anna")
    store = Store(tmp_path / "store")
    assert code == 0 and validate(store.path) == [] and store.ids.tolist() == ["lunge", "squat"]
    assert set(store.subjects) == {"anna"} and store.modalities == ["pose2d", "pose3d"]
    expected = recordings.find_landmarks(a, a, None, lambda k: None)
    squat = store[1]
    flat, mask, fps = expected.modalities()["pose2d"]
    assert mask is not None and squat["pose2d"].fps == fps == pytest.approx(30)
    assert np.array_equal(squat["pose2d"].mask, mask) and np.array_equal(squat["pose3d"].mask, mask)
    np.testing.assert_array_equal(squat["pose2d"].x, np.where(mask[..., None], flat, 0).astype(np.float32))
    np.testing.assert_array_equal(squat["pose3d"].x, np.where(mask[..., None], expected.world, 0).astype(np.float32))
    row = store.index.iloc[1]
    assert (row["file"], row["width"], row["variable_rate"]) == ("squat.mp4", "64", "False")
    assert float(row["detection_rate"]) == pytest.approx(1 - 1 / len(expected), abs=1e-4)
    assert store.card["landmarks"]["min_visibility"] == 0.5
    for part in ("quality", "person found", "a second and process: decode 25%, landmarks 75%", store.checksum, "store"):
        assert part in printed


def test_what_is_there_is_not_done_again(tmp_path: Path, run: Run, gone_through: list[str]) -> None:
    a, b, c = (write(tmp_path / f"{name}.mp4", k) for k, name in enumerate("abc", 4))
    run(a, b, tmp_path / "store")
    before = {p.name: p.read_bytes() for p in (tmp_path / "store").iterdir()}
    gone_through.clear()
    code, printed = run(a, tmp_path / "store")
    assert code == 0 and "has all of these videos already: 2 sequences" in printed and not gone_through
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "store").iterdir()}
    assert run(c, a, tmp_path / "store", "--subject", "ben")[0] == 0 and gone_through == ["c.mp4"]
    store = Store(tmp_path / "store")
    assert store.ids.tolist() == ["a", "b", "c"] and store.subjects.tolist() == ["unknown", "unknown", "ben"]
    run(a, b, c, tmp_path / "whole")
    whole = Store(tmp_path / "whole")
    for name in ("pose2d.npy", "pose3d.npy", "pose2d.mask.npy"):
        assert (store.path / name).read_bytes() == (whole.path / name).read_bytes()
    index = whole.index.assign(subject=store.index["subject"])
    assert store.index.to_csv() == index.to_csv() and validate(store.path) == []
    assert not list(tmp_path.glob("store.*"))


def test_a_renamed_copy_is_the_same_video(tmp_path: Path, run: Run, gone_through: list[str]) -> None:
    a = write(tmp_path / "a.mp4", 4)
    run(a, tmp_path / "store")
    a.rename(tmp_path / "again.mp4")
    assert "already" in run(tmp_path / "again.mp4", tmp_path / "store")[1] and gone_through == ["a.mp4"]
    write(tmp_path / "a.mp4", 9)
    code, printed = run(tmp_path / "a.mp4", tmp_path / "store")
    assert code == 1 and "has another video called 'a'; rename" in printed


def test_an_interrupted_run_goes_on(
    tmp_path: Path, run: Run, gone_through: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / f"v{k}.mp4", 4 + k) for k in range(4)]
    run(*files, tmp_path / "whole")
    original, left = StoreWriter.add, iter(range(2))

    def add(self: StoreWriter, *arguments: Any, **named: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        original(self, *arguments, **named)

    monkeypatch.setattr(StoreWriter, "add", add)
    code, printed = run(*files, tmp_path / "store")
    assert code == 130 and "run the same command again" in printed and not (tmp_path / "store").exists()
    monkeypatch.setattr(StoreWriter, "add", original)
    gone_through.clear()
    assert run(*files, tmp_path / "store")[0] == 0 and gone_through == ["v2.mp4", "v3.mp4"]
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "store" / file.name).read_bytes()


def test_a_video_that_changed_since_the_interruption(
    tmp_path: Path, run: Run, gone_through: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / f"v{k}.mp4", 4 + k) for k in range(2)]
    with monkeypatch.context() as context:
        context.setattr(StoreWriter, "_finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(*files, tmp_path / "store")[0] == 130
    write(files[0], 9)
    gone_through.clear()
    assert run(*files, tmp_path / "store")[0] == 0 and gone_through == ["v0.mp4", "v1.mp4"]
    assert validate(tmp_path / "store") == []


def test_stopped_while_the_old_store_was_replaced(
    tmp_path: Path, run: Run, gone_through: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (write(tmp_path / f"{name}.mp4", k) for k, name in enumerate("ab", 4))
    run(a, tmp_path / "store")
    with monkeypatch.context() as context:
        replace = os.replace

        def stop(old: Path, new: Path) -> None:
            if Path(old).name == "store.new":
                raise KeyboardInterrupt
            replace(old, new)

        context.setattr(tool.os, "replace", stop)
        assert run(a, b, tmp_path / "store")[0] == 130
    assert not (tmp_path / "store").exists() and (tmp_path / "store.old").exists()
    assert run(a, b, tmp_path / "store")[0] == 0
    assert Store(tmp_path / "store").ids.tolist() == ["a", "b"]
    assert not list(tmp_path.glob("store.*"))


def test_other_settings_and_other_stores_are_refused(
    tmp_path: Path, run: Run, small_card: dict[str, Any], make_store: Callable[..., Path]
) -> None:
    a = write(tmp_path / "a.mp4", 4)
    run(a, tmp_path / "store")
    code, printed = run(a, tmp_path / "store", "--min-visibility", "0.3")
    assert code == 1 and "was made with other settings: min_visibility 0.5 (now 0.3)" in printed
    code, printed = run(a, make_store(tmp_path / "small"))
    assert code == 1 and "holds the data set 'small'; choose another folder" in printed


def test_videos_that_are_called_alike(tmp_path: Path, run: Run) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    files = [write(tmp_path / where / "video.mp4", 4 + k) for k, where in enumerate(("one", "two"))]
    assert run(*files, write(tmp_path / "b.mp4", 4), tmp_path / "store")[0] == 0
    assert Store(tmp_path / "store").ids.tolist() == ["b", "one_video", "two_video"]
    code, printed = run(files[0], files[0], tmp_path / "again")
    assert code == 1 and "would have the same id 'one_video': give each once, or rename one" in printed


def damage(tmp_path: Path) -> dict[str, str]:
    """Videos that can't be used, and what is said of each."""
    whole = write(tmp_path / "whole.mp4", 8).read_bytes()
    contents = {
        "empty.mp4": (b"", "the file is empty"),
        "text.mp4": (b"hello, world\n" * 9, "it holds text"),
        "half.mp4": (whole[: len(whole) // 2], "cut off"),
        "zeros.mkv": (bytes(3000), "not readable as a video"),
        "page.webm": (b"<!DOCTYPE html><html>404</html>", "it holds text"),
        "pose.npy": (b"\x93NUMPY\x01\x00v\x00" + bytes(200), "not readable as a video"),
        "noise.avi": (np.random.default_rng(0).bytes(900), "not readable as a video"),
    }
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.mp4").mkdir()
    said = {name: message for name, (_, message) in contents.items()}
    return {**said, "folder.mp4": "is a folder", "absent.mp4": "no such file"}


def test_everything_that_is_wrong_is_listed_at_once(tmp_path: Path, run: Run) -> None:
    said = damage(tmp_path)
    code, printed = run(tmp_path / "whole.mp4", *(tmp_path / name for name in said), tmp_path / "store")
    assert code == 1 and f"{len(said)} video(s) can't be used; nothing was written" in printed
    for name, message in said.items():
        assert any(name in line and message in line for line in printed.splitlines()), (name, printed)
    assert not list(tmp_path.glob("store*"))


def test_damaged_videos_can_be_left_out(tmp_path: Path, run: Run) -> None:
    said = damage(tmp_path)
    arguments = [tmp_path / "whole.mp4", *(tmp_path / name for name in said), tmp_path / "store", "--skip-damaged"]
    code, printed = run(*arguments)
    assert code == 1 and "going on without" in printed and Store(tmp_path / "store").ids.tolist() == ["whole"]
    code, printed = run(*arguments[1:-2], tmp_path / "none", "--skip-damaged")
    assert code == 1 and "nothing was written" in printed and not list(tmp_path.glob("none*"))


def test_what_turns_out_on_the_way(tmp_path: Path, run: Run) -> None:
    names = ["a", "broken", "crowd", "nobody"]
    files = [write(tmp_path / f"{name}.mp4", 4 + k) for k, name in enumerate(names)]
    code, printed = run(*files, tmp_path / "store")
    assert code == 1 and "broken.mp4" in printed and "holds 1 frame" in printed
    store = Store(tmp_path / "store")
    assert store.ids.tolist() == ["a", "crowd", "nobody"] and validate(store.path) == []
    assert "warning: crowd: 100.0% of the frames show several people" in printed
    assert "warning: nobody: nobody was found; all of its frames are masked" in printed
    assert not store[2]["pose3d"].mask.any()
    code, printed = run(tmp_path / "broken.mp4", tmp_path / "only")
    assert code == 1 and "no recording was added" in printed and not list(tmp_path.glob("only*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", "0"), "--workers is 0; at least 1"),
        (("--min-visibility", "1.5"), "min_visibility is 1.5; it must be in [0, 1]"),
        (("--min-visibility", "nan"), "min_visibility is nan"),
        (("--people", "0"), "people is 0; at least 1"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, run: Run, arguments: tuple[str, str], message: str) -> None:
    code, printed = run(write(tmp_path / "a.mp4", 4), tmp_path / "store", *arguments)
    assert code == 1 and message in printed and not list(tmp_path.glob("store*"))


def test_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHNETS_POSE_MODEL", raising=False)
    with pytest.raises(SystemExit) as exit:
        run_script(tool.main, [str(write(tmp_path / "a.mp4", 4)), str(tmp_path / "store")])
    assert exit.value.code == 1 and "download pose_landmarker_full.task" in capsys.readouterr().err


def test_processes(tmp_path: Path, model: Path) -> None:
    """In processes of their own the mock can't reach MediaPipe: its errors must come back as ours."""
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    files = {name: write(tmp_path / f"{name}.mp4", 4) for name in "ab"}
    found = dict(workers.record_all(files, recordings.Settings(model), 2, lambda id, done: None))
    assert list(found) == ["a", "b"]
    assert all(isinstance(x, ValueError) and "can't use this model" in str(x) for x in found.values())
    with pytest.raises(ValueError, match="workers is 0"):
        next(workers.record_all(files, recordings.Settings(model), 0, lambda id, done: None))


def test_as_a_command(tmp_path: Path) -> None:
    model = os.environ.get("GRAPHNETS_POSE_MODEL")
    if not model or not Path(model).is_file():
        pytest.skip("GRAPHNETS_POSE_MODEL names no file: tests that find people need the model")
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    command = [sys.executable, str(ROOT / "tools/extract_pose.py"), str(write(tmp_path / "black.mp4", 4)), "store"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "warning: black: nobody was found" in result.stdout and validate(tmp_path / "store") == []
