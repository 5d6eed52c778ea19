"""inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2)."""

from __future__ import annotations

import os

from pysentry.abi.errno import EINVAL, ENOTDIR
from pysentry.abi.fcntl import AT_FDCWD
from pysentry.abi.stat import is_directory
from pysentry.kernel.description import object_of
from pysentry.kernel.inotify import IN_ALL_EVENTS, IN_MASK_ADD, IN_MASK_CREATE, Inotify
from pysentry.syscalls.registry import syscall
from pysentry.vfs.permissions import MAY_READ, check_permission
from pysentry.vfs.walk import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_IN_ONLYDIR, _IN_DONT_FOLLOW = 0x01000000, 0x02000000
_PATH_MAX = 4096


@syscall
def inotify_init(task: Task) -> int:
    return inotify_init1(task, 0)


@syscall
def inotify_init1(task: Task, flags: int) -> int:
    if flags & ~(_IN_NONBLOCK | _IN_CLOEXEC):
        raise EINVAL("flags")
    return task.fd_table.alloc(Inotify.create(flags).c, cloexec=bool(flags & _IN_CLOEXEC))


@syscall
def inotify_add_watch(task: Task, fd: int, path: UserAddr, mask: int) -> int:
    if not mask & IN_ALL_EVENTS or (mask & IN_MASK_ADD and mask & IN_MASK_CREATE):
        raise EINVAL("mask")
    instance = object_of(task.fd_table.get(fd), Inotify)
    name = task.memory.read_cstr(path, _PATH_MAX)
    dentry = resolve(task, AT_FDCWD, name, follow=not mask & _IN_DONT_FOLLOW).require()
    if mask & _IN_ONLYDIR and not is_directory(dentry.inode.mode):
        raise ENOTDIR("IN_ONLYDIR")
    check_permission(task.cred, dentry.inode, MAY_READ)
    return instance.add(dentry, mask)


@syscall
def inotify_rm_watch(task: Task, fd: int, wd: int) -> int:
    object_of(task.fd_table.get(fd), Inotify).remove(wd)
    return 0
