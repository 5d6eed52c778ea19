"""flock(2)."""

from __future__ import annotations

from pysentry.abi.errno import EBADF
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task


@syscall
async def flock(task: Task, fd: int, operation: int) -> int:
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    await locks.flock(task, c, operation)
    return 0
