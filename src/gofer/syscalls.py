"""x86-64 system call numbers the gofer's filter names, and how a native result becomes an exception."""

from __future__ import annotations

from os import strerror

# <asm/unistd_64.h>
NUMBERS = {
    "close": 3, "poll": 7, "lseek": 8, "mmap": 9, "munmap": 11, "brk": 12, "rt_sigreturn": 15, "ioctl": 16,
    "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "exit": 60, "fcntl": 72, "ftruncate": 77, "fchdir": 81, "fchmod": 91, "fchown": 93, "fstatfs": 138, "setxattr": 188,
    "getxattr": 191, "listxattr": 194, "removexattr": 197, "futex": 202, "sched_setaffinity": 203, "getdents64": 217,
    "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231, "openat": 257, "mkdirat": 258, "mknodat": 259,
    "fchownat": 260, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267,
    "fchmodat": 268, "utimensat": 280, "getcpu": 309, "renameat2": 316, "statx": 332, "openat2": 437,
}  # fmt: skip


def check(result: int) -> int:
    """A native function's result, or the OSError it stands for when negative."""
    if result < 0:
        raise OSError(-result, strerror(-result))
    return result
