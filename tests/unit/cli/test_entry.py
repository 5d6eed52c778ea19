"""The command as a user meets it, short of starting a sandbox: help, errors, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def pysentry(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pysentry", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run"], "no command given"),
        (["run", "--no-such", "ls"], "No such option"),
        (["run", "--bind"], "requires an argument"),
        (["run", "--bind", "x", "ls"], "expected SRC:DST"),
        (["run", "--bind", "/no/such:/x", "ls"], "No such file or directory"),
        (["run", "--rootfs", "/no/such", "ls"], "No such file or directory"),
        (["run", "--rootfs", "/etc/passwd", "ls"], "Not a directory"),
        (["run", "--timeout", "soon", "ls"], "expected a time"),
        (["run", "--pids", "0", "ls"], "expected a number"),
        (["run", "--platform", "kvm", "ls"], "expected one of auto, seccomp, ptrace"),
        (["run", "--fast-path", "maybe", "ls"], "expected one of on, off"),
        (["run", "--net", "bridge", "ls"], "expected one of none, host"),
        (["run", "--env", "X", "ls"], "expected NAME=VALUE"),
        (["run", "--user", "nobody-here", "ls"], "no user 'nobody-here'"),
        (["run", "--trace=/no/such/file", "ls"], "No such file or directory"),
        (["no-such-verb"], "No such command"),
    ],
)
def test_our_errors_are_one_line_and_125(words: list[str], line: str) -> None:
    done = pysentry(*words)
    assert done.returncode == 125
    assert done.stderr.startswith("pysentry: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_names_the_verbs() -> None:
    done = pysentry("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("run", "doctor", "syscalls"))


def test_version() -> None:
    """As go-runc reads it: the prefix is literal."""
    lines = pysentry("--version").stdout.splitlines()
    assert lines[0].startswith("runc version 0.1.0")
    assert any(line.startswith("commit: ") for line in lines)
    assert "spec: 1.2.0" in lines


def test_syscalls_filters() -> None:
    rows = json.loads(pysentry("syscalls", "--disposition", "control", "--json").stdout)
    assert {"execve", "kill"} <= {row["name"] for row in rows}
    assert all("control" in row["disposition"] for row in rows)
    assert pysentry("syscalls", "read").stdout.startswith("  0  read")
    assert pysentry("syscalls", "no_such_call").returncode == 125


def test_doctor_says_which_engine() -> None:
    done = pysentry("doctor", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode == 0) == bool(told["engine"])
    assert all(one["remedy"] and one["meaning"] for one in told["findings"] if not one["is_present"])


def test_run_does_not_import_click_for_a_plain_command_line() -> None:
    program = (
        "import sys\n"
        "from pysentry.cli import entry\n"
        "import pysentry.cli.run\n"
        "from pysentry.cli.options import RUN\n"
        "from pysentry.cli.plain import parse\n"
        "from pysentry.sandbox.config import run_config\n"
        "run_config(*parse(RUN, ['--trace', '--', 'true']), {})\n"
        "slow = {'click', 're', 'typing', 'enum', 'json', 'subprocess', 'argparse', 'logging'} & set(sys.modules)\n"
        "sys.exit(str(sorted(slow)) if slow else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"], check=False
    )
    assert done.returncode == 0
