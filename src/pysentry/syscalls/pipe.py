"""pipe(2), pipe2(2)."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EINVAL, ENOPKG
from pysentry.kernel.pipe import Pipe
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_O_NOTIFICATION_PIPE = os.O_EXCL
_INT32_PAIR = Struct("=ii")


@syscall
def pipe(task: Task, fds: UserAddr) -> int:
    return pipe2(task, fds, 0)


@syscall
def pipe2(task: Task, fds: UserAddr, flags: int) -> int:
    """O_NOTIFICATION_PIPE is refused, as by a kernel without CONFIG_WATCH_QUEUE."""
    if flags & ~(os.O_CLOEXEC | os.O_NONBLOCK | os.O_DIRECT | _O_NOTIFICATION_PIPE):
        raise EINVAL("pipe2 flags")
    if flags & _O_NOTIFICATION_PIPE:
        raise ENOPKG("watch queues")
    with task.fd_table.reserve(2, cloexec=bool(flags & os.O_CLOEXEC)) as slots:
        task.memory.write(fds, _INT32_PAIR.pack(*slots.fds))  # EFAULT: both numbers are given back
        slots.install(*Pipe.open_ends(flags & (os.O_NONBLOCK | os.O_DIRECT)))
    return 0
