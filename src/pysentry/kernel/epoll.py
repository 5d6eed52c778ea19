"""epoll instances: epoll(7).

Owns what may be registered. Readiness, edges, one-shots, nesting and loops (ELOOP) are the host's; who is in which
instance is kept by native/engine/epoll_members.c.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EINVAL, EPERM, check
from pysentry.kernel import host
from pysentry.kernel.description import KINDS, POLLIN, Description, description_of, new_description
from pysentry.kernel.wait import wait_ready
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3
EVENT_SIZE = 12  # struct epoll_event is packed on x86-64
_EPOLLWAKEUP = 1 << 29
_EPOLLEXCLUSIVE = 1 << 28


class Epoll(Description):
    """One instance."""

    __slots__ = ()

    @staticmethod
    def create() -> Description:
        """epoll_create1(2)."""
        return new_description(lib.DESC_EPOLL, host.epoll_create(), os.O_RDWR)

    async def read(self, task: Task, iovs: object, offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("epoll")

    async def write(self, task: Task, iovs: object, offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("epoll")

    def control(self, operation: int, fd: int, target: CDescription, events: int, data: int) -> None:
        """epoll_ctl(2) of a pollable target: EEXIST, ENOENT, EINVAL, ELOOP as the man page has them."""
        if target == self.c:
            raise EINVAL("epoll in itself")
        events &= ~_EPOLLWAKEUP
        if operation == EPOLL_CTL_MOD and events & _EPOLLEXCLUSIVE:
            raise EINVAL("EPOLLEXCLUSIVE")  # whether there is such a member or not
        if operation == EPOLL_CTL_ADD:
            check(lib.epoll_member_add(self.c, target, fd, events, data))
        elif operation == EPOLL_CTL_MOD:
            check(lib.epoll_member_change(self.c, target, fd, events, data))
        elif operation == EPOLL_CTL_DEL:
            check(lib.epoll_member_drop(self.c, target, fd))
        else:
            raise EINVAL("operation")

    async def wait(self, task: Task, limit: int, deadline_ns: int | None) -> bytes:
        """Up to `limit` events, packed as the program gets them; empty at the deadline (0: do not wait)."""
        limit = min(limit, max(self.c.member_count, 1))
        events = host.epoll_wait_now(self.c.host_fd, limit)
        if events or deadline_ns == 0:
            return events
        lib.desc_ref(self.c)
        try:
            while await wait_ready(task, ((self.c, POLLIN),), deadline_ns):
                events = host.epoll_wait_now(self.c.host_fd, limit)
                if events:
                    break
        finally:
            lib.desc_unref(self.c)
        return events


def require_pollable(target: CDescription) -> None:
    """EPERM: it cannot be waited for."""
    if target.flags & lib.DESC_PY_POLL:
        description_of(target).make_pollable()
    if target.host_fd < 0 or target.kind in (lib.DESC_FILE, lib.DESC_DIR):
        raise EPERM("cannot be polled")


KINDS[lib.DESC_EPOLL] = Epoll
