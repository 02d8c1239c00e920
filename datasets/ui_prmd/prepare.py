"""UI-PRMD: turn the released text files into a store.

Usage:
    python datasets/ui_prmd/prepare.py RAW STORE [--allow-missing]

RAW holds ``Segmented Movements`` and ``Incorrect Segmented Movements`` with ``Vicon/Positions`` or ``Kinect/Positions``
and ``Kinect/Angles``, or all of these, as they come from the data set's page (see ``card.yaml``): a folder, a .zip, a
.tar.gz or .tar.xz, or a folder with such archives, or with text files packed by gzip. Everything is read and checked
first; nothing is written unless all of it is sound. An interrupted run goes on where it stopped when it is started
again. Classes of exercises that are not there keep their numbers, so that labels of different parts compare.

Positions of the Kinect are offsets from the parent joint in the parent's own frame, those of the waist excepted. They
are put together here: the frame of a joint is that of its parent turned by the joint's three angles,

    frame(joint) = frame(parent) Rz(z) Rx(x) Ry(y),    position(joint) = position(parent) + frame(parent) offset(joint),

with the angles x, y, z in degrees in the order of the columns. The data set's paper calls them a YXZ triplet of Euler
angles, which is this; the Matlab example that comes with it multiplies Rz Ry Rx instead, and starts both arms without
the trunk's turn. On m01_s01_e01, the feet stand still through the squat (within 3 cm) in this order alone of all six,
and rise by 40 cm in the example's; the joints lie 7 to 9 cm from the markers of the same moment, as far as a joint is
below the skin. This was checked on that one recording, frame by frame on a few.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from graphnets.data import StoreWriter
from graphnets.data.archives import RawFile, each_file, read_file, text_lines
from graphnets.data.card import load_card
from graphnets.data.raw import BadFileError, RawFiles, number_rows
from graphnets.data.scripts import (
    already_there,
    make_console,
    note_missing,
    progress_bar,
    refused,
    run_script,
    show_store,
    sourced_card,
)
from graphnets.skeleton import Skeleton

CARD = Path(__file__).with_name("card.yaml")
EXERCISES, SUBJECTS, REPETITIONS = 10, 10, 10
SIZE = (0.8, 3.0)  # metres from one corner of the box around a body to the other; outside, the unit is another
FOLDER = re.compile(r"(?:.*/)?((Incorrect )?Segmented Movements/(Vicon|Kinect)/(Positions|Angles))/([^/]+\.txt)")
FILE = re.compile(r"m(\d\d)_s(\d\d)_e(\d\d)_(positions|angles)(_inc)?\.txt")


class Clip(NamedTuple):
    """One repetition: exercise 1-10, subject 1-10, repetition 1-10, as it should be or not."""

    exercise: int
    subject: int
    repetition: int
    correctness: str

    @property
    def id(self) -> str:
        """The id in the store, e.g. ``m01_s01_e01_correct``."""
        return f"m{self.exercise:02}_s{self.subject:02}_e{self.repetition:02}_{self.correctness}"


class Source(NamedTuple):
    """One kind of file."""

    sensor: str
    content: str

    def name(self, clip: Clip) -> str:
        """The file of a clip, as in the release."""
        wrong = clip.correctness == "incorrect"
        begin = f"m{clip.exercise:02}_s{clip.subject:02}_e{clip.repetition:02}"
        folder = f"{'Incorrect ' * wrong}Segmented Movements/{self.sensor}/{self.content}"
        return f"{folder}/{begin}_{self.content.lower()}{'_inc' * wrong}.txt"


VICON, OFFSETS, ANGLES = Source("Vicon", "Positions"), Source("Kinect", "Positions"), Source("Kinect", "Angles")
MODALITIES = {"pose": VICON, "kinect": OFFSETS}
EVERY_CLIP = {
    Clip(exercise, subject, repetition, correctness)
    for exercise, subject, repetition in product(*(range(1, n + 1) for n in (EXERCISES, SUBJECTS, REPETITIONS)))
    for correctness in ("correct", "incorrect")
}
MISSING_IN_RELEASE: dict[str, set[Clip]] = {
    "pose": {clip for clip in EVERY_CLIP if (clip.exercise, clip.subject) == (3, 3)},
    "kinect": set(),
}

Motion = tuple[np.ndarray, np.ndarray | None]  # metres [T, V, 3], observed [T, V]


@dataclass
class Raw(RawFiles):
    """All that was found, and all that is wrong with it."""

    files: dict[Source, dict[Clip, Any]] = field(default_factory=lambda: {VICON: {}, OFFSETS: {}, ANGLES: {}})
    motions: dict[Clip, dict[str, Motion]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the released text files of UI-PRMD into a store.")
    parser.add_argument("raw", type=Path, help="folder or archive with the segmented movements")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/ui_prmd")
    parser.add_argument("--allow-missing", action="store_true", help="go on when exercises or recordings are missing")
    options = parser.parse_args(arguments)
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    with progress_bar(console) as progress:
        raw = read_all(options.raw, progress)
    if any(raw.files.values()):
        note_missing(console, raw, options.raw, missing(raw), options.allow_missing, "exercises or recordings")
    if refused(console, raw, options.raw):
        return 1
    absent = [clip.id for clip in sorted(EVERY_CLIP - set(raw.motions))]
    write(options.store, raw, sourced_card(console, used_card(card, raw), raw.digests, absent), console)
    show_store(console, options.store)
    return 0


def read_all(path: Path, progress: Progress) -> Raw:
    """Read and check every file, without stopping at the first problem."""
    raw = Raw()
    skeletons = {source: Skeleton.load(name) for source, name in (
        (VICON, "vicon39"), (OFFSETS, "kinect22"), (ANGLES, "kinect22"))}  # fmt: skip
    task = progress.add_task("reading and checking", total=None)
    for file in each_file(path):
        match = FOLDER.fullmatch(file.name)
        if match is None or match.group(3, 4) == ("Vicon", "Angles"):
            continue
        source = Source(match[3], match[4])
        clip = clip_of(raw, source, f"{match[1]}/{match[5]}", bool(match[2]))
        if clip is not None:
            read_one(raw, source, clip, file, skeletons[source])
            progress.advance(task)
    if not any(raw.files.values()) and not raw.problems:
        raw.report(str(path), "", f"holds no file like {VICON.name(Clip(1, 1, 1, 'correct'))}")
    for clip, (x, mask) in raw.files[VICON].items():
        raw.motions.setdefault(clip, {})["pose"] = (x, mask)
    join_kinect(raw, skeletons[OFFSETS])
    return raw


def clip_of(raw: Raw, source: Source, name: str, incorrect: bool) -> Clip | None:
    """The clip of a file, by its name; a strange one is reported."""
    example = source.name(Clip(1, 1, 1, "incorrect" if incorrect else "correct")).rpartition("/")[2]
    match = FILE.fullmatch(name.rpartition("/")[2])
    if match is None or match[4] != source.content.lower() or bool(match[5]) != incorrect:
        raw.report(name, "", f"not a name like {example}")
        return None
    numbers = [int(number) for number in match.group(1, 2, 3)]
    limits = zip(Clip._fields, numbers, (EXERCISES, SUBJECTS, REPETITIONS), strict=False)
    wrong = [f"{part} {value} is not one of 1 to {top}" for part, value, top in limits if not 1 <= value <= top]
    if wrong:
        raw.report(name, "", "; ".join(wrong))
        return None
    exercise, subject, repetition = numbers
    return Clip(exercise, subject, repetition, "incorrect" if incorrect else "correct")


def read_one(raw: Raw, source: Source, clip: Clip, file: RawFile, skeleton: Skeleton) -> None:
    """Read a file, once: the same one may lie in a folder and in an archive beside it."""
    name = source.name(clip)
    if name in raw.digests:
        if hashlib.sha256(file.read()).hexdigest() != raw.digests[name]:
            raw.report(name, "", "two files of this name have different content")
        return
    reader = read_vicon if source == VICON else read_table
    content = read_file(raw, name, file, partial(reader, joints=skeleton.joints))
    if content is not None:
        raw.files[source][clip] = content


def read_table(data: bytes, joints: Sequence[str]) -> np.ndarray:
    """Rows of three numbers a joint, float64 ``[T, V, 3]``.

    Raises:
        BadFileError: There are no rows, or one has another number of columns or something that is no finite number.
    """
    columns = [f"{joint} {axis}" for joint, axis in product(joints, "xyz")]
    values = number_rows(text_lines(data), columns, separator=",")
    if len(values) == 0:
        raise BadFileError(f"{len(data)} bytes", f"no rows; there must be at least one, of {len(columns)} numbers")
    return values.reshape(len(values), len(joints), 3)


def read_vicon(data: bytes, joints: Sequence[str]) -> Motion:
    """The markers of one file in metres, and which were seen.

    Raises:
        BadFileError: As :func:`read_table`, or the body is no body in millimetres.
    """
    millimetres = read_table(data, joints)
    # A marker that the system lost is written as 0, 0, 0.
    observed = (millimetres != 0).any(-1)
    metres = (millimetres / 1000).astype(np.float32)
    check_size(metres, observed, "mm")
    return metres, observed


def check_size(metres: np.ndarray, observed: np.ndarray | None, unit: str) -> None:
    """Refuse what is no body.

    Raises:
        BadFileError: In the median frame, the box around what was seen is smaller or larger than around a person.
    """
    points = metres if observed is None else np.where(observed[..., None], metres, np.nan)
    seen = points[~np.isnan(points).all((1, 2))]
    if len(seen) == 0:
        raise BadFileError("0, 0, 0", "no marker was seen in any frame")
    size = float(np.median(np.linalg.norm(np.nanmax(seen, 1) - np.nanmin(seen, 1), axis=-1)))
    if not SIZE[0] <= size <= SIZE[1]:
        allowed = f"{SIZE[0]:g} to {SIZE[1]:g} m"
        raise BadFileError(f"{size:.3g} m", f"is the size of the body if the file is in {unit}; {allowed} is allowed")


def join_kinect(raw: Raw, skeleton: Skeleton) -> None:
    """Put the Kinect's offsets and angles together."""
    offsets, angles = raw.files[OFFSETS], raw.files[ANGLES]
    for clip in sorted({*offsets, *angles}):
        if clip in offsets and clip in angles:
            try:
                raw.motions.setdefault(clip, {})["kinect"] = (absolute(offsets[clip], angles[clip], skeleton), None)
            except BadFileError as bad:
                raw.report(OFFSETS.name(clip), bad.value, str(bad))
            continue
        here, there = (OFFSETS, ANGLES) if clip in offsets else (ANGLES, OFFSETS)
        if there.name(clip) not in raw.digests:  # where it is bad, that was said
            raw.report(there.name(clip), "", f"missing, though its pair {here.name(clip)} is there")


def absolute(offsets: np.ndarray, angles: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Joints of the Kinect by forward kinematics; see the top of this file.

    Args:
        offsets: Centimetres from the parent in the parent's frame ``[T, V, 3]``; of the root, its position.
        angles: Degrees about x, y and z ``[T, V, 3]``.
        skeleton: The tree.

    Returns:
        Metres, float32 ``[T, V, 3]``.

    Raises:
        BadFileError: The two have different numbers of frames, or the result is no body.
    """
    if len(offsets) != len(angles):
        raise BadFileError(f"{len(offsets)} rows", f"but the file of its angles has {len(angles)}")
    # In lower case, scipy turns about fixed axes: first y, then x, then z.
    own = Rotation.from_euler("yxz", angles[..., [1, 0, 2]].reshape(-1, 3), degrees=True).as_matrix()
    frame = own.reshape(*angles.shape[:2], 3, 3)
    position = offsets.copy()
    for joint, parent in sorted(skeleton.bones, key=lambda bone: skeleton.depths[bone[0]]):
        position[:, joint] = position[:, parent] + np.einsum("tij,tj->ti", frame[:, parent], offsets[:, joint])
        frame[:, joint] = frame[:, parent] @ frame[:, joint]
    metres = (position / 100).astype(np.float32)
    check_size(metres, None, "cm")
    return metres


def missing(raw: Raw) -> list[str]:
    """What is missing of the sensors of which there is anything: exercises, or else recordings."""
    names = []
    for modality, source in MODALITIES.items():
        there = {clip for clip in EVERY_CLIP if source.name(clip) in raw.digests}
        absent = EVERY_CLIP - there - MISSING_IN_RELEASE[modality]
        begun = {clip.exercise for clip in there}
        whole = {clip.exercise for clip in absent} - begun
        names += [f"m{exercise:02} ({source.sensor})" for exercise in sorted(whole) if begun]
        names += [f"{clip.id} ({source.sensor})" for clip in sorted(absent) if clip.exercise in begun]
    return names


def used_card(card: Mapping[str, Any], raw: Raw) -> dict[str, Any]:
    """The card for what is there: its modalities, and which exercises there are."""
    there = {modality for motions in raw.motions.values() for modality in motions}
    exercises = card["labels"]["exercise"]["classes"]
    present = [exercises[number - 1] for number in sorted({clip.exercise for clip in raw.motions})]
    modalities = {name: spec for name, spec in card["modalities"].items() if name in there}
    return {**card, "modalities": modalities, "exercises_present": present}


def write(path: Path, raw: Raw, card: Mapping[str, Any], console: Console) -> None:
    """Write the store; what an interrupted run wrote is kept."""
    exercises = card["labels"]["exercise"]["classes"]
    rates = {name: float(spec["fps"]) for name, spec in card["modalities"].items()}
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.motions), completed=len(writer.done))
        for clip, motions in sorted(raw.motions.items()):
            if clip.id in writer.done:
                continue
            exercise = exercises[clip.exercise - 1]
            writer.add(
                clip.id,
                str(clip.subject),
                {modality: (*motion, rates[modality]) for modality, motion in motions.items()},
                {
                    "exercise": exercise,
                    "correctness": clip.correctness,
                    "mistake": f"{exercise}_{clip.correctness}",
                },
                {"repetition": clip.repetition},
            )
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
