"""Processes: clone flags that no filter lets through, pidfds, unshare(2), personality(2); prctl.py and other_tasks.py
belong here too.

Forks and exits are the host's."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EAGAIN, ECHILD, EINVAL, EPERM, ESRCH
from pysentry.abi.syscall_nr import NR_CLONE, NR_UNSHARE, NR_WAITID
from pysentry.kernel import sem
from pysentry.kernel.description import description_of
from pysentry.kernel.personality import personalities
from pysentry.kernel.pidfd import Pidfd, pidfd_of, take_descriptor
from pysentry.kernel.wait import host_call
from pysentry.platform.native import ffi, lib
from pysentry.syscalls import other_tasks, prctl  # noqa: F401 - of this family; they register themselves
from pysentry.syscalls.registry import CONTINUE, syscall
from pysentry.vfs.filesystems.nsfs import NamespaceDescription
from pysentry.vfs.mounting import unshare_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
CLONE_THREAD, CLONE_SYSVSEM = 0x10000, 0x40000
CLONE_PIDFD, CLONE_PTRACE, CLONE_PARENT = 0x1000, 0x2000, 0x8000
CLONE_PARENT_SETTID, CLONE_DETACHED, CLONE_UNTRACED = 0x100000, 0x400000, 0x800000
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; unshare(2) also has NEWTIME
_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_CLONE_NEWTIME = 0x80
_PARTED = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM
_PIDFD_NONBLOCK = 0o4000
_P_PID, _P_PIDFD = 1, 3
_WNOHANG = 1
_WAIT_EVENTS = 0xE  # WSTOPPED, WEXITED, WCONTINUED
_WAIT_OPTIONS = _WNOHANG | _WAIT_EVENTS | 0x01000000 | 0xE0000000  # WNOWAIT, __WNOTHREAD, __WALL, __WCLONE
_SIGINFO_BYTES, _WAITED_BYTES = 128, 28  # waitid fills in no more than si_status
_UINT_MAX = 0xFFFFFFFF
_INT = Struct("=i")
_QUERY_PERSONALITY = 0xFFFFFFFF


@syscall
async def clone(
    task: Task, flags: int, stack: UserAddr, parent_tid: UserAddr, child_tid: UserAddr, tls: int
) -> int:
    """Only what the filter refused comes here: new namespaces (EPERM, as without CAP_SYS_ADMIN), pidfds, CLONE_PARENT.
    CLONE_PTRACE and CLONE_UNTRACED say nothing where nobody traces: they do not reach the host, which has a tracer."""
    if flags & _NEW_NAMESPACES:
        raise EPERM("namespaces")
    if flags & CLONE_PARENT and task.c.group.parent == ffi.NULL:
        raise EINVAL("CLONE_PARENT of the first process")
    arguments = flags & ~(CLONE_PTRACE | CLONE_UNTRACED | CLONE_PIDFD), stack, parent_tid, child_tid, tls
    if not flags & CLONE_PIDFD:
        return await host_call(task, NR_CLONE, *arguments)
    if flags & (CLONE_THREAD | CLONE_DETACHED | CLONE_PARENT_SETTID):
        raise EINVAL("with CLONE_PIDFD")
    with task.fd_table.reserve(1, cloexec=True) as slots:
        number = _INT.pack(slots.fds[0])
        # The copy of the memory that a forked child gets is from before.
        task.memory.write(parent_tid, number if flags & CLONE_VM else task.memory.read(parent_tid, _INT.size))
        pid = await host_call(task, NR_CLONE, *arguments)
        slots.install(Pidfd.open(pid, 0).c)
        if not flags & CLONE_VM:
            task.memory.write(parent_tid, number)
    return pid


# ---- pidfds


@syscall
def pidfd_open(task: Task, pid: int, flags: int) -> int:
    """PIDFD_THREAD answers EINVAL, as before Linux 6.9."""
    if flags & ~_PIDFD_NONBLOCK or pid <= 0:
        raise EINVAL("flags or pid")
    return task.fd_table.alloc(Pidfd.open(pid, flags & _PIDFD_NONBLOCK).c, cloexec=True)


@syscall
def pidfd_getfd(task: Task, pidfd: int, targetfd: int, flags: int) -> int:
    if flags:
        raise EINVAL("flags")
    return task.fd_table.alloc(take_descriptor(task, pidfd_of(task, pidfd), targetfd), cloexec=True)


@syscall
async def waitid(task: Task, which: int, pid: int, infop: UserAddr, options: int, rusage: UserAddr) -> int:
    """The host waits; it knows one user only, so the sentry says whose child that was. A pidfd that is O_NONBLOCK waits
    for no exit: EAGAIN."""
    if infop:
        lib.group_learn_children(task.c.group)
    if which == _P_PIDFD:
        result = await _wait_for_pidfd(task, pid, infop, options, rusage)
    else:
        result = await host_call(task, NR_WAITID, which & _UINT_MAX, pid & _UINT_MAX, infop, options, rusage)
    if infop:
        info = bytearray(_SIGINFO_BYTES)
        info[:_WAITED_BYTES] = task.memory.read(infop, _WAITED_BYTES)
        if lib.siginfo_correct(task.c, ffi.from_buffer(info)):
            task.memory.write(infop, bytes(info[:_WAITED_BYTES]))
    return result


async def _wait_for_pidfd(task: Task, pidfd: int, infop: UserAddr, options: int, rusage: UserAddr) -> int:
    if options & ~_WAIT_OPTIONS or not options & _WAIT_EVENTS or pidfd < 0:
        raise EINVAL("waitid")
    target = pidfd_of(task, pidfd)
    if target.is_reaped():
        raise ECHILD("waited for already")
    is_quick = target.is_nonblocking and not options & _WNOHANG
    if is_quick:
        options |= _WNOHANG
    result = await host_call(task, NR_WAITID, _P_PID, target.pid, infop, options, rusage)
    if is_quick and target.group is not None:
        raise EAGAIN("O_NONBLOCK")
    return result


@syscall
async def unshare(task: Task, flags: int) -> int:
    """The sentry's tables part, and the host's with them. CLONE_NEWNS is the sentry's alone; no other namespace can be
    had. Which errno wins: ksys_unshare() of kernel/fork.c."""
    if flags & ~(_PARTED | _NEW_NAMESPACES | _CLONE_NEWTIME):
        raise EINVAL("flags")
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) and task.c.group.refs > 1:
        raise EINVAL("threads stay together")
    if flags & (_NEW_NAMESPACES | _CLONE_NEWTIME) & ~CLONE_NEWNS:
        raise EPERM("namespaces")
    if flags & (CLONE_FS | CLONE_NEWNS):
        _own_fs_context(task)
    if flags & CLONE_NEWNS:
        unshare_mounts(task)
    if flags & CLONE_SYSVSEM:
        sem.undo(task)
    c = task.c
    if flags & CLONE_FILES and c.files.refs > 1:
        shared = c.files
        c.files = lib.fd_table_copy(shared)
        lib.fd_table_unref(c, shared)
    return await host_call(task, NR_UNSHARE, flags & _PARTED) if flags & CLONE_NEWNS else CONTINUE


def _own_fs_context(task: Task) -> None:
    c = task.c
    if c.fs.refs > 1:
        own = lib.fs_copy(c.fs)
        c.fs.refs -= 1
        c.fs = own


@syscall
def personality(task: Task, persona: int) -> int:
    """The host keeps it."""
    if persona != _QUERY_PERSONALITY:
        personalities.is_any_set = True
    return CONTINUE


@syscall
def setns(task: Task, fd: int, nstype: int) -> int:
    """Judged as Linux does, then refused."""
    c = task.fd_table.get(fd)
    described = description_of(c)
    if isinstance(described, NamespaceDescription):
        kinds = described.clone_flag()
        if nstype not in (0, kinds):
            raise EINVAL("another kind of namespace")
    else:
        kinds = nstype
        if c.kind != lib.DESC_PIDFD or not kinds or kinds & ~(_NEW_NAMESPACES | _CLONE_NEWTIME):
            raise EINVAL("not a namespace")
        group = pidfd_of(task, fd).group
        if group is None:
            raise ESRCH("it has ended")
        other_tasks.inspected(task, group.pid)
    if kinds & CLONE_NEWUSER:
        raise EINVAL("the only user namespace: one's own")
    raise EPERM("nobody enters a namespace by a descriptor")
