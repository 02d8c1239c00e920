"""Score fusion: add the class probabilities of several runs, e.g. of the joint, bone and velocity streams.

``python tools/fuse.py runs/joint runs/bone ... --name fused`` writes ``runs/fused/metrics.json`` and its predictions.
The runs must have the same data, protocol, fold, seed and test recordings. The weights are fixed beforehand (equal by
default); choose them on validation subjects, never on the result of this tool.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from graphnets.callbacks.record import git_commit, versions
from graphnets.data.files import atomic_path, write_text
from graphnets.tasks import Classification

SAME = ("dataset", "protocol", "seed", "fold", "n_test", "store_checksum", "subjects")


def fuse(folders: list[Path], weights: list[float], variant: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fuse the runs in ``folders``.

    Args:
        folders: Finished runs with one classification objective each.
        weights: One for each run, relative to each other.
        variant: What a results table calls the fusion.

    Returns:
        The record and the table of predictions.

    Raises:
        ValueError: A run is unfinished, or the runs can't be compared.
    """
    records = [_record(folder) for folder in folders]
    text = dict.fromkeys(("id", "subject", "true", "predicted"), str)
    tables = [
        pd.read_csv(folder / "predictions.csv", dtype=text, keep_default_na=False, na_values=[""]) for folder in folders
    ]
    for folder, record, table in zip(folders, records, tables, strict=True):
        for key in SAME:
            if record.get(key) != records[0].get(key):
                raise ValueError(f"{folder}: {key} is {record.get(key)!r}, but {records[0].get(key)!r} in {folders[0]}")
        if list(table.columns) != list(tables[0].columns) or list(table["id"]) != list(tables[0]["id"]):
            raise ValueError(f"{folder}: predictions.csv has other recordings or classes than that of {folders[0]}")
    shares = np.asarray(weights) / np.sum(weights)
    columns = [c for c in tables[0].columns if c.startswith("p[")]
    fused = sum(share * table[columns].to_numpy() for share, table in zip(shares, tables, strict=True))
    [name] = records[0]["classes"]
    classes: list[str] = records[0]["classes"][name]
    objective = Classification(name, len(classes))
    objective.classes = classes
    codes = {c: i for i, c in enumerate(classes)}
    target = torch.tensor([codes.get(c, -1) for c in tables[0]["true"]])
    metrics = objective.metrics()
    logits = torch.from_numpy(np.log(np.maximum(fused, 1e-12)))
    metrics["accuracy"].update(logits, target)
    metrics["macro_f1"].update(logits, target)
    metrics["confusion"].update(logits, target)
    details = objective.details(metrics)
    table = tables[0].copy()
    table[columns] = fused
    table["predicted"] = [classes[i] for i in fused.argmax(1)]
    record = {
        **{key: records[0][key] for key in SAME},
        "n_train": records[0]["n_train"],
        "n_val": records[0]["n_val"],
        "variant": variant,
        "test": {f"{name}/{key}": value for key, value in objective.summarize(metrics).items()},
        "val": {},
        **{key: {name: details[key]} for key in ("per_class", "confusion", "classes")},
        "parameters": sum(r["parameters"] for r in records),
        "wall_seconds": round(sum(r["wall_seconds"] for r in records), 1),
        "git_commit": git_commit(),
        "versions": versions(),
        "config": {
            "fusion": [{"variant": r["variant"], "weight": float(s)} for r, s in zip(records, shares, strict=True)]
        },
    }
    return record, table


def _record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder}: no metrics.json; is the run finished?") from None
    if len(record.get("classes", {})) != 1 or not record["test"]:
        raise ValueError(f"{folder}: fusion needs a tested run with one classification objective")
    return record


def main() -> None:
    """Fuse from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--weights", nargs="+", type=float, help="one for each run; equal by default")
    parser.add_argument("--name", required=True, help="of the fused run")
    parser.add_argument("--variant", default="fusion", help="what a results table calls it")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all runs")
    arguments = parser.parse_args()
    weights = arguments.weights or [1.0] * len(arguments.runs)
    if len(weights) != len(arguments.runs) or min(weights) < 0 or sum(weights) == 0:
        sys.exit(f"error: weights {weights} for {len(arguments.runs)} runs; one each, none below 0, not all 0")
    folder = arguments.out / arguments.name
    if (folder / "metrics.json").exists():
        sys.exit(f"error: run {folder} is there already; choose another --name")
    try:
        record, table = fuse(arguments.runs, weights, arguments.variant)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    with atomic_path(folder / "predictions.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    write_text(folder / "metrics.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    for key, value in record["test"].items():
        print(f"{key} {value:.4f}")
    print(f"wrote {folder / 'metrics.json'}")


if __name__ == "__main__":
    main()
