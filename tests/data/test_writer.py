from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data import Store, StoreWriter, growing, validate, writer

FRAMES = np.zeros((2, 20, 3), np.float32)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@pytest.fixture(scope="session")
def whole(small_store: Store) -> dict[str, bytes]:
    """The small store as it is when written in one go."""
    return content(small_store.path)


class StoppedError(BaseException):
    """Ends a run in the middle."""


@contextmanager
def stopped() -> Iterator[None]:
    with pytest.raises(StoppedError):
        yield


def run(path: Path, card: dict[str, Any], recordings: list[dict[str, Any]], stop_after: int | None = None) -> int:
    """A recipe, up to its end or interrupted; returns how many recordings were there already."""
    with StoreWriter(path, card) as store:
        done = len(store.done)
        for count, recording in enumerate(recordings):
            if count == stop_after:
                raise StoppedError
            if recording["id"] not in store.done:
                store.add(**recording)
        if stop_after == len(recordings):
            raise StoppedError
    return done


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, small_card: dict[str, Any], small_recordings: list[Any]) -> Path:
    """What a run leaves that was interrupted after eight recordings; to be copied."""
    path = tmp_path_factory.mktemp("begun") / "small"
    with stopped():
        run(path, small_card, small_recordings, 8)
    return path.with_name("small.partial")


def test_a_store_appears_whole_or_not_at_all(tmp_path: Path, card: dict[str, Any], recordings: list[Any]) -> None:
    path = tmp_path / "deep" / "down" / "store"
    with StoreWriter(path, card) as store:
        store.add(**recordings[0])
        assert not path.exists() and path.with_name("store.partial").is_dir()
    assert [p.name for p in path.parent.iterdir()] == ["store"]
    assert set(content(path)) == {"card.yaml", "index.csv", "imu.npy", "pose.npy", "pose.mask.npy"}


def test_what_is_written(whole: dict[str, bytes], small_store: Store) -> None:
    assert set(whole) == {"card.yaml", "index.csv", "imu.npy", "pose.npy", "pose.mask.npy"}  # imu has no gaps: no mask
    pose = np.load(small_store.path / "pose.npy")
    assert pose.dtype == np.float32 and pose.shape == (small_store.index["pose.length"].sum(), 20, 3)
    assert (pose[~np.load(small_store.path / "pose.mask.npy")] == 0).all()
    assert whole["index.csv"].decode().splitlines()[0] == (
        "id,subject,exercise,side,trial,note,pose.start,pose.length,pose.fps,imu.start,imu.length,imu.fps"
    )
    assert validate(small_store.path) == []


@pytest.mark.parametrize("after", [0, 1, 5, 12])
def test_an_interrupted_run_resumes(
    tmp_path: Path, card: dict[str, Any], recordings: list[Any], whole: dict[str, bytes], after: int
) -> None:
    path = tmp_path / "small"
    with stopped():
        run(path, card, recordings, after)
    assert not path.exists()
    assert run(path, card, recordings) == after
    assert content(path) == whole and [p.name for p in tmp_path.iterdir()] == ["small"]


DAMAGED = st.sampled_from(["journal.jsonl", "pose.npy", "pose.mask.npy", "imu.npy", "imu.mask.npy"])


@given(
    cuts=st.dictionaries(DAMAGED, st.floats(0, 1), max_size=3),
    garbage=st.dictionaries(DAMAGED, st.binary(min_size=1, max_size=400) | st.just(b"{}\n1\n"), max_size=3),
)
@settings(max_examples=15, deadline=None)
def test_files_cut_short_or_going_on_with_garbage(
    tmp_path_factory: pytest.TempPathFactory,
    begun: Path,
    small_card: dict[str, Any],
    small_recordings: list[Any],
    whole: dict[str, bytes],
    cuts: dict[str, float],
    garbage: dict[str, bytes],
) -> None:
    path = tmp_path_factory.mktemp("killed") / "small"
    partial = path.with_name("small.partial")
    shutil.copytree(begun, partial)
    for name, share in cuts.items():
        os.truncate(partial / name, int((partial / name).stat().st_size * share))
    for name in set(garbage) - set(cuts):
        with (partial / name).open("ab") as file:
            file.write(garbage[name])
    done = run(path, small_card, small_recordings)
    assert content(path) == whole
    assert done <= 8 if cuts else done == 8
    shutil.rmtree(path.parent)


def test_missing_files_are_written_anew(
    tmp_path: Path, begun: Path, card: dict[str, Any], recordings: list[Any], whole: dict[str, bytes]
) -> None:
    for name in ("journal.jsonl", "pose.npy", "imu.mask.npy", "card.yaml"):
        shutil.copytree(begun, tmp_path / "small.partial")
        (tmp_path / "small.partial" / name).unlink()
        assert run(tmp_path / "small", card, recordings) == (8 if name == "card.yaml" else 0)
        assert content(tmp_path / "small") == whole
        shutil.rmtree(tmp_path / "small")


def killing_write(kill_at: int) -> Callable[[IO[bytes], bytes], None]:
    """Writes like the real one, but dies in the middle of its ``kill_at``-th block."""
    calls = iter(range(10**6))

    def write(file: IO[bytes], data: bytes) -> None:
        if next(calls) == kill_at:
            file.write(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        file.write(data)

    return write


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_in_the_middle_of_any_write(
    tmp_path: Path,
    card: dict[str, Any],
    recordings: list[Any],
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Four headers come first, then five blocks a recording: two modalities with their masks, and the journal's line.
    for kill_at in (0, 3, 4, 5, 6, 8, 29):
        path = tmp_path / f"killed_{kill_at}"
        child = os.fork()
        if child == 0:
            patched = killing_write(kill_at)
            monkeypatch.setattr(growing, "write_whole", patched)
            monkeypatch.setattr(writer, "write_whole", patched)
            run(path, card, recordings)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert not path.exists()
        assert run(path, card, recordings) == max(0, kill_at - 4) // 5
        assert content(path) == whole


STEPS = [(os, "replace"), (writer, "write_text"), (writer, "sha256"), (os, "fsync"), (shutil, "rmtree")]


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_run_stopped_on_its_last_steps(
    tmp_path: Path,
    card: dict[str, Any],
    recordings: list[Any],
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
) -> None:
    """Stop before and after each of these calls in turn, until a run gets through."""
    original = getattr(module, name)
    for step in range(40):
        path = tmp_path / f"stopped_{step}"
        with stopped():
            run(path, card, recordings, 12)
        calls = iter(range(10**6))

        def limited(*args: Any, calls: Iterator[int] = calls, step: int = step, **kwargs: Any) -> Any:
            call = next(calls)
            if 2 * call == step:
                raise StoppedError
            result = original(*args, **kwargs)
            if 2 * call + 1 == step:
                raise StoppedError
            return result

        monkeypatch.setattr(module, name, limited)
        try:
            run(path, card, recordings)
            break
        except StoppedError:
            monkeypatch.setattr(module, name, original)
        if not path.exists():
            assert run(path, card, recordings) == 12
        assert content(path) == whole
    assert 2 <= step < 39


@pytest.mark.parametrize("room", [0, 200, 5000, 20000])
def test_a_full_disk(
    tmp_path: Path,
    card: dict[str, Any],
    recordings: list[Any],
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    room: int,
) -> None:
    path, left = tmp_path / "small", [room + 600]  # the headers of the four arrays take up to 512 bytes

    def write(file: IO[bytes], data: bytes) -> None:
        at = file.tell()
        grows = max(0, at + len(data) - os.fstat(file.fileno()).st_size) if "a" not in file.mode else len(data)
        if grows > left[0]:
            file.write(data[: len(data) - grows + left[0]])
            left[0] = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= grows
        file.write(data)

    monkeypatch.setattr(growing, "write_whole", write)
    monkeypatch.setattr(writer, "write_whole", write)
    with pytest.raises(OSError, match="No space left"):
        run(path, card, recordings)
    assert not path.exists()
    monkeypatch.undo()
    run(path, card, recordings)
    assert content(path) == whole


def test_what_could_not_be_written_leaves_no_trace(
    tmp_path: Path, card: dict[str, Any], recordings: list[Any], monkeypatch: pytest.MonkeyPatch, make_store: Any
) -> None:
    """A recipe that goes on after an error gets the store without that recording."""
    failing = {2: "pose", 5: "imu.mask", 7: "journal"}
    original = growing.write_whole
    now = [0]

    def write(file: IO[bytes], data: bytes) -> None:
        if now[0] in failing and Path(str(file.name)).name.split(".npy")[0].split(".jsonl")[0] == failing[now[0]]:
            file.write(data[: len(data) // 2])
            del failing[now[0]]
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, data)

    monkeypatch.setattr(growing, "write_whole", write)
    monkeypatch.setattr(writer, "write_whole", write)
    with StoreWriter(tmp_path / "small", card) as store:
        for now[0], recording in enumerate(recordings):
            try:
                store.add(**recording)
            except OSError:
                assert recording["id"] not in store.done
    assert not failing
    monkeypatch.undo()
    expected = make_store(tmp_path / "expected", [r for i, r in enumerate(recordings) if i not in (2, 5, 7)])
    assert content(tmp_path / "small") == content(expected)


def test_a_real_file_size_limit(
    tmp_path: Path, card: dict[str, Any], recordings: list[Any], whole: dict[str, bytes]
) -> None:
    """The same with the operating system's own refusal."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            run(tmp_path / "small", card, recordings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "small").exists()
    assert run(tmp_path / "small", card, recordings) > 0
    assert content(tmp_path / "small") == whole


def nan_at(mask: bool) -> tuple[np.ndarray, np.ndarray, float]:
    x, observed = FRAMES.copy(), np.ones((2, 20), dtype=bool)
    x[1, 5, 2] = np.nan
    observed[1, 5] = mask
    return x, observed, 30.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "id '' is empty"),
        ({"id": "s1_00"}, "id 's1_00' is there already"),
        ({"subject": ""}, "new: the subject is empty"),
        ({"modalities": {"video": (FRAMES, None, 30.0)}}, r"unknown modality \['video'\]; the card has pose, imu"),
        ({"modalities": {"pose": (FRAMES[:, :19], None, 30.0)}}, r"new: pose has shape \(2, 19, 3\).*20 joints"),
        ({"modalities": {"pose": (FRAMES[:0], None, 30.0)}}, r"\(0, 20, 3\), expected \(frames >= 1"),
        ({"modalities": {"pose": (FRAMES, np.ones((2, 20)), 30.0)}}, r"mask of pose is float64"),
        (
            {"modalities": {"pose": (FRAMES, np.ones((3, 20), dtype=bool), 30.0)}},
            r"bool \(3, 20\), expected bool \(2, 20\)",
        ),
        ({"modalities": {"pose": (FRAMES, None, 0.0)}}, "fps of pose is 0.0"),
        ({"modalities": {"pose": (FRAMES, None, float("nan"))}}, "fps of pose is nan"),
        ({"modalities": {"pose": nan_at(True)}}, "pose is nan in frame 1, joint 'left_elbow', channel 'z'; mask"),
        ({"labels": {"exercise": "jump"}}, "exercise is 'jump'; allowed are squat, lunge, walk"),
        ({"labels": {"mood": "good"}}, r"unknown label \['mood'\]; the card has exercise, side"),
        ({"extra": {"subject": 1}}, r"extra columns \['subject'\]"),
        ({"extra": {"video.start": 1}}, r"extra columns \['video.start'\]"),
        ({"extra": {"tempo": object()}}, "no plain value"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, card: dict[str, Any], recordings: list[Any], change: dict[str, Any], message: str
) -> None:
    good = {"id": "new", "subject": "s1", "modalities": {"pose": nan_at(False)}}
    card["protocols"] = {}
    with StoreWriter(tmp_path / "store", card) as store:
        store.add(**recordings[0])
        with pytest.raises((ValueError, TypeError), match=message):
            store.add(**good | change)
        store.add(**good)
    assert Store(tmp_path / "store").ids.tolist() == ["s1_00", "new"]
    assert validate(tmp_path / "store") == []


def test_whole_numbers_stay_whole_where_some_rows_lack_them(tmp_path: Path, card: dict[str, Any]) -> None:
    with StoreWriter(tmp_path / "store", card) as store:
        store.add("a", "s1", {"pose": (FRAMES, None, 30.0)}, extra={"trial": np.int64(1), "tempo": 1.2})
        store.add("b", "s2", {"pose": (FRAMES, None, 30.0)})
    index = Store(tmp_path / "store").index
    assert index["trial"][0] == "1" and index["tempo"][0] == "1.2" and index["trial"].isna().tolist() == [False, True]


def test_an_interrupted_run_belongs_to_its_card(tmp_path: Path, card: dict[str, Any], recordings: list[Any]) -> None:
    path = tmp_path / "small"
    with stopped():
        run(path, card, recordings, 3)
    card["title"] = "Another"
    with pytest.raises(ValueError, match="begun with other settings; finish it with those, or remove it"):
        StoreWriter(path, card)
    with StoreWriter(path, card, resume=False) as store:
        assert not store.done
        store.add(**recordings[0])
    assert Store(path).card["title"] == "Another" and len(Store(path)) == 1


def test_other_refusals(tmp_path: Path, store_path: Path, card: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exists already; remove it or choose another name"):
        StoreWriter(store_path, card)
    with pytest.raises(ValueError, match="no recording was added"), StoreWriter(tmp_path / "empty", card):
        assert (tmp_path / "empty.partial").exists()
    assert not (tmp_path / "empty.partial").exists()
    with pytest.raises(ValueError, match="not open"):
        StoreWriter(tmp_path / "closed", card).add("a", "s1", {"pose": (FRAMES, None, 30.0)})
    with pytest.raises(ValueError, match="card: key 'name' is missing"):
        StoreWriter(tmp_path / "nameless", {k: v for k, v in card.items() if k != "name"})
