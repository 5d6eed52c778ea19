"""Nothing fails open: on a host that refuses a mechanism, the sandbox does not start and says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import checkout
from tests.harness.configuration import is_root
from tests.harness.patience import PATIENCE_S
from tests.harness.runner import BASE

# Denies calls as a container's seccomp profile does, then becomes pysentry.
DENY = """
import errno, os, sys
import pyseccomp
seccomp_filter = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for name in sys.argv[1].split(","):
    seccomp_filter.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
seccomp_filter.load()
os.execv(sys.argv[2], sys.argv[2:])
"""


def run_denied(names: str, *words: str, unprivileged: bool = False) -> subprocess.CompletedProcess[str]:
    command = checkout.command_for_unprivileged(BASE) if unprivileged else checkout.command()
    python = command.with_name("python") if unprivileged else Path(sys.executable)
    return subprocess.run(
        [python, "-c", DENY, names, str(command), "run", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd="/",
        check=False,
        **(checkout.as_unprivileged() if unprivileged else {}),  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("unprivileged", [False, True], ids=["root", "user"])
@pytest.mark.parametrize(
    "names",
    [
        "unshare",
        "mount,move_mount",
        "pivot_root",
        "clone",
        "ptrace",
        "openat2",
        "memfd_create",
        "open_tree",
        "capset",
        "seccomp",
    ],
)
def test_it_does_not_start(names: str, unprivileged: bool) -> None:
    if not unprivileged and not is_root():
        pytest.skip("needs root")
    done = run_denied(names, "--", "echo", "it ran", unprivileged=unprivileged)
    assert "it ran" not in done.stdout
    assert done.returncode == 125, done
    assert done.stderr.startswith("pysentry: ")
    assert done.stderr.count("\n") == 1, done.stderr


def test_without_a_listener_the_ptrace_engine_is_taken() -> None:
    done = run_denied("pidfd_getfd", "-v", "--", "echo", "it ran")
    assert (done.returncode, done.stdout) == (0, "it ran\n"), done
    assert "engine: ptrace" in done.stderr
    assert run_denied("pidfd_getfd", "--platform=seccomp", "--", "true").returncode == 125
