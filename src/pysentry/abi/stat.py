"""File types and modes, `struct stat`, `statx`, `statfs`, directory entries, utime and xattr constants (x86-64)."""

from __future__ import annotations

import struct

S_IFMT = 0o170000
S_IFSOCK = 0o140000
S_IFLNK = 0o120000
S_IFREG = 0o100000
S_IFBLK = 0o060000
S_IFDIR = 0o040000
S_IFCHR = 0o020000
S_IFIFO = 0o010000
S_ISUID = 0o4000
S_ISGID = 0o2000
S_ISVTX = 0o1000
S_IXGRP = 0o0010
S_IALLUGO = 0o7777


def is_directory(mode: int) -> bool:
    """True for the mode of a directory."""
    return mode & S_IFMT == S_IFDIR


def is_regular(mode: int) -> bool:
    """True for the mode of a regular file."""
    return mode & S_IFMT == S_IFREG


def is_symlink(mode: int) -> bool:
    """True for the mode of a symbolic link."""
    return mode & S_IFMT == S_IFLNK


def dirent_type(mode: int) -> int:
    """DT_* of a mode: the type bits, shifted."""
    return (mode & S_IFMT) >> 12


DT_UNKNOWN = 0
DT_FIFO = 1
DT_CHR = 2
DT_DIR = 4
DT_BLK = 6
DT_REG = 8
DT_LNK = 10
DT_SOCK = 12

# struct stat: dev ino nlink mode uid gid rdev size blksize blocks, then (sec, nsec) of atime mtime ctime
STAT = struct.Struct("<QQQIII4xQqqqqqqqqq24x")

# struct statx: mask blksize attributes nlink uid gid mode ino size blocks attributes_mask, (sec, nsec) of
# atime btime ctime mtime, rdev major minor, dev major minor, mnt_id, dio_mem_align dio_offset_align
STATX = struct.Struct("<IIQIIIH2xQQQQqI4xqI4xqI4xqI4xIIIIQII96x")

STATX_TYPE = 0x1
STATX_MODE = 0x2
STATX_ATIME = 0x20
STATX_BASIC_STATS = 0x7FF
STATX_BTIME = 0x800
STATX_MNT_ID = 0x1000
STATX_MNT_ID_UNIQUE = 0x4000
MNT_UNIQUE_ID_OFFSET = 1 << 31  # unique mount ids are above all others
STATX_RESERVED = 0x80000000
STATX_ATTR_MOUNT_ROOT = 0x2000

# struct statfs: type bsize blocks bfree bavail files ffree fsid[2] namelen frsize flags
STATFS = struct.Struct("<qqQQQQQiiqqq32x")
ST_RDONLY = 1
ST_NOSUID = 2
ST_NODEV = 4
ST_NOEXEC = 8
ST_VALID = 0x20
ST_NOATIME = 0x400
ST_NODIRATIME = 0x800
ST_RELATIME = 0x1000
ST_NOSYMFOLLOW = 0x2000

TMPFS_MAGIC = 0x01021994
OVERLAYFS_MAGIC = 0x794C7630
PROC_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
DEVPTS_MAGIC = 0x1CD1
PIPEFS_MAGIC = 0x50495045
SOCKFS_MAGIC = 0x534F434B
ANON_INODE_MAGIC = 0x09041934

DIRENT64_HEAD = struct.Struct("<QqHB")  # ino, offset, record length, type; the name follows
DIRENT_HEAD = struct.Struct("<QQH")  # old getdents: ino, offset, record length; name, NUL, ..., type in the last byte

TIMESPEC_PAIR = struct.Struct("<qqqq")
UTIMBUF = struct.Struct("<qq")
UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2

F_OK = 0
X_OK = 1
W_OK = 2
R_OK = 4

XATTR_CREATE = 1
XATTR_REPLACE = 2
XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536
XATTR_LIST_MAX = 65536
