"""semget(2), semop(2), semtimedop(2), semctl(2)."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EINVAL, ERANGE
from pysentry.kernel import sem
from pysentry.kernel.ipc import IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, MAY_READ, MAY_WRITE, PERM
from pysentry.kernel.poll import deadline_after
from pysentry.kernel.sem import VALUE_MAX, SemaphoreSet, sets
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_GETPID, _GETVAL, _GETALL, _GETNCNT, _GETZCNT, _SETVAL, _SETALL = range(11, 18)
_SEM_STAT, _SEM_INFO, _SEM_STAT_ANY = 18, 19, 20
_SEMBUF = Struct("=Hhh")  # sem_num, sem_op, sem_flg
_TIMESPEC = Struct("=qq")


@syscall
def semget(task: Task, key: int, nsems: int, semflg: int) -> int:
    return sem.get(task, key, nsems, semflg)


@syscall
async def semop(task: Task, semid: int, sops: UserAddr, nsops: int) -> int:
    return await semtimedop(task, semid, sops, nsops, 0)


@syscall
async def semtimedop(task: Task, semid: int, sops: UserAddr, nsops: int, timeout: UserAddr) -> int:
    limit = task.memory.read_struct(timeout, _TIMESPEC) if timeout else None
    sem.check_count(nsops)
    operations = list(_SEMBUF.iter_unpack(task.memory.read(sops, nsops * _SEMBUF.size)))
    deadline_ns = deadline_after(*limit) if limit else None  # judged last
    return await sem.operate(task, semid, operations, deadline_ns)


@syscall
def semctl(task: Task, semid: int, semnum: int, cmd: int, arg: int) -> int:
    if semid < 0:
        raise EINVAL("semid")
    if cmd in (IPC_INFO, _SEM_INFO):
        task.memory.write(arg, sem.info(cmd == _SEM_INFO))
        return sets.highest_index()
    if cmd in (IPC_STAT, _SEM_STAT, _SEM_STAT_ANY):
        found = sets.find(semid) if cmd == IPC_STAT else sets.at(semid)
        if cmd != _SEM_STAT_ANY:
            found.check(task, MAY_READ)
        task.memory.write(arg, found.status())
        return 0 if cmd == IPC_STAT else found.id
    if cmd == IPC_SET:
        perm = task.memory.read(arg, PERM.size)
        found = sets.find(semid)
        found.check_owner(task)
        found.set_owner(perm)
        return 0
    if cmd == IPC_RMID:
        sem.remove(task, sets.find(semid))
        return 0
    if cmd in (_SETVAL, _SETALL):
        return _set(task, sets.find(semid), semnum, cmd, arg)
    if _GETPID <= cmd <= _GETZCNT:
        return _ask(task, sets.find(semid), semnum, cmd, arg)
    raise EINVAL("semctl command")


def _ask(task: Task, found: SemaphoreSet, number: int, cmd: int, arg: int) -> int:
    found.check(task, MAY_READ)
    if cmd == _GETALL:
        task.memory.write(arg, b"".join(value.to_bytes(2, "little") for value in found.values))
        return 0
    if not 0 <= number < len(found.values):
        raise EINVAL("semnum")
    if cmd == _GETVAL:
        return found.values[number]
    if cmd == _GETPID:
        return found.pids[number]
    return found.waiters(number, for_zero=cmd == _GETZCNT)


def _set(task: Task, found: SemaphoreSet, number: int, cmd: int, arg: int) -> int:
    if cmd == _SETALL:
        found.check(task, MAY_WRITE)
        data = memoryview(task.memory.read(arg, 2 * len(found.values))).cast("H")
        values = dict(enumerate(data))
    else:
        value = (arg & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        if not 0 <= value <= VALUE_MAX:
            raise ERANGE("value")
        if not 0 <= number < len(found.values):
            raise EINVAL("semnum")
        found.check(task, MAY_WRITE)
        values = {number: value}
    if any(value > VALUE_MAX for value in values.values()):
        raise ERANGE("value")
    found.set_values(task, values)
    return 0
