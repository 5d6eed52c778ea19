"""What the engine calls in Python: the `extern "Python"` functions of native/engine/hooks.h, and nothing else.

Each hands over to the part that owns the matter. None may raise: an exception here is a sentry bug, counted and
logged, and the caller gets the answer that allows nothing.
"""

from __future__ import annotations

from pysentry.kernel import exec as kernel_exec
from pysentry.kernel import signals, timers, wait
from pysentry.kernel.report import internal_error
from pysentry.kernel.task import Task, forget_task, on_task_exit, task_of
from pysentry.platform.native import ffi, lib
from pysentry.syscalls.dispatch import answer, resume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pysentry.platform.cdefs import CDescription, CTask

EIO = 5

on_fd_closed: list[Callable[[Task, CDescription], None]] = []
"""Told of a closed descriptor number whose inode has locks (vfs.locks)."""
on_description_gone: list[Callable[[int], None]] = []
on_inode_gone: list[Callable[[int], None]] = []
on_birth: list[Callable[[CTask, int], int]] = []
"""kernel.birth.moment, in sandboxes that have a seed."""
on_trace: list[Callable[[CTask, int, int, int], None]] = []
"""Told of every call while lib.engine_set_trace(1): (task, SENTRY_TRACE_*, result, who)."""


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_syscall(c: CTask) -> int:
    return answer(task_of(c))


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_resume(c: CTask, reason: int) -> int:
    return resume(task_of(c), reason)


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_exec_begin(c: CTask) -> int:
    return kernel_exec.begin(task_of(c))


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_exec_load(c: CTask) -> int:
    return kernel_exec.load(task_of(c))


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_exec_done(c: CTask, result: int) -> None:
    _guarded(kernel_exec.done, task_of(c), result)


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_kill_check(c: CTask) -> int:
    return signals.kill_check(task_of(c))


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_trace_check(tracer: CTask, c: CTask, is_wish: int) -> int:
    from pysentry.kernel.tracing import trace_check

    return trace_check(tracer, c, bool(is_wish))


@ffi.def_extern(error=-EIO)  # type: ignore[untyped-decorator]
def sentry_birth(c: CTask, moment: int) -> int:
    return on_birth[0](c, moment) if on_birth else -EIO


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_task_exit(c: CTask) -> None:
    if c.python_id:
        task = task_of(c)
        _guarded(wait.abandon, task)
        for hook in on_task_exit:
            _guarded(hook, task)
        forget_task(task)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_fd_closed(c: CTask, desc: CDescription) -> None:
    is_over = not c.python_id and c.state == lib.TASK_DEAD  # its descriptors go after sentry_task_exit()
    task = task_of(c)
    for hook in on_fd_closed:
        _guarded(hook, task, desc)
    if is_over:
        forget_task(task)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_description_gone(identity: int) -> None:
    for hook in on_description_gone:
        _guarded(hook, identity)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_inode_gone(identity: int) -> None:
    for hook in on_inode_gone:
        _guarded(hook, identity)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_signals_changed() -> None:
    for hook in signals.on_signals_changed:
        _guarded(hook)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_trace(c: CTask, phase: int, result: int, who: int) -> None:
    for hook in on_trace:
        _guarded(hook, c, phase, result, who)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_on_timer() -> None:
    _guarded(timers.run_due)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def sentry_on_ready(fd: int, revents: int) -> None:
    _guarded(wait.ready, fd, revents)


def _guarded(function: Callable[..., None], *args: object) -> None:
    try:
        function(*args)
    except Exception:
        internal_error(function.__qualname__)


def register() -> None:
    """Points the engine at these functions; once, at boot."""
    lib.engine_set_hooks()
