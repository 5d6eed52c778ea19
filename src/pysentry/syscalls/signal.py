"""rt_sigtimedwait(2) with siginfo: the host takes the signal, the sentry says who sent it."""

from __future__ import annotations

from pysentry.abi.syscall_nr import NR_RT_SIGTIMEDWAIT
from pysentry.kernel.wait import host_call
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.registry import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

_SIGINFO_BYTES = 128


@syscall
async def rt_sigtimedwait(task: Task, set: UserAddr, info: UserAddr, timeout: UserAddr, sigsetsize: int) -> int:
    number = await host_call(task, NR_RT_SIGTIMEDWAIT, set, info, timeout, sigsetsize)
    received = ffi.from_buffer(bytearray(task.memory.read(info, _SIGINFO_BYTES)))
    if lib.siginfo_correct(task.c, received):
        task.memory.write(info, bytes(ffi.buffer(received)))
    return number
