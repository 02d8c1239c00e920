from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from graphnets.transforms import Center, Normalize


@pytest.fixture(scope="module")
def batches(make_batch):
    """Batches of different sizes, far from 0, with NaN under the mask."""
    made = [make_batch(seed, clips=2 + seed, frames=5 + 3 * seed) for seed in range(4)]
    for batch in made:
        x = batch["pose"].x * torch.tensor([1.0, 20.0, 0.01]) + 500
        batch["pose"].x = x.masked_fill(~batch["pose"].mask[..., None], float("nan"))
    return made


@pytest.mark.parametrize("per", ["channel", "joint"])
def test_fit_is_numpys_mean_and_deviation(batches, per):
    transform = Normalize(per)
    transform.fit(iter(batches))
    for joint in range(20):
        kept = slice(None) if per == "channel" else slice(joint, joint + 1)
        values = np.concatenate([b["pose"].x[:, :, kept][b["pose"].mask[:, :, kept]].double().numpy() for b in batches])
        mean = transform.mean if per == "channel" else transform.mean[joint]
        std = transform.std if per == "channel" else transform.std[joint]
        np.testing.assert_allclose(mean.numpy(), values.mean(0), rtol=1e-6)
        np.testing.assert_allclose(std.numpy(), values.std(0), rtol=1e-5)


@pytest.mark.parametrize("per", ["channel", "joint"])
def test_training_data_get_mean_zero_and_variance_one(batches, per):
    transform = Normalize(per)
    transform.fit(batches)
    values = torch.cat([transform(b)["pose"].x[b["pose"].mask] for b in batches]).double()
    torch.testing.assert_close(values.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-2)
    torch.testing.assert_close(values.var(0), torch.ones(3).double(), rtol=1e-2, atol=0)


def test_what_is_masked_becomes_zero(batches):
    transform = Normalize()
    transform.fit(batches)
    result = transform(batches[0])["pose"]
    assert (result.x[~result.mask] == 0).all()


def test_one_pass_loses_no_digits_to_a_large_mean(make_batch):
    batch = make_batch(missing=0.0, dtype=torch.float64)
    batch["pose"].x = 1e6 + torch.randn(4, 12, 20, 3, dtype=torch.float64)
    transform = Normalize().double()
    transform.fit([batch] * 50)
    expected = batch["pose"].x[batch["pose"].mask].std(0, correction=0)
    torch.testing.assert_close(transform.std, expected, rtol=1e-6, atol=0)


def test_constant_and_unseen_channels_get_a_deviation_of_one(make_batch):
    batch = make_batch(missing=0.0)
    batch["pose"].x[..., 1] = 9.81
    batch["pose"].mask[:, :, 7] = False
    transform = Normalize("joint")
    transform.fit([batch, batch])
    assert (transform.std[:, 1] == 1).all()
    assert (transform.std[7] == 1).all()
    assert (transform.mean[7] == 0).all()
    assert transform(batch)["pose"].x[..., 1].abs().max() < 1e-5


def test_a_second_fit_replaces_the_first(batches):
    transform, fresh = Normalize(), Normalize()
    transform.fit(batches[:2])
    transform.fit(batches[2:])
    fresh.fit(batches[2:])
    assert torch.equal(transform.mean, fresh.mean)


@pytest.mark.parametrize("per", ["channel", "joint"])
def test_statistics_travel_in_the_state_dict(batches, per):
    fitted = nn.Sequential(Center(), Normalize(per))
    fitted[1].fit(fitted[0](b) for b in batches)
    file = io.BytesIO()
    torch.save(fitted.state_dict(), file)
    file.seek(0)

    loaded = nn.Sequential(Center(), Normalize(per))
    assert not loaded[1].fitted
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert loaded[1].fitted
    expected = fitted(batches[0])["pose"].x
    for module in (loaded, copy.deepcopy(loaded)):
        assert torch.equal(module(batches[0])["pose"].x, expected)


def test_loading_copies_and_reports_what_is_missing(batches):
    fitted, loaded = Normalize(), Normalize()
    fitted.fit(batches)
    state = fitted.state_dict()
    loaded.load_state_dict(state)
    state["mean"].add_(1)
    assert not torch.equal(loaded.mean, state["mean"])
    with pytest.raises(RuntimeError, match="Missing key"):
        Normalize().load_state_dict({"mean": torch.zeros(3)})


def test_errors(make_batch):
    batch = make_batch()
    with pytest.raises(RuntimeError, match=r"no statistics yet: call fit\(batches\)"):
        Normalize()(batch)
    with pytest.raises(ValueError, match="no observed entry"):
        Normalize().fit([])
    batch["pose"].mask = torch.zeros_like(batch["pose"].mask)
    with pytest.raises(ValueError, match="modality 'pose' has no observed entry"):
        Normalize().fit([batch])
    with pytest.raises(ValueError, match="per must be 'channel', 'joint' or 'vector', got 'clip'"):
        Normalize("clip")  # type: ignore[arg-type]
    transform = Normalize("joint")
    transform.fit([make_batch()])
    with pytest.raises(ValueError, match=r"statistics of shape \(20, 3\), but .* \(17, 3\)"):
        transform(make_batch(skeleton="coco17"))
