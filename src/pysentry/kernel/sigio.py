"""Signal-driven I/O: whom an open file description tells, by which signal, that something happened. fcntl(2).

Owns what F_SETOWN and F_SETSIG say, for sockets, terminals and pipes with O_ASYNC, for dnotify and for leases.
Readiness is the host's: what has O_ASYNC is in one host epoll instance, edge-triggered, once for reading and once for
writing. So several events that come before the sentry looks are one signal.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EINVAL, ESRCH, LinuxError, host_errors
from pysentry.kernel import host
from pysentry.kernel.description import O_ACCMODE, POLLIN, POLLOUT, POLLPRI, watch_close
from pysentry.kernel.signals import group_number
from pysentry.kernel.task import all_groups, find_by_pid
from pysentry.kernel.wait import unwatch, watch
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription, CTask

O_ASYNC = 0o20000
OWNER_TID, OWNER_PID, OWNER_PGRP = 0, 1, 2
POLL_IN, POLL_OUT, POLL_MSG, POLL_HUP = 1, 2, 3, 6  # si_code
SIGIO, SIGNAL_MAX = 29, 64
_SI_SIGIO = -5  # may be queued to another process; siginfo_correct() of native/engine/signals.c makes POLL_* of it
_REASON_SHIFT = 32
_EPOLLRDHUP, _EPOLLHUP, _EPOLLET = 0x2000, 0x10, 1 << 31
_EPOLL_ADD, _EPOLL_DEL = 1, 2
_READING, _WRITING = 0, 1
_AT_ONCE = 64
_EVENT_SIZE = 12
_ASYNC_KINDS = (lib.DESC_PIPE, lib.DESC_SOCKET, lib.DESC_TTY, lib.DESC_INOTIFY)


class SignalOwner:
    """struct fown_struct of one description: who gets a signal, which one, and for which number."""

    __slots__ = ("c", "euid", "fd", "kind", "pid", "signal", "start_ns", "uid", "writing_fd")

    def __init__(self, c: CDescription) -> None:
        self.c = c
        self.kind = OWNER_TID
        self.pid = 0  # as the sandbox numbers it; 0: nobody
        self.start_ns = 0  # of that process or thread group, as numbers are used again
        self.uid = self.euid = 0  # who said so
        self.signal = 0  # 0: SIGIO
        self.fd = -1  # the number by which O_ASYNC was set
        self.writing_fd = -1  # a duplicate of the host descriptor, in the instance for writing

    def set(self, task: Task, kind: int, pid: int) -> None:
        """F_SETOWN_EX. ESRCH: there is nobody of that number."""
        start_ns = 0
        if kind == OWNER_PGRP:
            if pid and not _group_members(pid):
                raise ESRCH("process group")
        elif pid:
            found = find_by_pid(pid)
            if found is not None:
                start_ns = found.group.start_ns
            elif lib.zombie_find(pid) == ffi.NULL:  # one that was not waited for has its number still
                raise ESRCH("owner")
        self.kind, self.pid, self.start_ns = kind, pid, start_ns
        self.uid, self.euid = task.cred.uid, task.cred.euid

    def set_default(self, task: Task) -> None:
        """Who asks for notices of a directory or takes a lease is told of them, unless somebody was chosen."""
        if not self.pid:
            self.set(task, OWNER_PID, task.group.pid)

    def living(self) -> int:
        """The pid, or 0 if that process has ended and was waited for."""
        if self.kind == OWNER_PGRP or not self.pid:
            return self.pid
        found = find_by_pid(self.pid)
        if found is None and lib.zombie_find(self.pid) != ffi.NULL:
            return self.pid
        return self.pid if found is not None and found.group.start_ns == self.start_ns else 0

    def send(self, fd: int, reason: int) -> None:
        """send_sigio() of Linux fs/fcntl.c. reason: POLL_*"""
        if not self.living():
            return
        leaders = _group_members(self.pid) if self.kind == OWNER_PGRP else [find_by_pid(self.pid)]
        for target in leaders:
            if target is not None and self._may_signal(target):
                self._queue(target, fd, reason)

    def _may_signal(self, target: CTask) -> bool:
        cred = target.cred
        return self.euid == 0 or bool({self.uid, self.euid} & {int(cred.suid), int(cred.uid)})

    def _queue(self, target: CTask, fd: int, reason: int) -> None:
        to_group = self.kind != OWNER_TID
        if self.signal:
            value = fd & 0xFFFFFFFF | reason << _REASON_SHIFT
            if lib.task_queue_signal(target, self.signal, _SI_SIGIO, value, to_group) == 0:
                return  # else the queue is full
        lib.task_queue_signal(target, SIGIO, _SI_SIGIO, 0, to_group)

    # ---- O_ASYNC ----

    def start(self, fd: int) -> None:
        """Edges of the description are told from now on."""
        self.fd = fd
        if self.c.open_flags & O_ASYNC:
            return
        self.c.open_flags |= O_ASYNC
        try:
            self._join()
        except LinuxError:
            self.stop()
            raise

    def _join(self) -> None:
        access = self.c.open_flags & O_ACCMODE
        is_pipe = self.c.kind == lib.DESC_PIPE
        if not (is_pipe and access == os.O_WRONLY):
            _instance.add(self.c.host_fd, POLLIN | POLLPRI | _EPOLLRDHUP, self.c.id << 1 | _READING)
        if not (is_pipe and access == os.O_RDONLY):
            with host_errors():
                self.writing_fd = os.dup(self.c.host_fd)
            _instance.add(self.writing_fd, POLLOUT, self.c.id << 1 | _WRITING)
        _instance.serve(but=self.c.id)  # what is ready already is no event

    def stop(self) -> None:
        """No more."""
        if not self.c.open_flags & O_ASYNC:
            return
        self.c.open_flags &= ~O_ASYNC
        _instance.remove(self.c.host_fd)
        if self.writing_fd >= 0:
            _instance.remove(self.writing_fd)
            os.close(self.writing_fd)
            self.writing_fd = -1

    def target_closed(self, identity: int) -> None:
        """The last close of the description."""
        if self.fd >= 0:
            self.stop()
        del _owners[identity]


class _Instance:
    """The host epoll instance of everything that has O_ASYNC; there is one as long as something has."""

    __slots__ = ("count", "host_fd")

    def __init__(self) -> None:
        self.host_fd = -1
        self.count = 0

    def add(self, host_fd: int, events: int, data: int) -> None:
        if self.host_fd < 0:
            self.host_fd = host.epoll_create()
            watch(self.host_fd, POLLIN, self.serve)
        self.count += 1
        try:
            host.epoll_ctl(self.host_fd, _EPOLL_ADD, host_fd, events | _EPOLLET, data)
        except LinuxError:
            self._drop()
            raise

    def remove(self, host_fd: int) -> None:
        try:
            host.epoll_ctl(self.host_fd, _EPOLL_DEL, host_fd, 0, 0)
        except LinuxError:
            return  # it was never added
        self._drop()

    def _drop(self) -> None:
        self.count -= 1
        if not self.count:
            unwatch(self.host_fd)
            os.close(self.host_fd)
            self.host_fd = -1

    def serve(self, revents: int = 0, but: int = 0) -> None:
        """Tells the owners of what is ready; `but` names a description whose events are dropped."""
        while True:
            found = host.epoll_wait_now(self.host_fd, _AT_ONCE)
            for at in range(0, len(found), _EVENT_SIZE):
                events = int.from_bytes(found[at : at + 4], "little")
                data = int.from_bytes(found[at + 4 : at + _EVENT_SIZE], "little")
                owner = _owners.get(data >> 1)
                if owner is None or data >> 1 == but:
                    continue
                if data & 1 == _WRITING:
                    if events & POLLOUT or owner.c.kind == lib.DESC_PIPE:
                        owner.send(owner.fd, POLL_OUT)
                elif events & (_EPOLLHUP | _EPOLLRDHUP) and owner.c.kind != lib.DESC_PIPE:
                    owner.send(owner.fd, POLL_HUP)
                else:
                    owner.send(owner.fd, POLL_IN)
            if len(found) < _AT_ONCE * _EVENT_SIZE:
                return


_instance = _Instance()
_owners: dict[int, SignalOwner] = {}  # by description


def owner_of(c: CDescription) -> SignalOwner:
    """What is known of a description's owner; from now on changes are kept."""
    owner = _owners.get(c.id)
    if owner is None:
        owner = _owners[c.id] = SignalOwner(c)
        watch_close(c, owner)
    return owner


def known_owner(c: CDescription) -> SignalOwner:
    """The same to look at: nothing is kept."""
    return _owners.get(c.id) or SignalOwner(c)


def can_be_async(c: CDescription) -> bool:
    """True if O_ASYNC means something for this kind (its fasync operation in Linux)."""
    return c.kind in _ASYNC_KINDS and c.host_fd >= 0


def set_async(c: CDescription, fd: int, is_on: bool) -> None:
    """O_ASYNC goes on or off."""
    if is_on:
        owner_of(c).start(fd)
    else:
        known_owner(c).stop()


def set_signal(c: CDescription, number: int) -> None:
    """F_SETSIG. EINVAL: no signal."""
    if not 0 <= number <= SIGNAL_MAX:
        raise EINVAL("F_SETSIG")
    owner_of(c).signal = number


def _group_members(number: int) -> list[CTask | None]:
    """The leaders of the processes of a process group, as the sandbox numbers it."""
    leaders = [lib.task_find(group.tgid) for group in all_groups()]
    return [c for c in leaders if c != ffi.NULL and group_number(c.tid) == number]
