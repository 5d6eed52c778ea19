"""Bytes in and out of open descriptors: read(2), write(2), their vector and offset forms, lseek(2), fsync(2) and kin.

What each kind of descriptor does is kernel/description; moving bytes between two descriptors is kernel/transfer.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, EOPNOTSUPP, ESPIPE, host_errors
from pysentry.kernel import transfer
from pysentry.kernel.description import MAX_RW_COUNT, O_ACCMODE, POLLIN, POLLOUT, description_of
from pysentry.kernel.transfer import End
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.description import Description
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_INT64 = Struct("=q")
_SPLICE_F_NONBLOCK, _SPLICE_FLAGS = 2, 15
_TASK_SIZE = 0x7FFFFFFFF000
_RWF_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10  # HIPRI, DSYNC, SYNC, NOWAIT, APPEND: what only writes know, reads ignore
_NR_FADVISE64 = 221
_NR_READAHEAD, _READ_AHEAD_MAX = 187, 1 << 23  # bytes at once: the sentry waits for their requests
_ADVICES = 6
_SYNC_RANGE_FLAGS = 7
_FALLOC_MODES = 0x1 | 0x2 | 0x10  # KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE


def _reader(task: Task, fd: int) -> Description:
    return description_of(task.fd_table.get_io(fd, writing=False))


def _writer(task: Task, fd: int) -> Description:
    return description_of(task.fd_table.get_io(fd, writing=True))


def _seekable(task: Task, fd: int) -> None:
    """ESPIPE wins over how the descriptor was opened: FMODE_PREAD and FMODE_PWRITE come first in fs/read_write.c."""
    if task.fd_table.get(fd).kind in (lib.DESC_PIPE, lib.DESC_SOCKET, lib.DESC_EPOLL):
        raise ESPIPE("no position")


def _one(address: UserAddr, size: int) -> list[tuple[int, int]]:
    """A plain buffer as vectors. EFAULT where it cannot be user memory: access_ok comes before the file is asked."""
    if address + size > _TASK_SIZE:
        raise EFAULT("beyond user memory")
    return [(address, min(size, MAX_RW_COUNT))]


def _vectors(task: Task, address: UserAddr, count: int) -> list[tuple[int, int]]:
    """The vectors of readv(2), together at most MAX_RW_COUNT. EINVAL if there are too many."""
    room = MAX_RW_COUNT
    vectors = []
    for base, length in task.memory.read_iovecs(address, count):
        if length >= 1 << 63:
            raise EINVAL("iov_len")
        if base + length > _TASK_SIZE:
            raise EFAULT("beyond user memory")
        vectors.append((base, min(length, room)))
        room -= vectors[-1][1]
    return vectors


def _position(offset: int) -> int:
    if offset < 0:
        raise EINVAL("negative offset")
    return offset


@syscall
async def read(task: Task, fd: int, buf: UserAddr, count: int) -> int:
    return await _reader(task, fd).read(task, _one(buf, count))


@syscall
async def write(task: Task, fd: int, buf: UserAddr, count: int) -> int:
    return await _writer(task, fd).write(task, _one(buf, count))


@syscall
async def readv(task: Task, fd: int, iov: UserAddr, iovcnt: int) -> int:
    description = _reader(task, fd)
    return await description.read(task, _vectors(task, iov, iovcnt))


@syscall
async def writev(task: Task, fd: int, iov: UserAddr, iovcnt: int) -> int:
    description = _writer(task, fd)
    vectors = _vectors(task, iov, iovcnt)
    if not any(length for _, length in vectors):
        return 0  # unlike write(2) of nothing, which is an empty datagram: do_iter_write()
    return await description.write(task, vectors)


@syscall
async def pread64(task: Task, fd: int, buf: UserAddr, count: int, offset: int) -> int:
    at = _position(offset)  # before the descriptor: fs/read_write.c
    _seekable(task, fd)
    return await _reader(task, fd).read(task, _one(buf, count), at)


@syscall
async def pwrite64(task: Task, fd: int, buf: UserAddr, count: int, offset: int) -> int:
    at = _position(offset)
    _seekable(task, fd)
    return await _writer(task, fd).write(task, _one(buf, count), at)


@syscall
async def preadv(task: Task, fd: int, iov: UserAddr, iovcnt: int, pos_l: int, pos_h: int) -> int:
    """`pos_h` is 0 on 64 bits: the low word holds all of the offset."""
    at = _position(pos_l)
    _seekable(task, fd)
    return await _reader(task, fd).read(task, _vectors(task, iov, iovcnt), at)


@syscall
async def pwritev(task: Task, fd: int, iov: UserAddr, iovcnt: int, pos_l: int, pos_h: int) -> int:
    at = _position(pos_l)
    _seekable(task, fd)
    return await _writer(task, fd).write(task, _vectors(task, iov, iovcnt), at)


@syscall
async def preadv2(task: Task, fd: int, iov: UserAddr, iovcnt: int, pos_l: int, pos_h: int, flags: int) -> int:
    at = None if pos_l == -1 else _position(pos_l)
    if at is not None:
        _seekable(task, fd)
    description = _reader(task, fd)
    vectors = _vectors(task, iov, iovcnt)
    if flags & ~_RWF_KNOWN:
        raise EOPNOTSUPP("preadv2 flags")
    return await description.read(task, vectors, at, flags)


@syscall
async def pwritev2(task: Task, fd: int, iov: UserAddr, iovcnt: int, pos_l: int, pos_h: int, flags: int) -> int:
    at = None if pos_l == -1 else _position(pos_l)
    if at is not None:
        _seekable(task, fd)
    description = _writer(task, fd)
    vectors = _vectors(task, iov, iovcnt)
    if flags & ~_RWF_KNOWN:
        raise EOPNOTSUPP("pwritev2 flags")
    return await description.write(task, vectors, at, flags)


@syscall
def lseek(task: Task, fd: int, offset: int, whence: int) -> int:
    c = _not_path(task, fd)
    if not 0 <= whence <= 4:
        raise EINVAL("whence")
    return description_of(c).seek(offset, whence)


@syscall
def ftruncate(task: Task, fd: int, length: int) -> int:
    if length < 0:
        raise EINVAL("length")
    description_of(_not_path(task, fd)).truncate(task, length)
    return 0


@syscall
def fallocate(task: Task, fd: int, mode: int, offset: int, length: int) -> int:
    c = _not_path(task, fd)
    if offset < 0 or length <= 0:
        raise EINVAL("range")
    if mode & ~_FALLOC_MODES:
        raise EOPNOTSUPP("mode")
    if c.open_flags & O_ACCMODE in (os.O_RDONLY, O_ACCMODE):
        raise EBADF("not open for writing")
    description_of(c).allocate(task, mode, offset, length)
    return 0


@syscall
def fsync(task: Task, fd: int) -> int:
    description_of(_not_path(task, fd)).sync(data_only=False)
    return 0


@syscall
def fdatasync(task: Task, fd: int) -> int:
    description_of(_not_path(task, fd)).sync(data_only=True)
    return 0


@syscall
def syncfs(task: Task, fd: int) -> int:
    c = _not_path(task, fd)
    if c.kind == lib.DESC_FILE:
        description_of(c).sync(data_only=False)
    return 0


@syscall
def sync(task: Task) -> int:
    """Flushes the files that are open for writing somewhere and live on the host; the rest is in memory."""
    seen = set()
    other = lib.task_first()
    while other != ffi.NULL:
        table = other.files
        for fd in range(table.capacity if table != ffi.NULL else 0):
            c = table.slots[fd].desc
            if c != ffi.NULL and c.id not in seen and _is_host_file(c):
                seen.add(c.id)
                with host_errors():
                    os.fsync(c.host_fd)
        other = other.all_next
    return 0


def _is_host_file(c: CDescription) -> bool:
    return bool(
        c.kind == lib.DESC_FILE
        and c.open_flags & O_ACCMODE != os.O_RDONLY
        and c.inode != ffi.NULL
        and not c.inode.flags & lib.INODE_UPPER
    )


@syscall
def sync_file_range(task: Task, fd: int, offset: int, nbytes: int, flags: int) -> int:
    c = _not_path(task, fd)
    if flags & ~_SYNC_RANGE_FLAGS or offset < 0 or nbytes < 0 or offset + nbytes >= 1 << 63:
        raise EINVAL("range")
    if c.kind not in (lib.DESC_FILE, lib.DESC_DIR):
        raise ESPIPE("sync_file_range")
    if flags:
        description_of(c).sync(data_only=True)
    return 0


@syscall
def readahead(task: Task, fd: int, offset: int, count: int) -> int:
    """Files in memory are as near as they can be; of others, what a host descriptor stands for."""
    c = task.fd_table.get_io(fd, writing=False)
    if c.kind != lib.DESC_FILE or count >= 1 << 63:
        raise EINVAL("not a regular file, or a negative length")
    if c.host_fd >= 0 and offset >= 0:
        # errors are no news
        lib.host_syscall(_NR_READAHEAD, c.host_fd, offset, min(count, _READ_AHEAD_MAX), 0, 0, 0)
    return 0


@syscall
def fadvise64(task: Task, fd: int, offset: int, length: int, advice: int) -> int:
    """A hint for the host: what it says of it is no news."""
    c = _not_path(task, fd)
    if c.kind == lib.DESC_PIPE:
        raise ESPIPE("fadvise64")
    if not 0 <= advice < _ADVICES or length < 0 or length >= 1 << 63:
        raise EINVAL("advice")
    if c.kind == lib.DESC_FILE and c.host_fd >= 0 and not c.flags & lib.DESC_GIVEN:
        lib.host_syscall(_NR_FADVISE64, c.host_fd, offset & (1 << 64) - 1, length, advice, 0, 0)
    return 0


def _not_path(task: Task, fd: int) -> CDescription:
    """A descriptor that stands for an open file. EBADF: closed, or O_PATH."""
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    return c


# ---- from one descriptor to another -------------------------------------------------------------------------------


@syscall
async def sendfile(task: Task, out_fd: int, in_fd: int, offset: UserAddr, count: int) -> int:
    source = _reader(task, in_fd)
    if offset:
        _seekable(task, in_fd)
    at = _read_offset(task, offset)
    target = _writer(task, out_fd)
    if count >= 1 << 63:
        raise EINVAL("count")
    end = End(source, at)
    moved = await transfer.send_file(task, end, target, count)
    _write_offset(task, offset, end)
    return moved


@syscall
async def splice(
    task: Task, fd_in: int, off_in: UserAddr, fd_out: int, off_out: UserAddr, length: int, flags: int
) -> int:
    if flags & ~_SPLICE_FLAGS:
        raise EINVAL("flags")
    if not length:
        return 0
    source, target = _reader(task, fd_in), _writer(task, fd_out)
    if length >= 1 << 63 and (source.c.kind, target.c.kind) != (lib.DESC_PIPE, lib.DESC_PIPE):
        raise EINVAL("length")  # rw_verify_area(), of files alone
    kinds = (source.c.kind, target.c.kind)
    for kind, offset in zip(kinds, (off_in, off_out), strict=True):
        if kind == lib.DESC_PIPE and offset:
            raise ESPIPE("offset on a pipe")
    if lib.DESC_PIPE not in kinds or lib.DESC_DIR in kinds:
        raise EINVAL("neither is a pipe")
    from_end = End(source, _read_offset(task, off_in))
    to_end = End(target, _read_offset(task, off_out))
    moved = await transfer.splice(task, from_end, to_end, length, bool(flags & _SPLICE_F_NONBLOCK))
    _write_offset(task, off_in, from_end)
    _write_offset(task, off_out, to_end)
    return moved


@syscall
async def tee(task: Task, fd_in: int, fd_out: int, length: int, flags: int) -> int:
    if flags & ~_SPLICE_FLAGS:
        raise EINVAL("flags")
    if not length:
        return 0
    source, target = _reader(task, fd_in), _writer(task, fd_out)
    if (source.c.kind, target.c.kind) != (lib.DESC_PIPE, lib.DESC_PIPE):
        raise EINVAL("not pipes")
    return await transfer.tee(task, source, target, length, bool(flags & _SPLICE_F_NONBLOCK))


@syscall
async def vmsplice(task: Task, fd: int, iov: UserAddr, nr_segs: int, flags: int) -> int:
    """Bytes are copied: no page of the workload's ever belongs to a pipe."""
    if flags & ~_SPLICE_FLAGS:
        raise EINVAL("flags")
    c = _not_path(task, fd)
    if c.kind != lib.DESC_PIPE:
        raise EBADF("not a pipe")
    description = description_of(c)
    vectors = _vectors(task, iov, nr_segs)
    is_reader = c.open_flags & O_ACCMODE == os.O_RDONLY
    size = sum(length for _, length in vectors)

    def attempt() -> int:
        if is_reader:
            return description.read_now(task, vectors, size, None)
        return description.write_now(task, vectors, size, None, 0)  # as much as there is room for

    try:
        return attempt()
    except EAGAIN:
        if flags & _SPLICE_F_NONBLOCK:  # O_NONBLOCK means nothing here: vmsplice_to_pipe() of fs/splice.c
            raise
    return await description.when_ready(task, POLLIN if is_reader else POLLOUT, attempt)


@syscall
async def copy_file_range(
    task: Task, fd_in: int, off_in: UserAddr, fd_out: int, off_out: UserAddr, length: int, flags: int
) -> int:
    source, target = description_of(_not_path(task, fd_in)), description_of(_not_path(task, fd_out))
    from_end = End(source, _read_number(task, off_in))
    to_end = End(target, _read_number(task, off_out))
    if flags:
        raise EINVAL("flags")
    kinds = (source.c.kind, target.c.kind)
    if lib.DESC_DIR in kinds:
        raise EISDIR("directory")
    if kinds != (lib.DESC_FILE, lib.DESC_FILE):
        raise EINVAL("not regular files")
    task.fd_table.get_io(fd_in, writing=False)
    task.fd_table.get_io(fd_out, writing=True)
    moved = await transfer.copy_file_range(task, from_end, to_end, length)
    _write_offset(task, off_in, from_end)
    _write_offset(task, off_out, to_end)
    return moved


def _read_offset(task: Task, address: UserAddr) -> int | None:
    """The position that an optional pointer names. EINVAL: negative."""
    at = _read_number(task, address)
    return None if at is None else _position(at)


def _read_number(task: Task, address: UserAddr) -> int | None:
    if not address:
        return None
    (at,) = task.memory.read_struct(address, _INT64)
    return int(at)


def _write_offset(task: Task, address: UserAddr, end: End) -> None:
    if address and end.at is not None:
        task.memory.write_struct(address, _INT64, end.at)
