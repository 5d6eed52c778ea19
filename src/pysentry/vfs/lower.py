"""Host trees as the gofer shows them: attributes, directories, descriptors, by dentry.

Owns the conversion of the gofer's answers into inodes and of dentries into its paths. Does not own the protocol
(gofer/protocol.py) nor what is kept on top (filesystems/tree.py) or in step (filesystems/gofer.py).
"""

from __future__ import annotations

from os import makedev

from pysentry.abi.errno import ENAMETOOLONG, ENOENT, ENOTDIR, LinuxError, host_errors
from pysentry.abi.fcntl import O_ACCMODE, O_APPEND, O_NOATIME, O_SYNC, O_TRUNC
from pysentry.abi.stat import S_IFLNK, S_IFMT, is_directory
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import new_inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gofer.client import GoferClient
    from gofer.protocol import Attr, DirEntry
    from pysentry.platform.cdefs import CDentry, CInode, CSuperblock

ENOENT_NUMBER = 2
PASSED_OPEN_FLAGS = O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_NOATIME  # what the gofer takes and we mean
_PATH_BUFFER = ffi.new("char[]", 4096)


def lower_path(dentry: CDentry) -> bytes:
    """The dentry's path in its gofer tree, without a leading slash. ENAMETOOLONG: over 4095 bytes."""
    length = lib.dentry_lower_path(dentry, _PATH_BUFFER, 4096)
    if length < 0:
        raise ENAMETOOLONG("path in the gofer's tree")
    return bytes(ffi.buffer(_PATH_BUFFER, length))


def path_below(directory: CDentry, name: bytes) -> bytes:
    """The path of an entry that may not have a dentry yet."""
    base = lower_path(directory)
    return base + b"/" + name if base else name


def fill_inode(inode: CInode, attr: Attr) -> None:
    """Takes over all attributes; as fill_inode() in native/vfs/gofer_fs.c."""
    inode.mode = attr.mode
    if not inode.flags & lib.INODE_OWNED:
        inode.uid = attr.uid
        inode.gid = attr.gid
    inode.nlink = attr.nlink
    inode.ino = attr.ino
    inode.dev = makedev(attr.dev_major, attr.dev_minor)
    inode.rdev = makedev(attr.rdev_major, attr.rdev_minor)
    inode.size = attr.size
    inode.blocks = attr.blocks
    inode.blksize = attr.blksize
    inode.atime_ns = attr.atime_ns
    inode.mtime_ns = attr.mtime_ns
    inode.ctime_ns = attr.ctime_ns
    inode.btime_ns = attr.btime_ns
    inode.checked_ns = lib.sentry_now_ns()
    if inode.nlink > 1 and not is_directory(inode.mode):
        lib.inode_share(inode)


def is_same_file(inode: CInode, attr: Attr) -> bool:
    """True if the attributes are of the file that the inode stands for."""
    return bool(
        inode.ino == attr.ino
        and inode.dev == makedev(attr.dev_major, attr.dev_minor)
        and inode.mode & S_IFMT == attr.mode & S_IFMT
    )


def new_lower_inode(sb: CSuperblock, attr: Attr, target: bytes) -> CInode:
    """A fresh inode for what the gofer described."""
    inode = new_inode(sb, attr.mode)
    if attr.mode & S_IFMT == S_IFLNK:
        lib.inode_set_symlink(inode, target)
    fill_inode(inode, attr)
    return inode


def is_shown_xattr(name: bytes) -> bool:
    """True for extended attributes that pass between host and sandbox: others mean something to the host only."""
    return name.startswith(b"user.") or name == b"security.capability"


class LowerTree:
    """One tree of the gofer."""

    __slots__ = ("client", "number")

    def __init__(self, client: GoferClient, number: int) -> None:
        self.client = client
        self.number = number

    def entry(self, directory: CDentry, name: bytes) -> tuple[Attr, bytes] | None:
        """Attributes and symlink target of one name, or None if there is none."""
        base = lower_path(directory)
        return self._walk(base + b"/" + name if base else name, len(base))

    def attributes(self, dentry: CDentry) -> tuple[Attr, bytes] | None:
        """Attributes of the dentry's place now, or None if it is gone."""
        path = lower_path(dentry)
        return self._walk(path, len(path))

    def _walk(self, path: bytes, base_length: int) -> tuple[Attr, bytes] | None:
        with host_errors():
            answer = self.client.walk(self.number, path, base_length)
        if answer.attrs:
            return answer.attrs[-1], answer.target
        if answer.stop in (0, ENOENT_NUMBER):
            return None
        raise LinuxError.from_errno(answer.stop)

    def find(self, path: bytes) -> Attr | None:
        """Attributes of a path of the tree, or None if nothing is there."""
        try:
            found = self._walk(path, len(path))
        except LinuxError as refused:
            if refused.errno in (ENOENT.errno, ENOTDIR.errno):
                return None
            raise
        return None if found is None else found[0]

    def list_at(self, path: bytes) -> list[DirEntry]:
        """Every entry of the directory at a path, with attributes where the gofer could read them (`attr.is_valid`)."""
        with host_errors():
            return self.client.list_directory(self.number, path)

    def list(self, directory: CDentry) -> list[DirEntry]:
        """The same of a dentry."""
        return self.list_at(lower_path(directory))

    def open(self, dentry: CDentry, flags: int) -> int:
        """A host descriptor of a regular file, with its own position."""
        path = lower_path(dentry)
        with host_errors():
            return self.client.open(self.number, path, flags & PASSED_OPEN_FLAGS)[0]

    def root(self, path: bytes = b"") -> tuple[Attr, bytes]:
        """Attributes of the tree's root, or of a directory in it that serves as one. ENOENT: it is gone."""
        found = self._walk(path, len(path))
        if found is None:
            raise ENOENT("root of a gofer tree")
        return found

    def user_xattrs(self, dentry: CDentry) -> dict[bytes, bytes]:
        """The attributes that an overlay shows; none if there are none or the gofer may not read them."""
        path = lower_path(dentry)
        try:
            names = self.client.listxattr(self.number, path)
            shown = [name for name in names if is_shown_xattr(name)]
            return {name: self.client.getxattr(self.number, path, name) for name in shown}
        except OSError:
            return {}
