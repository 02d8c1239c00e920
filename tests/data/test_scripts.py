from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from graphnets.data import Problem, Store
from graphnets.data.scripts import for_subjects, make_console, problem_table, run_script, store_table


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (None, 7, ""),
        (ValueError("[red] is no colour here"), 1, "error: [red] is no colour here\n"),
        (
            OSError(28, "No space left on device", "pose.npy"),
            1,
            "error: [Errno 28] No space left on device: 'pose.npy'\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on\n"),
    ],
)
def test_a_script_ends_readably(
    error: BaseException | None, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(arguments: Sequence[str] | None) -> int:
        assert arguments == ["a"]
        if error is not None:
            raise error
        return 7

    with pytest.raises(SystemExit) as exit:
        run_script(main, ["a"])
    assert exit.value.code == code and capsys.readouterr().err == message


def test_a_mistake_in_the_code_keeps_its_traceback() -> None:
    def main(arguments: Sequence[str] | None) -> int:
        raise AttributeError("oops")

    with pytest.raises(AttributeError):
        run_script(main, [])


def test_a_long_line_of_a_log_is_not_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    problem = Problem("Skeleton/a1_s1_t1_skeleton.mat", None, "20 x 3", "x" * 60 + " and more")
    make_console().print(problem_table([problem], "one problem"))
    assert any(problem.file in line and problem.message in line for line in capsys.readouterr().out.splitlines())


def test_a_table_of_a_store(small_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print(store_table(small_store))
    lines = capsys.readouterr().out.splitlines()
    index = small_store.index
    pose = next(line for line in lines if " pose " in line)
    imu = next(line for line in lines if " imu " in line)
    assert f"{index['pose.length'].sum()}" in pose and "25, 30" in pose and "x, y, z [m]" in pose
    there = index["imu.length"][index["imu.length"] > 0]
    for number in (11, 4, there.sum(), there.min(), there.max(), 50):
        assert f" {number} " in imu


def test_a_path_of_a_store_without_one_modality(tmp_path: Path, make_store, recordings) -> None:  # type: ignore[no-untyped-def]
    for recording in recordings:
        recording["modalities"].pop("imu", None)
    store = Store(make_store(tmp_path / "pose_only", recordings))
    assert store_table(store).row_count == 2


def test_protocols_stay_where_all_their_subjects_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    whole, part = {"train": ["a"], "test": ["b"]}, {"train": ["a"], "val": ["c"], "test": ["b"]}
    card = {"name": "x", "protocols": {"whole": whole, "part": part}}
    assert for_subjects(make_console(), card, ["a", "b", "d"]) == {"name": "x", "protocols": {"whole": whole}}
    assert capsys.readouterr().out == "the protocol part is left out: there are no subjects c\n"
    assert for_subjects(make_console(), {"name": "x"}, ["a"]) == {"name": "x", "protocols": {}}
