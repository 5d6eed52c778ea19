"""The names of the machine: what uname(2) and /proc/sys/kernel say. One UTS namespace for the sandbox.

The kernel that the sandbox sees is the host's where it is recent enough; host and domain name are the sandbox's own.
"""

from __future__ import annotations

import os

FIELD_BYTES = 65  # __NEW_UTS_LEN + 1
NAME_MAX = 64
UNAME26, PER_LINUX32, PER_MASK = 0x20000, 8, 0xFF
_OLDEST = (6, 1)
_OLDEST_RELEASE = "6.1.0"


class Uts:
    """The names, as bytes without NUL."""

    __slots__ = ("domainname", "machine", "nodename", "release", "sysname", "version")

    def __init__(self) -> None:
        host = os.uname()
        self.sysname = b"Linux"
        self.nodename = os.fsencode(host.nodename)[:NAME_MAX]
        self.release = os.fsencode(host.release if _is_recent(host.release) else _OLDEST_RELEASE)
        self.version = os.fsencode(host.version)
        self.machine = b"x86_64"
        self.domainname = b"(none)"

    def pack(self, persona: int = 0) -> bytes:
        """struct new_utsname, for a task with this personality."""
        release = _release_2_6(self.release) if persona & UNAME26 else self.release
        machine = b"i686" if persona & PER_MASK == PER_LINUX32 else self.machine
        fields = (self.sysname, self.nodename, release, self.version, machine, self.domainname)
        return b"".join(field[:NAME_MAX].ljust(FIELD_BYTES, b"\0") for field in fields)


def _release_2_6(release: bytes) -> bytes:
    """6.18.3-x is 2.6.78-x: override_release() in Linux kernel/sys.c."""
    numbers = release[: len(release) - len(release.lstrip(b"0123456789."))].split(b".")
    return b"2.6.%d%s" % (int(numbers[1]) + 60, release.lstrip(b"0123456789."))


def _is_recent(release: str) -> bool:
    major, _, rest = release.partition(".")
    digits = ""
    for char in rest:
        if not char.isdigit():
            break
        digits += char
    return major.isdigit() and (int(major), int(digits or 0)) >= _OLDEST


uts = Uts()
