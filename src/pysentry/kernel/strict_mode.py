"""seccomp(2)'s strict mode: a thread that may only read, write, return from a handler and exit.

The host refuses that mode to a task that has a filter, and all of ours have. So one more filter is stacked, which
traps every other call: whatever ours says of it, notified or refused, a trap outranks. The engine takes the SIGSYS for
what it is (signal_stop() in native/engine/control.c) and ends the thread as Linux does.
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.errno import EFAULT, EINVAL
from pysentry.abi.syscall_nr import (
    NR_EXIT,
    NR_PRCTL,
    NR_READ,
    NR_RT_SIGRETURN,
    NR_RT_SIGTIMEDWAIT,
    NR_SECCOMP,
    NR_WRITE,
)
from pysentry.kernel.proc_status import filter_count
from pysentry.kernel.wait import host_call
from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

_PR_SET_TSC, _PR_TSC_SIGSEGV = 26, 2
_SET_MODE_FILTER = 1
_INSTRUCTION = Struct("=HBBI")  # struct sock_filter
_FPROG = Struct("=H6xQ")
_LOAD, _IF_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_NUMBER, _SECOND_ARGUMENT = 0, 24  # offsets in struct seccomp_data
_ALLOW, _TRAP = 0x7FFF0000, 0x00030000

# signalfd takes its signals by an rt_sigtimedwait of the sentry's own (inject.c), with siginfo at an odd address.
_PROGRAM = b"".join(
    _INSTRUCTION.pack(*instruction)
    for instruction in (
        (_LOAD, 0, 0, _NUMBER),
        (_IF_EQUAL, 7, 0, NR_READ),
        (_IF_EQUAL, 6, 0, NR_WRITE),
        (_IF_EQUAL, 5, 0, NR_EXIT),
        (_IF_EQUAL, 4, 0, NR_RT_SIGRETURN),
        (_IF_EQUAL, 0, 4, NR_RT_SIGTIMEDWAIT),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_AND, 0, 0, 7),
        (_IF_EQUAL, 0, 1, 5),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _TRAP),
    )
)


async def enter_strict_mode(task: Task) -> int:
    """EINVAL: it has filters already. The clock may not be read any more, either: seccomp_set_mode_strict()."""
    if filter_count(task.tid):
        raise EINVAL("filters")
    size = _FPROG.size + len(_PROGRAM)
    room = lib.task_stack_room(task.c, size)
    if not room:
        raise EFAULT("stack")
    before = task.memory.read(room, size)
    task.memory.write(room, _FPROG.pack(len(_PROGRAM) // _INSTRUCTION.size, room + _FPROG.size) + _PROGRAM)
    try:
        await host_call(task, NR_PRCTL, _PR_SET_TSC, _PR_TSC_SIGSEGV)
        await host_call(task, NR_SECCOMP, _SET_MODE_FILTER, 0, room)
    finally:
        task.memory.write(room, before)
    task.c.is_strict = 1
    return 0
