"""The feedback tool as a user runs it, and the way back from the transformed clip to the recording."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from graphnets.data import MotionBatch, Store, StoreWriter
from graphnets.encoders import STGCN
from graphnets.feedback import give_feedback, right_classes
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Correction, Task
from graphnets.transforms import Center, Resample, Scale, Streams

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("feedback_tool", ROOT / "tools/feedback.py")
assert SPEC is not None and SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
CLASSES = ["squat_correct", "squat_incorrect"]
CARD = {
    "name": "reps", "title": "Repetitions", "description": "Made for tests", "licence": "MIT", "source": "tests",
    "modalities": {"pose": {"skeleton": "kinect20", "channels": ["x", "y", "z"], "unit": "m"}},
    "labels": {"mistake": {"classes": CLASSES}},
    "protocols": {"split": {"train": ["a"], "test": ["b"]}},
}  # fmt: skip


def task() -> Task:
    torch.manual_seed(0)
    objectives = {
        "mistake": Classification("mistake", 2),
        "correction": Correction("mistake", 2, coefficients=3, feedback="mistake"),
    }
    transforms = {
        "length": Resample(12), "center": Center(), "size": Scale(), "target": Resample(12, "target"),
        "streams": Streams(["joint", "bone"]),
    }  # fmt: skip
    made = Task(STGCN("kinect20", 6, widths=[8], strides=[1], kernel=3), objectives, transforms=transforms).eval()
    made.objective("mistake").classes = CLASSES
    with torch.no_grad():
        made.objective("mistake").head.linear.bias.copy_(torch.tensor([-9.0, 9.0]))
    return made


def test_a_shift_of_every_frame_comes_back_in_metres() -> None:
    """The correction adds a constant to one joint: in the recording it is that many mean bone lengths."""
    made = task()
    head = made.objective("correction").head
    torch.nn.init.zeros_(head.leave.weight)
    with torch.no_grad():
        head.leave.bias.zero_()
        head.leave.bias[0] = np.sqrt(12)  # the first coefficient of x: 1 at each of 12 frames
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1, 1, 20, 3, generator=generator)
    x = start + 0.3 * torch.linspace(0, 1, 40)[None, :, None, None]
    mask = torch.ones(1, 40, 20, dtype=torch.bool)
    mask[:, 30:] = False
    mask[0, 3, 4] = False
    batch = MotionBatch()
    skeleton = Skeleton.load("kinect20")
    batch.set_modality("pose", x, mask, torch.tensor([30.0]), skeleton, ("x", "y", "z"))
    batch.put_attributes({"id": ["one"], "subject": ["s"]})
    (found,) = give_feedback(made, batch, {"mistake": 2.0})
    bone = float(np.mean([float((start[0, 0, a] - start[0, 0, b]).norm()) for a, b in skeleton.bones]))
    wanted = x[0] + torch.tensor([bone, 0.0, 0.0]).float()
    assert found.corrected is not None
    torch.testing.assert_close(found.corrected[mask[0]], wanted[mask[0]], atol=1e-4, rtol=1e-4)
    assert bool(found.corrected[~mask[0]].isnan().all())
    assert found.moved == pytest.approx(bone, rel=1e-3)
    assert found.said["mistake"][0] == "squat_incorrect" and found.shares is not None
    assert float(found.shares.sum()) == pytest.approx(1, abs=1e-4) and found.shares.shape == (12, 20)
    assert len(found.joints) == 5 and found.seconds is not None and 0 <= found.seconds[0] < found.seconds[1] <= 1.01


def test_names_of_what_is_right() -> None:
    assert right_classes(["correct", "a_correct", "incorrect", "a_incorrect"]) == [0, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pytorch_lightning as pl

    from graphnets.callbacks import RunRecord
    from graphnets.data import MotionDataModule

    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    with StoreWriter(folder / "store", CARD) as writer:
        for subject in "ab":
            for k in range(4):
                x = rng.normal(size=(1, 20, 3)) + 0.1 * rng.normal(size=(int(rng.integers(14, 20)), 20, 3))
                writer.add(f"{subject}{k}", subject, {"pose": (x, None, 30.0)}, {"mistake": CLASSES[k % 2]})
    made = task()
    made.objectives.pop("correction")
    trainer = pl.Trainer(
        max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        enable_checkpointing=False, callbacks=[RunRecord(folder / "run", "x")],
    )  # fmt: skip
    trainer.fit(made.train(), datamodule=MotionDataModule(Store(folder / "store"), "split", batch_size=4))
    (folder / "run" / "checkpoints").mkdir(parents=True)
    trainer.save_checkpoint(folder / "run/checkpoints/last.ckpt", weights_only=True)
    return folder


def test_a_store_and_a_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(run / "store"), "--run", str(run / "run"), "--subject", "b", "--out", str(tmp_path / "out")]
    tool.main(given)
    written = json.loads((tmp_path / "out/feedback.json").read_text())
    assert [one["id"] for one in written["recordings"]] == ["b0", "b1", "b2", "b3"]
    said = capsys.readouterr().out
    assert "not calibrated" in said and "feedback.json" in said
    for path in (tmp_path / "out").glob("*_why.png"):
        assert path.stat().st_size > 1000
    np.save(tmp_path / "one.npy", np.random.default_rng(1).normal(size=(20, 20, 3)))
    tool.main([str(tmp_path / "one.npy"), "--run", str(run / "run"), "--out", str(tmp_path / "file")])
    assert json.loads((tmp_path / "file/feedback.json").read_text())["recordings"][0]["id"] == "one"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 19, 3)), r"shape \(5, 19, 3\), expected \[frames, 20, 3\]"),
        (np.full((5, 20, 3), np.nan), "no finite position"),
        (np.array([object()]), "not readable as an array"),
    ],
)
def test_files_that_are_no_recordings(run: Path, tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "bad.npy", array, allow_pickle=True)
    with pytest.raises(SystemExit, match=message):
        tool.main([str(tmp_path / "bad.npy"), "--run", str(run / "run"), "--out", str(tmp_path / "out")])


def test_unknown_people(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has no subject z"):
        tool.main([str(run / "store"), "--run", str(run / "run"), "--subject", "z", "--out", str(tmp_path)])
