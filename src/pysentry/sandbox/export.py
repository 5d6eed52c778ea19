"""What a run changed, told to its caller: `--changes` as a list, `--export` as a layer of an OCI image.

Owns the two formats. The descriptors were opened before the lock-up (report.py); what changed is vfs/changes.py's.
"""

from __future__ import annotations

import os
import tarfile

from pysentry.abi.errno import LinuxError
from pysentry.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG
from pysentry.platform.native import ffi
from pysentry.sandbox.errors import SandboxError, describe
from pysentry.vfs.changes import DELETED, Change, changes, made_by_boot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from pysentry.platform.cdefs import CInode

_TYPES = {
    S_IFREG: tarfile.REGTYPE,
    S_IFDIR: tarfile.DIRTYPE,
    S_IFLNK: tarfile.SYMTYPE,
    S_IFIFO: tarfile.FIFOTYPE,
    S_IFCHR: tarfile.CHRTYPE,
    S_IFBLK: tarfile.BLKTYPE,
}
"""Sockets are left out, as in every archive."""
_WHITEOUT = ".wh."


class Exporter:
    """Writes what changed from start() to the end of the run. list_fd, tar_fd: -1: not asked for."""

    def __init__(self, list_fd: int, tar_fd: int) -> None:
        self._list_fd = list_fd
        self._tar_fd = tar_fd
        self._without: set[int] = set()

    def start(self) -> None:
        """When the tree is put together: what boot made in it is not told."""
        self._without = made_by_boot()

    def write(self) -> None:
        """Once, when nothing runs any more. SandboxError: it cannot be told, or not be written."""
        place = b"/"
        try:
            found = list(changes(self._without))
            if self._list_fd >= 0:
                with open(self._list_fd, "wb") as out:
                    out.writelines(b"%s %s\n" % (one.kind.encode(), escaped(one.path)) for one in found)
            if self._tar_fd >= 0:
                with open(self._tar_fd, "wb") as out, tarfile.open(
                    fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape"
                ) as archive:
                    links: dict[int, str] = {}
                    for one in found:
                        place = one.path
                        _add(archive, one, links)
        except LinuxError as refused:
            raise SandboxError(f"cannot export {os.fsdecode(place)}: {describe(refused.errno)}") from None
        except OSError as error:
            raise SandboxError(f"cannot write what changed: {describe(error.errno or 0)}") from None


def escaped(path: bytes) -> bytes:
    """One line: control characters and backslashes as `\\xNN`."""
    return b"".join(b"\\x%02x" % byte if byte < 32 or byte in (0x5C, 0x7F) else bytes((byte,)) for byte in path)


class _Content:
    """A file object over pread(2): the position of the descriptor is others' too."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, count: int) -> bytes:
        data = os.pread(self._fd, count, self._at)
        self._at += len(data)
        return data


def _add(archive: tarfile.TarFile, change: Change, links: dict[int, str]) -> None:
    name = os.fsdecode(change.path[1:])
    if change.kind == DELETED:
        directory, _, last = name.rpartition("/")
        archive.addfile(tarfile.TarInfo(f"{directory}/{_WHITEOUT}{last}".lstrip("/")))
        return
    assert change.dentry is not None
    inode = change.dentry.inode
    kind = _TYPES.get(inode.mode & S_IFMT)
    if kind is None:
        return
    entry = tarfile.TarInfo(name)
    entry.type = kind
    _describe(entry, inode)
    entry.pax_headers = {
        "SCHILY.xattr." + os.fsdecode(key): os.fsdecode(value) for key, value in change.xattrs().items()
    }
    if kind == tarfile.SYMTYPE:
        entry.linkname = os.fsdecode(bytes(ffi.string(inode.symlink)))
    elif kind != tarfile.DIRTYPE and inode.nlink > 1:
        first = links.setdefault(inode.id, name)
        if first != name:
            entry.type, entry.linkname = tarfile.LNKTYPE, first
    if entry.type != tarfile.REGTYPE:
        archive.addfile(entry)
        return
    entry.size = inode.size
    fd = change.open()
    try:
        content: IO[bytes] = _Content(fd)  # type: ignore[assignment]
        archive.addfile(entry, content)
    finally:
        os.close(fd)


def _describe(entry: tarfile.TarInfo, inode: CInode) -> None:
    entry.mode = inode.mode & 0o7777
    entry.uid, entry.gid = inode.uid, inode.gid
    entry.mtime = inode.mtime_ns / 1e9
    entry.devmajor, entry.devminor = os.major(inode.rdev), os.minor(inode.rdev)
