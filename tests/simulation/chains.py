"""Motions that the tests of the mechanics share."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from graphnets.simulation import Clip, move, person_of
from graphnets.simulation.body import Body
from graphnets.simulation.chain import INDEX
from graphnets.simulation.inverse import JOINTS, ORIGIN, PARENT, TIP, Pose, invert
from graphnets.simulation.segments import LINKS


def people(n: int = 3, seed: int = 4) -> Body:
    return Body.stack([person_of(seed, s).body for s in range(1, n + 1)])


def bones(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and tips of the chains of the first people of seed 4."""
    pose = invert(move([Clip("squat", "correct", s, 1) for s in range(1, len(body.mass) + 1)], 4).joints)
    return pose.offset, pose.tip


def random_pose(n: int = 2, knots: int = 40, rate: float = 30.0, seed: int = 0, size: float = 0.8) -> Pose:
    """A chain whose links and root all wander smoothly."""
    rng = np.random.default_rng(seed)
    time = np.arange(knots) / rate
    angle = 2 * np.pi * rng.uniform(0.2, 1.2, (n, 1, len(LINKS), 3)) * time[:, None, None] + rng.uniform(
        0, 6, (n, 1, len(LINKS), 3)
    )
    vectors = (size * np.sin(angle)).reshape(-1, 3)
    quaternion = Rotation.from_rotvec(vectors).as_quat(scalar_first=True).reshape(n, knots, len(LINKS), 4)
    root = 0.3 * np.sin(angle[:, :, 0]) + [0.2, 1.0, -0.1]
    offset, tip = bones(people(n))
    return Pose(quaternion, root, offset, tip)


def still(vectors: dict[str, np.ndarray], body: Body, frames: int = 12) -> Pose:
    """An upright chain at rest in which the named links are turned by rotation vectors."""
    quaternion = np.zeros((len(body.mass), frames, len(LINKS), 4))
    for i, name in enumerate(LINKS):
        turn = Rotation.from_rotvec(vectors.get(name, np.zeros(3))).as_quat(scalar_first=True)
        quaternion[:, :, i] = turn
    offset, tip = bones(body)
    root = np.zeros((len(body.mass), frames, 3))
    foot = offset[:, [INDEX["left_thigh"], INDEX["left_shank"], INDEX["left_foot"]]].sum(1)
    root[..., 1] = body.ankle - foot[:, None, 1]
    return Pose(quaternion, root, offset, tip)


def positions(pose: Pose) -> dict[str, np.ndarray]:
    """Joints of a pose by plain loops and SciPy's rotations."""
    n, frames = pose.root.shape[:2]
    out = {name: np.zeros((n, frames, 3)) for name in JOINTS}
    for r in range(n):
        for f in range(frames):
            turn = {m: Rotation.from_quat(pose.quaternion[r, f, i], scalar_first=True) for i, m in enumerate(LINKS)}
            origin = {"pelvis": pose.root[r, f]}
            for name, parent in PARENT.items():
                origin[name] = origin[parent] + turn[parent].apply(pose.offset[r, INDEX[name]])
            for name in LINKS:
                out[ORIGIN[name]][r, f] = origin[name]
                if name in TIP:
                    out[TIP[name]][r, f] = origin[name] + turn[name].apply(pose.tip[r, INDEX[name]])
    return out
