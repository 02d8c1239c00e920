"""The results tables, in the README and on the terminal."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "tools" / "results.py"
README = "# Title\n\nBefore.\n\n<!-- results:utd -->\nstale\n<!-- /results -->\n\nAfter | it.\n"


def load() -> ModuleType:
    """The script as a module under a name of its own: tools/ is no package."""
    spec = importlib.util.spec_from_file_location("results_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


results = load()


def make(seed: int, variant: str = "joint", accuracy: float = 0.9, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": "utd_mhad", "protocol": "cross_subject", "variant": variant, "seed": seed, "fold": None,
        "n_train": 300, "n_val": 60, "n_test": 200,
        "subjects": {"train": ["s1"], "val": ["s3"], "test": ["s2"]},
        "test": {"action/accuracy": accuracy, "action/macro_f1": accuracy - 0.05},
        "config": {"seed_everything": seed}, "git_commit": "0123456789abcdef", "store_checksum": "c0ffee",
        "versions": {"torch": "2.13"}, "wall_seconds": 60.0 * (seed + 1), "parameters": 123456,
        **changes,
    }  # fmt: skip


def write(folder: Path, *records: dict[str, Any], layout: Any = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, record in enumerate(records):
        (folder / f"run{i}.json").write_text(json.dumps(record), encoding="utf-8")
    if layout is not None:
        (folder / "table.yaml").write_text(yaml.safe_dump(layout, sort_keys=False), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Records of one table: three seeds of a variant, one of another."""
    joint = [make(seed, accuracy=value) for seed, value in enumerate([0.90, 0.93, 0.87])]
    write(tmp_path / "records" / "utd", *joint, make(0, "bone", 0.85))
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    return tmp_path / "records"


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without the line of dashes."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def run(*arguments: object) -> int:
    status = results.main([str(argument) for argument in arguments])
    assert isinstance(status, int)
    return status


# The table --------------------------------------------------------------------------------------------------


def test_a_table_holds_the_hand_computed_numbers(root: Path) -> None:
    head, bone, joint = cells(results.markdown(results.build(root / "utd")))
    assert head == [
        "variant", "protocol", "n", "n_test", "accuracy (%)", "accuracy (%), 95 % interval", "macro_f1 (%)",
        "minutes/run", "parameters",
    ]  # fmt: skip
    # Wilson for 0.9 at 200: (0.9 + 0.009604 -+ 0.042669) / 1.019207
    assert joint == [
        "joint", "cross_subject", "3 seeds", "200", "90.00 ± 3.00", "[85.06, 93.43]", "85.00 ± 3.00", "2.0",
        "123,456",
    ]  # fmt: skip
    assert bone[:5] == ["bone", "cross_subject", "1 seed", "200", "85.00 (one seed)"]


def test_folds_are_counted(root: Path) -> None:
    people = ["s1", "s2", "s3"]
    folds = [
        make(seed, "loso", value, fold=k, n_test=10 + k)
        | {"subjects": {"train": people[:k] + people[k + 1 :], "val": [], "test": [people[k]]}}
        for seed in (0, 1)
        for k, value in enumerate([0.5, 0.6, 0.7 + 0.3 * seed])
    ]
    write(root / "loso", *folds)
    row = cells(results.markdown(results.build(root / "loso")))[1]
    assert row[2:5] == ["6 runs (2 seeds, 3 folds)", "33", "65.00 ± 7.07"]  # of 60 and 70


def test_other_metrics_get_four_significant_digits(root: Path) -> None:
    values = [{"moment/rmse": 0.1234, "moment/mpjpe": 34.567, "loss": 0.0}] * 2
    write(root / "regression", *(make(seed, test=test) for seed, test in enumerate(values)))
    head, row = cells(results.markdown(results.build(root / "regression")))
    assert head[4:7] == ["moment/rmse", "moment/mpjpe", "loss"]
    assert row[4:7] == ["0.1234 ± 0.0000", "34.57 ± 0.00", "0.00 ± 0.00"]
    assert "interval" not in results.markdown(results.build(root / "regression"))


def test_rows_with_other_metrics_and_data_sets_share_a_table(root: Path) -> None:
    write(root / "mixed", make(0), make(0, dataset="ec3d", test={"mistake/accuracy": 0.8}))
    head, ec3d, utd = cells(results.markdown(results.build(root / "mixed")))
    assert head[0] == "dataset" and [ec3d[0], utd[0]] == ["ec3d", "utd_mhad"]
    ours, theirs = head.index("action/accuracy (%)"), head.index("mistake/accuracy (%)")
    assert (ec3d[ours], ec3d[theirs]) == ("-", "80.00 (one seed)")
    assert (utd[ours], utd[theirs]) == ("90.00 (one seed)", "-")


@pytest.mark.parametrize(
    ("commits", "note"),
    [
        (["0123456789abcdef"] * 2, None),
        (["0123456789abcdef", "fedcba9876543210"], "0123456, fedcba9"),
        (["0123456789abcdef+dirty"] * 2, "0123456+dirty"),
    ],
)
def test_the_note_lists_commits_that_differ(root: Path, commits: list[str], note: str | None) -> None:
    write(root / "commits", *(make(seed, git_commit=commit) for seed, commit in enumerate(commits)))
    text = results.markdown(results.build(root / "commits"))
    assert f"Commits behind these records: {note}" in text if note else "Commits" not in text


def test_a_layout_orders_names_and_adds_what_was_published(root: Path) -> None:
    published = {"name": "CTR-GCN", "value": "95.10", "source": "Chen 2021 | table 3"}
    layout = {
        "title": "UTD-MHAD", "note": "Sixty epochs.", "metrics": ["action/macro_f1", "action/accuracy"],
        "variants": {"joint": "Joints", "bone": "Bones"}, "published": [published],
    }  # fmt: skip
    write(root / "utd", layout=layout)
    text = results.markdown(results.build(root / "utd"))
    head, joint, bone, _ = cells(text)
    assert text.startswith("**UTD-MHAD**") and "\n\nSixty epochs.\n\n" in text
    assert head[4:6] == ["macro_f1 (%)", "accuracy (%)"]
    assert (joint[0], bone[0]) == ("Joints", "Bones")
    last = [line for line in text.splitlines() if line.startswith("|")][-1]
    assert last.startswith(r"| CTR-GCN (published: Chen 2021 \| table 3) | - | - | - | 95.10 | - |")


def test_a_published_value_stays_with_its_metric(root: Path) -> None:
    row = {"name": "CTR-GCN", "value": "95.10", "source": "Chen"}
    write(root / "utd", layout={"published": [row, row | {"name": "B", "metric": "action/macro_f1"}]})
    text = results.markdown(results.build(root / "utd", ["macro_f1"]))
    assert "CTR-GCN" not in text and "B (published" in text


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"titel": "x"}, "titel.*title, note"),
        ([1], "a mapping"),
        ({"title": 3}, "title is 3; expected a str"),
        ({"metrics": ["action/acuracy"]}, "action/acuracy.*action/accuracy"),
        ({"variants": {"jiont": "x"}}, "jiont.*bone.*joint"),
        ({"variants": {"joint": 1}}, r"text, not \[1\]"),
        ({"variants": {"joint": "x", "bone": "x"}}, "same label"),
        ({"published": [{"name": "A", "value": 95.1, "source": "B"}]}, "95.1.*quote numbers"),
        ({"published": [{"name": "A", "value": "95.1"}]}, "needs name, value, source"),
        ({"published": [{"name": "A", "value": "9", "source": "B", "seeds": "3"}]}, "needs name"),
        ({"published": ["A"]}, "needs name"),
        ({"published": [{"name": "A", "value": "9", "source": "B", "metric": "f1"}]}, "'A' has metric 'f1'"),
    ],
)
def test_wrong_layouts_are_refused(root: Path, layout: Any, message: str) -> None:
    write(root / "utd", layout=layout)
    with pytest.raises(ValueError, match=f"(?s)table.yaml: .*{message}"):
        results.build(root / "utd")


def test_a_layout_that_is_no_yaml_is_refused(root: Path) -> None:
    (root / "utd" / "table.yaml").write_text("title: [", encoding="utf-8")
    with pytest.raises(ValueError, match="not readable as YAML"):
        results.build(root / "utd")


# The README -------------------------------------------------------------------------------------------------


def test_the_readme_is_filled_in_place_and_stays_so(root: Path) -> None:
    readme = root.parent / "README.md"
    assert run(root, "--readme", readme) == 0
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split("<!-- results:utd -->")
    inside, after = rest.split("<!-- /results -->")
    assert before == "# Title\n\nBefore.\n\n" and after == "\n\nAfter | it.\n"
    assert inside == f"\n\n{results.markdown(results.build(root / 'utd'))}\n\n" and "stale" not in inside
    assert run(root, "--readme", readme) == 0
    assert readme.read_text(encoding="utf-8") == text
    assert sorted(p.name for p in root.parent.iterdir()) == ["README.md", "records"]


def test_a_table_whose_text_looks_like_markers_stays_idempotent(root: Path) -> None:
    write(root / "utd", layout={"note": "a <!-- /results --> b \\1 \\g<0>"})
    readme = root.parent / "README.md"
    run(root, "--readme", readme)
    text = readme.read_text(encoding="utf-8")
    assert "\\1 \\g<0>" in text
    assert run(root, "--readme", readme, "--check") == 0


def test_check_says_whether_the_readme_is_up_to_date(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = root.parent / "README.md"
    assert run(root, "--readme", readme, "--check") == 1
    assert "out of date" in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == README
    run(root, "--readme", readme)
    assert run(root, "--readme", readme, "--check") == 0
    write(root / "utd", make(0, accuracy=0.5), make(1, accuracy=0.93), make(2, accuracy=0.87))
    assert run(root, "--readme", readme, "--check") == 1
    readme.write_text(readme.read_text(encoding="utf-8").replace("90.00", "99.00"), encoding="utf-8")
    assert run(root, "--readme", readme, "--check") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", r"no markers .* for the tables \['utd'\]"),
        (README + "<!-- results:other -->\n<!-- /results -->\n", "unknown table 'other'; there are utd"),
        (README.replace("<!-- /results -->", ""), "'utd' has no <!-- /results -->"),
        ("<!-- /results -->" + README, "unpaired marker '<!-- /results -->'"),
        (README.replace("stale", "<!-- results:utd -->"), "unpaired .* after that of table 'utd'"),
    ],
)
def test_wrong_markers_are_refused_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    readme = root.parent / "README.md"
    readme.write_text(text, encoding="utf-8")
    assert run(root, "--readme", readme) == 2
    assert re.search(f"README.md: .*{message}", capsys.readouterr().err)
    assert readme.read_text(encoding="utf-8") == text


def test_broken_records_leave_the_readme_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "utd" / "run1.json").write_text("{", encoding="utf-8")
    assert run(root, "--readme", root.parent / "README.md") == 2
    assert "run1.json: not readable as JSON" in capsys.readouterr().err
    assert (root.parent / "README.md").read_text(encoding="utf-8") == README


# The terminal -----------------------------------------------------------------------------------------------


def test_without_a_readme_tables_are_printed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "brackets", make(0, "[joint]"))
    assert run(root) == 0
    out = capsys.readouterr().out
    assert "90.00 ± 3.00" in out and "[85.06, 93.43]" in out and "[joint]" in out


def test_metric_chooses_what_is_printed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "regression", make(0, test={"moment/nrmse": 0.1}))
    assert run(root, "--metric", "macro_f1") == 0
    out = capsys.readouterr().out
    assert "macro_f1 (%)" in out and "accuracy" not in out and "nrmse" not in out
    assert run(root, "--metric", "auc") == 2
    assert "no table has any of the metrics ['auc']" in capsys.readouterr().err


def test_compare_prints_paired_differences(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = [make(seed, "bone", value) for seed, value in enumerate([0.88, 0.90, 0.86])]
    a = [make(seed, "joint", value) for seed, value in enumerate([0.90, 0.93, 0.87])]
    write(root / "utd", *a, *b)
    write(root / "other", make(0))
    assert run(root, "--compare", "joint", "bone", "--metric", "accuracy") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "cross_subject" in line)
    # t(0.975, 2) = 4.302653: 2 -+ 4.302653 * 1 / sqrt(3)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "utd_mhad", "cross_subject", "action/accuracy (%)", "2.00 ± 1.00", "[-0.48, 4.48]", "3", "0",
    ]  # fmt: skip


def test_compare_with_one_pair_has_no_interval(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--compare", "joint", "bone", "--metric", "accuracy") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "cross_subject" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][3:] == ["5.00 (one pair)", "-", "1", "2"]


def test_compare_needs_both_variants(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--compare", "joint", "motion") == 2
    assert "both 'joint' and 'motion'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--check"], ["--readme", "README.md", "--metric", "accuracy"]])
def test_options_that_make_no_sense_together(root: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        run(root, *arguments)


def test_a_folder_without_tables_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nothing") == 2
    assert "no tables" in capsys.readouterr().err


def test_zero_has_no_sign() -> None:
    assert results.number("action/accuracy", -1e-9, 2) == "0.00"
    assert results.number("action/accuracy", -0.01, 2) == "-1.00"
