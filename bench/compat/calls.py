"""Which system call, and which family of them, a test is about: by its name, or by what its source text calls.

Families are the files of syscall_tables/linux; the calls are x86_64.tbl's.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache

from bench.compat.case import ROOT

OTHER = "other"
_TABLES = ROOT / "syscall_tables"
# What the C library, or a test's name, calls it, where the kernel's name is another one.
ALIASES = {
    "abort": "tgkill",
    "confstr": "",
    "creat": "creat",
    "execl": "execve",
    "execle": "execve",
    "execlp": "execve",
    "execv": "execve",
    "execvp": "execve",
    "fstatfs": "fstatfs",
    "getdents": "getdents64",
    "lio_listio": "io_submit",
    "mallinfo": "brk",
    "mallopt": "brk",
    "mkfifo": "mknod",
    "mq_close": "mq_open",
    "mq_notify": "mq_notify",
    "mq_receive": "mq_timedreceive",
    "mq_send": "mq_timedsend",
    "nice": "setpriority",
    "posix_fadvise": "fadvise64",
    "pread": "pread64",
    "ptsname": "ioctl",
    "pwrite": "pwrite64",
    "raise": "tgkill",
    "readdir": "getdents64",
    "recv": "recvfrom",
    "sbrk": "brk",
    "sched_getattr": "sched_getattr",
    "send": "sendto",
    "sigaction": "rt_sigaction",
    "sighold": "rt_sigprocmask",
    "signal": "rt_sigaction",
    "sigpending": "rt_sigpending",
    "sigprocmask": "rt_sigprocmask",
    "sigrelse": "rt_sigprocmask",
    "sigsuspend": "rt_sigsuspend",
    "sigtimedwait": "rt_sigtimedwait",
    "sigwait": "rt_sigtimedwait",
    "sigwaitinfo": "rt_sigtimedwait",
    "stime": "settimeofday",
    "tcgetattr": "ioctl",
    "tcsetattr": "ioctl",
    "wait": "wait4",
    "waitpid": "wait4",
}
_CALLED = re.compile(r"\b(?:(?:SYS_|__NR_)([a-z0-9_]+)|NR_([A-Z][A-Z0-9_]*)|([a-z][a-z0-9_]*)\s*\()")


@cache
def families() -> dict[str, str]:
    """Family by call."""
    found: dict[str, str] = {}
    for path in sorted((_TABLES / "linux").glob("*.toml")):
        found |= dict.fromkeys(tomllib.loads(path.read_text()), path.stem)
    return found


@cache
def names() -> frozenset[str]:
    lines = (line.split("#")[0].split() for line in (_TABLES / "x86_64.tbl").read_text().splitlines())
    return frozenset(words[1] for words in lines if len(words) >= 2)


def of_name(test: str) -> str:
    """The call whose name the test's begins with, the longest; empty if none does: fcntl14_64 is about fcntl."""
    for length in range(len(test), 1, -1):
        call = ALIASES.get(test[:length], test[:length])
        if call in names():
            return call
    return ""


def of_source(text: str) -> tuple[str, ...]:
    """The calls that C source makes by name or number, each once, in order of the alphabet."""
    words = {number or upper.lower() or name for number, upper, name in _CALLED.findall(text)}
    return tuple(sorted({ALIASES.get(word, word) for word in words} & names()))


def family_of(call: str) -> str:
    return families().get(call, OTHER)
