"""System V semaphores: sets, operations on several at once, undo at exit. semop(2), semctl(2).

An operation is tried as a whole; a call that has to wait tries again whenever its set changes, in the order of arrival.
Adjustments of SEM_UNDO belong to the process (Linux shares them by CLONE_SYSVSEM, which threads always have).
Source: Linux ipc/sem.c.
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import E2BIG, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOSPC, ERANGE
from pysentry.kernel.ipc import IPC_NOWAIT, MAY_READ, MAY_WRITE, IpcObject, IpcTable, limits, now_s
from pysentry.kernel.task import on_task_exit, task_of
from pysentry.kernel.wait import Interrupted, WaitQueue, wait_event
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysentry.kernel.task import Task

    Operation = tuple[int, int, int]  # struct sembuf: semaphore, change, flags

SEM_UNDO = 0o10000
VALUE_MAX = 32767
_ADJUST_MAX = 32767
_DS = Struct("=qQqQQQQ")  # struct semid64_ds after its perm: otime, reserved, ctime, reserved, nsems, two reserved
_INFO = Struct("=10i")  # struct seminfo: map, mni, mns, mnu, msl, opm, ume, usz, vmx, aem


class SemaphoreSet(IpcObject):
    """One set. `undo`: what the end of a process, by ThreadGroup.id, adds to each semaphore."""

    __slots__ = ("changed", "otime_s", "pids", "undo", "values", "waiting")

    def __init__(self, task: Task, key: int, mode: int, count: int) -> None:
        super().__init__(task, key, mode)
        self.values = [0] * count
        self.pids = [0] * count
        self.otime_s = 0
        self.undo: dict[int, list[int]] = {}
        self.changed = WaitQueue()
        self.waiting: list[Operation] = []  # what each waiting call cannot do

    def status(self) -> bytes:
        """struct semid64_ds."""
        return self.perm() + _DS.pack(self.otime_s, 0, self.ctime_s, 0, len(self.values), 0, 0)

    def waiters(self, number: int, for_zero: bool) -> int:
        """GETNCNT, GETZCNT: calls that wait for one semaphore."""
        return sum(at == number and (change == 0) == for_zero for at, change, _ in self.waiting)

    def apply(self, task: Task, operations: Sequence[Operation]) -> Operation | None:
        """perform_atomic_semop(): all operations, or none and the one that cannot be done now. ERANGE."""
        values = list(self.values)
        adjustments = list(self.undo.get(task.group.id) or [0] * len(values))
        for operation in operations:
            number, change, flags = operation
            value = values[number]
            if (not change and value) or value + change < 0:
                return operation
            if value + change > VALUE_MAX:
                raise ERANGE("semaphore value")
            if flags & SEM_UNDO:
                adjustments[number] -= change
                if not -_ADJUST_MAX - 1 <= adjustments[number] <= _ADJUST_MAX:
                    raise ERANGE("undo")
            values[number] = value + change
        self.values = values
        if any(flags & SEM_UNDO for _, _, flags in operations):
            self.undo[task.group.id] = adjustments
            leader = lib.task_find(task.c.group.tgid)
            if leader != ffi.NULL:
                task_of(leader)  # the engine tells of the end of tasks that Python knows, and the leader's comes last
        for number, _, _ in operations:
            self.pids[number] = task.group.pid
        self.otime_s = now_s()
        if any(change for _, change, _ in operations):
            self.changed.wake_all()
        return None

    def set_values(self, task: Task, values: dict[int, int]) -> None:
        """SETVAL, SETALL: undoes of these semaphores are forgotten."""
        for number, value in values.items():
            self.values[number] = value
            self.pids[number] = task.group.pid
            for adjustments in self.undo.values():
                adjustments[number] = 0
        self.ctime_s = now_s()
        self.changed.wake_all()


sets: IpcTable[SemaphoreSet] = IpcTable("sem_next_id")
_total = 0  # semaphores of all sets


def get(task: Task, key: int, count: int, flags: int) -> int:
    """semget(2)."""
    global _total
    per_set, in_all, _, most = limits["sem"]
    if not 0 <= count <= per_set:
        raise EINVAL("nsems")

    def make() -> SemaphoreSet:
        if not count:
            raise EINVAL("nsems")
        if _total + count > in_all:
            raise ENOSPC("semaphores")
        return SemaphoreSet(task, key, flags, count)

    before = len(sets)
    identifier = sets.get(task, key, flags, lambda found: len(found.values) >= count, make, most)
    if len(sets) > before:
        _total += count
    return identifier


async def operate(task: Task, identifier: int, operations: Sequence[Operation], deadline_ns: int | None) -> int:
    """semtimedop(2). EAGAIN: IPC_NOWAIT or the deadline; EIDRM: removed meanwhile; never restarted: EINTR."""
    found = sets.find(identifier)
    if any(number >= len(found.values) for number, _, _ in operations):
        raise EFBIG("sem_num")
    found.check(task, MAY_WRITE if any(change for _, change, _ in operations) else MAY_READ)
    while True:
        stuck = found.apply(task, operations)
        if stuck is None:
            return 0
        if stuck[2] & IPC_NOWAIT:
            raise EAGAIN("semaphore")
        found.waiting.append(stuck)
        try:
            is_woken = await wait_event(task, found.changed, deadline_ns)
        except Interrupted:
            raise EINTR("semop is never restarted") from None
        finally:
            found.waiting.remove(stuck)
        if found.is_removed:
            raise EIDRM("semaphore set")
        if not is_woken:
            raise EAGAIN("timeout")


def check_count(count: int) -> None:
    """How many operations one call may have. E2BIG, EINVAL."""
    if count > limits["sem"][2]:
        raise E2BIG("nsops")
    if count < 1:
        raise EINVAL("nsops")


def remove(task: Task, found: SemaphoreSet) -> None:
    """IPC_RMID: who waits gets EIDRM."""
    global _total
    found.check_owner(task)
    _total -= len(found.values)
    sets.remove(found)
    found.changed.wake_all()


def undo(task: Task) -> None:
    """exit_sem(): the process' adjustments are made."""
    for found in sets.all():
        adjustments = found.undo.pop(task.group.id, None)
        if adjustments is None:
            continue
        for number, adjustment in enumerate(adjustments):
            if adjustment:
                found.values[number] = min(max(found.values[number] + adjustment, 0), VALUE_MAX)
                found.pids[number] = task.group.pid
        found.otime_s = now_s()
        found.changed.wake_all()


def _task_ended(task: Task) -> None:
    if task.c.group.refs == 1:
        undo(task)


on_task_exit.append(_task_ended)


def info(is_used: bool) -> bytes:
    """IPC_INFO, SEM_INFO: struct seminfo; the latter with what is in use."""
    per_set, in_all, operations, most = limits["sem"]
    every = sets.all()
    size, adjust = (len(every), sum(len(each.values) for each in every)) if is_used else (20, _ADJUST_MAX)
    return _INFO.pack(in_all, most, in_all, in_all, per_set, operations, operations, size, VALUE_MAX, adjust)


def listing() -> bytes:
    """/proc/sysvipc/sem."""
    lines = [b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"]
    for s in sets.all():
        head = b"%10d %10d  %4o %10d " % (s.key, s.id, s.mode, len(s.values))
        lines.append(head + b"%5d %5d %5d %5d %10d %10d\n" % (s.uid, s.gid, s.cuid, s.cgid, s.otime_s, s.ctime_s))
    return b"".join(lines)
