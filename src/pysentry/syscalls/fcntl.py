"""fcntl(2) and the dup(2) family: descriptor numbers and status flags. Locks are vfs/locks."""

from __future__ import annotations

import fcntl as host_fcntl
from struct import Struct

from pysentry.abi.errno import EBADF, EBUSY, EINVAL, EPERM, check, host_errors
from pysentry.abi.fcntl import (
    F_ADD_SEALS,
    F_CREATED_QUERY,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_DUPFD_QUERY,
    F_GET_RW_HINT,
    F_GET_SEALS,
    F_GETFD,
    F_GETFL,
    F_GETLEASE,
    F_GETLK,
    F_GETOWN,
    F_GETOWN_EX,
    F_GETOWNER_UIDS,
    F_GETPIPE_SZ,
    F_GETSIG,
    F_NOTIFY,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_OWNER_EX,
    F_OWNER_PGRP,
    F_OWNER_PID,
    F_OWNER_TID,
    F_SET_RW_HINT,
    F_SETFD,
    F_SETFL,
    F_SETLEASE,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_SETOWN_EX,
    F_SETPIPE_SZ,
    F_SETSIG,
    FD_CLOEXEC,
    O_ACCMODE,
    O_APPEND,
    O_ASYNC,
    O_CLOEXEC,
    O_DIRECT,
    O_NOATIME,
    O_RDONLY,
    SETFL_MASK,
)
from pysentry.kernel import dnotify, sigio
from pysentry.kernel.description import description_of
from pysentry.kernel.pipe import Pipe
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.open import tell_close
from pysentry.syscalls.registry import syscall
from pysentry.vfs import leases, locks
from pysentry.vfs.dentry import attach_to_inode, attachment
from pysentry.vfs.permissions import is_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_RLIMIT_NOFILE = 7
_FOR_O_PATH = (F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_GETFD, F_SETFD, F_GETFL)
_LOCK_COMMANDS = (F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW)
_OWNER_COMMANDS = (F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG, F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS)
_UID_PAIR, _UINT64 = Struct("=II"), Struct("=Q")
_HINT, _LONGEST_LIFE = "write_hint", 5  # RWH_WRITE_LIFE_EXTREME


@syscall
def dup(task: Task, oldfd: int) -> int:
    description = task.fd_table.get(oldfd)
    lib.desc_ref(description)
    return task.fd_table.alloc(description)


@syscall
def dup2(task: Task, oldfd: int, newfd: int) -> int:
    if oldfd == newfd:
        task.fd_table.get(oldfd)
        return newfd
    return _duplicate_to(task, oldfd, newfd, is_cloexec=False)


@syscall
def dup3(task: Task, oldfd: int, newfd: int, flags: int) -> int:
    if flags & ~O_CLOEXEC or oldfd == newfd:
        raise EINVAL("dup3")
    return _duplicate_to(task, oldfd, newfd, is_cloexec=bool(flags))


def _duplicate_to(task: Task, oldfd: int, newfd: int, is_cloexec: bool) -> int:
    """EBUSY: another thread's open was promised the number, as do_dup2() in Linux fs/file.c."""
    if not 0 <= newfd < task.group.c.rlimit_cur[_RLIMIT_NOFILE]:
        raise EBADF("newfd")
    description = task.fd_table.get(oldfd)
    table = task.c.files
    replaced = table.slots[newfd].desc if newfd < table.capacity else ffi.NULL
    if replaced != ffi.NULL:
        tell_close(replaced)
    else:
        reserved = check(lib.fd_reserve(task.c, newfd))
        if reserved != newfd:
            lib.fd_release(task.c, reserved)
            raise EBUSY("promised to an open")
    lib.desc_ref(description)
    task.fd_table.install(newfd, description, is_cloexec)
    return newfd


@syscall
async def fcntl(task: Task, fd: int, cmd: int, arg: int) -> int:
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH and cmd not in _FOR_O_PATH:
        raise EBADF("O_PATH")
    if cmd in (F_DUPFD, F_DUPFD_CLOEXEC):
        return _duplicate_from(task, c, arg, is_cloexec=cmd == F_DUPFD_CLOEXEC)
    if cmd == F_GETFD:
        return FD_CLOEXEC if task.fd_table.slot(fd).cloexec else 0
    if cmd == F_SETFD:
        task.fd_table.slot(fd).cloexec = arg & FD_CLOEXEC
        return 0
    if cmd == F_GETFL:
        return c.open_flags
    if cmd == F_SETFL:
        return _set_status(task, c, fd, arg)
    if cmd in _LOCK_COMMANDS:
        return await locks.fcntl_lock(task, c, cmd, arg)
    if cmd == F_CREATED_QUERY:
        return int(bool(c.flags & lib.DESC_CREATED))
    if cmd == F_DUPFD_QUERY:
        return int(task.fd_table.get(arg & 0x7FFFFFFF) == c)
    if cmd in _OWNER_COMMANDS:
        return _ownership(task, c, cmd, arg)
    if cmd == F_NOTIFY:
        return dnotify.notify(task, c, fd, arg & 0xFFFFFFFF)
    if cmd == F_SETLEASE:
        return leases.set_lease(task, c, fd, _signed(arg))
    if cmd == F_GETLEASE:
        return leases.get_lease(c)
    if cmd in (F_GET_RW_HINT, F_SET_RW_HINT):
        return _write_hint(task, c, cmd, arg)
    if cmd in (F_SETPIPE_SZ, F_GETPIPE_SZ):
        pipe = description_of(c)
        if not isinstance(pipe, Pipe):
            raise EBADF("not a pipe")
        return pipe.set_size(task, arg & 0xFFFFFFFF) if cmd == F_SETPIPE_SZ else pipe.size()
    if cmd in (F_ADD_SEALS, F_GET_SEALS):
        return _seals(c, cmd, arg & 0xFFFFFFFF)
    raise EINVAL(f"fcntl command {cmd}")


def _duplicate_from(task: Task, c: CDescription, lowest: int, is_cloexec: bool) -> int:
    if lowest >= task.group.c.rlimit_cur[_RLIMIT_NOFILE]:
        raise EINVAL("lowest")
    lib.desc_ref(c)
    return task.fd_table.alloc(c, is_cloexec, lowest)


def _set_status(task: Task, c: CDescription, fd: int, flags: int) -> int:
    """setfl() in Linux fs/fcntl.c. O_NONBLOCK stays ours: the host descriptor never blocks."""
    changed = (c.open_flags ^ flags) & SETFL_MASK
    if changed & flags & O_NOATIME and c.inode != ffi.NULL and not is_owner(task.cred, c.inode):
        raise EPERM("O_NOATIME")
    if changed & flags & O_DIRECT and c.kind not in (lib.DESC_FILE, lib.DESC_PIPE):
        raise EINVAL("O_DIRECT")
    if changed & O_DIRECT and c.kind == lib.DESC_PIPE:  # packets
        with host_errors():
            host_fcntl.fcntl(c.host_fd, host_fcntl.F_SETFL, host_fcntl.fcntl(c.host_fd, host_fcntl.F_GETFL) ^ O_DIRECT)
    if changed & O_APPEND and c.kind == lib.DESC_FILE and not c.flags & lib.DESC_OWN_POS:
        with host_errors():
            host = host_fcntl.fcntl(c.host_fd, host_fcntl.F_GETFL)
            host_fcntl.fcntl(c.host_fd, host_fcntl.F_SETFL, host ^ O_APPEND)
    if changed & O_ASYNC:
        changed ^= O_ASYNC
        if sigio.can_be_async(c):
            sigio.set_async(c, fd, bool(flags & O_ASYNC))
    c.open_flags ^= changed
    return 0


def _signed(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


# ---- signals of a descriptor ----------------------------------------------------------------------------------------


def _ownership(task: Task, c: CDescription, cmd: int, arg: int) -> int:
    """Who is told, and by which signal: kernel/sigio."""
    if cmd == F_SETOWN:
        return set_owner(task, c, _signed(arg))
    if cmd == F_GETOWN:
        return get_owner(c)
    if cmd == F_SETSIG:
        sigio.set_signal(c, _signed(arg))
        return 0
    if cmd == F_GETSIG:
        return sigio.known_owner(c).signal
    if cmd == F_SETOWN_EX:
        kind, pid = task.memory.read_struct(arg, F_OWNER_EX)
        if kind not in (F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP):
            raise EINVAL("F_SETOWN_EX")
        sigio.owner_of(c).set(task, kind, pid)
        return 0
    owner = sigio.known_owner(c)
    if cmd == F_GETOWN_EX:
        task.memory.write_struct(arg, F_OWNER_EX, owner.kind, owner.living())
    else:
        task.memory.write_struct(arg, _UID_PAIR, owner.uid, owner.euid)
    return 0


def set_owner(task: Task, c: CDescription, owner: int) -> int:
    """F_SETOWN: a process, or a process group as a negative number."""
    if owner == -0x80000000:
        raise EINVAL("F_SETOWN")
    sigio.owner_of(c).set(task, F_OWNER_PGRP if owner < 0 else F_OWNER_PID, abs(owner))
    return 0


def get_owner(c: CDescription) -> int:
    """F_GETOWN."""
    owner = sigio.known_owner(c)
    return -owner.living() if owner.kind == F_OWNER_PGRP else owner.living()


# ---- files --------------------------------------------------------------------------------------------------------


def _write_hint(task: Task, c: CDescription, cmd: int, address: UserAddr) -> int:
    """How long what is written will live: kept with the file, and makes no difference, as on most devices."""
    if c.inode == ffi.NULL:
        raise EINVAL("no file")
    if cmd == F_GET_RW_HINT:
        task.memory.write_struct(address, _UINT64, attachment(c.inode, _HINT) or 0)
        return 0
    if not is_owner(task.cred, c.inode):
        raise EPERM("F_SET_RW_HINT")
    (hint,) = task.memory.read_struct(address, _UINT64)
    if hint > _LONGEST_LIFE:
        raise EINVAL("F_SET_RW_HINT")
    attach_to_inode(c.inode, _HINT, hint)
    return 0


def _seals(c: CDescription, cmd: int, seals: int) -> int:
    """Files in memory are memfds of the host, which keeps their seals: fcntl(2), File Sealing."""
    if c.kind != lib.DESC_FILE or c.inode == ffi.NULL or not c.inode.flags & lib.INODE_LIVE:
        raise EINVAL("not a file in memory")
    if cmd == F_ADD_SEALS and c.open_flags & O_ACCMODE == O_RDONLY:
        raise EPERM("not open for writing")
    with host_errors():
        return host_fcntl.fcntl(c.host_fd, cmd, seals)
