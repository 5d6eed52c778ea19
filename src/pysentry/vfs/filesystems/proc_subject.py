"""Whom a directory of /proc is about: a process, or one thread of it. Knows when it is gone, who may look, what the
host says of it."""

from __future__ import annotations

from pysentry.abi.capability import CAP_SYS_PTRACE
from pysentry.abi.errno import EACCES, ENOENT, ESRCH
from pysentry.kernel.credentials import may_inspect
from pysentry.kernel.memory import UserMemory
from pysentry.kernel.proc_status import read_host_path
from pysentry.kernel.task import group_of, task_of
from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystems.generated import File, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task, ThreadGroup
    from pysentry.platform.cdefs import CDescription, CTask


class Subject:
    """A process seen through one of its tasks. `is_thread`: below task/, where numbers are the thread's own."""

    __slots__ = ("_group_id", "_task_id", "_tgid", "_tid", "is_thread")

    def __init__(self, c: CTask, is_thread: bool = False) -> None:
        # The engine tells Python of the end of tasks that Python knows.
        self._task_id = task_of(c).id
        self._group_id = group_of(c.group).id
        self._tid = c.tid
        self._tgid = c.group.tgid
        self.is_thread = is_thread

    @property
    def c(self) -> CTask:
        """The task. ESRCH: it is gone. A process goes on under its number when exec replaces the leader."""
        c: CTask = lib.task_find(self._tid)
        if c == ffi.NULL or c.group == ffi.NULL or c.group.python_id != self._group_id:
            raise ESRCH("gone")
        if c.python_id != self._task_id and self._tid != self._tgid:
            raise ESRCH("gone")
        return c

    @property
    def group(self) -> ThreadGroup:
        return group_of(self.c.group)

    @property
    def tgid(self) -> int:
        """Host pid."""
        return self._tgid

    @property
    def memory(self) -> UserMemory:
        return UserMemory(self.c)

    def is_alive(self) -> bool:
        """Whether it still exists."""
        try:
            return bool(self.c)
        except ESRCH:
            return False

    def read_host(self, name: str) -> bytes:
        """A file of the host's /proc about it."""
        self.c  # noqa: B018 - the number must not be another's by now
        return read_host_path(f"{self._tgid}/task/{self._tid}/{name}" if self.is_thread else f"{self._tid}/{name}")

    def owner(self) -> tuple[int, int]:
        """Whose its files are: root's if it is not dumpable."""
        try:
            c = self.c
        except ESRCH:
            return 0, 0
        if c.group.not_dumpable:
            return 0, 0
        return c.cred.euid, c.cred.egid

    def check_access(self, reader: Task | None) -> None:
        """EACCES unless the reader might trace it: ptrace(2), PTRACE_MODE_READ."""
        c = self.c
        if reader is None or c.group == reader.c.group:
            return
        if not may_inspect(reader.cred, c.cred):
            raise EACCES("another user's process")
        if c.group.not_dumpable and not reader.has_cap(CAP_SYS_PTRACE):
            raise EACCES("not dumpable")


class SubjectFile(File):
    """A file about a process. `is_private`: only for who may trace it."""

    __slots__ = ("is_private", "subject")

    def __init__(
        self,
        subject: Subject,
        make: Callable[[Subject], bytes],
        mode: int,
        store: Callable[[Task, Subject, bytes], None] | None = None,
        is_private: bool = False,
    ) -> None:
        super().__init__(
            lambda: make(subject), mode, None if store is None else lambda t, data: store(t, subject, data)
        )
        self.subject = subject
        self.is_private = is_private

    def owner(self) -> tuple[int, int]:
        return self.subject.owner()

    def is_valid(self) -> bool:
        return self.subject.is_alive()

    def open(self, task: Task, flags: int) -> CDescription:
        if self.is_private:
            self.subject.check_access(task)
        return super().open(task, flags)


class SubjectLink(Link):
    """A link about a process; only for who may trace it."""

    __slots__ = ("subject",)

    def __init__(self, subject: Subject) -> None:
        super().__init__(self.path)
        self.subject = subject

    def owner(self) -> tuple[int, int]:
        return self.subject.owner()

    def is_valid(self) -> bool:
        return self.subject.is_alive()

    def path(self, reader: Task | None) -> bytes:
        """The text of the link."""
        raise ENOENT("nothing")
