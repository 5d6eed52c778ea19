"""POSIX message queues: their messages, who waits, who is told. mq_overview(7).

Names, owners and modes are those of files: vfs/filesystems/mqueue.py. Readiness is one host eventfd for each queue,
whose counter says empty, filled or full. Source: Linux ipc/mqueue.c.
"""

from __future__ import annotations

import os

from pysentry.abi.capability import CAP_SYS_RESOURCE
from pysentry.abi.errno import EAGAIN, EBADF, EBUSY, EINVAL, EMFILE, EMSGSIZE, ENOSPC, ETIMEDOUT, host_errors
from pysentry.kernel.description import O_ACCMODE, O_NONBLOCK, Description, description_of, new_description
from pysentry.kernel.task import on_task_exit
from pysentry.kernel.wait import WaitQueue, wait_event
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pysentry.kernel.task import Task, ThreadGroup
    from pysentry.platform.cdefs import CDescription

PRIORITY_MAX = 32768
MESSAGES_HARD_MAX, SIZE_HARD_MAX = 65536, 16 << 20
_FULL = 0xFFFFFFFFFFFFFFFE  # an eventfd at this count cannot be written
_MESSAGE_COST, _NODE_COST = 48, 48  # struct msg_msg, struct posix_msg_tree_node
_SI_MESGQ = -3
RLIMIT_MSGQUEUE = 12

limits: dict[str, list[int]] = {
    "msg_default": [10],
    "msg_max": [10],
    "msgsize_default": [8192],
    "msgsize_max": [8192],
    "queues_max": [256],
}
"""By the names of /proc/sys/fs/mqueue."""

_live: list[Mqueue] = []  # also those without a name


class Notice:
    """Who wants to be told of a message in an empty queue: mq_notify(2). `tell` gets the sender, or None when the
    registration ends otherwise."""

    __slots__ = ("group", "owner_pid", "signal", "tell")

    def __init__(self, group: ThreadGroup, signal: int, tell: Callable[[Task | None], None]) -> None:
        self.group = group
        self.owner_pid = group.pid
        self.signal = signal
        self.tell = tell


class Mqueue:
    """One queue. Messages are kept in the order in which they are received: by priority, then by age."""

    __slots__ = ("event_fd", "level", "messages", "most", "notice", "owner", "readers", "size", "writers")

    def __init__(self, owner: int, most: int, size: int) -> None:
        self.owner = owner  # uid, for RLIMIT_MSGQUEUE
        self.most, self.size = most, size
        self.messages: list[tuple[int, bytes]] = []  # priority, text
        self.readers, self.writers = WaitQueue(), WaitQueue()
        self.notice: Notice | None = None
        self.level = 0
        with host_errors():
            self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        _live.append(self)

    @staticmethod
    def make(task: Task, attributes: tuple[int, int] | None) -> Mqueue:
        """With (messages, bytes of one), or what /proc/sys/fs/mqueue says. EINVAL, ENOSPC, EMFILE."""
        most_max, size_max = limits["msg_max"][0], limits["msgsize_max"][0]
        is_free = task.has_cap(CAP_SYS_RESOURCE)
        if len(_live) >= limits["queues_max"][0] and not is_free:
            raise ENOSPC("queues_max")
        if attributes is None:
            most, size = min(limits["msg_default"][0], most_max), min(limits["msgsize_default"][0], size_max)
        else:
            most, size = attributes
            hard = (MESSAGES_HARD_MAX, SIZE_HARD_MAX) if is_free else (most_max, size_max)
            if not 0 < most <= hard[0] or not 0 < size <= hard[1]:
                raise EINVAL("mq_maxmsg or mq_msgsize")
        used = sum(each.cost() for each in _live if each.owner == task.cred.uid)
        if used + _cost(most, size) > task.c.group.rlimit_cur[RLIMIT_MSGQUEUE]:
            raise EMFILE("RLIMIT_MSGQUEUE")
        return Mqueue(task.cred.uid, most, size)

    def cost(self) -> int:
        """Bytes that count for RLIMIT_MSGQUEUE."""
        return _cost(self.most, self.size)

    def gone(self) -> None:
        """Neither a name nor a description is left."""
        _live.remove(self)
        os.close(self.event_fd)

    def put(self, task: Task, priority: int, text: bytes) -> None:
        """A message for who waits, or else for who comes; the first in an empty queue is told of."""
        at = len(self.messages)
        while at and self.messages[at - 1][0] < priority:
            at -= 1
        was_empty = not self.messages
        self.messages.insert(at, (priority, text))
        self._show_level()
        if self.readers:
            self.readers.wake_one()
        elif was_empty and self.notice is not None:
            notice, self.notice = self.notice, None
            notice.tell(task)

    def take(self) -> tuple[int, bytes]:
        """The message of the highest priority, the oldest of them."""
        first = self.messages.pop(0)
        self._show_level()
        self.writers.wake_one()
        return first

    def _show_level(self) -> None:
        count = len(self.messages)
        level = _FULL if count >= self.most else min(count, 1)
        if level == self.level:
            return
        if self.level:
            os.eventfd_read(self.event_fd)
        if level:
            os.eventfd_write(self.event_fd, level)
        self.level = level

    def register(self, notice: Notice) -> None:
        """EBUSY: somebody is registered."""
        if self.notice is not None:
            raise EBUSY("registered")
        self.notice = notice

    def unregister(self, group: ThreadGroup) -> None:
        """The process' registration ends, if it has one."""
        if self.notice is not None and self.notice.group is group:
            notice, self.notice = self.notice, None
            notice.tell(None)

    def status(self) -> bytes:
        """What read(2) of a queue says."""
        told = self.notice
        signal, pid = (told.signal, told.owner_pid) if told is not None else (0, 0)
        kind = 0 if signal >= 0 else 2 if signal == -2 else 1
        size = sum(len(text) for _, text in self.messages)
        return b"QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n" % (size, kind, max(signal, 0), pid)


def _cost(most: int, size: int) -> int:
    return most * (size + _MESSAGE_COST) + min(most, PRIORITY_MAX) * _NODE_COST


def notify_by_signal(group: ThreadGroup, signal: int, value: int) -> Callable[[Task | None], None]:
    """What Notice.tell does for SIGEV_SIGNAL."""

    def tell(sender: Task | None) -> None:
        leader = lib.task_find(group.tgid)
        if sender is not None and group.tasks and leader != ffi.NULL and signal:
            lib.task_queue_sent_signal(leader, signal, _SI_MESGQ, value, sender.group.pid, sender.cred.uid)

    return tell


class MqueueDescription(Description):
    """An open queue, by mq_open(2) or open(2)."""

    __slots__ = ("queue",)
    keeps_state = True

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.queue: Mqueue

    async def send(self, task: Task, text: bytes, priority: int, deadline_ns: int | None) -> None:
        """mq_timedsend(2), arguments checked. EAGAIN: O_NONBLOCK; ETIMEDOUT."""
        queue = self.queue
        lib.desc_ref(self.c)
        try:
            while len(queue.messages) >= queue.most:
                await self._wait(task, queue.writers, deadline_ns)
            queue.put(task, priority, text)
        finally:
            lib.desc_unref(self.c)

    async def receive(self, task: Task, deadline_ns: int | None) -> tuple[int, bytes]:
        """mq_timedreceive(2): (priority, text)."""
        queue = self.queue
        lib.desc_ref(self.c)
        try:
            while not queue.messages:
                await self._wait(task, queue.readers, deadline_ns)
            return queue.take()
        finally:
            lib.desc_unref(self.c)

    async def _wait(self, task: Task, waiting: WaitQueue, deadline_ns: int | None) -> None:
        if self.is_nonblocking:
            raise EAGAIN("queue")
        if not await wait_event(task, waiting, deadline_ns):
            raise ETIMEDOUT("queue")

    def host_read(self, size: int, offset: int | None) -> bytes:
        at = self.c.pos if offset is None else offset
        data = self.queue.status()[at : at + size]
        if offset is None:
            self.c.pos = at + len(data)
        return data

    def unread(self, count: int) -> None:
        self.c.pos -= count

    async def write(self, task: Task, iovs: Sequence[tuple[int, int]], offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("mq_timedsend sends")

    def seek(self, offset: int, whence: int) -> int:
        at = offset if whence == os.SEEK_SET else self.c.pos + offset
        if whence not in (os.SEEK_SET, os.SEEK_CUR) or at < 0:
            raise EINVAL("position")
        self.c.pos = at
        return int(at)

    def sync(self, data_only: bool) -> None:
        raise EINVAL("nothing to write back")


def describe(queue: Mqueue, flags: int) -> CDescription:
    """An open queue, with one reference."""
    with host_errors():
        host_fd = os.dup(queue.event_fd)
    made = new_description(lib.DESC_PYTHON, host_fd, flags, MqueueDescription)
    assert isinstance(made, MqueueDescription)
    made.queue = queue
    made.c.flags |= lib.DESC_PY_READ | lib.DESC_PY_WRITE
    return made.c


def opened(task: Task, fd: int, forbidden: int | None = None) -> MqueueDescription:
    """The queue at a descriptor number. EBADF: none, or opened with the access mode `forbidden`."""
    c = task.fd_table.get(fd)
    found = description_of(c)
    if not isinstance(found, MqueueDescription) or c.open_flags & O_ACCMODE == forbidden:
        raise EBADF("not such a queue")
    return found


def attributes(found: MqueueDescription) -> tuple[int, int, int, int]:
    """mq_flags, mq_maxmsg, mq_msgsize, mq_curmsgs."""
    queue = found.queue
    return found.c.open_flags & O_NONBLOCK, queue.most, queue.size, len(queue.messages)


def check_size(queue: Mqueue, size: int, is_whole: bool) -> None:
    """EMSGSIZE: a message that is too long, or a buffer that is too small (`is_whole`)."""
    if size < queue.size if is_whole else size > queue.size:
        raise EMSGSIZE("message")


def on_fd_closed(task: Task, c: CDescription) -> None:
    """A process that closes a descriptor of a queue is not told any more: mqueue_flush_file()."""
    if c.kind == lib.DESC_PYTHON:
        found = description_of(c)
        if isinstance(found, MqueueDescription):
            found.queue.unregister(task.group)


def _task_ended(task: Task) -> None:
    if _live and task.c.group.refs == 1:
        for queue in _live:
            if queue.notice is not None and queue.notice.group is task.group:
                queue.notice = None


on_task_exit.append(_task_ended)
