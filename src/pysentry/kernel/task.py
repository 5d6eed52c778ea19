"""Tasks and thread groups: Python's handles on `struct task` and `struct thread_group`, and what only Python keeps.

The C structs own descriptors, credentials and places (native/sentry.h); the objects here are made when Python first
sees a task and forgotten at its exit. Does not own how a task is made or ended: the host kernel does that, and
native/engine/tasks.c follows it.
"""

from __future__ import annotations

import os

from pysentry.abi.errno import ESRCH
from pysentry.kernel.fd_table import FdTable
from pysentry.kernel.memory import UserMemory
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from pysentry.platform.cdefs import CCredentials, CDescription, CFsContext, CTask, CThreadGroup

_tasks: dict[int, Task] = {}
_groups: dict[int, ThreadGroup] = {}
_next_id = 0

on_task_exit: list[Callable[[Task], None]] = []
"""Told of the end of every task that Python has seen, while its struct still stands."""


def _new_id() -> int:
    global _next_id
    _next_id += 1
    return _next_id


class ThreadGroup:
    """A process: what its threads share. `c` is its struct thread_group *."""

    __slots__ = ("c", "id", "state", "tasks")

    def __init__(self, c: CThreadGroup, identity: int) -> None:
        self.c = c
        self.id = identity
        self.tasks: set[Task] = set()
        self.state: dict[str, Any] = {}
        """What other modules keep about a process, by their own name (timers, children limits...)."""

    @property
    def tgid(self) -> int:
        """Host pid."""
        return self.c.tgid

    @property
    def pid(self) -> int:
        """Pid as the sandbox sees it."""
        if not self.c.ns_tgid:
            leader = lib.task_find(self.c.tgid)
            if leader == ffi.NULL:
                return 0
            self.c.ns_tgid = lib.task_ns_tid(leader)
        return self.c.ns_tgid

    def send_signal(self, signal: int) -> None:
        """To the process, as kill(2). A process that is gone is no error."""
        lib.group_kill(self.c, signal)

    def __repr__(self) -> str:
        return f"ThreadGroup({self.c.tgid})"


class Task:
    """A thread. `c` is its struct task *; `pending` its handler's coroutine while it waits."""

    __slots__ = ("c", "exec_plan", "fd_table", "group", "id", "memory", "pending", "state")

    def __init__(self, c: CTask, identity: int) -> None:
        self.c = c
        self.id = identity
        self.group = group_of(c.group)
        self.group.tasks.add(self)
        self.memory = UserMemory(c)
        self.fd_table = FdTable(c)
        self.pending: Coroutine[Any, int, int] | None = None
        self.exec_plan: Any = None
        self.state: dict[str, Any] = {}

    @property
    def tid(self) -> int:
        """Host tid."""
        return self.c.tid

    @property
    def ns_tid(self) -> int:
        """Tid as the sandbox sees it."""
        return int(lib.task_ns_tid(self.c))

    @property
    def cred(self) -> CCredentials:
        """Read-only; see set_cred."""
        return self.c.cred

    @property
    def fs(self) -> CFsContext:
        return self.c.fs

    @property
    def umask(self) -> int:
        return self.c.fs.umask

    def set_cred(self, **changes: Any) -> None:
        """Replaces the credentials by a copy with these fields changed (groups: a list of gids)."""
        cred = lib.cred_copy(self.c.cred)
        groups = changes.pop("groups", None)
        if groups is not None:
            lib.cred_set_groups(cred, groups, len(groups))
        for name, value in changes.items():
            setattr(cred, name, value)
        lib.task_set_cred(self.c, cred)

    def has_cap(self, capability: int) -> bool:
        """Effective capability by its bit number (abi.capability)."""
        return bool(self.c.cred.cap_effective >> capability & 1)

    def install_native(self, fd: int) -> None:
        """Puts the descriptor's host descriptor at the same number in the workload; answer CONTINUE afterwards."""
        desc = self.fd_table.get(fd)
        self.install_description(desc, fd)

    def install_description(self, desc: CDescription, fd: int) -> None:
        """The same for a description known by itself. Raises the platform's error (ENOMEM past the host's limit)."""
        error = lib.task_install(self.c, desc, fd)
        if error < 0:
            from pysentry.abi.errno import from_errno

            raise from_errno(-error)

    def send_signal(self, signal: int) -> None:
        """To this thread, as tgkill(2)."""
        lib.task_kill(self.c, signal)

    def pgid(self) -> int:
        """Process group, as the host numbers it (what TIOCGPGRP on a pty master answers)."""
        try:
            return os.getpgid(self.c.group.tgid)
        except ProcessLookupError:
            raise ESRCH from None

    def sid(self) -> int:
        """Session, as the host numbers it."""
        try:
            return os.getsid(self.c.group.tgid)
        except ProcessLookupError:
            raise ESRCH from None

    @property
    def comm(self) -> bytes:
        return bytes(ffi.string(self.c.comm, 16))

    @comm.setter
    def comm(self, name: bytes) -> None:
        ffi.memmove(self.c.comm, name[:15].ljust(16, b"\0"), 16)

    def __repr__(self) -> str:
        return f"Task({self.c.tid})"


def task_of(c: CTask) -> Task:
    """The Python object of a struct task *, made if need be."""
    task = _tasks.get(c.python_id)
    if task is None:
        c.python_id = identity = _new_id()
        c.python_known = 1
        task = _tasks[identity] = Task(c, identity)
    return task


def group_of(c: CThreadGroup) -> ThreadGroup:
    """The Python object of a struct thread_group *, made if need be."""
    group = _groups.get(c.python_id)
    if group is None:
        c.python_id = identity = _new_id()
        group = _groups[identity] = ThreadGroup(c, identity)
    return group


def forget_task(task: Task) -> None:
    """After the task's exit."""
    _tasks.pop(task.id, None)
    task.c.python_id = 0
    group = task.group
    group.tasks.discard(task)
    if task.c.group.refs == 1:  # its last task: the struct goes with it
        _groups.pop(group.id, None)


def all_tasks() -> list[CTask]:
    """Every task alive, threads included."""
    found = []
    c = lib.task_first()
    while c != ffi.NULL:
        if c.group != ffi.NULL:
            found.append(c)
        c = c.all_next
    return found


def all_groups() -> list[CThreadGroup]:
    """Every process alive."""
    return [c.group for c in all_tasks() if c.tid == c.group.tgid]


def find_by_pid(ns_tid: int) -> CTask | None:
    """The task with this tid as the sandbox sees it."""
    c = lib.task_find_ns(ns_tid)
    return None if c == ffi.NULL else c
