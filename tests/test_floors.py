"""Imports go down only: what a floor may know of, and which packages are kept out of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "graphnets"

FLOORS = (
    ("version", "partitions", "skeleton", "spec", "runtime"),
    ("data", "nn", "simulation"),
    ("transforms", "encoders", "heads", "losses", "metrics", "viz"),
    ("tasks", "callbacks", "records", "video", "export", "testing", "calibration"),
    ("explain",),
    ("cli", "feedback"),
)
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
SCRIPTS = ("datasets", "experiments", "tools")
LIGHT = ("nn", "encoders", "heads", "losses", "transforms")  # torch and PyG only
NOT_IN_LIGHT = ("pytorch_lightning", "lightning", "lightning_fabric", "wandb", "mediapipe", "pandas", "matplotlib")
ONLY_IN = {"wandb": {"callbacks", "cli"}, "mediapipe": {"video"}}


class Import(NamedTuple):
    """``unit`` (a module or package right below graphnets, "" for graphnets itself) imports ``name``."""

    unit: str
    name: str
    place: str
    lazy: bool
    """Inside a function."""
    typing: bool
    """Under ``if TYPE_CHECKING``: never run."""


def imports_of(source: str, module: tuple[str, ...], place: str) -> Iterator[Import]:
    """All imports of a source text, relative ones resolved.

    Args:
        source: Python code.
        module: Dotted name of the module below graphnets; a package's ends with ``__init__``.
        place: Of the file, for messages.
    """
    unit = "" if module == ("__init__",) else module[0]
    package = ("graphnets", *module[:-1])
    stack: list[tuple[ast.AST, bool, bool]] = [(ast.parse(source), False, False)]
    while stack:
        node, lazy, typing = stack.pop()
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source_name = ".".join(filter(None, (base, node.module)))
            # "from graphnets import viz" names a unit, "from graphnets import Skeleton" the package itself.
            names = (
                [f"graphnets.{a.name}" if a.name in FLOOR else "graphnets" for a in node.names]
                if source_name == "graphnets"
                else [source_name]
            )
        where = f"{place}:{getattr(node, 'lineno', 0)}"
        yield from (Import(unit, name, where, lazy, typing) for name in names)
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        body = node.body if guarded and isinstance(node, ast.If) else []
        stack += [(child, lazy, typing or child in body) for child in ast.iter_child_nodes(node)]


@cache
def library_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for path in sorted(LIBRARY.rglob("*.py")):
        module = path.relative_to(LIBRARY).with_suffix("").parts
        found += imports_of(path.read_text(encoding="utf-8"), module, str(path.relative_to(ROOT)))
    return tuple(found)


def top(name: str) -> str:
    return name.partition(".")[0]


def unit_of(name: str) -> str | None:
    """The unit of graphnets that an import names; "" for the package itself, None for anything else."""
    head, _, rest = name.partition(".")
    return top(rest) if head == "graphnets" else None


def climbs(found: Import) -> bool:
    """Does an import go up? The package's own ``__init__`` stands on the ground: it shows what lies there."""
    target = unit_of(found.name)
    if target is None or target == found.unit:
        return False
    if target == "":
        return True
    return FLOOR.get(target, 0) > FLOOR.get(found.unit, 0)  # unknown units fail the test above


def too_heavy(found: Import) -> bool:
    """Does an import bring what its unit has to do without?"""
    heavy = top(found.name) in NOT_IN_LIGHT or unit_of(found.name) == "data"  # the data need Lightning and pandas
    if found.unit in LIGHT and heavy and not found.typing:
        return True
    return found.unit not in ONLY_IN.get(top(found.name), {found.unit})


def test_every_unit_has_its_floor() -> None:
    units = {p.stem for p in LIBRARY.glob("*.py")} | {p.parent.name for p in LIBRARY.glob("*/*.py")}
    unknown = units - set(FLOOR) - {"__init__"}
    assert not unknown, f"say in FLOORS of this test on which floor {sorted(unknown)} stand"


def test_imports_go_down() -> None:
    assert [f"{i.place}: {i.name}" for i in library_imports() if climbs(i)] == []


def test_units_of_a_floor_do_not_import_each_other_in_circles() -> None:
    below: dict[str, set[str]] = {unit: set() for unit in FLOOR}
    for found in library_imports():
        target = unit_of(found.name)
        if found.unit and target and target != found.unit and not found.typing:
            below[found.unit].add(target)
    while free := [unit for unit, needs in below.items() if not needs & set(below)]:
        for unit in free:
            del below[unit]
    assert not below, f"these import each other in a circle: { {u: sorted(n & set(below)) for u, n in below.items()} }"


def test_light_units_stay_light_and_services_stay_in_their_place() -> None:
    assert [f"{i.place}: {i.name}" for i in library_imports() if too_heavy(i)] == []


def test_mediapipe_is_imported_when_used() -> None:
    assert [i.place for i in library_imports() if top(i.name) == "mediapipe" and not (i.lazy or i.typing)] == []


def test_the_library_imports_no_scripts() -> None:
    assert [f"{i.place}: {i.name}" for i in library_imports() if top(i.name) in (*SCRIPTS, "tests")] == []


@pytest.mark.parametrize("folder", SCRIPTS)
def test_script_folders_are_no_packages(folder: str) -> None:
    """A top-level package called ``datasets`` would stand in the way of Hugging Face's."""
    assert sorted((ROOT / folder).rglob("__init__.py")) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        (("nn", "graph"), "from graphnets.tasks import Task", "climbs"),
        (("nn", "graph"), "from ..encoders import base", "climbs"),
        (("nn", "graph"), "from graphnets import cli", "climbs"),
        (("nn", "graph"), "from graphnets import Skeleton", "climbs"),
        (("skeleton",), "def f():\n    import graphnets.data.store", "climbs"),
        (("__init__",), "from graphnets.cli import main", "climbs"),
        (("encoders", "x"), "try:\n    import pytorch_lightning.callbacks as c\nexcept ImportError: raise", "heavy"),
        (("losses", "__init__"), "from graphnets.data import MotionBatch", "heavy"),
        (("data", "store"), "import wandb", "heavy"),
        (("callbacks", "x"), "from mediapipe.tasks import python", "heavy"),
        (("encoders", "x"), "from graphnets.nn import blank\nfrom . import base\nimport torch", None),
        (("tasks", "task"), "from graphnets.encoders import Encoder\nimport graphnets.tasks.objective", None),
        (("transforms", "x"), "if TYPE_CHECKING:\n    from graphnets.data import MotionBatch", None),
        (("cli",), "import wandb", None),
        (("__init__",), "from graphnets.skeleton import Skeleton", None),
        (("nn", "__init__"), "from .graph import GraphConv", None),
    ],
)
def test_the_rules_catch_what_they_should(module: tuple[str, ...], source: str, expected: str | None) -> None:
    found = list(imports_of(source, module, "x.py"))
    assert found
    assert any(map(climbs, found)) == (expected == "climbs")
    assert any(map(too_heavy, found)) == (expected == "heavy")
