"""`run` and `exec` at a terminal: keys, sizes and signals reach the program, and the terminal is given back."""

from __future__ import annotations

import os
import subprocess
import termios
from typing import Any

import pytest

from tests.harness.raw_runtime import WAITS, RawRuntime, process
from tests.oci.at_terminal import at_terminal


class Caller:
    """A RawRuntime as at_terminal() wants an engine."""

    def __init__(self, raw: RawRuntime) -> None:
        self._raw = raw

    def start(self, *words: str, **arguments: Any) -> subprocess.Popen[str]:
        return self._raw.start_call(*words, start_new_session=True, **arguments)


SHELL = (
    "sh",
    "-c",
    "stty size; read line; echo got $line; trap 'stty size; exit 3' WINCH; echo up; while :; do sleep 0.01; done",
)


def drive(raw: RawRuntime, *words: str) -> None:
    """SHELL, from the first word typed to the change of size that ends it."""
    with at_terminal(Caller(raw), *words, rows=33, columns=101) as terminal:
        before = termios.tcgetattr(terminal.master)
        terminal.expect("33 101")
        terminal.send("word\r")
        terminal.expect("got word")
        terminal.expect("up")
        terminal.resize(44, 55)
        terminal.expect("44 55")
        assert terminal.finish() == 3
        assert termios.tcgetattr(terminal.master)[:4] == before[:4]


def test_run(raw: RawRuntime) -> None:
    drive(raw, "run", "--bundle", str(raw.bundle(*SHELL, change=process("terminal", True))), raw.identity())


def test_exec(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    drive(raw, "exec", "--tty", container.identity, *SHELL)


@pytest.mark.both_platforms
def test_interrupt_key(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    program = "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.01; done"
    with at_terminal(Caller(raw), "exec", "-t", container.identity, "sh", "-c", program) as terminal:
        terminal.expect("up")
        terminal.send("\x03")
        terminal.expect("interrupted")
        assert terminal.finish() == 9


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_much_output(raw: RawRuntime, verb: str) -> None:
    """All that was printed before the end arrives."""
    program = ("sh", "-c", "seq 1 20000")
    if verb == "run":
        words = ["run", "--bundle", str(raw.bundle(*program, change=process("terminal", True))), raw.identity()]
    else:
        words = ["exec", "--tty", raw.start(*WAITS).identity, *program]
    with at_terminal(Caller(raw), *words) as terminal:
        assert terminal.finish() == 0
        assert terminal.seen.split() == [str(number) for number in range(1, 20001)]


def test_input_that_ends(raw: RawRuntime) -> None:
    """Not at a terminal ourselves: the program has one, and what comes through a pipe is typed."""
    container = raw.start(*WAITS)
    if raw.name != "pysentry":
        pytest.skip("others want a terminal of their own")
    reading, writing = os.pipe()
    os.write(writing, b"line\n")
    os.close(writing)
    with open(reading) as stdin:
        done = raw.call("exec", "-t", container.identity, "sh", "-c", "read line; tty; echo got $line", stdin=stdin)
    assert "got line" in done.stdout
    assert "/dev/pts/0" in done.stdout


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_lines_end_plainly_where_nobody_has_a_terminal(raw: RawRuntime, verb: str) -> None:
    if not raw.is_ours:
        pytest.skip("runc wants a terminal of its own")
    script = ("sh", "-c", "echo one; echo two")
    if verb == "run":
        words = ["run", "--bundle", str(raw.bundle(*script, change=process("terminal", True))), raw.identity()]
    else:
        words = ["exec", "--tty", raw.start(*WAITS).identity, *script]
    assert raw.call(*words).stdout == "one\ntwo\n"
