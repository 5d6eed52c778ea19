"""Attributes, changed: chmod(2), chown(2), truncate(2), utimensat(2) and their kin, umask(2)."""

from __future__ import annotations

import struct
from time import time_ns

from pysentry.abi.capability import CAP_CHOWN
from pysentry.abi.errno import EACCES, EBADF, EFBIG, EINVAL, EISDIR, EOPNOTSUPP, EPERM, ETXTBSY
from pysentry.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_WRONLY
from pysentry.abi.stat import (
    TIMESPEC_PAIR,
    UTIMBUF,
    UTIME_NOW,
    UTIME_OMIT,
    is_directory,
    is_regular,
    is_symlink,
)
from pysentry.kernel.description import RLIM_INFINITY, RLIMIT_FSIZE, SIGXFSZ
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs import notify
from pysentry.vfs.filesystem import AttributeChange, filesystem_of
from pysentry.vfs.open import is_executing
from pysentry.vfs.permissions import (
    MAY_WRITE,
    check_permission,
    check_writable,
    drop_set_id,
    is_capable,
    is_in_group,
    is_owner,
    mode_after_chmod,
    mode_after_chown,
)
from pysentry.vfs.times import in_range
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CCredentials, CDentry, CInode

_NS = 1_000_000_000
_UNCHANGED = 0xFFFFFFFF  # (uid_t)-1
_TIMEVALS = struct.Struct("<qqqq")


def _place(task: Task, dirfd: int, path: UserAddr, flags: int) -> CDentry:
    """What a path argument names, on a mount that may be written: EROFS comes before any permission."""
    dentry = _named(task, dirfd, path, flags)
    check_writable(dentry.sb)
    return dentry


def _named(task: Task, dirfd: int, path: UserAddr, flags: int) -> CDentry:
    name = task.memory.read_cstr(path)
    walk = resolve(task, dirfd, name, not flags & AT_SYMLINK_NOFOLLOW, bool(flags & AT_EMPTY_PATH))
    if walk.dentry is None and walk.description is not None:
        raise EPERM("an anonymous file")
    return walk.require()


def _open_place(task: Task, fd: int) -> CDentry:
    """The same for a descriptor. Anonymous files (pipes, sockets) have no attributes to change: EPERM."""
    dentry = _opened(task, fd)
    check_writable(dentry.sb)
    return dentry


def _opened(task: Task, fd: int) -> CDentry:
    c = task.fd_table.get(fd)
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    if c.dentry == ffi.NULL:
        raise EPERM("an anonymous file")
    if c.dentry.flags & lib.DENTRY_UNHASHED:  # whether it has other names decides where its attributes are
        filesystem_of(c.dentry.sb).refresh(task, c.inode, description=c)
    return c.dentry


# ---- mode ---------------------------------------------------------------------------------------------------------


@syscall
def chmod(task: Task, path: UserAddr, mode: int) -> int:
    return _chmod(task, _place(task, AT_FDCWD, path, 0), mode)


@syscall
def fchmod(task: Task, fd: int, mode: int) -> int:
    return _chmod(task, _open_place(task, fd), mode)


@syscall
def fchmodat(task: Task, dfd: int, path: UserAddr, mode: int) -> int:
    return _chmod(task, _place(task, dfd, path, 0), mode)


@syscall
def fchmodat2(task: Task, dfd: int, path: UserAddr, mode: int, flags: int) -> int:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("flags")
    return _chmod(task, _place(task, dfd, path, flags), mode)


def _chmod(task: Task, dentry: CDentry, mode: int) -> int:
    inode = dentry.inode
    if is_symlink(inode.mode):
        raise EOPNOTSUPP("mode of a symlink")
    if not is_owner(task.cred, inode):
        raise EPERM("not the owner")
    filesystem_of(dentry.sb).setattr(dentry, AttributeChange(mode_after_chmod(task.cred, inode, mode & 0o7777)))
    notify.on_file(dentry, notify.IN_ATTRIB)
    return 0


@syscall
def umask(task: Task, mask: int) -> int:
    old = task.fs.umask
    task.fs.umask = mask & 0o777
    return old


# ---- owner --------------------------------------------------------------------------------------------------------


@syscall
def chown(task: Task, path: UserAddr, owner: int, group: int) -> int:
    return _chown(task, _place(task, AT_FDCWD, path, 0), owner, group)


@syscall
def lchown(task: Task, path: UserAddr, owner: int, group: int) -> int:
    return _chown(task, _place(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW), owner, group)


@syscall
def fchown(task: Task, fd: int, owner: int, group: int) -> int:
    return _chown(task, _open_place(task, fd), owner, group)


@syscall
def fchownat(task: Task, dfd: int, path: UserAddr, owner: int, group: int, flags: int) -> int:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("flags")
    return _chown(task, _place(task, dfd, path, flags), owner, group)


def _chown(task: Task, dentry: CDentry, owner: int, group: int) -> int:
    """chown_common() and setattr_prepare() in Linux. Set-id bits go, even for root."""
    inode, cred = dentry.inode, task.cred
    owner, group = owner & _UNCHANGED, group & _UNCHANGED
    if not is_capable(cred, CAP_CHOWN):
        is_mine = cred.fsuid == inode.uid
        if owner != _UNCHANGED and not (is_mine and owner == inode.uid):
            raise EPERM("owner")
        if group != _UNCHANGED and not (is_mine and (group == inode.gid or is_in_group(cred, group))):
            raise EPERM("group")
    mode = inode.mode if is_directory(inode.mode) else mode_after_chown(cred, inode)
    if mode != inode.mode and not is_owner(cred, inode):
        raise EPERM("set-id bits")
    change = AttributeChange(
        mode=None if mode == inode.mode else mode & 0o7777,
        uid=None if owner == _UNCHANGED else owner,
        gid=None if group == _UNCHANGED else group,
    )
    filesystem_of(dentry.sb).setattr(dentry, change)
    inode.flags &= ~lib.INODE_FILE_CAPS
    notify.on_file(dentry, notify.IN_ATTRIB)
    return 0


# ---- size ---------------------------------------------------------------------------------------------------------


@syscall
async def truncate(task: Task, path: UserAddr, length: int) -> int:
    """vfs_truncate() in Linux fs/open.c."""
    if length < 0:
        raise EINVAL("length")
    walk = resolve(task, AT_FDCWD, task.memory.read_cstr(path))
    if walk.dentry is None and walk.description is not None:
        raise EINVAL("not a regular file")
    dentry = walk.require()
    inode = dentry.inode
    if is_directory(inode.mode):
        raise EISDIR("directory")
    if not is_regular(inode.mode):
        raise EINVAL("not a regular file")
    check_writable(dentry.sb)
    check_permission(task.cred, inode, MAY_WRITE)
    if is_executing(inode):
        raise ETXTBSY("being executed")
    if inode.flags & lib.INODE_LEASED:
        from pysentry.vfs.leases import break_lease

        lib.dentry_ref(dentry)
        try:
            await break_lease(task, inode, O_WRONLY)
        finally:
            lib.dentry_unref(dentry)
    file_system = filesystem_of(dentry.sb)
    file_system.refresh(task, inode, dentry=dentry)
    limit = task.group.c.rlimit_cur[RLIMIT_FSIZE]
    if limit != RLIM_INFINITY and length > limit and length > inode.size:
        task.send_signal(SIGXFSZ)
        raise EFBIG("RLIMIT_FSIZE")
    file_system.truncate(dentry, length)
    drop_set_id(task.cred, inode)
    notify.on_file(dentry, notify.IN_MODIFY)
    return 0


# ---- times --------------------------------------------------------------------------------------------------------


@syscall
def utimensat(task: Task, dfd: int, path: UserAddr, times: UserAddr, flags: int) -> int:
    """A NULL path names what `dfd` has open."""
    wanted = None
    if times:
        seconds_a, nanos_a, seconds_m, nanos_m = task.memory.read_struct(times, TIMESPEC_PAIR)
        if nanos_a == nanos_m == UTIME_OMIT:
            return 0  # the path is not even looked at
        wanted = (_time(seconds_a, nanos_a), _time(seconds_m, nanos_m))
    return _set_times(task, dfd, path, wanted, flags)


def _time(seconds: int, nanos: int) -> int:
    """Nanoseconds since the epoch, or one of the special values as a negative number below any time."""
    if nanos in (UTIME_NOW, UTIME_OMIT):
        return _NOW if nanos == UTIME_NOW else _OMIT
    if not 0 <= nanos < _NS:
        return _INVALID
    return in_range(seconds * _NS + nanos)


_NOW, _OMIT, _INVALID = -(1 << 64), -(1 << 65), -(1 << 66)


@syscall
def utime(task: Task, path: UserAddr, times: UserAddr) -> int:
    wanted = None
    if times:
        atime, mtime = task.memory.read_struct(times, UTIMBUF)
        wanted = (_time(atime, 0), _time(mtime, 0))
    return _set_times(task, AT_FDCWD, path, wanted, 0)


@syscall
def utimes(task: Task, path: UserAddr, times: UserAddr) -> int:
    return _set_times(task, AT_FDCWD, path, _timevals(task, times), 0)


@syscall
def futimesat(task: Task, dfd: int, path: UserAddr, times: UserAddr) -> int:
    return _set_times(task, dfd, path, _timevals(task, times), 0)


def _timevals(task: Task, times: UserAddr) -> tuple[int, int] | None:
    if not times:
        return None
    seconds_a, micros_a, seconds_m, micros_m = task.memory.read_struct(times, _TIMEVALS)
    if not (0 <= micros_a < 1000000 and 0 <= micros_m < 1000000):
        raise EINVAL("microseconds")
    return _time(seconds_a, micros_a * 1000), _time(seconds_m, micros_m * 1000)


def _set_times(task: Task, dirfd: int, path: UserAddr, wanted: tuple[int, int] | None, flags: int) -> int:
    """do_utimes() and vfs_utimes() in Linux fs/utimes.c. `wanted`: (atime, mtime) in ns, None: both now."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("flags")
    if not path and dirfd != AT_FDCWD:
        if flags:
            raise EINVAL("flags without a path")
        dentry = _opened(task, dirfd)
    else:
        dentry = _named(task, dirfd, path, flags)
    if wanted is not None and _INVALID in wanted:
        raise EINVAL("nanoseconds")
    check_writable(dentry.sb)
    _check_may_set_times(task.cred, dentry.inode, wanted)
    now = time_ns()
    atime, mtime = wanted or (_NOW, _NOW)
    change = AttributeChange(
        atime_ns=None if atime == _OMIT else now if atime == _NOW else atime,
        mtime_ns=None if mtime == _OMIT else now if mtime == _NOW else mtime,
    )
    filesystem_of(dentry.sb).setattr(dentry, change)
    notify.on_file(dentry, notify.IN_ATTRIB)
    return 0


def _check_may_set_times(cred: CCredentials, inode: CInode, wanted: tuple[int, int] | None) -> None:
    if is_owner(cred, inode):
        return
    if wanted not in (None, (_NOW, _NOW)):
        raise EPERM("not the owner")
    if lib.inode_permission(cred, inode, MAY_WRITE) < 0:
        raise EACCES("neither the owner nor a writer")
