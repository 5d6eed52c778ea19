"""A command of an engine at a pseudo-terminal that the test types into."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Iterator
from typing import Any, Protocol

from tests.harness.engine_host import end
from tests.harness.patience import PATIENCE_S


class Engine(Protocol):
    def start(self, *words: str, **arguments: Any) -> Any: ...


class AtTerminal:
    def __init__(self, engine: Engine, words: tuple[str, ...], rows: int, columns: int) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.seen = ""
        self.position = 0
        try:
            self.process = engine.start(
                *words,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(slave)

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side any more
            return False
        self.seen += data.decode(errors="backslashreplace").replace("\r", "")  # how many came depends on the engine
        return bool(data)

    def expect(self, pattern: str, timeout_s: float = PATIENCE_S) -> None:
        """Waits for a regular expression in what comes after the last match."""
        deadline = time.monotonic() + timeout_s
        while not (match := re.compile(pattern).search(self.seen, self.position)):
            if not self._read(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"{pattern!r} did not come; all that did:\n{self.seen}")
        self.position = match.end()

    def interrupt_cat(self, before: str = "") -> None:
        """Starts `cat` in a shell and types ^C. Only what it gives back tells that the key is for it: until then the
        shell has the terminal, and may lose it."""
        self.send(before + "echo going; cat\n")
        self.expect("\ngoing\n")
        self.send("typed\n")
        self.expect("typed\ntyped\n")
        self.send("\x03")

    def finish(self, timeout_s: float = PATIENCE_S) -> int:
        """Reads to the end; the exit status."""
        while self._read(timeout_s):
            pass
        return int(self.process.wait(timeout_s))

    def close(self) -> None:
        if self.process.poll() is None:
            end(self.process)
        os.close(self.master)  # before, SIGHUP would end nsenter, and who reaps then?


@contextlib.contextmanager
def at_terminal(engine: Engine, *words: str, rows: int = 24, columns: int = 80) -> Iterator[AtTerminal]:
    running = AtTerminal(engine, words, rows, columns)
    try:
        yield running
    finally:
        running.close()
