"""Leases: fcntl(2) F_SETLEASE, F_GETLEASE.

Who holds one hears of an open that conflicts before it is done, and has fs.lease-break-time to give way. Owns leases,
per inode, among the sandbox's processes; what others on the host open in a bind is not seen, nor does execve(2) break
one. A leased inode carries INODE_LEASED, so that fast paths leave opens and truncations to Python.
"""

from __future__ import annotations

import os

from pysentry.abi.capability import CAP_LEASE
from pysentry.abi.errno import EACCES, EAGAIN, EINVAL
from pysentry.kernel import sysctl
from pysentry.kernel.description import O_ACCMODE, O_NONBLOCK, watch_close
from pysentry.kernel.sigio import POLL_MSG, owner_of
from pysentry.kernel.wait import WaitQueue, wait_event
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription, CInode

F_RDLCK, F_WRLCK, F_UNLCK = 0, 1, 2
_SECOND_NS = 1_000_000_000


class _Lease:
    """One description's lease. `becomes`: what it must be soon (F_RDLCK, F_UNLCK); None: nobody is in its way."""

    __slots__ = ("becomes", "c", "deadline_ns", "fd", "kind")

    def __init__(self, c: CDescription, fd: int, kind: int) -> None:
        self.c, self.fd, self.kind = c, fd, kind
        self.becomes: int | None = None
        self.deadline_ns = 0  # 0: it may take as long as it likes

    def conflicts(self, is_write: bool) -> bool:
        return is_write or self.kind == F_WRLCK

    def must_become(self, kind: int) -> None:
        """Its holder is told, once for each demand."""
        if self.becomes == F_UNLCK or self.becomes == kind:
            return
        self.becomes = kind
        seconds = sysctl.values[sysctl.LEASE_BREAK_TIME]
        self.deadline_ns = lib.sentry_now_ns() + seconds * _SECOND_NS if seconds else 0
        owner_of(self.c).send(self.fd, POLL_MSG)


class _FileLeases:
    """All leases of one inode."""

    __slots__ = ("changed", "held", "inode")

    def __init__(self, inode: CInode) -> None:
        self.inode = inode
        self.held: list[_Lease] = []
        self.changed = WaitQueue()

    def of(self, c: CDescription) -> _Lease | None:
        return next((lease for lease in self.held if lease.c == c), None)

    def put(self, c: CDescription, fd: int, kind: int) -> None:
        lease = self.of(c)
        if lease is None:
            self.held.append(_Lease(c, fd, kind))
            watch_close(c, self)
        else:
            lease.kind, lease.becomes = kind, None
            self.changed.wake_all()
        _files[self.inode.id] = self
        self.inode.flags |= lib.INODE_LEASED

    def drop(self, lease: _Lease) -> None:
        if lease not in self.held:
            return
        self.held.remove(lease)
        self.changed.wake_all()
        if not self.held:
            del _files[self.inode.id]
            self.inode.flags &= ~lib.INODE_LEASED

    def expire(self, now_ns: int) -> None:
        """Whose time is over loses what it was asked to give up."""
        for lease in [each for each in self.held if each.becomes is not None and 0 < each.deadline_ns <= now_ns]:
            if lease.becomes == F_RDLCK:
                lease.kind, lease.becomes = F_RDLCK, None
                self.changed.wake_all()
            else:
                self.drop(lease)

    def target_closed(self, identity: int) -> None:
        """The last close of a description that may hold a lease."""
        for lease in [lease for lease in self.held if lease.c.id == identity]:
            self.drop(lease)


_files: dict[int, _FileLeases] = {}  # by inode


def get_lease(c: CDescription) -> int:
    """F_GETLEASE: F_RDLCK, F_WRLCK, or F_UNLCK for none; of one that is being broken what it must become."""
    file = _files.get(c.inode.id) if c.inode != ffi.NULL else None
    lease = file.of(c) if file is not None else None
    if lease is None:
        return F_UNLCK
    return lease.kind if lease.becomes is None else lease.becomes


def set_lease(task: Task, c: CDescription, fd: int, kind: int) -> int:
    """F_SETLEASE: generic_setlease() of Linux fs/locks.c. EAGAIN: others have the file open in the way of it."""
    if kind not in (F_RDLCK, F_WRLCK, F_UNLCK):
        raise EINVAL("F_SETLEASE")
    inode = c.inode
    if c.kind != lib.DESC_FILE or inode == ffi.NULL:
        raise EINVAL("no regular file")
    file = _files.get(inode.id)
    own = file.of(c) if file is not None else None
    if kind == F_UNLCK:
        if file is None or own is None:
            raise EAGAIN("no lease")
        file.drop(own)
        return 0
    if task.cred.fsuid != inode.uid and not task.has_cap(CAP_LEASE):
        raise EACCES("F_SETLEASE")
    if _is_open_in_the_way(c, kind):
        raise EAGAIN("open")
    for other in file.held if file is not None else ():
        if other is not own and (kind == F_WRLCK or other.becomes == F_UNLCK):
            raise EAGAIN("leased")
    (file or _FileLeases(inode)).put(c, fd, kind)
    owner_of(c).set_default(task)
    return 0


def _is_open_in_the_way(c: CDescription, kind: int) -> bool:
    """F_RDLCK: somebody, or the holder, has it open for writing; F_WRLCK: somebody else has it open at all."""
    seen = set()
    task = lib.task_first()
    while task != ffi.NULL:
        table = task.files
        for number in range(table.capacity if table != ffi.NULL else 0):
            other = table.slots[number].desc
            if other == ffi.NULL or other.id in seen or other.inode != c.inode or other.kind != lib.DESC_FILE:
                continue
            seen.add(other.id)
            if kind == F_WRLCK and other.id != c.id:
                return True
            if kind == F_RDLCK and other.open_flags & O_ACCMODE != os.O_RDONLY:
                return True
        task = task.all_next
    return False


async def break_lease(task: Task, inode: CInode, flags: int) -> None:
    """Waits until no lease is in the way of an open with these flags: break_lease(). EAGAIN: O_NONBLOCK."""
    is_write = flags & O_ACCMODE != os.O_RDONLY
    lib.inode_ref(inode)
    try:
        while True:
            file = _files.get(inode.id)
            if file is not None:
                file.expire(lib.sentry_now_ns())
            in_the_way = [lease for lease in file.held if lease.conflicts(is_write)] if file is not None else []
            if file is None or not in_the_way:
                return
            for lease in in_the_way:
                lease.must_become(F_UNLCK if is_write else F_RDLCK)
            if flags & O_NONBLOCK:
                raise EAGAIN("leased")
            deadlines = [lease.deadline_ns for lease in in_the_way if lease.deadline_ns]
            await wait_event(task, file.changed, min(deadlines, default=None))
    finally:
        lib.inode_unref(inode)
