"""epoll instances: epoll(7).

Owns who is registered under which number. Readiness, edges, one-shots, nesting and loops (ELOOP) are the host's: behind
each instance is a host epoll instance, and its members are the members' host descriptors, with the program's own data.

Linux's key is (open file description, number): a descriptor and its dup are two members. Their host descriptor is the
same one, so the second gets a duplicate of it, which lives until the description's last close: then Linux drops
all members of it, and so do we, by hand, because the workload may hold the same host file (an installed terminal).
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EBADF, EEXIST, EINVAL, ENOENT, EPERM, LinuxError, host_errors
from pysentry.kernel import host
from pysentry.kernel.description import KINDS, POLLIN, Description, new_description, unwatch_close, watch_close
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
_MOST_AT_ONCE = 1024


class Epoll(Description):
    """One instance."""

    __slots__ = ("duplicates", "members")
    keeps_state = True

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.members: dict[tuple[int, int], int] = {}  # (description id, number) -> host descriptor
        self.duplicates: set[int] = set()  # those of them that are ours to close

    @staticmethod
    def create() -> Description:
        """epoll_create1(2)."""
        return new_description(lib.DESC_EPOLL, host.epoll_create(), os.O_RDWR)

    async def read(self, task: Task, iovs: object, offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("epoll")

    async def write(self, task: Task, iovs: object, offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("epoll")

    def control(self, operation: int, fd: int, target: CDescription, events: int, data: int) -> None:
        """epoll_ctl(2). EPERM: cannot be waited for; EEXIST, ENOENT, EINVAL, ELOOP as the man page has them."""
        if target.kind == lib.DESC_PATH:
            raise EBADF("O_PATH")
        if target.host_fd < 0 or target.kind in (lib.DESC_FILE, lib.DESC_DIR):
            raise EPERM("cannot be polled")
        if target == self.c:
            raise EINVAL("epoll in itself")
        key = (target.id, fd)
        member = self.members.get(key)
        events &= ~_EPOLLWAKEUP
        if operation == EPOLL_CTL_ADD:
            if member is not None:
                raise EEXIST("already a member")
            self._add(key, target, events, data)
        elif operation not in (EPOLL_CTL_MOD, EPOLL_CTL_DEL):
            raise EINVAL("operation")
        elif member is None:
            raise ENOENT("not a member")
        elif operation == EPOLL_CTL_MOD:
            host.epoll_ctl(self.c.host_fd, EPOLL_CTL_MOD, member, events, data)
        else:
            self._drop(key)
            if not any(identity == target.id for identity, _ in self.members):
                unwatch_close(target.id, self)

    def _add(self, key: tuple[int, int], target: CDescription, events: int, data: int) -> None:
        member = target.host_fd
        if member in self.members.values():
            with host_errors():
                member = os.dup(member)
        try:
            host.epoll_ctl(self.c.host_fd, EPOLL_CTL_ADD, member, events, data)
        except LinuxError:
            if member != target.host_fd:
                os.close(member)
            raise
        if member != target.host_fd:
            self.duplicates.add(member)
        self.members[key] = member
        watch_close(target, self)

    def _drop(self, key: tuple[int, int]) -> None:
        member = self.members.pop(key)
        try:
            host.epoll_ctl(self.c.host_fd, EPOLL_CTL_DEL, member, 0, 0)
        finally:
            if member in self.duplicates:
                self.duplicates.remove(member)
                os.close(member)

    def target_closed(self, identity: int) -> None:
        """The last descriptor of a member was closed; its host descriptor is still open."""
        for key in [key for key in self.members if key[0] == identity]:
            self._drop(key)

    def closed(self) -> None:
        for identity, _ in self.members:
            unwatch_close(identity, self)
        for member in self.duplicates:
            os.close(member)
        self.members.clear()

    async def wait(self, task: Task, limit: int, deadline_ns: int | None) -> bytes:
        """Up to `limit` events, packed as the program gets them; empty at the deadline (0: do not wait)."""
        limit = min(limit, _MOST_AT_ONCE)
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


KINDS[lib.DESC_EPOLL] = Epoll
