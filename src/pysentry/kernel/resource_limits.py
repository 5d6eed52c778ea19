"""Resource limits: what a process may set, and which limits the host kernel enforces for us.

The numbers are in `struct thread_group`. Some are enforced by the sentry (NOFILE in the descriptor table, FSIZE where
files are written); a few only the host can enforce (memory, CPU time): they are set on the host process too, within
what the host allows. The rest is kept and shown.
"""

from __future__ import annotations

from pysentry.abi.capability import CAP_SYS_RESOURCE
from pysentry.abi.errno import EINVAL, EPERM, LinuxError
from pysentry.kernel import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.kernel.task import Task
    from pysentry.platform.cdefs import CThreadGroup

INFINITY = (1 << 64) - 1
COUNT = 16
CPU, FSIZE, DATA, STACK, CORE, RSS, NPROC, NOFILE = range(8)
MEMLOCK, AS, LOCKS, SIGPENDING, MSGQUEUE, NICE, RTPRIO, RTTIME = range(8, 16)
NOFILE_MAX = 1 << 20  # fs.nr_open
_ON_HOST = (CPU, DATA, STACK, NPROC, MEMLOCK, AS, SIGPENDING)


def set_limit(task: Task, group: CThreadGroup, number: int, soft: int, hard: int) -> None:
    """Sets a limit of a process: do_prlimit(). EINVAL, EPERM."""
    if soft > hard:
        raise EINVAL("soft limit above the hard one")
    if number == NOFILE and hard > NOFILE_MAX:
        raise EPERM("above fs.nr_open")
    if hard > group.rlimit_max[number] and not task.has_cap(CAP_SYS_RESOURCE):
        raise EPERM("CAP_SYS_RESOURCE")
    group.rlimit_cur[number] = soft
    group.rlimit_max[number] = hard
    if number in _ON_HOST:
        _set_on_host(group, number, soft, hard)


def _set_on_host(group: CThreadGroup, number: int, soft: int, hard: int) -> None:
    """The host process gets the soft limit. Its own hard limit stays where it is, since it could never be raised again;
    only the CPU time's falls along, because reaching it means SIGKILL."""
    try:
        _, host_hard = host.prlimit(group.tgid, number)
        host.prlimit(group.tgid, number, (min(soft, host_hard), min(hard, host_hard) if number == CPU else host_hard))
    except LinuxError:
        pass  # the process is going, or the host does not let us: the number is kept and shown all the same
