"""POSIX timers on CPU-time clocks: timer_create(2) with CLOCK_PROCESS_CPUTIME_ID and its kind.

The host's own are not used: they have a history of races. The sentry looks at the host's CPU-time clock of the process
or thread when it may have come as far at the earliest, and sends the signal. The number of such a timer is that of a
host timer that is never armed.
"""

from __future__ import annotations

import time
from struct import Struct

from pysentry.abi.errno import EINVAL, LinuxError
from pysentry.kernel import timers
from pysentry.kernel.proc_status import read_host_path
from pysentry.kernel.task import find_by_pid, on_task_exit
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task, ThreadGroup
    from pysentry.kernel.timers import Timer

PROCESS_CLOCK, THREAD_CLOCK = 2, 3
SIGEV_SIGNAL, SIGEV_NONE, _, _, SIGEV_THREAD_ID = range(5)
_PER_THREAD, _SCHED, _KIND = 4, 2, 3  # include/linux/posix-timers_types.h: CPUCLOCK_*
_SI_TIMER = -2
_SIGINFO = Struct("=iiixxxxiiQ96x")  # si_signo, si_errno, si_code, si_tid, si_overrun, si_value
_SHORTEST_NS, _IDLE_NS = 200_000, 10_000_000
_STATE = "cpu timers"


class CpuTimer:
    """One timer. `clock`: the host's clock id; `target_ns`: its time when the timer is due, 0: disarmed."""

    __slots__ = (
        "clock", "group", "interval_ns", "kind", "number", "overruns", "seen_ns", "signal", "target_ns", "tid", "timer",
        "value",
    )  # fmt: skip

    def __init__(self, group: ThreadGroup, number: int, clock: int) -> None:
        self.group, self.number, self.clock = group, number, clock
        self.kind, self.signal, self.value, self.tid = SIGEV_SIGNAL, 14, number, 0
        self.interval_ns = self.target_ns = self.seen_ns = self.overruns = 0
        self.timer: Timer | None = None

    def now_ns(self) -> int | None:
        """CPU time used so far; None: whose it was has ended. The clock of another process' thread can't be read: its
        schedstat says the same, as of the last tick."""
        try:
            if self.clock & _PER_THREAD:
                text = read_host_path(f"{self.group.tgid}/task/{~(self.clock >> 3)}/schedstat")
                return int(text.split()[0])
            return time.clock_gettime_ns(self.clock)
        except (OSError, LinuxError):
            return None

    def left(self) -> tuple[int, int]:
        """(interval, what is left) in nanoseconds; nothing is left of a disarmed one."""
        now = self.now_ns()
        if not self.target_ns or now is None:
            return self.interval_ns, 0
        return self.interval_ns, max(self.target_ns - now, 1)

    def arm(self, at_ns: int, interval_ns: int, is_absolute: bool) -> None:
        """Due at or after some CPU time; 0 disarms."""
        self.disarm()
        now = self.now_ns()
        self.interval_ns = interval_ns
        if at_ns and now is not None:
            self.target_ns = at_ns if is_absolute else now + at_ns
            self._look_again(now)

    def disarm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None
        self.target_ns = 0

    def _look_again(self, now_ns: int) -> None:
        """All threads at work at once come there at the earliest; one that does nothing is looked at less often."""
        left = max(self.target_ns - now_ns, 0)
        soonest = _IDLE_NS if left and now_ns == self.seen_ns else _SHORTEST_NS if left else 0
        self.seen_ns = now_ns
        wait = max(left // max(self.group.c.refs, 1), soonest)
        self.timer = timers.call_at(lib.sentry_now_ns() + wait, self._look)

    def _look(self) -> None:
        self.timer = None
        now = self.now_ns()
        if now is None or not self.group.tasks:
            return
        if now < self.target_ns:
            self._look_again(now)
            return
        self.overruns = 0
        if self.interval_ns:
            periods = (now - self.target_ns) // self.interval_ns + 1
            self.overruns = min(periods - 1, 0x7FFFFFFF)
            self.target_ns += periods * self.interval_ns
            self._look_again(now)
        else:
            self.target_ns = 0
        self._send()

    def _send(self) -> None:
        c = find_by_pid(self.tid) if self.kind == SIGEV_THREAD_ID else lib.task_find(self.group.tgid)
        if self.kind == SIGEV_NONE or c is None or c == ffi.NULL or c.group != self.group.c:
            return
        info = _SIGINFO.pack(self.signal, 0, _SI_TIMER, self.number, self.overruns, self.value)
        lib.task_queue_siginfo(c, self.signal, ffi.from_buffer(info), self.kind != SIGEV_THREAD_ID)


def is_cpu_clock(clockid: int) -> bool:
    """True for the clocks of this module; device clocks (negative, too) are not."""
    return clockid in (PROCESS_CLOCK, THREAD_CLOCK) or (clockid < 0 and clockid & _KIND != _KIND)


def host_clock(task: Task, clockid: int) -> int:
    """The host's id of a CPU-time clock. EINVAL: of nobody, or of a thread that is not the caller's."""
    is_thread, pid = bool(clockid & _PER_THREAD), ~(clockid >> 3)
    if clockid in (PROCESS_CLOCK, THREAD_CLOCK):
        is_thread, pid = clockid == THREAD_CLOCK, 0
    if pid:
        c = find_by_pid(pid)
        if c is None or (c.group != task.c.group if is_thread else c.tid != c.group.tgid):
            raise EINVAL("clock of nobody")
        tid = c.tid
    else:
        tid = task.tid if is_thread else task.c.group.tgid
    return ~tid << 3 | (_PER_THREAD if is_thread else 0) | _SCHED


def find(task: Task, number: int) -> CpuTimer | None:
    """The process' CPU-time timer of a number."""
    found: CpuTimer | None = task.group.state.get(_STATE, {}).get(number)
    return found


def add(task: Task, timer: CpuTimer) -> None:
    """The process has one more."""
    task.group.state.setdefault(_STATE, {})[timer.number] = timer


def drop(task: Task, number: int) -> None:
    """timer_delete(2)."""
    timer = task.group.state.get(_STATE, {}).pop(number, None)
    if timer is not None:
        timer.disarm()


def drop_all(task: Task) -> None:
    """exec and exit delete all."""
    for timer in task.group.state.pop(_STATE, {}).values():
        timer.disarm()


def _task_ended(task: Task) -> None:
    if task.c.group.refs == 1:
        drop_all(task)


on_task_exit.append(_task_ended)
