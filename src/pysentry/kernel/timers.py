"""Timers of the sentry: callbacks at a time of CLOCK_MONOTONIC, one heap for all (itimers, POSIX timers, limits)."""

from __future__ import annotations

from _heapq import heappop, heappush

from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_heap: list[tuple[int, int, Timer]] = []
_count = 0


class Timer:
    """One callback in the future; `cancel()` forgets it. `deadline_ns` is CLOCK_MONOTONIC."""

    __slots__ = ("callback", "deadline_ns")

    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None
        _forget_cancelled()


def call_at(deadline_ns: int, callback: Callable[[], None]) -> Timer:
    """Calls back in the sentry's loop, at or after the deadline."""
    global _count
    _count += 1
    timer = Timer(deadline_ns, callback)
    heappush(_heap, (deadline_ns, _count, timer))
    _arm()
    return timer


def run_due() -> None:
    """The engine's timer went off."""
    now = lib.sentry_now_ns()
    while _heap and _heap[0][0] <= now:
        timer = heappop(_heap)[2]
        if timer.callback is not None:
            callback, timer.callback = timer.callback, None
            callback()
    _forget_cancelled()


def _forget_cancelled() -> None:
    while _heap and _heap[0][2].callback is None:
        heappop(_heap)
    _arm()


def _arm() -> None:
    lib.sentry_set_timer(_heap[0][0] if _heap else 0)
