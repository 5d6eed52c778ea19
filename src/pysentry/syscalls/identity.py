"""Who a task is: user and group ids, groups, capabilities. All virtual; the rules are kernel/credentials."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_SETGID
from pysentry.abi.errno import EINVAL, EPERM, ESRCH
from pysentry.kernel import credentials
from pysentry.kernel.task import find_by_pid
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_UINT32 = Struct("=I")
_INT32 = Struct("=i")
_PID_OFFSET = 4  # struct __user_cap_header_struct: version, pid
_CAP_SET = Struct("=III")  # effective, permitted, inheritable: one half of each
_VERSIONS = {0x19980330: 1, 0x20071026: 2, 0x20080522: 2}  # halves
_PREFERRED_VERSION = 0x20080522
_NGROUPS_MAX = 65536


@syscall
def getuid(task: Task) -> int:
    return task.cred.uid


@syscall
def geteuid(task: Task) -> int:
    return task.cred.euid


@syscall
def getgid(task: Task) -> int:
    return task.cred.gid


@syscall
def getegid(task: Task) -> int:
    return task.cred.egid


@syscall
def setuid(task: Task, uid: int) -> int:
    task.set_cred(**credentials.setuid(task.cred, uid))
    return 0


@syscall
def setgid(task: Task, gid: int) -> int:
    task.set_cred(**credentials.setgid(task.cred, gid))
    return 0


@syscall
def setreuid(task: Task, ruid: int, euid: int) -> int:
    task.set_cred(**credentials.setreuid(task.cred, ruid, euid))
    return 0


@syscall
def setregid(task: Task, rgid: int, egid: int) -> int:
    task.set_cred(**credentials.setregid(task.cred, rgid, egid))
    return 0


@syscall
def setresuid(task: Task, ruid: int, euid: int, suid: int) -> int:
    task.set_cred(**credentials.setresuid(task.cred, ruid, euid, suid))
    return 0


@syscall
def setresgid(task: Task, rgid: int, egid: int, sgid: int) -> int:
    task.set_cred(**credentials.setresgid(task.cred, rgid, egid, sgid))
    return 0


@syscall
def getresuid(task: Task, ruid: UserAddr, euid: UserAddr, suid: UserAddr) -> int:
    cred = task.cred
    return _write_three(task, (ruid, euid, suid), (cred.uid, cred.euid, cred.suid))


@syscall
def getresgid(task: Task, rgid: UserAddr, egid: UserAddr, sgid: UserAddr) -> int:
    cred = task.cred
    return _write_three(task, (rgid, egid, sgid), (cred.gid, cred.egid, cred.sgid))


def _write_three(task: Task, places: tuple[int, int, int], values: tuple[int, int, int]) -> int:
    for place, value in zip(places, values, strict=True):
        task.memory.write_struct(place, _UINT32, value)
    return 0


@syscall
def setfsuid(task: Task, fsuid: int) -> int:
    old = task.cred.fsuid
    changes = credentials.setfsuid(task.cred, fsuid)
    if changes:
        task.set_cred(**changes)
    return old


@syscall
def setfsgid(task: Task, fsgid: int) -> int:
    old = task.cred.fsgid
    changes = credentials.setfsgid(task.cred, fsgid)
    if changes:
        task.set_cred(**changes)
    return old


@syscall
def getgroups(task: Task, size: int, list_: UserAddr) -> int:
    cred = task.cred
    if size < 0 or 0 < size < cred.ngroups:
        raise EINVAL("size")
    if size:
        task.memory.write(list_, b"".join(_UINT32.pack(gid) for gid in cred.groups[0 : cred.ngroups]))
    return cred.ngroups


@syscall
def setgroups(task: Task, size: int, list_: UserAddr) -> int:
    if not task.has_cap(CAP_SETGID):
        raise EPERM("CAP_SETGID")
    if not 0 <= size <= _NGROUPS_MAX:
        raise EINVAL("size")
    packed = task.memory.read(list_, 4 * size)
    task.set_cred(**credentials.setgroups(task.cred, [gid for (gid,) in _UINT32.iter_unpack(packed)]))
    return 0


def _halves(task: Task, hdrp: UserAddr, is_asked_for: bool = False) -> int:
    """cap_validate_magic(): what a version knows of each set; of an unknown one the caller is told a known one."""
    (version,) = task.memory.read_struct(hdrp, _UINT32)
    if version not in _VERSIONS:
        task.memory.write_struct(hdrp, _UINT32, _PREFERRED_VERSION)
        if not is_asked_for:
            raise EINVAL("version")
    return _VERSIONS.get(version, 0)


@syscall
def capget(task: Task, hdrp: UserAddr, datap: UserAddr) -> int:
    halves = _halves(task, hdrp, is_asked_for=not datap)
    if not datap:
        return 0
    (pid,) = task.memory.read_struct(hdrp + _PID_OFFSET, _INT32)
    if pid < 0:
        raise EINVAL("pid")
    cred = task.cred
    if pid and pid != task.ns_tid:
        other = find_by_pid(pid)
        if other is None:
            raise ESRCH("pid")
        cred = other.cred
    sets = (cred.cap_effective, cred.cap_permitted, cred.cap_inheritable)
    packed = [_CAP_SET.pack(*(one >> shift & 0xFFFFFFFF for one in sets)) for shift in (0, 32)]
    task.memory.write(datap, b"".join(packed[:halves]))
    return 0


@syscall
def capset(task: Task, hdrp: UserAddr, datap: UserAddr) -> int:
    halves = _halves(task, hdrp)
    (pid,) = task.memory.read_struct(hdrp + _PID_OFFSET, _INT32)
    if pid and pid != task.ns_tid:
        raise EPERM("another task")
    packed = task.memory.read(datap, _CAP_SET.size * halves)
    sets = [0, 0, 0]
    for half, words in enumerate(_CAP_SET.iter_unpack(packed)):
        for index, word in enumerate(words):
            sets[index] |= word << 32 * half
    task.set_cred(**credentials.capset(task.cred, *sets))
    return 0
