"""/proc/config.gz: the configuration that a kernel with the sentry's features would have.

Programs and test suites read it to learn what to expect; an option is set here if what it stands for works.
"""

from __future__ import annotations

from binascii import crc32

_BUILT = (
    "64BIT", "X86_64", "X86", "MMU", "SMP", "MULTIUSER", "SYSFS", "PROC_FS", "PROC_SYSCTL", "PROC_PAGE_MONITOR",
    "TMPFS", "TMPFS_XATTR", "SHMEM", "DEVTMPFS", "BINFMT_ELF", "BINFMT_SCRIPT", "PRINTK", "FUTEX", "EPOLL",
    "EVENTFD", "SIGNALFD", "TIMERFD", "POSIX_TIMERS", "HIGH_RES_TIMERS", "INOTIFY_USER", "FHANDLE", "FILE_LOCKING",
    "ADVISE_SYSCALLS", "MEMBARRIER", "RSEQ", "MEMFD_CREATE", "SECCOMP", "SECCOMP_FILTER", "TTY", "UNIX98_PTYS",
    "NET", "UNIX", "INET", "IPV6", "BLK_DEV", "BLK_DEV_LOOP", "IKCONFIG", "IKCONFIG_PROC", "SYSCTL",
    "CROSS_MEMORY_ATTACH", "AIO", "SYSFS_SYSCALL", "SYSVIPC", "SYSVIPC_SYSCTL", "POSIX_MQUEUE",
    "POSIX_MQUEUE_SYSCTL", "CHECKPOINT_RESTORE", "KEYS", "DNOTIFY",
)  # fmt: skip
_NOT_BUILT = (
    "IO_URING", "BPF_SYSCALL", "USERFAULTFD", "FANOTIFY", "NUMA", "KSM", "MEMORY_FAILURE", "MODULES",
    "USER_NS", "TIME_NS", "LANDLOCK", "SECURITY", "AUDIT", "PERF_EVENTS",
    "MODIFY_LDT_SYSCALL", "KEXEC", "SWAP", "QUOTA",
)  # fmt: skip


def _text() -> bytes:
    lines = ["#", "# Linux/x86 Kernel Configuration", "#"]
    lines += [f"CONFIG_{name}=y" for name in _BUILT]
    lines += [f"# CONFIG_{name} is not set" for name in _NOT_BUILT]
    return ("\n".join(lines) + "\n").encode()


def config_gz() -> bytes:
    """The text in one stored block of a gzip member (RFC 1952): nothing to import, and nobody asks often."""
    text = _text()
    size = len(text).to_bytes(2, "little")
    inverted = (len(text) ^ 0xFFFF).to_bytes(2, "little")
    block = b"\x01" + size + inverted + text
    trailer = crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    return b"\x1f\x8b\x08" + bytes(6) + b"\x03" + block + trailer
