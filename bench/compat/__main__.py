"""`python -m bench.compat`: tests in, a result file and three reports out."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from bench.compat import memory_limit
from bench.compat.attempt import remove_dead_places
from bench.compat.baseline import BLOCK_LISTS, BadBlockList, Baseline, BlockList, load_block_lists
from bench.compat.case import Case
from bench.compat.journal import Journal
from bench.compat.judgement import Judgement, judge
from bench.compat.options import parse
from bench.compat.progress import progress
from bench.compat.report import write_reports
from bench.compat.runtimes import PYSENTRY, Runtime, RuntimeMissing, find
from bench.compat.schedule import run_all
from bench.compat.sources import SOURCES, SourceMissing, Wanted, enumerate_cases

USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        cases = select(find_cases(options), options.only)
        runtimes = find(options.runtimes, options.oci)
        block_list = load_block_lists(BLOCK_LISTS, [*PYSENTRY, *(runtime.name for runtime in runtimes)])
    except (SourceMissing, RuntimeMissing, BadBlockList) as error:
        print(f"pysentry-compat: {error}", file=sys.stderr)
        return USAGE_ERROR
    if options.list:
        print("\n".join(case.key for case in cases))
        return 0
    if options.fresh:
        options.results.unlink(missing_ok=True)
    with Journal(options.results) as journal:
        if not options.report_only:
            try:
                run(cases, runtimes, journal, block_list, options)
            except KeyboardInterrupt:
                print("stopped; the same command goes on from here", file=sys.stderr)
                return INTERRUPTED
        return report(cases, runtimes, journal, block_list, options)


def find_cases(options: argparse.Namespace) -> list[Case]:
    """Of the sources asked for; unasked, of those that are there."""
    wanted = Wanted(options.ltp, options.all_cpython, options.stress_seconds)
    if options.sources is not None:
        return enumerate_cases(options.sources, wanted)
    found: list[Case] = []
    for name in SOURCES:
        try:
            found += enumerate_cases([name], wanted)
        except SourceMissing as missing:
            print(f"left out: {missing}", file=sys.stderr)
    return found


def select(cases: Iterable[Case], globs: Sequence[str]) -> list[Case]:
    return [case for case in cases if not globs or any(fnmatch.fnmatchcase(case.key, glob) for glob in globs)]


def run(
    cases: Sequence[Case],
    runtimes: Sequence[Runtime],
    journal: Journal,
    block_list: BlockList,
    options: argparse.Namespace,
) -> None:
    remove_dead_places()
    memory_limit.remove_dead()
    journal.forget((case.key, name) for case in cases for name in options.again)
    journal.begin(
        {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "kernel": os.uname().release,
            "runtimes": {runtime.name: runtime.version for runtime in runtimes},
        }
    )
    settings = (options.jobs, options.limit, options.even_if_native_fails, block_list.left_out)
    try:
        with progress(cases, runtimes, journal.results, is_shown=not options.no_progress) as show:
            for result in run_all(cases, runtimes, journal.results, *settings):
                journal.add(result)
                show(result)
    finally:
        remove_dead_places()


def report(
    cases: Sequence[Case],
    runtimes: Sequence[Runtime],
    journal: Journal,
    block_list: BlockList,
    options: argparse.Namespace,
) -> int:
    baseline = Baseline.load(options.baseline)
    is_whole = not options.only
    whole = {case.source for case in cases if is_whole and (case.source != "cpython" or options.all_cpython)}
    judgement = judge(cases, runtimes, journal.results, baseline, block_list, whole)
    stem = options.report or options.results.with_suffix("")
    paths = write_reports(stem, cases, runtimes, journal, judgement, block_list)
    print_summary(judgement)
    print("written: " + " ".join(str(path) for path in paths))
    if options.write_baseline:
        keys = {case.key for case in cases}
        names = {runtime.name: journal.versions(runtime.name) for runtime in runtimes}
        taken = {key: result for key, result in journal.results.items() if key[0] in keys and key[1] in names}
        baseline.update(taken, names)
        baseline.save(options.baseline)
    return judgement.exit_status


def print_summary(judgement: Judgement) -> None:
    for title, findings in (
        ("regressed", judgement.regressions),
        ("internal error", judgement.internal_errors),
        ("fails, on no block list", judgement.unlisted),
        ("passes, but is on the block list", judgement.listed_but_pass),
        ("on the block list, but there is none", judgement.listed_but_gone),
    ):
        for finding in findings:
            print(f"{title}: {finding.key} [{finding.runtime}] {finding.text}")


if __name__ == "__main__":
    raise SystemExit(main())
