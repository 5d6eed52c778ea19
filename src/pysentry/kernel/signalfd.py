"""signalfd: pending signals to read. signalfd(2).

Pending signals are the host kernel's, and only the task itself can take one out of its queue: kernel/signals.dequeue
makes it do so. Readiness, for poll and epoll, is a host eventfd that is kept up whenever signals may have become
pending: readable as long as a thread of a process that reads from it has a signal of the mask.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAGAIN, EINVAL, host_errors
from pysentry.kernel import signals
from pysentry.kernel.description import KINDS, O_NONBLOCK, POLLIN, Description, new_description
from pysentry.kernel.wait import wait_ready
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.kernel.task import Task, ThreadGroup
    from pysentry.platform.cdefs import CDescription

SIGINFO_SIZE = 128  # struct signalfd_siginfo, and siginfo_t
_SIGCHLD, _NSIGPOLL = 17, 6
_FAULTS = (4, 5, 7, 8, 11)  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
_SI_TIMER, _SI_KERNEL = -2, 0x80
_UNBLOCKABLE = 1 << 8 | 1 << 18  # SIGKILL, SIGSTOP
_HEAD = Struct("=iii4x")  # si_signo, si_errno, si_code
_RT = Struct("=iIQ")  # si_pid, si_uid, si_value
_CHILD = Struct("=iIi4xqq")  # si_pid, si_uid, si_status, si_utime, si_stime
_TIMER = Struct("=iiQ")  # si_tid, si_overrun, si_value
_BAND = Struct("=qi")  # si_band, si_fd
_INT32 = Struct("=i")
# signo, errno, code, pid, uid, fd, tid, band, overrun, trapno, status, int, ptr, utime, stime, addr, the rest zero
_SIGNALFD_SIGINFO = Struct("=IiiIIiIIIIiiQQQQ48x")

_open: set[Signalfd] = set()


class Signalfd(Description):
    """One signalfd. `mask`: bit N-1 for signal N."""

    __slots__ = ("is_up", "mask", "readers")
    keeps_state = True

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.mask = 0
        self.is_up = False  # the eventfd is readable
        self.readers: set[ThreadGroup] = set()
        _open.add(self)
        lib.engine_watch_signals(1)

    @staticmethod
    def create(task: Task, mask: int, status: int) -> Signalfd:
        """A new one for the task's process; `status`: O_NONBLOCK or 0."""
        if signals_changed not in signals.on_signals_changed:
            signals.on_signals_changed.append(signals_changed)
        with host_errors():
            host_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        made = new_description(lib.DESC_SIGNALFD, host_fd, os.O_RDWR | status & O_NONBLOCK, Signalfd)
        assert isinstance(made, Signalfd)
        made.readers.add(task.group)
        made.set_mask(mask)
        return made

    def set_mask(self, mask: int) -> None:
        """Which signals it is for."""
        self.mask = mask & ~_UNBLOCKABLE
        self.refresh()

    def refresh(self) -> None:
        """Makes the eventfd say whether there is something to read."""
        self.readers = {group for group in self.readers if group.tasks}
        is_pending = any(signals.pending(task) & self.mask for group in self.readers for task in group.tasks)
        if is_pending and not self.is_up:
            os.eventfd_write(self.c.host_fd, 1)
        elif self.is_up and not is_pending:
            os.eventfd_read(self.c.host_fd)
        self.is_up = is_pending

    async def read(
        self, task: Task, iovs: Sequence[tuple[int, int]], offset: int | None = None, rwf: int = 0
    ) -> int:
        """As many struct signalfd_siginfo as are pending and fit; at least one."""
        room = sum(length for _, length in iovs) // SIGINFO_SIZE
        if not room:
            raise EINVAL("smaller than a signalfd_siginfo")
        self.readers.add(task.group)
        lib.desc_ref(self.c)
        try:
            while True:
                found = self._take(task, room)
                if found:
                    return task.memory.scatter(iovs, found)
                if self.is_nonblocking:
                    raise EAGAIN("no signal")
                await wait_ready(task, ((self.c, POLLIN),))
        finally:
            lib.desc_unref(self.c)

    def _take(self, task: Task, room: int) -> bytes:
        found: list[bytes] = []
        while len(found) < room and signals.pending(task) & self.mask:
            info = signals.dequeue(task, self.mask)
            if info is None:
                break
            found.append(_converted(info))
        self.refresh()
        return b"".join(found)

    async def write(
        self, task: Task, iovs: Sequence[tuple[int, int]], offset: int | None = None, rwf: int = 0
    ) -> int:
        raise EINVAL("signalfd")

    def closed(self) -> None:
        _open.discard(self)
        lib.engine_watch_signals(bool(_open))


KINDS[lib.DESC_SIGNALFD] = Signalfd


def signals_changed() -> None:
    """The engine: signals may have become pending somewhere."""
    for each in list(_open):
        each.refresh()


def _converted(info: bytes) -> bytes:
    """siginfo_t as struct signalfd_siginfo: signalfd_copyinfo() of fs/signalfd.c."""
    number, error, code = _HEAD.unpack_from(info)
    pid = uid = fd = tid = band = overrun = status = value_int = value = utime = stime = address = 0
    if number in _FAULTS and code > 0 and code != _SI_KERNEL:
        (address,) = Struct("=Q").unpack_from(info, 16)
    elif 0 < code <= _NSIGPOLL and number != _SIGCHLD:  # F_SETSIG can choose any signal
        band, fd = _BAND.unpack_from(info, 16)
    elif code == _SI_TIMER:
        tid, overrun, value = _TIMER.unpack_from(info, 16)
    elif number == _SIGCHLD and code > 0:
        pid, uid, status, utime, stime = _CHILD.unpack_from(info, 16)
    else:
        pid, uid, value = _RT.unpack_from(info, 16)
        value = value if code < 0 and code != -6 else 0  # SI_USER, SI_TKILL carry none
    if value:
        (value_int,) = _INT32.unpack((value & 0xFFFFFFFF).to_bytes(4, "little"))
    return _SIGNALFD_SIGINFO.pack(
        number, error, code, pid & 0xFFFFFFFF, uid, fd, tid, band & 0xFFFFFFFF, overrun, 0, status, value_int, value,
        utime, stime, address,
    )  # fmt: skip
