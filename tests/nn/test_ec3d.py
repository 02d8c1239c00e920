"""The pose-feedback networks: transforms against torch-dct, and the authors' weights against their published figures."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch_dct
from torch import Tensor

from graphnets.metrics import CorrectionQuality
from graphnets.nn.ec3d import (
    LAYERS,
    CorrectorNet,
    FeedbackNet,
    MistakeNet,
    coefficients_of,
    load_released,
    movement_of,
)

RELEASED = Path(os.environ.get("GRAPHNETS_RAW", "nowhere")).parent / "reference/ec3d"
needs_release = pytest.mark.skipif(
    not (RELEASED / "Ours.pt").is_file(), reason="GRAPHNETS_RAW/../reference/ec3d with the authors' weights isn't there"
)


def oracle() -> Tensor:
    """The movement that the reference values were computed from, ``[1, 57, 80]`` float64."""
    time = torch.linspace(0, 1, 80, dtype=torch.float64)
    row = torch.arange(57, dtype=torch.float64)[:, None]
    return (0.1 * torch.sin(2 * torch.pi * time * (1 + row / 57)) + 0.01 * row)[None]


@pytest.mark.parametrize("frames", [25, 31, 80])
def test_both_transforms_are_those_of_torch_dct(frames: int) -> None:
    x = torch.randn(2, 57, frames, dtype=torch.float64)
    torch.testing.assert_close(coefficients_of(x, 25, "legacy2d"), torch_dct.dct_2d(x)[:, :, :25])
    torch.testing.assert_close(coefficients_of(x, 25, "temporal"), torch_dct.dct(x, norm="ortho")[:, :, :25])
    kept = torch.randn(2, 57, 25, dtype=torch.float64)
    full = torch.nn.functional.pad(kept, (0, frames - 25))
    torch.testing.assert_close(movement_of(kept, frames, "legacy2d"), torch_dct.idct_2d(full))
    torch.testing.assert_close(movement_of(kept, frames, "temporal"), torch_dct.idct(full, norm="ortho"))


@pytest.mark.parametrize("mode", ["temporal", "legacy2d"])
def test_with_all_coefficients_nothing_is_lost(mode: str) -> None:
    x = torch.randn(2, 57, 25, dtype=torch.float64)
    torch.testing.assert_close(movement_of(coefficients_of(x, 25, mode), 25, mode), x)  # type: ignore[arg-type]


def test_a_movement_shorter_than_the_coefficients() -> None:
    x = torch.randn(2, 57, 10)
    corrected, logits = FeedbackNet(width=8).eval()(x)
    assert corrected.shape == x.shape and logits.shape == (2, 12)


def theirs(net: FeedbackNet | CorrectorNet | MistakeNet) -> dict[str, Tensor]:
    """Its weights under the released names, with what the released files hold besides."""
    ours = net.state_dict()
    named = {}
    for released, layer in LAYERS[type(net).__name__].items():
        for key, value in ours.items():
            if key.rpartition(".")[0] == layer:
                what = key.rpartition(".")[2].replace("adjacency", "adj")
                named[f"{released}.{what}"] = value.flatten() if what.startswith(("running", "num")) else value
    return {**named, "gcatt.weight": torch.zeros(3, 1), "bn1.num_batches_tracked": torch.tensor(4)}


@pytest.mark.parametrize(
    "net", [FeedbackNet(width=8), FeedbackNet(width=8, feedback=False), CorrectorNet(width=8), MistakeNet(width=8)]
)
def test_round_trip_through_the_released_names(net: FeedbackNet | CorrectorNet | MistakeNet, tmp_path: Path) -> None:
    torch.save(theirs(net), tmp_path / "a.pt")
    again = load_released(tmp_path / "a.pt")
    assert type(again) is type(net) and again.mode == "legacy2d"
    for key, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        load_released(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match="not a file of weights"):
        load_released(tmp_path / "text.pt")
    torch.save({"a": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"no gcin.weight"):
        load_released(tmp_path / "b.pt")
    short = theirs(CorrectorNet(width=8))
    del short["gcout.bias"]
    torch.save(short, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"(?s)CorrectorNet.*leave.bias"):
        load_released(tmp_path / "c.pt")
    torch.save({**theirs(CorrectorNet(width=8)), "more.weight": torch.zeros(1)}, tmp_path / "d.pt")
    with pytest.raises(ValueError, match=r"unknown weights more.weight"):
        load_released(tmp_path / "d.pt")


@needs_release
def test_released_weights_give_the_released_outputs() -> None:
    net = load_released(RELEASED / "Ours.pt")
    assert isinstance(net, FeedbackNet)
    x = oracle()
    with torch.no_grad():
        logits, delta = net.changes(coefficients_of(x, 25, "legacy2d").float())
        corrected, _ = net(x.float())
        again = net(corrected)[1]
    assert float(delta.mean()) == pytest.approx(0.064445, rel=1e-4)
    assert float(delta.std()) == pytest.approx(32.330143, rel=1e-4)
    assert delta[0, 0, :3].tolist() == pytest.approx([-726.99854, 63.13477, 102.97231], rel=1e-4)
    assert int(logits.argmax()) == 11 and float(logits.log_softmax(1).max()) == pytest.approx(-0.0071, abs=5e-5)
    assert int(again.argmax()) == 1


@needs_release
@pytest.mark.parametrize(
    ("file", "kind"),
    [("Combined_wo_Feedback.pt", FeedbackNet), ("Corrector.pt", CorrectorNet), ("Classifier(simple).pt", MistakeNet)],
)
def test_the_other_released_networks_load(file: str, kind: type) -> None:
    net = load_released(RELEASED / file)
    assert isinstance(net, kind)
    found = net(oracle().float())
    assert all(bool(part.isfinite().all()) for part in (found if isinstance(found, tuple) else (found,)))


@needs_release
def test_our_metrics_give_the_published_figures() -> None:
    """Table of the paper, recomputed from the released results of each of the 88 test repetitions."""
    table = pd.read_csv(RELEASED / "Ours.csv").dropna(subset=["label"])
    table = table[pd.to_numeric(table["label"], errors="coerce").notna()].astype(float).astype(int).head(88)
    times = pd.read_csv(RELEASED / "DTW_Results.csv")
    label = torch.tensor(table["label"].to_numpy())
    wanted = torch.where(label < 6, 0, torch.where(label < 9, 6, 9))
    metric = CorrectionQuality(12)
    metric.update(
        label,
        wanted,
        {
            "judged": torch.ones(88),
            "success": torch.tensor((table["corrected"].to_numpy() == wanted.numpy()).astype(float)),
            "judge_right": torch.tensor((table["original"] == table["label"]).to_numpy().astype(float)),
        },
    )
    found = {key: 100 * float(value) for key, value in metric.compute().items()}
    assert found["judge_accuracy"] == pytest.approx(89.77, abs=0.005)
    assert found["success_all"] == pytest.approx(93.18, abs=0.005)
    assert found["success_all_macro"] == pytest.approx(94.16, abs=0.005)
    assert found["success_mistakes"] == pytest.approx(89.83, abs=0.005)
    assert found["success_mistakes_macro"] == pytest.approx(91.96, abs=0.005)
    assert times["loss_corr"].mean() == pytest.approx(1.392, abs=5e-4)
    assert times["loss_org"].mean() == pytest.approx(3.532, abs=5e-4)


@pytest.mark.parametrize("frames", [1, 10, 25, 40])
def test_fewer_frames_than_coefficients_go_there_and_back(frames: int) -> None:
    x = torch.randn(2, 57, frames, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    back = movement_of(coefficients_of(x, 40, "temporal"), frames, "temporal")
    torch.testing.assert_close(back, x)
