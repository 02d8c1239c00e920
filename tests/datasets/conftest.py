"""Running a recipe as a shell does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from graphnets.data.scripts import run_script


@pytest.fixture
def load_recipe() -> Callable[[str], ModuleType]:
    """``load_recipe("name")`` is the recipe ``datasets/name/prepare.py`` as a module."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).parents[2] / "datasets" / name / "prepare.py"
        spec = importlib.util.spec_from_file_location(f"{name}_prepare", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run(recipe: ModuleType, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``run(raw, store, ...)`` gives the exit code and all that was printed."""

    def call(*arguments: Any) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit:
            run_script(recipe.main, [str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return int(exit.value.code or 0), printed.out + printed.err

    return call


@pytest.fixture
def line_with() -> Callable[..., bool]:
    """``line_with(printed, part, ...)``: is there a line with all the parts?"""
    return lambda printed, *parts: any(all(part in line for part in parts) for line in printed.splitlines())
