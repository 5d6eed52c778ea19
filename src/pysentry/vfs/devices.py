"""Devices by number: what opening one gives.

Owns the table only. Simple devices (null, zero, full, random, urandom) are host descriptors taken at boot; others
(tty, ptmx) are opened by a function that their module registers.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import ENXIO, host_errors
from pysentry.abi.stat import S_IFBLK, S_IFMT
from pysentry.platform.native import lib
from pysentry.vfs.dentry import file_description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CInode

    Opener = Callable[[Task, CDentry, int], CDescription]

NULL, ZERO, FULL, RANDOM, URANDOM = (1, 3), (1, 5), (1, 7), (1, 8), (1, 9)
TTY, CONSOLE, PTMX = (5, 0), (5, 1), (5, 2)
LOOP_CONTROL, LOOP_MAJOR, LOOP_COUNT = (10, 237), 7, 8

_host_fds: dict[int, int] = {}
_openers: dict[int, Opener] = {}
_openers_by_major: dict[int, Opener] = {}
_block_openers: dict[int, Opener] = {}


def register_host_device(number: tuple[int, int], host_fd: int) -> None:
    """A device (major, minor) that the host serves; boot opened it read-write."""
    _host_fds[os.makedev(*number)] = host_fd


def register(major: int, minor: int, opener: Opener) -> None:
    """A device that the sentry serves. `opener(task, dentry, flags)` returns a description with one reference."""
    _openers[os.makedev(major, minor)] = opener


def register_major(major: int, opener: Opener) -> None:
    """All devices of a major number: /dev/pts/N."""
    _openers_by_major[major] = opener


def register_block_major(major: int, opener: Opener) -> None:
    """Block devices of a major number."""
    _block_openers[major] = opener


def is_known(device: int) -> bool:
    """True for a device that a program may make a node of."""
    return device in _host_fds or device in _openers


def connect(inode: CInode) -> None:
    """Lets the fast path open a device node by itself, if the host serves the device."""
    host_fd = _host_fds.get(inode.rdev)
    if host_fd is not None:
        with host_errors():
            inode.host_fd = os.dup(host_fd)
        inode.flags |= lib.INODE_HOSTDEV


def open_device(task: Task, dentry: CDentry, flags: int) -> CDescription:
    """Opens a device node. ENXIO: there is no device of that number."""
    inode = dentry.inode
    if inode.mode & S_IFMT == S_IFBLK:
        block_opener = _block_openers.get(os.major(inode.rdev))
        if block_opener is None:
            raise ENXIO("block device")
        return block_opener(task, dentry, flags)
    opener = _openers.get(inode.rdev) or _openers_by_major.get(os.major(inode.rdev))
    if opener is not None:
        return opener(task, dentry, flags)
    host_fd = inode.host_fd if inode.flags & lib.INODE_HOSTDEV else _host_fds.get(inode.rdev, -1)
    if host_fd < 0:
        raise ENXIO(f"device {os.major(inode.rdev)}:{os.minor(inode.rdev)}")
    with host_errors():
        return file_description(lib.DESC_CHR, os.dup(host_fd), flags)
