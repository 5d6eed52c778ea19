"""Memory policies, kept by the host. A process may also name itself by its pid, which is judged here."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, EPERM, ESRCH
from pysentry.kernel.task import find_by_pid
from pysentry.kernel.wait import host_call
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_NR_MIGRATE_PAGES, _NR_MOVE_PAGES = 256, 279
_MPOL_MF_MOVE, _MPOL_MF_MOVE_ALL, _MPOL_MF_VALID = 2, 4, 7


@syscall
def mbind(task: Task, addr: UserAddr, length: int, mode: int, nodemask: UserAddr, maxnode: int, flags: int) -> int:
    """With MPOL_MF_MOVE_ALL only; the host has answered the others."""
    raise EINVAL("flags") if flags & ~_MPOL_MF_VALID else EPERM("CAP_SYS_NICE")


@syscall
async def migrate_pages(task: Task, pid: int, maxnode: int, old_nodes: UserAddr, new_nodes: UserAddr) -> int:
    """Other processes' pages: EPERM."""
    _check_is_own(task, pid)
    return await host_call(task, _NR_MIGRATE_PAGES, 0, maxnode, old_nodes, new_nodes)


@syscall
async def move_pages(
    task: Task, pid: int, nr_pages: int, pages: UserAddr, nodes: UserAddr, status: UserAddr, flags: int
) -> int:
    """Other processes' pages, and those shared with others (MPOL_MF_MOVE_ALL): EPERM."""
    if flags & ~(_MPOL_MF_MOVE | _MPOL_MF_MOVE_ALL):
        raise EINVAL("flags")
    if flags & _MPOL_MF_MOVE_ALL:
        raise EPERM("CAP_SYS_NICE")
    _check_is_own(task, pid)
    return await host_call(task, _NR_MOVE_PAGES, 0, nr_pages, pages, nodes, status, flags)


def _check_is_own(task: Task, pid: int) -> None:
    if not pid:
        return
    other = find_by_pid(pid)
    if other is None:
        raise ESRCH("pid")
    if other.group != task.c.group:
        raise EPERM("another process")
