"""Find people's landmarks in videos and put them into a store.

python tools/extract_pose.py squat.mp4 lunge.mov stores/mine --model pose_landmarker_full.task
python tools/extract_pose.py videos/*.mp4 stores/mine --workers 4 --subject anna

Every video is one sequence, called as its file, with the modalities pose2d (pixels, confidence) and pose3d (metres),
both of MediaPipe's 33 landmarks. An interrupted run goes on where it stopped when it is started again. Videos can be
added to a finished store: those that it has already are not gone through again.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from graphnets.data import Problem, Store, StoreWriter
from graphnets.data.files import sha256
from graphnets.data.scripts import make_console, problem_table, progress_bar, run_script, show_store
from graphnets.video import Recording, Settings, VideoReader, find_model
from graphnets.video.recordings import check_settings, ids_of
from graphnets.video.workers import record_all


def main(arguments: Sequence[str] | None = None) -> int:
    """Extract; returns 0 if every video went well, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="extract_pose.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="anything that FFmpeg reads")
    parser.add_argument("store", type=Path, metavar="STORE", help="folder to write, e.g. stores/mine")
    parser.add_argument("--model", type=Path, help="pose_landmarker_full.task ($GRAPHNETS_POSE_MODEL)")
    parser.add_argument("--subject", default="unknown", help="who is seen in these videos (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="videos at the same time (%(default)s)")
    parser.add_argument("--min-visibility", type=float, default=0.5, help="a landmark below is masked (%(default)s)")
    parser.add_argument("--people", type=int, help="look for so many in every frame (2 only where there are 2)")
    parser.add_argument("--skip-damaged", action="store_true", help="go on without the videos that can't be read")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        raise ValueError(f"--workers is {options.workers}; at least 1")
    console = make_console()
    settings = Settings(find_model(options.model), options.min_visibility, options.people)
    card = settings.card()
    videos, announced, problems = check(ids_of(options.videos))
    if problems:
        ending = "going on without" if options.skip_damaged and videos else "nothing was written"
        console.print(problem_table(problems, f"{len(problems)} video(s) can't be used; {ending}"))
        if ending == "nothing was written":
            return 1
    old = found_store(options.store, card)
    videos = match(videos, old, options.store)
    if old is not None and set(videos) <= set(old.ids):
        message = f"{options.store} has all of these videos already: {len(old)} sequences, checksum {old.checksum}"
        console.print(Text(message), soft_wrap=True)
    else:
        problems += extract(options, videos, announced, settings, card, old, console)
        show_store(console, options.store)
    store = Store(options.store)
    console.print(quality_table(store))
    warn(console, store, videos)
    return 1 if problems else 0


def check(videos: Mapping[str, Path]) -> tuple[dict[str, Path], dict[Path, int], list[Problem]]:
    """Open every video: those that can be, how many frames they announce, and what is wrong with the others."""
    sound: dict[str, Path] = {}
    announced: dict[Path, int] = {}
    problems: list[Problem] = []
    for id, path in videos.items():
        try:
            with VideoReader(path) as video:
                sound[id], announced[path] = path, video.announced
        except ValueError as error:
            problems.append(_problem(path, error))
    return sound, announced, problems


def _problem(path: Path, error: ValueError) -> Problem:
    return Problem(str(path), None, "", str(error).removeprefix(f"{path}: "))


def found_store(path: Path, card: Mapping[str, Any]) -> Store | None:
    """The store that is there, if its settings are those of now; None if there is none.

    Raises:
        ValueError: It is another data set or has other settings.
    """
    aside = path.with_name(path.name + ".old")
    if aside.exists() and not path.exists():
        os.replace(aside, path)  # stopped between the two renames of replace_store
    if not path.exists():
        return None
    store = Store(path)
    check_settings(store.card, card, path)
    return store


def match(videos: Mapping[str, Path], old: Store | None, path: Path) -> dict[str, Path]:
    """The videos under the ids by which the store already knows their content, if it does.

    Raises:
        ValueError: The store has another video under the id of one of these.
    """
    known = {} if old is None else dict(zip(old.index["sha256"], old.ids, strict=True))
    named = {known.get(sha256(video), id): video for id, video in videos.items()}
    for id, video in named.items():
        if id in known.values() and known.get(sha256(video)) != id:
            raise ValueError(f"{path} has another video called {id!r}; rename {video}, or choose another folder")
    return named


def extract(
    options: argparse.Namespace,
    videos: Mapping[str, Path],
    announced: Mapping[Path, int],
    settings: Settings,
    card: Mapping[str, Any],
    old: Store | None,
    console: Console,
) -> list[Problem]:
    """Write the store; what an interrupted run wrote, and what the old store holds, is kept."""
    target = options.store if old is None else options.store.with_name(options.store.name + ".new")
    if target != options.store and target.exists():
        shutil.rmtree(target)
    problems: list[Problem] = []
    spent: dict[str, float] = {}
    frames = 0
    with fresh_writer(target, card, videos, old) as writer, progress_bar(console) as progress:
        copy_old(writer, old)
        todo = {id: path for id, path in videos.items() if id not in writer.done}
        bars = Bars(progress, {id: announced[path] for id, path in todo.items()})
        for id, found in record_all(todo, settings, options.workers, bars.tick):
            bars.finish(id)
            if not isinstance(found, Recording):
                problems.append(_problem(videos[id], found))
                continue
            writer.add(id, options.subject, found.modalities, extra=found.extra)
            frames += found.frames
            spent = {stage: spent.get(stage, 0.0) + seconds for stage, seconds in found.spent.items()}
        if problems:
            console.print(problem_table(problems, f"{len(problems)} video(s) can't be used; going on without"))
    if old is not None:
        replace_store(target, options.store)
    if frames:
        total = sum(spent.values())
        stages = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in spent.items())
        console.print(Text(f"{frames} frames, {frames / total:.1f} a second and process: {stages}"), soft_wrap=True)
    return problems


def fresh_writer(path: Path, card: Mapping[str, Any], videos: Mapping[str, Path], old: Store | None) -> StoreWriter:
    """A writer that goes on with an interrupted run, unless a video has changed since or is no longer wanted."""
    writer = StoreWriter(path, card)
    kept = set(old.ids) if old is not None else set()
    for row in writer.rows:
        if row["id"] not in kept and (row["id"] not in videos or row["sha256"] != sha256(videos[row["id"]])):
            return StoreWriter(path, card, resume=False)
    return writer


def copy_old(writer: StoreWriter, old: Store | None) -> None:
    """Take over the sequences of a finished store."""
    for row in range(len(old) if old is not None else 0):
        assert old is not None
        if old.ids[row] in writer.done:
            continue
        motion, known = old[row], old.index.iloc[row]
        modalities = {m: (motion[m].x.numpy(), motion[m].mask.numpy(), motion[m].fps) for m in old.modalities}
        extra = {k: None if v != v else v for k, v in known.items() if "." not in str(k) and k not in ("id", "subject")}
        writer.add(str(old.ids[row]), str(old.subjects[row]), modalities, extra={str(k): v for k, v in extra.items()})


def replace_store(new: Path, path: Path) -> None:
    """Put a store in the place of another; stopped in between, the next run puts the old one back."""
    aside = path.with_name(path.name + ".old")
    if aside.exists():
        shutil.rmtree(aside)
    os.replace(path, aside)
    os.replace(new, path)
    shutil.rmtree(aside)


class Bars:
    """A bar for all frames, in which a video counts as many as it announces."""

    def __init__(self, progress: Progress, announced: Mapping[str, int]) -> None:
        self.progress, self.announced = progress, announced
        self.done = dict.fromkeys(announced, 0)
        self.task = progress.add_task("frames", total=sum(announced.values()))

    def tick(self, id: str, done: int) -> None:
        """So many frames of a video are done."""
        self.done[id] = min(done, self.announced[id])
        self.progress.update(self.task, completed=sum(self.done.values()))

    def finish(self, id: str) -> None:
        """A video is done."""
        self.tick(id, self.announced[id])


COLUMNS = {
    "detection_rate": "person found",
    "visible": "landmarks visible",
    "out_of_frame": "out of frame",
    "several": "several people",
    "jitter": "jitter / trunk",
    "bone_variation": "bones vary",
}


def quality_table(store: Store) -> Table:
    """How well every video went."""
    table = Table(title="quality", title_justify="left")
    table.add_column("id", overflow="fold")
    for name in ("frames", "fps", *COLUMNS.values()):
        table.add_column(name, justify="right")
    for id, (_, row) in zip(store.ids, store.index.iterrows(), strict=True):
        cells = [number(row[column], ".2%" if column == "jitter" else ".1%") for column in COLUMNS]
        fps = f"{row['pose3d.fps']:.2f}" + (" (variable)" if row["variable_rate"] == "True" else "")
        table.add_row(Text(str(id)), str(row["pose3d.length"]), fps, *cells)
    return table


def number(value: Any, form: str) -> str:
    """A number of the index, a dash where there is none."""
    known = float(value) if value is not None and value == value else math.nan
    return format(known, form) if math.isfinite(known) else "-"


def warn(console: Console, store: Store, videos: Mapping[str, Path]) -> None:
    """Say what should be known before these videos are used."""
    for _, row in store.index.iterrows():
        if row["id"] not in videos:
            continue
        found, several = float(row["detection_rate"]), float(row["several"])
        if found == 0:
            message = "nobody was found; all of its frames are masked"
        elif several > 0:
            message = f"{several:.1%} of the frames show several people; one was followed: see whether the right one"
        elif found < 0.5:
            message = f"the person was found in {found:.1%} of the frames only"
        else:
            continue
        console.print(Text(f"warning: {row['id']}: {message}", style="yellow"), soft_wrap=True)


if __name__ == "__main__":
    run_script(main)
