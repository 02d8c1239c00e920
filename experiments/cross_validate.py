"""Train every fold with every seed: resumable, several at once, one W&B group, a table at the end.

python experiments/cross_validate.py --folds 7 --seeds 1 2 3 --workers 2 --name imu8 \
    --config experiments/configs/tan2022/imu8.yaml --data.store stores/tan2022
python experiments/cross_validate.py --folds 7 --baseline ridge --name ridge --config ... --data.store ...

All other arguments are those of train.py; in them {fold} and {seed} stand for numbers, e.g. in a teacher's checkpoint,
runs/teacher_f{fold}_s{seed}/checkpoints/last.ckpt. Runs that are finished are not done again, interrupted ones go on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from graphnets.records import mean_sd, read_record

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """One run."""

    name: str
    fold: int
    seed: int
    command: tuple[str, ...]


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line: what is ours, and what goes on to every run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--name", required=True, help="runs are called NAME_f<fold>_s<seed>")
    parser.add_argument("--folds", type=int, required=True, help="how many the protocol has")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workers", type=int, default=1, help="runs at once, of one thread each (%(default)s)")
    parser.add_argument("--baseline", choices=["ridge", "mean"], help="this instead of a training")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (%(default)s)")
    parser.add_argument("--records", type=Path, help="copy the records there when all are done")
    args, rest = parser.parse_known_args(arguments)
    if args.folds < 2 or args.workers < 1 or len(set(args.seeds)) < len(args.seeds):
        parser.error("--folds is at least 2, --workers at least 1, and --seeds are different")
    if not {"--config", "--from-record"} & {a.partition("=")[0] for a in rest}:
        parser.error("give the --config of a run")
    return args, rest


def jobs(args: argparse.Namespace, rest: Sequence[str]) -> list[Job]:
    """Every fold with every seed; a baseline knows no chance, so the first seed will do."""
    found = []
    for seed in args.seeds[:1] if args.baseline else args.seeds:
        for fold in range(args.folds):
            filled = [a.replace("{fold}", str(fold)).replace("{seed}", str(seed)) for a in rest]
            name = f"{args.name}_f{fold}_s{seed}"
            script = ["baseline.py", args.baseline] if args.baseline else ["train.py"]
            own = ["--name", name, "--runs", str(args.runs), "--seed_everything", str(seed)]
            own += ["--data.protocol.init_args.fold", str(fold)]
            quiet = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
            command = (sys.executable, str(HERE / script[0]), *script[1:], *filled, *own, *quiet)
            found.append(Job(name, fold, seed, command))
    return found


def work(job: Job, runs: Path) -> str | None:
    """Do one, unless it is done; what went wrong, if anything."""
    folder = runs / job.name
    if (folder / "metrics.json").exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with log.open("a", encoding="utf-8") as stream:
        code = subprocess.run(job.command, stdout=stream, stderr=subprocess.STDOUT, env=environment).returncode
    if code == 0 and (folder / "metrics.json").exists():
        return None
    last = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{job.name}: exit status {code}, see {log}: {last[-1] if last else 'nothing said'}"


def table(done: Sequence[Job], runs: Path, title: str) -> Table:
    """Each metric over folds, and over seeds after folds were averaged."""
    records = {job: read_record(runs / job.name / "metrics.json") for job in done}
    folds = {record.config.get("data.protocol.init_args.folds") for record in records.values()} - {None}
    if folds - {len({job.fold for job in done})}:
        raise ValueError(f"the protocol has {', '.join(map(str, folds))} folds; --folds must be that many")
    shown = Table(title=title)
    for column in ("test metric", "mean", "sd over seeds", "sd over folds", "worst fold", "best fold"):
        first = column == "test metric"
        shown.add_column(column, justify="left" if first else "right", no_wrap=first, overflow="fold")
    seeds, numbers = sorted({job.seed for job in done}), sorted({job.fold for job in done})
    for metric in next(iter(records.values())).test:
        value = {(job.seed, job.fold): record.test.get(metric) for job, record in records.items()}
        if any(v is None for v in value.values()):
            continue
        known = {key: v for key, v in value.items() if v is not None}
        mean, over_seeds = mean_sd([fmean(known[s, f] for f in numbers) for s in seeds])
        each = [fmean(known[s, f] for s in seeds) for f in numbers]
        spread = mean_sd(each)[1]
        cells = (mean, over_seeds, spread, min(each), max(each))
        shown.add_row(metric, *("-" if v is None else f"{v:.4f}" for v in cells))
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all, show the table."""
    args, rest = parse(arguments)
    console = Console()
    every = jobs(args, rest)
    with Progress(console=console) as progress, ThreadPoolExecutor(args.workers) as pool:
        bar = progress.add_task(f"{args.name}: {len(every)} runs", total=len(every))

        def one(job: Job) -> str | None:
            problem = work(job, args.runs)
            progress.advance(bar)
            if problem:
                progress.console.print(problem, soft_wrap=True, highlight=False, markup=False)
            return problem

        problems = [p for p in pool.map(one, every) if p]
    if problems:
        sys.exit(f"error: {len(problems)} of {len(every)} runs failed; the same command does these again")
    try:
        shown = table(every, args.runs, f"{args.name}: {args.folds} folds")
    except ValueError as error:
        sys.exit(f"error: {error}")
    console.print(shown)
    if args.records:
        args.records.mkdir(parents=True, exist_ok=True)
        for job in every:
            shutil.copyfile(args.runs / job.name / "metrics.json", args.records / f"{job.name}.json")
        console.print(f"wrote {len(every)} records to {args.records}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
