"""The profiler: its textbook network is STGCN, and one small run of it end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphnets.encoders import STGCN
from tools import profile_duel, profile_options
from tools.profile_worker import Contestant
from tools.textbook import Textbook

LIGHT = "STGCN:widths=[4,8],strides=[1,2],kernel=3"


@pytest.mark.parametrize("training", [False, True])
def test_the_textbook_gives_what_the_encoder_gives(training: bool) -> None:
    torch.manual_seed(0)
    net = STGCN("body25", 3, widths=(4, 8, 8), strides=(1, 2, 1)).double().train(training)
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    textbook = Textbook(net).train(training)
    x = torch.randn(2, 17, 25, 3, dtype=torch.float64)
    torch.testing.assert_close(textbook(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), net(x))


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "profile.json"
    arguments = [LIGHT, "--frames", "8", "--batch", "2", "--threads", "1", "--rounds", "1", "--fold"]
    assert profile_duel.main([*arguments, "--precision", "bf16", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    net = STGCN("kinect20", 3, widths=(4, 8), strides=(1, 2), kernel=3)
    assert rows[f"{LIGHT}, bf16"]["parameters"] == sum(p.numel() for p in net.parameters())
    # joints x frames x 2 x products, by hand: the graph product of 3 partitions, the channel product, the convolution
    graph = 20 * 8 * 2 * (3 * 20 * 3 + 3 * 3 * 4) + 20 * 8 * 2 * (3 * 20 * 4 + 3 * 4 * 8)
    time = 20 * 8 * 2 * (3 * 4 * 4) + 20 * 4 * 2 * (3 * 8 * 8)
    shortcut = 20 * 4 * 2 * 4 * 8
    assert rows[f"{LIGHT}, bf16"]["flops"] == graph + time + shortcut
    for name, row in rows.items():
        assert set(row["summary"]) == ({"latency", "inference"} if "folded" in name else set(profile_options.TASKS))
        assert all(len(seconds) == 1 for seconds in row["clock"].values())
        assert row["error"] < (0.1 if "bf16" in name else 1e-5)
    assert rows["textbook"]["summary"]["training"]["ratio"] == 1
    printed = capsys.readouterr().out
    assert "clips/s" in printed and "wrote" in printed


def test_what_a_contestant_is(tmp_path: Path) -> None:
    found = profile_options.read_spec(LIGHT)
    assert found["init_args"] == {"widths": [4, 8], "strides": [1, 2], "kernel": 3}
    config = tmp_path / "mine.yaml"
    config.write_text("model: {encoder: {class_path: graphnets.encoders.CTRGCN, init_args: {skeleton: body25}}}\n")
    options = profile_options.parse([str(config), "STGCN"])
    tasks = profile_options.contestants(options)
    assert {"mine", "STGCN"} < set(tasks)
    assert all(task["skeleton"] == "body25" for task in tasks.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NoSuchNet"], "no encoder 'NoSuchNet'; there are AAGCN"),
        (["STGCN", "--rounds", "0"], "--rounds is 0; at least 1"),
        (["STGCN", "STGCN"], "two contestants of one name"),
        (["STGCN:depth=3"], "depth"),
        (["STGCN:kernel=abc"], "STGCN:kernel=abc: "),
        (["STGCN:["], "can't be read"),
        (["Encoder"], "no encoder 'Encoder'"),
        (["FusionEncoder"], "no encoder 'FusionEncoder'"),
        (["graphnets.encoders.FusionEncoder"], "reads several modalities; profile the encoders"),
        (["STGCN", "--skeleton", "octopus"], "octopus"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile_duel.main(arguments)


def test_operations_of_an_lstm_count() -> None:
    """By hand: four gates of 8 from 20 x 3 coordinates and a state of 8, 10 frames, then the maps and the graph."""
    spec = profile_options.read_spec("RecurrentGraph:hidden=[8],width=8,graph_channels=2,bidirectional=false")
    spec["init_args"] |= {"skeleton": "kinect20", "in_channels": 3}
    task = {"frames": 10, "batch": 1, "threads": 1, "device": "cpu", "skeleton": "kinect20", "channels": 3}
    task |= {"settings": False, "compile": False, "fold": False, "precision": "float32", "spec": spec}
    lstm = 4 * 8 * (60 + 8)
    graph = 20 * 3 + 20 * 3 * 2 + 20 * 20 * 2  # attention, channels, neighbours
    assert Contestant(task).answer("facts")["flops"] == 2 * 10 * (lstm + graph + 8 * 40 + 8 * 16)


def test_the_standard_library_keeps_its_module() -> None:
    code = "import sys; sys.path.insert(0, 'tools'); import cProfile, profile; print(profile.Profile.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "profile"
