"""What a call made before it failed is given back: few descriptors last through thousands of failures."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.harness.configuration import GUESTS, is_root
from tests.harness.guest_programs import run_all
from tests.harness.patience import PATIENCE_S
from tests.harness.runner import Runner

DESCRIPTORS = 1024


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@pytest.mark.configs(*GUESTS, "ptrace-slow")
def test_nothing_is_left_of_failures(runner: Runner) -> None:
    run_all(runner, "leaks", "dynamic", preexec_fn=few_descriptors)


ASYNC = """
import fcntl, os, sys
def stop(): print("here", flush=True); sys.stdin.readline()
stop()
for _ in range(2):
    fds = os.pipe()
    fcntl.fcntl(fds[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    for fd in fds: os.close(fd)
stop()
"""


@pytest.mark.configs("seccomp", "seccomp-slow", "ptrace")
@pytest.mark.skipif(not is_root(), reason="the sentry's descriptors can be counted by root only")
def test_what_watches_for_signals_goes_with_the_last_that_asks(runner: Runner) -> None:
    process = runner.start(["/usr/bin/python3", "-c", ASYNC], stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    kept = []
    for _ in range(2):
        assert process.stdout.readline() == b"here\n"
        links = (os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir())
        kept.append(sorted(link for link in links if link.startswith("anon_inode")))
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert runner.finish(process, timeout_s=PATIENCE_S).status == 0
    assert kept[0] == kept[1]
