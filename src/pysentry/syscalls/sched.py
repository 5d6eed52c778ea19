"""Scheduling: what a task may change is its CPUs, and its policy among those without privilege. The host schedules."""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.capability import CAP_SYS_NICE
from pysentry.abi.errno import E2BIG, EINVAL, EOPNOTSUPP, EPERM, ESRCH, host_errors
from pysentry.kernel.task import find_by_pid
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CTask

_INT = Struct("=i")
_UINT = Struct("=I")
_ATTR = Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period
_ATTR_KNOWN = 56  # with util_min, util_max
_CPU_BYTES = 1024  # nobody has more CPUs than bits here
SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, _, SCHED_IDLE, SCHED_DEADLINE = range(7)
_RESET_ON_FORK = 0x40000000
_FLAG_RESET_ON_FORK, _FLAG_KEEP_POLICY, _FLAG_KEEP_PARAMS, _FLAG_UTIL_CLAMP = 0x01, 0x08, 0x10, 0x60
_FLAGS = 0x7F
_NICE_MIN, _NICE_MAX = -20, 19
_DEADLINE_RUNTIME_MIN_NS = 1024


@syscall
def sched_setaffinity(task: Task, pid: int, length: int, mask: UserAddr) -> int:
    bits = task.memory.read(mask, min(length, _CPU_BYTES)) if length else b""
    target = _target(task, pid)
    cpus = [8 * index + bit for index, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1]
    if not cpus:
        raise EINVAL("no CPU")
    with host_errors():
        os.sched_setaffinity(target.tid, cpus)
    return 0


@syscall
def sched_setparam(task: Task, pid: int, param: UserAddr) -> int:
    if not param or pid < 0:
        raise EINVAL("param")
    (priority,) = task.memory.read_struct(param, _INT)
    _target(task, pid)
    if priority:
        raise EINVAL("SCHED_OTHER has priority 0 only")
    return 0


@syscall
def sched_setscheduler(task: Task, pid: int, policy: int, param: UserAddr) -> int:
    if not param or pid < 0 or policy < 0:
        raise EINVAL("param")
    (priority,) = task.memory.read_struct(param, _INT)
    target = _target(task, pid)
    if policy & ~_RESET_ON_FORK == SCHED_DEADLINE:
        raise EINVAL("no deadline")
    _set_policy(target, policy & ~_RESET_ON_FORK, priority, bool(policy & _RESET_ON_FORK))
    return 0


@syscall
def sched_setattr(task: Task, pid: int, attr: UserAddr, flags: int) -> int:
    """Utilisation clamps answer EOPNOTSUPP, as a kernel without them."""
    if not attr or pid < 0 or flags:
        raise EINVAL("attr")
    policy, attr_flags, nice, priority, deadline = _read_attr(task, attr)
    if attr_flags & ~_FLAGS:
        raise EINVAL("flags")
    if attr_flags & _FLAG_UTIL_CLAMP:
        raise EOPNOTSUPP("utilisation clamps")
    target = _target(task, pid)
    with host_errors():
        if attr_flags & _FLAG_KEEP_POLICY:
            policy = os.sched_getscheduler(target.tid) & ~_RESET_ON_FORK
        if not attr_flags & _FLAG_KEEP_PARAMS and policy in (SCHED_OTHER, SCHED_BATCH):
            nice = max(_NICE_MIN, min(nice, _NICE_MAX))
            if nice < os.getpriority(os.PRIO_PROCESS, target.tid):
                raise EPERM("more favour")
    if policy == SCHED_DEADLINE and (priority or not _is_deadline(*deadline)):
        raise EINVAL("deadline")
    _set_policy(target, policy, priority, bool(attr_flags & _FLAG_RESET_ON_FORK))
    if not attr_flags & _FLAG_KEEP_PARAMS and policy in (SCHED_OTHER, SCHED_BATCH):
        with host_errors():
            os.setpriority(os.PRIO_PROCESS, target.tid, nice)
    return 0


def _is_deadline(runtime_ns: int, deadline_ns: int, period_ns: int) -> bool:
    """__checkparam_dl() in Linux kernel/sched/deadline.c."""
    if max(deadline_ns, period_ns) >> 63 or not _DEADLINE_RUNTIME_MIN_NS <= runtime_ns <= deadline_ns:
        return False
    return deadline_ns <= (period_ns or deadline_ns)


def _read_attr(task: Task, attr: UserAddr) -> tuple[int, int, int, int, tuple[int, int, int]]:
    """sched_copy_attr(): (policy, flags, nice, priority, deadline's times). E2BIG writes the size we know."""
    (size,) = task.memory.read_struct(attr, _UINT)
    size = size or _ATTR.size
    if not _ATTR.size <= size <= 4096 or any(task.memory.read(attr + _ATTR_KNOWN, max(0, size - _ATTR_KNOWN))):
        task.memory.write_struct(attr, _UINT, _ATTR_KNOWN)
        raise E2BIG("size")
    _, policy, flags, nice, priority, *times = task.memory.read_struct(attr, _ATTR)
    runtime_ns, deadline_ns, period_ns = times
    return policy, flags, nice, priority, (runtime_ns, deadline_ns, period_ns)


def _target(task: Task, pid: int) -> CTask:
    """The task meant. ESRCH; EPERM: another user's."""
    if pid < 0:
        raise EINVAL("pid")
    c = find_by_pid(pid) if pid else task.c
    if c is None:
        raise ESRCH("pid")
    if task.cred.euid not in (c.cred.uid, c.cred.euid) and not task.has_cap(CAP_SYS_NICE):
        raise EPERM("another user's task")
    return c


def _set_policy(target: CTask, policy: int, priority: int, is_reset_on_fork: bool) -> None:
    if policy in (SCHED_FIFO, SCHED_RR):
        if not 1 <= priority <= 99:
            raise EINVAL("priority")
        raise EPERM("real-time policies are the host's")
    if policy == SCHED_DEADLINE:
        raise EPERM("real-time policies are the host's")
    if policy not in (SCHED_OTHER, SCHED_BATCH, SCHED_IDLE) or priority:
        raise EINVAL("policy")
    with host_errors():
        host_policy = policy | (_RESET_ON_FORK if is_reset_on_fork else 0)
        os.sched_setscheduler(target.tid, host_policy, os.sched_param(0))
