"""Files of memfd_create(2), System V segments: in trees that are mounted nowhere, by dentries that no lookup finds.

So exec, mmap, fchmod and /proc/self/fd treat them as they treat any file in memory, and they count among these. One
that can be sealed is a memfd of the host, which has no limit for it: it is counted here, before it grows. That looks at
all files in memory, but their growth does not look at these, which go with the programs that have them.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import ENOMEM, host_errors
from pysentry.abi.mman import MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL
from pysentry.abi.stat import S_IFDIR, S_IFREG
from pysentry.platform.native import lib
from pysentry.vfs.dentry import add_unhashed, attach_to_inode
from pysentry.vfs.filesystem import content_fd, make_content, refresh_live
from pysentry.vfs.filesystems.tree import TreeFileSystem, make_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDentry, CInode

_UNLIMITED = 1 << 62
_SEALABLE_INO = 1 << 31  # from here on: both trees are one device of Linux's
_DEVICE = os.makedev(0, 1)


class SealableFiles(TreeFileSystem):
    """Memfds of the host. One counts with what it has, and from its first mapping on with its whole size."""

    def __init__(self) -> None:
        super().__init__(lib.sb_new(lib.FS_TREE, lib.SB_LIMITED, -1, _DEVICE), size_bytes=room_bytes())
        lib.dentry_root(self.sb, self.new_inode(S_IFDIR | 0o700, 0, 0))
        self.sb.next_ino = _SEALABLE_INO
        self._live: dict[int, CInode] = {}
        self._mapped: set[int] = set()

    def new_memfd(self, flags: int, mode: int, uid: int, gid: int) -> CInode:
        inode = self.new_inode(mode, uid, gid)
        with host_errors():
            inode.host_fd = os.memfd_create("file", os.MFD_CLOEXEC | flags)
        self._live[inode.id] = inode
        attach_to_inode(inode, "memfd", _Lifetime(self, inode.id))
        return inode

    def forget(self, identity: int) -> None:
        del self._live[identity]
        self._mapped.discard(identity)

    def prepare_map(self, inode: CInode) -> None:
        if inode.id not in self._mapped:
            self._mapped.add(inode.id)  # is counted with its size below
            if self._free() < 0:
                self._mapped.remove(inode.id)
                raise ENOMEM("limit of files in memory")

    def check_size(self, inode: CInode, length: int) -> None:
        if inode.id in self._mapped:
            self.check_space(max(0, length - os.fstat(content_fd(inode)).st_size))

    def _take(self, wanted_bytes: int) -> int:
        return max(0, min(wanted_bytes, self._free()))

    def _free(self) -> int:
        store = lib.content_store_of(self.sb)
        if store < 0:
            return _UNLIMITED
        status = os.fstatvfs(store)
        return status.f_bfree * status.f_frsize - self._used()

    def _used(self) -> int:
        used = 0
        for inode in self._live.values():
            status = os.fstat(inode.host_fd)
            used += max(status.st_blocks * 512, status.st_size if inode.id in self._mapped else 0)
        return used


class _Lifetime:
    """Goes with its inode."""

    __slots__ = ("_files", "_identity")

    def __init__(self, files: SealableFiles, identity: int) -> None:
        self._files, self._identity = files, identity

    def __del__(self) -> None:
        self._files.forget(self._identity)


_files: TreeFileSystem | None = None
_sealable: SealableFiles | None = None


def _tree() -> TreeFileSystem:
    global _files
    if _files is None:
        _files = make_tree(0, _DEVICE)
    return _files


def _sealable_tree() -> SealableFiles:
    global _sealable
    if _sealable is None:
        _sealable = SealableFiles()
    return _sealable


def make_memfd(name: bytes, flags: int, mode: int, uid: int, gid: int) -> CDentry:
    """A file for memfd_create(2), as an unhashed dentry with one reference. `flags`: MFD_* for the host."""
    if flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL):
        tree: TreeFileSystem = _sealable_tree()
        inode = _sealable_tree().new_memfd(flags, mode, uid, gid)
    else:
        tree = _tree()
        inode = tree.new_inode(mode, uid, gid)
        make_content(inode)
    inode.flags |= lib.INODE_LIVE
    inode.nlink = 0
    refresh_live(inode)
    return add_unhashed(tree.sb.root, b"memfd:" + name, inode)


def make_segment_file(name: bytes, uid: int, gid: int) -> CDentry:
    """An empty file for shmget(2), as an unhashed dentry with one reference."""
    tree = _tree()
    inode = tree.new_file(S_IFREG | 0o600, uid, gid)
    inode.nlink = 0
    return add_unhashed(tree.sb.root, name, inode)


def room_bytes() -> int:
    """What all files in memory may take together; where they have no limit, more than there can be."""
    store = lib.content_store_of(_tree().sb)
    if store < 0:
        return _UNLIMITED
    status = os.fstatvfs(store)
    return status.f_blocks * status.f_frsize
