"""Running a target in a process of its own: what crashes, hangs or exits there cannot take the results of others with it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from gradcheck_health.cli.workers.fork_client import fork_server
from gradcheck_health.cli.workers.supervisor import Supervisor
from gradcheck_health.records.codec import decode
from gradcheck_health.records.errors import ExitCode
from gradcheck_health.records.inferred import InferredInputs
from gradcheck_health.records.launch import launched
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.records.scale import FactorySizes, Measured
from gradcheck_health.settings.source import Source

LOST = "its process ended without a result: there is no verdict"
Result = TypeVar("Result")


def check(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None], jobs: int = 1
) -> Iterator[Report | Failure | NothingToCheck]:
    """Every model of a target, as each is done; a process that dies is followed by another for the models that are left.

    Args:
        target: a file, module or name in one; not a directory.
        timeout: seconds without a result after which the process is killed.
        output: takes what the user's code prints.
        jobs: how many such processes run at once and share the processor.
    """
    return _each("report", Report.from_dict, target, sources, timeout, output, jobs)


def check_all(
    targets: Sequence[str], sources: Sequence[Source], timeout: float, output: Callable[[str], None], jobs: int = 1
) -> Iterator[tuple[int, Report | Failure | NothingToCheck]]:
    """(index of the target, result), in the order of the targets, while up to `jobs` of them are checked at once."""

    def run(target: str, output: Callable[[str], None]) -> Iterator[Report | Failure | NothingToCheck]:
        return check(target, sources, timeout, output) if jobs == 1 else check(target, sources, timeout, output, jobs)

    yield from _in_order([partial(run, target) for target in targets], output, jobs)


def _in_order(
    runs: Sequence[Callable[..., Iterator[Result]]], output: Callable[[str], None], jobs: int
) -> Iterator[tuple[int, Result]]:
    """(index of the run, each of its results), in the order of the runs, while up to `jobs` of them go on at once.

    Args:
        runs: each takes what `output` is.
    """
    if jobs == 1:
        for i, run in enumerate(runs):
            for result in run(output):
                yield i, result
        return
    told: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in runs]
    stopped = threading.Event()

    def work(i: int) -> None:
        try:
            for result in runs[i](told[i].put):
                if stopped.is_set():
                    return
                told[i].put((i, result))
        except BaseException as error:  # noqa: BLE001 - to be raised where the results are awaited
            told[i].put(error)
        finally:
            told[i].put(None)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for i in range(len(runs)):
                pool.submit(work, i)
            for line in told:
                while (item := line.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    if isinstance(item, str):
                        output(item)
                    else:
                        yield item
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            fork_server(_threads(jobs)).kill_children()


def _threads(jobs: int) -> int | None:
    return None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def measure(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None]
) -> Iterator[Report | Failure | NothingToCheck]:
    """What a baseline is written from: reports with the spread over seeds, compared with none; arguments as in `check`."""
    return _each("measured", Report.from_dict, target, sources, timeout, output)


def infer(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None]
) -> Iterator[InferredInputs | Failure | NothingToCheck]:
    """The inputs that would be made up for every model of a target; arguments as in `check`."""
    return _each("inferred", lambda value: decode(InferredInputs, value, "inferred"), target, sources, timeout, output)


def sizes(
    target: str, sources: Sequence[Source], timeout: float, output: Callable[[str], None]
) -> Iterator[FactorySizes | Failure | NothingToCheck]:
    """Which parameters of every factory of a target are its depth and its width; arguments as in `check`."""
    return _each("sizes", lambda value: decode(FactorySizes, value, "sizes"), target, sources, timeout, output)


def at_sizes(
    target: str,
    sized: Sequence[tuple[Sequence[Source], bool]],
    timeout: float,
    output: Callable[[str], None],
    jobs: int = 1,
) -> Iterator[tuple[int, Measured | Failure | NothingToCheck]]:
    """(index of the size, what it shows), in the order of the sizes, each in a process of its own.

    Args:
        sized: the settings of each size, and whether its outputs are compared before and after steps of an optimizer.
    """

    def run(own: Sequence[Source], moves: bool, output: Callable[[str], None]) -> Iterator[Any]:
        job = "moved" if moves else "sized"
        return _each(job, lambda value: decode(Measured, value, "size"), target, own, timeout, output, jobs)

    return _in_order([partial(run, own, moves) for own, moves in sized], output, jobs)


def _each(
    job: str,
    read: Callable[[Any], Result],
    target: str,
    sources: Sequence[Source],
    timeout: float,
    output: Callable[[str], None],
    jobs: int = 1,
) -> Iterator[Result | Failure | NothingToCheck]:
    done: list[str] = []
    workers = most = 0
    while True:
        worker = Supervisor(job, target, sources, done, timeout, output)
        before = len(done)
        for name, result in worker.run(fork_server(_threads(jobs))):
            done.append(name)
            yield result if isinstance(result, Failure | NothingToCheck) else _read_result(read, name, result)
        workers, most = workers + 1, max(most, len(worker.targets))
        left = [name for name in worker.targets if name not in done]
        alone = launched() is None  # the other ranks have no second worker that a new one could meet
        if (worker.finished or not alone) and (left or not done):
            yield from (Failure(name, LOST, ExitCode.STOPPED) for name in left or [target])
            return
        advanced = any(name in worker.targets for name in done[before:])
        # a file whose models have other names each time would have no end
        if worker.finished or not alone or not advanced or not left or workers > most:
            return


def _read_result(read: Callable[[Any], Result], name: str, value: Any) -> Result | Failure:
    try:
        return read(value)
    except ValueError as error:
        return Failure(name, f"its process sent a result that cannot be read: {error}", ExitCode.STOPPED)
