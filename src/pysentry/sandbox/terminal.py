"""The terminal we were started on, joined to a pty of the sandbox.

The program gets the slave of a pty of its own, so its job control, modes and window size are real and our caller's
terminal is out of its reach: it cannot push characters into it (TIOCSTI) or read what is typed ahead. We hold the
master, put our caller's terminal into raw mode, and carry bytes both ways from the sentry's loop.

Owns the relay and the outer terminal's modes. Does not own the pty's behaviour inside (kernel/tty.py), nor signals
(outside.py). Everything is non-blocking: what cannot be written waits in a bounded buffer, and the other side is not
read until it is empty.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import tty

from pysentry.kernel.wait import unwatch, watch
from pysentry.platform.native import ffi, lib
from pysentry.sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.sandbox.config import RunConfig

AT_FDCWD = -100
POLLIN, POLLOUT, POLLHUP, POLLERR = 1, 4, 16, 8
CHUNK_BYTES = 16384
SIGNAL_DELAYS_NS = (1_000_000, 10_000_000, 50_000_000)
"""After a key that may be a signal: the kernel's line discipline runs a little later, in a worker thread."""


class Terminal:
    """One relay. `slave_fd` is for the sandbox; `replaces` lists which of 0, 1, 2 it stands for."""

    def __init__(self, index: int, master: int, slave: int, replaces: tuple[int, ...]) -> None:
        self.index = index
        self.slave_fd = slave
        self.replaces = replaces
        self._master = master
        self._outer_in = _own_description(0, os.O_RDONLY)
        self._outer_out = _own_description(1, os.O_WRONLY)
        # Not 0 and 1: boot puts /dev/null there.
        self._outer_size = b""
        self._saved_modes = termios.tcgetattr(self._outer_in) if os.isatty(self._outer_in) else None
        self._is_raw = False
        self._to_master = bytearray()
        self._to_outer = bytearray()
        self._input_ended = False
        self._master_open = True
        self._watched: dict[int, int] = {}
        self._timer = lib.sandbox_timerfd()
        self._delays: list[int] = []
        # While one is open the master is not hung up, whatever the program closes; it may open /dev/tty again.
        self._spare_slave = os.dup(slave)
        for fd in (master, slave):
            os.set_blocking(fd, False)
        if self._saved_modes is not None:
            termios.tcsetattr(slave, termios.TCSANOW, self._saved_modes)
        self.resize()

    def give_to(self, task: Task) -> None:
        """Makes the slave the first task's standard descriptors, known to it as /dev/pts/N."""
        from pysentry.kernel.tty import Pty, ptys
        from pysentry.vfs.open import open_path

        pty = ptys[self.index] = Pty(self.index, self._master, self.slave_fd, (task.c.cred.uid, task.c.cred.gid))
        pty.update_size = self.resize
        opening = open_path(task, AT_FDCWD, b"/dev/pts/%d" % self.index, os.O_RDWR | os.O_NOCTTY, 0)
        try:
            opening.send(None)
        except StopIteration as opened:
            desc = opened.value
        else:
            raise SandboxError("the sandbox's terminal cannot be opened")
        for fd in self.replaces:
            lib.desc_ref(desc)
            lib.fd_install(task.c, fd, desc, 0)
        lib.desc_unref(desc)

    # -- modes and size of the outer terminal

    def enter_raw(self) -> None:
        """Keys reach the pty uninterpreted. Only in the foreground: from the background it would disturb the shell."""
        if self._saved_modes is not None and _is_foreground(self._outer_in):
            tty.setraw(self._outer_in, termios.TCSADRAIN)
            self._is_raw = True

    def leave_raw(self) -> None:
        """Gives the terminal back as it was."""
        if self._is_raw and self._saved_modes is not None:
            termios.tcsetattr(self._outer_in, termios.TCSADRAIN, self._saved_modes)
            self._is_raw = False

    def resize(self) -> None:
        """Copies the outer window size if it changed; the kernel sends SIGWINCH to the pty's foreground group."""
        for fd in (self._outer_in, self._outer_out):
            try:
                size = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
            except OSError:
                continue
            if struct.unpack("4H", size)[0]:
                if size != self._outer_size:  # else the program may have set its own
                    self._outer_size = size
                    fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
                    self._signals_may_follow()
                return

    # -- relay

    def start(self) -> None:
        """Joins the two, until finish()."""
        self.enter_raw()
        watch(self._timer, POLLIN, self._on_timer)
        self._update()

    def resume(self) -> None:
        """After a stop, or when a shell's `fg` brought us to the foreground."""
        self.enter_raw()
        self.resize()
        self._update()

    def finish(self) -> None:
        """What the program wrote last, then the outer terminal as it was. Safe to call at any time, more than once."""
        try:
            while self._read_master() or self._to_outer:
                self._write_outer(wait=True)
        except OSError:
            pass
        finally:
            self.leave_raw()

    def _update(self) -> None:
        """Watches what can be used: a side is read only while nothing waits for the other."""
        events = {self._master: 0, self._outer_in: 0, self._outer_out: 0}
        if self._master_open and not self._to_outer:
            events[self._master] |= POLLIN
        if self._to_master:
            events[self._master] |= POLLOUT
        elif not self._input_ended and (self._is_raw or self._saved_modes is None):
            events[self._outer_in] |= POLLIN
        if self._to_outer:
            events[self._outer_out] |= POLLOUT
        for fd, wanted in events.items():
            if self._watched.get(fd, 0) != wanted:
                self._watched[fd] = wanted
                if wanted:
                    watch(fd, wanted, self._callback(fd))
                else:
                    unwatch(fd)

    def _callback(self, fd: int) -> Callable[[int], None]:
        if fd == self._master:
            return self._on_master
        return self._on_outer

    def _on_master(self, revents: int) -> None:
        if revents & POLLOUT:
            self._write_master()
        if revents & (POLLIN | POLLHUP | POLLERR):
            self._read_master()
            self._write_outer()
            lib.signals_changed(ffi.NULL)  # the echo of ^C comes after the signal
        self._update()

    def _on_outer(self, revents: int) -> None:
        if revents & POLLOUT:
            self._write_outer()
        if revents & (POLLIN | POLLHUP | POLLERR) and not self._to_master:
            self._read_outer()
            self._write_master()
        self._update()

    def _read_master(self) -> bool:
        """Whether more may follow. EIO: no process has the slave open any more (or not yet)."""
        if len(self._to_outer) >= CHUNK_BYTES:
            return True
        try:
            data = os.read(self._master, CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self._master_open = False
            return False
        self._to_outer += data
        return bool(data)

    def _read_outer(self) -> None:
        try:
            data = os.read(self._outer_in, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # As a terminal says it: the end-of-file character, at the start of a line.
            self._input_ended = True
            data = b"\x04"
        self._to_master += data
        if any(byte < 32 for byte in data):
            self._signals_may_follow()

    def _write_master(self) -> None:
        try:
            while self._to_master:
                del self._to_master[: os.write(self._master, self._to_master)]
        except BlockingIOError:
            pass
        except OSError:
            self._to_master.clear()

    def _write_outer(self, wait: bool = False) -> None:
        try:
            while self._to_outer:
                if wait:
                    _wait_writable(self._outer_out)
                del self._to_outer[: os.write(self._outer_out, self._to_outer[:4096])]
        except BlockingIOError:
            pass
        except OSError:
            self._to_outer.clear()  # nobody reads it: the terminal was closed

    # -- keys that are signals

    def _signals_may_follow(self) -> None:
        self._delays = list(SIGNAL_DELAYS_NS)
        lib.sandbox_timerfd_set(self._timer, self._delays.pop(0))

    def _on_timer(self, _revents: int) -> None:
        try:
            os.read(self._timer, 8)
        except BlockingIOError:
            return
        lib.signals_changed(ffi.NULL)
        if self._delays:
            lib.sandbox_timerfd_set(self._timer, self._delays.pop(0))


def open_terminal(config: RunConfig, open_pty: Callable[[], tuple[int, int, int]]) -> Terminal | None:
    """A relay if the run should have one: -t, or stdin and stdout are both terminals. With only one of them a
    terminal, the other end is somebody else's (`pysentry run -- ls | less`) and we must not take its keys.

    Args:
        open_pty: asks the gofer: (master, slave, number).
    """
    if config.tty:
        replaces: tuple[int, ...] = (0, 1, 2)
    elif os.isatty(0) and os.isatty(1):
        replaces = (0, 1, 2) if os.isatty(2) else (0, 1)
    else:
        return None
    master, slave, index = open_pty()
    return Terminal(index, master, slave, replaces)


def _own_description(fd: int, mode: int) -> int:
    """Our own description of a given terminal, so that O_NONBLOCK does not show to others who have it; else itself."""
    try:
        return os.open(os.ttyname(fd), mode | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return os.dup(fd)  # watched before each use, and read or written once


def _is_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return True  # not our controlling terminal: nobody stops us


def _wait_writable(fd: int) -> None:
    import select

    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    poller.poll(1000)
