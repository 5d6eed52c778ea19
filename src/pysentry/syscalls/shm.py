"""shmget(2), shmat(2), shmdt(2), shmctl(2)."""

from __future__ import annotations

from pysentry.abi.errno import EINVAL
from pysentry.kernel import shm
from pysentry.kernel.ipc import IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, MAY_READ, PERM
from pysentry.kernel.shm import segments
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_SHM_LOCK, _SHM_UNLOCK, _SHM_STAT, _SHM_INFO, _SHM_STAT_ANY = 11, 12, 13, 14, 15


@syscall
def shmget(task: Task, key: int, size: int, shmflg: int) -> int:
    return shm.get(task, key, size, shmflg)


@syscall
async def shmat(task: Task, shmid: int, shmaddr: UserAddr, shmflg: int) -> int:
    return await shm.attach(task, shmid, shmaddr, shmflg)


@syscall
async def shmdt(task: Task, shmaddr: UserAddr) -> int:
    return await shm.detach(task, shmaddr)


@syscall
def shmctl(task: Task, shmid: int, cmd: int, buf: UserAddr) -> int:
    if shmid < 0 or cmd < 0:
        raise EINVAL("shmctl")
    if cmd == IPC_INFO:
        task.memory.write(buf, shm.info())
        return segments.highest_index()
    if cmd == _SHM_INFO:
        task.memory.write(buf, shm.used())
        return segments.highest_index()
    if cmd in (IPC_STAT, _SHM_STAT, _SHM_STAT_ANY):
        shm.sweep()
        segment = segments.find(shmid) if cmd == IPC_STAT else segments.at(shmid)
        if cmd != _SHM_STAT_ANY:
            segment.check(task, MAY_READ)
        task.memory.write(buf, segment.status())
        return 0 if cmd == IPC_STAT else segment.id
    if cmd == IPC_SET:
        perm = task.memory.read(buf, PERM.size)
        segment = segments.find(shmid)
        segment.check_owner(task)
        segment.set_owner(perm)
    elif cmd == IPC_RMID:
        shm.remove(task, segments.find(shmid))
    elif cmd in (_SHM_LOCK, _SHM_UNLOCK):
        shm.set_locked(task, segments.find(shmid), cmd == _SHM_LOCK)
    else:
        raise EINVAL("shmctl command")
    return 0
