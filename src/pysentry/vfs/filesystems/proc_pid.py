"""/proc/PID and /proc/PID/task/TID: the entries of a process, and what the small ones say."""

from __future__ import annotations

from pysentry.abi.capability import CAP_SYS_RESOURCE
from pysentry.abi.errno import EACCES, EINVAL, EIO, ENOENT, ESRCH, LinuxError
from pysentry.abi.stat import S_IFDIR, S_IFLNK, S_IFREG
from pysentry.kernel.exec import auxiliary_vector
from pysentry.kernel.task import find_by_pid, task_of
from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import topmost
from pysentry.vfs.filesystems import proc_cgroup, proc_ids, proc_maps, proc_mounts, proc_stat
from pysentry.vfs.filesystems.generated import Directory, GeneratedDescription, Node, describe
from pysentry.vfs.filesystems.nsfs import namespace_number, namespace_place
from pysentry.vfs.filesystems.proc_fd import FdDirectory, place_text
from pysentry.vfs.filesystems.proc_maps_query import MapsFile
from pysentry.vfs.filesystems.proc_mounts_poll import MountsFile
from pysentry.vfs.filesystems.proc_net import net_directory
from pysentry.vfs.filesystems.proc_pagemap import PagemapFile
from pysentry.vfs.filesystems.proc_subject import Subject, SubjectFile, SubjectLink
from pysentry.vfs.filesystems.proc_zombie import at_end, zombie_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDentry, CDescription, CTask

    Maker = Callable[[Subject], bytes]
    Store = Callable[[Task, Subject, bytes], None]

_STACK_FIELD = 25  # start_stack of /proc/PID/stat, counted from the state
_OOM_MIN, _OOM_MAX = -1000, 1000


# ---- links ----------------------------------------------------------------------------------------------------------


class PlaceLink(SubjectLink):
    """exe, cwd, root."""

    __slots__ = ("_find",)

    def __init__(self, subject: Subject, find: Callable[[CTask], CDentry]) -> None:
        super().__init__(subject)
        self._find = find

    def path(self, reader: Task | None) -> bytes:
        return place_text(self._dentry(reader), reader)

    def place(self, task: Task) -> CDentry | CDescription | None:
        return self._dentry(task)

    def _dentry(self, reader: Task | None) -> CDentry:
        self.subject.check_access(reader)
        dentry = self._find(self.subject.c)
        if dentry == ffi.NULL:
            raise ENOENT("none")
        return topmost(dentry)


_PLACES: dict[bytes, Callable[[CTask], CDentry]] = {
    b"exe": lambda c: c.group.exe,
    b"cwd": lambda c: c.fs.cwd,
    b"root": lambda c: c.fs.root,
}

_NAMESPACES = (
    b"cgroup", b"ipc", b"mnt", b"net", b"pid", b"pid_for_children", b"time", b"time_for_children", b"user", b"uts",
)  # fmt: skip


class NamespaceLink(SubjectLink):
    """A namespace by its number."""

    __slots__ = ("name",)

    def __init__(self, subject: Subject, name: bytes) -> None:
        super().__init__(subject)
        self.name = name

    def path(self, reader: Task | None) -> bytes:
        self.subject.check_access(reader)
        return b"%s:[%d]" % self._namespace()

    def place(self, task: Task) -> CDentry | CDescription | None:
        self.subject.check_access(task)
        return namespace_place(*self._namespace())

    def _namespace(self) -> tuple[bytes, int]:
        kind = self.name.removesuffix(b"_for_children")
        return kind, namespace_number(kind, self.subject.c.fs.root)


# ---- small files ----------------------------------------------------------------------------------------------------


def _host_file(name: str) -> Maker:
    """What the host says, as it stands."""
    return lambda subject: subject.read_host(name)


def _constant(text: bytes) -> Maker:
    return lambda subject: text


def _id_map(kind: str) -> Maker:
    return lambda subject: proc_ids.lines(kind)


def _cgroup(subject: Subject) -> bytes:
    return proc_cgroup.lines()


def _comm(subject: Subject) -> bytes:
    return task_of(subject.c).comm + b"\n"


def _set_comm(task: Task, subject: Subject, data: bytes) -> None:
    c = subject.c
    if c.group != task.c.group:
        raise EINVAL("another process' name")
    task_of(c).comm = data.split(b"\0")[0].removesuffix(b"\n")


def _auxv(subject: Subject) -> bytes:
    """The vector on the program's stack: the host's own copy is the exec stub's."""
    text = subject.read_host("stat")
    stack = int(text[text.rindex(b")") + 2 :].split()[_STACK_FIELD])
    try:
        _, words = auxiliary_vector(task_of(subject.c), stack)
    except LinuxError:
        return b""
    return b"".join(word.to_bytes(8, "little") for word in words)


def _oom_score_adj(subject: Subject) -> bytes:
    return b"%d\n" % subject.group.c.oom_score_adj


def _set_oom_score_adj(task: Task, subject: Subject, data: bytes) -> None:
    """Kept and shown; the host's choice is the whole sandbox' business."""
    value = _number(data)
    if not _OOM_MIN <= value <= _OOM_MAX:
        raise EINVAL("range")
    group = subject.group.c
    may_lower = task.has_cap(CAP_SYS_RESOURCE)
    if value < group.oom_score_adj_min and not may_lower:
        raise EACCES("CAP_SYS_RESOURCE")
    group.oom_score_adj = value
    if may_lower:
        group.oom_score_adj_min = value


def _number(data: bytes) -> int:
    try:
        return int(data)
    except ValueError:
        raise EINVAL("a number") from None


def _limits(subject: Subject) -> bytes:
    return proc_stat.limits(subject)


# name: (mode, content, what a write does, only for who may trace it)
_FILES: dict[bytes, tuple[int, Maker, Store | None, bool]] = {
    b"auxv": (0o400, _auxv, None, True),
    b"cgroup": (0o444, _cgroup, None, False),
    b"cmdline": (0o444, _host_file("cmdline"), None, False),
    b"comm": (0o644, _comm, _set_comm, False),
    b"cpuset": (0o444, _constant(b"/\n"), None, False),
    b"coredump_filter": (0o644, _constant(b"00000033\n"), None, True),
    b"environ": (0o400, _host_file("environ"), None, True),
    b"gid_map": (0o644, _id_map("gid"), None, False),
    b"io": (0o400, _host_file("io"), None, True),
    b"limits": (0o444, _limits, None, False),
    b"loginuid": (0o644, _constant(b"4294967295"), None, False),
    b"maps": (0o444, proc_maps.maps, None, True),
    b"mountinfo": (0o444, proc_mounts.mountinfo, None, False),
    b"mounts": (0o444, proc_mounts.mounts, None, False),
    b"mountstats": (0o400, proc_mounts.mountstats, None, False),
    b"oom_score": (0o444, _constant(b"0\n"), None, False),
    b"oom_score_adj": (0o644, _oom_score_adj, _set_oom_score_adj, False),
    b"personality": (0o400, _host_file("personality"), None, True),
    b"projid_map": (0o644, _constant(b"         0          0 4294967295\n"), None, False),
    b"schedstat": (0o444, _host_file("schedstat"), None, False),
    b"sessionid": (0o444, _constant(b"4294967295"), None, False),
    b"setgroups": (0o644, _constant(b"allow\n"), None, False),
    b"smaps": (0o444, proc_maps.smaps, None, True),
    b"smaps_rollup": (0o444, proc_maps.smaps_rollup, None, True),
    b"stat": (0o444, proc_stat.stat, None, False),
    b"statm": (0o444, proc_stat.statm, None, False),
    b"status": (0o444, proc_stat.status, None, False),
    b"timerslack_ns": (0o666, _host_file("timerslack_ns"), None, True),
    b"uid_map": (0o644, _id_map("uid"), None, False),
    b"wchan": (0o444, _constant(b"0"), None, False),
}
# The host has these only once per process.
_ONLY_PROCESS = (b"coredump_filter", b"mountstats", b"timerslack_ns", b"task")
_DIRECTORIES = (b"fd", b"fdinfo", b"net", b"ns", b"task")


# ---- mem ------------------------------------------------------------------------------------------------------------


class MemoryDescription(GeneratedDescription):
    """An open /proc/PID/mem: the position is an address."""

    __slots__ = ()

    def host_read(self, size: int, offset: int | None) -> bytes:
        at = self.c.pos if offset is None else offset
        try:
            data = self._subject().memory.read_some(at, size)
        except ESRCH:
            return b""
        except LinuxError:
            raise EIO("not mapped") from None
        if offset is None:
            self.c.pos = at + len(data)
        return data

    def host_write(self, task: Task, data: bytes, offset: int | None) -> int:
        at = self.c.pos if offset is None else offset
        try:
            written = self._subject().memory.write_some(at, data)
        except ESRCH:
            return 0
        except LinuxError:
            written = lib.tracer_poke(task.c, self._subject().c, at, data, len(data))
            if written < 0:
                raise EIO("not writable") from None
        if offset is None:
            self.c.pos = at + written
        return written

    def _subject(self) -> Subject:
        assert isinstance(self.file, MemoryFile)
        return self.file.subject


class MemoryFile(SubjectFile):
    """/proc/PID/mem, within the protections of the process' own mappings; beyond them for its tracer at a stop."""

    __slots__ = ()

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject, lambda _: b"", 0o600, is_private=True)

    def open(self, task: Task, flags: int) -> CDescription:
        self.subject.check_access(task)
        return describe(flags, MemoryDescription, self)


# ---- directories ----------------------------------------------------------------------------------------------------


class SubjectDirectory(Directory):
    """A directory about a process."""

    __slots__ = ("subject",)

    def __init__(self, subject: Subject, mode: int = 0o555) -> None:
        super().__init__(mode=mode)
        self.subject = subject

    def owner(self) -> tuple[int, int]:
        return self.subject.owner()

    def is_valid(self) -> bool:
        return self.subject.is_alive()


class ProcessDirectory(SubjectDirectory):
    """/proc/PID, or a thread's below task/."""

    __slots__ = ()

    def process(self) -> tuple[int, int] | None:
        if self.subject.is_thread:
            return None
        host_pid = self.subject.tgid
        return (self.subject.group.pid if self.subject.is_alive() else zombie_of(host_pid)), host_pid

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        subject = self.subject
        if not subject.is_alive() or (subject.is_thread and name in _ONLY_PROCESS):
            return None
        row = _FILES.get(name)
        if row is not None:
            mode, make, store, is_private = row
            if name == b"maps":
                return MapsFile(subject, at_end(name, make))
            if name in (b"mounts", b"mountinfo", b"mountstats"):
                return MountsFile(subject, at_end(name, make), mode)
            return SubjectFile(subject, at_end(name, make), mode, store, is_private)
        if name in _PLACES:
            return PlaceLink(subject, _PLACES[name])
        if name in (b"fd", b"fdinfo"):
            return FdDirectory(subject, is_info=name == b"fdinfo")
        if name == b"task":
            return TaskDirectory(subject)
        if name == b"ns":
            return NamespaceDirectory(subject, 0o511)
        if name == b"net":
            return net_directory()
        if name == b"mem":
            return MemoryFile(subject)
        if name == b"pagemap":
            return PagemapFile(subject)
        return None

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        if not self.subject.is_alive():
            raise ENOENT("gone")
        entries = [(name, S_IFDIR) for name in _DIRECTORIES]
        entries += [(name, S_IFREG) for name in (*_FILES, b"mem", b"pagemap")]
        entries += [(name, S_IFLNK) for name in _PLACES]
        if self.subject.is_thread:
            return [(name, mode) for name, mode in entries if name not in _ONLY_PROCESS]
        return entries


class NamespaceDirectory(SubjectDirectory):
    """ns"""

    __slots__ = ()

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        return NamespaceLink(self.subject, name) if name in _NAMESPACES else None

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        return [(name, S_IFLNK) for name in _NAMESPACES]


class TaskDirectory(SubjectDirectory):
    """task: the threads."""

    __slots__ = ()

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        c = task_by_name(name)
        if c is None or c.group != self.subject.c.group:
            return None
        return ProcessDirectory(Subject(c, is_thread=True))

    def links(self) -> int:
        """Chromium counts its threads by it."""
        return 2 + len(self.list(None)) if self.is_valid() else 0

    def list(self, task: Task | None) -> list[tuple[bytes, int]]:
        group = self.subject.c.group
        found = []
        c = lib.task_first()
        while c != ffi.NULL:
            if c.group == group:
                found.append(proc_stat.number_of(c))
            c = c.all_next
        return [(b"%d" % number, S_IFDIR) for number in sorted(found)]


def task_by_name(name: bytes) -> CTask | None:
    """The task whose number this is."""
    if not name.isdigit() or name[:1] == b"0" or len(name) > 9:
        return None
    return find_by_pid(int(name))
