"""The command line of `pysentry-compat`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bench.compat.baseline import BASELINE
from bench.compat.case import ROOT
from bench.compat.runtimes import DEFAULT, PYSENTRY
from bench.compat.sources import SOURCES

RESULTS = ROOT / "bench/results/compat.jsonl"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Exits with status 2 on a bad option, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="pysentry-compat",
        description="The same tests natively, under pysentry and under OCI runtimes.",
        epilog="Exit status: 0; 1 something regressed against the baseline, or an internal error; 2 usage.",
    )
    what = parser.add_argument_group("what is run")
    what.add_argument("--sources", type=_names, help=f"of {', '.join(SOURCES)} (default: those that are there)")
    what.add_argument("--only", action="append", default=[], metavar="GLOB", help="tests such as 'ltp:fcntl*'; repeat")
    what.add_argument("--ltp", type=Path, metavar="DIR", help="where the Linux Test Project is installed")
    what.add_argument("--all-cpython", action="store_true", help="all of CPython's modules, not only the listed ones")
    what.add_argument("--stress-seconds", type=int, default=3, metavar="N", help="for each stressor (default: 3)")
    where = parser.add_argument_group("under what")
    where.add_argument(
        "--runtimes",
        type=_names,
        default=list(DEFAULT),
        help=f"native, {', '.join(PYSENTRY)} (default: {','.join(DEFAULT)}; native always)",
    )
    where.add_argument(
        "--oci", action="append", default=[], metavar="[NAME=]COMMAND", help="an OCI runtime, with its options; repeat"
    )
    how = parser.add_argument_group("how")
    how.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at a time (default: cores)")
    how.add_argument("--limit", type=float, default=1.0, metavar="FACTOR", help="multiplies each test's time limit")
    how.add_argument("--even-if-native-fails", action="store_true", help="run those too; they still don't count")
    how.add_argument("--no-progress", action="store_true", help="no progress bar")
    how.add_argument("--list", action="store_true", help="print the tests, run nothing")
    known = parser.add_argument_group("results")
    known.add_argument("--results", type=Path, default=RESULTS, help="JSON lines; a run goes on where it was")
    known.add_argument("--fresh", action="store_true", help="begin a new result file")
    known.add_argument("--again", type=_names, default=[], metavar="RUNTIMES", help="run what is selected again there")
    known.add_argument("--report-only", action="store_true", help="run nothing, report what the result file holds")
    known.add_argument("--report", type=Path, metavar="STEM", help="STEM.{json,md,html} (default: beside the results)")
    known.add_argument("--baseline", type=Path, default=BASELINE, help="a baseline, or a saved result file")
    known.add_argument("--write-baseline", action="store_true", help="take these results over into the baseline")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    return options


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
