"""The root of /proc: what is always there, and a directory for each process."""

from __future__ import annotations

from pysentry.abi.stat import S_IFDIR
from pysentry.kernel.task import all_groups, group_of
from pysentry.vfs.filesystems.generated import Directory, Node
from pysentry.vfs.filesystems.proc_pid import ProcessDirectory, task_by_name
from pysentry.vfs.filesystems.proc_subject import Subject
from pysentry.vfs.filesystems.proc_system import make_system_entries
from pysentry.vfs.filesystems.proc_zombie import ZombieDirectory, find_zombie, zombie_pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task


class ProcRoot(Directory):
    """The root: fixed entries, and a directory for each process. Threads are found by number but not listed."""

    __slots__ = ()

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        fixed = self.entries.get(name)
        if fixed is not None:
            return fixed
        c = task_by_name(name)
        if c is not None:
            return ProcessDirectory(Subject(c))
        zombie = find_zombie(name)
        return None if zombie is None else ZombieDirectory(zombie)

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        pids = sorted([group_of(c).pid for c in all_groups()] + zombie_pids())
        return super().list(task) + [(b"%d" % pid, S_IFDIR) for pid in pids if pid]


def make_root() -> ProcRoot:
    """Of a new superblock."""
    return ProcRoot(make_system_entries())
