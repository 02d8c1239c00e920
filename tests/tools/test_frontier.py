"""The frontier of accuracy and cost."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from graphnets.viz import Candidate, frontier, pareto

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("frontier_script", ROOT / "tools/frontier.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load()
numbers = st.floats(0.1, 10).map(lambda x: round(x, 1))  # with ties


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12))
def test_front_is_what_no_other_beats(points: list[tuple[float, float]]) -> None:
    front = pareto([c for c, _ in points], [s for _, s in points])

    def beaten(i: int) -> bool:
        c, s = points[i]
        return any((d <= c and t > s) or (d < c and t >= s) for d, t in points)

    assert {points[i] for i in front} == {points[i] for i in range(len(points)) if not beaten(i)}
    assert len({points[i] for i in front}) == len(front)
    assert [points[i] for i in front] == sorted(points[i] for i in front)


def test_picture(tmp_path: Path) -> None:
    some = [Candidate("a", 90.0, 1.0, (1.0, 10.0)), Candidate("b", 95.0, None, (2.0, 5.0))]
    frontier(some, ("ms", "MFLOPs"), "accuracy", tmp_path / "f.png", title="T")
    assert Image.open(tmp_path / "f.png").size[0] == 1120
    with pytest.raises(ValueError, match="at least one"):
        frontier([], ("ms",), "accuracy")
    with pytest.raises(ValueError, match="a: 2 costs, but 1 names"):
        frontier(some, ("ms",), "accuracy")
    with pytest.raises(ValueError, match="c: score"):
        frontier([Candidate("c", 1.0, None, (0.0,))], ("ms",), "accuracy")


def test_candidates_join_records_and_profile(tmp_path: Path) -> None:
    records = ROOT / "experiments/records/utd_mhad_skeleton"
    profile = tmp_path / "p.json"
    clock = {"latency": [0.004, 0.002, 0.003]}
    profile.write_text(json.dumps({"rows": {"joint": {"flops": 5e6, "clock": clock}, "other": {}}}))
    [found] = script.candidates(records, profile, "cross_subject", "action/accuracy")
    scores = [json.loads(p.read_text())["test"]["action/accuracy"] for p in records.glob("joint_x_s*.json")]
    assert found.name == "joint" and found.score == pytest.approx(100 * sum(scores) / len(scores))
    assert found.costs == pytest.approx((3.0, 5.0))
    with pytest.raises(ValueError, match="the records have cross_subject, cross_subject_val7"):
        script.candidates(records, profile, None, "action/accuracy")
    profile.write_text(json.dumps({"rows": {"other": {"flops": 1, "clock": clock}}}))
    with pytest.raises(ValueError, match="which has other"):
        script.candidates(records, profile, "cross_subject", "action/accuracy")
    profile.write_text("{}")
    with pytest.raises(ValueError, match=r"not written by tools/profile\.py"):
        script.candidates(records, profile, "cross_subject", "action/accuracy")
