"""What one task may learn of another, or write to it, of the process family: kcmp(2), process_vm_readv(2) and its twin,
process_madvise(2), process_mrelease(2), get_robust_list(2) of others."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import EACCES, EBADF, EFAULT, EINVAL, ENOENT, EPERM, ESRCH, LinuxError, check, host_errors
from pysentry.kernel import host
from pysentry.kernel.credentials import may_inspect
from pysentry.kernel.memory import UserMemory
from pysentry.kernel.pidfd import pidfd_of
from pysentry.kernel.task import find_by_pid
from pysentry.kernel.wait import host_call
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CDescription, CTask

_KCMP_FILE, _KCMP_VM, _KCMP_FILES, _KCMP_FS, _KCMP_SIGHAND, _KCMP_IO, _KCMP_SYSVSEM, _KCMP_EPOLL_TFD = range(8)
_NR_MADVISE, _NR_KCMP, _NR_GET_ROBUST_LIST, _NR_PROCESS_MRELEASE = 28, 312, 274, 448
_PIDFD_SELF, _PIDFD_SELF_GROUP = -10000, -10001  # Linux 6.14: in the place of a pidfd
_ADVICE_ABOUT_OTHERS = frozenset((3, 20, 21, 25))  # WILLNEED, COLD, PAGEOUT, COLLAPSE
_IOV_MAX = 1024
_CHUNK = 1 << 20
_ULONG = Struct("=Q")
_EPOLL_SLOT = Struct("=IiI")  # struct kcmp_epoll_slot


def inspected(task: Task, pid: int) -> CTask:
    """Another task, by PTRACE_MODE_READ_REALCREDS. ESRCH, EPERM."""
    other = find_by_pid(pid)
    if other is None:
        raise ESRCH("pid")
    if other.group != task.c.group and not may_inspect(task.cred, other.cred, by_real_ids=True):
        raise EPERM("not to be inspected")
    return other


@syscall
def kcmp(task: Task, pid1: int, pid2: int, type: int, idx1: int, idx2: int) -> int:
    """0: the same; 1, 2: an order that means nothing."""
    one, other = find_by_pid(pid1), find_by_pid(pid2)
    if one is None or other is None:
        raise ESRCH("pid")
    inspected(task, pid1)
    inspected(task, pid2)
    if type == _KCMP_FILE:
        return _order(_slot(one, idx1), _slot(other, idx2))
    if type == _KCMP_FILES:
        return _order(one.files, other.files)
    if type == _KCMP_FS:
        return _order(one.fs, other.fs)
    if type in (_KCMP_VM, _KCMP_SIGHAND, _KCMP_IO, _KCMP_SYSVSEM):  # of the host's tasks
        return check(lib.host_syscall(_NR_KCMP, one.tid, other.tid, type, 0, 0, 0))
    if type == _KCMP_EPOLL_TFD:
        efd, fd, nth = task.memory.read_struct(idx2, _EPOLL_SLOT)
        file, instance = _slot(one, idx1), _slot(other, efd)
        if instance.kind != lib.DESC_EPOLL:
            raise EINVAL("no epoll instance")
        target = lib.epoll_member_target(instance, fd, nth)
        if target == ffi.NULL:
            raise ENOENT("no such member")
        return _order(file, target)
    raise EINVAL("type")


def _slot(c: CTask, fd: int) -> CDescription:
    if fd >= c.files.capacity or c.files.slots[fd].desc == ffi.NULL:
        raise EBADF("descriptor")
    return c.files.slots[fd].desc


def _order(one: object, other: object) -> int:
    a, b = (int(ffi.cast("uintptr_t", each)) for each in (one, other))
    return 0 if a == b else 1 if a < b else 2


# ---- memory -------------------------------------------------------------------------------------------------------


@syscall
def process_vm_readv(
    task: Task, pid: int, local_iov: UserAddr, liovcnt: int, remote_iov: UserAddr, riovcnt: int, flags: int
) -> int:
    return _transfer(task, pid, (local_iov, liovcnt), (remote_iov, riovcnt), flags, is_write=False)


@syscall
def process_vm_writev(
    task: Task, pid: int, local_iov: UserAddr, liovcnt: int, remote_iov: UserAddr, riovcnt: int, flags: int
) -> int:
    return _transfer(task, pid, (local_iov, liovcnt), (remote_iov, riovcnt), flags, is_write=True)


def _transfer(
    task: Task, pid: int, local: tuple[UserAddr, int], remote: tuple[UserAddr, int], flags: int, is_write: bool
) -> int:
    """process_vm_rw() in Linux mm/process_vm_access.c: bytes moved, short at the first fault."""
    if flags:
        raise EINVAL("flags")
    mine, theirs = (_vectors(task, *vectors) for vectors in (local, remote))
    if not mine or not theirs:
        return 0
    memory = UserMemory(inspected(task, pid))
    from_memory, to_memory = (task.memory, memory) if is_write else (memory, task.memory)
    done = 0
    for (source, length), target in _pieces(*((mine, theirs) if is_write else (theirs, mine))):
        try:
            data = from_memory.read_some(source, length)
            moved = to_memory.write_some(target, data)
        except EFAULT:
            if not done:
                raise
            break
        done += moved
        if moved < length:
            break
    return done


def _vectors(task: Task, address: UserAddr, count: int) -> list[tuple[int, int]]:
    if count > _IOV_MAX:
        raise EINVAL("too many vectors")
    vectors = [(base, length) for base, length in task.memory.read_iovecs(address, count)] if count else []
    if any(length >= 1 << 63 for _, length in vectors):
        raise EINVAL("iov_len")
    return [vector for vector in vectors if vector[1]]


def _pieces(source: list[tuple[int, int]], target: list[tuple[int, int]]) -> list[tuple[tuple[int, int], int]]:
    """((from, bytes), to) where both sides are whole, at most a megabyte each."""
    pieces = []
    source, target = list(source), list(target)
    while source and target:
        (start, have), (to, room) = source[0], target[0]
        length = min(have, room, _CHUNK)
        pieces.append(((start, length), to))
        source[0], target[0] = (start + length, have - length), (to + length, room - length)
        source, target = (side if side[0][1] else side[1:] for side in (source, target))
    return pieces


@syscall
async def process_madvise(task: Task, pidfd: int, iov: UserAddr, vlen: int, advice: int, flags: int) -> int:
    """Of one's own memory (Linux 6.13). Another process': EPERM, as without CAP_SYS_NICE."""
    if flags:
        raise EINVAL("flags")
    vectors = task.memory.read_iovecs(iov, vlen)
    if pidfd not in (_PIDFD_SELF, _PIDFD_SELF_GROUP):
        group = pidfd_of(task, pidfd).group
        if group is None:
            raise ESRCH("it has ended")
        if group is not task.group:
            other = find_by_pid(group.pid)
            if other is None:
                raise ESRCH("it has ended")
            if not may_inspect(task.cred, other.cred):
                raise EACCES("not to be inspected")
            if advice not in _ADVICE_ABOUT_OTHERS:
                raise EINVAL("advice about one's own memory only")
            raise EPERM("CAP_SYS_NICE")
    done = 0
    for address, length in vectors:
        try:
            await host_call(task, _NR_MADVISE, address, length, advice)
        except LinuxError:
            if not done:
                raise
            break
        done += length
    return done


@syscall
def process_mrelease(task: Task, pidfd: int, flags: int) -> int:
    """Frees the memory of a process that was killed and has not ended yet. EINVAL: it lives on."""
    if flags:
        raise EINVAL("flags")
    found = pidfd_of(task, pidfd)
    if found.group is None:
        raise ESRCH("it has ended")
    with host_errors():
        host_pidfd = os.pidfd_open(found.tgid)
    try:
        return check(lib.host_syscall(_NR_PROCESS_MRELEASE, host_pidfd, 0, 0, 0, 0, 0))
    finally:
        os.close(host_pidfd)


@syscall
def get_robust_list(task: Task, pid: int, head_ptr: UserAddr, len_ptr: UserAddr) -> int:
    """Another task's: an address in its memory, which the host keeps."""
    other = inspected(task, pid)
    answer = bytearray(2 * _ULONG.size)
    start = host.address_of(answer)
    check(lib.host_syscall(_NR_GET_ROBUST_LIST, other.tid, start, start + _ULONG.size, 0, 0, 0))
    task.memory.write(len_ptr, bytes(answer[_ULONG.size :]))
    task.memory.write(head_ptr, bytes(answer[: _ULONG.size]))
    return 0
