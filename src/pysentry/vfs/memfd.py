"""The files of memfd_create(2): in a tree that is mounted nowhere, each by a dentry that no lookup finds.

So exec, mmap, fchmod and /proc/self/fd treat them as they treat any file in memory, and they count among these. One
that can be sealed is a memfd of the host, though, which counts against no limit: when memory runs out, the OOM killer
takes the programs that have it, and it with them.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import host_errors
from pysentry.abi.mman import MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL
from pysentry.platform.native import lib
from pysentry.vfs.dentry import add_unhashed
from pysentry.vfs.filesystem import make_content, refresh_live
from pysentry.vfs.filesystems.tree import make_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDentry
    from pysentry.vfs.filesystems.tree import TreeFileSystem

_memfds: TreeFileSystem | None = None


def make_memfd(name: bytes, flags: int, mode: int, uid: int, gid: int) -> CDentry:
    """A file for memfd_create(2), as an unhashed dentry with one reference. `flags`: MFD_* for the host."""
    global _memfds
    if _memfds is None:
        _memfds = make_tree(0, os.makedev(0, 1))
    inode = _memfds.new_inode(mode, uid, gid)
    if flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL):
        with host_errors():
            inode.host_fd = os.memfd_create("file", os.MFD_CLOEXEC | flags)
    else:
        make_content(inode)
    inode.flags |= lib.INODE_LIVE
    inode.nlink = 0
    refresh_live(inode)
    return add_unhashed(_memfds.sb.root, b"memfd:" + name, inode)
