"""rt_sigtimedwait(2): the host takes the signal, the sentry says who sent it."""

from __future__ import annotations

import time
from struct import Struct

from pysentry.abi.errno import EAGAIN, EINTR, EINVAL, LinuxError
from pysentry.abi.syscall_nr import NR_RT_SIGTIMEDWAIT
from pysentry.kernel import signals
from pysentry.kernel.wait import Interrupted, host_call
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_SIGSET_BYTES = 8
_SIGINFO_BYTES = 128
_TIMESPEC = Struct("=qq")
_SECOND_NS = 1_000_000_000
_STATE = "sigtimedwait"


@syscall
async def rt_sigtimedwait(task: Task, set: UserAddr, info: UserAddr, timeout: UserAddr, sigsetsize: int) -> int:
    """A traced task is woken by signals that it ignores, too: then the wait goes on, for the time that is left. That
    lies where siginfo will be; if that is not wanted, below the task's stack."""
    if sigsetsize != _SIGSET_BYTES:
        raise EINVAL("sigsetsize")
    task.memory.read(set, _SIGSET_BYTES)  # EFAULT comes before what the timeout has
    call = (set, info, timeout)
    deadline_ns = None
    if timeout:
        seconds, nanoseconds = task.memory.read_struct(timeout, _TIMESPEC)
        if seconds < 0 or not 0 <= nanoseconds < _SECOND_NS:
            raise EINVAL("timeout")
        former, deadline_ns = task.state.pop(_STATE, (None, 0))
        if former != call:
            deadline_ns = time.monotonic_ns() + min(seconds * _SECOND_NS + nanoseconds, 1 << 62)
    room = info or lib.task_stack_room(task.c, _SIGINFO_BYTES)
    try:
        before = task.memory.read(room, _SIGINFO_BYTES)
    except LinuxError:  # the host says what is wrong
        return await host_call(task, NR_RT_SIGTIMEDWAIT, set, info, timeout, sigsetsize)
    if deadline_ns is not None:
        left_ns = max(deadline_ns - time.monotonic_ns(), 0)
        task.memory.write_struct(room, _TIMESPEC, *divmod(left_ns, _SECOND_NS))
    try:
        number = await host_call(task, NR_RT_SIGTIMEDWAIT, set, room, room if timeout else 0, sigsetsize)
    except EINTR:
        task.memory.write(room, before)
        if signals.is_interrupted(task):
            raise
        if deadline_ns is not None and deadline_ns <= time.monotonic_ns():
            raise EAGAIN("timeout") from None
        task.state[_STATE] = call, deadline_ns
        raise Interrupted from None
    except LinuxError:
        task.memory.write(room, before)
        raise
    if not info:
        task.memory.write(room, before)
        return number
    received = ffi.from_buffer(bytearray(task.memory.read(info, _SIGINFO_BYTES)))
    if lib.siginfo_correct(task.c, received):
        task.memory.write(info, bytes(ffi.buffer(received)))
    return number
