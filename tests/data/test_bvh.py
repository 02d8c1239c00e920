from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graphnets.data.bvh import Bvh, Joint, read_bvh
from graphnets.data.raw import BadFileError
from graphnets.skeleton import Skeleton

TEXT = """HIERARCHY
ROOT Hips
{
\tOFFSET 1.0 2.0 3.0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
\tJOINT LeftLeg
\t{
\t\tOFFSET 0.5 -4.0 0.0
\t\tCHANNELS 3 Xrotation Zrotation Yrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0.0 -3.0 0.25
\t\t}
\t}
\tJOINT RightLeg
\t{
\t\tOFFSET -0.5 -4.0 0.0
\t\tCHANNELS 3 Yrotation Xrotation Zrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0.0 -3.0 0.25
\t\t}
\t}
}
MOTION
Frames: 3
Frame Time: 0.002083
0 90 0 0 0 0 0 0 0 0 0 0
1.5 91 -2 10 20 30 -40 50 60 70 -80 5
-1 92 4 -170 85 33 12.5 0 -90 179 45 -1e1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.bvh"
    file.write_text(TEXT)
    return file


def turn(axis: str, degrees: float) -> list[list[float]]:
    """A rotation about an axis, right-handed, on column vectors; written out."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return {
        "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]  # fmt: skip


def product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(len(b[0]))] for i in range(3)]


def walked(bvh: Bvh, frame: int) -> list[list[float]]:
    """Joint positions of one frame: a loop over joints and plain lists, each turned by its whole chain of ancestors."""
    columns = itertools.accumulate((len(j.channels) for j in bvh.joints), initial=0)
    firsts = list(columns)[:-1]

    def own(i: int) -> tuple[list[list[float]], list[float]]:
        joint, rotation, place = bvh.joints[i], [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], list(bvh.joints[i].offset)
        for k, channel in enumerate(joint.channels):
            value = float(bvh.motion[frame, firsts[i] + k])
            if channel.endswith("rotation"):
                rotation = product(rotation, turn(channel[0], value))
            else:
                place["XYZ".index(channel[0])] = value
        return rotation, place

    out = []
    for i in range(len(bvh.joints)):
        point, at = [[0.0], [0.0], [0.0]], i
        while at >= 0:  # from the joint outwards to the world
            rotation, place = own(at)
            point = [[place[k] + product(rotation, point)[k][0]] for k in range(3)]
            at = bvh.joints[at].parent
        out.append([row[0] for row in point])
    return out


def test_a_file_is_read(path: Path) -> None:
    bvh = read_bvh(path)
    assert [j.name for j in bvh.joints] == ["Hips", "LeftLeg", "LeftLeg_end", "RightLeg", "RightLeg_end"]
    assert [j.parent for j in bvh.joints] == [-1, 0, 1, 0, 3]
    assert bvh.joints[3] == Joint("RightLeg", 0, (-0.5, -4.0, 0.0), ("Yrotation", "Xrotation", "Zrotation"))
    assert bvh.joints[2].channels == () and bvh.motion.shape == (3, 12) and bvh.motion.dtype == np.float64
    assert bvh.frame_time == 0.002083 and bvh.fps == 480.0


@pytest.mark.parametrize(("frame_time", "fps"), [(1 / 120, 120.0), (0.0333333, 30.0), (0.00213, 1 / 0.00213)])
def test_a_rate_is_whole_where_its_inverse_was_rounded(frame_time: float, fps: float) -> None:
    assert Bvh((), frame_time, np.empty((0, 0))).fps == fps


def test_positions_by_hand(path: Path) -> None:
    """At rest everything hangs below the hips; a quarter turn about z (x to y) lays the leg to the right of it."""
    text = TEXT.replace("0 90 0 0 0 0 0 0 0 0 0 0", "0 90 0 90 0 0 90 0 0 0 0 0")
    rest, turned = read_bvh(path).positions()[0], None
    path.write_text(text)
    turned = read_bvh(path).positions()[0]
    assert rest.tolist() == [[0, 90, 0], [0.5, 86, 0], [0.5, 83, 0.25], [-0.5, 86, 0], [-0.5, 83, 0.25]]
    # Hips z 90: (x, y, z) -> (-y, x, z). The left leg's own x 90 comes first for its end: (0, -3, .25) -> (0, -.25, -3).
    expected = [[0, 90, 0], [4, 90.5, 0], [4.25, 90.5, -3], [4, 89.5, 0], [7, 89.5, 0.25]]
    np.testing.assert_allclose(turned, expected, atol=1e-12)


def test_positions_against_a_plain_loop(path: Path) -> None:
    bvh = read_bvh(path)
    positions = bvh.positions()
    assert positions.shape == (3, 5, 3) and positions.dtype == np.float64
    for frame in range(3):
        np.testing.assert_allclose(positions[frame], walked(bvh, frame), atol=1e-12)


@pytest.mark.parametrize("order", [*itertools.permutations("XYZ", 3), *itertools.permutations("XYZ", 2), "Y", ""])
def test_any_order_of_rotations(order: tuple[str, ...]) -> None:
    """Also two axes, one or none, and positions between the rotations, on joints that are not the root."""
    rng = np.random.default_rng(len(order))
    channels = [f"{axis}rotation" for axis in order]
    mixed = tuple([*channels[:1], "Zposition", *channels[1:], "Xposition"])
    joints = (
        Joint("a", -1, (1, 2, 3), (*channels, "Yposition")),
        Joint("b", 0, (0.3, 0.1, -2), tuple(channels)),
        Joint("c", 1, (1, 1, 1), mixed),
        Joint("c_end", 2, (0, 1, 0.5), ()),
    )
    bvh = Bvh(joints, 0.01, rng.uniform(-180, 180, (6, sum(len(j.channels) for j in joints))))
    for frame, positions in enumerate(bvh.positions()):
        np.testing.assert_allclose(positions, walked(bvh, frame), atol=1e-10)
    if order:
        assert not np.allclose(bvh.positions()[0], bvh.positions()[1])


def test_bones_keep_their_length(path: Path) -> None:
    bvh = read_bvh(path)
    x = bvh.positions()
    for i, joint in enumerate(bvh.joints[1:], 1):
        length = np.linalg.norm(x[:, i] - x[:, joint.parent], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(joint.offset), rtol=1e-12)


def test_the_skeleton_of_a_card(path: Path) -> None:
    skeleton = Skeleton.from_dict(read_bvh(path).skeleton("mine", "Of a file."))
    assert skeleton.joints == ("Hips", "LeftLeg", "LeftLeg_end", "RightLeg", "RightLeg_end")
    assert skeleton.parents == (-1, 0, 1, 0, 3) and skeleton.mirror_pairs == ((1, 3), (2, 4))
    assert skeleton.center == ("Hips",) and len(skeleton.edges) == 4


def test_other_white_space_is_the_same(path: Path) -> None:
    bvh = read_bvh(path)
    compact = TEXT.replace("\n{", " {").replace("\t", "  ").replace("\n", "\r\n") + "\r\n\n"
    path.write_text(compact, newline="")
    twin = read_bvh(path)
    assert twin.joints == bvh.joints and np.array_equal(twin.motion, bvh.motion)


def replaced(old: str, new: str) -> Callable[[str], str]:
    assert old in TEXT
    return lambda text: text.replace(old, new, 1)


FAULTS: dict[str, tuple[Callable[[str], str], int | None, str, str]] = {
    "empty": (lambda text: "", None, "0 rows", "no line MOTION"),
    "another file": (lambda text: "<html>404</html>\n", None, "1 rows", "no line MOTION"),
    "no hierarchy": (lambda text: text.removeprefix("HIERARCHY\n"), 1, "ROOT", "must be HIERARCHY"),
    "no root": (replaced("ROOT", "JOINT"), 2, "JOINT", "must be ROOT"),
    "open": (lambda text: text.replace("}\nMOTION", "MOTION"), 24, "MOTION", "not expected in Hips"),
    "closed twice": (lambda text: text.replace("}\nMOTION", "}\n}\nMOTION"), 25, "}", "must be MOTION"),
    "twice": (replaced("JOINT RightLeg", "JOINT LeftLeg"), 15, "LeftLeg", "a joint of this name already"),
    "words": (replaced("OFFSET 0.5 -4.0", "OFFSET 0.5 four"), 8, "four", "must be a finite number"),
    "nan": (replaced("OFFSET 0.5 -4.0", "OFFSET 0.5 nan"), 8, "nan", "must be a finite number"),
    "no offset": (replaced("\t\tOFFSET 0.5 -4.0 0.0\n", ""), 13, "}", "LeftLeg has no OFFSET"),
    "too few channels": (
        replaced("3 Xrotation Zrotation Yrotation", "3 Xrotation Zrotation"),
        10,
        "End",
        "LeftLeg must have 3 different channels of Xposition",
    ),
    "too many channels": (
        replaced("3 Xrotation Zrotation", "2 Xrotation Zrotation"),
        9,
        "Yrotation",
        "LeftLeg announces 2 channels and has more",
    ),
    "the same channel": (
        replaced("3 Xrotation Zrotation Y", "3 Xrotation Xrotation Y"),
        9,
        "Xrotation",
        "3 different channels",
    ),
    "no channel": (replaced("3 Xrotation", "3 Wrotation"), 9, "Wrotation", "different channels of"),
    "half a channel": (replaced("CHANNELS 3 X", "CHANNELS 2.5 X"), 9, "2.5", "0 to 6 channels"),
    "strange word": (replaced("\t\tCHANNELS 3 X", "\t\tSCALE 3 X"), 9, "SCALE", "not expected in LeftLeg"),
    "no frames": (replaced("Frames: 3", "Frame: 3"), 26, "Frame: 3", "must be 'Frames:' and a number above 0"),
    "no time": (replaced("0.002083", "0"), 27, "Frame Time: 0", "must be 'Frame Time:' and a number above 0"),
    "cut in the header": (lambda text: text[: text.index("Frame Time")], 27, "end of the file", "'Frame Time:'"),
    "cut in the motion": (lambda text: text[: text.index("-1 92")], None, "2 rows", "announces 3 frames"),
    "cut in a row": (lambda text: text[: text.index(" -90 179")], 30, "8 columns", "must have 12: Hips Xposition"),
    "more frames": (replaced("Frames: 3", "Frames: 2"), None, "3 rows", "announces 2 frames"),
    "text in the motion": (replaced("-2 10 20", "-2 10 x20"), 29, "x20", "Hips Yrotation is no finite number"),
    "infinite": (replaced("-2 10 20 30", "inf 10 20 1e999"), 29, "inf", "Hips Zposition is no finite number, and 1 more"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_what_is_wrong_is_said_with_its_row(name: str, path: Path) -> None:
    change, row, value, message = FAULTS[name]
    path.write_text(change(TEXT))
    with pytest.raises(BadFileError) as bad:
        read_bvh(path)
    assert (bad.value.row, str(bad.value.value)) == (row, value) and message in str(bad.value), bad.value


def test_a_body_that_cannot_move(path: Path) -> None:
    path.write_text("HIERARCHY ROOT a { OFFSET 0 0 0 }\nMOTION\nFrames: 1\nFrame Time: 1\n\n")
    with pytest.raises(BadFileError, match="no joint can move"):
        read_bvh(path)


@pytest.mark.parametrize("share", np.linspace(0.01, 0.99, 60).tolist())
def test_a_file_cut_anywhere_is_damaged_or_lacks_digits(path: Path, share: float) -> None:
    path.write_text(TEXT[: int(len(TEXT) * share)])
    try:
        bvh = read_bvh(path)
    except BadFileError:
        return
    # Cut within the very last number there is nothing to see.
    assert share > 0.985 and bvh.motion.shape == (3, 12)
