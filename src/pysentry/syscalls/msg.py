"""msgget(2), msgsnd(2), msgrcv(2), msgctl(2)."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EINVAL
from pysentry.kernel import msg
from pysentry.kernel.ipc import IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, MAY_READ, limits
from pysentry.kernel.msg import MSG_COPY, MSG_EXCEPT, queues
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_MSG_STAT, _MSG_INFO, _MSG_STAT_ANY = 11, 12, 13
_TYPE = Struct("=q")
_STATUS_BYTES = 120  # struct msqid64_ds
_SSIZE_MAX = (1 << 63) - 1


@syscall
def msgget(task: Task, key: int, msgflg: int) -> int:
    return msg.get(task, key, msgflg)


@syscall(restart="nohand")
async def msgsnd(task: Task, msqid: int, msgp: UserAddr, msgsz: int, msgflg: int) -> int:
    (kind,) = task.memory.read_struct(msgp, _TYPE)
    if msgsz > limits["msgmax"][0] or msqid < 0 or kind < 1:
        raise EINVAL("message")
    text = task.memory.read(msgp + _TYPE.size, msgsz)
    return await msg.send(task, msqid, (kind, text), msgflg)


@syscall(restart="nohand")
async def msgrcv(task: Task, msqid: int, msgp: UserAddr, msgsz: int, msgtyp: int, msgflg: int) -> int:
    if msqid < 0 or msgsz > _SSIZE_MAX:
        raise EINVAL("size")
    if msgflg & MSG_COPY and (msgflg & MSG_EXCEPT or not msgflg & IPC_NOWAIT):
        raise EINVAL("MSG_COPY")
    kind, text = await msg.receive(task, msqid, msgsz, msgtyp, msgflg)
    task.memory.write(msgp, _TYPE.pack(kind) + text)  # EFAULT: the message is lost
    return len(text)


@syscall
def msgctl(task: Task, msqid: int, cmd: int, buf: UserAddr) -> int:
    if msqid < 0 or cmd < 0:
        raise EINVAL("msgctl")
    if cmd in (IPC_INFO, _MSG_INFO):
        task.memory.write(buf, msg.info(cmd == _MSG_INFO))
        return queues.highest_index()
    if cmd in (IPC_STAT, _MSG_STAT, _MSG_STAT_ANY):
        queue = queues.find(msqid) if cmd == IPC_STAT else queues.at(msqid)
        if cmd != _MSG_STAT_ANY:
            queue.check(task, MAY_READ)
        task.memory.write(buf, queue.status())
        return 0 if cmd == IPC_STAT else queue.id
    if cmd == IPC_SET:
        status = task.memory.read(buf, _STATUS_BYTES)
        msg.change(task, queues.find(msqid), status)
    elif cmd == IPC_RMID:
        msg.remove(task, queues.find(msqid))
    else:
        raise EINVAL("msgctl command")
    return 0
