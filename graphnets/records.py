"""Run records: reading, checking, grouping, and the statistics over seeds and folds.

A run leaves one record. Those of one (dataset, protocol, variant) are a *group*: one row of a results table.
Within a group the folds of a seed are averaged first, weighted equally; mean and sample standard deviation
(``ddof=1``) are then taken over the seeds. Records of a group that differ in more than seed and fold are
refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy import stats

# Shown in percent; stored as fractions.
PERCENT = frozenset(
    {
        "accuracy", "macro_f1", "balanced_accuracy", "nrmse", "nrmse_of_mean",
        "success_mistakes", "success_all", "success_untouched", "success_by_itself", "judge_accuracy", "bone_error",
    }
)  # fmt: skip
# The ones that have no upper limit.
UNLIMITED = frozenset({"nrmse", "nrmse_of_mean", "bone_error"})
# The ones that are a share of the test recordings, hence binomial; the others average over classes.
PROPORTIONS = frozenset({"accuracy"})
TEACHER = "model.objectives.*.init_args.teacher"
JUDGE = "model.objectives.*.init_args.judge"
# Settings that may differ within a group: the run's name, where it reads and writes, its seed and fold, its
# teachers, which are trained with the seed of the run, and the judge of a fold.
UNCOMPARED = (
    "seed_everything", "name", "runs", "wandb", "threads", "data.store", "data.*.fold",
    "trainer.default_root_dir", "trainer.logger", "trainer.logger.*", "model.pretrained",
    TEACHER, TEACHER + ".*", JUDGE,
)  # fmt: skip
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "dataset": str, "protocol": str, "variant": str, "seed": int, "fold": (int, type(None)),
    "n_train": int, "n_val": int, "n_test": int, "subjects": dict, "test": dict, "config": dict,
    "git_commit": str, "store_checksum": str, "versions": dict, "wall_seconds": (int, float),
    "parameters": int,
}  # fmt: skip
LEAST = {"seed": 0, "fold": 0, "n_test": 1, "wall_seconds": 0, "parameters": 0}


@dataclass(frozen=True)
class Record:
    """What the tables need of one run.

    Attributes:
        path: The file.
        key: Dataset, protocol, variant: the group.
        run: Seed, and which fold was tested (None without folds).
        n_test: Test recordings.
        test: Metrics by ``"<objective>/<metric>"``; fractions, not percent.
        labelled: Labelled test recordings by objective, where the record counts them per class.
        subjects: Of the sides ``train``, ``val``, ``test``, sorted.
        config: The resolved config, flat: ``{"data.batch_size": 32}``.
        git_commit: With ``+dirty`` where the tree was changed.
        store_checksum: Of the data.
        seconds: Wall time.
        parameters: How many.
    """

    path: Path
    key: tuple[str, str, str]
    run: tuple[int, int | None]
    n_test: int
    test: dict[str, float]
    labelled: dict[str, int]
    subjects: dict[str, list[str]]
    config: dict[str, Any]
    git_commit: str
    store_checksum: str
    seconds: float
    parameters: int


@dataclass(frozen=True)
class Group:
    """The records of one (dataset, protocol, variant), checked against each other; by seed, then fold."""

    dataset: str
    protocol: str
    variant: str
    seeds: dict[int, list[Record]]

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return [record for records in self.seeds.values() for record in records]

    @property
    def one_seed(self) -> list[Record]:
        """The records of the first seed: together they test each recording once, as those of any seed do."""
        return next(iter(self.seeds.values()))

    @property
    def n_test(self) -> int:
        """Test recordings of one seed, over all its folds."""
        return sum(record.n_test for record in self.one_seed)

    def mean_sd(self, metric: str) -> tuple[float, float | None]:
        """Mean and standard deviation over the seeds of the mean over the folds."""
        return mean_sd([fmean(record.test[metric] for record in folds) for folds in self.seeds.values()])

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % Wilson interval of the mean accuracy at the number of labelled test recordings.

        Not at that number times the seeds: every seed is tested on the same recordings, so more seeds say
        nothing about others. Recordings of one person are alike, which the interval doesn't know: for new
        people the uncertainty is larger. None for a metric that is no proportion of recordings.
        """
        objective, name = metric.split("/", 1)[0], metric.rsplit("/", 1)[-1]
        if name not in PROPORTIONS:
            return None
        n = sum(record.labelled.get(objective, record.n_test) for record in self.one_seed)
        return wilson(self.mean_sd(metric)[0], n)


@dataclass(frozen=True)
class Difference:
    """Paired differences ``a - b`` of a metric; ``sd`` and ``interval`` are None with one pair."""

    dataset: str
    protocol: str
    metric: str
    pairs: int
    unpaired: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None


def mean_sd(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (``ddof=1``); no deviation with one value."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def wilson(p: float, n: int) -> tuple[float, float]:
    r"""The 95 % score interval of a proportion ``p`` of ``n`` (Wilson 1927, J. Am. Stat. Assoc. 22).

    .. math:: \frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4n^2}}{1 + z^2 / n}
    """
    z = float(stats.norm.ppf(0.975))
    center, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (center - half) / (1 + z * z / n)), min(1.0, (center + half) / (1 + z * z / n))


def t_interval(values: list[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean; None with one value."""
    mean, sd = mean_sd(values)
    if sd is None:
        return None
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / math.sqrt(len(values))
    return mean - half, mean + half


def read_record(path: str | Path) -> Record:
    """Read one record.

    Raises:
        ValueError: It is no JSON object, a key is missing or of the wrong type, or a metric is no finite
            number (a percent metric: no fraction); all problems in one message.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path}: a record is a JSON object, not {type(data).__name__}")
    if problems := list(_problems(data)):
        raise ValueError(f"{path}: " + "; ".join(problems))
    return Record(
        path=path,
        key=(data["dataset"], data["protocol"], data["variant"]),
        run=(data["seed"], data["fold"]),
        n_test=data["n_test"],
        test={name: float(value) for name, value in data["test"].items()},
        labelled=dict(_labelled(data)),
        subjects={side: sorted(map(str, data["subjects"][side])) for side in ("train", "val", "test")},
        config=dict(_flat(data["config"])),
        git_commit=data["git_commit"],
        store_checksum=data["store_checksum"],
        seconds=float(data["wall_seconds"]),
        parameters=data["parameters"],
    )


def read_table(folder: str | Path) -> list[Group]:
    """Read the records of a folder (``*.json``) as groups, sorted by dataset, protocol and variant.

    Raises:
        ValueError: There is none, one can't be read, or :func:`group` refuses them.
    """
    records, problems = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            records.append(read_record(path))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    if not records:
        raise ValueError(f"{folder}: no records (*.json)")
    return group(records)


def group(records: Iterable[Record]) -> list[Group]:
    """Group records by dataset, protocol and variant.

    Raises:
        ValueError: A run is there twice, records of a group differ in more than seed and fold, or folds are
            missing.
    """
    found: dict[tuple[str, str, str], dict[tuple[int, int | None], Record]] = {}
    for record in records:
        twin = found.setdefault(record.key, {}).setdefault(record.run, record)
        if twin is not record:
            dataset, protocol, variant = record.key
            raise ValueError(
                f"{twin.path} and {record.path} are the same run: dataset {dataset!r}, "
                f"protocol {protocol!r}, variant {variant!r}, seed {record.run[0]}, fold {record.run[1]}"
            )
    groups = []
    for key, runs in sorted(found.items()):
        seeds: dict[int, list[Record]] = {}
        for run in sorted(runs, key=_by_seed_and_fold):
            seeds.setdefault(run[0], []).append(runs[run])
        _check_alike(list(runs.values()))
        if any(fold is not None for _, fold in runs):
            for folds in seeds.values():
                _check_folds(folds)
        groups.append(Group(*key, seeds))
    return groups


def paired_differences(groups: Iterable[Group], a: str, b: str, metric: str) -> list[Difference]:
    """Compare two variants run by run: same dataset, protocol, seed and fold.

    The t-interval takes the pairs as independent. Folds share training data, which makes it too narrow.

    Args:
        groups: Of one table.
        a: A variant.
        b: Another.
        metric: ``"<objective>/<metric>"``.

    Returns:
        One difference, as a fraction, for each (dataset, protocol) in which both variants have the metric.

    Raises:
        ValueError: The partners of a pair were tested on different data, or no two runs make a pair.
    """
    sides: dict[tuple[str, str], dict[str, dict[tuple[int, int | None], Record]]] = {}
    for g in groups:
        if g.variant in (a, b) and metric in g.records[0].test:
            sides.setdefault((g.dataset, g.protocol), {})[g.variant] = {r.run: r for r in g.records}
    differences = []
    for (dataset, protocol), both in sides.items():
        if not (both.keys() >= {a, b}):
            continue
        left, right = both[a], both[b]
        shared = [run for run in left if run in right]
        if not shared:
            raise ValueError(f"{a!r} and {b!r} share no (seed, fold): {list(left)} and {list(right)}")
        for run in shared:
            _check_test_set(left[run], right[run])
        values = [left[run].test[metric] - right[run].test[metric] for run in shared]
        unpaired = len(left) + len(right) - 2 * len(shared)
        found = (*mean_sd(values), t_interval(values))
        differences.append(Difference(dataset, protocol, metric, len(shared), unpaired, *found))
    return differences


# Checks -----------------------------------------------------------------------------------------------------


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    for key, kind in REQUIRED.items():
        if key not in data:
            yield f"key {key!r} is missing"
        elif not isinstance(data[key], kind) or isinstance(data[key], bool):
            yield f"{key} is {data[key]!r}, of type {type(data[key]).__name__}"
        elif key in LEAST and data[key] is not None and not LEAST[key] <= data[key] < math.inf:
            yield f"{key} is {data[key]!r}, must be at least {LEAST[key]}"
    if isinstance(data.get("subjects"), dict):
        for side in ("train", "val", "test"):
            names = data["subjects"].get(side)
            if not isinstance(names, list) or (side != "val" and not names):
                yield f"subjects {side!r} are {names!r}, not a list of names"
    if isinstance(data.get("test"), dict):
        if not data["test"]:
            yield "test holds no metric"
        for name, value in data["test"].items():
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
                yield f"test metric {name!r} is {value!r}, not a finite number"
            elif name.rsplit("/", 1)[-1] in PERCENT - UNLIMITED and not 0 <= value <= 1:
                yield f"test metric {name!r} is {value!r}; it is stored as a fraction, 0 to 1"


def _check_alike(records: list[Record]) -> None:
    """The records of a group: all have one config and one store, all of a fold one test set."""
    first, of_fold = records[0], {record.run[1]: record for record in reversed(records)}
    for record in records[1:]:
        _check_same("parameters", first, record, first.parameters, record.parameters)
        _check_same("the names of the test metrics", first, record, sorted(first.test), sorted(record.test))
        _check_same("store_checksum", first, record, first.store_checksum, record.store_checksum)
        _check_test_set(of_fold[record.run[1]], record)
        # Which checkpoint a run starts from may differ by seed, but not whether there is one.
        starts = [r.config.get("model.pretrained") is not None for r in (first, record)]
        _check_same("starting from a checkpoint", first, record, *starts)
        # Likewise the teachers, but not whether there is one, or one for each subject.
        taught = [sorted(key for key in r.config if fnmatchcase(key, TEACHER + "*")) for r in (first, record)]
        _check_same("settings of teachers", first, record, *taught)
        for key in sorted(first.config.keys() | record.config.keys()):
            if not any(fnmatchcase(key, pattern) for pattern in UNCOMPARED):
                a, b = (r.config.get(key, "(absent)") for r in (first, record))
                _check_same(f"config {key!r}", first, record, a, b)


def _check_test_set(first: Record, second: Record) -> None:
    _check_same("store_checksum", first, second, first.store_checksum, second.store_checksum)
    _check_same("n_test", first, second, first.n_test, second.n_test)
    _check_same("the test subjects", first, second, first.subjects["test"], second.subjects["test"])
    for name in sorted(first.labelled.keys() & second.labelled.keys()):
        a, b = first.labelled[name], second.labelled[name]
        _check_same(f"the labelled test recordings of {name!r}", first, second, a, b)


def _check_same(what: str, first: Record, second: Record, a: Any, b: Any) -> None:
    if a != b:
        raise ValueError(f"{first.path} and {second.path} differ in {what}: {a!r} and {b!r}")


def _check_folds(records: list[Record]) -> None:
    """The folds of a seed test every subject exactly once, but for those who validate by name."""
    seed = records[0].run[0]
    folds = {record.path.name: record.run[1] for record in records}
    where = f"{records[0].path.parent}, {' / '.join(records[0].key)}, seed {seed}, folds {folds}"
    if None in folds.values():
        raise ValueError(f"{where}: either all records of a variant have a fold or none has")
    tested = [subject for record in records for subject in record.subjects["test"]]
    known = {subject for record in records for side in record.subjects.values() for subject in side}
    listed = "data.protocol.init_args.val_subjects."
    held = {str(value) for key, value in records[0].config.items() if key.startswith(listed)}
    if untested := sorted(known - held - set(tested)):
        raise ValueError(f"{where}: the folds are incomplete, none tests the subjects {untested}")
    if twice := sorted({subject for subject in tested if tested.count(subject) > 1}):
        raise ValueError(f"{where}: several folds test the subjects {twice}")


def _by_seed_and_fold(run: tuple[int, int | None]) -> tuple[int, int]:
    return run[0], -1 if run[1] is None else run[1]


def _labelled(data: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Labelled test recordings by objective; no more than were tested, where an objective counts frames."""
    per_class = data.get("per_class")
    for objective, classes in per_class.items() if isinstance(per_class, dict) else ():
        rows = list(classes.values()) if isinstance(classes, dict) else []
        counts: list[Any] = [row.get("n") if isinstance(row, dict) else None for row in rows]
        if all(isinstance(n, int) for n in counts) and sum(counts) > 0:
            yield objective, min(sum(counts), data["n_test"])


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and lists, by dotted path."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    children = [(f"{prefix}.{key}" if prefix else str(key), child) for key, child in inner]
    if not children:
        yield prefix, value
    for path, child in children:
        yield from _flat(child, path)
