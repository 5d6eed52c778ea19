"""name_to_handle_at(2), open_by_handle_at(2)."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_DAC_READ_SEARCH
from pysentry.abi.errno import EBADF, EINVAL, EOPNOTSUPP, EOVERFLOW, EPERM, ESTALE
from pysentry.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, O_CLOEXEC, O_TMPFILE_BIT, VALID_OPEN_FLAGS
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs.handles import HANDLE_BYTES, HANDLE_TYPE, find_handle, make_handle
from pysentry.vfs.open import check_flags, check_may_open, open_dentry, open_tmpfile
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry

AT_HANDLE_MNT_ID_UNIQUE, AT_HANDLE_CONNECTABLE, AT_HANDLE_FID = 1, 2, 0x200
_FLAGS = AT_EMPTY_PATH | AT_SYMLINK_FOLLOW | AT_HANDLE_MNT_ID_UNIQUE | AT_HANDLE_CONNECTABLE | AT_HANDLE_FID
_MAX_HANDLE_SZ = 128
_HEAD, _NUMBER = Struct("=Ii"), Struct("=Q")
_INT32, _INT64 = Struct("=i"), Struct("=q")


@syscall
def name_to_handle_at(
    task: Task, dfd: int, path: UserAddr, handle: UserAddr, mount_id: UserAddr, flags: int
) -> int:
    if flags & ~_FLAGS or (flags & AT_HANDLE_FID and flags & AT_HANDLE_CONNECTABLE):
        raise EINVAL("flags")
    walk = resolve(
        task, dfd, task.memory.read_cstr(path), bool(flags & AT_SYMLINK_FOLLOW), bool(flags & AT_EMPTY_PATH)
    )
    if walk.dentry is None and walk.description is not None:
        raise EOPNOTSUPP("an anonymous file")
    dentry = walk.require()
    if dentry.sb.kind in (lib.FS_PROC, lib.FS_PTS) and not flags & AT_HANDLE_FID:
        raise EOPNOTSUPP("no handles to open by on this file system")
    size, _ = task.memory.read_struct(handle, _HEAD)
    if size > _MAX_HANDLE_SZ:
        raise EINVAL("handle_bytes")
    fits = size >= HANDLE_BYTES
    layout = _INT64 if flags & AT_HANDLE_MNT_ID_UNIQUE else _INT32
    task.memory.write_struct(mount_id, layout, dentry.sb.id)
    task.memory.write_struct(handle, _HEAD, HANDLE_BYTES, HANDLE_TYPE if fits else 0xFF)
    if not fits:
        raise EOVERFLOW("handle_bytes")
    task.memory.write_struct(handle + _HEAD.size, _NUMBER, make_handle(dentry))
    return 0


@syscall
async def open_by_handle_at(task: Task, mount_fd: int, handle: UserAddr, flags: int) -> int:
    size, kind = task.memory.read_struct(handle, _HEAD)
    if not 0 < size <= _MAX_HANDLE_SZ:
        raise EINVAL("handle_bytes")
    place = _place(task, mount_fd)
    if not task.has_cap(CAP_DAC_READ_SEARCH):
        raise EPERM("CAP_DAC_READ_SEARCH")
    data = task.memory.read(handle + _HEAD.size, size)
    if size != HANDLE_BYTES or kind != HANDLE_TYPE:
        raise ESTALE("not a handle of ours")
    dentry = find_handle(int(_NUMBER.unpack(data)[0]), place)
    flags = check_flags(flags & VALID_OPEN_FLAGS)
    with task.fd_table.reserve(1, cloexec=bool(flags & O_CLOEXEC)) as slots:
        if flags & O_TMPFILE_BIT:
            slots.install(open_tmpfile(task, dentry, flags, 0))
        else:
            check_may_open(task, dentry, flags)
            slots.install(await open_dentry(task, dentry, flags))
    return slots.fds[0]


def _place(task: Task, mount_fd: int) -> CDentry:
    if mount_fd == AT_FDCWD:
        return task.c.fs.cwd
    c = task.fd_table.get(mount_fd)
    if c.kind == lib.DESC_PATH and c.dentry == ffi.NULL:
        raise EBADF("O_PATH")
    if c.dentry == ffi.NULL:
        raise ESTALE("not in a file system")
    return c.dentry
