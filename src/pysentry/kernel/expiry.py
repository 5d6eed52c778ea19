"""When a timer of the host kernel will signal a process, so that its parked calls are looked at then.

Timers run on the host (alarm, setitimer, timer_settime): what they send, their overruns and their end with the process
are exact that way, and no signal has to be imitated. But a call that waits in the sentry does not notice a signal, so
the calls that arm a timer pass through the sentry, which notes the time here. An expectation is only a hint when to
look; too many looks do no harm.

The host arms its timer a little after we read its time, so one look is not enough: _LOOKS_NS.
"""

from __future__ import annotations

import time

from pysentry.kernel import timers
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from pysentry.kernel.task import Task, ThreadGroup

_LOOKS_NS = (100_000, 1_000_000, 5_000_000, 20_000_000, 100_000_000, 1_000_000_000)
_SHORTEST_NS = 1_000_000
_FAR_NS = 1 << 62
_STATE = "expiries"


class Expiry:
    """One armed timer of a process. `next_ns`: CLOCK_MONOTONIC; `interval_ns`: 0 for once."""

    __slots__ = ("group", "interval_ns", "key", "looks", "next_ns", "timer")

    def __init__(self, group: ThreadGroup, key: Hashable, next_ns: int, interval_ns: int) -> None:
        self.group = group
        self.key = key
        self.next_ns = next_ns
        self.interval_ns = max(interval_ns, _SHORTEST_NS) if interval_ns else 0
        self.looks = 0
        self.timer = timers.call_at(next_ns + _LOOKS_NS[0], self._look)

    def _look(self) -> None:
        if not _is_alive(self.group):
            return
        lib.signals_changed(self.group.c)
        self.looks += 1
        now = lib.sentry_now_ns()
        if self.looks < len(_LOOKS_NS) and not 0 < self.interval_ns <= _LOOKS_NS[self.looks]:
            at = self.next_ns + _LOOKS_NS[self.looks]
        elif self.interval_ns:
            self.next_ns += self.interval_ns * max(1, (now - self.next_ns) // self.interval_ns)
            self.looks = 0
            at = self.next_ns + _LOOKS_NS[0]
        else:
            self.group.state[_STATE].pop(self.key, None)
            return
        self.timer = timers.call_at(max(at, now), self._look)


def expect(task: Task, key: Hashable, deadline_ns: int, interval_ns: int = 0) -> None:
    """The process' timer `key` will signal at a time of CLOCK_MONOTONIC, then every `interval_ns`."""
    forget(task, key)
    if deadline_ns < _FAR_NS:
        expiries = task.group.state.setdefault(_STATE, {})
        expiries[key] = Expiry(task.group, key, deadline_ns, interval_ns)


def forget(task: Task, key: Hashable) -> None:
    """The timer was disarmed or deleted."""
    expiry = task.group.state.get(_STATE, {}).pop(key, None)
    if expiry is not None:
        expiry.timer.cancel()


def after_exec(task: Task) -> None:
    """exec deletes POSIX timers and keeps the interval timer."""
    for key in list(task.group.state.get(_STATE, ())):
        if isinstance(key, tuple):
            forget(task, key)


def monotonic_deadlines(clocks: tuple[int, ...], at_ns: int) -> list[int]:
    """What a time of each of these clocks is on CLOCK_MONOTONIC now."""
    now = time.monotonic_ns()
    return [max(now, now + at_ns - time.clock_gettime_ns(clock)) for clock in clocks]


def _is_alive(group: ThreadGroup) -> bool:
    """The leader stays known until the whole process is gone; the number may be another's by then."""
    leader = lib.task_find(group.c.tgid)
    return bool(leader != ffi.NULL and leader.group != ffi.NULL and leader.group.python_id == group.id)
