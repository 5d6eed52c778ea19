"""proc: what /proc shows. Only the sandbox's processes exist in it, under the sandbox's numbers.

proc_pid.py has the entries of a process, with proc_stat, proc_maps, proc_fd, proc_mounts and proc_net; proc_system.py
the files about the machine, proc_sys.py its settings. generated.py makes files of them.
"""

from __future__ import annotations

from pysentry.abi.errno import ENOENT
from pysentry.abi.stat import PROC_MAGIC, S_IFDIR
from pysentry.kernel.task import all_groups, group_of, on_task_exit
from pysentry.platform.native import lib
from pysentry.vfs.dentry import find
from pysentry.vfs.filesystems.generated import Directory, GeneratedFileSystem, Node
from pysentry.vfs.filesystems.proc_pid import ProcessDirectory, task_by_name
from pysentry.vfs.filesystems.proc_subject import Subject
from pysentry.vfs.filesystems.proc_system import make_system_entries
from pysentry.vfs.filesystems.proc_zombie import ZombieDirectory, find_zombie, zombie_pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry


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


class ProcFileSystem(GeneratedFileSystem):
    """The one instance of the sandbox."""

    type_name = "proc"
    magic = PROC_MAGIC

    def forget(self, task: Task) -> None:
        """A task ended: so does its directory, unless somebody is in it."""
        name = b"%d" % task.ns_tid
        for directory in self._directories(task):
            dentry = find(directory, name)
            if dentry is not None:
                lib.dentry_drop(dentry)

    def _directories(self, task: Task) -> list[CDentry]:
        """Where a task may have an entry: the root, and its process' task directory."""
        root = self.sb.root
        found = [root]
        process = find(root, b"%d" % task.group.pid)
        threads = None if process is None else find(process, b"task")
        if threads is not None:
            found.append(threads)
        return found

    def create(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        raise ENOENT("proc")

    def mkdir(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int) -> CDentry:
        raise ENOENT("proc")

    def mknod(self, directory: CDentry, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> CDentry:
        raise ENOENT("proc")

    def symlink(self, directory: CDentry, name: bytes, target: bytes, uid: int, gid: int) -> CDentry:
        raise ENOENT("proc")


def make_proc(dev: int) -> ProcFileSystem:
    """A new superblock."""
    sb = lib.sb_new(lib.FS_PROC, lib.SB_NOSUID | lib.SB_NODEV | lib.SB_NOEXEC, -1, dev)
    proc = ProcFileSystem(sb, ProcRoot(make_system_entries()))
    on_task_exit.append(proc.forget)
    return proc
