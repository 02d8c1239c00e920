"""Run records, against hand-computed numbers and broken records."""

from __future__ import annotations

import copy
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from graphnets.records import (
    Group,
    mean_sd,
    paired_differences,
    read_record,
    read_table,
    t_interval,
    wilson,
)

PEOPLE = ["s1", "s2", "s3", "s4", "s5", "s6"]


def make(seed: int = 0, fold: int | None = None, accuracy: float = 0.9, **changes: Any) -> dict[str, Any]:
    """A sound record. Folds are three: fold k tests the subjects 2k+1 and 2k+2."""
    test = PEOPLE[4:] if fold is None else PEOPLE[2 * fold : 2 * fold + 2]
    rest = [name for name in PEOPLE if name not in test]
    return {
        "dataset": "utd_mhad", "protocol": "cross_subject", "variant": "joint", "seed": seed, "fold": fold,
        "n_train": 300, "n_val": 60, "n_test": 200 if fold is None else 100 + fold,
        "subjects": {"train": rest[1:], "val": rest[:1], "test": test},
        "test": {"action/accuracy": accuracy, "action/loss": 0.5},
        "per_class": {"action": {"squat": {"n": 60, "recall": None}, "bow": {"n": 30, "recall": 0.9}}},
        "config": {
            "seed_everything": seed, "name": f"run{seed}", "model": {"lr": 0.001, "widths": [48, 96]},
            "data": {"store": f"/data/{seed}", "batch_size": 32, "protocol": {"init_args": {"fold": fold}}},
        },
        "git_commit": "0123456789abcdef", "store_checksum": "c0ffee", "versions": {"torch": "2.13"},
        "wall_seconds": 120.0 + seed, "parameters": 1000,
        **changes,
    }  # fmt: skip


def write(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for i, record in enumerate(records):
        (folder / f"run{i}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def only(folder: Path, *records: dict[str, Any]) -> Group:
    (found,) = read_table(write(folder, *records))
    return found


def changed(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one nested value set."""
    record = copy.deepcopy(record)
    *parents, last = path.split(".")
    inner = record
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return record


# Statistics -------------------------------------------------------------------------------------------------


def test_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    values = [0.90, 0.93, 0.87]
    found = only(tmp_path, *(make(seed, accuracy=value) for seed, value in enumerate(values)))
    mean, sd = found.mean_sd("action/accuracy")
    assert mean == pytest.approx(0.90)
    assert sd == pytest.approx(0.03)  # sqrt((0 + 0.03^2 + 0.03^2) / 2)
    assert sd == pytest.approx(statistics.stdev(values))
    assert found.n_test == 200 and list(found.seeds) == [0, 1, 2]


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    assert only(tmp_path, make()).mean_sd("action/accuracy") == (0.9, None)


def test_folds_are_averaged_first_and_equally(tmp_path: Path) -> None:
    table = {0: [0.6, 0.7, 0.8], 1: [0.9, 0.9, 0.6], 2: [0.5, 0.5, 0.5]}
    found = only(tmp_path, *(make(s, k, v) for s, values in table.items() for k, v in enumerate(values)))
    mean, sd = found.mean_sd("action/accuracy")
    assert mean == pytest.approx((0.7 + 0.8 + 0.5) / 3)
    assert sd == pytest.approx(statistics.stdev([0.7, 0.8, 0.5]))
    assert found.n_test == 100 + 101 + 102


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(79, 88, 0.817, 0.945), (53, 59, 0.795, 0.953)])
def test_wilson_known_answers(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=6e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_is_scipys(n: int, share: float) -> None:
    hits = round(share * n)
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    low, high = wilson(hits / n, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= hits / n + 1e-12 and hits / n - 1e-12 <= high <= 1


def test_interval_uses_the_mean_accuracy_and_one_test_set(tmp_path: Path) -> None:
    records = [make(seed, accuracy=value) for seed, value in enumerate([0.90, 0.93, 0.87])]
    p, n, z = 0.9, 90, 1.959963984540054  # 90 of the 200 recordings have a label
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    found = only(tmp_path, *records)
    assert found.interval("action/accuracy") == pytest.approx((center - half, center + half))
    assert found.interval("action/loss") is None


def test_interval_without_counts_takes_n_test(tmp_path: Path) -> None:
    assert only(tmp_path, make(per_class=None)).interval("action/accuracy") == wilson(0.9, 200)


def test_interval_of_an_objective_that_counts_frames_takes_n_test(tmp_path: Path) -> None:
    frames = {"action": {"squat": {"n": 60_000}}}
    assert only(tmp_path, make(per_class=frames)).interval("action/accuracy") == wilson(0.9, 200)


def test_interval_over_folds_counts_every_fold_once(tmp_path: Path) -> None:
    records = [make(seed, fold, 0.8, per_class={}) for seed in (0, 1) for fold in range(3)]
    assert only(tmp_path, *records).interval("action/accuracy") == pytest.approx(wilson(0.8, 303))


def test_balanced_accuracy_and_f1_have_no_wilson_interval(tmp_path: Path) -> None:
    found = only(tmp_path, make(test={"action/balanced_accuracy": 0.8, "action/macro_f1": 0.7}))
    assert found.interval("action/balanced_accuracy") is None and found.interval("action/macro_f1") is None


def test_t_interval_is_scipys() -> None:
    values = [0.01, 0.03, 0.02, 0.05]
    mean, sd = statistics.mean(values), statistics.stdev(values)
    assert mean_sd(values) == pytest.approx((mean, sd))
    assert t_interval(values) == pytest.approx(stats.t.interval(0.95, 3, loc=mean, scale=sd / 2))
    assert t_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1))
    assert t_interval([0.1]) is None


def test_paired_differences(tmp_path: Path) -> None:
    a, b = [0.90, 0.93, 0.87], [0.88, 0.90, 0.86]
    records = [make(seed, accuracy=value) for seed, value in enumerate(a)]
    records += [make(seed, accuracy=value, variant="bone") for seed, value in enumerate(b)]
    records.append(make(7, accuracy=0.1, variant="bone"))  # has no partner
    groups = read_table(write(tmp_path, *records))
    (found,) = paired_differences(groups, "joint", "bone", "action/accuracy")
    values = [0.02, 0.03, 0.01]
    assert (found.pairs, found.unpaired) == (3, 1)
    assert found.mean == pytest.approx(0.02) and found.sd == pytest.approx(statistics.stdev(values))
    assert found.interval == pytest.approx(stats.t.interval(0.95, 2, 0.02, statistics.stdev(values) / 3**0.5))
    (back,) = paired_differences(groups, "bone", "joint", "action/accuracy")
    assert back.mean == pytest.approx(-found.mean)


def test_pairs_go_by_seed_and_fold(tmp_path: Path) -> None:
    records = [make(0, k, 0.5 + 0.1 * k) for k in range(3)]
    records += [make(0, k, 0.4 + 0.1 * k, variant="bone") for k in reversed(range(3))]
    (found,) = paired_differences(read_table(write(tmp_path, *records)), "joint", "bone", "action/accuracy")
    assert found.pairs == 3 and found.mean == pytest.approx(0.1) and found.sd == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store_checksum": "other"}, "store_checksum.*c0ffee.*other"),
        ({"n_test": 199}, "n_test.*200.*199"),
        ({"subjects": {"train": ["s1"], "val": [], "test": ["s2"]}}, "test subjects"),
        ({"seed": 5}, "share no"),
    ],
)
def test_pairs_on_different_data_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    groups = read_table(write(tmp_path, make(), make(variant="bone", **change)))
    with pytest.raises(ValueError, match=message):
        paired_differences(groups, "joint", "bone", "action/accuracy")


# Grouping ---------------------------------------------------------------------------------------------------


def test_groups_by_dataset_protocol_and_variant(tmp_path: Path) -> None:
    records = [make(), make(variant="four_stream_fusion", config={"streams": ["joint", "bone"]})]
    records += [make(protocol="other"), make(dataset="another", store_checksum="1")]
    keys = [(g.dataset, g.protocol, g.variant) for g in read_table(write(tmp_path, *records))]
    assert keys == [
        ("another", "cross_subject", "joint"),
        ("utd_mhad", "cross_subject", "four_stream_fusion"),
        ("utd_mhad", "cross_subject", "joint"),
        ("utd_mhad", "other", "joint"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "seed_everything",
        "name",
        "runs",
        "wandb",
        "threads",
        "data.store",
        "data.protocol.init_args.fold",
        "data.protocol.fold",
        "trainer.default_root_dir",
        "trainer.logger",
        "trainer.logger.save_dir",
        "model.objectives.distil.init_args.teacher",
        "model.objectives.distil.init_args.teacher.s1",
    ],
)
def test_settings_that_may_differ(tmp_path: Path, path: str) -> None:
    config: dict[str, Any] = {"data": {"protocol": {"init_args": {}}}, "trainer": {"logger": {}}}
    config["model"] = {"objectives": {"distil": {"init_args": {"teacher": {}}}}}
    pair = [changed(make(seed, config=config), f"config.{path}", f"value {seed}") for seed in (0, 1)]
    assert len(only(tmp_path, *pair).records) == 2


@pytest.mark.parametrize(
    "path",
    ["model.lr", "data.batch_size", "data.protocol.init_args.seed", "model.name", "data.protocol.runs"],
)
def test_other_settings_may_not_differ(tmp_path: Path, path: str) -> None:
    pair = [make(0), changed(make(1), f"config.{path}", "other")]
    with pytest.raises(ValueError, match=rf"run0.json and .*run1.json differ in config '{path}'.*'other'"):
        read_table(write(tmp_path, *pair))


def test_one_teacher_is_not_compared_with_one_for_each_subject(tmp_path: Path) -> None:
    config: dict[str, Any] = {"model": {"objectives": {"distil": {"init_args": {"teacher": "a.ckpt"}}}}}
    other = changed(make(1, config=config), "config.model.objectives.distil.init_args.teacher", {"s1": "a.ckpt"})
    with pytest.raises(ValueError, match=r"differ in settings of teachers.*teacher.s1"):
        read_table(write(tmp_path, make(0, config=config), other))


def test_list_entries_of_a_config_are_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model.widths.1'.*96.*64"):
        read_table(write(tmp_path, make(0), changed(make(1), "config.model.widths", [48, 64])))


def test_different_commits_are_no_error(tmp_path: Path) -> None:
    assert len(only(tmp_path, make(0), make(1, git_commit="fedcba9876+dirty")).records) == 2


# Refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("store_checksum", "decaf", "store_checksum: 'c0ffee' and 'decaf'"),
        ("n_test", 201, "n_test: 200 and 201"),
        ("parameters", 1001, "parameters: 1000 and 1001"),
        ("test", {"action/accuracy": 0.5}, "names of the test metrics"),
        ("subjects.test", ["s4", "s5"], r"the test subjects: \['s5', 's6'\] and \['s4', 's5'\]"),
        ("per_class.action.bow.n", 31, "labelled test recordings of 'action': 90 and 91"),
    ],
)
def test_records_of_a_group_must_agree(tmp_path: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"run0.json and .*run1.json differ in .*{message}"):
        read_table(write(tmp_path, make(0), changed(make(1), path, value)))


@pytest.mark.parametrize("fold", [None, 1])
def test_duplicates_are_refused(tmp_path: Path, fold: int | None) -> None:
    message = f"run0.json and .*run1.json are the same run: .*'joint', seed 3, fold {fold}"
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, make(3, fold), make(3, fold)))


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_incomplete_folds_are_refused(tmp_path: Path, missing: int) -> None:
    records = [make(0, k) for k in range(3)] + [make(1, k) for k in range(3) if k != missing]
    untested = rf"seed 1.*incomplete.*'s{2 * missing + 1}', 's{2 * missing + 2}'"
    with pytest.raises(ValueError, match=untested):
        read_table(write(tmp_path, *records))


def test_who_validates_by_name_need_not_be_tested(tmp_path: Path) -> None:
    held = [changed(make(0, k), "subjects.val", ["v1", "v2"]) for k in range(3)]
    with pytest.raises(ValueError, match=r"incomplete, none tests the subjects \['v1', 'v2'\]"):
        read_table(write(tmp_path, *held))
    protocol = {"init_args": {"val_subjects": ["v1", "v2"], "folds": 3}}
    named = [changed(record, "config.data.protocol", protocol) for record in held]
    assert len(read_table(write(tmp_path, *named))) == 1


def test_a_lone_fold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run0\.json': 0.*incomplete"):
        read_table(write(tmp_path, make(0, 0)))


def test_subjects_tested_by_two_folds_are_refused(tmp_path: Path) -> None:
    again = {"train": PEOPLE[1:4], "val": [], "test": ["s1", *PEOPLE[4:]]}
    with pytest.raises(ValueError, match=r"several folds test the subjects \['s1'\]"):
        read_table(write(tmp_path, make(0, 0), make(0, 1), make(0, 2, subjects=again)))


def test_folds_and_none_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have a fold or none"):
        read_table(write(tmp_path, *(make(0, k) for k in range(3)), make(1)))


@pytest.mark.parametrize("key", [k for k in make() if k != "per_class"])
def test_missing_keys_are_refused(tmp_path: Path, key: str) -> None:
    record = make()
    del record[key]
    with pytest.raises(ValueError, match=f"run0.json: key '{key}' is missing"):
        read_table(write(tmp_path, record))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("test", {"action/accuracy": float("nan")}, "'action/accuracy' is nan, not a finite number"),
        ("test", {"action/accuracy": float("inf")}, "is inf, not a finite"),
        ("test", {"action/accuracy": None}, "is None, not a finite"),
        ("test", {"action/accuracy": "0.9"}, "is '0.9', not a finite"),
        ("test", {"action/accuracy": True}, "is True, not a finite"),
        ("test", {"action/accuracy": 95.1}, "95.1; it is stored as a fraction"),
        ("test", {"action/macro_f1": -0.1}, "-0.1; it is stored as a fraction"),
        ("test", {}, "no metric"),
        ("seed", True, "seed is True"),
        ("seed", 1.5, "seed is 1.5"),
        ("fold", "1", "fold is '1'"),
        ("n_test", 0, "n_test is 0"),
        ("wall_seconds", float("nan"), "wall_seconds is nan"),
        ("config", None, "config is None"),
        ("subjects.test", [], r"subjects 'test' are \[\]"),
        ("subjects", {"train": ["s1"], "test": ["s2"]}, "subjects 'val' are None"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"run0.json: .*{message}"):
        read_table(write(tmp_path, changed(make(), path, value)))


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[1, 2]"])
def test_unreadable_records_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run.json: (not readable as JSON|a record is a JSON object, not list)"):
        read_record(tmp_path / "run.json")


def test_all_broken_records_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)run0.json.*'a/loss'.*run2.json.*seed is 'x'"):
        read_table(write(tmp_path, make(test={"a/loss": None}), make(1), changed(make(), "seed", "x")))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no records"):
        read_table(tmp_path)


def test_shipped_records_name_no_place_of_a_machine() -> None:
    for path in (Path(__file__).parents[1] / "experiments/records").rglob("*.json"):
        config = json.loads(path.read_text())["config"]
        places = [config.get("runs"), config.get("data", {}).get("store")]
        assert not any(str(place).startswith("/") for place in places), f"{path} holds {places}"
