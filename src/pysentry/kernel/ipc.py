"""System V IPC: what shared memory, semaphores and message queues have in common. sysvipc(7).

Owns identifiers, keys, owners, permissions and limits; one table per kind, one IPC namespace for the sandbox. What the
objects do is in shm.py, sem.py and msg.py. Sources: Linux ipc/util.c; the limits are those of /proc/sys/kernel.
"""

from __future__ import annotations

import time
from _heapq import heappop, heappush
from struct import Struct

from pysentry.abi.capability import CAP_IPC_OWNER, CAP_SYS_ADMIN
from pysentry.abi.errno import EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM
from pysentry.vfs.permissions import is_in_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Generic, TypeVar

    from pysentry.kernel.task import Task

    T = TypeVar("T", bound="IpcObject")
else:
    T = object

    class Generic:
        """Only the type checker reads type parameters."""

        def __class_getitem__(cls, item: object) -> type:
            return cls


IPC_PRIVATE = 0
IPC_CREAT, IPC_EXCL, IPC_NOWAIT = 0o1000, 0o2000, 0o4000
IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO = range(4)
MAY_READ, MAY_WRITE, MAY_EXEC = 0o444, 0o222, 0o111
PERM = Struct("=iIIIIIHH4xQQ")  # struct ipc64_perm: key, uid, gid, cuid, cgid, mode, seq, two reserved
_INDEX_BITS = 15
_INDEX_MASK = (1 << _INDEX_BITS) - 1
_MOST_SEQUENCES = 1 << 16

RMID_FORCED = "shm_rmid_forced"

limits: dict[str, list[int]] = {
    "shmmax": [18446744073692774399],  # bytes of a segment
    "shmall": [18446744073692774399],  # pages of all
    "shmmni": [4096],
    RMID_FORCED: [0],  # no limit: a segment ends with its last attachment, or with who made it
    "msgmax": [8192],  # bytes of a message
    "msgmnb": [16384],  # bytes of a queue
    "msgmni": [32000],
    "sem": [32000, 1024000000, 500, 32000],  # of a set, of all, operations of one call, sets
}
"""By the names of /proc/sys/kernel."""

next_ids: dict[str, list[int]] = {"shm_next_id": [-1], "msg_next_id": [-1], "sem_next_id": [-1]}
"""The identifier that the next object of a kind is to have, for who restores a process; -1: any."""


def now_s() -> int:
    """Seconds of CLOCK_REALTIME."""
    return int(time.time())


class IpcObject:
    """One segment, set or queue."""

    __slots__ = ("cgid", "ctime_s", "cuid", "gid", "id", "is_removed", "key", "mode", "uid")

    def __init__(self, task: Task, key: int, mode: int) -> None:
        self.id = -1
        self.key = key
        self.mode = mode & 0o777
        self.uid = self.cuid = task.cred.euid
        self.gid = self.cgid = task.cred.egid
        self.ctime_s = now_s()
        self.is_removed = False

    def check(self, task: Task, wanted: int) -> None:
        """ipcperms(): EACCES unless the task has these permissions (an octal mode, any of its three digits)."""
        cred = task.cred
        wanted |= wanted >> 3 | wanted >> 6
        granted = self.mode
        if cred.euid in (self.uid, self.cuid):
            granted >>= 6
        elif is_in_group(cred, self.gid) or is_in_group(cred, self.cgid):
            granted >>= 3
        if wanted & ~granted & 0o7 and not task.has_cap(CAP_IPC_OWNER):
            raise EACCES("IPC permissions")

    def check_owner(self, task: Task) -> None:
        """EPERM unless it is the task's to change or remove."""
        if task.cred.euid not in (self.uid, self.cuid) and not task.has_cap(CAP_SYS_ADMIN):
            raise EPERM("another user's")

    def set_owner(self, perm: bytes) -> None:
        """IPC_SET: user, group and permissions from a packed struct ipc64_perm. EINVAL: no user or group."""
        _, uid, gid, _, _, mode, *_ = PERM.unpack_from(perm)
        if 0xFFFFFFFF in (uid, gid):
            raise EINVAL("uid or gid")
        self.uid, self.gid = uid, gid
        self.mode = self.mode & ~0o777 | mode & 0o777
        self.ctime_s = now_s()

    def perm(self) -> bytes:
        """Its struct ipc64_perm."""
        sequence = self.id >> _INDEX_BITS
        return PERM.pack(self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode, sequence & 0xFFFF, 0, 0, 0)


class IpcTable(Generic[T]):
    """All objects of one kind, by identifier and by key."""

    __slots__ = ("_by_index", "_by_key", "_free", "_high", "_last_index", "_next_id", "_sequence")

    def __init__(self, next_id: str) -> None:
        self._next_id = next_ids[next_id]
        self._by_index: dict[int, T] = {}
        self._by_key: dict[int, T] = {}
        self._free: list[int] = []  # a heap of the free indexes below _high; it may have some that were taken since
        self._high = 0
        self._last_index = -1
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._by_index)

    def all(self) -> list[T]:
        """By index."""
        return [self._by_index[index] for index in sorted(self._by_index)]

    def highest_index(self) -> int:
        """What the *_INFO commands return."""
        return max(self._by_index, default=0)

    def get(self, task: Task, key: int, flags: int, fits: Callable[[T], bool], make: Callable[[], T], most: int) -> int:
        """shmget(2), semget(2), msgget(2): the identifier of a key, or of a new object.

        fits: may an existing one be had with these arguments? EINVAL if not
        make: the new one; raises what its own limits say
        most: objects of this kind; ENOSPC beyond"""
        found = None
        if key != IPC_PRIVATE:
            found = self._by_key.get(key)
            if found is None and not flags & IPC_CREAT:
                raise ENOENT("key")
        if found is None:
            made = make()
            if len(self._by_index) >= min(most, _INDEX_MASK + 1):
                raise ENOSPC("IPC identifiers")
            return self._add(made)
        if flags & IPC_CREAT and flags & IPC_EXCL:
            raise EEXIST("key")
        if not fits(found):
            raise EINVAL("it is smaller")
        found.check(task, flags)
        return found.id

    def _add(self, made: T) -> int:
        wanted, self._next_id[0] = self._next_id[0], -1
        if wanted >= 0:
            index, sequence = wanted & _INDEX_MASK, wanted >> _INDEX_BITS
            while index in self._by_index:
                index += 1
            for skipped in range(self._high, index):
                heappush(self._free, skipped)
        else:
            index = self._lowest_free()
            if index <= self._last_index:
                self._sequence = (self._sequence + 1) % _MOST_SEQUENCES
            sequence, self._last_index = self._sequence, index
        self._high = max(self._high, index + 1)
        made.id = sequence << _INDEX_BITS | index
        self._by_index[index] = made
        if made.key != IPC_PRIVATE:
            self._by_key[made.key] = made
        return made.id

    def _lowest_free(self) -> int:
        while self._free:
            index = heappop(self._free)
            if index not in self._by_index:
                return index
        return self._high

    def find(self, identifier: int) -> T:
        """The object of an identifier. EINVAL: none, or removed and its place used again."""
        found = self._by_index.get(identifier & _INDEX_MASK) if identifier >= 0 else None
        if found is None or found.id != identifier:
            raise EINVAL("IPC identifier")
        return found

    def at(self, index: int) -> T:
        """The *_STAT commands: by index. EINVAL: none."""
        found = self._by_index.get(index & _INDEX_MASK) if index >= 0 else None
        if found is None:
            raise EINVAL("IPC index")
        return found

    def hide(self, gone: T) -> None:
        """Its key is free."""
        self._by_key.pop(gone.key, None)
        gone.key = IPC_PRIVATE

    def remove(self, gone: T) -> None:
        """Its identifier and key are free."""
        self.hide(gone)
        gone.is_removed = True
        del self._by_index[gone.id & _INDEX_MASK]
        heappush(self._free, gone.id & _INDEX_MASK)
