"""bench.compat.schedule and attempt: what is run, in which order, and that nothing outlives its time limit."""

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from bench.compat import memory_limit
from bench.compat.attempt import attempt
from bench.compat.case import FAIL, NATIVE, PASS, Case, Result
from bench.compat.journal import Results
from bench.compat.memory_limit import MemoryLimit
from bench.compat.runtimes import Runtime
from bench.compat.schedule import run_all
from tests.unit.bench.compat.cases import HOST, OTHER, SENTRY, case, results


def pretend(case: Case, runtime: Runtime, limit_factor: float, memory: MemoryLimit | None) -> Result:
    """What the test's script says, without running it."""
    outcome = FAIL if case.argv[2] == "exit 1" else PASS
    return Result(case.key, runtime.name, outcome)


def run(cases: Sequence[Case], runtimes: Sequence[Runtime], known: Results, **more: object) -> list[tuple[str, str]]:
    ran = run_all(cases, runtimes, known, 1, run_one=pretend, **more)  # type: ignore[arg-type]
    return [(result.key, result.runtime) for result in ran]


def test_native_comes_first_and_the_others_follow_at_once() -> None:
    ran = run([case("a"), case("b")], [SENTRY, HOST, OTHER], {})
    assert ran == [(key, name) for key in ("ltp:a", "ltp:b") for name in (NATIVE, "seccomp", "other")]


def test_what_does_not_pass_natively_is_run_elsewhere_only_if_asked_for() -> None:
    assert run([case("a", "exit 1")], [HOST, SENTRY], {}) == [("ltp:a", NATIVE)]
    ran = run([case("a", "exit 1")], [HOST, SENTRY], {}, is_run_anyway=True)
    assert ran == [("ltp:a", NATIVE), ("ltp:a", "seccomp")]


def test_a_run_goes_on_where_it_was() -> None:
    known = results(a="pass fail", b="pass", c="skip")
    assert run([case(name) for name in "abcd"], [HOST, SENTRY], known) == [
        ("ltp:b", "seccomp"),
        ("ltp:d", NATIVE),
        ("ltp:d", "seccomp"),
    ]


def test_what_is_left_out_is_not_run() -> None:
    assert run([case("a"), case("b")], [HOST], {}, is_left_out={"ltp:a"}) == [("ltp:b", NATIVE)]


def test_a_result_is_what_the_status_says() -> None:
    cases = [case("passes"), case("fails", "echo 'x.c:7: TFAIL: two is three'; exit 1"), case("dies", "kill -9 $$")]
    found = {result.key: result for result in run_all(cases, [HOST], {}, 2, run_one=attempt)}
    assert found["ltp:passes"].outcome == PASS
    assert found["ltp:fails"].cause == "TFAIL: two is three"
    assert "two is three" in found["ltp:fails"].tail
    assert found["ltp:dies"].cause == "signal 9"


@pytest.mark.skipif(not memory_limit.can_be_had(), reason="a memory cgroup cannot be made here")
def test_a_test_that_takes_memory_takes_it_from_itself_only() -> None:
    eat = "python3 -c 'import os; [os.fork() for _ in range(2)]; b = bytearray(1 << 28); print(len(b))'"
    limit = memory_limit.make(200 << 20)
    assert limit is not None
    try:
        (result,) = run_all([case("eats", eat)], [HOST], {}, 1, run_one=partial(attempt_within, limit))
        assert result.outcome == FAIL
        assert "268435456" not in result.tail
    finally:
        limit.remove()
    assert not limit.directory.exists()


def attempt_within(limit: MemoryLimit, case: Case, runtime: Runtime, factor: float, _: MemoryLimit | None) -> Result:
    return attempt(case, runtime, factor, limit)


def test_each_worker_has_its_share(tmp_path: Path) -> None:
    (result,) = run_all([case("says", "cat /proc/self/cgroup; exit 1")], [HOST], {}, 1)
    assert memory_limit.PREFIX in result.tail or not memory_limit.can_be_had()


def test_a_test_inherits_no_ignored_signal() -> None:
    # Signals 32 and 33 are libc's own: posix_spawn(3), by which make starts commands, leaves them ignored.
    script = "grep -qE 'SigIgn:.0000000[01][08]0000000' /proc/self/status"
    (result,) = run_all([case("asks", script)], [HOST], {}, 1)
    assert result.outcome == PASS


def living(marker: str) -> list[str]:
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if marker.encode() in Path("/proc", pid, "environ").read_bytes():
                    found.append(pid)
            except OSError:
                continue
    return found


def test_the_time_limit_ends_the_whole_tree() -> None:
    marker = f"COMPAT_TEST_{os.getpid()}_{time.monotonic_ns()}"
    script = f"export {marker}=1; (trap '' TERM HUP; setsid sleep 1000 & setsid sleep 1000 &); sleep 1000"
    (result,) = run_all([case("hangs", script, 1.0)], [HOST], {}, 1, run_one=attempt)
    assert result.outcome == FAIL
    assert result.cause == "time limit (1 s)"
    assert result.status is None
    assert not living(marker)
