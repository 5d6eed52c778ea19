"""signalfd(2)."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EINVAL
from pysentry.kernel.description import object_of
from pysentry.kernel.signalfd import Signalfd
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_SIGSET = Struct("=Q")
_SFD_NONBLOCK, _SFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


@syscall
def signalfd(task: Task, fd: int, mask: UserAddr, sizemask: int) -> int:
    return signalfd4(task, fd, mask, sizemask, 0)


@syscall
def signalfd4(task: Task, fd: int, mask: UserAddr, sizemask: int, flags: int) -> int:
    if sizemask != _SIGSET.size:
        raise EINVAL("sizemask")
    (wanted,) = task.memory.read_struct(mask, _SIGSET)
    if flags & ~(_SFD_NONBLOCK | _SFD_CLOEXEC):
        raise EINVAL("flags")
    if fd == -1:
        made = Signalfd.create(task, wanted, flags & _SFD_NONBLOCK)
        return task.fd_table.alloc(made.c, cloexec=bool(flags & _SFD_CLOEXEC))
    object_of(task.fd_table.get(fd), Signalfd).set_mask(wanted)
    return fd
