"""The gofer protocol in Python: the layouts of native/gofer/protocol.h, which says what each field means.

Owns packing and unpacking of bodies (what follows the header). Does not own the header or waiting: those are
native/gofer/client.c and server.c. tests/unit/gofer/test_protocol.py compares every size and offset with C's.
"""

from __future__ import annotations

from errno import ECONNRESET
from os import strerror
from struct import Struct

VERSION = 2
MESSAGE_MAX = 65536
PATH_MAX = 4095
FDS_MAX = 16

HELLO = 1
WALK = 2
READDIR = 3
OPEN = 4
STATFS = 5
CREATE = 6
MKDIR = 7
SYMLINK = 8
LINK = 9
UNLINK = 10
RMDIR = 11
RENAME = 12
MKNOD = 13
SETATTR = 14
GETXATTR = 15
LISTXATTR = 16
SETXATTR = 17
REMOVEXATTR = 18
OPEN_PTY = 19
OPEN_MANY = 20
LIST = 21

TREE_WRITABLE = 1
TREE_IMMUTABLE = 2
TREE_FILE = 4
TREE_ONE_OWNER = 8

NO_ID = 0xFFFFFFFF  # "whoever makes it"

ATTR_VALID = 1
ATTR_BTIME = 2
ATTR_MOUNT_ROOT = 4

SET_MODE = 1
SET_UID = 2
SET_GID = 4
SET_SIZE = 8
SET_ATIME = 16
SET_MTIME = 32
SET_ATIME_NOW = 64
SET_MTIME_NOW = 128

HEADER = Struct("<IIHHi")  # length, id, op, cpu, error
HELLO_REQUEST = Struct("<II")
HELLO_REPLY = Struct("<IIII")
ATTR = Struct("<4Q10I4q4I")
PATH = Struct("<II")
WALK_BASE, WALK_OPEN = 1, 2
WALK_REQUEST = Struct("<IIII")
WALK_REPLY = Struct("<IIII")
READDIR_REQUEST = Struct("<IIQ")
READDIR_REPLY = Struct("<QII")  # then the directory's ATTR
LIST_REPLY = Struct("<QII")  # then ATTRs, then the kernel's RECORDs: each with its name, ended by NUL
RECORD = Struct("<QqHB")
DIRENT = Struct("<QHHHH")  # then the entry's ATTR, name, target, padding
OPEN_REQUEST = Struct("<IIII")
OPEN_MANY_REQUEST = Struct("<IIII")
OPEN_MANY_REPLY = Struct("<II")  # then an ERRNO, or 0, for each name
ERRNO = Struct("<i")
STATFS_REPLY = Struct("<11Q")
CREATE_REQUEST = Struct("<IIIIII")
PAIR_REQUEST = Struct("<IIIIII")
SETATTR_REQUEST = Struct("<IIIIIIQqqII")
XATTR_REQUEST = Struct("<IIIIII")
PTY_REPLY = Struct("<II")

NS = 1_000_000_000


class GoferError(OSError):
    """The gofer answered with an errno (in `.errno`), as the host call behind the request did."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno, strerror(errno))


class GoferDied(GoferError):
    """There is no gofer any more: it hung up, or what it sent was no reply."""

    def __init__(self) -> None:
        super().__init__(ECONNRESET)


class GoferSetupError(OSError):
    """One step of the gofer's set-up failed; `.step` names it."""

    def __init__(self, step: str, errno: int) -> None:
        super().__init__(errno, f"gofer: {step}: {strerror(errno)}")
        self.step = step

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (self.step, self.errno or 0)


class Attr:
    """Attributes of one inode (struct gofer_attr). Times are nanoseconds since the epoch; blocks are of 512 bytes."""

    __slots__ = (
        "atime_ns",
        "blksize",
        "blocks",
        "btime_ns",
        "ctime_ns",
        "dev_major",
        "dev_minor",
        "flags",
        "gid",
        "ino",
        "mode",
        "mount_id",
        "mtime_ns",
        "nlink",
        "rdev_major",
        "rdev_minor",
        "size",
        "uid",
    )  # fmt: skip

    def __init__(self, data: bytes, at: int = 0) -> None:
        (
            self.ino, self.size, self.blocks, self.mount_id,
            self.mode, self.uid, self.gid, self.nlink, self.dev_major, self.dev_minor, self.rdev_major,
            self.rdev_minor, self.blksize, self.flags,
            atime, mtime, ctime, btime, atime_nsec, mtime_nsec, ctime_nsec, btime_nsec,
        ) = ATTR.unpack_from(data, at)  # fmt: skip
        self.atime_ns: int = atime * NS + atime_nsec
        self.mtime_ns: int = mtime * NS + mtime_nsec
        self.ctime_ns: int = ctime * NS + ctime_nsec
        self.btime_ns: int = btime * NS + btime_nsec

    @property
    def is_valid(self) -> bool:
        return bool(self.flags & ATTR_VALID)


class DirEntry:
    """One entry of a directory: name, attributes (of a symlink: its own) and a symlink's target."""

    __slots__ = ("attr", "cookie", "name", "target", "type")

    def __init__(self, name: bytes, type_: int, attr: Attr, target: bytes, cookie: int) -> None:
        self.name = name
        self.type = type_  # DT_*
        self.attr = attr
        self.target = target
        self.cookie = cookie


class StatFs:
    """struct gofer_statfs_reply."""

    __slots__ = (
        "block_size",
        "blocks",
        "blocks_available",
        "blocks_free",
        "files",
        "files_free",
        "flags",
        "fragment_size",
        "fsid",
        "name_max",
        "type",
    )  # fmt: skip

    def __init__(self, data: bytes) -> None:
        (
            self.type, self.block_size, self.fragment_size, self.blocks, self.blocks_free, self.blocks_available,
            self.files, self.files_free, self.fsid, self.name_max, self.flags,
        ) = STATFS_REPLY.unpack(data)  # fmt: skip


def unpack_entries(data: bytes, at: int, count: int) -> list[DirEntry]:
    """The `count` entries of a READDIR reply that start at `at`. struct.error if they are cut short."""
    entries = []
    for _ in range(count):
        cookie, size, name_len, target_len, type_ = DIRENT.unpack_from(data, at)
        name_at = at + DIRENT.size + ATTR.size
        target_at = name_at + name_len
        name = data[name_at:target_at]
        target = data[target_at : target_at + target_len]
        entries.append(DirEntry(name, type_, Attr(data, at + DIRENT.size), target, cookie))
        at += size
    return entries
