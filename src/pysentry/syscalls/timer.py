"""Timers that signal. The host runs them; the calls that arm one pass here so that waiting calls hear of its signal.

Nothing that is read here is relied on: it says when to look at the process (kernel/expiry), and a wrong answer keeps
only the caller's own calls waiting. That is why CONTINUE is right although the values are in memory.
"""

from __future__ import annotations

import time
from struct import Struct

from pysentry.abi.errno import EFAULT, EINVAL, EOPNOTSUPP
from pysentry.abi.syscall_nr import NR_TIMER_CREATE
from pysentry.kernel import cpu_timers, expiry
from pysentry.kernel import exec as kernel_exec
from pysentry.kernel.cpu_timers import CpuTimer
from pysentry.kernel.wait import host_call
from pysentry.syscalls.registry import CONTINUE, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_TIMEVALS = Struct("=qqqq")  # interval, value: seconds and microseconds
_TIMESPECS = Struct("=qqqq")  # the same with nanoseconds
_ITIMER_REAL = 0
_REAL = "itimer"
_TIMER_ABSTIME = 1
_CLOCKS = (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_TAI)
_ALARM_CLOCKS, _WITHOUT_TIMERS = (8, 9), (4, 5, 6)
_SIGEVENT = Struct("=Qiii44x")  # struct sigevent: value, signo, notify, thread id
_INT = Struct("=i")
_SECOND_NS = 1_000_000_000

kernel_exec.on_exec.append(expiry.after_exec)
kernel_exec.on_exec.append(cpu_timers.drop_all)


@syscall
def alarm(task: Task, seconds: int) -> int:
    if seconds:
        expiry.expect(task, _REAL, time.monotonic_ns() + seconds * _SECOND_NS)
    else:
        expiry.forget(task, _REAL)
    return CONTINUE


@syscall
def setitimer(task: Task, which: int, new_value: UserAddr, old_value: UserAddr) -> int:
    """ITIMER_REAL; the others count CPU time and never come here."""
    if which != _ITIMER_REAL:
        raise EINVAL("which")
    if not new_value:
        expiry.forget(task, _REAL)
        return CONTINUE
    interval_s, interval_us, value_s, value_us = task.memory.read_struct(new_value, _TIMEVALS)
    value_ns = value_s * _SECOND_NS + value_us * 1000
    if value_ns > 0:
        expiry.expect(task, _REAL, time.monotonic_ns() + value_ns, interval_s * _SECOND_NS + interval_us * 1000)
    else:
        expiry.forget(task, _REAL)
    return CONTINUE


@syscall
async def timer_create(task: Task, clockid: int, sevp: UserAddr, timerid: UserAddr) -> int:
    """Real-time clocks never come here."""
    if cpu_timers.is_cpu_clock(clockid):
        clock = cpu_timers.host_clock(task, clockid)
        event = task.memory.read_struct(sevp, _SIGEVENT) if sevp else None
        await host_call(task, NR_TIMER_CREATE, time.CLOCK_MONOTONIC, sevp, timerid)  # its number, and what is wrong
        timer = CpuTimer(task.group, task.memory.read_struct(timerid, _INT)[0], clock)
        if event is not None:
            timer.value, timer.signal, timer.kind, timer.tid = event
        cpu_timers.add(task, timer)
        return 0
    if clockid in _WITHOUT_TIMERS or clockid < 0:
        raise EOPNOTSUPP("raw and coarse clocks")
    if clockid in _ALARM_CLOCKS:
        raise EOPNOTSUPP("no real-time clock")
    raise EINVAL("clock")


@syscall
def timer_gettime(task: Task, timerid: int, curr_value: UserAddr) -> int:
    timer = cpu_timers.find(task, timerid)
    if timer is None:
        return CONTINUE
    task.memory.write(curr_value, _spec(timer))
    return 0


@syscall
def timer_getoverrun(task: Task, timerid: int) -> int:
    timer = cpu_timers.find(task, timerid)
    return CONTINUE if timer is None else timer.overruns


def _spec(timer: CpuTimer) -> bytes:
    interval_ns, left_ns = timer.left()
    return _TIMESPECS.pack(*divmod(interval_ns, _SECOND_NS), *divmod(left_ns, _SECOND_NS))


def _set_cpu_timer(task: Task, timer: CpuTimer, flags: int, new_value: UserAddr, old_value: UserAddr) -> int:
    if not new_value:
        raise EINVAL("itimerspec")
    interval_s, interval_ns, value_s, value_ns = task.memory.read_struct(new_value, _TIMESPECS)
    if min(interval_s, value_s) < 0 or not (0 <= interval_ns < _SECOND_NS and 0 <= value_ns < _SECOND_NS):
        raise EINVAL("itimerspec")
    old = _spec(timer)
    timer.arm(value_s * _SECOND_NS + value_ns, interval_s * _SECOND_NS + interval_ns, bool(flags & _TIMER_ABSTIME))
    if old_value:
        task.memory.write(old_value, old)
    return 0


@syscall
def timer_settime(task: Task, timerid: int, flags: int, new_value: UserAddr, old_value: UserAddr) -> int:
    timer = cpu_timers.find(task, timerid)
    if timer is not None:
        return _set_cpu_timer(task, timer, flags, new_value, old_value)
    _forget(task, timerid)
    try:
        interval_s, interval_ns, value_s, value_ns = task.memory.read_struct(new_value, _TIMESPECS)
    except EFAULT:
        return CONTINUE  # the host says what is wrong
    at_ns = value_s * _SECOND_NS + value_ns
    period_ns = max(0, interval_s * _SECOND_NS + interval_ns)
    if at_ns <= 0:
        return CONTINUE
    if flags & _TIMER_ABSTIME:  # its clock is not known here: look at every time that it may mean
        for clock, deadline_ns in zip(_CLOCKS, expiry.monotonic_deadlines(_CLOCKS, at_ns), strict=True):
            expiry.expect(task, (timerid, clock), deadline_ns, period_ns)
    else:
        expiry.expect(task, (timerid, _CLOCKS[0]), time.monotonic_ns() + at_ns, period_ns)
    return CONTINUE


@syscall
def timer_delete(task: Task, timerid: int) -> int:
    _forget(task, timerid)
    cpu_timers.drop(task, timerid)
    return CONTINUE


def _forget(task: Task, timerid: int) -> None:
    for clock in _CLOCKS:
        expiry.forget(task, (timerid, clock))
