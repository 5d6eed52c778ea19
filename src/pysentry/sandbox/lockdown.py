"""The sentry gives up what it had to boot: the last step before the workload's first instruction.

Owns the order. What each step means is in native/sandbox/lockdown.c, the system call list in native/sandbox/filter.c;
tests/security reads all of it back from /proc of a live sandbox.
"""

from __future__ import annotations

from pysentry.platform.native import lib
from pysentry.sandbox.errors import SandboxError, describe


def lock_up(proc_fd: int, fifo_dir_fd: int = -1) -> None:
    """No new privileges, no capabilities, no core dumps, not dumpable, and the system call list.

    Call it with everything imported, every descriptor open and the first child cloned. From here on the sentry can
    neither open a path (but read below `proc_fd`), nor execute, fork, mount, or get executable memory.

    Args:
        proc_fd: Namespaces.proc_fd.
        fifo_dir_fd: the detached tmpfs that named FIFOs live in (kernel.pipe.make_fifo_directory), or -1.

    Raises:
        SandboxError: one of the steps failed. The sandbox must not start.
    """
    _require(lib.sandbox_no_new_privs(), "no_new_privs")
    _require(lib.sandbox_drop_capabilities(), "dropping capabilities")
    _require(lib.sandbox_no_core(), "forbidding core dumps")
    # After the id maps were written and the child was cloned: it makes our own /proc files root's.
    _require(lib.sandbox_set_dumpable(0), "leaving the dumpable state")
    _require(lib.sandbox_install_filter(proc_fd, fifo_dir_fd), "installing the sentry's own seccomp filter")


def _require(result: int, what: str) -> None:
    if result < 0:
        raise SandboxError(f"cannot lock up the sentry: {what}: {describe(result)}")
