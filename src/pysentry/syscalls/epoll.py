"""epoll_create(2), epoll_ctl(2), epoll_wait(2) and kin."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EBADF, EFAULT, EINTR, EINVAL
from pysentry.kernel.description import description_of
from pysentry.kernel.epoll import EPOLL_CTL_DEL, EVENT_SIZE, Epoll, require_pollable
from pysentry.kernel.poll import deadline_after, use_signal_mask
from pysentry.kernel.wait import Interrupted
from pysentry.platform.native import lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_EVENT = Struct("=IQ")
_TIMESPEC = Struct("=qq")
_EPOLL_CLOEXEC = 0o2000000
_TASK_SIZE = 0x7FFFFFFFF000


@syscall
def epoll_create(task: Task, size: int) -> int:
    if size <= 0:
        raise EINVAL("size")
    return epoll_create1(task, 0)


@syscall
def epoll_create1(task: Task, flags: int) -> int:
    if flags & ~_EPOLL_CLOEXEC:
        raise EINVAL("flags")
    return task.fd_table.alloc(Epoll.create().c, cloexec=bool(flags & _EPOLL_CLOEXEC))


@syscall
def epoll_ctl(task: Task, epfd: int, op: int, fd: int, event: UserAddr) -> int:
    events, data = (0, 0) if op == EPOLL_CTL_DEL else task.memory.read_struct(event, _EVENT)
    epoll, target = task.fd_table.get(epfd), task.fd_table.get(fd)
    if lib.DESC_PATH in (epoll.kind, target.kind):
        raise EBADF("O_PATH")
    require_pollable(target)
    _instance(description_of(epoll)).control(op, fd, target, events, data)
    return 0


@syscall(restart="nohand")
async def epoll_wait(task: Task, epfd: int, events: UserAddr, maxevents: int, timeout_ms: int) -> int:
    deadline_ns = None if timeout_ms < 0 else deadline_after(*divmod(timeout_ms * 1_000_000, 1_000_000_000))
    return await _wait(task, epfd, events, maxevents, deadline_ns)


@syscall(restart="nohand")
async def epoll_pwait(
    task: Task, epfd: int, events: UserAddr, maxevents: int, timeout_ms: int, sigmask: UserAddr, sigsetsize: int
) -> int:
    use_signal_mask(task, sigmask, sigsetsize)
    return await epoll_wait(task, epfd, events, maxevents, timeout_ms)


@syscall(restart="nohand")
async def epoll_pwait2(
    task: Task, epfd: int, events: UserAddr, maxevents: int, timeout: UserAddr, sigmask: UserAddr, sigsetsize: int
) -> int:
    deadline_ns = deadline_after(*task.memory.read_struct(timeout, _TIMESPEC)) if timeout else None
    use_signal_mask(task, sigmask, sigsetsize)
    return await _wait(task, epfd, events, maxevents, deadline_ns)


async def _wait(task: Task, epfd: int, events: UserAddr, maxevents: int, deadline_ns: int | None) -> int:
    """A signal ends it with EINTR always: signal(7), epoll_wait is never restarted."""
    if not 0 < maxevents <= 0x7FFFFFFF // EVENT_SIZE:
        raise EINVAL("maxevents")
    if events + maxevents * EVENT_SIZE > _TASK_SIZE:
        raise EFAULT("events")
    c = task.fd_table.get(epfd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    epoll = _instance(description_of(c))
    try:
        found = await epoll.wait(task, maxevents, deadline_ns)
    except Interrupted:
        if task.c.has_wait_mask:
            raise  # the engine swaps masks first, and answers EINTR
        raise EINTR from None
    if found:
        task.memory.write(events, found)
    return len(found) // EVENT_SIZE


def _instance(description: object) -> Epoll:
    if not isinstance(description, Epoll):
        raise EINVAL("not an epoll descriptor")
    return description
