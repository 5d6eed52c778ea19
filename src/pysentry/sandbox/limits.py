"""Limits the host enforces for a run: descriptors of the sentry, files in memory, processes of the workload, who dies
first.

Does not own the limits a program sees and sets (virtual, kernel objects), nor cgroups (oci).
"""

from __future__ import annotations

import os

from pysentry.kernel.host import prlimit
from pysentry.platform.native import lib
from pysentry.sandbox.errors import SandboxError, describe
from pysentry.sandbox.hierarchies import memory_limit_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CThreadGroup

LEFT_BYTES = 64 << 20
RLIM_NLIMITS = 16
RLIMIT_CORE, RLIMIT_NOFILE = 4, 7
DESCRIPTORS_MIN = 1024  # processes of the sandbox keep some just below this number (native/stub/stub.h)
DESCRIPTORS_OWN = 256  # of the sentry, beside those of the programs
HELD_MAX = 1024  # and contents of files in memory that it keeps open (native/vfs/content.c)


class Limits:
    """What the programs of a sandbox may use at first: what our caller may, but for open files and core dumps.

    Each open file of theirs is one of the sentry's, whose own limit goes up to the hard one. SandboxError: that is too
    low.
    """

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows = [prlimit(0, number) for number in range(RLIM_NLIMITS)]
        most: int = lib.sandbox_raise_nofile()
        if most < 0:
            raise SandboxError(f"cannot raise the number of open files: {describe(most)}")
        if most < DESCRIPTORS_MIN:
            raise SandboxError(
                f"the hard limit of open files is {most}, at least {DESCRIPTORS_MIN} are needed: 'ulimit -Hn', or "
                "LimitNOFILE= of a systemd unit"
            )
        hard = most - DESCRIPTORS_OWN - min(HELD_MAX, most // 8)
        self._rows[RLIMIT_NOFILE] = (min(self._rows[RLIMIT_NOFILE][0], hard), hard)
        self._rows[RLIMIT_CORE] = (0, self._rows[RLIMIT_CORE][1])

    def give_to(self, group: CThreadGroup) -> None:
        """To a process that our caller started."""
        for number, (soft, hard) in enumerate(self._rows):
            group.rlimit_cur[number], group.rlimit_max[number] = soft, hard


def file_memory_bytes() -> int:
    """How much files in memory may take together: half of the RAM, as in a tmpfs of Linux, and three quarters of what
    our cgroup lets us have, less where that would leave under LEFT_BYTES. What files take, no death of a program gives
    back: the OOM killer would go on until it has the sentry."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit = memory_limit_bytes()
    if limit is None:
        return most
    return min(most, max(limit - max(limit // 4, LEFT_BYTES), limit // 4))


def limit_processes(pid: int, count: int) -> None:
    """At most `count` processes and threads in the sandbox: fork answers EAGAIN past it (RLIMIT_NPROC counts the
    processes of one user in one user namespace, and the sandbox is all there is in its own).

    Args:
        pid: the first child, before it runs anything.
    """
    result = lib.sandbox_limit_processes(pid, count)
    if result < 0:
        raise SandboxError(f"cannot limit processes: {describe(result)}")


OOM_SCORE = 500
"""Of a workload that says nothing itself: the host should take it before the sentry and everything else."""


def offer_to_oom_killer(pid: int, proc_fd: int, score: int) -> None:
    """When memory runs out the host takes the highest score first. Children inherit it. Best effort: raising one's own
    needs no privilege, but lowering it does, and /proc may be read-only."""
    try:
        fd = os.open(f"{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    except OSError:
        return
    try:
        os.write(fd, b"%d" % score)
    except OSError:
        pass
    finally:
        os.close(fd)
