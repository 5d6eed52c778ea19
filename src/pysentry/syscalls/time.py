"""Clocks named by a negative id: another task's CPU time, or a device's descriptor. Setting a clock, to refuse it."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EINVAL, EPERM
from pysentry.syscalls.registry import CONTINUE, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_TIMEVAL, _TIMEZONE, _UINT = Struct("=qq"), Struct("=ii"), Struct("=I")
_MOST_MINUTES_WEST = 15 * 60
_ADJ_ADJTIME = 0x8000
_CLOCK_REALTIME = 0
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


@syscall
def settimeofday(task: Task, tv: UserAddr, tz: UserAddr) -> int:
    """Judged as Linux does, then refused."""
    if tv:
        seconds, microseconds = task.memory.read_struct(tv, _TIMEVAL)
        if seconds < 0 or not 0 <= microseconds < 1_000_000:
            raise EINVAL("tv")
    if tz:
        (west, _) = task.memory.read_struct(tz, _TIMEZONE)
        if abs(west) > _MOST_MINUTES_WEST:
            raise EINVAL("tz")
    raise EPERM("the clock is the host's")


@syscall
def clock_settime(task: Task, clockid: int, tp: UserAddr) -> int:
    """As settimeofday: only the real-time clock can be set at all."""
    if clockid != _CLOCK_REALTIME:
        raise EINVAL("clock")
    seconds, nanoseconds = task.memory.read_struct(tp, _TIMEVAL)
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise EINVAL("tp")
    raise EPERM("the clock is the host's")


@syscall
def clock_adjtime(task: Task, clockid: int, buf: UserAddr) -> int:
    if clockid != _CLOCK_REALTIME:
        raise EINVAL("clock")
    return adjtimex(task, buf)


@syscall
def adjtimex(task: Task, buf: UserAddr) -> int:
    """timekeeping_validate_timex(), as far as modes go."""
    (modes,) = task.memory.read_struct(buf, _UINT)
    if modes & _ADJ_ADJTIME and not modes & 1:
        raise EINVAL("ADJ_ADJTIME alone")
    raise EPERM("the clock is the host's")
