"""File locks: flock(2), fcntl(2) record locks, open file description locks.

Owns all three, per inode, among the sandbox's processes; a host process that locks the same bound file is not seen.
Owners as in Linux: record locks belong to the descriptor table (a process, or threads that share it), the two others to
the open file description. Record locks go when the owner closes any descriptor of the file, the others at the last
close. A waiting lock is woken at each release and tries again.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAGAIN, EBADF, EDEADLK, EINVAL, EOVERFLOW
from pysentry.kernel.description import DESC_OWN_POS, O_ACCMODE, description_of, watch_close
from pysentry.kernel.wait import WaitQueue, wait_event
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription, CFdTable, CInode

    # ("table" | "description", address or id): who holds a lock
    Owner = tuple[str, int]

F_GETLK, F_SETLK, F_SETLKW = 5, 6, 7
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
F_RDLCK, F_WRLCK, F_UNLCK = 0, 1, 2
LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8
_FLOCK = Struct("=hh4xqqi4x")  # struct flock
_OFFSET_MAX = (1 << 63) - 1
_TABLE, _DESCRIPTION = "table", "description"


class _Range:
    """One record lock: bytes `start` to `end`, both included."""

    __slots__ = ("end", "kind", "owner", "pid", "start")

    def __init__(self, start: int, end: int, kind: int, owner: Owner, pid: int) -> None:
        self.start, self.end, self.kind, self.owner, self.pid = start, end, kind, owner, pid

    def conflicts(self, start: int, end: int, kind: int, owner: Owner) -> bool:
        return (
            self.owner != owner
            and self.start <= end
            and start <= self.end
            and F_WRLCK in (self.kind, kind)
        )


class _FileLocks:
    """All locks of one file."""

    __slots__ = ("flock_pids", "flocks", "inode", "key", "ranges", "released")

    def __init__(self, key: int, inode: CInode | None) -> None:
        self.key = key
        self.inode = inode
        self.ranges: list[_Range] = []
        self.flocks: dict[int, int] = {}  # description id -> LOCK_SH or LOCK_EX
        self.flock_pids: dict[int, int] = {}  # who took them
        self.released = WaitQueue()

    def blocker(self, start: int, end: int, kind: int, owner: Owner) -> _Range | None:
        """The first lock of somebody else that stands in the way."""
        return next((held for held in self.ranges if held.conflicts(start, end, kind, owner)), None)

    def replace(self, start: int, end: int, kind: int, owner: Owner, pid: int) -> None:
        """What the owner holds of these bytes becomes `kind`; the rest of what it holds stays. Neighbours join."""
        kept: list[_Range] = []
        for held in self.ranges:
            is_apart = held.end < start - 1 or held.start > end + 1
            if held.owner != owner or is_apart or (held.kind != kind and not _overlap(held, start, end)):
                kept.append(held)
            elif held.kind == kind:
                start, end = min(start, held.start), max(end, held.end)
            else:
                if held.start < start:
                    kept.append(_Range(held.start, start - 1, held.kind, owner, held.pid))
                if held.end > end:
                    kept.append(_Range(end + 1, held.end, held.kind, owner, held.pid))
        if kind != F_UNLCK:
            kept.append(_Range(start, end, kind, owner, pid))
        kept.sort(key=lambda held: held.start)
        self.ranges = kept
        self.changed()

    def drop_owner(self, owner: Owner) -> None:
        """Everything that one owner holds of this file goes."""
        if any(held.owner == owner for held in self.ranges):
            self.ranges = [held for held in self.ranges if held.owner != owner]
            self.changed()

    def drop_flock(self, identity: int) -> None:
        """The flock of one description goes."""
        if self.flocks.pop(identity, None) is not None:
            del self.flock_pids[identity]
            self.changed()

    def changed(self) -> None:
        """Wakes who waits, and forgets the file when nothing is locked."""
        self.released.wake_all()
        if not self.ranges and not self.flocks:
            _files.pop(self.key, None)
            if self.inode is not None:
                self.inode.flags &= ~lib.INODE_LOCKS

    def target_closed(self, identity: int) -> None:
        """The last close of a description that holds a lock here."""
        self.drop_flock(identity)
        self.drop_owner((_DESCRIPTION, identity))


def _overlap(held: _Range, start: int, end: int) -> bool:
    return held.start <= end and start <= held.end


_files: dict[int, _FileLocks] = {}
_waiting: dict[Owner, Owner] = {}  # record locks: who waits for whom


def _file_of(c: CDescription) -> _FileLocks:
    """The locks of the file behind a description, which stays known only if one is taken."""
    inode = c.inode if c.inode != ffi.NULL else None
    key = inode.id if inode is not None else -c.id
    found = _files.get(key)
    return found if found is not None else _FileLocks(key, inode)


def _keep(file: _FileLocks) -> None:
    _files[file.key] = file
    if file.inode is not None:
        file.inode.flags |= lib.INODE_LOCKS


def _table_owner(table: CFdTable) -> Owner:
    return _TABLE, int(ffi.cast("uintptr_t", table))


# ---- flock(2) ---------------------------------------------------------------------------------------------------


async def flock(task: Task, c: CDescription, operation: int) -> None:
    """flock(2). EAGAIN: LOCK_NB, and somebody holds it. Changing one's lock gives the old one up first, as in Linux."""
    kind = operation & ~LOCK_NB
    if kind not in (LOCK_SH, LOCK_EX, LOCK_UN):
        raise EINVAL("flock operation")
    file = _file_of(c)
    if file.flocks.get(c.id) == kind:
        return
    file.drop_flock(c.id)
    if kind == LOCK_UN:
        return
    lib.desc_ref(c)
    try:
        while True:
            file = _file_of(c)
            if not any(kind == LOCK_EX or held == LOCK_EX for other, held in file.flocks.items() if other != c.id):
                break
            if operation & LOCK_NB:
                raise EAGAIN("locked")
            await wait_event(task, file.released)
        file.flocks[c.id] = kind
        file.flock_pids[c.id] = task.group.pid
        _keep(file)
        watch_close(c, file)
    finally:
        lib.desc_unref(c)


# ---- fcntl(2) ---------------------------------------------------------------------------------------------------


async def fcntl_lock(task: Task, c: CDescription, command: int, address: UserAddr) -> int:
    """F_GETLK, F_SETLK, F_SETLKW and the F_OFD_ forms: fcntl(2), fs/locks.c."""
    is_ofd = command >= F_OFD_GETLK
    kind, whence, start, length, pid = task.memory.read_struct(address, _FLOCK)
    if is_ofd and pid:
        raise EINVAL("l_pid")
    if command in (F_GETLK, F_OFD_GETLK) and kind not in (F_RDLCK, F_WRLCK):
        raise EINVAL("l_type")
    first, last = _bounds(c, whence, start, length)
    if kind not in (F_RDLCK, F_WRLCK, F_UNLCK):
        raise EINVAL("l_type")
    owner = (_DESCRIPTION, int(c.id)) if is_ofd else _table_owner(task.fd_table.c)
    if command in (F_GETLK, F_OFD_GETLK):
        blocker = _file_of(c).blocker(first, last, kind, owner)
        if blocker is None:
            task.memory.write_struct(address, _FLOCK, F_UNLCK, whence, start, length, pid)
        else:
            size = 0 if blocker.end == _OFFSET_MAX else blocker.end - blocker.start + 1
            task.memory.write_struct(address, _FLOCK, blocker.kind, 0, blocker.start, size, blocker.pid)
        return 0
    access = c.open_flags & O_ACCMODE
    if (kind == F_RDLCK and access & os.O_WRONLY) or (kind == F_WRLCK and access in (os.O_RDONLY, os.O_ACCMODE)):
        raise EBADF("not open for that")
    await _set_range(task, c, first, last, kind, owner, command in (F_SETLKW, F_OFD_SETLKW))
    return 0


async def _set_range(
    task: Task, c: CDescription, start: int, end: int, kind: int, owner: Owner, may_wait: bool
) -> None:
    lib.desc_ref(c)
    try:
        while True:
            file = _file_of(c)
            blocker = file.blocker(start, end, kind, owner) if kind != F_UNLCK else None
            if blocker is None:
                break
            if not may_wait:
                raise EAGAIN("locked")
            if owner[0] == _TABLE and _would_deadlock(owner, blocker.owner):
                raise EDEADLK("they wait for us")
            _waiting[owner] = blocker.owner
            try:
                await wait_event(task, file.released)
            finally:
                _waiting.pop(owner, None)
        if kind == F_UNLCK and file.key not in _files:
            return
        _keep(file)
        if owner[0] == _DESCRIPTION:
            watch_close(c, file)
        file.replace(start, end, kind, owner, -1 if owner[0] == _DESCRIPTION else task.group.pid)
    finally:
        lib.desc_unref(c)


def _would_deadlock(owner: Owner, blocker: Owner) -> bool:
    """True if following who waits for whom leads back to the owner."""
    at: Owner | None = blocker
    for _ in range(len(_waiting) + 1):
        if at == owner:
            return True
        at = _waiting.get(at) if at is not None else None
        if at is None:
            return False
    return False


def _bounds(c: CDescription, whence: int, start: int, length: int) -> tuple[int, int]:
    """First and last byte that a struct flock names. EINVAL before the file's begin, EOVERFLOW behind its end."""
    if whence == os.SEEK_SET:
        origin = 0
    elif whence == os.SEEK_CUR:
        origin = c.pos if c.flags & DESC_OWN_POS else description_of(c).seek(0, os.SEEK_CUR)
    elif whence == os.SEEK_END:
        origin = os.fstat(c.host_fd).st_size if c.host_fd >= 0 else c.inode.size
    else:
        raise EINVAL("l_whence")
    first = origin + start
    if first > _OFFSET_MAX:
        raise EOVERFLOW("l_start")
    if first < 0:
        raise EINVAL("l_start")
    if length > 0:
        if first + length - 1 > _OFFSET_MAX:
            raise EOVERFLOW("l_len")
        return first, first + length - 1
    if length < 0:
        if first + length < 0:
            raise EINVAL("l_len")
        return first + length, first - 1
    return first, _OFFSET_MAX


def listing() -> bytes:
    """/proc/locks: proc_locks(5), without those who wait."""
    lines: list[bytes] = []
    for file in _files.values():
        place = b"00:00:0"
        if file.inode is not None:
            device = file.inode.dev
            place = b"%02x:%02x:%d" % (os.major(device), os.minor(device), file.inode.ino)
        rows = [(b"FLOCK ", held == LOCK_EX, file.flock_pids.get(identity, -1), 0, _OFFSET_MAX)
                for identity, held in file.flocks.items()]  # fmt: skip
        for held in file.ranges:
            name = b"POSIX " if held.owner[0] == _TABLE else b"OFDLCK"
            rows.append((name, held.kind == F_WRLCK, held.pid, held.start, held.end))
        for name, is_write, pid, start, end in rows:
            kind = b"WRITE" if is_write else b"READ"
            last = b"EOF" if end == _OFFSET_MAX else b"%d" % end
            lines.append(b"%d: %s ADVISORY  %s %d %s %d %s\n" % (len(lines) + 1, name, kind, pid, place, start, last))
    return b"".join(lines)


# ---- the end of owners --------------------------------------------------------------------------------------------


def on_fd_closed(table: CFdTable, c: CDescription) -> None:
    """The engine: a descriptor of a file with INODE_LOCKS was closed: the table's record locks on it go."""
    if c.inode != ffi.NULL:
        file = _files.get(c.inode.id)
        if file is not None:
            file.drop_owner(_table_owner(table))
