"""Draw accuracy against cost: run records beside what tools/profile.py measured.

python tools/profile.py experiments/configs/utd_mhad/encoders/*.yaml --frames 32 --json profile.json
python tools/frontier.py experiments/records/utd_mhad_encoders profile.json --protocol cross_subject_val7
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from graphnets.data.scripts import make_console, run_script
from graphnets.records import PERCENT, read_table
from graphnets.viz import Candidate, frontier

COSTS = ("latency of one clip on one core (ms)", "MFLOPs a clip")


def candidates(records: Path, profile: Path, protocol: str | None, metric: str) -> list[Candidate]:
    """A candidate for every variant of the records that was profiled under its name.

    Raises:
        ValueError: A file can't be read, the protocol must be named, or no variant was profiled.
    """
    try:
        rows = json.loads(profile.read_text(encoding="utf-8"))["rows"]
        costs = {
            name: (1000 * median(row["clock"]["latency"]), row["flops"] / 1e6)
            for name, row in rows.items()
            if "latency" in row.get("clock", {})
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{profile}: not written by tools/profile.py --json: {error!r}") from error
    groups = read_table(records)
    protocols = sorted({group.protocol for group in groups})
    if protocol is None and len(protocols) == 1:
        protocol = protocols[0]
    if protocol not in protocols:
        raise ValueError(f"--protocol {protocol}: the records have {', '.join(protocols)}")
    scale = 100 if metric.rsplit("/", 1)[-1] in PERCENT else 1
    found = []
    for group in groups:
        if metric not in group.records[0].test:
            raise ValueError(f"--metric {metric}: the records have {', '.join(group.records[0].test)}")
        if group.protocol == protocol and group.variant in costs:
            mean, sd = group.mean_sd(metric)
            spread = None if sd is None else scale * sd
            found.append(Candidate(group.variant, scale * mean, spread, costs[group.variant]))
    if not found:
        raise ValueError(f"no variant of {records} has a row with latency in {profile}, which has {', '.join(rows)}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, help="folder of a table's records")
    parser.add_argument("profile", type=Path, help="what tools/profile.py --json wrote; its rows are named as variants")
    parser.add_argument("--protocol", help="needed where the records have several")
    parser.add_argument("--metric", default="action/accuracy", help="of the test (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("frontier.png"), help="picture (%(default)s)")
    options = parser.parse_args(arguments)
    found = candidates(options.records, options.profile, options.protocol, options.metric)
    title = f"{options.metric} on the test subjects (mean and sd over seeds) against cost"
    frontier(found, COSTS, options.metric, options.out, title=title)
    make_console().print(f"wrote {options.out}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    run_script(main)
