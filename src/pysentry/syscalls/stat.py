"""stat(2), statx(2), access(2), readlink(2), statfs(2)."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EACCES, EBADF, EINVAL, ENOENT, EROFS, host_errors
from pysentry.abi.fcntl import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
    NAME_MAX,
)
from pysentry.abi.stat import (
    ANON_INODE_MAGIC,
    MNT_UNIQUE_ID_OFFSET,
    PIPEFS_MAGIC,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    SOCKFS_MAGIC,
    STAT,
    STATFS,
    STATX,
    STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS,
    STATX_BTIME,
    STATX_MNT_ID,
    STATX_MNT_ID_UNIQUE,
    STATX_RESERVED,
    TMPFS_MAGIC,
    W_OK,
    X_OK,
    is_symlink,
)
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall
from pysentry.vfs.filesystem import Statfs, filesystem_of, statfs_flags
from pysentry.vfs.mounts import mount_table
from pysentry.vfs.permissions import check_permission
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CCredentials, CDescription, CSuperblock

_NS = 1_000_000_000
_USTAT = Struct("=I4xQ6s6s4x")  # free blocks, free inodes, two names that Linux leaves empty
_STAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE
_SECURE_NO_SETUID_FIXUP = 1 << 2
_STORED_KINDS = (S_IFREG, S_IFDIR, S_IFLNK)  # a device on a read-only mount can be written


class HostAttributes:
    """Attributes of a description without an inode of ours (a pipe, a socket, a given descriptor), by inode's names."""

    __slots__ = (
        "atime_ns", "blksize", "blocks", "btime_ns", "ctime_ns", "dev", "flags", "gid", "ino", "mode", "mtime_ns",
        "nlink", "rdev", "sb", "size", "uid",
    )  # fmt: skip

    def __init__(self, task: Task, description: CDescription) -> None:
        self.mode, self.ino, self.dev, self.rdev, self.nlink = 0o600, description.id, 0, 0, 1
        self.size = self.blocks = self.atime_ns = self.mtime_ns = self.ctime_ns = self.btime_ns = 0
        self.blksize, self.flags, self.sb = 4096, 0, None
        # Ids of the host mean nothing in here; who holds the descriptor is its owner.
        self.uid, self.gid = task.cred.fsuid, task.cred.fsgid
        if description.host_fd < 0:
            return
        with host_errors():
            status = os.fstat(description.host_fd)
        self.mode, self.ino, self.dev, self.rdev = status.st_mode, status.st_ino, status.st_dev, status.st_rdev
        self.nlink, self.size, self.blocks, self.blksize = (
            status.st_nlink, status.st_size, status.st_blocks, status.st_blksize,
        )  # fmt: skip
        self.atime_ns, self.mtime_ns, self.ctime_ns = status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns


def attributes_of(task: Task, description: CDescription) -> Any:
    """The up-to-date inode of a description, or what stands for one."""
    inode = description.inode
    if inode == ffi.NULL:
        return HostAttributes(task, description)
    sb = inode.sb if description.dentry == ffi.NULL else description.dentry.sb
    filesystem_of(sb).refresh(task, inode, description=description)
    return inode


def _attributes_at(task: Task, dirfd: int, path: UserAddr, flags: int) -> Any:
    """The inode that (dirfd, path, flags) names: vfs_statx()."""
    return _place_at(task, dirfd, path, flags)[0]


def _place_at(task: Task, dirfd: int, path: UserAddr, flags: int) -> tuple[Any, CSuperblock | None]:
    """The same, and the mount it was found in."""
    name = b"" if not path and flags & AT_EMPTY_PATH else task.memory.read_cstr(path)
    walk = resolve(
        task, dirfd, name, follow=not flags & AT_SYMLINK_NOFOLLOW, empty_ok=bool(flags & AT_EMPTY_PATH)
    )
    if walk.description is not None:
        found = attributes_of(task, walk.description)
        return found, found.sb if walk.description.dentry == ffi.NULL else walk.description.dentry.sb
    dentry = walk.require()
    filesystem_of(dentry.sb).refresh(task, dentry.inode, dentry=dentry)
    return dentry.inode, dentry.sb


def _write_stat(task: Task, addr: UserAddr, inode: Any) -> int:
    task.memory.write_struct(
        addr, STAT, inode.dev, inode.ino, inode.nlink, inode.mode, inode.uid, inode.gid, inode.rdev, inode.size,
        inode.blksize, inode.blocks, *divmod(inode.atime_ns, _NS), *divmod(inode.mtime_ns, _NS),
        *divmod(inode.ctime_ns, _NS),
    )  # fmt: skip
    return 0


@syscall
def stat(task: Task, path: UserAddr, statbuf: UserAddr) -> int:
    return _write_stat(task, statbuf, _attributes_at(task, AT_FDCWD, path, 0))


@syscall
def lstat(task: Task, path: UserAddr, statbuf: UserAddr) -> int:
    return _write_stat(task, statbuf, _attributes_at(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW))


@syscall
def fstat(task: Task, fd: int, statbuf: UserAddr) -> int:
    return _write_stat(task, statbuf, attributes_of(task, task.fd_table.get(fd)))


@syscall
def newfstatat(task: Task, dfd: int, path: UserAddr, statbuf: UserAddr, flags: int) -> int:
    if flags & ~_STAT_FLAGS:
        raise EINVAL("flags")
    return _write_stat(task, statbuf, _attributes_at(task, dfd, path, flags))


@syscall
def statx(task: Task, dfd: int, path: UserAddr, flags: int, mask: int, statxbuf: UserAddr) -> int:
    """All basic fields are always there, birth time and mount id where known; nothing newer."""
    if mask & STATX_RESERVED or flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE or flags & ~_STAT_FLAGS:
        raise EINVAL("flags")
    inode, sb = _place_at(task, dfd, path, flags)
    is_unique = bool(mask & STATX_MNT_ID_UNIQUE)
    is_mount_root = sb is not None and sb.root.inode == inode
    atime, btime = divmod(inode.atime_ns, _NS), divmod(inode.btime_ns, _NS)
    ctime, mtime = divmod(inode.ctime_ns, _NS), divmod(inode.mtime_ns, _NS)
    got = STATX_BASIC_STATS | (STATX_BTIME if inode.btime_ns else 0)
    got |= STATX_MNT_ID_UNIQUE if is_unique else STATX_MNT_ID
    task.memory.write_struct(
        statxbuf, STATX, got, inode.blksize, STATX_ATTR_MOUNT_ROOT if is_mount_root else 0, inode.nlink, inode.uid,
        inode.gid, inode.mode, inode.ino, inode.size, inode.blocks, STATX_ATTR_MOUNT_ROOT, *atime, *btime, *ctime,
        *mtime, os.major(inode.rdev), os.minor(inode.rdev), os.major(inode.dev), os.minor(inode.dev),
        0 if sb is None else sb.id + (MNT_UNIQUE_ID_OFFSET if is_unique else 0), 0, 0,
    )  # fmt: skip
    return 0


# ---- access -------------------------------------------------------------------------------------------------------


@syscall
def access(task: Task, path: UserAddr, mode: int) -> int:
    return _access(task, AT_FDCWD, path, mode, 0)


@syscall
def faccessat(task: Task, dfd: int, path: UserAddr, mode: int) -> int:
    return _access(task, dfd, path, mode, 0)


@syscall
def faccessat2(task: Task, dfd: int, path: UserAddr, mode: int, flags: int) -> int:
    return _access(task, dfd, path, mode, flags)


def _access(task: Task, dirfd: int, path: UserAddr, mode: int, flags: int) -> int:
    if mode & ~7 or flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL("access")
    name = task.memory.read_cstr(path)
    cred = task.cred if flags & AT_EACCESS else _real_credentials(task.cred)
    walk = resolve(
        task, dirfd, name, not flags & AT_SYMLINK_NOFOLLOW, bool(flags & AT_EMPTY_PATH), cred=cred
    )
    if walk.dentry is None and walk.description is not None:
        return 0  # a pipe, a socket: its holder is its owner
    dentry = walk.require()
    filesystem_of(dentry.sb).refresh(task, dentry.inode, dentry=dentry)
    kind = dentry.inode.mode & S_IFMT
    if not mode:
        return 0
    if mode & X_OK and kind == S_IFREG and dentry.sb.flags & lib.SB_NOEXEC:
        raise EACCES("noexec")
    check_permission(cred, dentry.inode, mode)
    if mode & W_OK and dentry.sb.flags & lib.SB_RDONLY and kind in _STORED_KINDS:
        raise EROFS("read-only mount")
    return 0


def _real_credentials(cred: CCredentials) -> CCredentials:
    """What access(2) asks with: real ids, and the capabilities that go with them: access_override_creds()."""
    real = ffi.new("struct credentials *", cred[0])  # type: ignore[index]
    real.fsuid, real.fsgid = cred.uid, cred.gid
    if not cred.securebits & _SECURE_NO_SETUID_FIXUP:
        real.cap_effective = 0 if cred.uid else cred.cap_permitted
    return real  # type: ignore[no-any-return]


# ---- readlink -----------------------------------------------------------------------------------------------------


@syscall
def readlink(task: Task, path: UserAddr, buf: UserAddr, bufsiz: int) -> int:
    return _readlink(task, AT_FDCWD, path, buf, bufsiz)


@syscall
def readlinkat(task: Task, dfd: int, path: UserAddr, buf: UserAddr, bufsiz: int) -> int:
    return _readlink(task, dfd, path, buf, bufsiz)


def _readlink(task: Task, dirfd: int, path: UserAddr, buf: UserAddr, size: int) -> int:
    if size <= 0:
        raise EINVAL("size")
    name = task.memory.read_cstr(path)
    walk = resolve(task, dirfd, name, follow=False, empty_ok=True)  # "": the link that an O_PATH descriptor is open on
    if walk.dentry is None or not is_symlink(walk.dentry.inode.mode):
        raise ENOENT("not a symlink") if not name or walk.dentry is None else EINVAL("not a symlink")
    target = filesystem_of(walk.dentry.sb).readlink(task, walk.dentry.inode)[:size]
    task.memory.write(buf, target)
    return len(target)


# ---- statfs -------------------------------------------------------------------------------------------------------

_ANONYMOUS_MAGIC = {lib.DESC_PIPE: PIPEFS_MAGIC, lib.DESC_SOCKET: SOCKFS_MAGIC, lib.DESC_FILE: TMPFS_MAGIC}


@syscall
def statfs(task: Task, path: UserAddr, buf: UserAddr) -> int:
    walk = resolve(task, AT_FDCWD, task.memory.read_cstr(path))
    if walk.dentry is None and walk.description is not None:
        return _write_statfs(task, buf, _anonymous(walk.description), None)
    sb = walk.require().sb
    return _write_statfs(task, buf, filesystem_of(sb).statfs(), sb)


@syscall
def fstatfs(task: Task, fd: int, buf: UserAddr) -> int:
    c = task.fd_table.get(fd)
    if c.inode == ffi.NULL:
        return _write_statfs(task, buf, _anonymous(c), None)
    sb = c.inode.sb if c.dentry == ffi.NULL else c.dentry.sb
    return _write_statfs(task, buf, filesystem_of(sb).statfs(), sb)


@syscall
def ustat(task: Task, dev: int, ubuf: UserAddr) -> int:
    """The file system with this device number (as a 32-bit dev_t of the kernel's user interface)."""
    wanted = os.makedev(dev >> 8 & 0xFFF, dev & 0xFF | dev >> 12 & 0xFFF00)  # new_decode_dev()
    for mount in mount_table(task.fs.root):
        if mount.sb.dev == wanted:
            sizes = filesystem_of(mount.sb).statfs()
            task.memory.write_struct(ubuf, _USTAT, sizes.free & 0xFFFFFFFF, sizes.files_free, b"", b"")
            return 0
    raise EINVAL("no such file system")


def _anonymous(c: CDescription) -> Statfs:
    if c.kind == lib.DESC_PATH:
        raise EBADF("O_PATH")
    return Statfs(_ANONYMOUS_MAGIC.get(c.kind, ANON_INODE_MAGIC))


def _write_statfs(task: Task, buf: UserAddr, sizes: Statfs, sb: CSuperblock | None) -> int:
    dev = 0 if sb is None else sb.dev & 0x7FFFFFFF
    task.memory.write_struct(
        buf, STATFS, sizes.magic, sizes.block_size, sizes.blocks, sizes.free, sizes.available, sizes.files,
        sizes.files_free, dev, 0, NAME_MAX, sizes.block_size, 0 if sb is None else statfs_flags(sb),
    )  # fmt: skip
    return 0
