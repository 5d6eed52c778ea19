"""Quotas: quotactl(2). No file system here keeps any or is on a device: ENOSYS, as a tmpfs; ENODEV."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, ENODEV, ENOSYS, ENOTBLK
from pysentry.abi.fcntl import AT_FDCWD
from pysentry.abi.stat import S_IFBLK, S_IFMT
from pysentry.platform.native import ffi
from pysentry.syscalls.registry import syscall
from pysentry.vfs.permissions import check_writable
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_COMMAND_SHIFT, _TYPE_MASK, _TYPES = 8, 0xFF, 3
_Q_SYNC = 0x800001
_READING = {_Q_SYNC, 0x800004, 0x800005, 0x800007, 0x800009, 0x5803, 0x5805, 0x5808, 0x5809}


@syscall
def quotactl(task: Task, cmd: int, special: UserAddr, id: int, addr: UserAddr) -> int:
    """`special` names a block device; Q_SYNC without one is for all quotas that there are, which is none."""
    command = _command(cmd)
    if not special:
        if command == _Q_SYNC:
            return 0
        raise ENODEV("no device")
    dentry = resolve(task, AT_FDCWD, task.memory.read_cstr(special)).require()
    if dentry.inode.mode & S_IFMT != S_IFBLK:
        raise ENOTBLK("not a block device")
    raise ENODEV("no file system is on a device")


@syscall
def quotactl_fd(task: Task, fd: int, cmd: int, id: int, addr: UserAddr) -> int:
    """`fd` is any file of the file system."""
    c = task.fd_table.get(fd)
    if _command(cmd) not in _READING and c.dentry != ffi.NULL:
        check_writable(c.dentry.sb)
    raise ENOSYS("no quotas")


def _command(cmd: int) -> int:
    if cmd & _TYPE_MASK >= _TYPES:
        raise EINVAL("type")
    return cmd >> _COMMAND_SHIFT
