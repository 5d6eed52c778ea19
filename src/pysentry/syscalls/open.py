"""open(2), openat2(2), creat(2), close(2), close_range(2)."""

from __future__ import annotations

from pysentry.abi.errno import E2BIG, EAGAIN, EINVAL, check
from pysentry.abi.fcntl import (
    AT_FDCWD,
    CLOSE_RANGE_CLOEXEC,
    CLOSE_RANGE_UNSHARE,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_PATH,
    O_PATH_FLAGS,
    O_RDONLY,
    O_TMPFILE_BIT,
    O_TRUNC,
    O_WRONLY,
    OPEN_HOW,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    VALID_OPEN_FLAGS,
    VALID_RESOLVE_FLAGS,
)
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs import notify
from pysentry.vfs.open import check_flags, open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_PAGE = 4096


@syscall
async def open(task: Task, path: UserAddr, flags: int, mode: int) -> int:
    return await _open(task, AT_FDCWD, path, flags & VALID_OPEN_FLAGS, mode & 0o7777)


@syscall
async def openat(task: Task, dfd: int, path: UserAddr, flags: int, mode: int) -> int:
    return await _open(task, dfd, path, flags & VALID_OPEN_FLAGS, mode & 0o7777)


@syscall
async def creat(task: Task, path: UserAddr, mode: int) -> int:
    return await _open(task, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode & 0o7777)


@syscall
async def openat2(task: Task, dfd: int, path: UserAddr, how: UserAddr, size: int) -> int:
    """RESOLVE_CACHED always answers EAGAIN, as it may."""
    if size < OPEN_HOW.size:
        raise EINVAL("struct open_how")
    if size > _PAGE:
        raise E2BIG("struct open_how")
    given = task.memory.read(how, size)
    if any(given[OPEN_HOW.size :]):
        raise E2BIG("fields of a newer kernel")
    flags, mode, resolve = OPEN_HOW.unpack_from(given)
    if flags & ~VALID_OPEN_FLAGS or resolve & ~VALID_RESOLVE_FLAGS:
        raise EINVAL("unknown flags")
    if resolve & RESOLVE_BENEATH and resolve & RESOLVE_IN_ROOT:
        raise EINVAL("RESOLVE_BENEATH and RESOLVE_IN_ROOT")
    if mode & ~0o7777 or (mode and not flags & (O_CREAT | O_TMPFILE_BIT)):
        raise EINVAL("mode")
    if flags & O_PATH and flags & ~O_PATH_FLAGS:
        raise EINVAL("O_PATH with other flags")
    checked = check_flags(flags)
    if resolve & RESOLVE_CACHED:
        raise EAGAIN("RESOLVE_CACHED")
    return await _open(task, dfd, path, checked, mode, resolve)


async def _open(task: Task, dirfd: int, path: UserAddr, flags: int, mode: int, resolve: int = 0) -> int:
    flags = check_flags(flags)
    name = task.memory.read_cstr(path)
    # The number comes first: EMFILE wins over what the path has to say, and nothing is created for it.
    with task.fd_table.reserve(1, cloexec=bool(flags & O_CLOEXEC)) as slots:
        slots.install(await open_path(task, dirfd, name, flags, mode, resolve))
    return slots.fds[0]


@syscall
def close(task: Task, fd: int) -> int:
    tell_close(task.fd_table.get(fd))
    return task.fd_table.close(fd)


def tell_close(description: CDescription) -> None:
    """Says to inotify that a description's last descriptor number goes away."""
    if description.refs == 1 and description.dentry != ffi.NULL and description.kind != lib.DESC_PATH:
        is_reader = description.open_flags & O_ACCMODE == O_RDONLY
        notify.on_file(description.dentry, notify.IN_CLOSE_NOWRITE if is_reader else notify.IN_CLOSE_WRITE)


@syscall
def close_range(task: Task, first: int, last: int, flags: int) -> int:
    if flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) or first > last:
        raise EINVAL("close_range")
    if flags & CLOSE_RANGE_UNSHARE and task.c.files.refs > 1:
        shared = task.c.files
        task.c.files = lib.fd_table_copy(shared)
        lib.fd_table_unref(task.c, shared)
    table = task.c.files
    for fd in range(first, min(last + 1, table.capacity)):
        slot = table.slots[fd]
        if slot.desc == ffi.NULL:
            continue
        if flags & CLOSE_RANGE_CLOEXEC:
            slot.cloexec = 1
        else:
            tell_close(slot.desc)
            result = lib.fd_close(task.c, fd)
            if result != lib.SENTRY_CONTINUE:  # a leftover in the workload is harmless, and ours to use again
                check(result)
    return 0
