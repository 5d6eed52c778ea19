"""Who may trace whom, by the virtual identities. What tracing is, is native/engine/tracee.c and tracer.c."""

from __future__ import annotations

from pysentry.abi.capability import CAP_SYS_PTRACE
from pysentry.abi.errno import EPERM
from pysentry.kernel.credentials import may_inspect
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CTask

_MAY_READ = 4


def trace_check(tracer: CTask, target: CTask, is_wish: bool) -> int:
    """1: it may, with CAP_SYS_PTRACE; 0: it may without; or -EPERM. `is_wish`: PTRACE_TRACEME of the target, which asks
    for less (cap_ptrace_traceme()) than PTRACE_MODE_ATTACH_REALCREDS."""
    if tracer.cred.cap_effective >> CAP_SYS_PTRACE & 1:
        return 1
    if is_wish:
        return -EPERM.errno if target.cred.cap_permitted & ~tracer.cred.cap_permitted else 0
    is_allowed = may_inspect(tracer.cred, target.cred, by_real_ids=True) and not target.group.not_dumpable
    return 0 if is_allowed and _may_read_program(target) else -EPERM.errno


def _may_read_program(target: CTask) -> bool:
    """would_dump(): memory with a program in it that its own user may not read is not shown."""
    exe = target.group.exe
    return exe == ffi.NULL or not lib.inode_permission(target.cred, exe.inode, _MAY_READ)
