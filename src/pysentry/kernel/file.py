"""Open regular files and the simple devices: positions, limits, appending.

Owns what a file does that other descriptions do not. Its content and attributes are vfs/'s; what is shared by all
kinds is kernel/description.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EFBIG, EINVAL, ENOSPC, host_errors
from pysentry.kernel.description import (
    DESC_OWN_POS,
    KINDS,
    O_ACCMODE,
    O_APPEND,
    RLIM_INFINITY,
    RLIMIT_FSIZE,
    RWF_APPEND,
    RWF_DURABLE,
    RWF_SYNC,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
    SIGXFSZ,
    Description,
)
from pysentry.platform.native import ffi, lib
from pysentry.vfs import notify
from pysentry.vfs.filesystem import filesystem_of
from pysentry.vfs.permissions import drop_set_id

_PUNCH_HOLE = 2
_RNDGETENTCNT, _ENTROPY_BITS = 0x80045200, 256  # of /dev/random and /dev/urandom; random(4)
_INT = Struct("=i")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.description import Iovecs
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription


def is_limited(c: CDescription) -> bool:
    """True for a file of a file system that has a size limit of its own."""
    return bool(c.inode != ffi.NULL and c.inode.sb.flags & lib.SB_LIMITED)


class FileDescription(Description):
    """A regular file: a descriptor from the gofer, or a memfd whose position is kept here (DESC_OWN_POS)."""

    __slots__ = ()
    fills_reads = True

    async def read(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        done = await super().read(task, iovs, offset, rwf)
        if done:
            notify.on_file(self.c.dentry, notify.IN_ACCESS)
        return done

    def host_read(self, size: int, offset: int | None) -> bytes:
        c = self.c
        if offset is not None:
            return os.pread(c.host_fd, size, offset)
        if not c.flags & DESC_OWN_POS:
            return os.read(c.host_fd, size)
        data = os.pread(c.host_fd, size, c.pos)
        c.pos += len(data)
        return data

    def unread(self, count: int) -> None:
        if self.c.flags & DESC_OWN_POS:
            self.c.pos -= count
        else:
            os.lseek(self.c.host_fd, -count, SEEK_CUR)

    async def write(self, task: Task, iovs: Iovecs, offset: int | None = None, rwf: int = 0) -> int:
        if self.c.inode != ffi.NULL and any(length for _, length in iovs):  # nothing written, nothing dropped
            drop_set_id(task.cred, self.c.inode)
        if rwf & RWF_APPEND and not self.c.open_flags & O_APPEND:
            at = os.fstat(self.c.host_fd).st_size
            done = await super().write(task, iovs, at, rwf)
            if offset is None:
                self.seek(at + done, SEEK_SET)
        else:
            done = await super().write(task, iovs, offset, rwf)
        if rwf & RWF_DURABLE:
            self.sync(data_only=not rwf & RWF_SYNC)
        if done:
            notify.on_file(self.c.dentry, notify.IN_MODIFY)
        return done

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        c = self.c
        is_own = bool(c.flags & DESC_OWN_POS)
        is_append = bool(c.open_flags & O_APPEND)
        limit = task.group.c.rlimit_cur[RLIMIT_FSIZE]
        if not is_own and limit == RLIM_INFINITY:
            return os.write(c.host_fd, data) if offset is None else os.pwrite(c.host_fd, data, offset)
        if is_append:  # pwrite on an O_APPEND file appends too: pwrite(2), BUGS
            at = os.fstat(c.host_fd).st_size
        elif offset is not None:
            at = offset
        else:
            at = c.pos if is_own else os.lseek(c.host_fd, 0, SEEK_CUR)
        if data and limit != RLIM_INFINITY:
            data = data[: self._room(task, at, limit)]
        if data and is_limited(c):
            data = data[: filesystem_of(c.inode.sb).room(c.inode, at, len(data))]
        if not is_own:
            return os.write(c.host_fd, data) if offset is None else os.pwrite(c.host_fd, data, offset)
        count = os.pwrite(c.host_fd, data, at)
        if offset is None:
            c.pos = at + count
        return count

    def _room(self, task: Task, at: int, limit: int) -> int:
        """Bytes that may be written at a position: setrlimit(2), RLIMIT_FSIZE."""
        if at >= limit:
            task.send_signal(SIGXFSZ)
            raise EFBIG("RLIMIT_FSIZE")
        return limit - at

    def seek(self, offset: int, whence: int) -> int:
        c = self.c
        if not c.flags & DESC_OWN_POS:
            return super().seek(offset, whence)
        if whence == SEEK_CUR:
            at = c.pos + offset
        elif whence == SEEK_SET:
            at = offset
        elif whence in (SEEK_END, SEEK_DATA, SEEK_HOLE):
            at = super().seek(offset, whence)  # moves the memfd's own position, which nobody uses
        else:
            raise EINVAL("whence")
        if not 0 <= at < 1 << 63:
            raise EINVAL("position out of range")
        c.pos = at
        return at

    def truncate(self, task: Task, length: int) -> None:
        if length < 0 or self.c.open_flags & O_ACCMODE in (os.O_RDONLY, O_ACCMODE):
            raise EINVAL("not open for writing")
        self._check_growth(task, length)
        if is_limited(self.c):
            filesystem_of(self.c.inode.sb).check_size(self.c.inode, length)
        if self.c.inode != ffi.NULL:
            drop_set_id(task.cred, self.c.inode)
        with host_errors():
            os.ftruncate(self.c.host_fd, length)
        notify.on_file(self.c.dentry, notify.IN_MODIFY)

    def allocate(self, task: Task, mode: int, offset: int, length: int) -> None:
        if not mode and offset >= 0 and length > 0:
            self._check_growth(task, offset + length)
        takes_room = is_limited(self.c) and not mode & _PUNCH_HOLE
        if takes_room and filesystem_of(self.c.inode.sb).room(self.c.inode, offset, length) < length:
            raise ENOSPC("size limit")
        super().allocate(task, mode, offset, length)
        notify.on_file(self.c.dentry, notify.IN_MODIFY)

    def _check_growth(self, task: Task, length: int) -> None:
        limit = task.group.c.rlimit_cur[RLIMIT_FSIZE]
        if limit != RLIM_INFINITY and length > limit and length > os.fstat(self.c.host_fd).st_size:
            task.send_signal(SIGXFSZ)
            raise EFBIG("RLIMIT_FSIZE")


class DeviceDescription(Description):
    """A character device that the host serves: null, zero, full, random."""

    __slots__ = ()
    fills_reads = True

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        inode = self.c.inode  # none: we were given it
        is_random = inode != ffi.NULL and os.major(inode.rdev) == 1 and os.minor(inode.rdev) in (8, 9)
        if request == _RNDGETENTCNT and is_random:
            task.memory.write_struct(argument, _INT, _ENTROPY_BITS)
            return 0
        return await super().ioctl(task, fd, request, argument)


KINDS[lib.DESC_FILE] = FileDescription
KINDS[lib.DESC_CHR] = DeviceDescription
