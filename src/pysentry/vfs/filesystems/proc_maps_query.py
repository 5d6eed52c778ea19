"""PROCMAP_QUERY: one mapping of a process asked for by an address, on /proc/PID/maps (Linux 6.11).

As fs/proc/task_mmu.c, do_procmap_query(). What a mapping is comes from the host, its name from proc_maps.py.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import E2BIG, EINVAL, ENAMETOOLONG, ENOENT, LinuxError
from pysentry.vfs.filesystems.generated import GeneratedDescription, describe
from pysentry.vfs.filesystems.proc_maps import is_sentrys, mapped_file
from pysentry.vfs.filesystems.proc_subject import Subject, SubjectFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription

PROCMAP_QUERY = 0xC0686611
READABLE, WRITABLE, EXECUTABLE, SHARED, COVERING_OR_NEXT, FILE_BACKED = 1, 2, 4, 8, 16, 32
_PERMISSIONS = READABLE | WRITABLE | EXECUTABLE | SHARED
_ALL = _PERMISSIONS | COVERING_OR_NEXT | FILE_BACKED
# struct procmap_query: size, query_flags, query_addr; the mapping: start, end, flags, page size, offset, inode, device;
# sizes of the buffers for name and build id; their addresses.
_QUERY = Struct("=QQQ QQQQQQII II QQ")
_LEAST_SIZE = 24  # what is asked
_PAGE = 4096
_PATH_MAX = 4096
_EHDR, _PHDR, _NOTE = Struct("<16s16xQ14xHH"), Struct("<I4xQQ8xQ16x"), Struct("<III")
_PT_NOTE, _NT_GNU_BUILD_ID, _BUILD_ID_MAX = 4, 3, 20


class Mapping:
    """One line of the host's maps."""

    __slots__ = ("device", "end", "flags", "host_name", "inode", "offset", "start")

    def __init__(self, line: bytes) -> None:
        addresses, flags, offset, self.device, inode, *name = line.rstrip(b"\n").split(None, 5)
        start, _, end = addresses.partition(b"-")
        self.start, self.end, self.offset, self.inode = int(start, 16), int(end, 16), int(offset, 16), int(inode)
        self.flags = sum(1 << bit for bit, letter in enumerate(b"rwxs") if flags[bit] == letter)
        self.host_name = name[0] if name else b""


def query(task: Task, subject: Subject, address: UserAddr) -> int:
    """The ioctl; `address` is of a struct procmap_query of the caller's."""
    size = int.from_bytes(task.memory.read(address, 8), "little")
    if size > _PAGE:
        raise E2BIG("struct procmap_query")
    if size < _LEAST_SIZE:
        raise EINVAL("struct procmap_query")
    given = task.memory.read(address, size)
    if any(given[_QUERY.size :]):
        raise E2BIG("fields of a newer kernel")
    asked = _QUERY.unpack(given[: _QUERY.size].ljust(_QUERY.size, b"\0"))
    _, wanted, query_address = asked[:3]
    name_room, build_id_room, name_at, build_id_at = asked[11:]
    if wanted & ~_ALL or (not name_room) != (not name_at) or (not build_id_room) != (not build_id_at):
        raise EINVAL("flags, or a buffer without a size")
    mappings = list(_mappings(subject))
    found = _find(mappings, wanted, query_address)
    name, dev, ino = found.host_name, 0, 0
    if found.inode:
        name, dev, ino = mapped_file(subject, found.device, found.inode, found.host_name)
    name = name + b"\0" if name and name_room else b""
    if len(name) > min(name_room, _PATH_MAX):
        raise ENAMETOOLONG("the mapping's name")
    build_id = _build_id(subject, mappings, found) if build_id_room and found.inode else b""
    if len(build_id) > build_id_room:
        raise ENAMETOOLONG("the build id")
    if name:
        task.memory.write(name_at, name)
    if build_id:
        task.memory.write(build_id_at, build_id)
    is_what = found.start, found.end, found.flags, _PAGE, found.offset, ino, os.major(dev), os.minor(dev)
    answer = _QUERY.pack(*asked[:3], *is_what, len(name), len(build_id), name_at, build_id_at)
    task.memory.write(address, answer[:size])
    return 0


def _mappings(subject: Subject) -> Iterator[Mapping]:
    """Those that the process knows of; vsyscall's page is the kernel's own and is never found."""
    for line in subject.read_host("maps").splitlines(keepends=True):
        if not is_sentrys(line) and not line.endswith(b"[vsyscall]\n"):
            yield Mapping(line)


def _find(mappings: list[Mapping], wanted: int, address: int) -> Mapping:
    """The mapping around an address, or the next one that is as wanted. ENOENT: none."""
    permissions = wanted & _PERMISSIONS
    for mapping in mappings:
        if mapping.end <= address:
            continue
        is_right = mapping.flags & permissions == permissions and (mapping.inode or not wanted & FILE_BACKED)
        if is_right and (mapping.start <= address or wanted & COVERING_OR_NEXT):
            return mapping
        if not wanted & COVERING_OR_NEXT:
            break
    raise ENOENT("no such mapping")


# ---- build ids ------------------------------------------------------------------------------------------------------


def _build_id(subject: Subject, mappings: list[Mapping], of: Mapping) -> bytes:
    """The file's NT_GNU_BUILD_ID, as far as its headers are mapped: programs and libraries have theirs in memory.
    b"": none, as the kernel says of pages that it would have to read."""
    same = [each for each in mappings if (each.device, each.inode) == (of.device, of.inode)]

    def read(offset: int, size: int) -> bytes:
        for each in same:
            start = each.start + offset - each.offset
            if each.start <= start and start + size <= each.end:
                return subject.memory.read(start, size)
        raise ENOENT("not mapped")

    try:
        return _parse_build_id(read)
    except LinuxError:
        return b""


def _parse_build_id(read: Callable[[int, int], bytes]) -> bytes:
    ident, headers, entry_size, count = _EHDR.unpack(read(0, _EHDR.size))
    if ident[:6] != b"\x7fELF\x02\x01" or entry_size != _PHDR.size or count * entry_size > _PAGE:
        return b""
    for kind, offset, _, size in _PHDR.iter_unpack(read(headers, count * entry_size)):
        if kind != _PT_NOTE or not _NOTE.size <= size <= _PAGE:
            continue
        notes = read(offset, size)
        at = 0
        while at + _NOTE.size <= size:
            name_size, desc_size, note_type = _NOTE.unpack_from(notes, at)
            name = notes[at + _NOTE.size :][:name_size]
            at += _NOTE.size + (name_size + 3 & ~3)
            if note_type == _NT_GNU_BUILD_ID and name == b"GNU\0" and 0 < desc_size <= _BUILD_ID_MAX:
                return notes[at : at + desc_size]
            at += desc_size + 3 & ~3
    return b""


# ---- the file -------------------------------------------------------------------------------------------------------


class MapsDescription(GeneratedDescription):
    """An open /proc/PID/maps."""

    __slots__ = ()

    async def ioctl(self, task: Task, fd: int, request: int, argument: int) -> int:
        if request != PROCMAP_QUERY:
            return await super().ioctl(task, fd, request, argument)
        assert isinstance(self.file, MapsFile)
        return query(task, self.file.subject, argument)


class MapsFile(SubjectFile):
    """/proc/PID/maps: text to read, and questions."""

    __slots__ = ()

    def __init__(self, subject: Subject, make: Callable[[Subject], bytes]) -> None:
        super().__init__(subject, make, 0o444, is_private=True)

    def open(self, task: Task, flags: int) -> CDescription:
        self.subject.check_access(task)
        return describe(flags, MapsDescription, self)
