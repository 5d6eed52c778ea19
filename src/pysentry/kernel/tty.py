"""Terminals: pseudo-terminal pairs and what a terminal does to its readers and writers. pty(7), tty_ioctl(4).

Owns the open pairs, `/dev/ptmx`, `/dev/pts/N`, `/dev/tty`, job control of reads and writes. A pair of the sandbox is
a host pair, made by the gofer; line discipline, echo, ^C, SIGWINCH and hang-ups are the host kernel's, and so are
sessions and foreground groups: the calls that set them run in the workload, on the same terminal (syscalls/ioctl).

What the host kernel cannot do here, because the sentry reads and writes and is in no session of the workload's: stop a
background reader (SIGTTIN) or writer (SIGTTOU). The sentry asks the master who is in front and sends those signals.
After whatever may have made the host signal somebody, parked calls are looked at (`lib.signals_changed`).

A session leader that opens one without O_NOCTTY gets it as its controlling terminal: the task itself asks the host.
"""

from __future__ import annotations

import fcntl
import os
import time
from struct import Struct

from pysentry.abi.errno import EAGAIN, EIO, ENXIO, ERESTARTSYS, LinuxError, host_errors
from pysentry.kernel import host
from pysentry.kernel.description import (
    KINDS,
    O_ACCMODE,
    O_NONBLOCK,
    POLLIN,
    Description,
    adopt,
    description_of,
    new_description,
)
from pysentry.kernel.task import all_groups, task_of
from pysentry.kernel.timers import call_at
from pysentry.kernel.wait import Interrupted, wait_ready
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CThreadGroup

TIOCGPGRP, TIOCGSID, TIOCGPTPEER, TIOCSPTLCK, TIOCGPTLCK, TCGETS = (
    0x540F, 0x5429, 0x5441, 0x40045431, 0x80045439, 0x5401,
)  # fmt: skip
TIOCSCTTY = 0x540E
SIGTTIN, SIGTTOU = 21, 22
TOSTOP = 0x100
_ICANON = 0x2
_VTIME, _VMIN = 5, 6
_TERMIOS = Struct("=IIIIB19s")
_INT32 = Struct("=i")

# Given at boot: asks the gofer for a pair, (number below /dev/pts, master, slave). Both are non-blocking.
_open_pair: Callable[[], tuple[int, int, int]] | None = None


def use_pair_opener(opener: Callable[[], tuple[int, int, int]]) -> None:
    """Boot: how a new pair is had."""
    global _open_pair
    _open_pair = opener


class Pty:
    """One pair, as long as its master is open."""

    __slots__ = ("index", "master_fd", "mode", "owner", "spare_slave", "update_size")

    def __init__(self, index: int, master_fd: int, spare_slave: int, owner: tuple[int, int]) -> None:
        self.index = index
        self.master_fd = master_fd  # borrowed from the master's description
        self.spare_slave = spare_slave  # kept for the first open: closing it would hang the terminal up
        self.owner = owner  # uid, gid of /dev/pts/N
        self.mode = 0o620
        self.update_size: Callable[[], None] | None = None
        """Brings a changed window size in from outside, before it is asked for: SIGWINCH may be on its way to us."""

    def open_slave(self, flags: int) -> CDescription:
        """A new description of the slave. EIO: still locked (unlockpt(3))."""
        if _get_int(self.master_fd, TIOCGPTLCK):
            raise EIO("locked")
        return self.open_peer(flags)

    def open_peer(self, flags: int) -> CDescription:
        """As open_slave, without asking for the lock: TIOCGPTPEER."""
        if self.spare_slave >= 0:
            fd, self.spare_slave = self.spare_slave, -1
        else:
            fd = host.ioctl_value(self.master_fd, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | O_NONBLOCK | os.O_CLOEXEC)
        kept = new_description(lib.DESC_TTY, fd, flags & ~os.O_NOCTTY, Terminal)
        assert isinstance(kept, Terminal)
        kept.pty = self
        kept.c.flags |= lib.DESC_PY_READ | lib.DESC_PY_WRITE
        return kept.c

    def session(self) -> int:
        """The host's number of the session that this terminal controls; 0: none."""
        return _get_int(self.master_fd, TIOCGSID)

    def foreground(self) -> int:
        """The host's number of the foreground process group; 0: none."""
        return _get_int(self.master_fd, TIOCGPGRP)


ptys: dict[int, Pty] = {}  # what /dev/pts lists


def _get_int(fd: int, request: int) -> int:
    value = bytearray(4)
    try:
        host.ioctl(fd, request, value)
    except LinuxError:
        return 0
    return int(_INT32.unpack(value)[0])


LINE_DISCIPLINE_DELAYS_NS = (1_000_000, 10_000_000, 50_000_000)
"""The host's line discipline reads what was typed a little later, in a worker thread; nothing tells when."""


def host_may_have_signalled() -> None:
    """Somebody's parked call may have to end: a window was resized, a terminal was hung up."""
    lib.signals_changed(ffi.NULL)


def host_may_signal_soon() -> None:
    """The same, for keys that become signals once the line discipline has read them."""
    host_may_have_signalled()
    now_ns = lib.sentry_now_ns()
    for delay_ns in LINE_DISCIPLINE_DELAYS_NS:
        call_at(now_ns + delay_ns, host_may_have_signalled)


# ---- the two ends -----------------------------------------------------------------------------------------------


class PtyMaster(Description):
    """The master: what is written to it is typed at the terminal."""

    __slots__ = ("pty",)
    keeps_state = True
    writes_all = True
    pty: Pty

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        count = super().host_write(task, data, offset)
        if any(byte < 32 for byte in data):
            host_may_signal_soon()
        return count

    def closed(self) -> None:
        pty = self.pty
        ptys.pop(pty.index, None)
        if pty.spare_slave >= 0:
            os.close(pty.spare_slave)
        os.close(self.c.host_fd)  # now: the host hangs the terminal up, and somebody may wait
        self.c.host_fd = -1
        pty.master_fd = -1
        host_may_have_signalled()


class Terminal(Description):
    """A slave, or a terminal that was given to the sandbox (`pty` is None: nothing is known about its session)."""

    __slots__ = ("pty",)
    keeps_state = True
    writes_all = True
    pty: Pty | None

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.pty = None

    async def read(
        self, task: Task, iovs: Sequence[tuple[int, int]], offset: int | None = None, rwf: int = 0
    ) -> int:
        self.check_job(task, SIGTTIN)
        if self.is_nonblocking or offset is not None:
            return await super().read(task, iovs, offset, rwf)
        try:
            settings = self.settings()
        except LinuxError:  # hung up: reads end, writes fail
            return await super().read(task, iovs, offset, rwf)
        minimum, time_ns = settings[5][_VMIN], settings[5][_VTIME] * 100_000_000
        if settings[3] & _ICANON or (minimum == 1 and not time_ns):
            return await self._read_line(task, iovs)
        return await self._read_raw(task, iovs, minimum, time_ns)

    async def _read_line(self, task: Task, iovs: Sequence[tuple[int, int]]) -> int:
        """A read that waits; the task may have been put in the background meanwhile."""
        size = sum(length for _, length in iovs)
        try:
            return self.read_now(task, iovs, size, None)
        except EAGAIN:
            pass

        def attempt() -> int:
            self.check_job(task, SIGTTIN)
            return self.read_now(task, iovs, size, None)

        return await self.when_ready(task, POLLIN, attempt)

    async def _read_raw(self, task: Task, iovs: Sequence[tuple[int, int]], minimum: int, time_ns: int) -> int:
        """Non-canonical reads with VMIN and VTIME: termios(3), the four cases. The host descriptor returns what is
        there, so the waiting for more is done here."""
        size = sum(length for _, length in iovs)
        wanted = min(max(minimum, 1), size)
        data = b""
        lib.desc_ref(self.c)
        try:
            deadline_ns = time.monotonic_ns() + time_ns if not minimum else None
            while True:
                try:
                    with host_errors():
                        more = self.host_read(size - len(data), None)
                    data += more
                    if not more or len(data) >= wanted:
                        break
                    if time_ns:
                        deadline_ns = time.monotonic_ns() + time_ns
                except EAGAIN:
                    pass
                if not await wait_ready(task, ((self.c, POLLIN),), deadline_ns):
                    break
                self.check_job(task, SIGTTIN)
        except (Interrupted, LinuxError):
            if not data:
                raise
        finally:
            lib.desc_unref(self.c)
        return task.memory.scatter(iovs, data) if data else 0

    async def write(
        self, task: Task, iovs: Sequence[tuple[int, int]], offset: int | None = None, rwf: int = 0
    ) -> int:
        if self.pty is not None and self.pty.master_fd >= 0 and self.settings()[3] & TOSTOP:
            self.check_job(task, SIGTTOU)
        return await super().write(task, iovs, offset, rwf)

    def settings(self) -> tuple[int, int, int, int, int, bytes]:
        """struct termios: c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc."""
        value = bytearray(_TERMIOS.size)
        host.ioctl(self.c.host_fd, TCGETS, value)
        iflag, oflag, cflag, lflag, line, characters = _TERMIOS.unpack(value)
        return iflag, oflag, cflag, lflag, line, characters

    def check_job(self, task: Task, sig: int) -> None:
        """Stops a task that is not in front: __tty_check_change() of drivers/tty/tty_jobctrl.c.

        Raises EIO if the signal cannot stop it and it wants to read, or if nobody could continue it."""
        pty = self.pty
        if pty is None or pty.master_fd < 0:
            return
        front, group = pty.foreground(), task.pgid()
        if not front or group == front or pty.session() != task.sid():
            return
        if _is_ignored(task, sig):
            if sig == SIGTTIN:
                raise EIO("background read")
            return
        if _is_orphaned(group, task.sid()):
            raise EIO("orphaned process group")
        for member in _members(group):
            lib.group_kill(member, sig)
        raise ERESTARTSYS("background job")


KINDS[lib.DESC_TTY] = Terminal


def _is_ignored(task: Task, sig: int) -> bool:
    """True if the signal would not stop the task: blocked, or ignored."""
    sets = ffi.new("struct signal_sets *")
    if lib.signal_sets_read(task.c, sets) < 0:
        return False
    return bool((sets.blocked | sets.ignored) >> (sig - 1) & 1)


def _members(group: int) -> list[CThreadGroup]:
    """The processes of a host process group."""
    return [process for process in all_groups() if _of_process(os.getpgid, process) == group]


def _of_process(ask: Callable[[int], int], process: CThreadGroup) -> int:
    try:
        return ask(process.tgid)
    except ProcessLookupError:
        return -1


def _is_orphaned(group: int, session: int) -> bool:
    """True if no member has a parent in the same session but another group: setpgid(2), credentials(7)."""
    parents = [process.parent for process in _members(group) if process.parent != ffi.NULL]
    return not any(
        _of_process(os.getpgid, parent) not in (-1, group) and _of_process(os.getsid, parent) == session
        for parent in parents
    )


# ---- opening ----------------------------------------------------------------------------------------------------


def open_ptmx(task: Task, dentry: CDentry | None, flags: int) -> CDescription:
    """Opens /dev/ptmx: a new pair, locked; its slave is /dev/pts/N. ENXIO: the gofer has none; EMFILE, ENOSPC, ...: the
    host has no more."""
    if _open_pair is None:
        raise ENXIO("no terminals")
    with host_errors():
        index, master_fd, slave_fd = _open_pair()
    for fd in (master_fd, slave_fd):
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | O_NONBLOCK)
    host.ioctl(master_fd, TIOCSPTLCK, bytearray(_INT32.pack(1)))
    cred = task.cred
    pty = Pty(index, master_fd, slave_fd, (cred.fsuid, cred.fsgid))
    return adopt_master(pty, flags)


def adopt_master(pty: Pty, flags: int) -> CDescription:
    """The description of a pair's master, which makes the pair known."""
    master = new_description(lib.DESC_TTY, pty.master_fd, flags & ~os.O_NOCTTY, PtyMaster)
    assert isinstance(master, PtyMaster)
    master.pty = pty
    master.c.flags |= lib.DESC_PY_WRITE
    ptys[pty.index] = pty
    return master.c


def open_pts(task: Task, index: int, flags: int) -> CDescription:
    """Opens /dev/pts/`index`. ENXIO: no such pair. EIO: locked."""
    pty = ptys.get(index)
    if pty is None:
        raise ENXIO("no such terminal")
    return pty.open_slave(flags)


async def become_controlling(task: Task, c: CDescription) -> None:
    """tty_open_proc_set_tty(): what a session leader without a terminal opens becomes its own, if it is nobody's."""
    opened = description_of(c)
    if not isinstance(opened, Terminal) or opened.pty is None or c.open_flags & O_ACCMODE == os.O_WRONLY:
        return
    if task.sid() != task.c.group.tgid or opened.pty.session() or controlling(task) is not None:
        return
    from pysentry.abi.syscall_nr import NR_IOCTL  # with the first such opening
    from pysentry.kernel import lend

    await lend.call_with(task, c.host_fd, NR_IOCTL, lend.NUMBER, TIOCSCTTY, 0)


def open_tty(task: Task, dentry: CDentry | None, flags: int) -> CDescription:
    """Opens /dev/tty, the controlling terminal of the task's session. ENXIO: it has none: tty(4)."""
    pty = controlling(task)
    if pty is None:
        raise ENXIO("no controlling terminal")
    return pty.open_peer(flags)


def open_console(flags: int) -> CDescription:
    """Opens /dev/console: the terminal of the first process. ENXIO: it has none."""
    c = lib.task_find_ns(1)
    pty = None if c == ffi.NULL else controlling(task_of(c))
    if pty is None:
        raise ENXIO("no console")
    return pty.open_peer(flags)


def controlling(task: Task) -> Pty | None:
    """The controlling terminal of the task's session."""
    session = task.sid()
    for pty in ptys.values():
        if pty.session() == session:
            return pty
    return None


def adopt_terminal(c: CDescription) -> CDescription:
    """Boot: a terminal that was given as a standard descriptor."""
    return adopt(Terminal(c)).c
