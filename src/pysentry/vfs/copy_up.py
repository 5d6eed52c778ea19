"""Copy-up in place: a lower file gets content of its own in memory, and keeps its inode.

Who has the file open read-only is moved to the new content, so readers see later writes (a mapping made before does
not change).
"""

from __future__ import annotations

import os

from pysentry.abi.errno import host_errors
from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystem import make_content, refresh_live

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CInode

_CHUNK = 1 << 30


def copy_up(inode: CInode, lower_fd: int, length: int | None) -> None:
    """Copies at most `length` bytes (None: all) from a descriptor, which is closed, to content of the inode's own;
    none if the descriptor is -1.

    Modification time and attributes stay. On an error nothing changed."""
    try:
        memory_fd = make_content(inode)
        with host_errors():
            if lower_fd >= 0:
                copy_content(lower_fd, memory_fd, length)
            if length is None:
                os.utime(memory_fd, ns=(inode.atime_ns, inode.mtime_ns))
    except BaseException:
        lib.inode_drop_content(inode)
        raise
    finally:
        if lower_fd >= 0:
            os.close(lower_fd)
    inode.flags |= lib.INODE_UPPER | lib.INODE_LIVE
    refresh_live(inode)
    _move_readers(inode)


def copy_content(source_fd: int, target_fd: int, length: int | None) -> None:
    """Copies from the start of one file to the start of an empty one."""
    done = 0
    while length is None or done < length:
        count = os.sendfile(target_fd, source_fd, done, _CHUNK if length is None else min(_CHUNK, length - done))
        if count == 0:
            return
        done += count


def _move_readers(inode: CInode) -> None:
    """Those on their way through a socket follow when they are next used (DESC_LOWER)."""
    if inode.refs <= 1:
        return  # only its dentry
    seen = set()
    task = lib.task_first()
    while task != ffi.NULL:
        table = task.files
        if table != ffi.NULL and table not in seen:
            seen.add(table)
            for number in range(table.capacity):
                description = table.slots[number].desc
                if description != ffi.NULL and description.inode == inode and description.flags & lib.DESC_LOWER:
                    lib.desc_follow_copy_up(description)
        task = task.all_next
