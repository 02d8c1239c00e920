from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnets.data.plates import at_times, contacts, low_pass, reaction


def by_machine(vertical: np.ndarray, low: float, high: float) -> list[tuple[int, int]]:
    """Contacts one sample after the other."""
    found, begin, counts = [], None, False
    for i, value in enumerate([*vertical, -1.0]):
        if value >= low:
            begin = i if begin is None else begin
            counts = counts or value >= high
        elif begin is not None:
            if counts:
                found.append((begin, i))
            begin, counts = None, False
    return found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 10.0, 20.0, 50.0, 100.0, 700.0]), min_size=1, max_size=30))
def test_contacts_are_those_of_a_machine_with_two_thresholds(values: list[float]) -> None:
    vertical = np.array(values)
    assert [(c.start, c.stop) for c in contacts(vertical)] == by_machine(vertical, 20.0, 100.0)


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="0 < low <= high, got 50 and 20 N"):
        contacts(np.zeros(5), 50, 20)


def test_the_filter_halves_the_power_at_its_cutoff_and_does_not_delay() -> None:
    t = np.arange(4000) / 1000
    for frequency, gain in ((20.0, 2**-0.5), (2.0, 1.0), (100.0, 0.0)):
        wave = np.sin(2 * np.pi * frequency * t)
        out = low_pass(wave, 1000, 20)[1000:3000]
        np.testing.assert_allclose(out, gain * wave[1000:3000], atol=0.01)


@pytest.mark.parametrize("cutoff", [0.0, 400.0, float("nan")])
def test_cutoffs_that_make_no_sense_are_refused(cutoff: float) -> None:
    with pytest.raises(ValueError, match="below 400"):
        low_pass(np.zeros(100), 1000, cutoff)


def test_a_slow_force_keeps_its_centre_of_pressure() -> None:
    """A push of a second whose centre moves by 20 cm, recorded between junk in the centre."""
    t = np.arange(2000) / 1000
    on = (t > 0.5) & (t < 1.5)
    size = np.where(on, np.sin(np.pi * (t - 0.5)) ** 2, 0.0)[:, None]
    force = size * [-40.0, 800.0, 25.0]
    centre = np.stack([0.3 + 0.2 * (t - 0.5), np.full(2000, -0.01), np.full(2000, 0.15)], axis=1)
    pushed, pressed = reaction(force, np.where(on[:, None], centre, 99.0), 1000, 20)
    np.testing.assert_allclose(pushed, force, atol=1.5)
    inner = force[:, 1] > 50
    np.testing.assert_allclose(pressed[inner], centre[inner], atol=0.002)
    assert np.isnan(pressed[t < 0.4]).all() and np.isfinite(pressed[inner]).all()


def test_an_empty_plate_has_no_centre() -> None:
    pushed, pressed = reaction(np.zeros((300, 3)), np.zeros((300, 3)), 1000, 20)
    assert (pushed == 0).all() and np.isnan(pressed).all()


def test_interpolation_stays_inside_and_off_gaps() -> None:
    times, values = np.array([0.0, 1.0, 2.0, 3.0]), np.array([[0.0, 5.0], [2.0, np.nan], [4.0, 5.0], [6.0, 7.0]])
    out = at_times(times, values, np.array([-1.0, 0.25, 2.5, 3.5]))
    np.testing.assert_array_equal(out, [[np.nan, np.nan], [0.5, np.nan], [5.0, 6.0], [np.nan, np.nan]])
