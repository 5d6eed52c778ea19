"""Connects the engine's trace events with the printer: what `--trace` starts, before the lock-up.

Owns who is named as having answered a call. While a trace is on, every call makes a ptrace stop before and after it
(native/engine/trace.c), so those are seen too that the host kernel or the filter answers.
"""

from __future__ import annotations

from pysentry.abi.syscall_nr import NR_EXIT, NR_EXIT_GROUP
from pysentry.abi.syscall_rows import ROWS
from pysentry.platform import hooks
from pysentry.platform.native import lib
from pysentry.trace.printer import Printer
from pysentry.trace.structs import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CTask

WHO = ("fast", "python", "punt", "control", "host")
CONTINUE, PARKED = lib.SENTRY_CONTINUE, lib.SENTRY_PARKED
ENTER, LEAVE, SIGNAL = lib.SENTRY_TRACE_ENTER, lib.SENTRY_TRACE_LEAVE, lib.SENTRY_TRACE_SIGNAL
REFUSED = {row[0]: "filter" for row in ROWS if row[3].startswith("error")}


def start_trace(fd: int) -> None:
    """Prints every call from now on.

    Args:
        fd: where to; stays open.
    """
    printer = Printer(fd)

    def on_trace(task: CTask, phase: int, result: int, who: int) -> None:
        if phase == ENTER:
            nr = task.trap.nr
            printer.enter(task, REFUSED.get(nr, "host") if WHO[who] == "host" else WHO[who])
            if nr in (NR_EXIT, NR_EXIT_GROUP):  # there is no end to wait for
                printer.leave(task, None)
        elif phase == SIGNAL:
            printer.note(task, f"--- {signal(result)} ---")
        elif result == PARKED:
            printer.parked(task, WHO[who])
        elif result == CONTINUE:
            printer.answered_by(task, "host")  # the exit stop will have the result
        else:
            printer.leave(task, result, WHO[who])

    hooks.on_trace.append(on_trace)
    lib.engine_set_trace(1)
