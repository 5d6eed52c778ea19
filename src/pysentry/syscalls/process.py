"""Processes: clone flags that no filter lets through, unshare(2), personality(2); prctl.py is of this family too.

Forks and exits are the host's."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, EPERM
from pysentry.platform.native import lib
from pysentry.syscalls import prctl  # noqa: F401 - of this family; registers itself
from pysentry.syscalls.registry import CONTINUE, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
CLONE_THREAD, CLONE_SYSVSEM = 0x10000, 0x40000
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; unshare(2) also has NEWTIME
_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_CLONE_NEWTIME = 0x80
_ADDR_NO_RANDOMIZE, _QUERY_PERSONALITY = 0x0040000, 0xFFFFFFFF


@syscall
def clone(task: Task, flags: int, stack: UserAddr, parent_tid: UserAddr, child_tid: UserAddr, tls: int) -> int:
    """Only what the filter refused comes here: new namespaces (EPERM, as without CAP_SYS_ADMIN), pidfds, CLONE_PARENT,
    ptrace relations (EINVAL)."""
    if flags & _NEW_NAMESPACES:
        raise EPERM("namespaces")
    raise EINVAL(f"clone flags {flags:#x}")


@syscall
def unshare(task: Task, flags: int) -> int:
    """The sentry's tables part, and the host's with them."""
    if flags & (_NEW_NAMESPACES | _CLONE_NEWTIME):
        raise EPERM("namespaces")
    if flags & ~(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM):
        raise EINVAL("flags")
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) and task.c.group.refs > 1:
        raise EINVAL("threads stay together")
    c = task.c
    if flags & CLONE_FILES and c.files.refs > 1:
        shared = c.files
        c.files = lib.fd_table_copy(shared)
        lib.fd_table_unref(c, shared)
    if flags & CLONE_FS and c.fs.refs > 1:
        own = lib.fs_copy(c.fs)
        c.fs.refs -= 1
        c.fs = own
    return CONTINUE


@syscall
def personality(task: Task, persona: int) -> int:
    """PER_LINUX with or without ADDR_NO_RANDOMIZE, which exec hands on; the query."""
    if persona not in (0, _ADDR_NO_RANDOMIZE, _QUERY_PERSONALITY):
        raise EINVAL("persona")
    return CONTINUE
