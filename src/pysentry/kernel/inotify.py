"""inotify instances: watches on inodes and queues of events. inotify(7).

Owns watches and queues; who changes something says so (vfs/notify). An inode that is watched, itself or as a directory,
carries INODE_WATCHED, so that fast paths leave its changes to Python. Only changes made in the sandbox are seen.
Readiness is a host eventfd that is readable while the queue is not empty.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAGAIN, EEXIST, EFAULT, EINVAL, EMFILE, ENOSPC, host_errors
from pysentry.kernel.description import KINDS, O_NONBLOCK, POLLIN, Description, new_description
from pysentry.kernel.sysctl import INOTIFY_MAX_INSTANCES, INOTIFY_MAX_QUEUED, INOTIFY_MAX_WATCHES, values
from pysentry.kernel.wait import wait_ready
from pysentry.platform.native import lib
from pysentry.vfs import notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock

    class Listener(Protocol):
        """An inotify instance, or what kernel/dnotify makes of one."""

        watches: dict[int, Watch]

        def put(self, wd: int, mask: int, name: bytes, cookie: int) -> None: ...
        def remove(self, wd: int) -> None: ...

IN_ALL_EVENTS = 0xFFF
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED = 0x2000, 0x4000, 0x8000
IN_MASK_CREATE, IN_MASK_ADD, IN_ONESHOT = 0x10000000, 0x20000000, 0x80000000
_EVENT = Struct("=iIII")  # wd, mask, cookie, len
_FIONREAD = 0x541B
_INT32 = Struct("=i")

_watchers: dict[int, list[Watch]] = {}  # by inode id
_instances = 0


class Watch:
    """One listener's interest in one inode. The dentry is held, so that the file keeps its inode."""

    __slots__ = ("dentry", "instance", "mask", "wd")

    def __init__(self, instance: Listener, wd: int, dentry: CDentry, mask: int) -> None:
        self.instance, self.wd, self.dentry, self.mask = instance, wd, dentry, mask


class Inotify(Description):
    """One instance."""

    __slots__ = ("last_wd", "queue", "watches")
    keeps_state = True

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.watches: dict[int, Watch] = {}
        self.queue: list[bytes] = []
        self.last_wd = 0

    @staticmethod
    def create(status: int) -> Inotify:
        """inotify_init1(2); `status`: O_NONBLOCK or 0."""
        global _instances
        if _instances >= values[INOTIFY_MAX_INSTANCES]:
            raise EMFILE("max_user_instances")
        _instances += 1
        with host_errors():
            host_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        made = new_description(lib.DESC_INOTIFY, host_fd, os.O_RDONLY | status & O_NONBLOCK, Inotify)
        assert isinstance(made, Inotify)
        return made

    def add(self, dentry: CDentry, mask: int) -> int:
        """The watch descriptor of an inode, new or changed: inotify_add_watch(2)."""
        inode = dentry.inode
        for watch in _watchers.get(inode.id, ()):
            if watch.instance is self:
                if mask & IN_MASK_CREATE:
                    raise EEXIST("watched already")
                watch.mask = watch.mask | mask if mask & IN_MASK_ADD else mask
                return watch.wd
        if sum(map(len, _watchers.values())) >= values[INOTIFY_MAX_WATCHES]:
            raise ENOSPC("max_user_watches")
        self.last_wd += 1
        watch = Watch(self, self.last_wd, dentry, mask)
        self.watches[watch.wd] = watch
        attach_watch(watch)
        return watch.wd

    def remove(self, wd: int) -> None:
        """inotify_rm_watch(2). EINVAL: no such watch."""
        watch = self.watches.pop(wd, None)
        if watch is None:
            raise EINVAL("no such watch")
        detach_watch(watch)
        self.put(wd, IN_IGNORED, b"", 0)

    def put(self, wd: int, mask: int, name: bytes, cookie: int) -> None:
        """Queues an event, unless it repeats the last one or the queue is full."""
        padded = name.ljust((len(name) + _EVENT.size) // _EVENT.size * _EVENT.size, b"\0") if name else b""
        event = _EVENT.pack(wd, mask, cookie, len(padded)) + padded
        if self.queue and self.queue[-1] == event:
            return
        if len(self.queue) >= values[INOTIFY_MAX_QUEUED]:
            event = _EVENT.pack(-1, IN_Q_OVERFLOW, 0, 0)
            if self.queue[-1] == event:
                return
        self.queue.append(event)
        if len(self.queue) == 1:
            os.eventfd_write(self.c.host_fd, 1)

    async def read(
        self, task: Task, iovs: Sequence[tuple[int, int]], offset: int | None = None, rwf: int = 0
    ) -> int:
        """As many whole events as fit. EINVAL: the first one does not."""
        size = sum(length for _, length in iovs)
        lib.desc_ref(self.c)
        try:
            while not self.queue:
                if self.is_nonblocking:
                    raise EAGAIN("no event")
                await wait_ready(task, ((self.c, POLLIN),))
        finally:
            lib.desc_unref(self.c)
        count, total = 0, 0
        while count < len(self.queue) and total + len(self.queue[count]) <= size:
            total += len(self.queue[count])
            count += 1
        if not count:
            raise EINVAL("smaller than the next event")
        taken = self.queue[:count]
        try:
            placed = task.memory.scatter(iovs, b"".join(taken))
        except EFAULT:
            placed = 0
        if placed < total:  # those before the fault and the one in it are lost: inotify_read()
            count = next(n for n in range(1, count + 1) if sum(map(len, taken[:n])) > placed)
        del self.queue[:count]
        if not self.queue:
            os.eventfd_read(self.c.host_fd)
        if placed < total:
            raise EFAULT("events")
        return total

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        if request == _FIONREAD:
            task.memory.write_struct(argument, _INT32, sum(map(len, self.queue)))
            return 0
        return await super().ioctl(task, fd, request, argument)

    def info(self) -> bytes:
        return b"".join(
            b"inotify wd:%x ino:%x sdev:%x mask:%x ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:%s\n"
            % (
                watch.wd,
                watch.dentry.inode.ino,
                watch.dentry.inode.dev,
                watch.mask,
                watch.dentry.inode.id.to_bytes(8, "little").hex().encode(),
            )
            for watch in self.watches.values()
        )

    def closed(self) -> None:
        for watch in self.watches.values():
            detach_watch(watch)
        self.watches.clear()
        global _instances
        _instances -= 1


KINDS[lib.DESC_INOTIFY] = Inotify


def attach_watch(watch: Watch) -> None:
    """Its listener hears of the inode from now on."""
    inode = watch.dentry.inode
    lib.dentry_ref(watch.dentry)
    _watchers.setdefault(inode.id, []).append(watch)
    inode.flags |= lib.INODE_WATCHED
    notify.listener, notify.unmount_listener = _on_event, _on_unmount


def detach_watch(watch: Watch) -> None:
    """Takes attach_watch() back."""
    inode = watch.dentry.inode
    rest = [other for other in _watchers[inode.id] if other is not watch]
    if rest:
        _watchers[inode.id] = rest
    else:
        del _watchers[inode.id]
        inode.flags &= ~lib.INODE_WATCHED
        if not _watchers:
            notify.listener = notify.unmount_listener = None
    lib.dentry_unref(watch.dentry)


def _on_event(inode: CInode, mask: int, name: bytes, cookie: int) -> None:
    """vfs/notify: something happened to an inode that is watched."""
    kind = mask & IN_ALL_EVENTS
    for watch in list(_watchers.get(inode.id, ())):
        is_gone = bool(kind & notify.IN_DELETE_SELF)
        if mask & watch.mask & notify.UNLINKED:
            continue
        if watch.mask & kind:
            watch.instance.put(watch.wd, mask & ~notify.UNLINKED, name, cookie)
            is_gone = is_gone or bool(watch.mask & IN_ONESHOT)
        if is_gone and watch.wd in watch.instance.watches:
            watch.instance.remove(watch.wd)


def _on_unmount(sb: CSuperblock) -> None:
    """vfs/notify: a file system is gone, and with it the watches in it."""
    for watch in [watch for watches in _watchers.values() for watch in watches]:
        if watch.dentry.sb == sb:
            watch.instance.put(watch.wd, IN_UNMOUNT, b"", 0)
            watch.instance.remove(watch.wd)
