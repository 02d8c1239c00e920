"""Turn run records into results tables: ``tools/results.py [RECORDS] [--readme README.md]``.

Every folder under the records is a table: the ``*.json`` records of its runs and maybe a ``table.yaml``:

.. code-block:: yaml

    title: UTD-MHAD, cross-subject
    note: Trained for 60 epochs.
    metrics: [action/accuracy, action/macro_f1]  # which, in this order; all by default
    variants: {joint: Joints, bone: Bones}       # order of the rows and their labels
    published:                                   # marked rows below; metric: the first by default
      - {name: CTR-GCN, value: "95.1", source: Chen 2021, metric: action/accuracy}

``--readme`` writes the tables between ``<!-- results:TABLE -->`` and ``<!-- /results -->``; with ``--check``
it only says whether they are up to date. ``--compare A B`` prints the paired differences of two variants.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphnets.data.files import write_text
from graphnets.records import PERCENT, PROPORTIONS, Group, paired_differences, read_table

MARKER = re.compile(r"<!-- (?:results:(?P<table>\S+)|/results) -->")
SPREAD_NOTE = "± is the standard deviation over seeds; the folds of a seed are averaged first."
PAIRS_NOTE = "Pairs share seed and fold; the interval takes them as independent, which folds are not quite."
INTERVAL_NOTE = (
    "The 95 % interval is Wilson's for the mean accuracy at the number of labelled test recordings; seeds "
    "share one test set and don't count as more recordings."
)
LAYOUT = {"title": str, "note": str, "metrics": list, "variants": dict, "published": list}
PUBLISHED = ("name", "value", "source")


@dataclass
class Sheet:
    """A table as text, before it becomes Markdown or goes to the terminal; ``-`` where a row lacks a cell."""

    title: str
    columns: list[str]
    rows: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """The rows in the order of the columns."""
        return [[row.get(column, "-") for column in self.columns] for row in self.rows]


# A folder to a sheet ----------------------------------------------------------------------------------------


def read_layout(folder: Path) -> dict[str, Any]:
    """Read a folder's ``table.yaml``; an empty mapping without one.

    Raises:
        ValueError: It is no YAML, or holds something else than it may.
    """
    path = folder / "table.yaml"
    if not path.is_file():
        return {}
    try:
        layout = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(layout, dict) or not layout.keys() <= LAYOUT.keys():
        raise ValueError(f"{path}: holds {layout!r}; a mapping with the keys {', '.join(LAYOUT)} is expected")
    for key, value in layout.items():
        if not isinstance(value, LAYOUT[key]):
            raise ValueError(f"{path}: {key} is {value!r}; expected a {LAYOUT[key].__name__}")
    names, labels = layout.get("metrics", []), layout.get("variants", {})
    if wrong := [text for text in (*names, *labels, *labels.values()) if not isinstance(text, str)]:
        raise ValueError(f"{path}: metrics and variants are text, not {wrong}")
    if len(set(labels.values())) < len(labels):
        raise ValueError(f"{path}: two variants have the same label: {labels}")
    for row in layout.get("published", []):
        texts = row if isinstance(row, dict) else {}
        fits = set(PUBLISHED) <= texts.keys() <= {*PUBLISHED, "metric"}
        if not fits or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError(
                f"{path}: published row {row!r} needs {', '.join(PUBLISHED)} and may have metric, all "
                "of them text (quote numbers, so that their last digits stay)"
            )
    return layout


def choose_metrics(
    groups: Sequence[Group], layout: Mapping[str, Any], wanted: Sequence[str], folder: Path
) -> list[str]:
    """Which metrics to show: those wanted that the table has, by full name or what follows the last slash.

    By default those of the layout, which must be there, or else all.

    Raises:
        ValueError: A metric of the layout is in no record.
    """
    known = list(dict.fromkeys(name for g in groups for name in g.records[0].test))
    if wanted:
        found = [m for name in wanted for m in known if name in (m, m.rsplit("/", 1)[-1])]
        return list(dict.fromkeys(found))
    chosen: list[str] = layout.get("metrics") or known
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"{folder / 'table.yaml'}: no record has the metrics {unknown}; there are {known}")
    return list(dict.fromkeys(chosen))


def build(folder: Path, wanted: Sequence[str] = ()) -> Sheet | None:
    """The sheet of a table's folder; None where it has no wanted metric.

    Raises:
        ValueError: The records or the layout are refused.
    """
    groups, layout = read_table(folder), read_layout(folder)
    metrics = choose_metrics(groups, layout, wanted, folder)
    if not metrics:
        return None
    labels: dict[str, str] = layout.get("variants", {})
    have = sorted({g.variant for g in groups})
    if unknown := [variant for variant in labels if variant not in have]:
        raise ValueError(f"{folder / 'table.yaml'}: no record has the variants {unknown}; there are {have}")
    order = [*labels, *(variant for variant in have if variant not in labels)]
    groups = sorted(groups, key=lambda g: (g.dataset, g.protocol, order.index(g.variant)))

    rows = [
        {"dataset": g.dataset, "variant": labels.get(g.variant, g.variant), "protocol": g.protocol}
        | {"n": runs(g), "n_test": str(g.n_test), "parameters": f"{g.records[0].parameters:,}"}
        | {"minutes/run": f"{fmean(record.seconds for record in g.records) / 60:.1f}"}
        for g in groups
    ]
    titles = {metric: heading(metric, metrics) for metric in metrics}
    columns = ["dataset"] if len({g.dataset for g in groups}) > 1 else []
    columns += ["variant", "protocol", "n", "n_test"]
    for metric, title in titles.items():
        columns.append(title)
        measured = [(row, g) for row, g in zip(rows, groups, strict=True) if metric in g.records[0].test]
        digits = decimals(metric, [g.mean_sd(metric)[0] for _, g in measured])
        for row, g in measured:
            row[title] = spread(metric, *g.mean_sd(metric), digits)
            if bounds := g.interval(metric):
                row[f"{title}, 95 % interval"] = between(metric, bounds, digits)
        if is_proportion(metric):
            columns.append(f"{title}, 95 % interval")
    # Not the first of those wanted: a published value belongs to one metric, whatever is asked for.
    default = choose_metrics(groups, layout, (), folder)[0]
    for given in layout.get("published", []):
        metric = given.get("metric", default)
        if metric in titles:
            name = f"{given['name']} (published: {given['source']})"
            rows.append({"variant": name, titles[metric]: given["value"]})
        elif not wanted:
            raise ValueError(f"{folder / 'table.yaml'}: {given['name']!r} has metric {metric!r}; shown are {metrics}")
    notes = [layout["note"]] if layout.get("note") else []
    notes += [SPREAD_NOTE, INTERVAL_NOTE] if any(map(is_proportion, metrics)) else [SPREAD_NOTE]
    notes += commits(groups)
    return Sheet(layout.get("title", folder.name), [*columns, "minutes/run", "parameters"], rows, notes)


def runs(group: Group) -> str:
    """How many runs stand behind a row."""
    seeds, folds = len(group.seeds), len(group.one_seed)
    text = f"{seeds} seed{'s' * (seeds > 1)}"
    return text if group.one_seed[0].run[1] is None else f"{seeds * folds} runs ({text}, {folds} folds)"


def commits(groups: Sequence[Group]) -> list[str]:
    """A warning where the records of a table come from several commits, or from a changed tree."""
    found = {re.sub(r"^([0-9a-f]{7})[0-9a-f]+", r"\1", r.git_commit) for g in groups for r in g.records}
    if len(found) == 1 and not any("dirty" in commit for commit in found):
        return []
    legend = " (+dirty: with uncommitted changes)" if any("dirty" in commit for commit in found) else ""
    return [f"Commits behind these records: {', '.join(sorted(found))}{legend}."]


# Numbers to text --------------------------------------------------------------------------------------------


def is_percent(metric: str) -> bool:
    """Is it shown in percent?"""
    return metric.rsplit("/", 1)[-1] in PERCENT


def is_proportion(metric: str) -> bool:
    """Does it have a Wilson interval?"""
    return metric.rsplit("/", 1)[-1] in PROPORTIONS


def heading(metric: str, metrics: Sequence[str] = ()) -> str:
    """The title of a metric's column: without the objective where all shown have the same."""
    one = len({name.split("/", 1)[0] for name in metrics}) == 1
    name = metric.split("/", 1)[-1] if one else metric
    return f"{name} (%)" if is_percent(metric) else name


def decimals(metric: str, values: Sequence[float]) -> int:
    """Two for percent; else what gives the largest value of the column four significant digits."""
    largest = max(map(abs, values), default=0.0)
    if is_percent(metric) or largest == 0:
        return 2
    return min(max(3 - math.floor(math.log10(largest)), 0), 6)


def number(metric: str, value: float, digits: int) -> str:
    """A value in the unit in which it is shown; never as -0.00."""
    return f"{value * (100 if is_percent(metric) else 1):z.{digits}f}"


def spread(metric: str, mean: float, sd: float | None, digits: int, single: str = "one seed") -> str:
    """Mean and standard deviation."""
    value = number(metric, mean, digits)
    return f"{value} ({single})" if sd is None else f"{value} ± {number(metric, sd, digits)}"


def between(metric: str, bounds: tuple[float, float], digits: int) -> str:
    """An interval."""
    return f"[{number(metric, bounds[0], digits)}, {number(metric, bounds[1], digits)}]"


# Sheets to the README and the terminal ----------------------------------------------------------------------


def markdown(sheet: Sheet) -> str:
    """A sheet as Markdown."""
    lines = [f"**{plain(sheet.title)}**", ""]
    lines += ["| " + " | ".join(map(plain, cells)) + " |" for cells in [sheet.columns, *sheet.cells()]]
    lines.insert(3, "|" + " --- |" * len(sheet.columns))
    return "\n".join([*lines, *(f"\n{plain(note)}" for note in sheet.notes)])


def plain(text: str) -> str:
    """Text that breaks neither a Markdown table nor the markers around it."""
    return " ".join(text.split()).replace("|", "\\|").replace("<!--", "&lt;!--")


def fill(readme: str, sheets: Mapping[str, Sheet]) -> str:
    """Put each sheet between its markers, in place of what is there.

    Raises:
        ValueError: Markers are missing, unpaired, or of an unknown table.
    """
    parts, end, inside = [], 0, ""
    seen: set[str] = set()
    for found in MARKER.finditer(readme):
        table = found["table"] or ""
        if bool(table) == bool(inside):
            raise ValueError(f"unpaired marker {found[0]!r}" + (f" after that of table {inside!r}" if inside else ""))
        if table and table not in sheets:
            raise ValueError(f"marker of unknown table {table!r}; there are {', '.join(sheets)}")
        parts.append(f"\n\n{markdown(sheets[inside])}\n\n" if inside else readme[end : found.start()])
        parts.append(found[0])
        inside, end = table, found.end()
        seen.add(table)
    if inside:
        raise ValueError(f"the marker of table {inside!r} has no <!-- /results -->")
    if missing := [table for table in sheets if table not in seen]:
        raise ValueError(f"no markers <!-- results:TABLE --> ... <!-- /results --> for the tables {missing}")
    return "".join([*parts, readme[end:]])


def show(sheet: Sheet) -> None:
    """Print a sheet; in full where the output is no terminal."""
    # Text objects: brackets in a name are no markup.
    table = Table(title=Text(sheet.title))
    for column in sheet.columns:
        table.add_column(Text(column))
    for cells in sheet.cells():
        table.add_row(*map(Text, cells))
    console = Console(width=None if sys.stdout.isatty() else 240)
    console.print(table, *map(Text, sheet.notes), sep="\n")


def compare(folder: Path, a: str, b: str, wanted: Sequence[str]) -> Sheet | None:
    """The paired differences of two variants; None where a table lacks one of them."""
    groups = [g for g in read_table(folder) if g.variant in (a, b)]
    if len({g.variant for g in groups}) < 2:
        return None
    layout = read_layout(folder)
    rows = []
    for metric in choose_metrics(groups, layout, wanted, folder):
        for d in paired_differences(groups, a, b, metric):
            digits = decimals(metric, [d.mean, d.sd or 0.0])
            row = {"dataset": d.dataset, "protocol": d.protocol, "metric": heading(metric)}
            row |= {"difference": spread(metric, d.mean, d.sd, digits, "one pair"), "pairs": str(d.pairs)}
            row |= {"95 % t-interval": between(metric, d.interval, digits)} if d.interval else {}
            rows.append(row | {"unpaired runs": str(d.unpaired)})
    if not rows:
        return None
    columns = ["dataset", "protocol", "metric", "difference", "95 % t-interval", "pairs", "unpaired runs"]
    return Sheet(f"{folder.name}: {a} - {b}", columns, rows, [PAIRS_NOTE])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Results tables from run records.")
    parser.add_argument("records", nargs="?", type=Path, default=Path("experiments/records"), help="folder of tables")
    parser.add_argument("--readme", type=Path, help="write the tables into this file, between its markers")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the README is out of date")
    parser.add_argument("--metric", nargs="+", default=[], help="print these only, e.g. accuracy or action/accuracy")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="print paired differences of two variants")
    options = parser.parse_args(argv)
    if options.check and not options.readme:
        parser.error("--check needs --readme")
    if options.readme and (options.metric or options.compare):
        parser.error("--metric and --compare choose what is printed; the README shows what each table.yaml says")
    try:
        return run(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks; returns the exit status."""
    root: Path = options.records
    folders = sorted(p for p in root.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ValueError(f"{root}: no tables (folders of records)")
    if options.compare:
        a, b = options.compare
        compared = [sheet for folder in folders if (sheet := compare(folder, a, b, options.metric))]
        if not compared:
            raise ValueError(f"{root}: no table has runs of both {a!r} and {b!r} on one data set and protocol")
        for sheet in compared:
            show(sheet)
        return 0
    sheets = {folder.name: sheet for folder in folders if (sheet := build(folder, options.metric))}
    if not sheets:
        raise ValueError(f"{root}: no table has any of the metrics {options.metric}")
    if not options.readme:
        for sheet in sheets.values():
            show(sheet)
        return 0
    try:
        old = options.readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{options.readme}: not readable: {error}") from error
    try:
        new = fill(old, sheets)
    except ValueError as error:
        raise ValueError(f"{options.readme}: {error}") from error
    if options.check and new != old:
        print(
            f"{options.readme} is out of date: run tools/results.py {root} --readme {options.readme}",
            file=sys.stderr,
        )
        return 1
    if new != old:
        write_text(options.readme, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
