"""pidfds: descriptors of processes. pidfd_open(2).

Owns which process a descriptor stands for and when it becomes readable: at the moment from which the parent can wait
for it, which is when the tracer has been told. Behind it is a host epoll instance whose one member is an eventfd: it
polls as a pidfd does (readable at the end, never writable).
"""

from __future__ import annotations

import os
import select

from pysentry.abi.capability import CAP_SYS_PTRACE
from pysentry.abi.errno import EBADF, EINVAL, EPERM, ESRCH, host_errors
from pysentry.kernel.credentials import may_inspect
from pysentry.kernel.description import KINDS, O_NONBLOCK, Description, description_of, new_description
from pysentry.kernel.task import Task, find_by_pid, group_of, on_task_exit, task_of
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import attachment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import ThreadGroup
    from pysentry.platform.cdefs import CDescription, CTask

_alive: dict[int, list[Pidfd]] = {}  # by ThreadGroup.id


class Pidfd(Description):
    """One process. `pid` is the sandbox's number for it; `group` None: it has ended."""

    __slots__ = ("event", "group", "pid", "tgid")
    keeps_state = True

    def __init__(self, c: CDescription) -> None:
        super().__init__(c)
        self.event = -1
        self.group: ThreadGroup | None = None
        self.pid = self.tgid = 0

    @staticmethod
    def open(pid: int, status: int) -> Pidfd:
        """Of a process, also of one that nobody has waited for yet. ESRCH; EINVAL: a thread.

        status: O_NONBLOCK or 0"""
        leader = find_by_pid(pid)
        if leader is None:
            zombie = lib.zombie_find(pid)
            if zombie == ffi.NULL:
                raise ESRCH("pid")
            made = _describe(status)
            made.pid, made.tgid = pid, zombie.tid
            made.process_ended()
            return made
        if leader.tid != leader.group.tgid:
            raise EINVAL("not the leader of its thread group")
        made = _describe(status)
        task_of(leader)  # the engine tells of the end of tasks that Python knows, and the leader's comes last
        made.group = group_of(leader.group)
        made.pid, made.tgid = pid, leader.tid
        _alive.setdefault(made.group.id, []).append(made)
        return made

    def process_ended(self) -> None:
        """Readable from now on."""
        self.group = None
        os.eventfd_write(self.event, 1)

    def is_reaped(self) -> bool:
        """True once it was waited for: its number may be another's."""
        if self.group is not None:
            return False
        zombie = lib.zombie_find(self.pid)
        return bool(zombie == ffi.NULL or zombie.tid != self.tgid)

    async def read(self, task: Task, iovs: object, offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("pidfd")

    async def write(self, task: Task, iovs: object, offset: int | None = None, rwf: int = 0) -> int:
        raise EINVAL("pidfd")

    def closed(self) -> None:
        os.close(self.event)
        if self.group is not None:
            _alive[self.group.id].remove(self)

    def info(self) -> bytes:
        """Its lines of /proc/PID/fdinfo."""
        pid = -1 if self.is_reaped() else self.pid
        return b"Pid:\t%d\nNSpid:\t%d\n" % (pid, pid)


KINDS[lib.DESC_PIDFD] = Pidfd


def _describe(status: int) -> Pidfd:
    with host_errors():
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        watcher = select.epoll()
        watcher.register(event, select.EPOLLIN)
        host_fd = os.dup(watcher.fileno())
        watcher.close()
    made = new_description(lib.DESC_PIDFD, host_fd, os.O_RDWR | status & O_NONBLOCK, Pidfd)
    assert isinstance(made, Pidfd)
    made.event = event
    made.c.flags |= lib.DESC_PY_READ | lib.DESC_PY_WRITE
    return made


def _task_ended(task: Task) -> None:
    if _alive and task.c.group.refs == 1:
        for each in _alive.pop(task.group.id, ()):
            each.process_ended()


on_task_exit.append(_task_ended)


def pidfd_of(task: Task, fd: int) -> Pidfd:
    """The pidfd at a descriptor number. EBADF: not open, or something else."""
    found = description_of(task.fd_table.get(fd))
    if not isinstance(found, Pidfd):
        raise EBADF("not a pidfd")
    return found


def signal_target(task: Task, fd: int) -> tuple[int, CTask]:
    """(pid, leader) of the process that a pidfd or an open /proc/PID stands for; the leader is NULL if it has ended and
    was not waited for. EBADF; ESRCH: it is gone."""
    c = task.fd_table.get(fd)
    found = description_of(c)
    if isinstance(found, Pidfd):
        pid, tgid = found.pid, found.tgid
        leader = ffi.NULL if found.group is None else lib.task_find(tgid)
    else:
        node = attachment(c.inode, "node") if c.kind == lib.DESC_DIR and c.inode != ffi.NULL else None
        process = None if node is None else node.process()
        if process is None:
            raise EBADF("not a process")
        pid, tgid = process
        leader = lib.task_find(tgid) if pid else ffi.NULL
    if leader == ffi.NULL:
        zombie = lib.zombie_find(pid)
        if zombie == ffi.NULL or zombie.tid != tgid:
            raise ESRCH("it is gone")
    return pid, leader


def take_descriptor(task: Task, target: Pidfd, fd: int) -> CDescription:
    """Another process' open file (one reference more), for whoever may trace it: pidfd_getfd(2)."""
    if target.group is None:
        raise ESRCH("it has ended")
    leader: CTask = lib.task_find(target.tgid)
    check_attach(task, leader)
    table = leader.files
    if table == ffi.NULL:
        raise ESRCH("it is ending")
    if not 0 <= fd < table.capacity or table.slots[fd].desc == ffi.NULL:
        raise EBADF("the other's descriptor")
    desc = table.slots[fd].desc
    lib.desc_ref(desc)
    return desc


def check_attach(task: Task, other: CTask) -> None:
    """PTRACE_MODE_ATTACH_REALCREDS: EPERM unless the task might trace the other one."""
    if other == ffi.NULL or other.cred == ffi.NULL:
        raise ESRCH("it is ending")
    if other.group == task.c.group or task.has_cap(CAP_SYS_PTRACE):
        return
    if other.group.not_dumpable or not may_inspect(task.cred, other.cred, by_real_ids=True):
        raise EPERM("not to be traced")
