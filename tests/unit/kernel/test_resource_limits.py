"""Setting resource limits."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pysentry.abi.errno import EINVAL, EPERM
from pysentry.kernel import resource_limits
from pysentry.kernel.resource_limits import AS, CPU, FSIZE, INFINITY, NOFILE, NOFILE_MAX, set_limit


@pytest.fixture
def group() -> Iterator[Any]:
    """A process of ours that sleeps."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    yield SimpleNamespace(tgid=pid, rlimit_cur=[INFINITY] * 16, rlimit_max=[INFINITY] * 16)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def task(is_privileged: bool) -> Any:
    return SimpleNamespace(has_cap=lambda capability: is_privileged)


def test_order_of_errors(group: Any) -> None:
    with pytest.raises(EINVAL):
        set_limit(task(True), group, NOFILE, 2, 1)
    with pytest.raises(EPERM):
        set_limit(task(True), group, NOFILE, 1, NOFILE_MAX + 1)
    set_limit(task(False), group, FSIZE, 10, 20)
    with pytest.raises(EPERM):
        set_limit(task(False), group, FSIZE, 10, 21)
    set_limit(task(True), group, FSIZE, 10, 21)
    assert (group.rlimit_cur[FSIZE], group.rlimit_max[FSIZE]) == (10, 21)


def test_what_the_sentry_enforces_stays_off_the_host(group: Any) -> None:
    before = resource.prlimit(group.tgid, resource.RLIMIT_FSIZE)
    set_limit(task(False), group, FSIZE, 1, 1)
    assert resource.prlimit(group.tgid, resource.RLIMIT_FSIZE) == before


def test_memory_is_the_hosts_and_can_be_raised_again(group: Any) -> None:
    _, hard = resource.prlimit(group.tgid, resource.RLIMIT_AS)
    set_limit(task(True), group, AS, 1 << 30, 1 << 30)
    assert resource.prlimit(group.tgid, resource.RLIMIT_AS) == (1 << 30, hard)
    set_limit(task(True), group, AS, INFINITY, INFINITY)
    assert resource.prlimit(group.tgid, resource.RLIMIT_AS) == (hard, hard)


def test_cpu_time_has_its_hard_limit_too(group: Any) -> None:
    set_limit(task(True), group, CPU, 5, 6)
    assert resource.prlimit(group.tgid, resource.RLIMIT_CPU) == (5, 6)


def test_a_process_that_is_gone_is_no_error() -> None:
    gone = SimpleNamespace(tgid=2**22 + 7, rlimit_cur=[INFINITY] * 16, rlimit_max=[INFINITY] * 16)
    set_limit(task(True), gone, AS, 5, 5)
    assert gone.rlimit_cur[resource_limits.AS] == 5
