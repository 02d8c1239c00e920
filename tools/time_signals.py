"""How long the signals of simulated repetitions take, by stage, on one core.

OMP_NUM_THREADS=1 python tools/time_signals.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from graphnets.runtime import keep_freed_memory
from graphnets.simulation import Clip, move
from graphnets.simulation.chain import forward
from graphnets.simulation.clips import source
from graphnets.simulation.generate import MODALITIES, Setup, render
from graphnets.simulation.imu import measure
from graphnets.simulation.inverse import invert
from graphnets.simulation.signals import signals
from graphnets.simulation.worn import worn


def seconds(work: Callable[[], object], times: int) -> float:
    """Least processor time of a call, in seconds."""
    took = []
    for _ in range(times + 1):  # the first one fills caches
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took[1:])


def main() -> None:
    """Time and print, for a repetition of 100 frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exercise", default="squat")
    parser.add_argument("--repetitions", type=int, default=20, help="at once")
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    keep_freed_memory()
    clips = [Clip(args.exercise, "correct", 1 + i % 4, 1 + i // 4) for i in range(args.repetitions)]
    motion, setup = move(clips), Setup(modalities=MODALITIES)
    sensors = worn(setup.sensors, setup.imu_rate)
    frames, fps = int(motion.lengths.max()), motion.fps
    pose, lengths = invert(motion.joints), motion.lengths
    fine = np.arange(int((frames - 1) / fps * 100 + 1e-9) + 1) / 100
    links = {s.segment for s in sensors}
    moving = forward(pose, fps, fine, lengths=lengths, links=links)
    steps: dict[str, Callable[[], object]] = {
        "joints of the exercise": lambda: move(clips),
        "inverse kinematics": lambda: invert(motion.joints),
        "chain at the frames": lambda: forward(pose, fps, np.arange(frames) / fps, lengths=lengths),
        "chain at 100 Hz": lambda: forward(pose, fps, fine, lengths=lengths, links=links),
        f"{len(sensors)} sensors at 100 Hz": lambda: measure(
            moving, sensors, [source(0, i) for i in range(len(clips))]
        ),
    }
    took = {name: seconds(step, args.times) for name, step in steps.items()}
    mechanics = took["joints of the exercise"] + seconds(lambda: signals(motion, imus=sensors), args.times)
    took["forces, contacts, moments"] = mechanics - sum(took.values())
    whole = seconds(lambda: render(clips, setup=setup), args.times)
    took["cameras, detector, the rest"] = whole - mechanics
    scale = 1e3 / len(clips) * 100 / motion.lengths.mean()
    for name, value in took.items():
        print(f"{name:28s} {value * scale:6.2f} ms  {value / whole:5.0%}")
    print(
        f"{'all':28s} {whole * scale:6.2f} ms: {1e3 / (whole * scale):.0f} repetitions of 100 frames a second and core"
    )


if __name__ == "__main__":
    main()
