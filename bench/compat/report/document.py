"""What a run says, as one JSON document; the other reports are made from it and know nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.compat.baseline import BlockList
from bench.compat.case import NATIVE, Case, Result
from bench.compat.journal import Journal, Results
from bench.compat.judgement import Finding, Judgement, is_counted
from bench.compat.runtimes import Runtime
from bench.compat.tally import Count, Row, by_call, by_family, by_source, tally


def document(
    cases: Sequence[Case],
    runtimes: Sequence[Runtime],
    journal: Journal,
    judgement: Judgement,
    block_list: BlockList,
) -> dict[str, Any]:
    names = [runtime.name for runtime in runtimes]
    results = journal.results

    def rows(groups_of: Any) -> list[dict[str, Any]]:
        return [_row(row) for row in tally(cases, names, results, groups_of)]

    return {
        "runtimes": names,
        "versions": {name: journal.versions(name) for name in names},
        "sessions": journal.sessions,
        "sources": rows(by_source),
        "families": rows(by_family),
        "calls": rows(by_call),
        "findings": {
            "regressions": _findings(judgement.regressions),
            "internal_errors": _findings(judgement.internal_errors),
            "unlisted": _findings(judgement.unlisted),
            "listed_but_pass": _findings(judgement.listed_but_pass),
            "listed_but_gone": _findings(judgement.listed_but_gone),
        },
        "left_out": dict(block_list.left_out),
        "tests": [_test(case, runtimes, results, block_list) for case in cases],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "native": _count(row.native),
        "by_runtime": {runtime: _count(count) for runtime, count in row.by_runtime.items()},
    }


def _count(count: Count) -> dict[str, Any]:
    percent = None if count.percent is None else round(count.percent, 1)
    return {**asdict(count), "counted": count.counted, "percent": percent}


def _findings(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [asdict(finding) for finding in findings]


def _test(
    case: Case, runtimes: Sequence[Runtime], results: Results, block_list: BlockList
) -> dict[str, Any]:
    ran = {}
    for runtime in runtimes:
        result = results.get((case.key, runtime.name))
        if result is not None:
            reason = block_list.reason(case.key, runtime.name, runtime.is_pysentry) if runtime.name != NATIVE else None
            ran[runtime.name] = _result(result, reason)
    return {
        "test": case.key,
        "family": case.family,
        "calls": list(case.syscalls),
        "counted": is_counted(case, results),
        "results": ran,
    }


def _result(result: Result, reason: str | None) -> dict[str, Any]:
    told = {
        "outcome": result.outcome,
        "cause": result.cause,
        "seconds": result.seconds,
        "status": result.status,
        "tail": result.tail,
        "reason": reason,
    }
    return {name: value for name, value in told.items() if value not in ("", None)}
