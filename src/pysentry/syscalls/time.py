"""Clocks named by a negative id: another task's CPU time, or a device's descriptor."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL
from pysentry.syscalls.registry import CONTINUE, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_KIND_MASK, _KIND_DESCRIPTOR = 3, 3  # include/linux/posix-timers.h: CPUCLOCK_CLOCK_MASK, CLOCKFD


@syscall
def clock_gettime(task: Task, clockid: int, tp: UserAddr) -> int:
    """A pid in the id is one of the private pid namespace: the host answers."""
    return _judge(clockid)


@syscall
def clock_getres(task: Task, clockid: int, res: UserAddr) -> int:
    return _judge(clockid)


def _judge(clockid: int) -> int:
    if clockid & _KIND_MASK == _KIND_DESCRIPTOR:
        raise EINVAL("a clock of a device")
    return CONTINUE
