from __future__ import annotations

import numpy as np
import pytest
from chains import people, still

from graphnets.simulation.chain import forward
from graphnets.simulation.contact import CONTACTS, FIRM, aims, contact_point, distribute, pressure, pushed, support
from graphnets.simulation.dynamics import Wrench
from graphnets.simulation.knee import knee_moments


def random_case(seed: int = 0, contacts: int = 3):
    rng = np.random.default_rng(seed)
    force = rng.normal(0, 60, (4, 6, 3)) + np.array([0, 700, 0])
    needed = Wrench(force, rng.normal(0, 80, (4, 6, 3)), rng.normal(0, 0.5, (4, 6, 3)))
    points = rng.normal(0, 0.3, (4, 6, contacts, 3))
    return needed, points, rng.uniform(0.1, 1.0, (4, 6, contacts)), rng.normal(0, 0.2, (4, 6, contacts, 3)) * [1, 0, 1]


@pytest.mark.parametrize("contacts", [1, 2, 4])
def test_contacts_together_exert_the_wrench_exactly(contacts):
    needed, points, active, slopes = random_case(contacts=contacts)
    active[..., 0] = 1.0
    force, moment = distribute(needed, points, active, slopes)
    np.testing.assert_allclose(force.sum(-2), needed.force, rtol=1e-12)
    whole = (moment + np.cross(points - needed.point[..., None, :], force)).sum(-2)
    np.testing.assert_allclose(whole, needed.moment, atol=1e-9)


def test_it_is_the_least_squares_solution():
    """Against the minimum-norm solution of the stacked constraints by a general solver."""
    needed, points, active, slopes = random_case()
    active[..., 0] = 1.0
    reach = 0.07
    force, moment = distribute(needed, points, active, slopes, reach)
    for r, t in np.ndindex(4, 6):
        a, w = active[r, t], active[r, t] / active[r, t].sum()
        aim = w[:, None] * needed.force[r, t, 1] * slopes[r, t]
        columns, scale = [], []
        for k in range(3):
            arm = points[r, t, k] - needed.point[r, t]
            skew = np.cross(arm, np.eye(3)).T
            columns += [np.vstack([np.eye(3), skew]), np.vstack([np.zeros((3, 3)), np.eye(3)])]
            scale += [np.sqrt(a[k])] * 3 + [np.sqrt(a[k]) * reach] * 3
        matrix = np.hstack(columns)
        start = np.hstack([np.hstack([aim[k], np.zeros(3)]) for k in range(3)])
        target = np.hstack([needed.force[r, t], needed.moment[r, t]]) - matrix @ start
        x = start + scale * np.linalg.lstsq(matrix * scale, target, rcond=None)[0]
        np.testing.assert_allclose(force[r, t].ravel(), x.reshape(3, 2, 3)[:, 0].ravel(), atol=1e-8)
        np.testing.assert_allclose(moment[r, t].ravel(), x.reshape(3, 2, 3)[:, 1].ravel(), atol=1e-8)


def test_a_symmetric_stance_shares_symmetrically():
    points = np.array([[[[0.15, 0.0, 0.05], [-0.15, 0.0, 0.05]]]])
    needed = Wrench(np.array([[[0.0, 600.0, 30.0]]]), np.array([[[20.0, 0.0, 0.0]]]), np.array([[[0.0, 1.0, 0.0]]]))
    height = np.array([[1.7]])
    for slopes in (0.0, aims(points, needed.point, height)):
        force, moment = distribute(needed, points, np.ones((1, 1, 2)), slopes)
        np.testing.assert_allclose(force[0, 0, 0], force[0, 0, 1] * [-1, 1, 1], atol=1e-9)
        np.testing.assert_allclose(moment[0, 0, 0], moment[0, 0, 1] * [1, -1, -1], atol=1e-9)
        np.testing.assert_allclose(force[0, 0, :, 1], 300.0)
    assert force[0, 0, 0, 0] < -5  # wide feet push outwards, the floor inwards


def test_inactive_contacts_bear_nothing_and_the_rest_bears_all():
    needed, points, active, slopes = random_case()
    active[..., 0], active[..., 1] = 1.0, 0.0
    force, moment = distribute(needed, points, active, slopes)
    assert np.all(force[..., 1, :] == 0) and np.all(moment[..., 1, :] == 0)
    keep = [0, 2]
    alone = distribute(needed, points[..., keep, :], active[..., keep], slopes[..., keep, :])
    np.testing.assert_allclose(force[..., keep, :], alone[0], rtol=1e-12, atol=1e-9)


def test_without_any_contact_there_is_no_force_and_half_active_ones_bear_a_share():
    needed, points, active, _ = random_case()
    force, moment = distribute(needed, points, 0 * active)
    assert np.all(force == 0) and np.all(moment == 0)
    third = np.full((4, 6, 2), 1.0 / 3.0)
    force, _ = distribute(needed, points[..., :2, :], third)
    np.testing.assert_allclose(force.sum(-2), 2.0 / 3.0 * needed.force)
    force, _ = distribute(needed, points[..., :2, :], np.full((4, 6, 2), 0.5))
    np.testing.assert_allclose(force.sum(-2), needed.force, err_msg="two that change over bear all")
    np.testing.assert_allclose(support(np.array([0.3, 1.0])), 1.0)


def test_who_pushes_bears_what_others_would_pull():
    needed, points, active, slopes = random_case(contacts=3)
    active[..., 0] = 1.0
    plain, _ = distribute(needed, points, active, slopes)
    force, moment = pushed(needed, points, active, slopes, np.zeros(3, bool))
    pulls = plain[..., 1] < 0
    calm, some = ~pulls.any(-1), pulls.any(-1)
    assert calm.any() and some.any()
    np.testing.assert_array_equal(force[calm], plain[calm])
    assert force[..., 1].min() >= 0 and np.all(force[pulls] == 0) and np.all(moment[pulls] == 0)
    for r, t in np.argwhere(some):
        left = [k for k in range(3) if not pulls[r, t, k]]
        # Alone, and just as fully loadable as all were together.
        rest = np.where(np.isin(range(3), left), active[r, t], 0.0)
        rest = rest / rest.sum()
        alone, _ = distribute(
            Wrench(*(w[r : r + 1, t : t + 1] for w in (needed.force, needed.moment, needed.point))),
            points[r : r + 1, t : t + 1], rest[None, None], slopes[r : r + 1, t : t + 1],
        )  # fmt: skip
        kept = alone[0, 0] * (alone[0, 0, :, 1:2] > 0)
        np.testing.assert_allclose(force[r, t], kept, atol=1e-9)
    held, _ = pushed(needed, points, active, slopes, np.ones(3, bool))
    np.testing.assert_array_equal(held, plain)
    down = Wrench(needed.force * [1, -1, 1], needed.moment, needed.point)
    assert pushed(down, points[:, :, :1], active[:, :, :1], 0.0, np.zeros(1, bool))[0].max() == 0


def test_forces_are_smooth_in_the_activation_down_to_zero():
    needed, points, _, slopes = random_case()
    bend = []
    for n in (1000, 2000):
        levels = np.linspace(0, 1, n + 1)[:, None]
        shape = (n + 1, 1)
        one = Wrench(*(np.broadcast_to(x[0, 0], (*shape, 3)) for x in (needed.force, needed.moment, needed.point)))
        at, slope = (np.broadcast_to(x[0, 0, :2], (*shape, 2, 3)) for x in (points, slopes))
        # On and off again, as an exercise does it: smooth in time.
        path = distribute(
            one, at, np.stack([np.ones(shape), levels**3 * (10 - 15 * levels + 6 * levels**2)], -1), slope
        )[0]
        np.testing.assert_array_equal(path[0, 0, 1], 0.0)
        assert np.abs(np.diff(path, axis=0)).max() * n < 1e4
        bend.append(np.abs(np.diff(path, 2, axis=0)).max() * n**2)
    assert bend[1] < 1.05 * bend[0], "the second derivative is bounded: no kink"


def test_aims_point_to_the_centre_of_mass_within_friction_and_fade_near_the_floor():
    points = np.array([[[[0.4, 0.0, 0.0], [-0.1, 0.0, 0.0]]]])
    height = np.array([[1.7]])
    high, low = (aims(points, np.array([[[0.0, h, 0.0]]]), height)[0, 0] for h in (0.93, 0.2))
    assert high[0, 0] < 0 < high[1, 0] and np.all(high[:, 1] == 0)
    assert np.abs(high).max() < 0.4 and np.abs(low).max() < 0.1
    assert high[1, 0] == pytest.approx(0.7 * 0.1 / 0.93, rel=0.1)
    np.testing.assert_allclose(aims(points, np.array([[[0.0, -1.0, 0.0]]]), height), 0.0)


def test_pressure_is_where_the_moment_is_vertical():
    rng = np.random.default_rng(0)
    force, moment = rng.normal(0, 50, (20, 3)) + np.array([0, 500, 0]), rng.normal(0, 20, (20, 3))
    point = rng.normal(0, 1, (20, 3))
    found = pressure(point, force, moment)
    np.testing.assert_allclose(found.centre[:, 1], point[:, 1])
    about = moment + np.cross(point - found.centre, force)
    np.testing.assert_allclose(about[:, [0, 2]], 0.0, atol=1e-10)
    np.testing.assert_allclose(about[:, 1], found.twist, atol=1e-10)
    weak = pressure(point, np.full((20, 3), FIRM - 1), moment)
    assert np.isnan(weak.centre[:, [0, 2]]).all() and np.all(weak.twist == 0)


def test_contact_points_lie_where_people_touch():
    body = people(2)
    motion = forward(still({}, body), 30.0, np.arange(3) / 30.0)
    joints = motion.joints
    for side in ("left", "right"):
        point = contact_point(f"{side}_foot", motion, body)
        ankle, toe = joints[f"{side}_ankle"], joints[f"{side}_foot"]
        np.testing.assert_allclose(point[..., 1], 0.0)
        share = (point[..., 2] - ankle[..., 2]) / (toe[..., 2] - ankle[..., 2])
        np.testing.assert_allclose(share, 0.3 / 0.55, atol=0.02)
        assert np.all(contact_point(f"{side}_hand", motion, body)[..., 1] == 0)
    assert np.all(contact_point("pelvis", motion, body)[..., 1] < joints["pelvis"][..., 1])
    assert np.all(contact_point("back", motion, body)[..., 2] < joints["spine"][..., 2])
    # On tiptoe the force goes to the ball.
    tiptoe = forward(still({"left_foot": np.array([0.9, 0, 0])}, body), 30.0, np.arange(3) / 30.0)
    point = contact_point("left_foot", tiptoe, body)
    assert np.abs(point - tiptoe.joints["left_foot"])[..., [0, 2]].max() < 0.01
    with pytest.raises(ValueError, match=f"allowed are {', '.join(CONTACTS)}"):
        contact_point("nose", motion, body)


UPRIGHT = np.eye(3)[None, None]


def knee_of(centre, force, side, shank=UPRIGHT, mass=50.0):
    shape = (1, 1, 3)
    kam, kfm = knee_moments(
        np.reshape(np.asarray(centre, float), shape), np.reshape(np.asarray(force, float), shape),
        np.array([[[0.0, 0.5, 0.0]]]), shank, np.array([[mass]]), side,
    )  # fmt: skip
    return kam[0, 0], kfm[0, 0]


def test_knee_moments_by_hand():
    # 400 N upwards, 10 cm behind the knee: 40 N m of flexion, 0.8 N m/kg on 50 kg.
    assert knee_of([0, 0, -0.1], [0, 400, 0], "right") == pytest.approx((0.0, 0.8))
    # 5 cm medial of a right knee (towards the left, +x): 20 N m of adduction; of a left knee that is -x.
    assert knee_of([0.05, 0, 0], [0, 400, 0], "right") == pytest.approx((0.4, 0.0))
    assert knee_of([-0.05, 0, 0], [0, 400, 0], "left") == pytest.approx((0.4, 0.0))
    assert knee_of([0.05, 0, 0], [0, 400, 0], "left") == pytest.approx((-0.4, 0.0))
    # A braking force of 100 N backwards at the floor, 50 cm under the knee: 50 N m that push the foot back: flexion.
    assert knee_of([0, 0, 0], [0, 0, -100], "left") == pytest.approx((0.0, 1.0))
    # A medial force of 100 N on a right foot (towards +x): 50 N m of adduction.
    assert knee_of([0, 0, 0], [100, 0, 0], "right") == pytest.approx((1.0, 0.0))


def test_knee_moments_are_those_of_the_shanks_axes():
    """The whole body turned about the vertical: the same moments."""
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    straight = knee_of([0.03, 0, -0.06], [20, 400, -50], "right")
    turned = knee_of(turn @ [0.03, 0, -0.06], turn @ [20, 400, -50], "right", (turn @ np.eye(3))[None, None])
    assert turned == pytest.approx(straight)


def test_a_foot_in_the_air_has_no_knee_moments_and_sides_are_two():
    assert knee_of([np.nan, 0, np.nan], [0, 5, 0], "left") == (0.0, 0.0)
    with pytest.raises(ValueError, match="allowed are left and right"):
        knee_of([0, 0, 0], [0, 1, 0], "middle")
