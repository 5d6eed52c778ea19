"""Entering a process' mount namespace, as `podman cp` and `podman top` do it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Callable

CLONE_NEWNS = 0x20000


def entering(pid: int, work: Callable[[], object]) -> object:
    """What `work` returns in a process that entered as podman does it, through JSON; an OSError as its errno."""
    read, write = os.pipe()
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    setns = ctypes.CDLL(None, use_errno=True).setns
    child = os.fork()
    if child == 0:
        try:
            result = work() if setns(namespace, CLONE_NEWNS) == 0 else "setns"
        except OSError as error:
            result = error.errno
        except BaseException as error:
            result = repr(error)
        os.write(write, json.dumps(result).encode())
        os._exit(0)
    os.close(write)
    os.close(namespace)
    os.waitpid(child, 0)
    with open(read, "rb") as answer:
        return json.loads(answer.read())


def stay(pid: int) -> int:
    """A root process in there that waits, with its root, working directory and descriptor 9 in the view."""
    read, write = os.pipe()
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            ctypes.CDLL(None).setns(namespace, CLONE_NEWNS)
            os.chdir("/etc")
            os.dup2(os.open("/", os.O_RDONLY), 9)
            os.write(write, b"!")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(read, 1) == b"!"
    os.close(read)
    os.close(write)
    os.close(namespace)
    return child
