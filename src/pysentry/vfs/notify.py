"""Events on files for inotify(7): who changes something says so here, who watches sets `listener`.

Owns only the calls; watches and queues are kernel/inotify. Costs one flag test where nobody watches.
"""

from __future__ import annotations

from pysentry.abi.stat import is_directory
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.platform.cdefs import CDentry, CInode, CSuperblock

IN_ACCESS = 0x001
IN_MODIFY = 0x002
IN_ATTRIB = 0x004
IN_CLOSE_WRITE = 0x008
IN_CLOSE_NOWRITE = 0x010
IN_OPEN = 0x020
IN_MOVED_FROM = 0x040
IN_MOVED_TO = 0x080
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_ISDIR = 0x40000000
UNLINKED = 0x04000000  # IN_EXCL_UNLINK's bit: the name is gone already

# (watched inode, IN_* with IN_ISDIR, name in the watched directory or b"", cookie that joins the halves of a move)
listener: Callable[[CInode, int, bytes, int], None] | None = None
unmount_listener: Callable[[CSuperblock], None] | None = None
_last_cookie = 0


def on_entry(directory: CDentry, name: bytes, event: int, is_dir: bool, cookie: int = 0) -> None:
    """Something happened to a name in a directory."""
    if directory.inode.flags & lib.INODE_WATCHED and listener is not None:
        listener(directory.inode, event | (IN_ISDIR if is_dir else 0), name, cookie)


def on_file(dentry: CDentry, event: int) -> None:
    """Something happened to a file: the watches of its directory hear of it, then its own, as in Linux."""
    if listener is None or dentry == ffi.NULL or dentry.inode == ffi.NULL:
        return
    inode = dentry.inode
    if is_directory(inode.mode):
        event |= IN_ISDIR
    parent = dentry.parent
    if parent != dentry and parent.inode.flags & lib.INODE_WATCHED:
        name = bytes(ffi.buffer(dentry.name, dentry.name_len))
        listener(parent.inode, event | (UNLINKED if dentry.flags & lib.DENTRY_UNHASHED else 0), name, 0)
    if inode.flags & lib.INODE_WATCHED:
        listener(inode, event, b"", 0)


def on_inode(inode: CInode, event: int) -> None:
    """Something happened to a file itself that its directory is not told of (IN_DELETE_SELF, IN_MOVE_SELF)."""
    if inode.flags & lib.INODE_WATCHED and listener is not None:
        says_type = is_directory(inode.mode) and not event & (IN_DELETE_SELF | IN_MOVE_SELF)
        listener(inode, event | (IN_ISDIR if says_type else 0), b"", 0)


def on_unmount(sb: CSuperblock) -> None:
    """A file system is gone."""
    if unmount_listener is not None:
        unmount_listener(sb)


def next_cookie() -> int:
    """A number that joins IN_MOVED_FROM and IN_MOVED_TO."""
    global _last_cookie
    _last_cookie = _last_cookie % 0xFFFFFFFF + 1
    return _last_cookie
