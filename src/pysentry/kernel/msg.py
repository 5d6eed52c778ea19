"""System V message queues. msgop(2), msgctl(2). Source: Linux ipc/msg.c."""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_SYS_RESOURCE
from pysentry.abi.errno import E2BIG, EAGAIN, EIDRM, EINVAL, ENOMSG, EPERM
from pysentry.kernel.ipc import IPC_NOWAIT, MAY_READ, MAY_WRITE, PERM, IpcObject, IpcTable, limits, now_s
from pysentry.kernel.wait import WaitQueue, wait_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

    Message = tuple[int, bytes]  # type, text

MSG_NOERROR, MSG_EXCEPT, MSG_COPY = 0o10000, 0o20000, 0o40000
_DS = Struct("=qqqQQQiiQQ")  # struct msqid64_ds after its perm: stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid
_INFO = Struct("=7iH2x")  # struct msginfo: pool, map, max, mnb, mni, ssz, tql, seg


class MessageQueue(IpcObject):
    """One queue. `limit`: bytes it may hold."""

    __slots__ = ("changed", "limit", "lrpid", "lspid", "messages", "rtime_s", "stime_s")

    def __init__(self, task: Task, key: int, mode: int) -> None:
        super().__init__(task, key, mode)
        self.messages: list[Message] = []
        self.limit = limits["msgmnb"][0]
        self.lspid = self.lrpid = self.stime_s = self.rtime_s = 0
        self.changed = WaitQueue()

    @property
    def size(self) -> int:
        return sum(len(text) for _, text in self.messages)

    def has_room(self, size: int) -> bool:
        return self.size + size <= self.limit and len(self.messages) + 1 <= self.limit

    def choose(self, kind: int, flags: int) -> int | None:
        """Index of the message that msgrcv(2) means."""
        if flags & MSG_COPY:
            return kind if 0 <= kind < len(self.messages) else None
        if kind < 0:
            least = min((each for each, _ in self.messages if each <= -kind), default=None)
            return None if least is None else next(i for i, (each, _) in enumerate(self.messages) if each == least)
        for index, (each, _) in enumerate(self.messages):
            if not kind or (each != kind if flags & MSG_EXCEPT else each == kind):
                return index
        return None

    def status(self) -> bytes:
        """struct msqid64_ds."""
        times = self.stime_s, self.rtime_s, self.ctime_s
        filled = self.size, len(self.messages), self.limit
        return self.perm() + _DS.pack(*times, *filled, self.lspid, self.lrpid, 0, 0)


queues: IpcTable[MessageQueue] = IpcTable("msg_next_id")


def get(task: Task, key: int, flags: int) -> int:
    """msgget(2)."""
    most = limits["msgmni"][0]
    return queues.get(task, key, flags, lambda _: True, lambda: MessageQueue(task, key, flags), most)


async def send(task: Task, identifier: int, message: Message, flags: int) -> int:
    """msgsnd(2): waits for room. EAGAIN: IPC_NOWAIT; EIDRM: removed meanwhile."""
    queue = queues.find(identifier)
    while True:
        queue.check(task, MAY_WRITE)
        if queue.has_room(len(message[1])):
            break
        if flags & IPC_NOWAIT:
            raise EAGAIN("queue is full")
        await wait_event(task, queue.changed)
        if queue.is_removed:
            raise EIDRM("message queue")
    queue.messages.append(message)
    queue.lspid, queue.stime_s = task.group.pid, now_s()
    queue.changed.wake_all()
    return 0


async def receive(task: Task, identifier: int, size: int, kind: int, flags: int) -> Message:
    """msgrcv(2): the message, taken off unless it is MSG_COPY that asks; cut to `size` if MSG_NOERROR says so. E2BIG:
    it is longer; EINVAL: no copy is cut."""
    queue = queues.find(identifier)
    while True:
        queue.check(task, MAY_READ)
        index = queue.choose(kind, flags)
        if index is not None:
            break
        if flags & IPC_NOWAIT:
            raise ENOMSG("no such message")
        await wait_event(task, queue.changed)
        if queue.is_removed:
            raise EIDRM("message queue")
    each, text = queue.messages[index]
    if len(text) > size and not flags & MSG_NOERROR:
        raise E2BIG("message")
    if flags & MSG_COPY:
        if len(text) > size:
            raise EINVAL("MSG_COPY")
        return each, text
    del queue.messages[index]
    queue.lrpid, queue.rtime_s = task.group.pid, now_s()
    queue.changed.wake_all()
    return each, text[:size]


def change(task: Task, queue: MessageQueue, status: bytes) -> None:
    """IPC_SET: owner, permissions and size from a packed struct msqid64_ds. EPERM: a larger size than msgmnb."""
    queue.check_owner(task)
    *_, limit, _, _, _, _ = _DS.unpack_from(status, PERM.size)
    if limit > limits["msgmnb"][0] and not task.has_cap(CAP_SYS_RESOURCE):
        raise EPERM("msg_qbytes")
    if limit > 0x7FFFFFFF:
        raise EINVAL("msg_qbytes")
    queue.set_owner(status)
    queue.limit = limit
    queue.changed.wake_all()


def remove(task: Task, queue: MessageQueue) -> None:
    """IPC_RMID: who waits gets EIDRM."""
    queue.check_owner(task)
    queues.remove(queue)
    queue.changed.wake_all()


def info(is_used: bool) -> bytes:
    """IPC_INFO, MSG_INFO: struct msginfo; the latter with what is in use."""
    biggest, per_queue, most = limits["msgmax"][0], limits["msgmnb"][0], limits["msgmni"][0]
    every = queues.all()
    pool = len(every) if is_used else most * per_queue // 1024
    in_map = sum(len(each.messages) for each in every) if is_used else per_queue
    total = sum(each.size for each in every) if is_used else per_queue
    values = [min(value, 0x7FFFFFFF) for value in (pool, in_map, biggest, per_queue, most, 16, total)]
    return _INFO.pack(*values, 0xFFFF)


def listing() -> bytes:
    """/proc/sysvipc/msg."""
    lines = [
        b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime"
        b"      ctime\n"
    ]
    for q in queues.all():
        head = b"%10d %10d  %4o  %10d %10d %5d %5d " % (q.key, q.id, q.mode, q.size, len(q.messages), q.lspid, q.lrpid)
        owners = b"%5d %5d %5d %5d " % (q.uid, q.gid, q.cuid, q.cgid)
        lines.append(head + owners + b"%10d %10d %10d\n" % (q.stime_s, q.rtime_s, q.ctime_s))
    return b"".join(lines)
