"""Loop devices, loop(4): a regular file of the sandbox as a block device of the sandbox.

Owns /dev/loop-control and /dev/loop0 to 7. The device is the file: there is no cache of its own, no partitions, no
request queue, and no block file system to mount from it.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.capability import CAP_SYS_ADMIN
from pysentry.abi.errno import (
    EACCES,
    EBADF,
    EBUSY,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOSPC,
    ENOSYS,
    ENOTTY,
    ENXIO,
    EPERM,
    LinuxError,
    host_errors,
)
from pysentry.abi.stat import S_IFMT, S_IFREG
from pysentry.kernel import host
from pysentry.kernel.description import O_ACCMODE, SEEK_CUR, SEEK_END, SEEK_SET, Description, new_description
from pysentry.kernel.file import FileDescription
from pysentry.platform.native import ffi, lib
from pysentry.vfs import devices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription

COUNT = devices.LOOP_COUNT

LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR, LO_FLAGS_PARTSCAN, LO_FLAGS_DIRECT_IO = 1, 4, 8, 16
_SETTABLE = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN
_SET_FD, _CLR_FD, _SET_STATUS, _GET_STATUS, _SET_STATUS64, _GET_STATUS64 = range(0x4C00, 0x4C06)
_CHANGE_FD, _SET_CAPACITY, _SET_DIRECT_IO, _SET_BLOCK_SIZE, _CONFIGURE = range(0x4C06, 0x4C0B)
_CTL_ADD, _CTL_REMOVE, _CTL_GET_FREE = range(0x4C80, 0x4C83)
_INFO = Struct("=iiQQQiiii64s32sQQ8x")  # struct loop_info
_INFO64 = Struct("=QQQQQIIII64s64s32sQQ")  # struct loop_info64
_CONFIG = Struct(f"=II{_INFO64.size}s64x")  # struct loop_config

_ROSET, _ROGET, _GETSIZE, _FLSBUF, _RASET, _RAGET, _SSZGET = 0x125D, 0x125E, 0x1260, 0x1261, 0x1262, 0x1263, 0x1268
_BSZGET, _BSZSET, _GETSIZE64 = 0x80081270, 0x40081271, 0x80081272
_DISCARD, _IOMIN, _IOOPT, _ALIGNOFF, _PBSZGET, _DISCARDZEROES, _ROTATIONAL, _ZEROOUT = (
    0x1277, 0x1278, 0x1279, 0x127A, 0x127B, 0x127C, 0x127E, 0x127F,
)  # fmt: skip
_INT, _UINT, _SHORT, _ULONG, _RANGE = Struct("=i"), Struct("=I"), Struct("=H"), Struct("=Q"), Struct("=QQ")
_SECTOR = 512
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_BLOCK_SIZE = 4096  # BLKBSZGET: the page cache's


class Loop:
    """One device. `backing` is the file's description, held; None: not bound."""

    __slots__ = (
        "backing", "block_size", "flags", "is_read_only", "name", "number", "offset", "openers", "size", "size_limit",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.openers = 0
        self._reset()

    def _reset(self) -> None:
        self.backing: CDescription | None = None
        self.name = b""
        self.flags = self.offset = self.size_limit = self.size = 0
        self.block_size = _SECTOR
        self.is_read_only = False

    def bind(self, c: CDescription, is_read_only: bool) -> None:
        """LOOP_SET_FD. EBUSY: bound already; EBADF: not a file."""
        if self.backing is not None:
            raise EBUSY("bound already")
        if c.kind != lib.DESC_FILE or c.inode == ffi.NULL or c.inode.mode & S_IFMT != S_IFREG:
            raise EINVAL("not a regular file")
        lib.desc_ref(c)
        self.backing = c
        self.is_read_only = is_read_only or c.open_flags & O_ACCMODE == os.O_RDONLY
        self.flags = LO_FLAGS_READ_ONLY if self.is_read_only else 0
        self.measure()

    def release(self) -> None:
        """LOOP_CLR_FD."""
        backing = self.backing
        self._reset()
        if backing is not None:
            lib.desc_unref(backing)

    def measure(self) -> None:
        """The device's size from the file's: get_size() in Linux drivers/block/loop.c."""
        size = max(0, os.fstat(self.host_fd()).st_size - self.offset)
        if self.size_limit:
            size = min(size, self.size_limit)
        self.size = size & ~(_SECTOR - 1)

    def host_fd(self) -> int:
        """ENXIO: nothing is bound."""
        if self.backing is None:
            raise ENXIO("not bound")
        if self.backing.flags & lib.DESC_LOWER:
            lib.desc_follow_copy_up(self.backing)
        return int(self.backing.host_fd)


_loops = [Loop(number) for number in range(COUNT)]


class LoopDescription(FileDescription):
    """An open loop device. Positions are its own; bytes are the backing file's."""

    __slots__ = ("loop",)
    keeps_state = True
    is_file_like = True
    loop: Loop

    def host_read(self, size: int, offset: int | None) -> bytes:
        at = self.c.pos if offset is None else offset
        left = max(0, min(size, self.loop.size - at))
        data = os.pread(self.loop.host_fd(), left, self.loop.offset + at) if left else b""
        if offset is None:
            self.c.pos = at + len(data)
        return data

    def unread(self, count: int) -> None:
        self.c.pos -= count

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        at = self.c.pos if offset is None else offset
        if self.loop.is_read_only:
            raise EPERM("read-only")
        left = min(len(data), self.loop.size - at)
        if left <= 0 and data:
            raise ENOSPC("end of the device")
        count = os.pwrite(self.loop.host_fd(), data[:left], self.loop.offset + at)
        if offset is None:
            self.c.pos = at + count
        return count

    def seek(self, offset: int, whence: int) -> int:
        base = {SEEK_SET: 0, SEEK_CUR: self.c.pos, SEEK_END: self.loop.size}.get(whence)
        if base is None or not 0 <= base + offset <= self.loop.size:
            raise EINVAL("position")
        self.c.pos = base + offset
        return int(self.c.pos)

    def truncate(self, task: Task, length: int) -> None:
        raise EINVAL("block device")

    def allocate(self, task: Task, mode: int, offset: int, length: int) -> None:
        if offset + length > self.loop.size:
            raise EINVAL("beyond the end")
        host.fallocate(self.loop.host_fd(), mode | _KEEP_SIZE, self.loop.offset + offset, length)

    def sync(self, data_only: bool) -> None:
        if self.loop.backing is not None:
            with host_errors():
                os.fsync(self.loop.host_fd())

    def closed(self) -> None:
        self.loop.openers -= 1
        if not self.loop.openers and self.loop.flags & LO_FLAGS_AUTOCLEAR:
            self.loop.release()

    # ---- ioctl ----

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        if 0x4C00 <= request <= _CONFIGURE:
            return self._loop_ioctl(task, request, argument)
        return self._block_ioctl(task, request, argument)

    def _block_ioctl(self, task: Task, request: int, argument: int) -> int:
        """blkdev_ioctl() in Linux block/ioctl.c."""
        loop = self.loop
        answers = {
            _GETSIZE64: (_ULONG, loop.size),
            _GETSIZE: (_ULONG, loop.size // _SECTOR),
            _SSZGET: (_INT, loop.block_size),
            _PBSZGET: (_UINT, loop.block_size),
            _BSZGET: (_INT, _BLOCK_SIZE),
            _IOMIN: (_UINT, loop.block_size),
            _IOOPT: (_UINT, 0),
            _ALIGNOFF: (_INT, 0),
            _DISCARDZEROES: (_UINT, 0),
            _ROTATIONAL: (_SHORT, 0),
            _ROGET: (_INT, int(loop.is_read_only)),
            _RAGET: (_ULONG, 256),
        }
        if request in answers:
            layout, value = answers[request]
            task.memory.write_struct(argument, layout, value)
            return 0
        if request in (_DISCARD, _ZEROOUT):
            return self._zero(task, argument)
        if request in (_FLSBUF, _ROSET, _RASET, _BSZSET) and not task.has_cap(CAP_SYS_ADMIN):
            raise EACCES("CAP_SYS_ADMIN")
        if request == _FLSBUF:
            self.sync(data_only=False)
            return 0
        if request == _ROSET:
            (loop.is_read_only,) = map(bool, task.memory.read_struct(argument, _INT))
            return 0
        if request == _BSZSET and task.memory.read_struct(argument, _INT)[0] == _BLOCK_SIZE:
            return 0
        if request in (_RASET, _BSZSET):
            raise EINVAL("there is no cache to set up")
        raise ENOTTY(f"ioctl {request:#x}")

    def _zero(self, task: Task, argument: int) -> int:
        start, length = task.memory.read_struct(argument, _RANGE)
        if self.c.open_flags & O_ACCMODE == os.O_RDONLY:
            raise EBADF("not open for writing")
        if (start | length) % self.loop.block_size or start + length > self.loop.size:
            raise EINVAL("range")
        self.allocate(task, _PUNCH_HOLE, start, length)
        return 0

    def _loop_ioctl(self, task: Task, request: int, argument: int) -> int:
        """lo_ioctl() in Linux."""
        loop = self.loop
        may_change = task.has_cap(CAP_SYS_ADMIN) or self.c.open_flags & O_ACCMODE != os.O_RDONLY
        is_read_only = self.c.open_flags & O_ACCMODE == os.O_RDONLY
        if request == _SET_FD:
            loop.bind(task.fd_table.get(argument & 0xFFFFFFFF), is_read_only)
        elif request == _CONFIGURE:
            self._configure(task, argument, is_read_only)
        elif request in (_GET_STATUS, _GET_STATUS64):
            loop.host_fd()
            self._write_status(task, request, argument)
        elif not may_change:
            raise EPERM("not open for writing")
        elif request == _CLR_FD:
            loop.host_fd()
            if loop.openers > 1:
                loop.flags |= LO_FLAGS_AUTOCLEAR  # at the last close
            else:
                loop.release()
        elif request == _SET_STATUS:
            fields = _INFO.unpack(task.memory.read(argument, _INFO.size))
            self._set_status(fields[5], 0, fields[8], fields[9])
        elif request == _SET_STATUS64:
            self._set_status64(task.memory.read(argument, _INFO64.size))
        elif request == _SET_CAPACITY:
            loop.measure()
        elif request == _SET_BLOCK_SIZE:
            self._set_block_size(argument)
        elif request == _CHANGE_FD:
            self._change_file(task, argument)
        else:
            loop.host_fd()
            if argument or request != _SET_DIRECT_IO:
                raise EINVAL("no direct I/O")
        return 0

    def _configure(self, task: Task, argument: int, is_read_only: bool) -> None:
        number, block_size, info = _CONFIG.unpack(task.memory.read(argument, _CONFIG.size))
        flags = _INFO64.unpack(info)[8]
        if flags & ~(_SETTABLE | LO_FLAGS_READ_ONLY):
            raise EINVAL("flags")
        loop = self.loop
        loop.bind(task.fd_table.get(number), is_read_only or bool(flags & LO_FLAGS_READ_ONLY))
        try:
            if block_size:
                self._set_block_size(block_size)
            self._set_status64(info)
            loop.flags |= flags & LO_FLAGS_READ_ONLY
        except LinuxError:
            loop.release()
            raise

    def _set_status64(self, info: bytes) -> None:
        fields = _INFO64.unpack(info)
        if fields[3] >= 1 << 63 or fields[4] >= 1 << 63:
            raise EINVAL("offset")  # EOVERFLOW in newer kernels, for the old form only
        self._set_status(fields[3], fields[4], fields[8], fields[9])

    def _set_status(self, offset: int, size_limit: int, flags: int, name: bytes) -> None:
        loop = self.loop
        loop.host_fd()
        if offset < 0:
            raise EINVAL("offset")
        loop.offset, loop.size_limit = offset, size_limit
        loop.flags = loop.flags & ~_SETTABLE | flags & _SETTABLE
        loop.name = name.split(b"\0")[0][:63]
        loop.measure()

    def _write_status(self, task: Task, request: int, argument: int) -> None:
        loop = self.loop
        assert loop.backing is not None
        inode = loop.backing.inode
        place = (inode.dev, inode.ino, self.c.inode.rdev)
        if request == _GET_STATUS64:
            answer = _INFO64.pack(
                *place, loop.offset, loop.size_limit, loop.number, 0, 0, loop.flags, loop.name, b"", b"", 0, 0
            )
        else:
            offset = loop.offset & 0x7FFFFFFF
            answer = _INFO.pack(loop.number, 0, *place, offset, 0, 0, loop.flags, loop.name, b"", 0, 0)
        task.memory.write(argument, answer)

    def _set_block_size(self, size: int) -> None:
        self.loop.host_fd()
        if not _SECTOR <= size <= _BLOCK_SIZE or size & (size - 1):
            raise EINVAL("block size")
        self.loop.block_size = size

    def _change_file(self, task: Task, argument: int) -> None:
        """LOOP_CHANGE_FD: only of a read-only device, to a file of the same size."""
        loop = self.loop
        loop.host_fd()
        if not loop.flags & LO_FLAGS_READ_ONLY:
            raise EINVAL("not read-only")
        c = task.fd_table.get(argument & 0xFFFFFFFF)
        if c.kind != lib.DESC_FILE or os.fstat(c.host_fd).st_size != os.fstat(loop.host_fd()).st_size:
            raise EINVAL("another size")
        old = loop.backing
        lib.desc_ref(c)
        loop.backing = c
        if old is not None:
            lib.desc_unref(old)


class ControlDescription(Description):
    """/dev/loop-control."""

    __slots__ = ()
    keeps_state = True  # only so that it is found again

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        if request == _CTL_GET_FREE:
            for loop in _loops:
                if loop.backing is None:
                    return loop.number
            raise ENOSPC("all are bound")
        if request == _CTL_ADD:
            if argument < COUNT:
                raise EEXIST("there already")
            raise EINVAL("no more devices")
        if request == _CTL_REMOVE:
            raise EBUSY("devices stay") if argument < COUNT else ENODEV("no such device")
        raise ENOSYS("loop-control")


def open_loop(task: Task, dentry: CDentry, flags: int) -> CDescription:
    number = os.minor(dentry.inode.rdev)
    if number >= COUNT:
        raise ENXIO("loop device")
    loop = _loops[number]
    if loop.backing is not None and loop.is_read_only and flags & O_ACCMODE != os.O_RDONLY:
        raise EACCES("read-only")
    made = new_description(lib.DESC_PYTHON, -1, flags, LoopDescription)
    assert isinstance(made, LoopDescription)
    made.c.flags |= lib.DESC_NO_POLL | lib.DESC_PY_READ | lib.DESC_PY_WRITE
    made.loop = loop
    loop.openers += 1
    return made.c


def open_control(task: Task, dentry: CDentry, flags: int) -> CDescription:
    made = new_description(lib.DESC_PYTHON, -1, flags, ControlDescription)
    made.c.flags |= lib.DESC_NO_POLL | lib.DESC_PY_READ | lib.DESC_PY_WRITE
    return made.c
