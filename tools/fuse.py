"""Score fusion: add the class probabilities of several runs, e.g. of the joint, bone and velocity streams.

``python tools/fuse.py runs/joint runs/bone ... --name fused`` writes ``runs/fused/metrics.json`` and its predictions.
The runs must have the same data, protocol, fold, seed and test recordings. All weigh the same unless told otherwise:

- ``--weights validation`` chooses the weights that predict the validation subjects best (least cross-entropy);
- ``--weights 2 2 1 1`` gives them;
- ``--weights runs/other`` takes those of another fusion, e.g. one that chose them on validation subjects that this
  protocol trains on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import LinearConstraint, minimize

from graphnets.callbacks.record import git_commit, versions
from graphnets.data.files import atomic_path, write_text
from graphnets.data.scripts import run_script
from graphnets.tasks import Classification

EQUAL, VALIDATION = "equal", "validation"
VALIDATION_TABLE = "predictions_val.csv"
SAME = ("dataset", "protocol", "seed", "fold", "n_test", "store_checksum", "subjects")

NEEDED = ("variant", "test", "classes", "parameters", "wall_seconds", "n_train", "n_val", "config")


def fuse(folders: list[Path], weights: list[str], variant: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fuse the runs in ``folders``.

    Args:
        folders: Finished runs with one classification objective each.
        weights: As on the command line.
        variant: What a results table calls the fusion.

    Returns:
        The record and the table of predictions.

    Raises:
        ValueError: A run is unfinished, or the runs can't be compared.
    """
    records = [_record(folder) for folder in folders]
    tables = read_tables(folders, "predictions.csv")
    for folder, record in zip(folders, records, strict=True):
        for key in SAME:
            if record.get(key) != records[0].get(key):
                raise ValueError(f"{folder}: {key} is {record.get(key)!r}, but {records[0].get(key)!r} in {folders[0]}")
    shares = shares_of(weights, folders, [r["variant"] for r in records])
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
        # What was found on validation differs by seed, so it is a result; what the user gave is a setting.
        "weights": [float(share) for share in shares],
        "config": {"fusion": [r["variant"] for r in records], "weights": _rule(weights, shares)},
    }
    return record, table


def read_tables(folders: list[Path], name: str) -> list[pd.DataFrame]:
    """The prediction tables of the runs.

    Raises:
        ValueError: One is missing, or they are of other recordings or classes.
    """
    text = dict.fromkeys(("id", "subject", "true", "predicted"), str)
    tables: list[pd.DataFrame] = []
    for folder in folders:
        if not (folder / name).exists():
            why = " (are there validation subjects in its protocol?)" if name == VALIDATION_TABLE else ""
            raise ValueError(f"{folder}: no {name}{why}")
        table = pd.read_csv(folder / name, dtype=text, keep_default_na=False, na_values=[""])
        _check_table(table, folder / name)
        for what in ("id", "subject", "true"):
            if tables and not table[what].equals(tables[0][what]):
                raise ValueError(f"{folder}: {name} has another column {what!r} than that of {folders[0]}")
        if tables and list(table.columns) != list(tables[0].columns):
            raise ValueError(f"{folder}: {name} has other classes than that of {folders[0]}")
        tables.append(table)
    return tables


def _check_table(table: pd.DataFrame, path: Path) -> None:
    """Raises ValueError unless it holds ids, labels and probabilities."""
    columns = [c for c in table.columns if c.startswith("p[")]
    if not columns or not {"id", "subject", "true", "predicted"} <= set(table.columns):
        raise ValueError(f"{path}: columns are {list(table.columns)}; expected id, subject, true, predicted and p[...]")
    if strange := set(table["true"].dropna()) - {c[2:-1] for c in columns}:
        raise ValueError(f"{path}: labels {sorted(strange)} have no column of probabilities")
    p = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = ~np.isfinite(p).all(1) | (p < 0).any(1) | (abs(p.sum(1) - 1) > 1e-3)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"{path}: row {row} ({table['id'][row]}) holds {p[row].round(4).tolist()}; probabilities are finite, not "
            "negative, and their sum is 1"
        )


def shares_of(weights: list[str], folders: list[Path], variants: list[str]) -> np.ndarray:
    """The share of each run, all together 1.

    Raises:
        ValueError: The weights are not ``equal``, ``validation``, a fusion of the same variants, or a number a run.
    """
    if weights == [EQUAL]:
        return np.full(len(folders), 1 / len(folders))
    if weights == [VALIDATION]:
        return best_shares(read_tables(folders, VALIDATION_TABLE))
    if len(weights) == 1 and Path(weights[0]).is_dir():
        other = _record(Path(weights[0]))
        if "weights" not in other:
            raise ValueError(f"--weights {weights[0]}: not written by tools/fuse.py, its record has no weights")
        if (names := other["config"]["fusion"]) != variants:
            raise ValueError(f"--weights {weights[0]}: a fusion of {names}, but these runs are {variants}")
        return np.array(other["weights"])
    try:
        numbers = np.array([float(w) for w in weights])
    except ValueError:
        raise ValueError(
            f"--weights {' '.join(weights)}: neither {EQUAL!r}, {VALIDATION!r}, the folder of a fusion, nor numbers"
        ) from None
    if len(numbers) != len(folders) or not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.sum() == 0:
        raise ValueError(
            f"weights {numbers.tolist()} for {len(folders)} runs; one each, finite, none below 0, not all 0"
        )
    return numbers / numbers.sum()


def _rule(weights: list[str], shares: np.ndarray) -> Any:
    """How the weights came about, for the record's settings."""
    if weights in ([EQUAL], [VALIDATION]):
        return weights[0]
    if len(weights) == 1 and Path(weights[0]).is_dir():
        other = _record(Path(weights[0]))
        return f"{other['config']['weights']}, on protocol {other['protocol']}"
    return [float(share) for share in shares]


def best_shares(tables: list[pd.DataFrame]) -> np.ndarray:
    """The shares under which the fused probabilities have the least cross-entropy: a convex problem.

    Args:
        tables: Predictions for the validation subjects.

    Raises:
        ValueError: No recording has a label.
    """
    truth = [(row, label) for row, label in enumerate(tables[0]["true"].to_list()) if isinstance(label, str)]
    if not truth:
        raise ValueError("weights can't be chosen on validation: none of its recordings has a label")
    likelihood = np.array([[table[f"p[{label}]"].to_numpy(float)[row] for table in tables] for row, label in truth])

    def cross_entropy(shares: np.ndarray) -> float:
        return float(-np.log(np.maximum(likelihood @ shares, 1e-12)).mean())

    n = len(tables)
    whole = LinearConstraint(np.ones((1, n)), 1, 1)
    found = minimize(cross_entropy, np.full(n, 1 / n), method="SLSQP", bounds=[(0, 1)] * n, constraints=whole)
    if not found.success:
        raise ValueError(f"no weights found on validation: {found.message}; give --weights")
    shares = np.clip(found.x, 0, 1).round(4)
    return shares / shares.sum()


def _record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder}: no metrics.json; is the run finished?") from None
    except ValueError as error:
        raise ValueError(f"{folder / 'metrics.json'}: no JSON: {error}") from None
    if not isinstance(record, dict) or (missing := [key for key in NEEDED if record.get(key) is None]):
        lacks = missing if isinstance(record, dict) else list(NEEDED)
        raise ValueError(f"{folder / 'metrics.json'}: no record of a run, it lacks {', '.join(lacks)}")
    if len(record["classes"]) != 1 or not record["test"]:
        raise ValueError(f"{folder}: fusion needs a tested run with one classification objective")
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuse from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--weights", nargs="+", default=[EQUAL], help="see above; equal by default")
    parser.add_argument("--name", required=True, help="of the fused run")
    parser.add_argument("--variant", default="fusion", help="what a results table calls it")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all runs")
    options = parser.parse_args(arguments)
    folder = options.out / options.name
    if (folder / "metrics.json").exists():
        raise ValueError(f"run {folder} is there already; choose another --name")
    record, table = fuse(options.runs, options.weights, options.variant)
    with atomic_path(folder / "predictions.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    write_text(folder / "metrics.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    for key, value in record["test"].items():
        print(f"test {key} {value:.4f}")
    for run, weight in zip(options.runs, record["weights"], strict=True):
        print(f"weight of {run} {weight:.4f}")
    print(f"wrote {folder / 'metrics.json'}")
    return 0


if __name__ == "__main__":
    run_script(main)
