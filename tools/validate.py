"""Check a store: list everything that is wrong with it, with file, row and value.

python tools/validate.py stores/utd_mhad
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from graphnets.data import Store, validate
from graphnets.data.scripts import make_console, problem_table, run_script, store_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the store; returns 0 for a sound one, 1 otherwise."""
    parser = argparse.ArgumentParser(description="List everything that is wrong with a store.")
    parser.add_argument("store", type=Path, help="folder of the store")
    path = parser.parse_args(arguments).store
    console = make_console()
    if problems := validate(path):
        console.print(problem_table(problems, f"{len(problems)} problem(s) in {path}"))
        return 1
    store = Store(path)
    console.print(store_table(store))
    console.print(Text(f"{path} is sound: {len(store)} sequences, checksum {store.checksum}"), soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_script(main)
