"""Look at a prepared data set: a contact sheet of some recordings, and a moving picture of each.

python tools/preview.py stores/utd_mhad
python tools/preview.py stores/utd_mhad --label action=squat --label action=lunge --count 4 --format mp4
python tools/preview.py stores/utd_mhad --per-class 1 --sheet
python tools/preview.py stores/utd_mhad --modality imu --ids a1_s1_t1
python tools/preview.py stores/mechanics --forces --label exercise=squat --count 2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from graphnets import viz
from graphnets.data import Store
from graphnets.simulation.chain import INDEX, forward
from graphnets.simulation.inverse import JOINTS, invert
from graphnets.simulation.worn import PLACES


class UsageError(Exception):
    """The command line asks for something that the store doesn't have or the machine can't do."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="preview.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path, help="folder of the store")
    choice = parser.add_argument_group("which recordings (all by default, then --count of them at random)")
    choice.add_argument("--ids", nargs="+", metavar="ID", help="these, in this order")
    choice.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=CLASS",
        help="only of this class; repeat for more",
    )
    choice.add_argument("--per-class", type=int, metavar="N", help="N at random of every class, see --by")
    choice.add_argument("--by", metavar="NAME", help="the label whose classes --per-class means (the first)")
    choice.add_argument("--count", type=int, default=8, help="how many at random (%(default)s)")
    choice.add_argument("--seed", type=int, default=0, help="of the random choice (%(default)s)")
    drawing = parser.add_argument_group("how they are drawn")
    drawing.add_argument("--modality", help="which modality (the first of the store)")
    drawing.add_argument(
        "--format",
        choices=("gif", "mp4", "png"),
        default="gif",
        help="png is a film strip, with --forces the middle frame",
    )
    drawing.add_argument("--sheet", action="store_true", help="only the contact sheet")
    drawing.add_argument(
        "--forces",
        action="store_true",
        help="ground reactions and sensor axes on the body, and a second view: for stores with pose, grf and cop",
    )
    drawing.add_argument("--out", type=Path, help="folder for the pictures (previews/STORE)")
    drawing.add_argument(
        "--up",
        choices=("x", "y", "z", "-x", "-y", "-z"),
        default="y",
        help="vertical axis; =-y points down (y)",
    )
    drawing.add_argument("--view", choices=("body", "axes"), default="body", help="turn bodies to the front, or not")
    return parser.parse_args(arguments)


def select(store: Store, options: argparse.Namespace, modality: str) -> list[int]:
    """Rows of the store's index that the options ask for, in the order of the index unless ids are given."""
    if options.count < 1 or (options.per_class is not None and options.per_class < 1):
        raise UsageError("--count and --per-class are numbers of 1 or more")
    has = (store.arrays(modality).length > 0).numpy()
    chosen = has & _of_classes(store, options.label)
    if options.ids:
        row_of = {id: row for row, id in enumerate(store.ids)}
        if unknown := [id for id in options.ids if id not in row_of]:
            some = ", ".join(map(str, store.ids[:5]))
            raise UsageError(f"no recording {', '.join(unknown)}; the {len(store)} ids begin with {some}")
        if lacking := [id for id in options.ids if not chosen[row_of[id]]]:
            what = " or none of the labels asked for" if options.label else ""
            raise UsageError(f"{', '.join(lacking)}: no modality {modality!r}{what}")
        return [row_of[id] for id in dict.fromkeys(options.ids)]
    if not chosen.any():
        wanted = f" with {' or '.join(options.label)}" if options.label else ""
        raise UsageError(f"no recording{wanted} has modality {modality!r}: nothing to draw")
    random = np.random.default_rng(options.seed)
    if options.per_class is None:
        return _some(random, np.flatnonzero(chosen), options.count)
    label = options.by or next(iter(store.labels), None)
    if label not in store.labels:
        raise UsageError(f"no label {label!r} for --per-class; there are {', '.join(store.labels) or 'none'}")
    codes = store.codes(label).numpy()
    groups = [np.flatnonzero(chosen & (codes == code)) for code in range(len(store.labels[label]))]
    rows = [row for group in groups for row in _some(random, group, options.per_class)]
    if not rows:
        raise UsageError(f"no recording of the selection has a class of {label!r}: nothing to draw")
    return rows


def _some(random: np.random.Generator, rows: np.ndarray, count: int) -> list[int]:
    return sorted(random.permutation(rows)[:count].tolist())


def _of_classes(store: Store, wanted: Sequence[str]) -> np.ndarray:
    """True for recordings that have one of the wanted classes of every label that is named."""
    classes: dict[str, list[int]] = {}
    for entry in wanted:
        name, _, value = entry.partition("=")
        if name not in store.labels:
            raise UsageError(f"--label {entry}: no label {name!r}; there are {', '.join(store.labels) or 'none'}")
        if value not in store.labels[name]:
            allowed = ", ".join(store.labels[name])
            raise UsageError(f"--label {entry}: {name} has no class {value!r}; allowed are {allowed}")
        classes.setdefault(name, []).append(store.labels[name].index(value))
    chosen = np.ones(len(store), dtype=bool)
    for name, codes in classes.items():
        chosen &= np.isin(store.codes(name).numpy(), codes)
    return chosen


def clip_of(store: Store, row: int, modality: str, title: str = "") -> viz.Clip | None:
    """One recording with id, subject and labels in its title; None where nothing in it was observed."""
    stream = store.read([row], [modality]).sequence(0)[modality]
    if not stream.mask.any():
        return None
    labels = [f"{name} {store.index[name][row]}" for name in store.labels if store.codes(name)[row] >= 0]
    title = title or " · ".join([str(store.ids[row]), f"subject {store.subjects[row]}", *labels])
    return viz.Clip(stream.x, stream.skeleton, stream.fps, stream.mask, stream.channels, title)


def draw(clip: viz.Clip, stem: Path, options: argparse.Namespace, unit: str) -> Path:
    """Write the moving picture of a body, or the curves of a sensor (always PNG)."""
    if not clip.dims:
        path = stem.with_name(stem.name + ".png")
        viz.signals(clip.values, clip.skeleton, path, clip.fps, title=clip.title, channels=clip.channels)
        return path
    path = stem.with_name(f"{stem.name}.{options.format}")
    return viz.animate_clip(clip, path, up=options.up, view=options.view, unit=unit)


def acting(store: Store, row: int) -> tuple[viz.Acting, viz.Clip | None]:
    """Forces and sensors on a recorded body, and its second view if the store has one.

    The store holds what sensors read, not how they lie: their nominal axes follow from the pose.
    """
    read = store.read([row], store.modalities).sequence(0)
    x, grf, cop = (read[name].x.numpy().astype(float) for name in ("pose", "grf", "cop"))
    centre = np.where(read["cop"].mask.numpy()[..., None], cop, np.nan)
    origin, axes = np.zeros((len(x), 0, 3)), np.zeros((len(x), 0, 3, 3))
    skeleton, nodes = store.skeleton("pose"), store.skeleton("imu").joints if "imu" in store.modalities else ()
    if nodes and set(JOINTS) <= set(skeleton.joints) and set(nodes) <= set(PLACES):
        at = {name: x[None, :, skeleton.index(name)] for name in JOINTS}
        # The joints were rounded to 32 bits: limbs count as straight a little earlier.
        moving = forward(invert(at, straight=0.05), 30.0, np.arange(len(x)) / 30.0)
        links = [INDEX[PLACES[node][0]] for node in nodes]
        axes = moving.rotation[0][:, links]
        arm = np.array([PLACES[node][1] for node in nodes])
        origin = moving.position[0][:, links] + np.einsum("tsij,sj->tsi", axes, arm)
    second = next((name for name in ("pose2d_side", "pose2d") if name in store.modalities), None)
    return viz.Acting(grf, centre, origin, axes), None if second is None else clip_of(store, row, second, second)


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """Find out before the work whether its result can be written."""
    if options.format == "mp4" and not options.sheet:
        try:
            viz.find_ffmpeg()
        except RuntimeError as error:
            raise UsageError(str(error)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # only whether one can be made counts
    except OSError as error:
        raise UsageError(f"{folder} is no folder to write to: {error.strerror}; choose another with --out") from error


def preview(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Draw what the options ask for; returns what each written file shows."""
    try:
        store = Store(options.store)
    except ValueError as error:
        raise UsageError(str(error)) from error
    modality = options.modality or store.modalities[0]
    if modality not in store.modalities:
        raise UsageError(f"no modality {modality!r}; there are {', '.join(store.modalities)}")
    if options.forces and (modality != "pose" or not {"pose", "grf", "cop"} <= set(store.modalities)):
        raise UsageError(f"--forces needs the modalities pose, grf and cop; there are {', '.join(store.modalities)}")
    rows = select(store, options, modality)
    if len(rows) > viz.MAX_SHEET:
        raise UsageError(f"{len(rows)} recordings are too many for one contact sheet; {viz.MAX_SHEET} are allowed")
    folder = options.out or Path("previews") / options.store.resolve().name
    prepare(folder, options)
    written: list[tuple[str, Path]] = []
    clips: list[viz.Clip] = []
    for row in track(rows, "drawing", console=Console(stderr=True)):
        clip = clip_of(store, row, modality)
        if clip is None:
            print(f"preview.py: {store.ids[row]} has no observed frame: left out", file=sys.stderr)
            continue
        clips.append(clip)
        if not options.sheet:
            # Quoted, because an id may hold a slash; no two ids become the same name.
            stem = folder / f"{quote(str(store.ids[row]), safe='')}.{modality}"
            if options.forces:
                forces, second = acting(store, row)
                path = stem.with_name(f"{stem.name}.forces.{options.format}")
                unit = store.arrays(modality).unit
                viz.animate_forces(clip, forces, path, second, up=options.up, side=options.view, unit=unit)
                written.append((clip.title, path))
            else:
                written.append((clip.title, draw(clip, stem, options, store.arrays(modality).unit)))
    if not clips:
        raise UsageError("none of the selected recordings has an observed frame: nothing to draw")
    sheet = folder / f"contact_sheet.{modality}.png"
    viz.contact_sheet(clips, sheet, up=options.up, view=options.view)
    return [*written, (f"contact sheet of {len(clips)}", sheet)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, and say what was written; returns the exit status."""
    try:
        written = preview(parse(arguments))
    except UsageError as error:
        print(f"preview.py: {error}", file=sys.stderr)
        return 2
    table = Table("shows", "file")
    for what, path in written:
        table.add_row(escape(what), escape(str(path)))
    # A path is to be copied or piped: outside of a terminal it is never broken.
    Console(width=None if sys.stdout.isatty() else 1000).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
