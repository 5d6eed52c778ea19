"""/proc/PID/mounts and mountinfo as one waits for them: always readable, and POLLPRI | POLLERR once after each change
of the mount table that they show (mounts_poll() in Linux fs/proc_namespace.c).

epoll wants a host descriptor: one end of a socket pair, in which an urgent byte stands for news. The host cannot tell
us when its epoll has reported that, so it goes with the next read from the start, too, and POLLERR is poll(2)'s alone.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EINVAL, EOPNOTSUPP, ESRCH
from pysentry.kernel import host
from pysentry.kernel.description import POLLERR, POLLIN, POLLPRI, POLLRDNORM
from pysentry.platform.native import lib
from pysentry.vfs.filesystems.generated import GeneratedDescription, describe
from pysentry.vfs.filesystems.proc_subject import SubjectFile
from pysentry.vfs.mounts import first_root, on_table_changed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription

_AF_UNIX, _SOCK_STREAM, _MSG_OOB = 1, 1, 1

_open: dict[int, MountsDescription] = {}


class MountsDescription(GeneratedDescription):
    """An open one."""

    __slots__ = ("_has_news", "_other_end")

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self._has_news = False
        self._other_end = -1
        _open[c.id] = self

    def table_changed(self, root: CDentry) -> None:
        assert isinstance(self.file, SubjectFile)
        try:
            is_shown = first_root(self.file.subject.c.fs.root) == root
        except ESRCH:
            return
        if is_shown:
            self._has_news = True
            self._tell_epoll()

    def make_pollable(self) -> None:
        if self.c.host_fd < 0:
            self.c.host_fd, self._other_end = host.socketpair(_AF_UNIX, _SOCK_STREAM, 0)
            host.sendmsg(self._other_end, b" ")  # stays: always readable
            if self._has_news:
                self._tell_epoll()

    def poll_mask(self) -> int:
        self.make_pollable()
        mask = POLLIN | POLLRDNORM
        if self._has_news:
            self._has_news = False
            self._take_back()
            mask |= POLLERR | POLLPRI
        return mask

    def host_read(self, size: int, offset: int | None) -> bytes:
        if not (self.c.pos if offset is None else offset):
            self._take_back()
        return super().host_read(size, offset)

    def closed(self) -> None:
        del _open[self.c.id]
        if self._other_end >= 0:
            os.close(self._other_end)

    def _tell_epoll(self) -> None:
        if self._other_end < 0:
            return
        self._take_back()
        try:
            host.sendmsg(self._other_end, b"!", flags=_MSG_OOB)
        except EOPNOTSUPP:  # a host without CONFIG_AF_UNIX_OOB: poll(2) still tells
            pass

    def _take_back(self) -> None:
        if self._other_end < 0:
            return
        try:
            host.recvmsg(self.c.host_fd, bytearray(1), flags=_MSG_OOB)
        except EINVAL:  # nothing there
            pass


class MountsFile(SubjectFile):
    """mounts, mountinfo or mountstats."""

    __slots__ = ()

    def open(self, task: Task, flags: int) -> CDescription:
        made = describe(flags, MountsDescription, self)
        made.flags = made.flags & ~lib.DESC_NO_POLL | lib.DESC_PY_POLL
        return made


def _table_changed(root: CDentry) -> None:
    for each in list(_open.values()):
        each.table_changed(root)


on_table_changed.append(_table_changed)
