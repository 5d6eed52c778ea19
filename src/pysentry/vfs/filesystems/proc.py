"""proc: what /proc shows. Only the sandbox's processes exist in it, under the sandbox's numbers.

Owns the superblock. What is in it is imported when somebody looks: proc_root.py, proc_pid.py for the entries of a
process, with proc_stat, proc_maps, proc_fd, proc_mounts and proc_net; proc_system.py for the files about the machine,
proc_sys.py for its settings. generated.py makes files of them.
"""

from __future__ import annotations

from pysentry.abi.errno import ENOENT
from pysentry.abi.stat import PROC_MAGIC
from pysentry.kernel.late import late
from pysentry.kernel.task import on_task_exit
from pysentry.platform.native import lib
from pysentry.vfs.dentry import find
from pysentry.vfs.filesystems.generated import GeneratedFileSystem, LateDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry


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
    proc = ProcFileSystem(sb, LateDirectory(late("pysentry.vfs.filesystems.proc_root", "make_root")))
    on_task_exit.append(proc.forget)
    return proc
