"""Settings of System V IPC and message queues that the containers of a pod have in common.

The objects are each sandbox's own (kernel/ipc.py), but an engine tells a pod's settings to its first container alone;
the others name that one's ipc namespace, or one that the engine has set up. So a sentry notes its settings in its
namespace of the host, where nothing else is, and takes over what is noted in the namespace that it was told to join.

Only for root, whom alone the kernel lets write and join; nobody relies on it for safety, so what fails is left out.
"""

from __future__ import annotations

import os

from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = (
    *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"),
    *("kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
    *("fs.mqueue.msg_default", "fs.mqueue.msg_max", "fs.mqueue.msgsize_default", "fs.mqueue.msgsize_max"),
    "fs.mqueue.queues_max",
)


def settings_of(ipcns_fd: int) -> dict[str, str]:
    """What the namespace behind a descriptor has. Afterwards we are in it: leave it by note()."""
    found: dict[str, str] = {}
    if lib.sandbox_join(ipcns_fd, lib.SANDBOX_NS_IPC) < 0:
        return found
    for name in _NAMES:
        try:
            with open(_path(name), encoding="ascii") as file:
                found[name] = " ".join(file.read().split())
        except OSError:
            pass  # a kernel without it
    return found


def note(settings: Mapping[str, str]) -> bool:
    """Enters an ipc namespace and gives it the settings. False: there is none to be had yet."""
    if lib.sandbox_unshare(lib.SANDBOX_NS_IPC) < 0:
        return False
    for name in _NAMES:
        if name not in settings:
            continue
        try:
            fd = os.open(_path(name), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.write(fd, settings[name].encode())
        except OSError:
            pass  # a value beyond what this kernel has; whether the sandbox has it is said when it is set there
        finally:
            os.close(fd)
    return True


def _path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")
