"""/proc/PID/mounts, mountinfo, mountstats: the sandbox's mount table."""

from __future__ import annotations

import os

from pysentry.platform.native import lib
from pysentry.vfs import mounts as vfs_mounts
from pysentry.vfs.propagation import visible_master

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pysentry.vfs.filesystems.proc_subject import Subject
    from pysentry.vfs.mounts import Mount

_ESCAPED = ((b"\\", b"\\134"), (b" ", b"\\040"), (b"\t", b"\\011"), (b"\n", b"\\012"), (b"#", b"\\043"))


def escape(text: bytes) -> bytes:
    """Octal escapes for what separates fields: mangle_path()."""
    for char, code in _ESCAPED:
        text = text.replace(char, code)
    return text


def _seen(subject: Subject) -> Iterator[tuple[Mount, bytes]]:
    """What the task's root lets it see, and where."""
    root = subject.c.fs.root
    for mount in vfs_mounts.mount_table(root):
        mountpoint = mount.mountpoint_below(root)
        if mountpoint is not None:
            yield mount, mountpoint


def mounts(subject: Subject) -> bytes:
    """fstab(5) lines."""
    return b"".join(
        b"%s %s %s %s 0 0\n" % (_source(mount), escape(mountpoint), _type(mount), ",".join(mount.options).encode())
        for mount, mountpoint in _seen(subject)
    )


def mountinfo(subject: Subject) -> bytes:
    """proc_pid_mountinfo(5)."""
    lines = []
    for mount, mountpoint in _seen(subject):
        dev = mount.sb.dev
        read = b"ro" if mount.sb.flags & lib.SB_RDONLY else b"rw"
        lines.append(
            b"%d %d %d:%d %s %s %s%s - %s %s %s\n"
            % (
                mount.identity,
                mount.parent_identity,
                os.major(dev),
                os.minor(dev),
                escape(mount.root),
                escape(mountpoint),
                ",".join(mount.options).encode(),
                _propagation(subject, mount).encode(),
                _type(mount),
                _source(mount),
                read,
            )
        )
    return b"".join(lines)


def _propagation(subject: Subject, mount: Mount) -> str:
    """Optional fields."""
    text = f" shared:{mount.group}" if mount.group else ""
    if mount.master:
        text += f" master:{mount.master}"
        visible = visible_master(mount, subject.c.fs.root)
        text += f" propagate_from:{visible}" if visible not in (0, mount.master) else ""
    return text + (" unbindable" if mount.sb.flags & lib.SB_UNBINDABLE else "")


def mountstats(subject: Subject) -> bytes:
    """proc_pid_mountstats(5)."""
    return b"".join(
        b"device %s mounted on %s with fstype %s\n" % (_source(mount), escape(mountpoint), _type(mount))
        for mount, mountpoint in _seen(subject)
    )


def _type(mount: Mount) -> bytes:
    return mount.file_system.type_name.encode()


def _source(mount: Mount) -> bytes:
    return escape(os.fsencode(mount.source)) or b"none"
