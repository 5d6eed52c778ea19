"""nsfs: what an open link of /proc/PID/ns is. It tells about a namespace, ioctl_ns(2); nobody can enter one by it."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EINVAL, EPERM
from pysentry.platform.native import lib
from pysentry.vfs.dentry import add, find
from pysentry.vfs.filesystems.generated import (
    Directory,
    File,
    GeneratedDescription,
    GeneratedFileSystem,
    constant,
    describe,
)
from pysentry.vfs.mounts import all_mounts, first_root, new_device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription

_MAGIC = 0x6E736673
# By kind: the number of a host's first one, and its CLONE_NEW* flag.
KINDS = {
    b"cgroup": (4026531835, 0x02000000),
    b"ipc": (4026531839, 0x08000000),
    b"mnt": (4026531841, 0x00020000),
    b"net": (4026531840, 0x40000000),
    b"pid": (4026531836, 0x20000000),
    b"time": (4026531834, 0x80),
    b"user": (4026531837, 0x10000000),
    b"uts": (4026531838, 0x04000000),
}
_OTHER_MOUNT_NAMESPACES = 4026532000
_GET_USERNS, _GET_PARENT, _GET_NSTYPE, _GET_OWNER_UID, _GET_MNTNS_ID = 0xB701, 0xB702, 0xB703, 0xB704, 0x8008B705
_UINT, _ULONG = Struct("=I"), Struct("=Q")


class NamespaceDescription(GeneratedDescription):
    """An open namespace."""

    __slots__ = ()
    is_file_like = False

    def host_read(self, size: int, offset: int | None) -> bytes:
        raise EINVAL("a namespace")

    def clone_flag(self) -> int:
        """Its kind, as CLONE_NEW*."""
        return KINDS[bytes(self.file.content())][1]

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        """There is one user namespace, and nothing above it."""
        kind = bytes(self.file.content())
        if request == _GET_NSTYPE:
            return self.clone_flag()
        if request in (_GET_USERNS, _GET_PARENT):
            if request == _GET_PARENT and kind not in (b"pid", b"user"):
                raise EINVAL("without parents")
            raise EPERM("outside")
        if request == _GET_OWNER_UID:
            if kind != b"user":
                raise EINVAL("not a user namespace")
            task.memory.write_struct(argument, _UINT, 0)
            return 0
        if request == _GET_MNTNS_ID:
            if kind != b"mnt":
                raise EINVAL("not a mount namespace")
            task.memory.write_struct(argument, _ULONG, first_root(task.c.fs.root).sb.id)
            return 0
        return await super().ioctl(task, fd, request, argument)


class _NamespaceFile(File):
    __slots__ = ()

    def open(self, task: Task, flags: int) -> CDescription:
        return describe(flags, NamespaceDescription, self)


class NsFileSystem(GeneratedFileSystem):
    """Mounted nowhere; a name for each namespace."""

    type_name = "nsfs"
    magic = _MAGIC

    def place(self, kind: bytes, number: int) -> CDentry:
        """The dentry of a namespace."""
        name = b"%s:[%d]" % (kind, number)
        root = self.sb.root
        found = find(root, name)
        if found is None:
            found = add(root, name, self._inode(_NamespaceFile(constant(kind)), number))
        return found


_file_system: NsFileSystem | None = None


def namespace_place(kind: bytes, number: int) -> CDentry:
    """Where a link of /proc/PID/ns leads."""
    global _file_system
    if _file_system is None:
        _file_system = NsFileSystem(lib.sb_new(lib.FS_PROC, 0, -1, new_device()), Directory())
    return _file_system.place(kind, number)


def namespace_number(kind: bytes, root: CDentry) -> int:
    """A namespace's number, of a task with this root directory."""
    top = first_root(root)
    if kind != b"mnt" or top == first_root(all_mounts()[0].sb.root):
        return KINDS[kind][0]
    return _OTHER_MOUNT_NAMESPACES + int(top.sb.id)
