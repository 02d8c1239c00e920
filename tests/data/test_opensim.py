from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphnets.data.opensim import read_storage, read_trc
from graphnets.data.raw import BadFileError

TRC = [
    "PathFileType\t4\t(X/Y/Z)\twalk.trc",
    "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
    "100\t100\t3\t2\tmm\t100\t1\t3",
    "Frame#\tTime\tR_HEE\t\t\tL_HEE\t\t\t",
    "\t\tX1\tY1\tZ1\tX2\tY2\tZ2\t",
    "",
    "1\t0.00\t10\t20\t30\t-1\t-2\t-3\t",
    "2\t0.01\t11\t21\t31\t\t\t\t",
    "3\t0.02\t12\t22\t32\t-1.5\t-2e1\t-3\t",
]
MOT = [
    "forces",
    "version=1",
    "nRows=3",
    "nColumns=3",
    "inDegrees=no",
    "endheader",
    "time\tground_force_vy\tground_force_px",
    "      0.000\t      700.5\t  0.25",
    "0.001\t701\t0.26\t",
    "0.002\t\tnan",
]


def put(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


def changed(lines: list[str], row: int, text: str) -> list[str]:
    return [*lines[: row - 1], text, *lines[row:]]


def test_markers_in_metres_and_what_was_not_seen(tmp_path: Path) -> None:
    found = read_trc(put(tmp_path / "a.trc", TRC))
    assert found.names == ("R_HEE", "L_HEE") and found.fps == 100
    assert found.times.tolist() == [0, 0.01, 0.02]
    np.testing.assert_allclose(found.positions[:, 0], np.array([[10, 20, 30], [11, 21, 31], [12, 22, 32]]) / 1000)
    np.testing.assert_allclose(found.positions[2, 1], [-0.0015, -0.02, -0.003])
    assert found.mask.tolist() == [[True, True], [True, False], [True, True]]
    assert np.isnan(found.positions[1, 1]).all()


@pytest.mark.parametrize(
    "lines",
    [
        changed(TRC, 8, "2\t0.01\t11\t21\t31\tnan\tNaN\t nan"),
        changed(TRC, 8, "2\t0.01\t11\t21\t31\t0\t0.0\t0"),
        changed(TRC, 8, "2\t0.01\t11\t21\t31\t\t7\t7\t\t\t"),
        [line.rstrip("\t") if row < 7 else line for row, line in enumerate(TRC)],
        [line for line in TRC if line],
        changed(TRC, 7, "1   0.00  10 20   30 -1   -2 -3"),
    ],
    ids=["nan", "zeros", "one blank, tabs", "no tabs behind", "no blank row", "spaces"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_as_they_are_found(tmp_path: Path, lines: list[str], end: str) -> None:
    whole, found = read_trc(put(tmp_path / "a.trc", TRC)), read_trc(put(tmp_path / "b.trc", lines, end))
    assert found.names == whole.names
    np.testing.assert_array_equal(found.positions, whole.positions)
    np.testing.assert_array_equal(found.mask, whole.mask)


def test_units(tmp_path: Path) -> None:
    for unit, factor in (("m", 1.0), ("cm", 0.01), ("mm", 0.001)):
        lines = changed(TRC, 3, TRC[2].replace("mm", unit))
        assert read_trc(put(tmp_path / "a.trc", lines)).positions[0, 0, 0] == pytest.approx(10 * factor)


# What is wrong, its value, its row, and words of the message.
BAD_TRC = {
    "empty": ([], "0 rows", 1, "must begin with PathFileType"),
    "another file": (MOT, "forces", 1, "must begin with PathFileType"),
    "header alone": (TRC[:3], "3 rows", None, "must have a header of 5"),
    "no rows": (TRC[:6], "0 rows", None, "no row of numbers"),
    "unit": (changed(TRC, 3, TRC[2].replace("mm", "inch")), "inch", 3, "one of mm, cm, m"),
    "rate": (changed(TRC, 3, TRC[2].replace("100", "0", 1)), "0", None, "DataRate in the header must be a number above"),
    "no count": (changed(TRC, 2, TRC[1].replace("NumMarkers", "Number")), "DataRate", None, "lacks NumMarkers"),
    "names": (changed(TRC, 4, "Time\tR_HEE\tL_HEE"), "Time R_HEE", 4, "must begin with Frame# and Time"),
    "twice": (changed(TRC, 4, "Frame#\tTime\tR_HEE\t\t\tR_HEE"), "R_HEE", 4, "this marker is there twice"),
    "count": (changed(TRC, 4, "Frame#\tTime\tR_HEE"), "1 markers", 4, "NumMarkers in row 3 is 2"),
    "cut in the last row": (changed(TRC, 9, "3\t0.02\t12\t2"), "4 cells", 9, "must have 8 (the last row: truncated?)"),
    "a cell too many": (changed(TRC, 7, TRC[6] + "5\t"), "9 cells", 7, "must have 8"),
    "rows missing": (TRC[:8], "2 rows", None, "NumFrames in row 3 is 3"),
    "word": (changed(TRC, 8, "2\t0.01\t11\t21,5\t31\t\t\t\t"), "21,5", 8, "R_HEE Y must be a number"),
    "infinite": (changed(TRC, 8, "2\t0.01\t11\t21\t-inf\t\t\t\t"), "-inf", 8, "R_HEE Z must be finite"),
    "time back": (changed(TRC, 9, "3\t0.01\t12\t22\t32\t1\t2\t3"), "0.01", 9, "must increase, but is 0.01"),
    "no time": (changed(TRC, 9, "3\t\t12\t22\t32\t1\t2\t3"), "", 9, "the time is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TRC)
def test_what_is_wrong_with_markers_is_said(tmp_path: Path, name: str) -> None:
    lines, value, row, words = BAD_TRC[name]
    with pytest.raises(BadFileError) as caught:
        read_trc(put(tmp_path / "a.trc", lines))
    assert (str(caught.value.value).startswith(value), caught.value.row) == (True, row), caught.value.value
    assert words in str(caught.value)


def test_a_table(tmp_path: Path) -> None:
    found = read_storage(put(tmp_path / "a.mot", MOT))
    assert found.columns == ("ground_force_vy", "ground_force_px") and found.header["indegrees"] == "no"
    np.testing.assert_array_equal(found.times, [0, 0.001, 0.002])
    np.testing.assert_array_equal(found.values, [[700.5, 0.25], [701, 0.26], [np.nan, np.nan]])


def test_tables_as_they_are_found(tmp_path: Path) -> None:
    whole = read_storage(put(tmp_path / "a.mot", MOT))
    spaced = [*MOT[:5], "", " EndHeader ", "", *("  ".join(line.split("\t")) for line in MOT[6:9]), "0.002 nan nan", ""]
    found = read_storage(put(tmp_path / "b.sto", spaced, "\r\n"))
    assert found.columns == whole.columns
    np.testing.assert_array_equal(found.values, whole.values)
    old = [line for line in MOT if not line.startswith(("nRows", "nColumns", "version"))]
    np.testing.assert_array_equal(read_storage(put(tmp_path / "c.mot", old)).values, whole.values)


BAD_MOT = {
    "no header": (MOT[6:], "4 rows", None, "no line endheader"),
    "header alone": (MOT[:6], "6 rows", 6, "ends with its header"),
    "no rows": (MOT[:7], "0 rows", None, "no row of numbers"),
    "first column": (changed(MOT, 7, "frame\ta\tb"), "frame", 7, "the first column must be time"),
    "twice": (changed(MOT, 7, "time\ta\ta"), "a", 7, "this column is there twice"),
    "columns": (changed(MOT, 4, "nColumns=4"), "3 columns", None, "nColumns in the header is 4"),
    "rows": (changed(MOT, 3, "nRows=9"), "3 rows", None, "nRows in the header is 9: truncated?"),
    "cut in the last row": (changed(MOT, 10, "0.0"), "1 cells", 10, "must have 3 (the last row: truncated?)"),
    "word": (changed(MOT, 9, "0.001\t7o1\t0.26"), "7o1", 9, "ground_force_vy must be a number"),
    "infinite": (changed(MOT, 9, "0.001\t1e999\t0.26"), "1e999", 9, "ground_force_vy must be finite"),
    "time back": (changed(MOT, 9, "-0.001\t1\t0.26"), "-0.001", 9, "must increase, but is 0 in the row before"),
}


@pytest.mark.parametrize("name", BAD_MOT)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, name: str) -> None:
    lines, value, row, words = BAD_MOT[name]
    with pytest.raises(BadFileError) as caught:
        read_storage(put(tmp_path / "a.mot", lines))
    assert (str(caught.value.value), caught.value.row) == (value, row)
    assert words in str(caught.value)
