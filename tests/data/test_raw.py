from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphnets.data.raw import BadFileError, RawFiles, find_raw, number_rows, read_lines


def test_rows_of_numbers() -> None:
    assert number_rows(["1 2e1", "\t-3 .5 "], ["a", "b"]).tolist() == [[1, 20], [-3, 0.5]]
    assert number_rows(["1, 2", "3 ,4"], ["a", "b"], separator=",").tolist() == [[1, 2], [3, 4]]
    assert number_rows([], ["a", "b"]).shape == (0, 2)


@pytest.mark.parametrize(
    ("lines", "row", "value", "message"),
    [
        (["1 2", "3"], 6, "1 columns", "must have 2: a, b"),
        (["1 2", "3 4 5"], 6, "3 columns", "must have 2: a, b"),
        (["1 2", "", "3 4"], 6, "0 columns", "must have 2: a, b"),
        (["1 x", "y 2"], 5, "x", "b is no finite number, and 1 more"),
        (["1 2", "nan 2"], 6, "nan", "a is no finite number"),
    ],
)
def test_bad_rows(lines: list[str], row: int, value: str, message: str) -> None:
    with pytest.raises(BadFileError) as bad:
        number_rows(lines, ["a", "b"], first=5)
    assert (bad.value.row, bad.value.value, str(bad.value)) == (row, value, message)


def test_lines_of_any_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf1 2\r\n\n\xff\n \n\n")
    assert read_lines(tmp_path / "a") == ["1 2", "", "\ufffd"]


def test_problems_are_noted_and_digests_kept(tmp_path: Path) -> None:
    def bad(path: Path) -> np.ndarray:
        raise BadFileError("x", "is wrong", 3)

    raw = RawFiles()
    (tmp_path / "a").write_text("1")
    assert raw.read("sub/a", tmp_path / "a", read_lines) == ["1"]
    assert raw.read("sub/b", tmp_path / "a", bad) is None and raw.read("sub/c", tmp_path / "c", bad) is None
    assert set(raw.digests) == {"sub/a", "sub/b"}
    assert str(raw.problems[0]) == "sub/b, row 3: 'x': is wrong" and "can't be read" in raw.problems[1].message


def test_the_folder_or_the_only_one_in_it(tmp_path: Path) -> None:
    (tmp_path / "x" / "A").mkdir(parents=True)
    (tmp_path / "y").mkdir()
    assert find_raw(tmp_path / "x", "AB") == find_raw(tmp_path, "AB") == tmp_path / "x"
    with pytest.raises(ValueError, match="must hold the folders D, E and F, or one folder with them; it has A"):
        find_raw(tmp_path / "x", "DEF")
    with pytest.raises(ValueError, match="absent: no such folder"):
        find_raw(tmp_path / "absent", "AB")
