"""Inverse dynamics and inertial sensors against MuJoCo, an independent engine, on random motions of the whole chain."""

from __future__ import annotations

import mujoco
import numpy as np
from chains import people, random_pose
from scipy.spatial.transform import Rotation

from graphnets.simulation.chain import INDEX, apply_back, forward
from graphnets.simulation.dynamics import demand, joint_moments
from graphnets.simulation.imu import IMU, ideal
from graphnets.simulation.inverse import PARENT
from graphnets.simulation.segments import LINKS, SEGMENTS, Inertia, inertia


def text(*values: float) -> str:
    return " ".join(repr(float(v)) for v in values)


def model(offset: np.ndarray, mass: Inertia, person: int, sensors: list[IMU]):
    """The chain of one person as MuJoCo has it: a free pelvis and ball joints."""

    def body(name: str) -> str:
        i = INDEX[name]
        joint = "<freejoint/>" if name == "pelvis" else f'<joint name="{name}" type="ball"/>'
        sites = "".join(
            f'<site name="s{k}" pos="{text(*s.position)}" quat="'
            f'{text(*Rotation.from_matrix(s.mounting).as_quat(scalar_first=True))}"/>'
            for k, s in enumerate(sensors)
            if s.segment == name
        )
        inner = "".join(body(child) for child, parent in PARENT.items() if parent == name)
        return (
            f'<body name="{name}" pos="{text(*offset[person, i])}">{joint}'
            f'<inertial pos="{text(*mass.centre[person, i])}" mass="{text(mass.mass[person, i])}" '
            f'diaginertia="{text(*mass.moments[person, i])}"/>{sites}{inner}</body>'
        )

    read = "".join(f'<accelerometer site="s{k}"/><gyro site="s{k}"/>' for k in range(len(sensors)))
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><compiler angle="radian"/><option gravity="0 -9.81 0"/><worldbody>{body("pelvis")}</worldbody>'
        f"<sensor>{read}</sensor></mujoco>"
    )


def test_joint_moments_and_sensors_are_those_of_the_engine():
    pose, mass = random_pose(n=2, seed=3), inertia(people(2))
    # MuJoCo wants mass in every moving body.
    for side in ("left", "right"):
        mass.mass[:, INDEX[f"{side}_clavicle"]], mass.moments[:, INDEX[f"{side}_clavicle"]] = 0.3, [2e-3, 1e-3, 2.5e-3]
        mass.centre[:, INDEX[f"{side}_clavicle"]] = [0.05 if side == "left" else -0.05, 0.01, 0.0]
    rng = np.random.default_rng(0)
    sensors = [
        IMU(name, tuple(rng.uniform(-0.2, 0.2, 3)), tuple(map(tuple, Rotation.random(rng=rng).as_matrix())))
        for name in SEGMENTS
    ]
    times = np.linspace(0.1, 1.2, 15)
    motion = forward(pose, 30.0, times)
    moment, force = joint_moments(motion, demand(motion, mass), {})
    local = apply_back(motion.rotation, moment)
    read = ideal(motion, sensors)
    worst = {"moment": 0.0, "force": 0.0, "accelerometer": 0.0, "gyroscope": 0.0}
    for r in range(2):
        engine = model(pose.offset, mass, r, sensors)
        data = mujoco.MjData(engine)
        for t in range(len(times)):
            load(engine, data, motion, r, t)
            mujoco.mj_inverse(engine, data)
            for name in LINKS:
                i = INDEX[name]
                at = 3 if name == "pelvis" else engine.joint(name).dofadr[0]
                error = np.abs(data.qfrc_inverse[at : at + 3] - local[r, t, i]).max()
                worst["moment"] = max(worst["moment"], error / np.abs(local).max())
            worst["force"] = max(
                worst["force"], np.abs(data.qfrc_inverse[:3] - force[r, t, 0]).max() / np.abs(force).max()
            )
            values = data.sensordata.reshape(len(sensors), 2, 3)
            for j, name in enumerate(("accelerometer", "gyroscope")):
                mine = getattr(read, name)
                worst[name] = max(worst[name], np.abs(values[:, j] - mine[r, t]).max() / np.abs(mine).max())
    assert np.abs(local).max() > 50  # N m: the motion is a lively one
    assert max(worst.values()) < 1e-10, worst


def load(engine, data, motion, r: int, t: int) -> None:
    """Positions, velocities and accelerations of our chain in MuJoCo's generalised coordinates."""
    turn = {name: Rotation.from_matrix(motion.rotation[r, t, INDEX[name]]) for name in LINKS}
    omega, alpha = motion.omega[r, t], motion.alpha[r, t]
    root = turn["pelvis"]
    data.qpos[:3], data.qpos[3:7] = motion.position[r, t, 0], root.as_quat(scalar_first=True)
    data.qvel[:3], data.qvel[3:6] = motion.velocity[r, t, 0], root.inv().apply(omega[0])
    data.qacc[:3], data.qacc[3:6] = motion.acceleration[r, t, 0], root.inv().apply(alpha[0])
    for name, parent in PARENT.items():
        i, p = INDEX[name], INDEX[parent]
        joint = engine.joint(name)
        q, v = joint.qposadr[0], joint.dofadr[0]
        back = turn[name].inv()
        data.qpos[q : q + 4] = (turn[parent].inv() * turn[name]).as_quat(scalar_first=True)
        data.qvel[v : v + 3] = back.apply(omega[i] - omega[p])
        data.qacc[v : v + 3] = back.apply(alpha[i] - alpha[p] + np.cross(omega[i], omega[p]))
