"""Clocks: those named by a negative id (another task's CPU time, or a device's descriptor), and how the clock is kept.

The clock is the host's. What would set it answers EPERM, whoever asks; its state is that of a clock which nobody
synchronises. Which error comes first is Linux's: kernel/time/{time,ntp,posix-timers}.c.
"""

from __future__ import annotations

from struct import Struct
from time import time_ns

from pysentry.abi.capability import CAP_SYS_TIME
from pysentry.abi.errno import EINVAL, EOPNOTSUPP, EPERM
from pysentry.syscalls.registry import CONTINUE, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

# struct timex up to tick: modes, offset, freq, maxerror, esterror, status, constant, precision, tolerance, time
_TIMEX = Struct("=I4xqqqqi4xqqqqqq")
_TIMEX_BYTES, _TAI_OFFSET = 208, 160
_TIMEX_CLEARED = 96  # what follows tick up to tai: no pulse-per-second signal
_PAIR = Struct("=qq")
_TIMEZONE = Struct("=ii")
_MOST_MINUTES_WEST = 15 * 60
_NS = 1_000_000_000
_SECONDS_MAX = (1 << 63) // _NS - 1_893_456_000  # TIME_SETTOD_SEC_MAX keeps thirty years of uptime
_REALTIME, _SGI_CYCLE, _LAST_CLOCK = 0, 10, 11
_PHASE_MAX, _STATUS_UNSYNC, _TIME_ERROR = 16_000_000, 0x40, 5
_TOLERANCE, _TIME_CONSTANT, _TICK_US = 500 << 16, 2, 10_000
_ADJ_ADJTIME, _ADJ_SINGLESHOT, _ADJ_READONLY = 0x8000, 0x0001, 0x2000
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


# ---- set and adjusted -----------------------------------------------------------------------------------------------


@syscall
def clock_settime(task: Task, clockid: int, tp: UserAddr) -> int:
    if clockid < 0:
        _read_time(task, tp)
        if clockid & _KIND_MASK == _KIND_DESCRIPTOR:
            raise EINVAL("a clock of a device")
        raise EPERM("a CPU-time clock")
    if clockid != _REALTIME:
        raise EINVAL("not to be set")
    _check_time(*_read_time(task, tp))
    raise EPERM("the clock is the host's")


@syscall
def settimeofday(task: Task, tv: UserAddr, tz: UserAddr) -> int:
    seconds = micros = 0
    if tv:
        seconds, micros = task.memory.read_struct(tv, _PAIR)
        if not 0 <= micros <= 1_000_000:
            raise EINVAL("microseconds")
    west = task.memory.read_struct(tz, _TIMEZONE)[0] if tz else 0
    if tv:
        _check_time(seconds, 1000 * micros)
    if abs(west) > _MOST_MINUTES_WEST and task.has_cap(CAP_SYS_TIME):  # the privilege is asked for first
        raise EINVAL("tz")
    raise EPERM("the clock is the host's")


def _read_time(task: Task, tp: UserAddr) -> tuple[int, int]:
    seconds, nanos = task.memory.read_struct(tp, _PAIR)
    return seconds, nanos


def _check_time(seconds: int, nanos: int) -> None:
    if not 0 <= seconds < _SECONDS_MAX or not 0 <= nanos < _NS:
        raise EINVAL("time")


@syscall
def adjtimex(task: Task, buf: UserAddr) -> int:
    return _adjust(task, task.memory.read(buf, _TIMEX_BYTES), buf)


@syscall
def clock_adjtime(task: Task, clockid: int, buf: UserAddr) -> int:
    asked = task.memory.read(buf, _TIMEX_BYTES)
    if clockid == _REALTIME:
        return _adjust(task, asked, buf)
    if (clockid < 0 and clockid & _KIND_MASK == _KIND_DESCRIPTOR) or clockid > _LAST_CLOCK or clockid == _SGI_CYCLE:
        raise EINVAL("clock")
    raise EOPNOTSUPP("not to be adjusted")


def _adjust(task: Task, asked: bytes, buf: UserAddr) -> int:
    """do_adjtimex(): changes are refused, the state is told; TIME_ERROR, as the clock is not synchronised."""
    modes = _TIMEX.unpack_from(asked)[0]
    if modes & _ADJ_ADJTIME:
        if not modes & _ADJ_SINGLESHOT:
            raise EINVAL("modes")
        if not modes & _ADJ_READONLY:
            raise EPERM("the clock is the host's")
    elif modes:
        raise EPERM("the clock is the host's")
    answer = bytearray(asked)
    seconds, nanos = divmod(time_ns(), _NS)
    _TIMEX.pack_into(
        answer, 0, modes, 0, 0, _PHASE_MAX, _PHASE_MAX, _STATUS_UNSYNC, _TIME_CONSTANT, 1, _TOLERANCE,
        seconds, nanos // 1000, _TICK_US,
    )  # fmt: skip
    answer[_TIMEX_CLEARED : _TAI_OFFSET + 4] = bytes(_TAI_OFFSET + 4 - _TIMEX_CLEARED)
    task.memory.write(buf, answer)
    return _TIME_ERROR
