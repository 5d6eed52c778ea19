"""A command of an engine at a pseudo-terminal that the test types into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

from tests.harness.engine_host import end
from tests.harness.patience import PATIENCE_S
from tests.harness.terminal import Screen


class Engine(Protocol):
    def start(self, *words: str, **arguments: Any) -> Any: ...


class AtTerminal(Screen):
    def __init__(self, engine: Engine, words: tuple[str, ...], rows: int, columns: int) -> None:
        super().__init__(rows, columns)
        self.process = self.given_to(partial(engine.start, *words))

    def shown(self, data: bytes) -> str:
        return super().shown(data).replace("\r", "")  # how many came depends on the engine

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
        self.read_all(timeout_s)
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
