"""What is in /dev: a tree file system, populated at boot.

The simple devices are host descriptors (vfs/devices); tty and ptmx are kernel/tty's.
"""

from __future__ import annotations

import os

from pysentry.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR
from pysentry.vfs import devices
from pysentry.vfs.filesystems.tree import TreeFileSystem, make_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription

DISK_GROUP = 6
TTY_GROUP = 5  # group "tty" of Debian, Fedora and Alpine
_HOST_DEVICES = {
    b"null": devices.NULL,
    b"zero": devices.ZERO,
    b"full": devices.FULL,
    b"random": devices.RANDOM,
    b"urandom": devices.URANDOM,
}
_LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
    b"core": b"/proc/kcore",
}


def make_dev(dev: int, host_fds: dict[bytes, int]) -> TreeFileSystem:
    """A new /dev. `host_fds`: descriptors of null, zero, full, random, urandom, opened read-write (random and urandom
    read-only will do); the table of devices keeps them."""
    register_devices(host_fds)
    tree = make_tree(0, dev, type_name="devtmpfs")
    root = tree.sb.root
    for name, numbers in _HOST_DEVICES.items():
        if name in host_fds:
            _add_device(tree, root, name, numbers)
    _add_device(tree, root, b"tty", devices.TTY).inode.gid = TTY_GROUP
    _add_device(tree, root, b"ptmx", devices.PTMX).inode.gid = TTY_GROUP
    _add_device(tree, root, b"loop-control", devices.LOOP_CONTROL).inode.mode = S_IFCHR | 0o660
    for number in range(devices.LOOP_COUNT):
        node = os.makedev(devices.LOOP_MAJOR, number)
        tree.mknod(root, b"loop%d" % number, S_IFBLK | 0o660, 0, DISK_GROUP, node)
    for name, target in _LINKS.items():
        tree.symlink(root, name, target, 0, 0)
    for name in (b"pts", b"shm", b"mqueue"):
        tree.mkdir(root, name, S_IFDIR | (0o1777 if name == b"mqueue" else 0o755), 0, 0)
    return tree


def register_devices(host_fds: dict[bytes, int]) -> None:
    """The table of devices that nodes are opened by, here or anywhere else."""
    for name, number in _HOST_DEVICES.items():
        if name in host_fds:
            devices.register_host_device(number, host_fds[name])
    devices.register(*devices.TTY, _open_tty)
    devices.register(*devices.PTMX, _open_ptmx)
    devices.register(*devices.CONSOLE, _open_console)


def _add_device(tree: TreeFileSystem, root: CDentry, name: bytes, number: tuple[int, int]) -> CDentry:
    made = tree.mknod(root, name, S_IFCHR | 0o666, 0, 0, os.makedev(*number))
    devices.connect(made.inode)
    return made


def _open_tty(task: Task, dentry: CDentry, flags: int) -> CDescription:
    from pysentry.kernel.tty import open_tty

    return open_tty(task, dentry, flags)


def _open_console(task: Task, dentry: CDentry, flags: int) -> CDescription:
    from pysentry.kernel.tty import open_console

    return open_console(flags)


def _open_ptmx(task: Task, dentry: CDentry, flags: int) -> CDescription:
    from pysentry.kernel.tty import open_ptmx

    return open_ptmx(task, dentry, flags)
