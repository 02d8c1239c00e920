"""Gramian angular fields against their definition by angles, and against pyts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyts.image import GramianAngularField

from graphnets.data import MotionBatch
from graphnets.nn.gaf import gramian_field, rescale
from graphnets.skeleton import Skeleton
from graphnets.transforms import GramianField


def series(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 50), shift=st.floats(-100, 100))
def test_definition_by_angles(seed: int, scale: float, shift: float) -> None:
    x = rescale(series(3, 7, seed=seed) * scale + shift)
    assert torch.allclose(x.amin(-1), x.new_tensor(-1.0)) and torch.allclose(x.amax(-1), x.new_tensor(1.0))
    for row, gasf, gadf in zip(x, gramian_field(x), gramian_field(x, "difference"), strict=True):
        phi = [math.acos(v) for v in row.tolist()]
        for i in range(7):
            for j in range(7):
                assert gasf[i, j].item() == pytest.approx(math.cos(phi[i] + phi[j]), abs=1e-9)
                assert gadf[i, j].item() == pytest.approx(math.sin(phi[i] - phi[j]), abs=1e-9)
    assert torch.allclose(gramian_field(x).diagonal(dim1=-2, dim2=-1), 2 * x * x - 1)


@pytest.mark.parametrize("kind", ["summation", "difference"])
def test_equals_pyts(kind: str) -> None:
    x = series(4, 24)
    expected = GramianAngularField(image_size=24, method=kind).fit_transform(x.numpy())
    assert np.allclose(gramian_field(rescale(x), kind).numpy(), expected, atol=1e-7)  # type: ignore[arg-type]
    # A quarter of the size, by means over windows.
    expected = GramianAngularField(image_size=6, method=kind).fit_transform(x.numpy())
    batch = MotionBatch.from_arrays(
        {"imu": {"x": x[:, :, None, None].expand(4, 24, 6, 1).float(), "skeleton": Skeleton.load("imu_axes6"),
                 "channels": ("value",), "fps": 50.0}}
    )  # fmt: skip
    found = GramianField(6, kind)(batch)["imu"]  # type: ignore[arg-type]
    assert found.x.shape == (4, 6, 6, 6) and found.channels[:2] == ("value_0", "value_1")
    assert np.allclose(found.x[:, :, 2].numpy(), expected, atol=1e-5)


def test_constant_and_unobserved_series_are_zero() -> None:
    x = series(2, 5)
    x[0] = 3.0
    assert (rescale(x)[0] == 0).all()
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    poisoned = x.clone()
    poisoned[1, 3:] = torch.nan
    found = rescale(poisoned, mask)
    assert torch.allclose(found[1, :3], rescale(x[1, :3])) and (found[1, 3:] == 0).all()


def test_padding_and_poison_change_nothing() -> None:
    x = torch.randn(2, 12, 6, 1)
    mask = torch.ones(2, 12, 6, dtype=torch.bool)
    mask[1, 4:7, 2] = False
    poisoned = x.clone()
    poisoned[1, 4:7, 2] = torch.nan

    def field(values: torch.Tensor) -> torch.Tensor:
        imu = {"x": values, "mask": mask, "skeleton": Skeleton.load("imu_axes6"), "channels": ("value",), "fps": 50.0}
        found: torch.Tensor = GramianField(4)(MotionBatch.from_arrays({"imu": imu}))["imu"].x
        return found

    assert torch.equal(field(x), field(poisoned)) and field(poisoned).isfinite().all()
