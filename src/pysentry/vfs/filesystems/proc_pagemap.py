"""/proc/PID/pagemap: which pages are there, swapped, shared, written since. Where they lie in the machine or its swap
is not said, as to everybody without privilege (Linux Documentation/admin-guide/mm/pagemap.rst)."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL, ESRCH
from pysentry.kernel.proc_status import read_host_path_at
from pysentry.vfs.filesystems.generated import GeneratedDescription, describe
from pysentry.vfs.filesystems.proc_subject import Subject, SubjectFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

_ENTRY_BYTES = 8
_SHOWN = b"\0\0\0\0\0\0\x80\xff"  # bits 55 to 63


class PagemapDescription(GeneratedDescription):
    """An open one: eight bytes for each page."""

    __slots__ = ()

    def host_read(self, size: int, offset: int | None) -> bytes:
        at = self.c.pos if offset is None else offset
        if at % _ENTRY_BYTES or size % _ENTRY_BYTES:
            raise EINVAL("parts of an entry")
        assert isinstance(self.file, PagemapFile)
        subject = self.file.subject
        try:
            _ = subject.c  # the number must not be another's by now
            found = read_host_path_at(f"{subject.tgid}/pagemap", at, size)
        except ESRCH:
            return b""
        mask = int.from_bytes(_SHOWN * (len(found) // _ENTRY_BYTES), "little")
        data = (int.from_bytes(found, "little") & mask).to_bytes(len(found), "little")
        if offset is None:
            self.c.pos = at + len(data)
        return data


class PagemapFile(SubjectFile):
    """The file."""

    __slots__ = ()

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject, lambda _: b"", 0o400, is_private=True)

    def open(self, task: Task, flags: int) -> CDescription:
        self.subject.check_access(task)
        return describe(flags, PagemapDescription, self)
