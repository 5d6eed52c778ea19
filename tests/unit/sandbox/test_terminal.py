"""A terminal is a terminal: the relay between the caller's and the sandbox's own, driven through a pty."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator

import pytest

from tests.harness.patience import PATIENCE_S
from tests.harness.runner import Runner

pytestmark = pytest.mark.configs("seccomp", "ptrace", "user")


class Session:
    """A program on a terminal of its own; what it printed is in `seen`."""

    def __init__(self, runner: Runner, argv: list[str], options: tuple[str, ...] = ()) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        os.fchmod(slave, 0o666)  # an unprivileged user opens it again by its name
        self.modes = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = b""
        self.process = runner.start(
            argv, options=options, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: own_terminal(slave)
        )

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def expect(self, text: bytes, timeout_s: float = PATIENCE_S) -> bytes:
        """Reads until `text` was printed; forgets what came before and with it, and returns that."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; seen: {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def modes_now(self) -> list[object]:
        return termios.tcgetattr(self.slave)


def own_terminal(fd: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


@pytest.fixture
def sessions(runner: Runner) -> Iterator[list[Session]]:
    made: list[Session] = []
    yield made
    for session in made:
        os.close(session.master)
        os.close(session.slave)


def open_session(runner: Runner, sessions: list[Session], *argv: str, options: tuple[str, ...] = ()) -> Session:
    sessions.append(Session(runner, list(argv), options))
    return sessions[-1]


def test_the_program_has_a_terminal(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(
        runner, sessions, "sh", "-c", "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all"
    )
    session.expect(b"/dev/pts/")
    session.expect(b"24 80")
    session.expect(b"all")
    assert runner.finish(session.process).status == 0
    assert session.modes_now() == session.modes


def test_job_control(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(runner, sessions, "bash", "--norc", "-i")
    prompt = b"$ " if runner.configuration.unprivileged else b"# "
    session.expect(prompt)
    session.type(b"sh -c 'echo wai''ting; exec sleep 1000'\r")
    session.expect(b"waiting")
    session.type(b"\x03")
    session.expect(b"^C")
    session.expect(prompt)
    session.type(b"echo status=$?; cat\r")
    session.expect(b"status=130")
    session.type(b"words\r")
    session.expect(b"words\r\nwords\r\n")  # what cat gives back tells that the keys are its own
    session.type(b"\x1a")
    session.expect(b"Stopped")
    session.expect(prompt)
    session.type(b"jobs; fg\r")
    session.expect(b"cat\r\ncat\r\n")
    session.type(b"more\r")
    session.expect(b"more\r\nmore\r\n")
    session.type(b"\x03")
    session.expect(prompt)
    session.type(b"exit 9\r")
    session.expect(b"exit 9")
    assert runner.finish(session.process).status == 9
    assert session.modes_now() == session.modes


def test_the_window_size_follows(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(
        runner, sessions, "bash", "-c", 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done'
    )
    session.expect(b"ready")
    fcntl.ioctl(session.slave, termios.TIOCSWINSZ, struct.pack("4H", 50, 132, 0, 0))
    session.expect(b"50 132")
    assert runner.finish(session.process).status == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_the_callers_terminal_is_as_it_was(runner: Runner, sessions: list[Session], ending: signal.Signals) -> None:
    session = open_session(runner, sessions, "sh", "-c", "stty raw -echo; echo ready; exec sleep 60")
    session.expect(b"ready")
    assert session.modes_now() != session.modes
    session.process.send_signal(ending)
    assert runner.finish(session.process).status == 128 + ending
    assert session.modes_now() == session.modes


def test_the_callers_terminal_after_a_timeout(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(runner, sessions, "sleep", "60", options=("--timeout=0.3",))
    assert runner.finish(session.process).status == 124
    assert session.modes_now() == session.modes


def test_the_callers_terminal_after_a_command_that_is_not_there(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(runner, sessions, "/no/such")
    session.expect(b"no such file or directory")
    assert runner.finish(session.process).status == 127
    assert session.modes_now() == session.modes


def test_much_output(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(runner, sessions, "sh", "-c", "seq 1 20000; echo end-of-it")
    got = session.expect(b"end-of-it")
    assert got.replace(b"\r", b"").split(b"\n")[:3] == [b"1", b"2", b"3"]
    assert got.count(b"\n") == 20000
    assert runner.finish(session.process).status == 0


def test_a_terminal_for_a_pipe(runner: Runner) -> None:
    """-t without a terminal outside: the program's input ends with the pipe."""
    result = runner.run(["sh", "-c", "tty; cat; echo done"], options=["-t"], stdin=b"one\ntwo\n")
    assert result.status == 0
    assert "/dev/pts/" in result.stdout
    assert result.stdout.replace("\r", "").endswith("one\ntwo\ndone\n"), result


def test_stdin_alone_is_left_to_the_others(runner: Runner, sessions: list[Session]) -> None:
    """`pysentry run -- ls | less`: the keys are for less, so the terminal stays as it is."""
    master, slave = os.openpty()
    os.fchmod(slave, 0o666)
    before = termios.tcgetattr(slave)
    process = runner.start(["sh", "-c", "echo ready; sleep 0.5"], stdin=slave, preexec_fn=lambda: own_terminal(slave))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert termios.tcgetattr(slave) == before
    assert runner.finish(process).status == 0
    os.close(master)
    os.close(slave)


def test_stopping_pysentry_gives_the_terminal_back(runner: Runner, sessions: list[Session]) -> None:
    session = open_session(runner, sessions, "sh", "-c", "echo ready; read line; echo got $line")
    session.expect(b"ready")
    session.process.send_signal(signal.SIGTSTP)
    os.waitpid(session.process.pid, os.WUNTRACED)
    assert session.modes_now() == session.modes
    session.process.send_signal(signal.SIGCONT)
    session.type(b"on\r")
    session.expect(b"got on")
    assert runner.finish(session.process).status == 0

