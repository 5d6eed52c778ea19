"""Waiting: coroutines that park their task, queues that wake it, host descriptors that Python itself watches.

A handler that can block is a coroutine. When it awaits, the engine parks the task (native/engine/park.c); when the
descriptor may be ready, the deadline is over or a signal came, the coroutine goes on with the reason. Wakes may be
spurious: whoever waits looks again.
"""

from __future__ import annotations

from pysentry.abi.errno import from_errno
from pysentry.kernel.report import internal_error
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from typing import Any

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

READY, TIMEOUT, INTERRUPTED, DEAD = range(4)  # enum wake_reason of native/engine/engine.h
SENTRY_PARKED: int = lib.SENTRY_PARKED


class Interrupted(BaseException):
    """A signal must be handled first. Not an Exception: only code that has progress to report catches it."""


class _Park:
    """What a coroutine yields to the engine; the value sent back is the reason it goes on."""

    __slots__ = ("deadline_ns", "wants")

    def __init__(self, wants: Sequence[tuple[CDescription, int]], deadline_ns: int | None) -> None:
        self.wants = wants
        self.deadline_ns = deadline_ns

    def __await__(self) -> Generator[_Park, int, int]:
        return (yield self)


class _HostCall:
    """What a coroutine yields to have its task run a call on the host; the reason sent back is of no interest."""

    __slots__ = ("args", "nr")

    def __init__(self, nr: int, args: Sequence[int]) -> None:
        self.nr = nr
        self.args = args

    def __await__(self) -> Generator[_HostCall, int, int]:
        return (yield self)


async def host_call(task: Task, nr: int, *args: int) -> int:
    """The task itself makes this call on the host, in place of the one that it waits in; its result.

    Costs several stops. Raises the call's errno; a signal that interrupts it ends the handler, and the program's own
    call starts over or ends as the host says. The call must be one that the workload may make by itself, or one
    that only takes a descriptor which the sentry has put there.
    """
    reason = await _HostCall(nr, args)
    if reason == INTERRUPTED:
        raise Interrupted
    result = int(task.c.host_result)
    if -4096 < result < 0:
        raise from_errno(-result)
    return result


async def wait_ready(
    task: Task, wants: Sequence[tuple[CDescription, int]], deadline_ns: int | None = None
) -> bool:
    """Parks until one of the descriptions may be ready (True) or the deadline is over (False).

    wants: (description, POLL* mask) pairs; may be empty
    deadline_ns: CLOCK_MONOTONIC; None: no end
    Raises Interrupted when a signal must be handled.
    """
    reason = await _Park(wants, deadline_ns)
    if reason == INTERRUPTED:
        raise Interrupted
    return reason == READY


class WaitQueue:
    """Tasks that wait for something only Python knows of: a lock, a peer, a queue's room."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: list[Task] = []

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def wake_all(self) -> None:
        """Each looks again."""
        for task in self._tasks:
            lib.task_wake(task.c)

    def wake_one(self) -> None:
        """The one that has waited longest looks again."""
        if self._tasks:
            lib.task_wake(self._tasks[0].c)


async def wait_event(task: Task, queue: WaitQueue, deadline_ns: int | None = None) -> bool:
    """Parks until the queue is woken (True) or the deadline is over (False). Raises Interrupted."""
    queue._tasks.append(task)
    try:
        return await wait_ready(task, (), deadline_ns)
    finally:
        queue._tasks.remove(task)


def drive(task: Task, coroutine: Coroutine[_Park | _HostCall, int, int], reason: int | None = None) -> int:
    """Runs a handler's coroutine up to its result or its next wait (SENTRY_PARKED)."""
    send: Any = coroutine.send
    while True:
        try:
            park = send(reason)
        except StopIteration as result:
            task.pending = None
            return int(result.value)
        except BaseException:
            task.pending = None
            raise
        task.pending = coroutine
        if park.__class__ is _HostCall:
            padded = [value & 0xFFFFFFFFFFFFFFFF for value in park.args] + [0] * (6 - len(park.args))
            error = lib.task_host_call(task.c, park.nr, padded)
            if error == 0:
                return SENTRY_PARKED
            reason = INTERRUPTED  # it died, or has to start over
            continue
        count = len(park.wants)
        descs = ffi.new("struct description *[]", [desc for desc, _ in park.wants])
        events = ffi.new("uint32_t[]", [mask for _, mask in park.wants])
        deadline_ns = park.deadline_ns
        if deadline_ns is not None and deadline_ns <= lib.sentry_now_ns():
            deadline_ns = 1  # over already: the engine ends the wait in this turn of its loop
        error = lib.task_wait(task.c, descs, events, count, 0 if deadline_ns is None else deadline_ns)
        if error == 0:
            return SENTRY_PARKED
        reason = INTERRUPTED


def abandon(task: Task) -> None:
    """The task died while it waited: lets its coroutine undo what it began."""
    if task.pending is not None:
        pending, task.pending = task.pending, None
        try:
            pending.close()
        except Exception:
            internal_error("closing a parked call")


# ---- host descriptors that Python watches itself (terminal relay, signals, control sockets)

_watched: dict[int, Callable[[int], None]] = {}


def watch(fd: int, events: int, callback: Callable[[int], None]) -> None:
    """Calls callback(revents) in the sentry's loop whenever the host descriptor is ready (level-triggered)."""
    _watched[fd] = callback
    error = lib.sentry_watch(fd, events)
    if error == -1:  # EPERM: a regular file is always ready; the caller polls it by itself
        callback(events)
    elif error < 0:
        raise OSError(-error, "epoll_ctl")


def watch_quietly(fd: int, events: int, callback: Callable[[int], None]) -> None:
    """The same for a socket that seldom speaks: SIGIO tells of it, so that traps stay fast meanwhile (engine/hot.c)."""
    _watched[fd] = callback
    error = lib.sentry_watch_quietly(fd, events)
    if error < 0:
        raise OSError(-error, "epoll_ctl, O_ASYNC")


def unwatch(fd: int) -> None:
    """Stops watching; harmless if nobody did."""
    if _watched.pop(fd, None) is not None:
        lib.sentry_watch(fd, 0)


def ready(fd: int, revents: int) -> None:
    """The engine saw a watched descriptor."""
    callback = _watched.get(fd)
    if callback is not None:
        callback(revents)
