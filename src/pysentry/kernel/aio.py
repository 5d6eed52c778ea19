"""Contexts of asynchronous I/O, io_setup(2): what was submitted and has finished.

Every request runs to its end when it is submitted, as the host's does for files whose pages are in memory. A context
is named by the address of a page in the workload, where libaio looks for a ring and finds none it knows.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAGAIN, EINVAL
from pysentry.kernel import sysctl
from pysentry.kernel.wait import WaitQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import ThreadGroup

MAX_EVENTS = 0x10000000 // 32
_EVENT = Struct("=QQqq")  # struct io_event
_STATE = "aio"


class Context:
    """One context: room for `limit` requests that were submitted and not yet collected, at least the `asked` ones."""

    __slots__ = ("arrivals", "asked", "exec_count", "finished", "is_destroyed", "limit")

    def __init__(self, limit: int, exec_count: int) -> None:
        self.asked = limit
        self.limit = _ring_room(limit)
        self.exec_count = exec_count
        self.finished: list[bytes] = []
        self.is_destroyed = False
        self.arrivals = WaitQueue()

    def check_room(self) -> None:
        """EAGAIN: collect some first."""
        if len(self.finished) >= self.limit:
            raise EAGAIN("no room in the context")

    def finish(self, data: int, request: int, result: int) -> None:
        """Notes the end of a request."""
        self.finished.append(_EVENT.pack(data, request, result, 0))
        self.arrivals.wake_all()


def _ring_room(asked: int) -> int:
    """What fits into the whole pages that Linux' ring would have: ioctx_alloc(), aio_setup_ring()."""
    wanted = max(asked, 4 * (os.cpu_count() or 1)) * 2 + 2
    pages = (_EVENT.size * (wanted + 1) + 4095) // 4096
    return pages * 4096 // _EVENT.size - 2


def _contexts(group: ThreadGroup) -> dict[int, Context]:
    """A process's contexts by their address; exec leaves none."""
    kept: dict[int, Context] = group.state.setdefault(_STATE, {})
    for address, context in list(kept.items()):
        if context.exec_count != group.c.exec_count:
            del kept[address]
    return kept


def check_limit(group: ThreadGroup, count: int) -> None:
    """EINVAL, EAGAIN: as ioctx_alloc(); the limit holds for each process."""
    if count > MAX_EVENTS:
        raise EINVAL("nr_events")
    if not count or sum(c.asked for c in _contexts(group).values()) + count > sysctl.values[sysctl.AIO_MAX]:
        raise EAGAIN("aio-max-nr")


def add_context(group: ThreadGroup, address: int, count: int) -> None:
    """A new context at an address."""
    _contexts(group)[address] = Context(count, group.c.exec_count)


def find_context(group: ThreadGroup, address: int) -> Context:
    """EINVAL: there is none."""
    found = _contexts(group).get(address)
    if found is None:
        raise EINVAL("no such context")
    return found


def remove_context(group: ThreadGroup, address: int) -> None:
    """Who waits on it gets EINVAL."""
    context = find_context(group, address)
    del _contexts(group)[address]
    context.is_destroyed = True
    context.arrivals.wake_all()
