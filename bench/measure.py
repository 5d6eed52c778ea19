"""Measuring the rows: the runtimes in turns, every run checked against the native one.

Owns the order of runs and what counts as an error: a wrong exit status, other output than natively, a run report with
internal errors, a process left behind. Never judges a time.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from bench.execute import Run, describe_status, execute, last_words
from bench.idle_memory import measure_idle
from bench.processes import await_none_left, descendants
from bench.rows import Kind, Row
from bench.runtimes import Runtime

_LEFT_BEHIND_PATIENCE_S = 3.0
_FEWEST_REPETITIONS = 3


@dataclass(frozen=True)
class Settings:
    """How long to measure. A row stops early after `row_budget_s`, but not before three repetitions."""

    repetitions: int
    row_budget_s: float
    run_timeout_s: float
    environment: Mapping[str, str]


@dataclass(frozen=True)
class CallCounts:
    """From pysentry's run report: all emulated calls, and those that a C fast path handed to Python."""

    calls: int
    punts: int
    internal_errors: int

    @property
    def punts_share(self) -> float:
        """Between 0 and 1; 0 when there were no calls."""
        return self.punts / self.calls if self.calls else 0.0


@dataclass
class Cell:
    """One runtime on one row. `samples` by repetition, in the row's unit."""

    samples: dict[int, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    call_counts: CallCounts | None = None
    idle_processes: tuple[tuple[str, int], ...] = ()


def measure_row(row: Row, runtimes: Sequence[Runtime], settings: Settings) -> dict[str, Cell]:
    """Check every runtime once, then sample them in turns. One with an error is not run again on this row.

    Each repetition starts with another runtime (A B C, B C A, C A B): what a run leaves to the kernel to clean up, and
    the caches it leaves warm, would otherwise always be charged to the same neighbour.
    """
    cells = {runtime.name: Cell() for runtime in runtimes}
    if row.kind is Kind.IDLE_PSS:
        runtimes = [runtime for runtime in runtimes if runtime.prefix]  # no sandbox, no memory of one
    else:
        native = execute(row.check_argv or row.argv, settings.environment, settings.run_timeout_s)
        for runtime in runtimes:
            _check(row, runtime, native, cells[runtime.name], settings)
    begin = time.monotonic()
    for repetition in range(settings.repetitions):
        if repetition >= _FEWEST_REPETITIONS and time.monotonic() - begin > settings.row_budget_s:
            break
        for runtime in rotated(runtimes, repetition):
            cell = cells[runtime.name]
            if cell.errors:
                continue
            value = _sample(row, runtime, cell, settings)
            if value is not None:
                cell.samples[repetition] = value
    return cells


def rotated(runtimes: Sequence[Runtime], repetition: int) -> list[Runtime]:
    """The order of one repetition; none for no runtimes."""
    first = repetition % len(runtimes) if runtimes else 0
    return [*runtimes[first:], *runtimes[:first]]


def _check(row: Row, runtime: Runtime, native: Run, cell: Cell, settings: Settings) -> None:
    """The unmeasured first run: warms caches, compares the output, reads pysentry's own counts."""
    environment = dict(settings.environment)
    is_pysentry = runtime.name.startswith("pysentry")
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        if is_pysentry:
            environment["PYSENTRY_REPORT"] = str(report)
        before = set(descendants(os.getpid()))
        run = execute([*runtime.prefix, *(row.check_argv or row.argv)], environment, settings.run_timeout_s)
        _judge(run, before, cell)
        if not cell.errors and comparable(row, run.stdout) != comparable(row, native.stdout):
            cell.errors.append(f"output differs from the native run's: {difference(native.stdout, run.stdout)}")
        if is_pysentry and not cell.errors:
            _read_report(report, cell)


def _read_report(path: Path, cell: Cell) -> None:
    try:
        report = json.loads(path.read_text())
        cell.call_counts = CallCounts(int(report["calls"]), int(report["punts"]), int(report["internal_errors"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        cell.errors.append(f"no usable run report: {error!r}")
        return
    if cell.call_counts.internal_errors:
        cell.errors.append(f"{cell.call_counts.internal_errors} internal errors in the run report")


def comparable(row: Row, output: bytes) -> object:
    """The part of an output that must be the same in every runtime."""
    if row.kind is Kind.MICRO:
        return micro_operation(output)
    return output if row.is_output_ordered else sorted(output.splitlines())


def micro_operation(output: bytes) -> str | None:
    """The operation that a line of the hot-loop program is about; None if it is no such line."""
    try:
        return str(json.loads(output)["operation"])
    except (ValueError, KeyError, TypeError):
        return None


def difference(expected: bytes, found: bytes) -> str:
    """The first differing lines, shortened, to put into a message."""
    expected_lines, found_lines = sorted(expected.splitlines()), sorted(found.splitlines())
    missing = next((line for line in expected_lines if line not in set(found_lines)), b"")[:80]
    surplus = next((line for line in found_lines if line not in set(expected_lines)), b"")[:80]
    return f"{len(expected_lines)} lines became {len(found_lines)}; missing {missing!r}, surplus {surplus!r}"


def _judge(run: Run, before: Set[int], cell: Cell) -> None:
    left_behind = await_none_left(before, _LEFT_BEHIND_PATIENCE_S)
    if run.status != 0:
        cell.errors.append(f"{describe_status(run.status)}: {last_words(run.stderr_tail)}")
    elif left_behind:
        cell.errors.append(f"left behind: {'; '.join(left_behind)[:300]}")


def _sample(row: Row, runtime: Runtime, cell: Cell, settings: Settings) -> float | None:
    """One measured run in the row's unit; None (and an error in the cell) if it went wrong."""
    before = set(descendants(os.getpid()))
    if row.kind is Kind.IDLE_PSS:
        idle = measure_idle(runtime.prefix, row.argv, settings.environment, settings.run_timeout_s)
        await_none_left(before, _LEFT_BEHIND_PATIENCE_S)
        if idle.error:
            cell.errors.append(idle.error)
            return None
        cell.idle_processes = idle.processes
        return idle.total_mib
    # cat's output is thrown away by the host's /dev/null: a 100 MB file in between would measure that file.
    discard = Path("/dev/null") if row.check_argv else None
    run = execute([*runtime.prefix, *row.argv], settings.environment, settings.run_timeout_s, discard)
    _judge(run, before, cell)
    if cell.errors:
        return None
    if row.kind is Kind.MICRO:
        return float(json.loads(run.stdout)["ns_per_op"]) / 1000
    return run.elapsed_ns / 1e6


def measure_rows(rows: Sequence[Row], runtimes: Sequence[Runtime], settings: Settings) -> dict[str, dict[str, Cell]]:
    """Cells by row name and runtime name; says on stderr what it is doing."""
    measured: dict[str, dict[str, Cell]] = {}
    for number, row in enumerate(rows, 1):
        print(f"[{number}/{len(rows)}] {row.title}", file=sys.stderr, flush=True)
        measured[row.name] = measure_row(row, runtimes, settings)
        for name, cell in measured[row.name].items():
            for error in cell.errors:
                print(f"    {name}: {error}", file=sys.stderr, flush=True)
    return measured
