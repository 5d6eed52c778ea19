"""One trap in Python: from raw registers to the handler and back to a number.

The one place that turns errno exceptions into negative numbers, and unexpected ones into EIO and a counted bug.
"""

from __future__ import annotations

from pysentry.abi.errno import LinuxError
from pysentry.kernel.report import internal_error
from pysentry.kernel.wait import Interrupted, drive
from pysentry.platform.native import lib
from pysentry.syscalls._decoders import DECODERS
from pysentry.syscalls.registry import ERESTARTSYS, HANDLERS, RESTARTS, import_late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task

EIO, ENOSYS = 5, 38


def answer(task: Task) -> int:
    """Result of the task's trap: a value, -errno, or one of the engine's codes."""
    trap = task.c.trap
    nr = trap.nr
    handler = HANDLERS.get(nr)
    try:
        if handler is None:
            handler = import_late(nr)
            if handler is None:
                lib.sentry_stats.unknown += 1
                return -ENOSYS
        result = handler(task, *DECODERS[nr](*trap.args))
        if result.__class__ is int:
            return result
        if result is None:
            raise TypeError(f"handler of {_name(nr)} returned None")
        if result.__class__ is bool:
            return int(result)
        return drive(task, result)
    except LinuxError as error:
        return -error.errno
    except Interrupted:
        return -RESTARTS.get(nr, ERESTARTSYS)
    except Exception:
        internal_error(f"{_name(nr)}{tuple(hex(arg) for arg in trap.args)}")
        return -EIO


def resume(task: Task, reason: int) -> int:
    """The same for a parked call that goes on."""
    nr = task.c.trap.nr
    coroutine = task.pending
    if coroutine is None:
        return -EIO
    try:
        return drive(task, coroutine, reason)
    except LinuxError as error:
        return -error.errno
    except Interrupted:
        return -RESTARTS.get(nr, ERESTARTSYS)
    except Exception:
        internal_error(f"{_name(nr)} after a wait")
        return -EIO


def _name(nr: int) -> str:
    from pysentry.abi.syscall_nr import NAMES  # a long table, for our own bugs only

    return NAMES.get(nr, str(nr))
