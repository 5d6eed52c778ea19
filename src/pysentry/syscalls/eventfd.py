"""eventfd(2): a host eventfd; reads, writes and readiness are those of any descriptor."""

from __future__ import annotations

import os

from pysentry.abi.errno import EINVAL, host_errors
from pysentry.kernel.description import new_description
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

_FLAGS = os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC


@syscall
def eventfd(task: Task, count: int) -> int:
    return eventfd2(task, count, 0)


@syscall
def eventfd2(task: Task, count: int, flags: int) -> int:
    if flags & ~_FLAGS:
        raise EINVAL("flags")
    with host_errors():
        host_fd = os.eventfd(count, flags & os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    made = new_description(lib.DESC_EVENTFD, host_fd, os.O_RDWR | flags & os.EFD_NONBLOCK)
    return task.fd_table.alloc(made.c, cloexec=bool(flags & os.EFD_CLOEXEC))
