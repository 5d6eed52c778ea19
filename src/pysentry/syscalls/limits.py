"""Limits and priorities: getrlimit(2), prlimit(2); of getpriority, setpriority and ioprio_set what the host leaves."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.capability import CAP_SYS_NICE, CAP_SYS_RESOURCE
from pysentry.abi.errno import EACCES, EINVAL, EPERM, ESRCH, check, host_errors
from pysentry.kernel import resource_limits
from pysentry.kernel.task import all_tasks, find_by_pid
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CTask, CThreadGroup

_RLIMIT = Struct("=QQ")
PRIO_PROCESS, PRIO_PGRP, PRIO_USER = range(3)
_IOPRIO_WHO_PROCESS, _IOPRIO_WHO_USER = 1, 3
_IOPRIO_CLASS_NONE, _IOPRIO_CLASS_RT, _IOPRIO_CLASS_BE, _IOPRIO_CLASS_IDLE = range(4)
_IOPRIO_CLASS_SHIFT = 13
_NR_IOPRIO_SET, _NR_IOPRIO_GET = 251, 252
_NICE_MIN, _NICE_MAX = -20, 19


@syscall
def getrlimit(task: Task, limit: int, rlim: UserAddr) -> int:
    group = task.c.group
    number = _resource(limit)
    task.memory.write_struct(rlim, _RLIMIT, group.rlimit_cur[number], group.rlimit_max[number])
    return 0


@syscall
def setrlimit(task: Task, limit: int, rlim: UserAddr) -> int:
    soft, hard = task.memory.read_struct(rlim, _RLIMIT)
    resource_limits.set_limit(task, task.c.group, _resource(limit), soft, hard)
    return 0


@syscall
def prlimit64(task: Task, pid: int, limit: int, new_limit: UserAddr, old_limit: UserAddr) -> int:
    new = task.memory.read_struct(new_limit, _RLIMIT) if new_limit else None
    group = _group(task, pid)
    number = _resource(limit)
    old = group.rlimit_cur[number], group.rlimit_max[number]
    if new is not None:
        resource_limits.set_limit(task, group, number, *new)
    if old_limit:
        task.memory.write_struct(old_limit, _RLIMIT, *old)
    return 0


def _resource(number: int) -> int:
    if not 0 <= number < resource_limits.COUNT:
        raise EINVAL("resource")
    return number


def _group(task: Task, pid: int) -> CThreadGroup:
    """The process whose limits are meant. ESRCH; EPERM: check_prlimit_permission()."""
    if not pid:
        return task.c.group
    other = find_by_pid(pid)
    if other is None:
        raise ESRCH("pid")
    if other.group != task.c.group:
        mine, theirs = task.cred, other.cred
        is_same = mine.uid == theirs.uid == theirs.euid == theirs.suid
        is_same = is_same and mine.gid == theirs.gid == theirs.egid == theirs.sgid
        if not is_same and not task.has_cap(CAP_SYS_RESOURCE):
            raise EPERM("another user's process")
    return other.group


# ---- priorities: the host's numbers, of tasks that the sandbox has --------------------------------------------------


@syscall
def getpriority(task: Task, which: int, who: int) -> int:
    """20 - nice of the most favoured task that is meant."""
    found = []
    for c in _tasks_meant(task, which, who):
        try:
            found.append(20 - os.getpriority(os.PRIO_PROCESS, c.tid))
        except OSError:
            continue  # it is going
    if not found:
        raise ESRCH("nobody")
    return max(found)


@syscall
def setpriority(task: Task, which: int, who: int, niceval: int) -> int:
    """The host only lowers: more favour answers EACCES."""
    nice = max(_NICE_MIN, min(niceval, _NICE_MAX))
    meant = _tasks_meant(task, which, who)
    if not meant:
        raise ESRCH("nobody")
    refused: Exception | None = None
    for c in meant:
        if task.cred.euid not in (c.cred.uid, c.cred.euid) and not task.has_cap(CAP_SYS_NICE):
            refused = EPERM("another user's task")
            continue
        with host_errors():
            if nice < os.getpriority(os.PRIO_PROCESS, c.tid):
                refused = EACCES("more favour")
                continue
            os.setpriority(os.PRIO_PROCESS, c.tid, nice)
    if refused is not None:
        raise refused
    return 0


def _tasks_meant(task: Task, which: int, who: int) -> list[CTask]:
    if which == PRIO_PROCESS:
        c = find_by_pid(who) if who else task.c
        return [] if c is None else [c]
    if which == PRIO_PGRP:
        leader = find_by_pid(who) if who else None
        if who and leader is None:
            return []
        with host_errors():
            group = os.getpgid(task.tid) if leader is None else leader.tid
        return [c for c in all_tasks() if _pgid(c) == group]
    if which == PRIO_USER:
        return _tasks_of_user(who or task.cred.uid)
    raise EINVAL("which")


def _tasks_of_user(uid: int) -> list[CTask]:
    return [c for c in all_tasks() if c.cred != ffi.NULL and c.cred.uid == uid & 0xFFFFFFFF]


def _pgid(c: CTask) -> int:
    try:
        return os.getpgid(c.tid)
    except OSError:
        return -1


# ---- I/O priorities: the host keeps them, each task's own, and hands them on at fork ------------------------------


@syscall
def ioprio_get(task: Task, which: int, who: int) -> int:
    """The most favoured of several tasks; WHO_PROCESS the host has answered."""
    found = []
    for c in _io_tasks_meant(task, which, who):
        answer = lib.host_syscall(_NR_IOPRIO_GET, _IOPRIO_WHO_PROCESS, c.tid, 0, 0, 0, 0)
        if answer >= 0:  # else it is going
            found.append(answer if answer >> _IOPRIO_CLASS_SHIFT else _by_niceness(c.tid))
    if not found:
        raise ESRCH("nobody")
    return min(found)


@syscall
def ioprio_set(task: Task, which: int, who: int, ioprio: int) -> int:
    """Own threads, other tasks and groups of them. IOPRIO_CLASS_RT: EPERM, as without CAP_SYS_NICE."""
    meant = _io_tasks_meant(task, which, who)
    check_io_priority(ioprio)
    if not meant:
        raise ESRCH("nobody")
    for c in meant:
        if c.cred.uid not in (task.cred.uid, task.cred.euid) and not task.has_cap(CAP_SYS_NICE):
            raise EPERM("another user's task")
        check(lib.host_syscall(_NR_IOPRIO_SET, _IOPRIO_WHO_PROCESS, c.tid, ioprio, 0, 0, 0))
    return 0


def check_io_priority(ioprio: int) -> None:
    """EINVAL: no such class; EPERM: real time. ioprio_check_cap() in Linux block/ioprio.c, before who is meant."""
    kind, level = ioprio >> _IOPRIO_CLASS_SHIFT & 7, ioprio & 7
    if kind > _IOPRIO_CLASS_IDLE or (kind == _IOPRIO_CLASS_NONE and level):
        raise EINVAL("ioprio")
    if kind == _IOPRIO_CLASS_RT:
        raise EPERM("real-time I/O is the host's")


def _io_tasks_meant(task: Task, which: int, who: int) -> list[CTask]:
    if not _IOPRIO_WHO_PROCESS <= which <= _IOPRIO_WHO_USER:
        raise EINVAL("which")
    if which == _IOPRIO_WHO_USER:  # 0 is root here, not the caller
        return _tasks_of_user(who)
    return _tasks_meant(task, which - _IOPRIO_WHO_PROCESS + PRIO_PROCESS, who)


def _by_niceness(tid: int) -> int:
    """What a task without one of its own has: task_nice_ioclass(), task_nice_ioprio()."""
    with host_errors():
        is_idle = os.sched_getscheduler(tid) == os.SCHED_IDLE
        level = (os.getpriority(os.PRIO_PROCESS, tid) + 20) // 5
    return (_IOPRIO_CLASS_IDLE if is_idle else _IOPRIO_CLASS_BE) << _IOPRIO_CLASS_SHIFT | level
