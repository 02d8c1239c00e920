"""Biovision Hierarchy files: a skeleton and its joint angles, turned into joint positions.

Every joint has an ``OFFSET`` from its parent and ``CHANNELS`` in any order; a row of the ``MOTION`` part holds all of
them for one frame. Rotations are in degrees and multiply in the order in which they stand: ``Zrotation Yrotation
Xrotation`` means :math:`R = R_z R_y R_x` on column vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from graphnets.data.raw import BadFileError, number_rows, read_lines

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")


@dataclass(frozen=True)
class Joint:
    """A joint, or an end site, which has no channels and is called ``<joint>_end``."""

    name: str
    parent: int  # -1 = root
    offset: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Bvh:
    """A file's content.

    Attributes:
        joints: In the order of the file, end sites included.
        frame_time: Seconds between frames.
        motion: All channels, float64 ``[T, channels]``.
    """

    joints: tuple[Joint, ...]
    frame_time: float
    motion: np.ndarray

    @property
    def fps(self) -> float:
        """Frames a second; a whole number where the frame time is that number's inverse, rounded when printed."""
        rate = 1.0 / self.frame_time
        return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else rate

    @property
    def tree(self) -> dict[str, str | None]:
        """The parent of every joint by name, in the order of the file: what two files must share to be compared."""
        return {j.name: None if j.parent < 0 else self.joints[j.parent].name for j in self.joints}

    def positions(self) -> np.ndarray:
        """Forward kinematics in float64: where every joint is, ``[T, V, 3]``, in the file's unit.

        A joint's position channels take the place of its offset: files that have them on other joints than the root
        write the whole translation there, and a root's offset is where it stood when the skeleton was made.
        """
        t = len(self.motion)
        place = np.empty((t, len(self.joints), 3))
        turn = np.empty((len(self.joints), t, 3, 3))
        column = 0
        for i, joint in enumerate(self.joints):
            values = self.motion[:, column : column + len(joint.channels)]
            column += len(joint.channels)
            local = np.tile(np.array(joint.offset, dtype=np.float64), (t, 1))
            for k, channel in enumerate(joint.channels):
                if channel.endswith("position"):
                    local[:, "XYZ".index(channel[0])] = values[:, k]
            turned = [k for k, channel in enumerate(joint.channels) if channel.endswith("rotation")]
            order = "".join(joint.channels[k][0] for k in turned)  # upper case: each axis turns with those before
            own = Rotation.from_euler(order, values[:, turned], degrees=True).as_matrix() if order else np.eye(3)
            if joint.parent < 0:
                place[:, i], turn[i] = local, own
            else:
                place[:, i] = place[:, joint.parent] + (turn[joint.parent] @ local[:, :, None])[:, :, 0]
                turn[i] = turn[joint.parent] @ own
        return place

    def skeleton(self, name: str, description: str) -> dict[str, Any]:
        """The hierarchy as a card or :meth:`graphnets.Skeleton.from_dict` wants it; left and right are told by name."""
        names = [joint.name for joint in self.joints]
        swapped = [n.replace("Left", "Right").replace("left", "right").replace("LEFT", "RIGHT") for n in names]
        return {
            "name": name,
            "description": description,
            "joints": names,
            "parents": self.tree,
            "mirror": [[left, right] for left, right in zip(names, swapped, strict=True) if left != right in names],
            "center": [names[0]],
        }


def read_bvh(path: Path) -> Bvh:
    """Read and check a file.

    Raises:
        BadFileError: It is truncated or no BVH file, a joint has wrong channels or a name that was there before, or
            the rows of the motion don't fit the channels or the announced number of frames.
        OSError: It can't be opened.
    """
    lines = read_lines(path)
    starts = [row for row, line in enumerate(lines) if line.strip() == "MOTION"]
    if not starts:
        raise BadFileError(f"{len(lines)} rows", "has no line MOTION: truncated, or no BVH file")
    motion = starts[0]
    tokens = [(word, row) for row, line in enumerate(lines[:motion], 1) for word in _words(line)]
    joints = _Hierarchy(tokens, motion + 1).read()
    frames = _setting(lines, motion + 1, "Frames:")
    frame_time = _setting(lines, motion + 2, "Frame Time:")
    rows = lines[motion + 3 :]
    columns = [f"{joint.name} {channel}" for joint in joints for channel in joint.channels]
    if not columns:
        raise BadFileError("0 channels", "no joint can move", motion + 1)
    values = number_rows(rows, columns, motion + 4)
    if frames != len(rows) or not rows:
        raise BadFileError(f"{len(rows)} rows", f"of motion, but the file announces {frames:g} frames (at least 1)")
    return Bvh(joints, frame_time, values)


def _words(line: str) -> list[str]:
    return line.replace("{", " { ").replace("}", " } ").split()


def _setting(lines: Sequence[str], at: int, name: str) -> float:
    """The positive number after ``name`` in a line."""
    line = lines[at].strip() if at < len(lines) else "end of the file"
    try:
        value = float(line.removeprefix(name)) if line.startswith(name) else np.nan
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value > 0):
        raise BadFileError(line[:60], f"must be {name!r} and a number above 0", at + 1)
    return value


class _Hierarchy:
    """Reads the words of the ``HIERARCHY`` part, each with its row."""

    def __init__(self, tokens: Sequence[tuple[str, int]], last: int) -> None:
        self.tokens = [*tokens, ("MOTION", last)]
        self.at = 0
        self.row = 1  # of the word read last
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: dict[int, tuple[float, float, float]] = {}
        self.channels: dict[int, tuple[str, ...]] = {}

    def read(self) -> tuple[Joint, ...]:
        self._expect("HIERARCHY")
        self._expect("ROOT")
        self._joint(self._next(), -1)
        self._expect("MOTION")
        return tuple(
            Joint(name, parent, self.offsets[i], self.channels.get(i, ()))
            for i, (name, parent) in enumerate(zip(self.names, self.parents, strict=True))
        )

    def _joint(self, name: str, parent: int, end: bool = False) -> None:
        if name in self.names:
            self._refuse(name, "there is a joint of this name already")
        me = len(self.names)
        self.names.append(name)
        self.parents.append(parent)
        self._expect("{")
        while (word := self._next()) != "}":
            if word == "OFFSET":
                self.offsets[me] = (self._number(), self._number(), self._number())
            elif word == "CHANNELS" and not end:
                self.channels[me] = self._channels(name)
            elif word == "JOINT" and not end:
                self._joint(self._next(), me)
            elif word == "End" and not end:
                self._expect("Site")
                self._joint(f"{name}_end", me, end=True)
            else:
                self._refuse(word, f"not expected in {name}")
        if me not in self.offsets:
            self._refuse("}", f"{name} has no OFFSET")

    def _channels(self, name: str) -> tuple[str, ...]:
        count = self._number()
        if count not in range(7):
            self._refuse(f"{count:g}", f"{name} must have 0 to 6 channels")
        found = tuple(self._next() for _ in range(int(count)))
        for channel in found:
            if channel not in CHANNELS or found.count(channel) > 1:
                self._refuse(channel, f"{name} must have {count:g} different channels of {', '.join(CHANNELS)}")
        if self.tokens[self.at][0] in CHANNELS:
            self._refuse(self.tokens[self.at][0], f"{name} announces {count:g} channels and has more")
        return found

    def _next(self) -> str:
        word, self.row = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)  # MOTION fits nowhere inside a joint, hence ends every loop
        return word

    def _expect(self, wanted: str) -> None:
        if (word := self._next()) != wanted:
            self._refuse(word, f"must be {wanted}")

    def _number(self) -> float:
        word = self._next()
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            self._refuse(word, "must be a finite number")
        return value

    def _refuse(self, value: str, message: str) -> None:
        raise BadFileError(value, f"damaged hierarchy: {message}", self.row)
