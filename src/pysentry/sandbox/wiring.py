"""Who is told of what: handlers into the table, and the hooks of kernel, vfs and net into the engine's callbacks."""

from __future__ import annotations

import os

from pysentry.kernel import mqueue
from pysentry.kernel.description import description_gone
from pysentry.kernel.uts import NAME_MAX, uts
from pysentry.platform import hooks
from pysentry.vfs import locks
from pysentry.vfs.dentry import forget_inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription
    from pysentry.sandbox.config import RunConfig

FAMILIES = (
    "aio",
    "attr",
    "dir",
    "epoll",
    "eventfd",
    "fcntl",
    "flock",
    "handle",
    "inotify",
    "identity",
    "io",
    "ioctl",
    "limits",
    "memory",
    "mount",
    "mqueue",
    "msg",
    "open",
    "pipe",
    "poll",
    "process",
    "sched",
    "sem",
    "shm",
    "signal",
    "signalfd",
    "socket",
    "stat",
    "system",
    "time",
    "timer",
    "timerfd",
    "xattr",
)


def connect(config: RunConfig) -> None:
    """Imports every family of handlers and registers the hooks. Once, before the lock-up."""
    from importlib import import_module

    for family in FAMILIES:
        import_module(f"pysentry.syscalls.{family}")
    import_module("pysentry.kernel.loop")  # registers its devices
    if config.container is not None or config.mounts:
        import_module("pysentry.vfs.container_root")
    uts.nodename = os.fsencode(config.hostname)[:NAME_MAX]
    hooks.on_fd_closed.append(_fd_closed)
    hooks.on_fd_closed.append(mqueue.on_fd_closed)
    hooks.on_description_gone.append(description_gone)
    hooks.on_inode_gone.append(forget_inode)


def _fd_closed(task: Task, desc: CDescription) -> None:
    locks.on_fd_closed(task.c.files, desc)
