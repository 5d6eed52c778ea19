"""timerfd_create(2), timerfd_settime(2), timerfd_gettime(2): a host timerfd behind each."""

from __future__ import annotations

import os

from pysentry.abi.capability import CAP_WAKE_ALARM
from pysentry.abi.errno import EINVAL, EPERM
from pysentry.kernel import host
from pysentry.kernel.description import new_description
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_CLOCKS = (0, 1, 7)  # REALTIME, MONOTONIC, BOOTTIME
_ALARM_CLOCKS = {8: 0, 9: 7}  # as on a machine without a real-time clock: they wake nobody who is suspended
_ITIMERSPEC_SIZE = 32


@syscall
def timerfd_create(task: Task, clockid: int, flags: int) -> int:
    if flags & ~(_TFD_NONBLOCK | _TFD_CLOEXEC) or clockid not in (*_CLOCKS, *_ALARM_CLOCKS):
        raise EINVAL("flags or clock")
    if clockid in _ALARM_CLOCKS and not task.has_cap(CAP_WAKE_ALARM):
        raise EPERM("CAP_WAKE_ALARM")
    host_fd = host.timerfd_create(_ALARM_CLOCKS.get(clockid, clockid), _TFD_NONBLOCK | _TFD_CLOEXEC)
    made = new_description(lib.DESC_TIMERFD, host_fd, os.O_RDWR | flags & _TFD_NONBLOCK)
    return task.fd_table.alloc(made.c, cloexec=bool(flags & _TFD_CLOEXEC))


@syscall
def timerfd_settime(task: Task, fd: int, flags: int, new_value: UserAddr, old_value: UserAddr) -> int:
    spec = task.memory.read(new_value, _ITIMERSPEC_SIZE)
    host_fd = _timer(task, fd)
    old = host.timerfd_settime(host_fd, flags, spec)  # EINVAL for flags and values is the host's
    if old_value:
        task.memory.write(old_value, old)
    return 0


@syscall
def timerfd_gettime(task: Task, fd: int, curr_value: UserAddr) -> int:
    task.memory.write(curr_value, host.timerfd_gettime(_timer(task, fd)))
    return 0


def _timer(task: Task, fd: int) -> int:
    c = task.fd_table.get(fd)
    if c.kind != lib.DESC_TIMERFD:
        raise EINVAL("not a timerfd")
    return int(c.host_fd)
