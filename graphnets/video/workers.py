"""Several videos at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from graphnets.video.recordings import Recording, Settings, record

EVERY = 20
"""Frames between two reports of a worker."""

Tick = Callable[[str, int], None]

_reports: SimpleQueue[tuple[str, int]] | None = None  # in a worker: where it says how far it is


def record_all(
    videos: Mapping[str, Path], settings: Settings, workers: int, tick: Tick
) -> Iterator[tuple[str, Recording | ValueError]]:
    """Go through videos, several at once.

    Args:
        videos: By id.
        settings: Of all of them.
        workers: How many processes; with 1 all is done in this one.
        tick: Called with an id and the number of its frames that are done, now and then.

    Yields:
        Id and result in the order given; a video that can't be used gives its error.

    Raises:
        ValueError: ``workers`` is below 1, or a process died.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; at least 1")
    if workers == 1 or len(videos) < 2:
        for id, path in videos.items():
            yield id, _attempt(path, settings, lambda done, id=id: tick(id, done))  # type: ignore[misc]
        return
    context = multiprocessing.get_context("spawn")  # a fork copies locks that native threads hold
    reports = context.SimpleQueue()
    pool = ProcessPoolExecutor(min(workers, len(videos)), context, _begin, (reports,))
    try:
        futures = {id: pool.submit(_work, id, path, settings) for id, path in videos.items()}
        for id, future in futures.items():
            yield id, _await(id, future, reports, tick)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _await(
    id: str, future: Future[Recording | ValueError], reports: SimpleQueue[tuple[str, int]], tick: Tick
) -> Recording | ValueError:
    while not future.done():
        wait([future], timeout=0.2)
        while not reports.empty():
            tick(*reports.get())
    try:
        return future.result()
    except BrokenProcessPool:
        raise ValueError(
            f"{id}: the process that worked on it died, perhaps for lack of memory; what is finished is kept: go on "
            "with --workers 1"
        ) from None


def _begin(reports: SimpleQueue[tuple[str, int]]) -> None:
    global _reports
    _reports = reports


def _work(id: str, path: Path, settings: Settings) -> Recording | ValueError:
    def tick(done: int) -> None:
        if _reports is not None and done % EVERY == 0:
            _reports.put((id, done))

    return _attempt(path, settings, tick)


def _attempt(path: Path, settings: Settings, tick: Callable[[int], None]) -> Recording | ValueError:
    """The recording, or what is wrong with the video."""
    try:
        return record(path, settings, tick)
    except ValueError as error:
        return error
