"""What is run next, and in how many worker processes at a time.

Of each test native comes first: what does not pass there says nothing about a runtime, so it is not run anywhere
else unless asked for. The other runtimes follow while the machine is in the same mood.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from bench.compat import memory_limit
from bench.compat.attempt import attempt
from bench.compat.case import NATIVE, PASS, Case, Result
from bench.compat.journal import Results
from bench.compat.memory_limit import MemoryLimit
from bench.compat.runtimes import Runtime
from bench.processes import become_subreaper

_PR_SET_PDEATHSIG = 1


def remaining(
    case: Case, runtimes: Sequence[Runtime], results: Results, is_run_anyway: bool
) -> list[Runtime]:
    """Which runtimes a case has still to be run under, native first; none when native settled it."""
    native = results.get((case.key, NATIVE))
    open_ones = [runtime for runtime in runtimes if (case.key, runtime.name) not in results]
    if native is not None and native.outcome != PASS and not is_run_anyway:
        return []
    return sorted(open_ones, key=lambda runtime: runtime.name != NATIVE)


def run_all(
    cases: Iterable[Case],
    runtimes: Sequence[Runtime],
    results: Results,
    jobs: int,
    limit_factor: float = 1.0,
    is_run_anyway: bool = False,
    is_left_out: Container[str] = (),
    run_one: Callable[[Case, Runtime, float, MemoryLimit | None], Result] = attempt,
) -> Iterator[Result]:
    """Yields results as they come, `jobs` runs at a time. `results` are those that are known already."""
    known = dict(results)
    waiting = deque(case for case in cases if case.key not in is_left_out)
    running: dict[Future[Result], Case] = {}
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker, initargs=(jobs,))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                case = waiting.popleft()
                following = remaining(case, runtimes, known, is_run_anyway)
                if following:
                    running[pool.submit(_run, run_one, case, following[0], limit_factor)] = case
            done, _ = wait(running, return_when=FIRST_COMPLETED) if running else ((), ())
            for future in done:
                result = future.result()
                known[result.key, result.runtime] = result
                waiting.appendleft(running.pop(future))
                yield result
    except BaseException:
        _kill_workers(pool)
        raise
    finally:
        pool.shutdown()
        memory_limit.remove_dead()


_memory: MemoryLimit | None = None
"""Of this worker process."""


def _run(
    run_one: Callable[[Case, Runtime, float, MemoryLimit | None], Result],
    case: Case,
    runtime: Runtime,
    limit_factor: float,
) -> Result:
    return run_one(case, runtime, limit_factor, _memory)


def _begin_worker(jobs: int) -> None:
    """Ctrl-C is the main process's to handle; without it there is nobody to work for."""
    global _memory
    _memory = memory_limit.make(memory_limit.share_bytes(jobs))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    become_subreaper()


def _kill_workers(pool: ProcessPoolExecutor) -> None:
    """Their tests die with them (process_tree)."""
    for worker in list((pool._processes or {}).values()):
        worker.kill()
