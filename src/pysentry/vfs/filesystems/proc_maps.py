"""/proc/PID/maps and smaps: the host's, with the sandbox's names for files and without the sentry's own mappings."""

from __future__ import annotations

import os
import sys

from pysentry.platform.native import ffi, lib
from pysentry.vfs.dentry import path_of
from pysentry.vfs.filesystems.proc_fd import place_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pysentry.platform.cdefs import CDentry
    from pysentry.vfs.filesystems.proc_subject import Subject

_NAME_COLUMN = 73
_STUB_NAME = b"memfd:pysentry-stub"
_STUB_SIZE = 1 << 16


def maps(subject: Subject) -> bytes:
    """proc_pid_maps(5)."""
    return b"".join(rewrite(subject, subject.read_host("maps").splitlines(keepends=True)))


def smaps(subject: Subject) -> bytes:
    """proc_pid_smaps(5): each line of maps with counts below it."""
    return b"".join(rewrite(subject, subject.read_host("smaps").splitlines(keepends=True)))


def smaps_rollup(subject: Subject) -> bytes:
    """The sums of smaps, the stub's few pages included."""
    return subject.read_host("smaps_rollup")


def rewrite(subject: Subject, lines: list[bytes]) -> list[bytes]:
    """Lines of maps or smaps; those of a hidden mapping are left out."""
    names: dict[tuple[bytes, bytes], tuple[bytes, int, int]] = {}
    shown = []
    is_hidden = False
    for line in lines:
        first = line.split(None, 1)[0]
        if first.endswith(b":"):  # a count of smaps
            if not is_hidden:
                shown.append(line)
            continue
        is_hidden = is_sentrys(line)
        if not is_hidden:
            shown.append(_line(subject, line, names))
    return shown


def is_sentrys(line: bytes) -> bool:
    """The exec stub, or the list that it carried out, just above its code. The heap begins further on."""
    start = int(line.partition(b"-")[0], 16)
    is_list = 0 <= start - lib.STUB_ADDRESS < _STUB_SIZE and not line.endswith(b"]\n")
    return is_list or _STUB_NAME in line


def _line(subject: Subject, line: bytes, names: dict[tuple[bytes, bytes], tuple[bytes, int, int]]) -> bytes:
    fields = line.rstrip(b"\n").split(None, 5)
    device, inode = fields[3], fields[4]
    if inode == b"0":
        return line  # anonymous, or named in brackets
    key = (device, inode)
    if key not in names:
        names[key] = mapped_file(subject, device, int(inode), fields[5] if len(fields) > 5 else b"")
    path, dev, ino = names[key]
    numbers = b"%02x:%02x %d " % (os.major(dev), os.minor(dev), ino)
    head = b" ".join((*fields[:3], numbers))
    return head.ljust(_NAME_COLUMN) + path.replace(b"\n", b"\\012") + b"\n"


def mapped_file(subject: Subject, device: bytes, inode: int, host_name: bytes) -> tuple[bytes, int, int]:
    """(path, dev, ino) of a mapped file as the sandbox knows it."""
    major, _, minor = device.partition(b":")
    dev = os.makedev(int(major, 16), int(minor, 16))
    if host_name.startswith((b"/dev/zero", b"/SYSV")):  # shared anonymous memory
        return host_name, dev, inode
    dentry: CDentry = lib.dentry_of_host_file(dev, inode)
    if dentry != ffi.NULL:
        return path_of(dentry), dentry.inode.dev, dentry.inode.ino
    shm = sys.modules.get("pysentry.kernel.shm")  # it is imported with the first segment
    segment: tuple[bytes, int, int] | None = shm.shown_name(device, b"%d" % inode) if shm else None
    if segment is not None:
        return segment
    unnamed = _open_file(subject, dev, inode)
    if unnamed is not None:
        return place_text(unnamed, None), unnamed.inode.dev, unnamed.inode.ino
    return b"/memfd: (deleted)" if host_name.startswith(b"/memfd:") else b"/ (deleted)", dev, inode


def _open_file(subject: Subject, dev: int, inode: int) -> CDentry | None:
    """A file without a name (unlinked, memfd) that the process still has open."""
    table = subject.c.files
    for fd in range(table.capacity):
        c = table.slots[fd].desc
        if c == ffi.NULL or c.dentry == ffi.NULL or c.host_fd < 0:
            continue
        status = os.fstat(c.host_fd)
        if status.st_ino == inode and status.st_dev == dev:
            return c.dentry
    executable = subject.c.group.exe
    if executable != ffi.NULL and lib.inode_content_is(executable.inode, dev, inode):
        return executable
    return None
