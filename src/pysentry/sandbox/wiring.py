"""Who is told of what: handlers into the table, and the hooks of kernel, vfs and net into the engine's callbacks."""

from __future__ import annotations

import os
import sys

from pysentry.kernel.description import description_gone
from pysentry.kernel.late import late
from pysentry.kernel.uts import NAME_MAX, uts
from pysentry.net import policy
from pysentry.platform import hooks
from pysentry.syscalls._modules import MODULES
from pysentry.syscalls.registry import LATE
from pysentry.vfs import devices, locks
from pysentry.vfs.dentry import forget_inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription
    from pysentry.sandbox.config import RunConfig


LATE_MODULES = (
    "kernel.loop",
    "kernel.mqueue",
    "kernel.tracing",
    "vfs.filesystems.proc_root",
    "vfs.filesystems.sys_root",
)
"""What else is imported when it is first needed, and by no family of handlers."""


def connect(config: RunConfig) -> None:
    """Registers handlers and hooks. Once, before the lock-up.

    A family of handlers is imported when one of its calls is first made: C answers most programs' calls, so that most
    families never are.
    """
    for module, numbers in MODULES.items():
        LATE.update(dict.fromkeys(numbers, module))
    if not _hold_modules():  # there will be no files to import them from
        for module in (*(f"syscalls.{family}" for family in MODULES), *LATE_MODULES):
            __import__(f"pysentry.{module}")
    devices.register_block_major(devices.LOOP_MAJOR, late("pysentry.kernel.loop", "open_loop"))
    devices.register(*devices.LOOP_CONTROL, late("pysentry.kernel.loop", "open_control"))
    if config.container is not None or config.mounts:
        __import__("pysentry.vfs.container_root")
    if config.egress:
        from pysentry.net.egress import Egress

        policy.check = Egress(config.egress).check
    else:
        policy.is_shared = config.net == "host" or config.netns_fd >= 0
    uts.nodename = os.fsencode(config.hostname)[:NAME_MAX]
    if config.domainname:
        uts.domainname = os.fsencode(config.domainname)[:NAME_MAX]
    hooks.on_fd_closed.append(_fd_closed)
    hooks.on_fd_closed.append(_queue_closed)
    hooks.on_description_gone.append(description_gone)
    hooks.on_inode_gone.append(forget_inode)


def _hold_modules() -> bool:
    """True if what is imported later comes from memory (cli/packed.py): after the lock-up there are no files."""
    return any(finder.hold() for finder in sys.meta_path if hasattr(finder, "hold"))


def _fd_closed(task: Task, desc: CDescription) -> None:
    locks.on_fd_closed(task.c.files, desc)


def _queue_closed(task: Task, desc: CDescription) -> None:
    mqueue = sys.modules.get("pysentry.kernel.mqueue")
    if mqueue is not None:  # else nobody has made one
        mqueue.on_fd_closed(task, desc)
