"""What reaches a run from outside and what it tells: signals, --timeout, --trace, --stats, -v, the report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.harness.patience import wait_until
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs("seccomp", "ptrace", "user")

WAITS = 'trap "echo got; exit 3" %s; echo ready; while :; do read -t 30 line || :; done'


def ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_a_signal_is_passed_on(runner: Runner, name: str) -> None:
    process = runner.start(["bash", "-c", WAITS % name], stdin=subprocess.PIPE)
    ready(process)
    process.send_signal(getattr(signal, f"SIG{name}"))
    result = runner.finish(process)
    assert (result.status, result.stdout) == (3, "got\n"), result


def test_a_signal_without_a_handler_ends_the_program(runner: Runner) -> None:
    process = runner.start(["sh", "-c", "echo ready; exec sleep 60"])
    ready(process)
    process.terminate()
    assert runner.finish(process).status == 128 + signal.SIGTERM


def test_stop_and_continue(runner: Runner) -> None:
    process = runner.start(["sh", "-c", "echo ready; read line; echo $line"], stdin=subprocess.PIPE)
    ready(process)
    process.send_signal(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    process.send_signal(signal.SIGCONT)
    result = runner.finish(process, b"on\n")
    assert (result.status, result.stdout) == (0, "on\n"), result


def test_timeout_ends_the_whole_tree(runner: Runner) -> None:
    program = "trap '' TERM INT; for n in 1 2 3; do sh -c 'trap \"\" TERM; sleep 1000' & done; setsid sleep 1000 & wait"
    result = runner.run(["bash", "-c", program], options=["--timeout=300ms"])
    assert result.status == 124, result
    assert result.report["exit_status"] == 124


def test_timeout_that_is_not_reached(runner: Runner) -> None:
    assert runner.run(["sh", "-c", "exit 5"], options=["--timeout", "30"]).status == 5


def test_trace(runner: Runner) -> None:
    path = runner.directory / "trace"
    result = runner.run(["cat", "/etc/hostname", "/no/such"], options=[f"--trace={path}"])
    assert result.status == 1
    lines = path.read_text().splitlines()
    assert re.fullmatch(r'\[pid 1\] execve\("\S*cat", \["cat", .*\], \[.*\]\) = 0 <control>', lines[0])
    # What the host answers is told too, and an exec that failed; what the exec stub does is not.
    assert any(re.fullmatch(r"\[pid 1\] brk\(NULL\) = 0x[0-9a-f]+ <host>", line) for line in lines)
    assert sum("set_tid_address" in line for line in lines) == 1
    assert lines[-1] == "[pid 1] exit_group(1) = ? <host>"
    assert any(
        re.match(r'\[pid 1\] openat\(AT_FDCWD, "/etc/hostname", O_RDONLY.*\) = \d+ <(fast|punt|python)>$', x)
        for x in lines
    )
    assert any("= -1 ENOENT (No such file or directory)" in line for line in lines)
    assert "openat" not in result.stdout


def test_trace_of_a_call_that_waits(runner: Runner) -> None:
    path = runner.directory / "trace"
    process = runner.start(["sh", "-c", "echo ready; read line"], options=[f"--trace={path}"], stdin=subprocess.PIPE)
    ready(process)
    wait_until(lambda: " <unfinished ...>" in path.read_text(), "it waits")
    assert runner.finish(process, b"x\n").status == 0
    assert re.search(r"read\(0, .* <unfinished \.\.\.>\n(.*\n)*?.*<\.\.\. read resumed>\) = 1", path.read_text())


def test_stats_and_report(runner: Runner) -> None:
    result = runner.run(["ls", "/"], options=["--stats"])
    first = result.stderr.splitlines()[0]
    assert re.fullmatch(
        r"pysentry: \d+ calls trapped in [0-9.]+ s \((seccomp|ptrace) engine\), [0-9.]+ s of it in the sentry", first
    )
    for label in ("fast (C)", "punted to Python", "python", "control", "of these, host"):
        assert label in result.stderr
    report = result.report
    assert report["calls"] > 10
    assert report["execs"] == 1
    assert report["engine"] == (runner.configuration.platform if runner.configuration.platform != "auto" else "seccomp")


def test_verbose_names_the_engine(runner: Runner) -> None:
    assert re.search(r"^pysentry: engine: (seccomp|ptrace) ", runner.run(["true"], options=["-v"]).stderr, re.MULTILINE)


def test_a_run_that_did_not_start_has_a_report(runner: Runner) -> None:
    result = runner.run(["/no/such/program"])
    assert result.status == 127
    assert json.loads(runner.report_path.read_text())["exit_status"] == 127
    assert result.stderr == "pysentry: /no/such/program: no such file or directory\n"


def test_an_empty_environment_stays_empty(runner: Runner) -> None:
    assert runner.command is not None
    options = runner.configuration.options
    done = subprocess.run(
        [runner.command, "run", *options, "--", "env"],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        **runner.user_arguments(),
    )
    assert done.stdout == ""


def test_closing_stdout_closes_it(runner: Runner) -> None:
    """Nobody else keeps the other end of a pipe open: the reader sees the end when the program closes it."""
    process = runner.start(["sh", "-c", "echo ready; exec >&-; read line"], stdin=subprocess.PIPE)
    ready(process)
    assert process.stdout is not None
    assert process.stdout.read() == b""
    runner.finish(process, b"\n")
