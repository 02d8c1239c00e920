from __future__ import annotations

import numpy as np
import pytest
from chains import people, still

from graphnets.simulation import person_of
from graphnets.simulation.body import BMI, Body, Person
from graphnets.simulation.chain import forward
from graphnets.simulation.segments import LINKS, SEGMENTS, inertia, trunk_parts

# de Leva (1996), table 4, whole trunk (notch to hips) and head as published: mass, centre from above, radii of gyration.
TRUNK = {0.0: (0.4257, 0.4151, (0.357, 0.339, 0.171)), 1.0: (0.4346, 0.4486, (0.372, 0.347, 0.191))}


def of_sex(male: float) -> Body:
    body = people(3)
    return Body(**{**vars(body), "male": np.full_like(body.male, male)})


@pytest.mark.parametrize("male", [0.0, 1.0])
def test_the_pieces_of_the_trunk_make_up_the_published_whole(male):
    mass, centre, square = (part[..., 0] if part.ndim == 2 else part[:, 0] for part in trunk_parts(of_sex(male)))
    whole = mass.sum()
    middle = (mass * centre).sum() / whole
    sideways, along, forward = (
        (mass * (square[:, axis] + across * (centre - middle) ** 2)).sum() / whole
        for axis, across in ((0, 1.0), (1, 0.0), (2, 1.0))
    )
    published = TRUNK[male]
    assert whole == pytest.approx(published[0], abs=1e-4)
    assert 1.0 - middle == pytest.approx(published[1], abs=0.006)  # her male parts recombine to 0.454, not 0.449
    assert np.sqrt([forward, sideways, along]) == pytest.approx(published[2], rel=0.09)
    assert np.sqrt([forward, sideways]) == pytest.approx(published[2][:2], rel=0.02)


def test_cutting_the_middle_trunk_changes_nothing_but_where_it_is_counted():
    body = of_sex(0.4)
    mass, centre, square = trunk_parts(body)
    m, y, k = mass[1:3, 0], centre[1:3, 0], square[1:3, 0]
    together = (m[:, None] * k).sum(0) / m.sum()
    mean = (m * y).sum() / m.sum()
    together[[0, 2]] += (m * (y - mean) ** 2).sum() / m.sum()
    share = 0.4 * 215.5 / 531.9 + 0.6 * 205.3 / 529.3
    table = [0.354 + 0.4 * 0.029, 0.415 + 0.4 * 0.053, 0.433 + 0.4 * 0.049]
    np.testing.assert_allclose(np.sqrt(together) / share, table, rtol=1e-12)


def test_masses_add_up_to_the_body_and_centres_lie_in_their_segments():
    body = people(20)
    i = inertia(body)
    np.testing.assert_allclose(i.mass.sum(1), body.mass[:, 0], rtol=1e-12)
    assert i.mass[:, : len(SEGMENTS)].min() > 0 and np.all(i.mass[:, len(SEGMENTS) :] == 0)
    for name in ("thigh", "shank", "upper_arm", "forearm"):
        for side, label in enumerate(("left", "right")):
            share = -i.centre[:, LINKS.index(f"{label}_{name}"), 1] / getattr(body, name)[:, 0, side]
            assert np.all((share >= 0.36) & (share <= 0.58))
    # Principal moments of a rigid body fulfil the triangle inequality.
    a = np.sort(i.moments[:, : len(SEGMENTS)], axis=-1)
    assert np.all(a[..., 2] < a[..., 0] + a[..., 1])


def test_a_standing_body_has_its_centre_of_mass_a_little_above_the_hips():
    """Published: 55 to 58 % of stature, women lower."""
    for male, low, high in ((0.0, 0.535, 0.575), (1.0, 0.55, 0.59)):
        body = of_sex(male)
        # sizes of a chain come from its own body here
        motion = forward(still({}, body), 30.0, np.array([0.0]))
        i = inertia(body)
        centre = (i.mass[:, None, :, None] * motion.point(i.centre)[0]).sum(2) / body.mass[:, None]
        assert np.all((centre[:, 0, 1] > low * 1.65) & (centre[:, 0, 1] < high * 1.85))


def test_a_thigh_by_hand():
    body = of_sex(1.0)
    i, at = inertia(body), LINKS.index("left_thigh")
    mass = 0.1416 * body.mass[:, 0]
    length = body.thigh[:, 0, 0]
    np.testing.assert_allclose(i.mass[:, at], mass, rtol=1e-3)
    np.testing.assert_allclose(i.moments[:, at, 0], mass * (0.329 * length) ** 2, rtol=1e-3)
    np.testing.assert_allclose(i.moments[:, at, 1], mass * (0.149 * length) ** 2, rtol=1e-3)


def test_people_weigh_what_people_weigh_and_are_otherwise_who_they_were():
    bodies = [person_of(0, s) for s in range(1, 201)]
    bmi = np.array([p.mass / p.body.height[0, 0] ** 2 for p in bodies])
    assert 17.5 < bmi.min() < 20 and 28 < bmi.max() < 33.5 and abs(np.median(bmi) - np.mean(BMI)) < 1
    # Drawn after everything else: the same generator gives the same lengths and traits as before there was a mass.
    rng = np.random.default_rng(3)
    person = Person.draw(rng)
    assert person.body.height[0, 0] == pytest.approx(1.811944413091716, abs=1e-12)
    assert person.traits["tempo"] == pytest.approx(0.02910942232107011, abs=1e-12)
