"""`--trace`: a line for each system call, in strace's manner, with who answered it.

    [pid 2] openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3 <fast>

tracer.py calls enter() when a call begins and leave() when it is answered. A call that waits is
printed twice, `<unfinished ...>` and `<... resumed>`. Imported only with --trace, before the lock-up.
"""

from __future__ import annotations

import os

from pysentry.platform.native import ffi, lib
from pysentry.trace import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CTask
    from pysentry.trace.structs import Read

READ_BYTES = 4096


class Pending:
    """A call under way: what its arguments were when it came, and who answers it as far as is known."""

    __slots__ = ("is_shown", "nr", "told", "values", "who")

    def __init__(self, nr: int, values: list[int], told: list[str | None], who: str) -> None:
        self.nr = nr
        self.values = values
        self.told = told
        self.who = who
        self.is_shown = False


class Printer:
    """Writes to a descriptor that was opened before the lock-up."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._end = "\r\n" if os.isatty(fd) else "\n"
        self._pending: dict[int, Pending] = {}
        self._buffer = ffi.new("char[]", READ_BYTES)

    def enter(self, task: CTask, who: str) -> None:
        """A call began: task.trap says which. What it reads is read now, as the program may change it."""
        nr = task.trap.nr
        pending = self._pending.get(task.tid)
        if pending is not None and pending.nr == nr and not pending.is_shown:
            pending.who = who  # the same one, a step further
            return
        values = arguments.values(nr, list(task.trap.args))
        self._pending[task.tid] = Pending(nr, values, arguments.before(nr, values, self._reader(task)), who)

    def answered_by(self, task: CTask, who: str) -> None:
        """It turned out who answers."""
        pending = self._pending.get(task.tid)
        if pending is not None:
            pending.who = who

    def parked(self, task: CTask, who: str) -> None:
        """It waits."""
        pending = self._pending.get(task.tid)
        if pending is not None and not pending.is_shown:
            pending.is_shown = True
            pending.who = who
            words = ", ".join(word if word is not None else "..." for word in pending.told)
            self._write(task, f"{arguments.name_of(pending.nr)}({words} <unfinished ...>")

    def leave(self, task: CTask, result: int | None, who: str = "host") -> None:
        """It was answered (None: it does not come back). A call that was told already is not told again."""
        pending = self._pending.pop(task.tid, None)
        if pending is None:
            return
        nr = pending.nr
        words = arguments.after(nr, pending.values, pending.told, self._reader(task), -1 if result is None else result)
        shown = arguments.result_text(nr, result) if result is not None else "?"
        name = arguments.name_of(nr)
        start = f"<... {name} resumed>" if pending.is_shown else f"{name}({', '.join(words)}"
        self._write(task, f"{start}) = {shown} <{pending.who if who == 'host' else who}>")

    def note(self, task: CTask, text: str) -> None:
        """`+++ exited with 0 +++`, `--- SIGINT ---`."""
        self._write(task, text)

    def _reader(self, task: CTask) -> Read:
        def read(address: int, size: int) -> bytes:
            got = lib.um_read_some(task, address, self._buffer, min(size, READ_BYTES))
            return bytes(ffi.buffer(self._buffer, got)) if got > 0 else b""

        return read

    def _write(self, task: CTask, text: str) -> None:
        line = f"[pid {lib.task_ns_tid(task)}] {text}{self._end}".encode("utf-8", "replace")
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError:
            pass  # nobody reads the trace any more; the run goes on
