from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from graphnets.data import MotionBatch
from graphnets.skeleton import Skeleton


def _make_batch(
    seed: int = 0,
    clips: int = 4,
    frames: int = 12,
    skeleton: str = "kinect20",
    channels: tuple[str, ...] = ("x", "y", "z"),
    missing: float = 0.15,
    fps: tuple[float, ...] = (30.0, 25.0, 50.0, 29.97),
    dtype: torch.dtype = torch.float32,
) -> MotionBatch:
    """Clips of every length with joints missing at random; what is masked holds a number that would show."""
    generator = torch.Generator().manual_seed(seed)
    bones = Skeleton.load(skeleton)
    shape = (clips, frames, bones.num_joints)
    x = torch.randn(*shape, len(channels), generator=generator, dtype=dtype).cumsum(1)
    mask = torch.rand(shape, generator=generator) >= missing
    for clip, length in enumerate(torch.randint(1, frames + 1, (clips,), generator=generator).tolist()):
        mask[clip, length - 1, 0] = True
        mask[clip, length:] = False
    x[~mask] = 1e3
    rates = torch.tensor([fps[clip % len(fps)] for clip in range(clips)])
    pose = {"x": x, "mask": mask, "fps": rates, "skeleton": bones, "channels": channels}
    return MotionBatch.from_arrays({"pose": pose}, labels={"action": torch.arange(clips)})


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., MotionBatch]:
    return _make_batch
