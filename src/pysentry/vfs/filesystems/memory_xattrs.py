"""Extended attributes in memory: what a tree file system keeps about its files: user.*, trusted.*, security.*.

A lower file's attributes are shown as long as none is changed; from then on all of them are kept here.
"""

from __future__ import annotations

from time import time_ns

from pysentry.abi.errno import EEXIST, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP
from pysentry.abi.stat import XATTR_CREATE, XATTR_REPLACE
from pysentry.platform.native import lib
from pysentry.vfs.dentry import attach_to_inode, attachment
from pysentry.vfs.filesystem import FileSystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDentry, CInode

INODE_XATTRS_MAX = 128 * 1024  # bytes of names and values that one file may have; ext4 stops at less
XATTRS = "xattrs"
"""Under this, an inode's attachment is its attributes (dict by name)."""
_CAPABILITY = b"security.capability"


class MemoryXattrs(FileSystem):
    """The part of a tree that is about extended attributes."""

    def lower_xattrs(self, dentry: CDentry) -> dict[bytes, bytes]:
        """What a file has before anything was changed."""
        return {}

    def remember_place(self, dentry: CDentry) -> None:
        """The dentry must not be forgotten from now on."""

    def get_xattr(self, dentry: CDentry, name: bytes) -> bytes:
        _check_name(name)
        kept = self._xattrs(dentry)
        if name not in kept:
            raise ENODATA(repr(name))
        return kept[name]

    def set_xattr(self, dentry: CDentry, name: bytes, value: bytes, flags: int) -> None:
        _check_name(name)
        kept = self.load_xattrs(dentry)
        if flags & XATTR_CREATE and name in kept:
            raise EEXIST(repr(name))
        if flags & XATTR_REPLACE and name not in kept:
            raise ENODATA(repr(name))
        others = sum(len(key) + len(content) for key, content in kept.items() if key != name)
        if others + len(name) + len(value) > INODE_XATTRS_MAX:
            raise ENOSPC("extended attributes")
        kept[name] = value
        if name == _CAPABILITY:
            dentry.inode.flags |= lib.INODE_FILE_CAPS
        dentry.inode.ctime_ns = time_ns()

    def list_xattrs(self, dentry: CDentry) -> list[bytes]:
        return list(self._xattrs(dentry))

    def remove_xattr(self, dentry: CDentry, name: bytes) -> None:
        _check_name(name)
        kept = self.load_xattrs(dentry)
        if kept.pop(name, None) is None:
            raise ENODATA(repr(name))
        dentry.inode.ctime_ns = time_ns()

    def load_xattrs(self, dentry: CDentry) -> dict[bytes, bytes]:
        """The attributes as they are kept in memory from now on."""
        kept = kept_xattrs(dentry.inode)
        if kept is None:
            kept = self.lower_xattrs(dentry)
            attach_to_inode(dentry.inode, XATTRS, kept)
            if _CAPABILITY in kept:
                dentry.inode.flags |= lib.INODE_FILE_CAPS
            self.remember_place(dentry)
        return kept

    def _xattrs(self, dentry: CDentry) -> dict[bytes, bytes]:
        kept = kept_xattrs(dentry.inode)
        return self.lower_xattrs(dentry) if kept is None else kept


def kept_xattrs(inode: CInode) -> dict[bytes, bytes] | None:
    """What is kept of a file in memory; None: nothing was changed yet. Its capabilities went when its content did."""
    kept: dict[bytes, bytes] | None = attachment(inode, XATTRS)
    if kept is not None and not inode.flags & lib.INODE_FILE_CAPS:
        kept.pop(_CAPABILITY, None)
    return kept


def _check_name(name: bytes) -> None:
    """EOPNOTSUPP for what is not kept here: ACLs."""
    if not name.startswith((b"user.", b"trusted.", b"security.")):
        raise EOPNOTSUPP(repr(name))
    if name in (b"user.", b"trusted.", b"security."):
        raise EINVAL("no name after the namespace")
