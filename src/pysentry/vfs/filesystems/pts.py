"""pts: /dev/pts, one character device for each open pseudo-terminal, and ptmx.

Which terminals there are is kernel/tty's; here are only their names. An entry keeps its inode (and thus chmod, chown)
for as long as its terminal lives.
"""

from __future__ import annotations

import os

from pysentry.abi.stat import DEVPTS_MAGIC, DT_CHR, S_IFCHR, S_IFDIR
from pysentry.platform.native import lib
from pysentry.vfs import devices
from pysentry.vfs.dentry import add, attach_to_inode, attachment, find, is_positive, new_inode
from pysentry.vfs.filesystem import FileSystem, set_in_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode
    from pysentry.vfs.filesystem import AttributeChange

PTS_MAJOR = 136
_PTMX_INO = 2


class PtsFileSystem(FileSystem):
    """The one instance of the sandbox."""

    type_name = "devpts"
    magic = DEVPTS_MAGIC
    mode = 0o620  # of a terminal
    gid = -1  # its group; -1: its opener's

    def lookup(self, task: Task | None, directory: CDentry, name: bytes) -> CDentry | None:
        from pysentry.kernel.tty import ptys

        found = find(directory, name)
        if name == b"ptmx":
            return found
        pty = ptys.get(int(name)) if name.isdigit() and (name == b"0" or not name.startswith(b"0")) else None
        if found is not None and is_positive(found):
            if pty is not None and attachment(found.inode, "pty") is pty:
                return found
            lib.dentry_drop(found)
        if pty is None:
            return None
        inode = self._device(int(name) + 3, S_IFCHR | self.mode, os.makedev(PTS_MAJOR, pty.index))
        inode.uid, inode.gid = pty.owner
        if self.gid >= 0:
            inode.gid = self.gid
        attach_to_inode(inode, "pty", pty)
        return add(directory, name, inode)

    def readdir(self, task: Task | None, directory: CDentry) -> list[tuple[bytes, int, int]]:
        from pysentry.kernel.tty import ptys

        return [(b"ptmx", _PTMX_INO, DT_CHR)] + [(b"%d" % index, index + 3, DT_CHR) for index in sorted(ptys)]

    def setattr(self, dentry: CDentry, change: AttributeChange) -> None:
        set_in_memory(dentry.inode, change)

    def _device(self, number: int, mode: int, rdev: int) -> CInode:
        inode = new_inode(self.sb, mode)
        inode.flags |= lib.INODE_PYTHON
        inode.ino = number
        inode.rdev = rdev
        return inode


def open_by_number(task: Task, dentry: CDentry, flags: int) -> CDescription:
    """Opens /dev/pts/N by its device number."""
    from pysentry.kernel.tty import open_pts

    return open_pts(task, os.minor(dentry.inode.rdev), flags)


def make_pts(dev: int, mode: int = 0o620, gid: int = -1, ptmx_mode: int = 0o666) -> PtsFileSystem:
    """A new superblock, with ptmx in it. mode, gid: of new terminals."""
    sb = lib.sb_new(lib.FS_PTS, lib.SB_NOSUID | lib.SB_NOEXEC, -1, dev)
    pts = PtsFileSystem(sb)
    pts.mode, pts.gid = mode, gid
    root = new_inode(sb, S_IFDIR | 0o755)
    root.flags |= lib.INODE_PYTHON
    root.ino = 1
    lib.dentry_root(sb, root)
    ptmx = add(sb.root, b"ptmx", pts._device(_PTMX_INO, S_IFCHR | ptmx_mode, os.makedev(*devices.PTMX)))
    ptmx.flags |= lib.DENTRY_PINNED
    devices.register_major(PTS_MAJOR, open_by_number)
    return pts
