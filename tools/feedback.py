"""What was the exercise, what was wrong, where and when, and how it would be right.

python tools/feedback.py stores/ui_prmd --run runs/feedback --subject 9 --up z
python tools/feedback.py squats.npy --run runs/feedback --fps 30    # one recording, [frames, joints, 3]
python tools/feedback.py squats.mp4 --run runs/coach                # a video: counted, cut and annotated

Probabilities are calibrated on the run's validation people. Of what is taken for a mistake there are two pictures: the
recording in red with its correction in green, and which joints and moments made it a mistake. A video comes back with
the skeleton, the count, what was said, and the correction beside. Without data of your own, train on the embedded set:
experiments/configs/synthetic/coach.yaml.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from graphnets import viz
from graphnets.calibration import fit_temperature, read_predictions
from graphnets.data import MotionBatch, Store
from graphnets.data.files import write_text
from graphnets.feedback import Feedback, give_feedback
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Task
from graphnets.viz.figure import WRONG

CHUNK = 32
"""Recordings at once."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a store, a .npy file with one recording, or a video")
    parser.add_argument("--run", type=Path, required=True, help="folder of a trained run")
    parser.add_argument("--ids", nargs="+", help="only these recordings of the store")
    parser.add_argument("--subject", nargs="+", help="only these people of the store")
    parser.add_argument(
        "--correct", nargs="+", help="classes that are no mistakes, if their names don't end in correct"
    )
    parser.add_argument("--fps", type=float, default=30.0, help="of a .npy file (%(default)s)")
    parser.add_argument("--model", type=Path, help="for a video: pose_landmarker_full.task ($GRAPHNETS_POSE_MODEL)")
    parser.add_argument(
        "--exercise", help="for a video: count this one by its joint angle; by default whatever repeats"
    )
    parser.add_argument("--out", type=Path, default=Path("feedback"), help="where to write (%(default)s)")
    parser.add_argument("--pictures", type=int, default=6, help="of at most so many mistakes (%(default)s)")
    parser.add_argument(
        "--up", choices=("x", "y", "z", "-x", "-y", "-z"), default="y", help="vertical axis; =-y points down (y)"
    )
    return parser.parse_args(arguments)


def load(run: Path) -> tuple[Task, dict[str, float]]:
    """The run's task as it was tested, and a temperature for each classification that was validated.

    Raises:
        ValueError: There is no checkpoint.
    """
    try:
        tested = str(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["checkpoint"])
    except (OSError, ValueError, KeyError):
        tested = "last epoch"  # not finished
    task = Task.from_checkpoint(run / "checkpoints" / ("last.ckpt" if tested == "last epoch" else tested))
    temperatures = {}
    for name in task.objectives:
        if isinstance(task.objective(name), Classification):
            table = run / f"predictions_val_{name}.csv"
            table = table if table.exists() else run / "predictions_val.csv"
            if table.exists():
                temperatures[name] = fit_temperature(*read_predictions(table))
    return task, temperatures


def chosen(store: Store, args: argparse.Namespace) -> list[int]:
    """Rows of the recordings that were asked for.

    Raises:
        ValueError: There are none, or an id or a subject is unknown.
    """
    rows = np.ones(len(store), dtype=bool)
    for column, wanted in (("id", args.ids), ("subject", args.subject)):
        if wanted:
            there = store.index[column].astype(str)
            if unknown := sorted(set(wanted) - set(there)):
                raise ValueError(f"{store.path} has no {column} {', '.join(unknown[:5])}")
            rows &= there.isin(wanted).to_numpy()
    if not rows.any():
        raise ValueError(f"{store.path}: no recording fits both --ids and --subject")
    return np.flatnonzero(rows).tolist()


def from_file(path: Path, skeleton: Skeleton, fps: float, modality: str) -> MotionBatch:
    """One recording; what isn't finite is taken as unobserved.

    Raises:
        ValueError: The file is no array of positions of this skeleton.
    """
    try:
        x = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not readable as an array: {error}") from None
    joints = skeleton.num_joints
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu":
        raise ValueError(f"{path}: not readable as an array: it holds no numbers")
    if x.ndim != 3 or x.shape[1:] != (joints, 3) or not len(x):
        raise ValueError(f"{path}: shape {x.shape}, expected [frames, {joints}, 3] for skeleton {skeleton.name!r}")
    mask = np.asarray(np.isfinite(x).all(-1))
    if not mask.any() or not fps > 0:
        raise ValueError(f"{path}: no finite position, or --fps {fps} isn't above 0")
    batch = MotionBatch()
    values = torch.from_numpy(np.where(mask[..., None], x, 0).astype(np.float32))[None]
    rate = torch.tensor([fps])
    batch.set_modality(modality, values, torch.from_numpy(mask)[None], rate, skeleton, ("x", "y", "z"))
    batch.put_attributes({"id": [path.stem], "subject": ["?"]})
    return batch


def batches(task: Task, args: argparse.Namespace) -> Iterator[MotionBatch]:
    """What is to be looked at."""
    if args.source.suffix == ".npy":
        yield from_file(args.source, task.encoder.skeleton, args.fps, task.modality)
        return
    store = Store(args.source)
    rows = chosen(store, args)
    seen = task.trained_on if task.trained_on.get("store_checksum") == store.checksum else {}
    known = sorted(set(store.subjects[rows].tolist()) & set(seen.get("subjects", {}).get("train", [])))
    if known:
        print(f"trained on {', '.join(known)}: what is said of them is better than of strangers")
    for k in track(range(0, len(rows), CHUNK), "looking"):
        yield store.read(rows[k : k + CHUNK], [task.modality])


def draw(one: Feedback, batch: MotionBatch, i: int, modality: str, args: argparse.Namespace) -> list[Path]:
    """The pictures of one mistake."""
    sequence = batch.sequence(i)[modality]
    words = ", ".join(f"{c} ({p:.0%})" for c, p in one.said.values())
    written = []
    if one.corrected is not None:
        path = args.out / f"{quote(one.id, safe=' ')}.gif"
        motion = {"fps": float(sequence.fps), "mask": sequence.mask, "title": f"{one.id}: {words}", "up": args.up}
        over = {"overlay": one.corrected[: len(sequence.x)], "overlay_mask": sequence.mask, "color": WRONG}
        written.append(viz.animate(sequence.x[..., :3], sequence.skeleton, path, **motion, **over))
    if one.shares is not None:
        seconds = len(sequence.x) / float(sequence.fps)
        path = args.out / f"{quote(one.id, safe=' ')}_why.png"
        written.append(viz.attribution(one.shares, sequence.skeleton, path, seconds, f"{one.id}: {words}"))
    return written


def show(found: list[Feedback], console: Console) -> None:
    """The table."""
    table = Table(title="feedback")
    names = list(found[0].said)
    for column in ("recording", *names, "above all", "when", "moved"):
        table.add_column(column)
    for one in found:
        joints = ", ".join(f"{joint} {share:.0%}" for joint, share in one.joints[:3])
        when = f"{one.seconds[0]:.1f}-{one.seconds[1]:.1f} s" if one.seconds else ""
        said = [f"{one.said[name][0]} {one.said[name][1]:.0%}" for name in names]
        table.add_row(one.id, *said, joints, when, "" if one.moved is None else f"{one.moved:.3f}")
    console.print(table)


def run(args: argparse.Namespace, console: Console) -> list[Feedback]:
    """Look, write, draw."""
    if not args.source.exists():
        raise ValueError(f"{args.source}: no such store, file or video")
    task, temperatures = load(args.run)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.source.is_file() and args.source.suffix != ".npy":
        return run_video(task, temperatures, args, console)
    found: list[Feedback] = []
    pictures: list[Path] = []
    drawn = 0
    for batch in batches(task, args):
        part = give_feedback(task, batch, temperatures, correct=args.correct)
        found += part
        for i, one in enumerate(part):
            if one.shares is not None and drawn < args.pictures:
                pictures += draw(one, batch, i, task.modality, args)
                drawn += 1
    show(found, console)
    content = {"run": args.run.name, "temperatures": temperatures, "recordings": [one.plain() for one in found]}
    write_text(args.out / "feedback.json", json.dumps(content, indent=1) + "\n")
    if len(temperatures) == 0:
        console.print("no predictions for validation people in the run: not calibrated", soft_wrap=True)
    for path in (args.out / "feedback.json", *pictures):
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    return found


def run_video(task: Task, temperatures: dict[str, float], args: argparse.Namespace, console: Console) -> list[Feedback]:
    """Landmarks, repetitions, feedback, the annotated video."""
    from graphnets.video import find_landmarks, repetitions, smooth
    from graphnets.video.overlay import Said, write_overlay

    clock = [time.perf_counter()]
    with Progress(console=console) as progress:
        bar = progress.add_task("landmarks", total=None)
        landmarks = find_landmarks(args.source, args.model, tick=lambda n: progress.update(bar, completed=n))
        clock.append(time.perf_counter())
        recording = smooth(landmarks)
        skeleton = task.encoder.skeleton
        batch, places = repetitions(recording, skeleton, task.modality, args.exercise)
        found = [] if batch is None else give_feedback(task, batch, temperatures, correct=args.correct)
        clock.append(time.perf_counter())
        said = []
        for i, (one, place) in enumerate(zip(found, places, strict=True)):
            assert batch is not None
            clip, n = batch[task.modality], place.end - place.start + 1
            recorded = clip.x[i, :n].masked_fill(~clip.mask[i, :n, :, None], torch.nan).numpy()
            lines = [f"{name}: {c} {p:.0%}" for name, (c, p) in one.said.items()]
            lines += [", ".join(joint for joint, _ in one.joints[:3])] if one.joints else []
            corrected = None if one.corrected is None else one.corrected[:n].numpy()
            said.append(Said(place.start, place.end, lines, recorded, corrected))
        drawing = progress.add_task("drawing", total=len(landmarks))
        path = args.out / f"{args.source.stem}_feedback.mp4"  # never the video itself
        tick = lambda n: progress.update(drawing, completed=n)  # noqa: E731
        write_overlay(args.source, landmarks, said, skeleton, path, args.source.stem, tick)
        clock.append(time.perf_counter())
    if found:
        show(found, console)
    stages = dict(zip(("landmarks", "feedback", "drawing"), np.diff(clock).round(2).tolist(), strict=True))
    whole = len(landmarks) / (clock[-1] - clock[0])
    console.print(
        f"{len(found)} repetitions; {len(landmarks)} frames, {whole:.0f} a second; seconds by stage: {stages}"
    )
    when = [(place.start / landmarks.fps, place.end / landmarks.fps) for place in places]
    rows = [{**one.plain(), "from": round(a, 2), "to": round(b, 2)} for one, (a, b) in zip(found, when, strict=True)]
    content = {"video": args.source.name, "run": args.run.name, "temperatures": temperatures, "recordings": rows}
    write_text(args.out / "feedback.json", json.dumps(content, indent=1) + "\n")
    for written in (args.out / "feedback.json", path):
        console.print(f"wrote {written}", soft_wrap=True, highlight=False)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run."""
    try:
        run(parse(arguments), Console())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
