"""What a file system does, and which one a superblock belongs to.

A FileSystem is the mechanics below the rules: who may do it (permissions.py) and what an operation requires (namei.py,
open.py) were decided before it is called. Its state is in C structs; what only Python needs hangs on inode ids
(dentry.attachment).

Everything is asked by dentry (a place) or inode (a file). Names and symlink targets are bytes. `task` is who asks; only
file systems whose content depends on it (proc) look at it, and at boot it is None.
"""

from __future__ import annotations

import os
from time import time_ns

from pysentry.abi.errno import EACCES, EINVAL, ENODATA, ENXIO, EOPNOTSUPP, EPERM, LinuxError
from pysentry.abi.stat import (
    S_IFMT,
    ST_NOATIME,
    ST_NODEV,
    ST_NODIRATIME,
    ST_NOEXEC,
    ST_NOSUID,
    ST_NOSYMFOLLOW,
    ST_RDONLY,
    ST_RELATIME,
    ST_VALID,
    dirent_type,
)
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import children, dentry_name, find, is_positive
from pysentry.vfs.times import in_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode, CSuperblock



class Statfs:
    """struct statfs without what the superblock knows. Blocks are of `block_size` bytes."""

    __slots__ = ("available", "block_size", "blocks", "files", "files_free", "free", "magic")

    def __init__(self, magic: int, blocks: int = 0, free: int = 0, files: int = 0, files_free: int = 0) -> None:
        self.magic = magic
        self.block_size = 4096
        self.blocks = blocks
        self.free = self.available = free
        self.files = files
        self.files_free = files_free


class FileSystem:
    """One mounted file system. The base class is a read-only one without content."""

    type_name = "none"  # as /proc/mounts shows it
    magic = 0

    def __init__(self, sb: CSuperblock) -> None:
        self.sb = sb
        _file_systems[sb.id] = self

    # ---- names ----

    def lookup(self, task: Task | None, directory: CDentry, name: bytes) -> CDentry | None:
        """The entry, or None. The caller has checked that `directory` is one and may be searched. Not "." or ".."."""
        found = find(directory, name)
        return found if found is not None and is_positive(found) else None

    def readdir(self, task: Task | None, directory: CDentry) -> list[tuple[bytes, int, int]]:
        """(name, inode number, DT_*) of every entry but "." and ".."."""
        return [(dentry_name(child), child.inode.ino, dirent_type(child.inode.mode)) for child in children(directory)]

    def readlink(self, task: Task | None, inode: CInode) -> bytes:
        """The target of a symbolic link."""
        if inode.symlink == ffi.NULL:
            raise EINVAL("no target")
        return bytes(ffi.string(inode.symlink))

    def magic_link(self, task: Task, inode: CInode) -> CDentry | CDescription | None:
        """Where a link of /proc leads without a path (fd, cwd, exe, root); None: an ordinary symlink.

        Asked only for inodes with INODE_PYTHON."""
        return None

    # ---- making, taking away: `directory` has no such entry; mode includes the type. Linux' answers where a file
    # system does not know how ----

    def create(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        """A new empty regular file."""
        raise EACCES(self.type_name)

    def create_and_open(
        self, task: Task, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, flags: int
    ) -> tuple[CDentry, CDescription]:
        """A new empty regular file, opened: its mode does not restrict this open."""
        made = self.create(directory, name, mode, uid, gid)
        return made, self.open(task, made, flags)

    def mkdir(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        """A new directory."""
        raise EPERM(self.type_name)

    def mknod(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> CDentry:
        """A FIFO, a socket's name, or a device node."""
        raise EPERM(self.type_name)

    def symlink(self, directory: CDentry, name: bytes, target: bytes, uid: int, gid: int) -> CDentry:
        """A new symbolic link."""
        raise EPERM(self.type_name)

    def link(self, source: CDentry, directory: CDentry, name: bytes) -> CDentry:
        """Another name for a file of this file system."""
        raise EPERM(self.type_name)

    def tmpfile(self, directory: CDentry, mode: int, uid: int, gid: int) -> CDentry:
        """A regular file without a name; the dentry comes with one reference."""
        raise EOPNOTSUPP("O_TMPFILE")

    def unlink(self, victim: CDentry) -> None:
        """Takes a name of a non-directory away."""
        raise EPERM(self.type_name)

    def rmdir(self, victim: CDentry) -> None:
        """Removes a directory. ENOTEMPTY."""
        raise EPERM(self.type_name)

    def rename(self, source: CDentry, directory: CDentry, name: bytes, target: CDentry | None) -> None:
        """Moves a name; `target` is what is there and gives way (ENOTEMPTY if it is a directory that cannot)."""
        raise EPERM(self.type_name)

    def exchange(self, one: CDentry, other: CDentry) -> None:
        """RENAME_EXCHANGE: two names change places."""
        raise EINVAL("RENAME_EXCHANGE")

    # ---- files ----

    def open(self, task: Task, dentry: CDentry, flags: int) -> CDescription:
        """A description of a regular file or directory, with one reference; not yet tied to the dentry.

        `flags` as F_GETFL will show them, plus O_TRUNC."""
        raise ENXIO("nothing to open")

    def refresh(
        self, task: Task, inode: CInode, dentry: CDentry | None = None, description: CDescription | None = None
    ) -> None:
        """Brings the inode's attributes up to date before they are shown; by the place or the description, if known."""
        if inode.flags & lib.INODE_LIVE:
            refresh_live(inode)

    def setattr(self, dentry: CDentry, change: AttributeChange) -> None:
        """Changes attributes; ctime becomes now."""
        raise EPERM(self.type_name)

    def room(self, inode: CInode, at: int, wanted_bytes: int) -> int:
        """How many of so many bytes may be written at a position (SB_LIMITED). ENOSPC: none."""
        return wanted_bytes

    def check_size(self, inode: CInode, length: int) -> None:
        """ENOSPC unless a file may get so long without being written (SB_LIMITED)."""

    def prepare_map(self, inode: CInode) -> None:
        """ENOMEM unless a file may be mapped (SB_LIMITED)."""

    def truncate(self, dentry: CDentry, length: int) -> None:
        """Sets the size of a regular file."""
        raise EPERM(self.type_name)

    def statfs(self) -> Statfs:
        """Sizes for statfs(2)."""
        return Statfs(self.magic)

    # ---- extended attributes: names as "user.x" ----

    def get_xattr(self, dentry: CDentry, name: bytes) -> bytes:
        """The value; ENODATA."""
        raise ENODATA("none") if name.startswith((b"user.", b"trusted.")) else EOPNOTSUPP("xattr")

    def set_xattr(self, dentry: CDentry, name: bytes, value: bytes, flags: int) -> None:
        """XATTR_CREATE: EEXIST; XATTR_REPLACE: ENODATA."""
        raise EOPNOTSUPP("xattr")

    def list_xattrs(self, dentry: CDentry) -> list[bytes]:
        """All names."""
        return []

    def remove_xattr(self, dentry: CDentry, name: bytes) -> None:
        """ENODATA."""
        raise EOPNOTSUPP("xattr")


_file_systems: dict[int, FileSystem] = {}


def filesystem_of(sb: CSuperblock) -> FileSystem:
    """The FileSystem of a superblock."""
    return _file_systems[sb.id]


def statfs_flags(sb: CSuperblock) -> int:
    """ST_* of a mount."""
    flags = ST_VALID | (0 if sb.flags & (lib.SB_NOATIME | lib.SB_STRICTATIME) else ST_RELATIME)
    for mount_flag, shown in (
        (lib.SB_RDONLY, ST_RDONLY),
        (lib.SB_NOSUID, ST_NOSUID),
        (lib.SB_NODEV, ST_NODEV),
        (lib.SB_NOEXEC, ST_NOEXEC),
        (lib.SB_NOSYMFOLLOW, ST_NOSYMFOLLOW),
        (lib.SB_NOATIME, ST_NOATIME),
        (lib.SB_NODIRATIME, ST_NODIRATIME),
    ):
        if sb.flags & mount_flag:
            flags |= shown
    return flags


# ---- attributes -----------------------------------------------------------------------------------------------------


def content_fd(inode: CInode) -> int:
    """The read-write host descriptor of a file in memory: borrowed, used at once, as asking for others may close it."""
    return _descriptor(lib.inode_host_fd(inode))


def make_content(inode: CInode) -> int:
    """Gives an inode empty content in memory; its descriptor, as `content_fd`."""
    return _descriptor(lib.inode_make_content(inode))


def _descriptor(result: int) -> int:
    if result < 0:
        raise LinuxError.from_errno(-result)
    return result


def refresh_live(inode: CInode) -> None:
    """Size, blocks and times of an inode whose content is in memory."""
    take_live_attributes(inode, content_fd(inode))


class AttributeChange:
    """What chmod(2), chown(2) and utimensat(2) want of a file; None: as it is. mode: the permission bits."""

    __slots__ = ("atime_ns", "gid", "mode", "mtime_ns", "uid")

    def __init__(
        self,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.atime_ns = atime_ns
        self.mtime_ns = mtime_ns

    @property
    def has_times(self) -> bool:
        """True if it is about times."""
        return self.atime_ns is not None or self.mtime_ns is not None


def set_in_memory(inode: CInode, change: AttributeChange) -> None:
    """setattr() of an inode whose attributes are nowhere but here."""
    if change.mode is not None:
        inode.mode = inode.mode & S_IFMT | change.mode
    for name in ("uid", "gid", "atime_ns", "mtime_ns"):
        wanted = getattr(change, name)
        if wanted is not None:
            setattr(inode, name, wanted)
    inode.ctime_ns = time_ns()


def take_live_attributes(inode: CInode, host_fd: int) -> os.stat_result:
    """What only the host descriptor knows; the later ctime wins, since chmod and its kin happen in the inode."""
    status = os.fstat(host_fd)
    inode.size = status.st_size
    inode.blocks = status.st_blocks
    inode.atime_ns = in_range(status.st_atime_ns)
    inode.mtime_ns = in_range(status.st_mtime_ns)
    inode.ctime_ns = max(inode.ctime_ns, in_range(status.st_ctime_ns))
    return status
