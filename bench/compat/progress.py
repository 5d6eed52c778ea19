"""The progress bar: how many runs are done, and the last thing that went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.compat.case import FAIL, NATIVE, PASS, Case, Result
from bench.compat.journal import Results
from bench.compat.runtimes import Runtime


@contextmanager
def progress(
    cases: Sequence[Case], runtimes: Sequence[Runtime], results: Results, is_shown: bool
) -> Iterator[Callable[[Result], None]]:
    """Gives what is to be called with each new result. To a file or a pipe: failures only, one line each."""
    if not is_shown or not sys.stderr.isatty():
        yield _say_failures
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]} failed"),
        TextColumn("{task.fields[last]}"),
    )
    settled = _settled(cases, results)
    with Progress(*columns) as bar:
        # In tests, not runs: what native settles is not run under the others.
        task = bar.add_task("tests", total=len(cases), completed=settled, failed=0, last="")
        failed = 0

        def show(result: Result) -> None:
            nonlocal failed
            failed += result.outcome == FAIL and result.runtime != NATIVE
            last = f"{result.runtime} {result.key}"
            if result.runtime == runtimes[-1].name or (result.runtime == NATIVE and result.outcome != PASS):
                bar.advance(task)
            bar.update(task, failed=failed, last=last)

        yield show


def _settled(cases: Sequence[Case], results: Results) -> int:
    """Tests that are not run again: seen from their native result, which comes first."""
    return sum((case.key, NATIVE) in results for case in cases)


def _say_failures(result: Result) -> None:
    if result.outcome == FAIL and result.runtime != NATIVE:
        print(f"{result.runtime} {result.key}: {result.cause}", file=sys.stderr, flush=True)
