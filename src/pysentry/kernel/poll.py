"""Waiting for one of several descriptions: what poll(2), select(2) and their kin share.

Owns readiness of a set and the signal mask of the wait. Does not own the layout of anybody's arguments
(syscalls/poll) nor parking (kernel/wait). The truth is one host poll() with timeout 0; parking only says when to ask
again.
"""

from __future__ import annotations

import time
from struct import Struct

from pysentry.abi.errno import EINVAL
from pysentry.kernel import host
from pysentry.kernel.description import POLLNVAL, description_of
from pysentry.kernel.wait import wait_ready
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

    Wants = Sequence[tuple[CDescription | None, int]]

_SIGSET = Struct("=Q")
NO_WAIT = 0  # a deadline that has passed
_LATEST_NS = (1 << 63) - 1


def deadline_after(seconds: int, nanoseconds: int) -> int:
    """The CLOCK_MONOTONIC deadline of a relative timeout; NO_WAIT for zero. EINVAL unless it is a valid timespec."""
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise EINVAL("timeout")
    if not seconds and not nanoseconds:
        return NO_WAIT
    return min(time.monotonic_ns() + seconds * 1_000_000_000 + nanoseconds, _LATEST_NS)


def remaining(deadline_ns: int) -> tuple[int, int]:
    """(seconds, nanoseconds) until a deadline, zero once it has passed."""
    return divmod(max(deadline_ns - time.monotonic_ns(), 0), 1_000_000_000)


def ready_now(wants: Wants) -> list[int]:
    """Which of its events each (description, events) has. None, a descriptor that is not open, is POLLNVAL.

    poll(2) always wants POLLERR and POLLHUP, select(2) does not: the caller says."""
    result = [0] * len(wants)
    asked: list[tuple[int, int]] = []
    places: list[int] = []
    for place, (c, events) in enumerate(wants):
        if c is None:
            result[place] = POLLNVAL
        elif c.host_fd < 0 or c.flags & lib.DESC_PY_POLL:
            result[place] = description_of(c).poll_mask() & events
        else:
            asked.append((c.host_fd, events))
            places.append(place)
    for place, (_, events), revents in zip(places, asked, host.poll_now(asked), strict=True):
        result[place] = revents & events
    return result


def use_signal_mask(task: Task, address: UserAddr, size: int) -> None:
    """The mask that ppoll and its kin wait under, if the program passes one; the engine swaps it when a signal
    ends the wait. EINVAL for a size that is not the kernel's."""
    if not address:
        return
    if size != _SIGSET.size:
        raise EINVAL("sigsetsize")
    (mask,) = task.memory.read_struct(address, _SIGSET)
    task.c.wait_mask = mask
    task.c.wait_mask_addr = address
    task.c.has_wait_mask = 1


async def wait_for_any(task: Task, wants: Wants, deadline_ns: int | None) -> list[int]:
    """revents of each (description, events) as soon as one is not zero, or all zeros at the deadline.

    Raises Interrupted."""
    result = ready_now(wants)
    if any(result):
        return result
    if deadline_ns == NO_WAIT:
        return result
    parked = [(c, events) for c, events in wants if c is not None]
    for c, _ in parked:
        lib.desc_ref(c)
    try:
        while await wait_ready(task, parked, deadline_ns):
            result = ready_now(wants)
            if any(result):
                return result
        return result
    finally:
        for c, _ in parked:
            lib.desc_unref(c)
