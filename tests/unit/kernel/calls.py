"""Calls that wait, in the test process: started, looked at while they wait, resumed by hand.

Builds on the kernel of tests/unit/vfs: there a call that waits is a failure, here it is a `Call`.
"""

from __future__ import annotations

import errno
import inspect

from pysentry.abi.errno import LinuxError
from pysentry.kernel.description import description_gone
from pysentry.kernel.wait import INTERRUPTED, READY, TIMEOUT, Interrupted
from pysentry.platform import hooks
from pysentry.platform.native import ffi
from pysentry.syscalls import epoll, eventfd, flock, ioctl, pipe, poll, socket, timerfd  # noqa: F401
from pysentry.syscalls.registry import HANDLERS
from tests.unit.vfs.kernel_in_process import NUMBERS, Kernel

WAITING = object()


def connect_hooks() -> None:
    """The last close of a description reaches its Python object, as in a sandbox."""
    if description_gone not in hooks.on_description_gone:
        hooks.on_description_gone.append(description_gone)
        hooks.register()


def address_of(buffer: bytearray) -> int:
    return int(ffi.cast("uintptr_t", ffi.from_buffer(buffer)))


class Call:
    """One system call: `result` is WAITING, its value, or the OSError it ended with."""

    def __init__(self, kernel: Kernel, name: str, *args: int | bytes | bytearray | None) -> None:
        self._kept = [bytearray(arg + b"\0") if isinstance(arg, bytes) else arg for arg in args]
        words = [address_of(arg) if isinstance(arg, bytearray) else arg or 0 for arg in self._kept]
        self.wants: list[tuple[object, int]] = []
        self.deadline_ns: int | None = None
        self.result: object = WAITING
        try:
            made = HANDLERS[NUMBERS[name]](kernel.task, *words)
        except LinuxError as error:
            self.result = OSError(error.errno, errno.errorcode[error.errno])
            return
        if not inspect.iscoroutine(made):
            self.result = made
            return
        self._coroutine = made
        self._go_on(None)

    def _go_on(self, reason: int | None) -> None:
        try:
            park = self._coroutine.send(reason)
        except StopIteration as stop:
            self.result = stop.value
        except LinuxError as error:
            self.result = OSError(error.errno, errno.errorcode[error.errno])
        except Interrupted:
            self.result = Interrupted
        else:
            self.wants, self.deadline_ns = list(park.wants), park.deadline_ns

    @property
    def is_waiting(self) -> bool:
        return self.result is WAITING

    @property
    def errno(self) -> int:
        assert isinstance(self.result, OSError), self.result
        return self.result.errno or 0

    def wake(self) -> Call:
        """As the engine does when something may be ready; it may be spurious."""
        assert self.is_waiting
        self._go_on(READY)
        return self

    def time_out(self) -> Call:
        assert self.is_waiting
        self._go_on(TIMEOUT)
        return self

    def interrupt(self) -> Call:
        assert self.is_waiting
        self._go_on(INTERRUPTED)
        return self

    def give_up(self) -> None:
        """The task died."""
        self._coroutine.close()
