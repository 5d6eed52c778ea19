"""Counts: per source, per family and per system call, pass, fail and skip by runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench.compat import calls
from bench.compat.case import FAIL, NATIVE, PASS, SKIP, Case
from bench.compat.journal import Results
from bench.compat.judgement import is_counted


@dataclass
class Count:
    """`counted` are the tests that pass natively and were run here; the other three are of these."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def counted(self) -> int:
        return self.passed + self.failed + self.skipped

    @property
    def percent(self) -> float | None:
        """Of those that pass natively."""
        return 100 * self.passed / self.counted if self.counted else None

    def add(self, outcome: str) -> None:
        self.passed += outcome == PASS
        self.failed += outcome == FAIL
        self.skipped += outcome == SKIP


@dataclass
class Row:
    """One line of a table: what it is about, native as it is, and each runtime of what native passes."""

    name: str
    native: Count = field(default_factory=Count)
    by_runtime: dict[str, Count] = field(default_factory=dict)


def tally(
    cases: Iterable[Case], runtimes: Sequence[str], results: Results, groups_of: Callable[[Case], Iterable[str]]
) -> list[Row]:
    """Rows by group in order of the alphabet; a case may be in several groups, or in none."""
    rows: dict[str, Row] = {}
    others = [runtime for runtime in runtimes if runtime != NATIVE]
    for case in cases:
        for group in groups_of(case):
            row = rows.setdefault(group, Row(group, by_runtime={runtime: Count() for runtime in others}))
            _add(row, case, results)
    return [rows[name] for name in sorted(rows)]


def _add(row: Row, case: Case, results: Results) -> None:
    native = results.get((case.key, NATIVE))
    if native is not None:
        row.native.add(native.outcome)
    if is_counted(case, results):
        for runtime, count in row.by_runtime.items():
            result = results.get((case.key, runtime))
            if result is not None:
                count.add(result.outcome)


def by_source(case: Case) -> tuple[str, ...]:
    return (case.source,)


def by_family(case: Case) -> tuple[str, ...]:
    """Families of calls; a source's own words (stress-ng's classes, a library) are told apart by the source."""
    return (case.family if case.family in set(calls.families().values()) else f"{case.source}/{case.family}",)


def by_call(case: Case) -> tuple[str, ...]:
    return case.syscalls
