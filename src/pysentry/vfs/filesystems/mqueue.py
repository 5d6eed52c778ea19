"""mqueue: the names of POSIX message queues, which mq_open(2) knows and, where it is mounted, everybody.

There is one for the sandbox, mounted or not. A queue lives as long as its inode: until it has neither a name nor a
description.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import EPERM
from pysentry.abi.stat import S_IFDIR
from pysentry.platform.native import lib
from pysentry.vfs.dentry import add, attach_to_inode, attachment, new_inode
from pysentry.vfs.filesystem import FileSystem, set_in_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.mqueue import Mqueue
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode
    from pysentry.vfs.filesystem import AttributeChange

_MAGIC = 0x19800202
_FILE_SIZE = 80  # FILENT_SIZE
_O_TRUNC = 0o1000


class _Lifetime:
    """Attached to the inode: the queue goes with it."""

    __slots__ = ("queue",)

    def __init__(self, queue: Mqueue) -> None:
        self.queue = queue

    def __del__(self) -> None:
        self.queue.gone()


class MqueueFileSystem(FileSystem):
    """The one instance of the sandbox."""

    type_name = "mqueue"
    magic = _MAGIC

    def create(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        raise EPERM("a queue is made by its opener")

    def create_and_open(
        self, task: Task, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, flags: int
    ) -> tuple[CDentry, CDescription]:
        return self.create_queue(task, name, mode, uid, gid, None, flags)

    def create_queue(
        self, task: Task, name: bytes, mode: int, uid: int, gid: int, attributes: tuple[int, int] | None, flags: int
    ) -> tuple[CDentry, CDescription]:
        """A new queue, opened; attributes: (messages, bytes of one), None for the defaults."""
        from pysentry.kernel.mqueue import Mqueue, describe  # mounted in each sandbox, used by few

        queue = Mqueue.make(task, attributes)
        inode = self._inode(mode)
        inode.uid, inode.gid = uid, gid
        inode.size = _FILE_SIZE
        inode.flags |= lib.INODE_LOCKS  # tells of closed descriptors
        attach_to_inode(inode, "queue", _Lifetime(queue))
        made = add(self.sb.root, name, inode)
        made.flags |= lib.DENTRY_PINNED
        return made, describe(queue, flags & ~_O_TRUNC)

    def unlink(self, victim: CDentry) -> None:
        victim.inode.nlink = 0
        lib.dentry_drop(victim)

    def mkdir(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        raise EPERM("mqueue")

    def mknod(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> CDentry:
        raise EPERM("mqueue")

    def symlink(self, directory: CDentry, name: bytes, target: bytes, uid: int, gid: int) -> CDentry:
        raise EPERM("mqueue")

    def link(self, source: CDentry, directory: CDentry, name: bytes) -> CDentry:
        raise EPERM("mqueue")

    def rename(self, source: CDentry, directory: CDentry, name: bytes, target: CDentry | None) -> None:
        raise EPERM("mqueue")

    def open(self, task: Task, dentry: CDentry, flags: int) -> CDescription:
        from pysentry.kernel.mqueue import describe

        lifetime: _Lifetime = attachment(dentry.inode, "queue")
        return describe(lifetime.queue, flags & ~_O_TRUNC)

    def setattr(self, dentry: CDentry, change: AttributeChange) -> None:
        set_in_memory(dentry.inode, change)

    def _inode(self, mode: int) -> CInode:
        inode = new_inode(self.sb, mode)
        inode.flags |= lib.INODE_PYTHON
        inode.ino = self.sb.next_ino
        self.sb.next_ino += 1
        return inode


_instance: MqueueFileSystem | None = None


def mqueue_file_system() -> MqueueFileSystem:
    """The sandbox's queues. It can be mounted at one place; a second one is a bind of its root."""
    global _instance
    if _instance is None:
        sb = lib.sb_new(lib.FS_ANON, lib.SB_NOSUID | lib.SB_NODEV | lib.SB_NOEXEC, -1, os.makedev(0, 19))
        _instance = MqueueFileSystem(sb)
        sb.next_ino = max(sb.next_ino, 1)
        lib.dentry_root(sb, _instance._inode(S_IFDIR | 0o1777))
    return _instance
