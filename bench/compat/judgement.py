"""What a run means: regressions, failures nobody gave a reason for, listed tests that pass.

A test that does not pass natively is not counted. Of the counted ones, only a pass is a pass: a skip where the host
passes is a failure of the runtime.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.compat.baseline import Baseline, BlockList
from bench.compat.case import NATIVE, PASS, Case, Result
from bench.compat.journal import Results
from bench.compat.runtimes import Runtime


@dataclass(frozen=True)
class Finding:
    """One thing to say about one test under one runtime."""

    key: str
    runtime: str
    text: str


@dataclass(frozen=True)
class Judgement:
    regressions: list[Finding]
    unlisted: list[Finding]
    listed_but_pass: list[Finding]
    listed_but_gone: list[Finding]
    internal_errors: list[Finding]

    @property
    def exit_status(self) -> int:
        return 1 if self.regressions or self.internal_errors else 0


def is_counted(case: Case, results: Results) -> bool:
    native = results.get((case.key, NATIVE))
    return native is not None and native.outcome == PASS


def judge(
    cases: Sequence[Case],
    runtimes: Sequence[Runtime],
    results: Results,
    baseline: Baseline,
    block_list: BlockList,
    whole_sources: Collection[str] = (),
) -> Judgement:
    """`cases` are those that were asked for; `results` may hold more. Of `whole_sources`, `cases` are all there is."""
    found = Judgement([], [], [], [], [])
    counted = [case for case in cases if is_counted(case, results)]
    for runtime in runtimes:
        if runtime.name == NATIVE:
            continue
        for case in counted:
            result = results.get((case.key, runtime.name))
            if result is not None:
                _judge_one(found, result, runtime, baseline, block_list)
        found.listed_but_gone.extend(_gone(cases, runtime, block_list, whole_sources))
    return found


def _judge_one(
    found: Judgement, result: Result, runtime: Runtime, baseline: Baseline, block_list: BlockList
) -> None:
    key, said = result.key, result.cause or result.outcome
    reason = block_list.reason(key, runtime.name, runtime.is_pysentry)
    if result.internal_errors:
        found.internal_errors.append(Finding(key, runtime.name, said))
    if result.outcome == PASS:
        if reason is not None:
            found.listed_but_pass.append(Finding(key, runtime.name, reason))
    elif baseline.outcomes.get((key, runtime.name)) == PASS:
        found.regressions.append(Finding(key, runtime.name, said))
    elif reason is None and runtime.is_pysentry:
        found.unlisted.append(Finding(key, runtime.name, said))


def _gone(
    cases: Sequence[Case], runtime: Runtime, block_list: BlockList, whole_sources: Collection[str]
) -> list[Finding]:
    """Lines for tests that a source no longer has."""
    keys = {case.key for case in cases}
    listed = block_list.listed(runtime.name, runtime.is_pysentry)
    gone = sorted(key for key in listed - keys if key.split(":")[0] in whole_sources)
    return [Finding(key, runtime.name, "no such test") for key in gone]
