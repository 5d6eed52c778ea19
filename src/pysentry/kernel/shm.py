"""System V shared memory: segments and who has them attached. shmget(2), shmop(2), shmctl(2).

A segment is a file in memory without a name, and counts among these: no death of a program gives it back. Attaching
maps it in the task by the host's own mmap, so fork, exec and exit treat it as any mapping. Who has it attached is not
kept here: the host's maps say it (a program may munmap a segment by itself).
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.capability import CAP_IPC_LOCK
from pysentry.abi.errno import EEXIST, EINVAL, ENOMEM, ENOSPC, EPERM, LinuxError, host_errors
from pysentry.abi.mman import MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE
from pysentry.abi.syscall_nr import NR_MMAP, NR_MUNMAP
from pysentry.kernel import lend
from pysentry.kernel.ipc import MAY_EXEC, MAY_READ, MAY_WRITE, RMID_FORCED, IpcObject, IpcTable, limits, now_s
from pysentry.kernel.proc_status import read_host_path
from pysentry.kernel.task import all_groups, on_task_exit
from pysentry.kernel.wait import host_call
from pysentry.platform.native import lib
from pysentry.vfs.filesystem import content_fd
from pysentry.vfs.memfd import make_segment_file, room_bytes
from pysentry.vfs.open import reopen_read_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC = 0o10000, 0o20000, 0o40000, 0o100000
SHM_DEST, SHM_LOCKED = 0o1000, 0o2000
SHM_HUGETLB = 0o4000
_PAGE = 4096
_MAP_FIXED, _MAP_FIXED_NOREPLACE = 0x10, 0x100000
_TASK_SIZE = 0x7FFFFFFFF000
_DS = Struct("=QqqqiiQQQ")  # struct shmid64_ds after its perm: size, atime, dtime, ctime, cpid, lpid, nattch, reserved
_INFO = Struct("=QQQQQ32x")  # struct shminfo64: max, min, mni, seg, all
_USED = Struct("=i4xQQQQQ")  # struct shm_info: ids, pages, resident, swapped, two that are always 0
RLIMIT_MEMLOCK = 8


class Segment(IpcObject):
    """One segment. `size` as it was asked for; the memory is whole pages."""

    __slots__ = (
        "atime_s", "attaching", "cpid", "creator", "dentry", "dtime_s", "first_key", "host_name", "lpid", "size",
        "was_attached",
    )  # fmt: skip

    def __init__(self, task: Task, key: int, mode: int, size: int) -> None:
        super().__init__(task, key, mode)
        self.size = size
        self.first_key = key  # IPC_RMID takes the other away, but not its name in maps
        self.atime_s = self.dtime_s = 0
        self.cpid, self.lpid = task.group.pid, 0
        self.attaching = 0
        self.creator: Task | None = task  # while it lives
        self.was_attached = False
        self.dentry = make_segment_file(b"SYSV%08x" % (key & 0xFFFFFFFF), self.uid, self.gid)
        try:
            with host_errors():
                os.ftruncate(self.content(), _whole_pages(size))
                status = os.fstat(self.content())
        except BaseException:
            self.destroy()
            raise
        device = b"%02x:%02x" % (os.major(status.st_dev), os.minor(status.st_dev))
        self.host_name = device, b"%d" % status.st_ino  # in the host's maps it says which segment a mapping is of

    def content(self) -> int:
        """As vfs.filesystem.content_fd()."""
        return content_fd(self.dentry.inode)

    def destroy(self) -> None:
        lib.dentry_unref(self.dentry)

    @property
    def pages(self) -> int:
        return _whole_pages(self.size) // _PAGE

    def attached(self) -> int:
        """How many mappings there are of it: shm_nattch."""
        return sum(mapping.segment is self for group in all_groups() for mapping in _mappings(group.tgid))

    def resident_pages(self) -> int:
        return os.fstat(self.content()).st_blocks * 512 // _PAGE

    def status(self) -> bytes:
        """struct shmid64_ds."""
        times = self.atime_s, self.dtime_s, self.ctime_s
        return self.perm() + _DS.pack(self.size, *times, self.cpid, self.lpid, self.attached(), 0, 0)


segments: IpcTable[Segment] = IpcTable("shm_next_id")


def _whole_pages(size: int) -> int:
    return (size + _PAGE - 1) // _PAGE * _PAGE


class _Mapping:
    """One line of the host's maps about a segment."""

    __slots__ = ("end", "offset", "segment", "start")

    def __init__(self, start: int, end: int, offset: int, segment: Segment) -> None:
        self.start, self.end, self.offset, self.segment = start, end, offset, segment


def _mappings(tgid: int) -> list[_Mapping]:
    known = {each.host_name: each for each in segments.all()}
    if not known:
        return []
    try:
        text = read_host_path(f"{tgid}/maps")
    except LinuxError:
        return []
    found = []
    for line in text.splitlines():
        addresses, _, offset, device, inode = line.split(None, 5)[:5]
        segment = known.get((device, inode))
        if segment is not None:
            start, _, end = addresses.partition(b"-")
            found.append(_Mapping(int(start, 16), int(end, 16), int(offset, 16), segment))
    return found


def shown_name(device: bytes, inode: bytes) -> tuple[bytes, int, int] | None:
    """What /proc/PID/maps says (path, dev, ino) of a mapping that the host's has under these numbers, if it is a
    segment's."""
    for each in segments.all():
        if each.host_name == (device, inode):
            return b"/SYSV%08x (deleted)" % (each.first_key & 0xFFFFFFFF), each.dentry.inode.dev, each.id
    return None


def get(task: Task, key: int, size: int, flags: int) -> int:
    """shmget(2). SHM_HUGETLB answers EINVAL, as a kernel without CONFIG_HUGETLBFS."""

    def make() -> Segment:
        if not 1 <= size <= limits["shmmax"][0] or flags & SHM_HUGETLB:
            raise EINVAL("size or SHM_HUGETLB")
        if sum(each.pages for each in segments.all()) + _whole_pages(size) // _PAGE > limits["shmall"][0]:
            raise ENOSPC("shmall")
        if len(segments) >= limits["shmmni"][0]:
            raise ENOSPC("shmmni")
        if size > room_bytes():
            raise ENOMEM("more than all files in memory may take")
        return Segment(task, key, flags, size)

    sweep()
    return segments.get(task, key, flags, lambda found: found.size >= size, make, limits["shmmni"][0])


async def attach(task: Task, identifier: int, address: int, flags: int) -> int:
    """shmat(2): where it is mapped now."""
    if identifier < 0:
        raise EINVAL("identifier")
    fixed = 0
    if address:
        if address % _PAGE:
            if not flags & SHM_RND:
                raise EINVAL("address")
            address -= address % _PAGE
            if not address and flags & SHM_REMAP:
                raise EINVAL("address")
        fixed = _MAP_FIXED if flags & SHM_REMAP else _MAP_FIXED_NOREPLACE
    elif flags & SHM_REMAP:
        raise EINVAL("SHM_REMAP without an address")
    protection, wanted = PROT_READ, MAY_READ
    if not flags & SHM_RDONLY:
        protection, wanted = protection | PROT_WRITE, wanted | MAY_WRITE
    if flags & SHM_EXEC:
        protection, wanted = protection | PROT_EXEC, wanted | MAY_EXEC
    sweep()
    segment = segments.find(identifier)
    segment.check(task, wanted)
    if address + segment.size > _TASK_SIZE:
        raise EINVAL("address")
    segment.attaching += 1
    try:
        return await _map(task, segment, address, protection, MAP_SHARED | (fixed if address else 0))
    finally:
        segment.attaching -= 1


async def _map(task: Task, segment: Segment, address: int, protection: int, flags: int) -> int:
    with host_errors():
        # What is mapped from a read-only descriptor cannot become writable afterwards.
        host_fd = os.dup(segment.content()) if protection & PROT_WRITE else reopen_read_only(segment.content())
    size = _whole_pages(segment.size)
    try:
        mapped = await lend.call_with(task, host_fd, NR_MMAP, address, size, protection, flags, lend.NUMBER, 0)
    except EEXIST:
        raise EINVAL("something is mapped there") from None
    finally:
        os.close(host_fd)
    segment.atime_s, segment.lpid = now_s(), task.group.pid
    segment.was_attached = True
    return mapped


async def detach(task: Task, address: int) -> int:
    """shmdt(2): unmaps all that is left of the attachment at an address."""
    if address % _PAGE:
        raise EINVAL("address")
    mappings = _mappings(task.group.tgid)
    first = next((m for m in mappings if m.start >= address and m.start - address == m.offset), None)
    if first is None:
        raise EINVAL("no segment there")
    segment = first.segment
    size = _whole_pages(segment.size)
    for mapping in mappings:
        is_part = mapping.segment is segment and mapping.start - address == mapping.offset
        if is_part and mapping.start >= address and mapping.end - address <= size:
            await host_call(task, NR_MUNMAP, mapping.start, mapping.end - mapping.start)
    if not segment.is_removed:
        segment.dtime_s, segment.lpid = now_s(), task.group.pid
        sweep()
    return 0


def remove(task: Task, segment: Segment) -> None:
    """IPC_RMID: gone with its last attachment, out of reach by its key at once."""
    segment.check_owner(task)
    segments.hide(segment)
    segment.mode |= SHM_DEST
    sweep()


def set_locked(task: Task, segment: Segment, is_locked: bool) -> None:
    """SHM_LOCK, SHM_UNLOCK: the flag only; there is no swap to keep it from."""
    if not task.has_cap(CAP_IPC_LOCK):
        if task.cred.euid not in (segment.uid, segment.cuid):
            raise EPERM("another user's")
        if is_locked and not task.c.group.rlimit_cur[RLIMIT_MEMLOCK]:
            raise EPERM("RLIMIT_MEMLOCK")
    segment.mode = segment.mode | SHM_LOCKED if is_locked else segment.mode & ~SHM_LOCKED


def _ends_unattached(segment: Segment) -> bool:
    """It was removed; or kernel.shm_rmid_forced, and its last attachment or the task that made it is gone
    (shm_may_destroy())."""
    if segment.mode & SHM_DEST:
        return True
    return bool(limits[RMID_FORCED][0]) and (segment.was_attached or segment.creator is None)


def sweep() -> None:
    """Destroys what is attached nowhere any more and does not outlive that."""
    for segment in segments.all():
        if _ends_unattached(segment) and not segment.attaching and not segment.attached():
            segments.remove(segment)
            segment.destroy()


def rmid_was_forced() -> None:
    """kernel.shm_rmid_forced was written: those whose makers are gone end now (shm_destroy_orphaned()); of the others
    only what is attached from now on counts."""
    for segment in segments.all():
        segment.was_attached = bool(segment.attached())
    sweep()


def _task_ended(task: Task) -> None:
    made = [each for each in segments.all() if each.creator is task]
    for segment in made:
        segment.creator = None
    if (made or task.c.group.refs == 1) and any(_ends_unattached(each) for each in segments.all()):
        sweep()


on_task_exit.append(_task_ended)


def info() -> bytes:
    """IPC_INFO: struct shminfo64."""
    most = limits["shmmni"][0]
    return _INFO.pack(limits["shmmax"][0], 1, most, most, limits["shmall"][0])


def used() -> bytes:
    """SHM_INFO: struct shm_info."""
    every = segments.all()
    resident = sum(each.resident_pages() for each in every)
    return _USED.pack(len(every), sum(each.pages for each in every), resident, 0, 0, 0)


def listing() -> bytes:
    """/proc/sysvipc/shm."""
    sweep()
    lines = [
        b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      "
        b"dtime      ctime                   rss                  swap\n"
    ]
    for s in segments.all():
        head = b"%10d %10d  %4o %21d %5d %5d  %5d " % (s.key, s.id, s.mode, s.size, s.cpid, s.lpid, s.attached())
        owners = b"%5d %5d %5d %5d " % (s.uid, s.gid, s.cuid, s.cgid)
        times = b"%10d %10d %10d " % (s.atime_s, s.dtime_s, s.ctime_s)
        lines.append(head + owners + times + b"%21d %21d\n" % (s.resident_pages() * _PAGE, 0))
    return b"".join(lines)
