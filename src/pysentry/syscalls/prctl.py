"""prctl(2), by option.

Three kinds: options on virtual state (names, capabilities, dumpable), which are answered here; options that concern the
calling task's own scheduling, signals or memory and have all that matters in registers, which the host runs (_NATIVE);
everything else, EINVAL.
"""

from __future__ import annotations

from struct import Struct

from pysentry.abi.capability import CAP_SYS_ADMIN
from pysentry.abi.errno import EACCES, EFAULT, EINVAL, EPERM
from pysentry.kernel import birth, credentials
from pysentry.kernel import exec as kernel_exec
from pysentry.kernel.proc_status import filter_count
from pysentry.kernel.strict_mode import enter_strict_mode
from pysentry.kernel.task import find_by_pid
from pysentry.syscalls.registry import CONTINUE, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from pysentry.abi.types import UserAddr
    from pysentry.kernel.task import Task

    Args = tuple[int, int, int, int]

_PR_SET_PDEATHSIG = 1
_INT_MAX = (1 << 31) - 1
_PR_SET_PTRACER_ANY = (1 << 64) - 1
_COMM_BYTES = 16
_SOCK_FPROG = Struct("=H14x")
_INSTRUCTIONS_MAX = 4096  # BPF_MAXINSNS
_PR_SET_SECCOMP = 22
_SECCOMP_SET_MODE_STRICT, _SECCOMP_SET_MODE_FILTER, _SECCOMP_GET_ACTION_AVAIL = range(3)
_FILTER_FLAGS = 0x17  # TSYNC, LOG, SPEC_ALLOW, TSYNC_ESRCH
_SECCOMP_MODE_STRICT, _SECCOMP_MODE_FILTER = 1, 2
_AMBIENT_IS_SET, _AMBIENT_RAISE, _AMBIENT_LOWER, _AMBIENT_CLEAR_ALL = 1, 2, 3, 4

# Run by the host: own parent-death signal, subreaper, timer slack, TSC access, THP, speculation controls, tid address,
# memory that is never written and executed, names of its own mappings.
_NATIVE = frozenset((1, 2, 25, 26, 29, 30, 36, 37, 40, 41, 42, 52, 53, 65, 66, 0x53564D41))


@syscall
async def seccomp(task: Task, op: int, flags: int, uargs: UserAddr) -> int:
    """Strict mode is the sentry's; the host installs filters and tells of actions. Listeners answer EINVAL."""
    if op == _SECCOMP_SET_MODE_FILTER:
        if flags & ~_FILTER_FLAGS:
            raise EINVAL("flags")
        return _check_filter(task, uargs)
    if op == _SECCOMP_GET_ACTION_AVAIL:
        return CONTINUE
    if op != _SECCOMP_SET_MODE_STRICT or flags or uargs:
        raise EINVAL("seccomp")
    return await enter_strict_mode(task)


def _check_filter(task: Task, fprog: UserAddr) -> int:
    """Who may add one: the host knows neither capabilities nor no_new_privs. It restricts, whatever the memory has
    when the host reads it. The stub's, before a newborn's program starts, is its container's."""
    (count,) = _SOCK_FPROG.unpack(task.memory.read(fprog, _SOCK_FPROG.size))
    if not 0 < count <= _INSTRUCTIONS_MAX:
        raise EINVAL("length")
    if not (task.cred.no_new_privs or task.has_cap(CAP_SYS_ADMIN) or birth.is_under_way(task)):
        raise EACCES("no_new_privs")
    return CONTINUE


@syscall
def prctl(task: Task, option: int, arg2: int, arg3: int, arg4: int, arg5: int) -> int | Coroutine[Any, Any, int]:
    if option == _PR_SET_SECCOMP and arg2 == _SECCOMP_MODE_STRICT:
        return enter_strict_mode(task)
    if option in _NATIVE:
        if option == _PR_SET_PDEATHSIG:
            task.c.pdeath_signal = arg2 & 0xFF  # whose end the engine then looks out for
        return CONTINUE
    handler = _OPTIONS.get(option)
    if handler is None:
        raise EINVAL(f"prctl option {option}")
    return handler(task, (arg2, arg3, arg4, arg5))


def _all_zero(args: Args, first: int) -> None:
    """EINVAL unless the arguments from number `first` (2 to 5) on are 0."""
    if any(args[first - 2 :]):
        raise EINVAL("unused arguments")


# ---- names ----


def _set_name(task: Task, args: Args) -> int:
    name = task.memory.read_some(args[0], _COMM_BYTES - 1)
    if b"\0" not in name and len(name) < _COMM_BYTES - 1:
        raise EFAULT("name")
    task.comm = name.split(b"\0")[0]
    return 0


def _get_name(task: Task, args: Args) -> int:
    task.memory.write(args[0], task.comm.ljust(_COMM_BYTES, b"\0"))
    return 0


# ---- dumpable: what /proc and core dumps may show. On the host it stays on, or the sentry could not read memory ----


def _after_exec(task: Task) -> None:
    task.c.group.not_dumpable = 0


kernel_exec.on_exec.append(_after_exec)


def _get_dumpable(task: Task, args: Args) -> int:
    return int(not task.c.group.not_dumpable)


def _set_dumpable(task: Task, args: Args) -> int:
    if args[0] not in (0, 1):
        raise EINVAL("PR_SET_DUMPABLE")
    task.c.group.not_dumpable = int(not args[0])
    return 0


# ---- privileges ----


def _set_no_new_privs(task: Task, args: Args) -> int:
    if args[0] != 1:
        raise EINVAL("PR_SET_NO_NEW_PRIVS")
    _all_zero(args, 3)
    task.set_cred(no_new_privs=1)
    return 0


def _get_no_new_privs(task: Task, args: Args) -> int:
    _all_zero(args, 2)
    return task.cred.no_new_privs


def _get_keepcaps(task: Task, args: Args) -> int:
    return int(bool(task.cred.securebits & credentials.SECBIT_KEEP_CAPS))


def _set_keepcaps(task: Task, args: Args) -> int:
    task.set_cred(**credentials.set_keep_caps(task.cred, args[0]))
    return 0


def _get_securebits(task: Task, args: Args) -> int:
    return task.cred.securebits


def _set_securebits(task: Task, args: Args) -> int:
    task.set_cred(**credentials.set_securebits(task.cred, args[0]))
    return 0


def _read_bounding(task: Task, args: Args) -> int:
    return int(bool(task.cred.cap_bounding & credentials.check_capability(args[0])))


def _drop_bounding(task: Task, args: Args) -> int:
    task.set_cred(**credentials.drop_bounding(task.cred, args[0]))
    return 0


def _ambient(task: Task, args: Args) -> int:
    operation, number = args[0], args[1]
    if operation == _AMBIENT_CLEAR_ALL:
        _all_zero(args, 3)
        task.set_cred(cap_ambient=0)
        return 0
    _all_zero(args, 4)
    bit = credentials.check_capability(number)
    if operation == _AMBIENT_IS_SET:
        return int(bool(task.cred.cap_ambient & bit))
    if operation == _AMBIENT_RAISE:
        task.set_cred(**credentials.raise_ambient(task.cred, number))
    elif operation == _AMBIENT_LOWER:
        task.set_cred(**credentials.lower_ambient(task.cred, number))
    else:
        raise EINVAL("PR_CAP_AMBIENT")
    return 0


def _get_seccomp(task: Task, args: Args) -> int:
    """2 if the program has filters of its own; ours does not show."""
    return _SECCOMP_MODE_FILTER if filter_count(task.tid) else 0


def _set_seccomp(task: Task, args: Args) -> int:
    """A filter more on itself, as seccomp(2): the host runs it, since filters only restrict."""
    if args[0] != _SECCOMP_MODE_FILTER:
        raise EINVAL("PR_SET_SECCOMP")
    return _check_filter(task, args[1])


# ---- constants ----


def _set_timing(task: Task, args: Args) -> int:
    if args[0]:
        raise EINVAL("there is one way only")
    return 0


def _zero(task: Task, args: Args) -> int:
    return 0  # the one way of timing; no perf events to switch


def _mce_kill_get(task: Task, args: Args) -> int:
    _all_zero(args, 2)
    return 2  # PR_MCE_KILL_DEFAULT


def _set_ptracer(task: Task, args: Args) -> int:
    """Who besides its ancestors may trace it. The same ids are enough, as with Yama's ptrace_scope 0:
    only the number is judged."""
    pid = args[0] & 0xFFFFFFFF  # a pid_t
    if args[0] not in (0, _PR_SET_PTRACER_ANY) and (pid > _INT_MAX or find_by_pid(pid) is None):
        raise EINVAL("PR_SET_PTRACER")
    return 0


def _refuse(task: Task, args: Args) -> int:
    raise EPERM("as without privilege")


_OPTIONS: dict[int, Callable[[Task, Args], int]] = {
    3: _get_dumpable,
    4: _set_dumpable,
    7: _get_keepcaps,
    8: _set_keepcaps,
    13: _zero,  # PR_GET_TIMING
    14: _set_timing,
    15: _set_name,
    16: _get_name,
    21: _get_seccomp,
    _PR_SET_SECCOMP: _set_seccomp,
    23: _read_bounding,
    24: _drop_bounding,
    27: _get_securebits,
    28: _set_securebits,
    31: _zero,
    32: _zero,
    33: _refuse,  # PR_MCE_KILL
    34: _mce_kill_get,
    35: _refuse,  # PR_SET_MM
    38: _set_no_new_privs,
    39: _get_no_new_privs,
    47: _ambient,
    57: _refuse,  # PR_SET_IO_FLUSHER
    58: _refuse,  # PR_GET_IO_FLUSHER
    62: _refuse,  # PR_SCHED_CORE
    0x59616D61: _set_ptracer,
}
