"""The gofer's seccomp filter, as classic BPF: an allow-list in a straight line; all else kills the process.

Owns which host calls a gofer may make once it serves. No libseccomp: the program is thirty lines of packing.
"""

from __future__ import annotations

from struct import Struct

from gofer.syscalls import NUMBERS

_INSTRUCTION = Struct("<HBBI")  # struct sock_filter: code, jump if true, jump if false, constant
_LOAD, _JUMP_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_NR_AT, _ARCH_AT, _ARGS_AT = 0, 4, 16  # struct seccomp_data; each argument is 8 bytes, low half first
_AUDIT_ARCH_X86_64 = 0xC000003E
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000

_PROT_EXEC = 4
_F_DUPFD_CLOEXEC, _F_GETFD, _F_SETFD = 1030, 1, 2
_TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER = 0x80045430, 0x40045431, 0x5441

# The frequent ones first. openat is only ever used below /proc/self/fd and /pts, with names made here.
READ_CALLS = (
    "recvfrom", "sendto", "sendmsg", "statx", "openat2", "close", "openat", "getdents64", "readlinkat", "poll", "lseek",
    "fstatfs", "getxattr", "listxattr", "brk", "munmap", "mremap", "madvise", "futex", "getcpu", "clock_gettime",
    "getpid", "sched_yield", "rt_sigreturn", "restart_syscall", "exit", "exit_group",
)  # fmt: skip
WRITE_CALLS = (
    "mkdirat", "mknodat", "unlinkat", "linkat", "symlinkat", "renameat", "renameat2", "fchmodat", "fchownat", "fchmod",
    "fchown", "utimensat", "ftruncate", "setxattr", "removexattr",
)  # fmt: skip
# name: (argument, mask, values its masked low half may have)
CONDITIONS = {
    "mmap": (2, _PROT_EXEC, (0,)),
    "fcntl": (1, 0xFFFFFFFF, (_F_DUPFD_CLOEXEC, _F_GETFD, _F_SETFD)),
    "sched_setaffinity": (0, 0xFFFFFFFF, (0,)),  # itself only
    "ioctl": (1, 0xFFFFFFFF, (_TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER)),
}


def build_filter(is_any_writable: bool) -> bytes:
    """The program, as an array of struct sock_filter; see seccomp(2)."""
    program = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR_AT),
    ]
    for name in READ_CALLS + (WRITE_CALLS if is_any_writable else ()):
        program += [(_JUMP_EQUAL, 0, 1, NUMBERS[name]), (_RETURN, 0, 0, _ALLOW)]
    for name, (argument, mask, values) in CONDITIONS.items():
        tests = [(_JUMP_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
        body = [
            (_LOAD, 0, 0, _ARGS_AT + 8 * argument),
            (_AND, 0, 0, mask),
            *tests,
            (_RETURN, 0, 0, _KILL_PROCESS),
            (_RETURN, 0, 0, _ALLOW),
        ]
        program += [(_JUMP_EQUAL, 0, len(body), NUMBERS[name]), *body]
    program.append((_RETURN, 0, 0, _KILL_PROCESS))
    return b"".join([_INSTRUCTION.pack(*instruction) for instruction in program])
