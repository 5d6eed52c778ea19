"""Drives a program through a pseudo-terminal: the terminal is its controlling one, as for a person at a screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.harness.patience import PATIENCE_S
from tests.harness.runner import Result, Runner, end_tree


class Screen:
    """The master side of a terminal: what came, and what is typed."""

    def __init__(self, rows: int, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.seen = ""  # all that came so far
        self.position = 0  # up to where expect() has looked

    def given_to(self, start: Callable[..., subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """What `start` starts has the other side, as its controlling terminal."""
        sides = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        try:
            return start(**sides, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        finally:
            os.close(self.slave)

    def send(self, text: str) -> None:
        """Types; "\\x03" is Ctrl-C."""
        os.write(self.master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shown(self, data: bytes) -> str:
        return data.decode(errors="backslashreplace")

    def read(self, timeout_s: float) -> bool:
        """Takes what is there; False when nothing came in time or the other side is gone."""
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: no one has the terminal open any more
            return False
        self.seen += self.shown(data)
        return bool(data)

    def read_all(self, timeout_s: float) -> None:
        """To the end, as long as something comes within the time."""
        while self.read(timeout_s):
            pass

    def expect(self, pattern: str, timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """Waits for a regular expression in what comes after the last match."""
        deadline = time.monotonic() + timeout_s
        while True:
            match = re.compile(pattern).search(self.seen, self.position)
            if match:
                self.position = match.end()
                return match
            if not self.read(max(0.0, deadline - time.monotonic())):
                raise AssertionError(
                    f"{pattern!r} did not come; after it:\n{self.seen[self.position :]!r}\nall:\n{self.seen}"
                )


class Terminal(Screen):
    """A running program at a terminal of its own."""

    def __init__(self, runner: Runner, argv: Sequence[str | Path], rows: int = 24, columns: int = 80) -> None:
        super().__init__(rows, columns)
        self.runner = runner
        self.process = self.given_to(partial(runner.start, argv, env={"PS1": "ready> ", "TERM": "vt100"}))

    def finish(self, timeout_s: float = PATIENCE_S) -> Result:
        """Reads to the end and waits for the program."""
        self.read_all(timeout_s)
        result = self.runner.finish(self.process, timeout_s=timeout_s)
        result.stdout = self.seen
        return result

    def close(self) -> None:
        os.close(self.master)
        if self.process.poll() is None:
            end_tree(self.process)
            self.runner.owned.discard(self.process.pid)


@contextlib.contextmanager
def terminal(runner: Runner, argv: Sequence[str | Path], rows: int = 24, columns: int = 80) -> Iterator[Terminal]:
    """A Terminal that is closed, and its program ended, on the way out."""
    running = Terminal(runner, argv, rows, columns)
    try:
        yield running
    finally:
        running.close()
