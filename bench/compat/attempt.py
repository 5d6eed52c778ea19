"""One run of one case under one runtime, from an empty directory to a Result. Runs in a worker process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.compat import process_tree
from bench.compat.case import FAIL, NATIVE, PASS, Case, Result, Verdict
from bench.compat.memory_limit import MemoryLimit
from bench.compat.runtimes import Runtime
from bench.compat.sources import SOURCES
from bench.processes import look_at

# Not /tmp: sandboxes have one of their own.
BASE = Path("/var/tmp")
PREFIX = "pysentry-compat-"
TAIL_CHARS = 2500
_UNDO_TIMEOUT_S = 60.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "SHELL": "/bin/sh",
    "HOME": "{place}",
    "USER": "root",
    "LOGNAME": "root",
}


def attempt(
    case: Case, runtime: Runtime, limit_factor: float = 1.0, memory: MemoryLimit | None = None
) -> Result:
    """Never raises for what a test or a runtime does; a runtime that cannot start is a failure of the run."""
    with a_place(case.user) as place:
        work, output, report = place / "work", place / "output", place / "report.json"
        environment = {
            name: value.replace("{place}", str(work)) for name, value in (ENVIRONMENT | dict(case.environment)).items()
        }
        argv = [word.replace("{place}", str(work)) for word in case.argv]
        prepared = runtime.prepare(case, argv, environment, place, memory.limit_bytes if memory else None)
        if runtime.is_pysentry:
            environment["PYSENTRY_REPORT"] = str(report)
        limit_s = case.time_limit_s * limit_factor
        try:
            ended = process_tree.run(prepared.argv, environment, work, output, limit_s, memory)
        except OSError as error:
            return Result(case.key, runtime.name, FAIL, f"not started: {error}")
        if prepared.undo:
            _undo(prepared.undo)
        internal_errors = _internal_errors(report) if runtime.is_pysentry else 0
        verdict = _judge(case, runtime, ended, limit_s, internal_errors)
        return Result(
            case.key,
            runtime.name,
            verdict.outcome,
            verdict.cause,
            ended.status,
            round(ended.seconds, 2),
            "" if verdict.outcome == PASS else ended.output[-TAIL_CHARS:],
            internal_errors,
        )


def _judge(
    case: Case, runtime: Runtime, ended: process_tree.Ended, limit_s: float, internal_errors: int
) -> Verdict:
    """What no source needs to know: time, the sentry's own errors, what is left. Then the source's verdict."""
    if ended.status is None:
        return Verdict(FAIL, f"time limit ({limit_s:g} s)")
    if internal_errors:
        return Verdict(FAIL, f"internal errors: {internal_errors}")
    if ended.left_behind and runtime.name != NATIVE:
        return Verdict(FAIL, f"left behind: {'; '.join(ended.left_behind)}"[:200])
    return SOURCES[case.source].judge(ended.status, ended.output)


def _internal_errors(report: Path) -> int:
    """Of pysentry's run report. It is written at the end: a run that was killed has none."""
    try:
        return int(json.loads(report.read_text())["internal_errors"])
    except (OSError, ValueError):
        return 0


def _undo(argv: list[str]) -> None:
    """Removes a container, if it is there; one that ended by itself is gone, and that is no error."""
    try:
        subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=_UNDO_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        pass
    process_tree.end_the_rest(grace_s=0)


@contextmanager
def a_place(user: int) -> Iterator[Path]:
    """A directory with an empty work/ that belongs to the user; removed at the end."""
    place = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=BASE))
    try:
        place.chmod(0o755)
        work = place / "work"
        work.mkdir()
        work.chmod(0o1777)  # as a temporary directory: tests become other users
        if user and os.geteuid() == 0:
            os.chown(work, user, user)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def remove_dead_places() -> None:
    """What worker processes that were killed could not remove."""
    for place in BASE.glob(f"{PREFIX}[0-9]*-*"):
        if look_at(int(place.name.removeprefix(PREFIX).split("-")[0])) is None:
            shutil.rmtree(place, ignore_errors=True)
