"""Signals, as far as the sentry has a part in them: who may send them, which are pending.

Delivery, handlers and masks are the host kernel's; native/engine/signals.c ends the waits that a signal must end.
"""

from __future__ import annotations

import os
from struct import Struct

from pysentry.abi.errno import LinuxError
from pysentry.kernel.pidfd import signal_target
from pysentry.kernel.proc_status import read_host_path, status_fields
from pysentry.kernel.report import internal_error
from pysentry.kernel.task import all_groups, find_by_pid
from pysentry.platform.native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CTask

on_signals_changed: list[Callable[[], None]] = []
"""Told that a signal may have become pending, while lib.engine_watch_signals(1)."""

SIGKILL, SIGSTOP, SIGCONT = 9, 19, 18
NR_KILL, NR_TKILL, NR_TGKILL = 62, 200, 234
NR_RT_SIGQUEUEINFO, NR_RT_TGSIGQUEUEINFO, NR_PIDFD_SEND_SIGNAL = 129, 297, 424
EPERM, EINVAL = 1, 22
CAP_KILL = 5
_SI_TKILL = -6
_SIGNAL_MAX = 64
_SIGINFO_HEAD = Struct("=iii")  # si_signo, si_errno, si_code
HOST_DOES_IT, DONE, HOST_DOES_THIS = 0, 1, 2


def kill_check(task: Task) -> int:
    """A call of the kill family is about to run: 0 lets it, 1 means that it was done here, -errno refuses it."""
    try:
        return _kill_check(task)
    except LinuxError as error:
        return -error.errno
    except Exception:
        internal_error("kill")
        return -EPERM


def _kill_check(task: Task) -> int:
    args = task.c.trap.args
    nr = task.c.trap.nr
    if nr == NR_PIDFD_SEND_SIGNAL:
        return _by_pidfd(task, args)
    target = _int32(args[0])
    number = _int32(args[2] if nr in (NR_TGKILL, NR_RT_TGSIGQUEUEINFO) else args[1])
    if number == SIGKILL and target == 1 and nr in (NR_KILL, NR_RT_SIGQUEUEINFO):
        # The host spares pid 1 of a namespace from its own; a program that runs as pid 1 by accident must not notice.
        init = find_by_pid(1)
        if init is not None and may_signal(task, init, number):
            lib.group_kill(init.group, SIGKILL)
            return DONE
        return -EPERM
    if task.cred.cap_effective >> CAP_KILL & 1:
        return HOST_DOES_IT
    if target <= 0 and nr == NR_KILL:
        return _send_to_many(task, target, number)
    other = find_by_pid(target)
    if other is not None and not may_signal(task, other, number):
        return -EPERM
    return HOST_DOES_IT


def _by_pidfd(task: Task, args: Any) -> int:
    """pidfd_send_signal(2) as the kill(2) or rt_sigqueueinfo(2) that the host can do."""
    fd, number, info, flags = _int32(args[0]), _int32(args[1]), int(args[2]), args[3] & 0xFFFFFFFF
    if flags:
        return -EINVAL
    pid, leader = signal_target(task, fd)
    code = 0
    if info:
        signo, _, code = task.memory.read_struct(info, _SIGINFO_HEAD)
        if signo != number:
            return -EINVAL
    is_own = leader != ffi.NULL and leader.group == task.c.group
    if leader != ffi.NULL and not may_signal(task, leader, number):
        return -EPERM
    if info and not is_own and (code >= 0 or code == _SI_TKILL):
        return -EPERM
    trap = task.c.trap
    if pid == 1 and number == SIGKILL:
        lib.group_kill(leader.group, SIGKILL)
        return DONE
    trap.nr = NR_RT_SIGQUEUEINFO if info else NR_KILL
    args[0], args[1], args[2], args[3] = pid, number & 0xFFFFFFFF, info, 0
    return HOST_DOES_THIS


def _send_to_many(task: Task, target: int, number: int) -> int:
    """kill(2) of a group or of everybody, without CAP_KILL: those who may be signalled are, EPERM if that is nobody.
    The host, which knows one user only, does it where all may be."""
    leaders = [lib.task_find(group.tgid) for group in all_groups()]
    leaders = [c for c in leaders if c != ffi.NULL]
    forbidden = [c for c in leaders if not may_signal(task, c, number)]
    if not forbidden or not 0 <= number <= _SIGNAL_MAX:
        return HOST_DOES_IT
    if target == -1:
        meant = [c for c in leaders if c.group != task.c.group and lib.task_ns_tid(c) != 1]
    else:
        group = group_number(task.tid) if not target else -target
        meant = [c for c in leaders if group_number(c.tid) == group]
    if not any(c in forbidden for c in meant):
        return HOST_DOES_IT
    meant = [c for c in meant if c not in forbidden]
    if not meant:
        return -EPERM
    for c in meant if number else ():
        lib.group_kill_from(c.group, number, task.group.pid, task.cred.uid)
    return DONE


def group_number(tid: int) -> int:
    """The process group of a host task as the sandbox numbers it; -1: it is going."""
    try:
        return int(status_fields(read_host_path(f"{tid}/status"))[b"NSpgid"].split()[-1])
    except (LinuxError, KeyError, IndexError):
        return -1


def may_signal(task: Task, other: CTask, number: int) -> bool:
    """kill(2): same real or effective user as the target's real or saved one, CAP_KILL, or SIGCONT in one session."""
    cred, theirs = task.cred, other.cred
    if cred.cap_effective >> CAP_KILL & 1 or other.group == task.c.group:
        return True
    if cred.euid in (theirs.suid, theirs.uid) or cred.uid in (theirs.suid, theirs.uid):
        return True
    return number == SIGCONT and _session(other.tid) == _session(task.tid)


def _session(tid: int) -> int:
    try:
        return os.getsid(tid)
    except OSError:
        return -1


def pending(task: Task) -> int:
    """The thread's pending signals, its process' included: bit N-1 for signal N."""
    return int(_sets(task).pending)


def dequeue(task: Task, mask: int) -> bytes | None:
    """Takes one pending signal of the mask (bit N-1: signal N) out of the queue: its siginfo_t, or None if there is
    none. Costs several stops of the task, so look at pending() first."""
    info = ffi.new("char[128]")
    number = lib.task_dequeue_signal(task.c, mask, info)
    if number > 0:
        lib.siginfo_correct(task.c, info)
    return bytes(ffi.buffer(info)) if number > 0 else None


def blocked(task: Task) -> int:
    """The thread's signal mask."""
    return int(_sets(task).blocked)


def is_interrupted(task: Task) -> bool:
    """True if a signal that has a handler waits to be delivered to the thread."""
    sets = _sets(task)
    return bool(sets.pending & ~sets.blocked & sets.caught)


def _sets(task: Task) -> Any:
    sets = ffi.new("struct signal_sets *")
    lib.signal_sets_read(task.c, sets)
    return sets


def _int32(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
