"""The C guest programs of tests/guests: which tests they hold, building them, running one test or all.

Binaries are kept in /var/tmp (readable by all users), named by a hash of what they are made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S
from tests.harness.runner import Runner

SOURCES = Path(__file__).resolve().parents[1] / "guests"
BINARIES = Path("/var/tmp/pysentry-guests")
# Guests pass bad pointers and negative counts on purpose.
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-nonnull", "-Wno-stringop-overflow"]
FLAGS = ["-std=gnu11", "-O1", "-g", *WARNINGS, "-pthread"]
LINK_FLAGS = {"dynamic": [], "static": ["-static"], "static-pie": ["-static-pie"], "no-pie": ["-no-pie"]}
SKIPPED = 77
# A guest test takes well under a second; shorter than this only to look for hangs quickly.
TIMEOUT_S = float(os.environ.get("PYSENTRY_GUEST_TIMEOUT_S", PATIENCE_S))
# family: why it is not run on the ptrace engine
NOT_ON_PTRACE = dict.fromkeys(("ptrace", "ptrace_stops"), "the engine's traps are stops: ptrace(2) answers EPERM")
TEST_NAME = re.compile(r"^TEST\((\w+)\)", re.MULTILINE)


def families() -> list[str]:
    return sorted(source.stem for source in SOURCES.glob("*.c"))


@cache
def names_of(family: str) -> list[str]:
    """The names of a guest's tests, in the order of the file."""
    names = TEST_NAME.findall((SOURCES / f"{family}.c").read_text())
    assert names, f"{family}.c has no TEST"
    return names


@cache
def build(family: str, linking: str = "dynamic") -> Path:
    """Compiles a guest unless that was done before; `linking` is a key of LINK_FLAGS."""
    source = SOURCES / f"{family}.c"
    flags = [*FLAGS, *LINK_FLAGS[linking]]
    read = [source, *sorted(SOURCES.glob("*.h"))]
    parts = [*(path.read_bytes() for path in read), " ".join(flags).encode()]
    binary = BINARIES / f"{family}-{linking}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:16]}"
    BINARIES.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(BINARIES / ".lock", "w") as lock:  # two xdist workers want the same one at the same moment
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            command = ["gcc", *flags, "-o", str(partial), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
            os.rename(partial, binary)
    return binary


def run_test(runner: Runner, family: str, name: str, timeout_s: float = TIMEOUT_S) -> None:
    """Runs one test of a guest; fails with its output, or skips with its reason."""
    result = runner.run([build(family), name], timeout_s=timeout_s)
    if result.status == SKIPPED:
        pytest.skip(f"{family}.{name}: {_skip_reasons(result.stdout)[0]}")
    assert result.status == 0, f"guest {family}.{name}\n{result}"
    assert f"ok 1 - {name}" in result.stdout, f"guest {family}.{name} ended early\n{result}"


def run_all(runner: Runner, family: str, linking: str, timeout_s: float = TIMEOUT_S, **arguments: object) -> None:
    """Runs all tests of a guest in one go, each in a fork."""
    if family in NOT_ON_PTRACE and runner.configuration.platform == "ptrace":
        pytest.skip(NOT_ON_PTRACE[family])
    result = runner.run([build(family, linking)], timeout_s=timeout_s, **arguments)  # type: ignore[arg-type]
    failed = [line for line in result.stdout.splitlines() if line.startswith("not ok")]
    assert result.status == 0, f"guest {family}, {linking}: {failed}\n{result}"
    passed = [line for line in result.stdout.splitlines() if line.startswith("ok ")]
    assert len(passed) == len(names_of(family)), f"guest {family} ended early\n{result}"


def _skip_reasons(output: str) -> list[str]:
    return re.findall(r"^# SKIP (.*)$", output, re.MULTILINE) or ["no reason given"]


def guest_tests(family: str):  # type: ignore[no-untyped-def]
    """The pytest function that runs each test of one guest: what a tests/syscalls/test_<family>.py consists of."""

    @pytest.mark.parametrize("name", names_of(family))
    def run_guest_test(runner: Runner, name: str) -> None:
        run_test(runner, family, name)

    return run_guest_test
