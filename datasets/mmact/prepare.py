"""MMAct: turn the trimmed sensor files, and the poses of the challenge where there are any, into a store.

Usage:
    python datasets/mmact/prepare.py RAW STORE [--camera 1] [--fps 50] [--allow-missing] [--skip-damaged]

RAW holds the folders ``acc_watch_clip``, ``acc_phone_clip`` and ``gyro_clip`` as they come out of the archives of the
data set's page (see ``card.yaml``), and optionally ``pose``. Everything is read and checked first; nothing is written
unless all of it is sound. Then everything is read again, clip by clip, and written. An interrupted run goes on where it
stopped when it is started again.

Of several people in a picture the pose is that of one for the whole clip: the one for whom the share of joints that
were seen, times the share of steps from frame to frame that a body can make, is largest (see :func:`steadiness`).
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from graphnets.data import StoreWriter
from graphnets.data.card import load_card
from graphnets.data.clock import LONGEST, in_order, interpolate, uniform
from graphnets.data.files import sha256
from graphnets.data.raw import BadFileError, RawFiles, find_raw, number_rows, read_lines
from graphnets.data.scripts import (
    already_there,
    make_console,
    note_missing,
    problem_table,
    progress_bar,
    refused,
    run_script,
    show_store,
    sourced_card,
)

CARD = Path(__file__).with_name("card.yaml")
SUBJECTS, CAMERAS, SCENES, SESSIONS = 20, 4, 4, 5
SENSORS = ("acc_watch_clip", "acc_phone_clip", "gyro_clip")  # three nodes each, in this order
POSE = "pose"
LIMITS = {"subject": SUBJECTS, "cam": CAMERAS, "scene": SCENES, "session": SESSIONS}
DESK = 3  # the scene in which these names mean the actions <name>_desk
AT_DESK = ("using_phone", "talking_on_phone")
MAX_GAP = 0.1  # seconds without a sample of a sensor
VIDEO_FPS = 30.0
STAMP = re.compile(r"(\d{8}_\d\d:\d\d:\d\d)(\.\d{1,6})?")
HEADER = re.compile(r"[\"\s]*time\b.*", re.IGNORECASE)

Samples = tuple[np.ndarray, np.ndarray]  # seconds [T], values [T, 3]; or, for poses, [T, 17, 3] and mask [T, 17]
Modalities = dict[str, tuple[np.ndarray, np.ndarray | None, float]]


class Clip(NamedTuple):
    """One recording: subject 1-20, scene 1-4, session 1-5, and the action's class."""

    subject: int
    scene: int
    session: int
    action: str

    @property
    def id(self) -> str:
        """The id in the store, e.g. ``s01_scene1_session2_walking``."""
        return f"s{self.subject:02}_scene{self.scene}_session{self.session}_{self.action}"


@dataclass
class Raw(RawFiles):
    """All that was found in the raw folder, and all that is wrong with it."""

    files: dict[Clip, dict[str, Path]] = field(default_factory=dict)  # by sensor; the sound ones, once all were read
    missing: list[str] = field(default_factory=list)  # folders and subjects
    counts: dict[str, int] = field(default_factory=dict)  # what should be known though it is not wrong

    def count(self, what: str) -> None:
        """Note one more of something."""
        self.counts[what] = self.counts.get(what, 0) + 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the store; returns the exit code."""
    parser = argparse.ArgumentParser(description="Turn the trimmed sensor files and the poses of MMAct into a store.")
    parser.add_argument("raw", type=Path, help=f"folder with {', '.join(SENSORS)} and optionally {POSE}")
    parser.add_argument("store", type=Path, help="folder to write, e.g. stores/mmact")
    parser.add_argument("--camera", type=int, default=1, choices=range(1, CAMERAS + 1), help="view of the pose")
    parser.add_argument("--fps", type=float, default=50.0, help="samples of the sensors a second (default: 50)")
    parser.add_argument("--allow-missing", action="store_true", help="go on when a sensor or a subject is missing")
    parser.add_argument("--skip-damaged", action="store_true", help="go on without the files that are damaged")
    options = parser.parse_args(arguments)
    if not (math.isfinite(options.fps) and options.fps > 0):
        raise ValueError(f"--fps is {options.fps:g}; it must be above 0")
    console, card = make_console(), load_card(CARD)
    if options.store.exists():
        return already_there(console, options.store, card["name"])
    root = find_raw(options.raw, SENSORS)
    poses = next((at / POSE for at in (root, options.raw) if (at / POSE).is_dir()), None)
    classes = card["labels"]["action"]["classes"]
    with progress_bar(console) as progress:
        raw = list_all(root, poses, options.camera, classes)
        check_all(raw, options.fps, progress)
    left_out = sorted({problem.file for problem in raw.problems})
    if raw.problems and options.skip_damaged:
        console.print(problem_table(raw.problems, f"{len(raw.problems)} problem(s) in {root}; going on without"))
        raw.problems.clear()
    note_missing(console, raw, root, raw.missing, options.allow_missing, "folders or subjects")
    if refused(console, raw, root):
        return 1
    for what, count in sorted(raw.counts.items()):
        console.print(Text(f"{count} {what}", style="yellow"), soft_wrap=True)
    card = {**card, "left_out": left_out, "modalities": used_modalities(card, raw, options.fps, options.camera)}
    write(options.store, raw, sourced_card(console, card, raw.digests, raw.missing), options.fps, console)
    show_store(console, options.store)
    return 0


def list_all(root: Path, poses: Path | None, camera: int, classes: Sequence[str]) -> Raw:
    """Find the files of every clip; strange names are reported."""
    raw = Raw()
    for sensor in SENSORS:
        for path in files_below(root / sensor, ".csv"):
            add_file(raw, sensor, path, path.relative_to(root / sensor).parts, classes)
        if not any(sensor in files for files in raw.files.values()):
            raw.missing.append(sensor)
    wearing = {clip.subject for clip in raw.files}
    raw.missing += [f"subject{subject}" for subject in range(1, SUBJECTS + 1) if subject not in wearing]
    for path in files_below(poses, ".json") if poses is not None else ():
        parts = [part.strip().lower() for part in path.parts[-5:]]
        # What the challenge tests on lies elsewhere, under names that don't tell.
        if not (parts[0].startswith("subject") and parts[1].startswith("cam")):
            raw.count("pose files are not in subject<N>/cam<N>/scene<N>/session<N>/ and are not used")
        elif parts[1] == f"cam{camera}":
            add_file(raw, POSE, path, (parts[0], *parts[2:]), classes)
    for clip in [clip for clip, files in raw.files.items() if list(files) == [POSE]]:
        raw.count("clips have a pose but no file of a sensor and are left out")
        del raw.files[clip]
    return raw


def files_below(folder: Path, suffix: str) -> list[Path]:
    """All files of a kind; some names end in a space, and those with a dot in front are what macOS leaves."""
    found = (path for path in folder.rglob("*") if path.suffix.strip().lower() == suffix)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def add_file(raw: Raw, source: str, path: Path, parts: Sequence[str], classes: Sequence[str]) -> None:
    """Note a file for its clip, by ``subject<N>/scene<N>/session<N>/<action>``, or what is wrong with its place."""
    name = short(source, path)
    matches = [re.fullmatch(r"([a-z]+)(\d+)", part.strip().lower()) for part in parts[:-1]]
    if [match and match[1] for match in matches] != ["subject", "scene", "session"]:
        raw.report(name, "/".join(parts), "is not in subject<N>/scene<N>/session<N>/")
        return
    numbers = {match[1]: int(match[2]) for match in matches if match}
    wrong = [f"{w} {n} is not one of 1 to {LIMITS[w]}" for w, n in numbers.items() if not 1 <= n <= LIMITS[w]]
    action = path.stem.strip().lower()
    if action in AT_DESK and numbers["scene"] == DESK:
        action += "_desk"
    if action not in classes:
        wrong.append(f"the action {action!r} is not one of {', '.join(classes)}")
    if wrong:
        raw.report(name, path.stem, "; ".join(wrong))
        return
    files = raw.files.setdefault(Clip(numbers["subject"], numbers["scene"], numbers["session"], action), {})
    if source not in files:
        files[source] = path
    elif sha256(path) != sha256(files[source]):  # the challenge has the same pose under several protocols
        raw.report(name, path.stem, f"another recording of what {short(source, files[source])} is; there must be one")


def short(source: str, path: Path) -> str:
    """A file's name from the folder of its sensor on."""
    return "/".join(path.parts[len(path.parts) - 1 - path.parts[::-1].index(source) :])


def check_all(raw: Raw, fps: float, progress: Progress) -> None:
    """Read every file without stopping at the first problem; ``raw.files`` keeps those that are sound and not empty."""
    task = progress.add_task("reading and checking", total=len(raw.files))
    for clip in sorted(raw.files):
        content = {}
        for source, path in raw.files[clip].items():
            samples = raw.read(short(source, path), path, read_pose if source == POSE else read_sensor)
            if samples is not None and len(samples[0]) < 2:
                raw.count(f"files of {source} are empty, or hold one sample; they count as missing")
            elif samples is not None:
                content[source] = samples
        if not any(sensor in content for sensor in SENSORS):
            raw.count("clips have no data of any sensor and are left out")
            content = {}
        try:
            on_one_clock(content, fps)
            overlap = [content[s][0] for s in SENSORS if s in content]
            if overlap and max(t[0] for t in overlap) > min(t[-1] for t in overlap):
                raw.count("clips have sensors that never measured at the same time, by their stamps")
        except BadFileError as bad:
            raw.report(clip.id, bad.value, str(bad))
            content = {}
        raw.files[clip] = {source: raw.files[clip][source] for source in content}
        progress.advance(task)
    raw.files = {clip: files for clip, files in raw.files.items() if files}


def read_sensor(path: Path) -> Samples:
    """The samples of one file by time: seconds ``[T]`` and ``x y z [T, 3]``; T = 0 for an empty file.

    Raises:
        BadFileError: A row is not ``time,x,y,z``, or the stamps can't be put in order.
    """
    lines = read_lines(path)
    first = 1
    if lines and HEADER.fullmatch(lines[0]):
        lines, first = lines[1:], 2
    times = np.empty(len(lines))
    for i, line in enumerate(lines):
        if (commas := line.count(",")) != 3:
            raise BadFileError(f"{commas + 1} columns", "must have 4: time, x, y, z", first + i)
        try:
            times[i] = seconds(line.partition(",")[0].strip())
        except ValueError:
            stamp = line.partition(",")[0].strip()
            raise BadFileError(stamp, "time must be YYYYMMDD_HH:MM:SS or YYYYMMDD_HH:MM:SS.fff", first + i) from None
    values = number_rows([line.partition(",")[2] for line in lines], ["x", "y", "z"], first, ",")
    return in_order(times, values, first)


def seconds(stamp: str) -> float:
    """Seconds of a time stamp since 1970; ``.fff`` may be absent. The time zone is the same for all and left open.

    Raises:
        ValueError: It is no such stamp.
    """
    match = STAMP.fullmatch(stamp)
    if match is None:
        raise ValueError(stamp)
    return _whole_seconds(match[1]) + float(match[2] or 0)


@lru_cache(maxsize=1024)
def _whole_seconds(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y%m%d_%H:%M:%S").replace(tzinfo=UTC).timestamp()


def read_pose(path: Path) -> Samples:
    """One person's joints: ``x y confidence [T, 17, 3]`` and which were seen ``[T, 17]``; T = 0 where nobody was.

    Frames run from the first to the last number in the file; a frame without the person is masked.

    Raises:
        BadFileError: It is no JSON of this kind, or a number is not finite.
    """
    try:
        content = json.loads(path.read_bytes() or b"{}")
    except ValueError as error:
        raise BadFileError(f"{path.stat().st_size} bytes", f"damaged, or no JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadFileError(type(content).__name__, "must map frames to people")
    numbers = {key: re.fullmatch(r"\D*(\d+)(\.\w+)?", key) for key in content}
    if odd := [key for key, match in numbers.items() if match is None]:
        raise BadFileError(odd[0][:40], "is no number of a frame")
    frames = {int(match[1]): content[key] for key, match in numbers.items() if match}
    begin, end = min(frames, default=0), max(frames, default=-1)
    if end - begin >= LONGEST * VIDEO_FPS:
        raise BadFileError(f"frames {begin} to {end}", f"a clip has at most {LONGEST * VIDEO_FPS:g} frames")
    tracks: dict[str, np.ndarray] = {}
    for frame, people in sorted(frames.items()):
        if not isinstance(people, dict):
            raise BadFileError(type(people).__name__, f"frame {frame} must map people to joints")
        for who, joints in people.items():
            if joints:
                track = tracks.setdefault(who, np.zeros((end - begin + 1, 17, 3)))
                track[frame - begin] = joints_of(joints, f"frame {frame}, {who}")
    if not tracks:
        return np.empty((0, 17, 3)), np.empty((0, 17), dtype=bool)
    seen = {who: (track[..., :2] != 0).any(-1) & (track[..., 2] > 0) for who, track in tracks.items()}
    best = max(sorted(tracks), key=lambda who: seen[who].mean() * steadiness(tracks[who], seen[who]))
    return (tracks[best], seen[best]) if seen[best].any() else (tracks[best][:0], seen[best][:0])


def joints_of(value: object, place: str) -> np.ndarray:
    """17 joints of a frame, ``[17, 3]``.

    Raises:
        BadFileError: They are of another shape, or not finite.
    """
    try:
        joints = np.array(value, dtype=np.float64)
    except (ValueError, TypeError):
        raise BadFileError(str(value)[:40], f"{place}: must be 17 x (x, y, confidence)") from None
    if joints.shape not in ((17, 3), (51,)):
        raise BadFileError(" x ".join(map(str, joints.shape)), f"{place}: must be 17 x (x, y, confidence)")
    if not np.isfinite(joints).all():
        raise BadFileError(joints[~np.isfinite(joints)][0], f"{place}: not finite")
    return joints.reshape(17, 3)


def steadiness(track: np.ndarray, seen: np.ndarray) -> float:
    """Share of steps between neighbouring frames in which a person moves by less than half their size.

    A track that jumps from one person to another fails this. The size is the median diagonal of the box around the
    joints; a step is the median way of those seen in both frames. 1 where there is no step to judge.
    """
    xy = np.where(seen[..., None], track[..., :2], np.nan)
    there = seen.any(-1)
    box = np.nanmax(xy[there], 1) - np.nanmin(xy[there], 1) if there.any() else np.zeros((1, 2))
    both = (seen[1:] & seen[:-1]).any(-1)
    if not both.any():
        return 1.0
    steps = np.nanmedian(np.linalg.norm(xy[1:] - xy[:-1], axis=-1)[both], axis=-1)
    return float((steps <= np.median(np.linalg.norm(box, axis=-1)) / 2).mean())


def on_one_clock(content: Mapping[str, Samples], fps: float) -> Modalities:
    """All sensors of a clip on one clock that spans them all, each masked where it did not measure; and the pose.

    Raises:
        BadFileError: The sensors lie too far apart.
    """
    spans = {sensor: content[sensor][0][[0, -1]] for sensor in SENSORS if sensor in content}
    out: Modalities = {}
    if spans:
        begin, end = min(first for first, _ in spans.values()), max(last for _, last in spans.values())
        if end - begin > LONGEST:
            starts = ", ".join(f"{sensor} starts after {first - begin:.0f} s" for sensor, (first, _) in spans.items())
            raise BadFileError(
                f"{end - begin:.0f} s", f"from the first to the last sample, at most {LONGEST:g}: {starts}"
            )
        clock = uniform(begin, end, fps)
        x, mask = np.zeros((len(clock), 3 * len(SENSORS), 1)), np.zeros((len(clock), 3 * len(SENSORS)), dtype=bool)
        for k, sensor in enumerate(SENSORS):
            if sensor in content:
                values, observed = interpolate(*content[sensor], clock, MAX_GAP)
                x[:, 3 * k : 3 * k + 3, 0], mask[:, 3 * k : 3 * k + 3] = values, observed[:, None]
        out["imu"] = (x, mask, fps)
    if POSE in content:
        out["pose"] = (*content[POSE], VIDEO_FPS)
    return out


def used_modalities(card: Mapping[str, Any], raw: Raw, fps: float, camera: int) -> dict[str, Any]:
    """The card's modalities with the settings of this run; without poses where there are none."""
    modalities = {name: dict(spec) for name, spec in card["modalities"].items()}
    modalities["imu"]["fps"] = fps
    modalities[POSE]["camera"] = camera
    if not any(POSE in files for files in raw.files.values()):
        del modalities[POSE]
    return modalities


def write(path: Path, raw: Raw, card: Mapping[str, Any], fps: float, console: Console) -> None:
    """Read again and write, clip by clip; what an interrupted run wrote is kept.

    Raises:
        ValueError: A file is no longer what it was when it was checked.
    """
    with StoreWriter(path, card) as writer, progress_bar(console) as progress:
        task = progress.add_task("writing", total=len(raw.files), completed=len(writer.done))
        for clip, files in sorted(raw.files.items()):
            if clip.id in writer.done:
                continue
            try:
                content = {s: read_pose(at) if s == POSE else read_sensor(at) for s, at in files.items()}
                modalities = on_one_clock(content, fps)
            except BadFileError as bad:
                raise ValueError(f"the files of {clip.id} were changed while this ran: {bad}") from bad
            extra = {"scene": clip.scene, "session": clip.session}
            writer.add(clip.id, str(clip.subject), modalities, {"action": clip.action}, extra)
            progress.advance(task)


if __name__ == "__main__":
    run_script(main)
