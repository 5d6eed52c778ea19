"""The names of the machine: what uname(2) and /proc/sys/kernel say. One UTS namespace for the sandbox.

The kernel that the sandbox sees is the host's where it is recent enough; host and domain name are the sandbox's own.
"""

from __future__ import annotations

import os

FIELD_BYTES = 65  # __NEW_UTS_LEN + 1
NAME_MAX = 64
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

    def pack(self) -> bytes:
        """struct new_utsname."""
        fields = (self.sysname, self.nodename, self.release, self.version, self.machine, self.domainname)
        return b"".join(field[:NAME_MAX].ljust(FIELD_BYTES, b"\0") for field in fields)


def _is_recent(release: str) -> bool:
    major, _, rest = release.partition(".")
    digits = ""
    for char in rest:
        if not char.isdigit():
            break
        digits += char
    return major.isdigit() and (int(major), int(digits or 0)) >= _OLDEST


uts = Uts()
