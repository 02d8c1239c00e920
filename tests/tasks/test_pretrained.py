"""Starting from another task's encoder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from graphnets.encoders import STGCN
from graphnets.skeleton import Skeleton
from graphnets.tasks import Classification, Task


def encoder(seed: int, width: int = 8) -> STGCN:
    torch.manual_seed(seed)
    return STGCN("coco17", 2, widths=[width], strides=[1], kernel=3)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    task = Task(encoder(1), {"a": Classification("a", 3)})
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    return tmp_path / "a.ckpt"


def test_the_encoder_starts_there_and_the_head_anew(checkpoint: Path) -> None:
    task = Task(encoder(2), {"b": Classification("b", 5)}, pretrained=str(checkpoint))
    for name, value in encoder(1).state_dict().items():
        assert torch.equal(task.encoder.state_dict()[name], value), name
    assert task.pretrained == {"file": "a.ckpt", "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest()}
    assert "pretrained" not in task.spec(), "its own checkpoint is all that it needs"


def test_another_encoder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds another encoder: .* is \[\d+.*\], the encoder's \[\d+.*STGCN"):
        Task(encoder(2, width=12), {"b": Classification("b", 5)}, pretrained=str(checkpoint))
    joints = Skeleton.load("coco17").joints
    reversed_ = Skeleton.load("coco17").subset(list(reversed(joints)))
    turned = STGCN(reversed_, 2, widths=[8], strides=[1], kernel=3)
    with pytest.raises(ValueError, match="made for other joints or edges"):
        Task(turned, {"b": Classification("b", 5)}, pretrained=str(checkpoint))
    deeper = STGCN("coco17", 2, widths=[8, 8], strides=[1, 1], kernel=3)
    with pytest.raises(ValueError, match=r"is missing.*more"):
        Task(deeper, {"b": Classification("b", 5)}, pretrained=str(checkpoint))
    with pytest.raises(ValueError, match="no such checkpoint"):
        Task(encoder(2), {"b": Classification("b", 5)}, pretrained=str(tmp_path / "none.ckpt"))
