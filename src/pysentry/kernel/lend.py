"""A host descriptor lent to a task for one call that the host runs in it: mmap of a segment, ioctl on a terminal.

The descriptor lies at one number that all tasks have for the sentry, so one call at a time is under way.
"""

from __future__ import annotations

from pysentry.abi.errno import ENOMEM, LinuxError
from pysentry.abi.syscall_nr import NR_CLOSE
from pysentry.kernel.wait import WaitQueue, host_call, wait_event
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

NUMBER: int = lib.INTERP_FD
"""What the call's arguments name."""

_turn = WaitQueue()
_is_lent = False


async def call_with(task: Task, host_fd: int, nr: int, *args: int) -> int:
    """host_call() while the task has `host_fd` at NUMBER. ENOMEM: it cannot be put there."""
    global _is_lent
    while _is_lent:
        await wait_event(task, _turn)
    _is_lent = True
    try:
        if lib.task_install_host(task.c, host_fd, NUMBER) < 0:
            raise ENOMEM("descriptor")
        try:
            result = await host_call(task, nr, *args)
        except LinuxError:
            await host_call(task, NR_CLOSE, NUMBER)
            raise
        await host_call(task, NR_CLOSE, NUMBER)
        return result
    finally:
        _is_lent = False
        _turn.wake_one()
