from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from graphnets.data.anatomy import carried, hip_centres, shank_frame
from graphnets.data.kinetics import KINETICS, stance_kinetics
from graphnets.simulation import Clip, move
from graphnets.simulation.chain import INDEX
from graphnets.simulation.segments import inertia
from graphnets.simulation.signals import signals
from graphnets.skeleton import Skeleton

ROOM = [2, 1, 0]
"""The simulation's axes (x left, y up, z forward) in the order forward, up, left."""


def to_room(x: np.ndarray) -> np.ndarray:
    return x[..., ROOM] * [1.0, 1.0, -1.0]


def test_hips_by_hand() -> None:
    """A pelvis 0.24 wide and 0.15 deep that stands straight, then turned as a whole."""
    spines = np.array([[0.1, 1.0, -0.12], [0.1, 1.0, 0.12], [-0.05, 1.0, -0.04], [-0.05, 1.0, 0.04]])
    x, y, z = 0.1 - 0.24 * 0.15 - 0.0099, 1.0 - 0.3 * 0.24 - 0.0109, 0.33 * 0.24 + 0.0073
    for turn in (Rotation.identity(), Rotation.from_euler("xyz", [10, 70, -20], degrees=True)):
        left, right = hip_centres(*turn.apply(spines)[:, None])
        np.testing.assert_allclose(left[0], turn.apply([x, y, -z]), atol=1e-12)
        np.testing.assert_allclose(right[0], turn.apply([x, y, z]), atol=1e-12)


def test_carried_points_are_those_of_the_best_turn() -> None:
    chance = np.random.default_rng(0)
    cluster, points = chance.normal(size=(4, 3)), chance.normal(size=(2, 3))
    turns = Rotation.from_rotvec(chance.normal(size=(6, 3)))
    moving = np.stack([t.apply(cluster) + np.arange(1, 4) for t in turns]) + 0.05 * chance.normal(size=(6, 4, 3))
    moving[3, 1] = np.nan
    out = carried(cluster, points, moving)
    for i in range(6):
        if i == 3:
            assert np.isnan(out[i]).all()
            continue
        best, _ = Rotation.align_vectors(moving[i] - moving[i].mean(0), cluster - cluster.mean(0))
        np.testing.assert_allclose(out[i], best.apply(points - cluster.mean(0)) + moving[i].mean(0), atol=1e-9)


def test_three_markers_in_a_plane_carry_without_mirroring() -> None:
    cluster = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    turn = Rotation.from_euler("y", 170, degrees=True)
    out = carried(cluster, np.array([[0.0, 0, 1]]), turn.apply(cluster)[None] + 5.0)
    np.testing.assert_allclose(out[0, 0], turn.apply([0, 0, 1]) + 5.0, atol=1e-12)


@pytest.mark.parametrize("cluster", [np.eye(3)[:2], np.outer([0.0, 1, 2, 3], [1, 1, 1])])
def test_markers_on_a_line_carry_nothing(cluster: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least three that lie on no line"):
        carried(cluster, np.zeros((1, 3)), cluster[None])


def test_the_frame_of_a_shank() -> None:
    """Upright it is left, up, forward; leaning forwards about the hinge it turns with it."""
    knee, ankle, right = np.array([[0.0, 0.5, 0.1]]), np.array([[0.0, 0.1, 0.1]]), np.array([[0.0, 0.03, 0.09]])
    np.testing.assert_allclose(shank_frame(knee, ankle, right)[0], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], atol=1e-12)
    lean = Rotation.from_euler("z", -30, degrees=True)
    turned = shank_frame(lean.apply(knee), lean.apply(ankle), lean.apply(right))[0]
    np.testing.assert_allclose(turned, lean.as_matrix() @ [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], atol=1e-12)


UPRIGHT = np.array([[[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]])


@pytest.mark.parametrize(
    ("force", "centre", "expected"),
    [
        # 800 N straight up, 5 cm behind the knee: 40 N m of flexion; 5 cm medially of it: as much adduction.
        ((0, 800, 0), (-0.05, 0, 0), (40, 0, 800, 0, 0)),
        ((0, 800, 0), (0, 0, -0.05), (0, 40, 800, 0, 0)),
        # Braking with 100 N, 0.5 m below the knee, bends it; 60 N towards the other leg adduct it.
        ((-100, 800, 0), (0, 0, 0), (50, 0, 800, -100, 0)),
        ((0, 800, -60), (0, 0, 0), (0, 30, 800, 0, 60)),
    ],
)  # fmt: skip
def test_kinetics_by_hand(force: tuple, centre: tuple, expected: tuple) -> None:
    mass = 80.0
    found = stance_kinetics(
        np.array([force], float), np.array([centre], float), np.array([[0.0, 0.5, 0.0]]), UPRIGHT, mass
    )
    scale = np.array([mass, mass, *[mass * 9.81] * 3])
    np.testing.assert_allclose(found[0] * scale, expected, atol=1e-9)
    assert tuple(Skeleton.load("kinetics5").joints) == KINETICS


def test_kinetics_where_something_is_unknown() -> None:
    force, centre, knee = np.tile([0.0, 500, 0], (3, 1)), np.zeros((3, 3)), np.tile([0.1, 0.5, 0], (3, 1))
    centre[1], knee[2] = np.nan, np.nan
    found = stance_kinetics(force, centre, knee, np.repeat(UPRIGHT, 3, 0), 70.0)
    assert found[1, :2].tolist() == [0, 0] and np.isnan(found[2, :2]).all() and np.isfinite(found[:, 2:]).all()
    with pytest.raises(ValueError, match="mass is 0"):
        stance_kinetics(force, centre, knee, np.repeat(UPRIGHT, 3, 0), 0.0)


def of_right_leg(out, r: int, n: int, mass: float) -> np.ndarray:
    knee, ankle = (to_room(out.joints[f"right_{name}"][r, :n]) for name in ("knee", "ankle"))
    hinge = out.motion.rotation[r, :n, INDEX["right_shank"], :, 0]
    force, centre = to_room(out.force["right_foot"][r, :n]), to_room(out.centre["right_foot"][r, :n])
    return stance_kinetics(force, centre, knee, shank_frame(knee, ankle, -to_room(hinge)), mass)


def test_kinetics_of_the_synthetic_set_are_its_own() -> None:
    motion = move([Clip(name, "correct", s, 1) for name in ("walking",) for s in (1, 2)], seed=1)
    out = signals(motion, imus=())
    for r, n in enumerate(motion.lengths):
        found = of_right_leg(out, r, n, float(motion.body.mass[r, 0]))
        assert np.abs(found[:, :2]).max() > 0.3
        np.testing.assert_allclose(found[:, 0], out.kfm["right"][r, :n], atol=1e-6)
        np.testing.assert_allclose(found[:, 1], out.kam["right"][r, :n], atol=1e-6)


def test_standing_still_they_balance_the_net_moment_of_inverse_dynamics() -> None:
    """Net moment + ground reaction + weights of shank and foot = 0 where nothing below the knee moves."""
    motion = move([Clip("arm_raise", "correct", s, 1) for s in (1, 2)], seed=1)
    out = signals(motion, imus=())
    body = inertia(motion.body)
    for r, n in enumerate(motion.lengths):
        mass = float(motion.body.mass[r, 0])
        found = of_right_leg(out, r, n, mass)
        shank = INDEX["right_shank"]
        knee = out.joints["right_knee"][r, :n]
        weight = np.zeros((n, 3))
        for link in ("right_shank", "right_foot"):
            i = INDEX[link]
            arm = out.motion.position[r, :n, i] + out.motion.rotation[r, :n, i] @ body.centre[r, i] - knee
            weight += np.cross(arm, [0.0, -9.81 * body.mass[r, i], 0.0])
        local = np.einsum("tji,tj->ti", out.motion.rotation[r, :n, shank], weight)
        external = -(out.local_moment[r, :n, shank] + local) / mass
        quiet = np.abs(out.motion.acceleration[r, :n, shank]).max(-1) < 0.05
        assert quiet.sum() > 10
        np.testing.assert_allclose(found[quiet, 0], external[quiet, 0], atol=0.01)
        np.testing.assert_allclose(found[quiet, 1], external[quiet, 2], atol=0.01)
