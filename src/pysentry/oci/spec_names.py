"""Words of runtime-spec that stand for numbers: capabilities, resource limits, signals; and closed lists of words.

Owns tables only. Mount options have a file of their own (mount_options.py).
"""

from __future__ import annotations

from pysentry.abi import capability
from pysentry.oci.errors import UsageError

NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
"""In the order in which they run."""

CAPABILITIES: dict[str, int] = {
    name: number
    for name, number in sorted(vars(capability).items(), key=lambda item: (type(item[1]) is int and item[1], item[0]))
    if name.startswith("CAP_") and name not in ("CAP_LAST_CAP", "CAP_FULL_SET")
}


def _prefixed(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names.split())


# In the order of their numbers, asm-generic/resource.h.
_RLIMITS = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
RLIMITS: dict[str, int] = {name: number for number, name in enumerate(_prefixed("RLIMIT_", _RLIMITS))}

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable")

SECCOMP_ACTIONS = _prefixed("SCMP_ACT_", "ALLOW ERRNO KILL KILL_PROCESS KILL_THREAD LOG NOTIFY TRACE TRAP")
SECCOMP_OPERATORS = _prefixed("SCMP_CMP_", "EQ GE GT LE LT MASKED_EQ NE")
_ARCHITECTURES = """
    AARCH64 ARM LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PARISC PARISC64 PPC PPC64 PPC64LE
    RISCV64 S390 S390X SH SHEB X32 X86 X86_64
"""
SECCOMP_ARCHITECTURES = _prefixed("SCMP_ARCH_", _ARCHITECTURES)
SECCOMP_FLAGS = _prefixed("SECCOMP_FILTER_FLAG_", "LOG SPEC_ALLOW TSYNC WAIT_KILLABLE_RECV")

SCHEDULER_POLICIES = _prefixed("SCHED_", "OTHER FIFO RR BATCH ISO IDLE DEADLINE")
_SCHEDULER_FLAGS = "RESET_ON_FORK RECLAIM DL_OVERRUN KEEP_POLICY KEEP_PARAMS UTIL_CLAMP_MIN UTIL_CLAMP_MAX"
SCHEDULER_FLAGS = _prefixed("SCHED_FLAG_", _SCHEDULER_FLAGS)
IO_PRIORITY_CLASSES = _prefixed("IOPRIO_CLASS_", "RT BE IDLE")
_POLICIES = "DEFAULT BIND INTERLEAVE WEIGHTED_INTERLEAVE PREFERRED PREFERRED_MANY LOCAL"
MEMORY_POLICIES = _prefixed("MPOL_", _POLICIES)
MEMORY_POLICY_FLAGS = _prefixed("MPOL_F_", "NUMA_BALANCING RELATIVE_NODES STATIC_NODES")


def signal_number(word: str) -> int:
    """`9`, `KILL`, `kill`, `SIGKILL`, `RTMIN+3`, `RTMAX-1` as a number; 0 is none, which probes.

    Raises:
        UsageError: in runc's words.
    """
    import signal

    name, offset = word.upper().removeprefix("SIG"), 0
    if name.startswith(("RTMIN+", "RTMAX-")) and name[6:].isascii() and name[6:].isdigit():
        name, offset = name[:5], int(name[5:][:4])
    known = signal.Signals.__members__
    if word.isascii() and word.isdigit():
        number = int(word[:4])
    else:
        number = known["SIG" + name] + offset if "SIG" + name in known else -1
    if not 0 <= number < signal.NSIG or (offset and number < signal.SIGRTMIN):
        raise UsageError(f'unknown signal "{ascii(word)[1:-1]}"')
    return number
