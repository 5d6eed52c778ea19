"""Options of a mount as words and values, turned into what our file systems take: mount(8), tmpfs(5), devpts.

Owns reading them. MountOptionError says which option is wrong; the words of access times are accepted, as the host
keeps them. Those of propagation are container_root.py's.
"""

from __future__ import annotations

import os

from pysentry.platform.native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.sandbox.config import MountRow

_FLAGS = {
    "ro": lib.SB_RDONLY,
    "nosuid": lib.SB_NOSUID,
    "nodev": lib.SB_NODEV,
    "noexec": lib.SB_NOEXEC,
    "noatime": lib.SB_NOATIME,
    "nodiratime": lib.SB_NODIRATIME,
    "nosymfollow": lib.SB_NOSYMFOLLOW,
}
_SUFFIXES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


class MountOptionError(ValueError):
    """A value that the option cannot have."""


def superblock_flags(row: MountRow) -> int:
    """SB_* of the words."""
    flags = 0
    for word in row.words:
        flags |= _FLAGS.get(word, 0) | _FLAGS.get(word.removeprefix("r"), 0)  # "rro": with what is mounted below
    return flags


def size(row: MountRow, name: str = "size") -> int:
    """Bytes, as the kernel's memparse() reads them, or a part of the machine's memory ("50%"). 0: no limit."""
    text = row.options.get(name, "").lower()
    if not text:
        return 4096 * _number(row, "nr_blocks", row.options["nr_blocks"], 10) if "nr_blocks" in row.options else 0
    if text.endswith("%"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _number(row, name, text[:-1], 10) // 100
    suffix = text[-1] if text[-1].isalpha() else ""
    if suffix not in _SUFFIXES:
        raise MountOptionError(f"{name}={text}: not a size")
    bytes_wanted = _number(row, name, text.removesuffix(suffix), 10) * _SUFFIXES[suffix]
    return -(-bytes_wanted // 4096) * 4096  # whole pages, as shmem_parse_one()


def octal(row: MountRow, name: str, default: int) -> int:
    """A mode."""
    return _number(row, name, row.options[name], 8) & 0o7777 if name in row.options else default


def number(row: MountRow, name: str, default: int = 0) -> int:
    """A decimal number that is not negative."""
    return _number(row, name, row.options[name], 10) if name in row.options else default


def _number(row: MountRow, name: str, text: str, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if value < 0:
        raise MountOptionError(f"{name}={row.options.get(name)}: not a number")
    return value
