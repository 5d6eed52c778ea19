"""inotify: which events arrive, in which order, how they are read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from struct import Struct

import pytest

from pysentry.kernel import inotify, sysctl
from pysentry.platform.native import lib
from pysentry.syscalls import inotify as _handlers  # noqa: F401
from pysentry.vfs import notify
from tests.unit.kernel.calls import Call
from tests.unit.vfs.kernel_in_process import Kernel

EVENT = Struct("=iIII")
IN_ALL, IN_ONESHOT, IN_MASK_ADD, IN_MASK_CREATE, IN_ONLYDIR = 0xFFF, 0x80000000, 0x20000000, 0x10000000, 0x01000000
IN_IGNORED, IN_Q_OVERFLOW = 0x8000, 0x4000


@pytest.fixture
def instance(kernel: Kernel) -> Iterator[int]:
    kernel.mkdir("/d")
    fd = kernel.call("inotify_init1", os.O_NONBLOCK)
    yield fd
    kernel.close(fd)
    assert not inotify._watchers
    assert notify.listener is None


def watch(kernel: Kernel, fd: int, path: bytes, mask: int = IN_ALL) -> int:
    return kernel.call("inotify_add_watch", fd, path, mask)


def events(kernel: Kernel, fd: int, size: int = 4096) -> list[tuple[int, int, bytes]]:
    try:
        data = kernel.read(fd, size)
    except BlockingIOError:
        return []
    found, at = [], 0
    while at < len(data):
        wd, mask, _, length = EVENT.unpack_from(data, at)
        at += EVENT.size
        found.append((wd, mask, data[at : at + length].rstrip(b"\0")))
        at += length
    return found


def test_a_directory_hears_of_its_entries(kernel: Kernel, instance: int) -> None:
    wd = watch(kernel, instance, b"/d")
    kernel.write_file("/d/f", b"x")
    kernel.rename("/d/f", "/d/g")
    kernel.unlink("/d/g")
    assert [(mask, name) for seen, mask, name in events(kernel, instance) if seen == wd and mask & 0x3C2] == [
        (notify.IN_CREATE, b"f"),
        (notify.IN_MODIFY, b"f"),
        (notify.IN_MOVED_FROM, b"f"),
        (notify.IN_MOVED_TO, b"g"),
        (notify.IN_DELETE, b"g"),
    ]


def test_the_end_of_a_file_ends_its_watch(kernel: Kernel, instance: int) -> None:
    kernel.write_file("/d/f", b"x")
    wd = watch(kernel, instance, b"/d/f", notify.IN_DELETE_SELF)
    kernel.unlink("/d/f")
    assert events(kernel, instance) == [(wd, notify.IN_DELETE_SELF, b""), (wd, IN_IGNORED, b"")]
    with pytest.raises(OSError, match="EINVAL"):
        kernel.call("inotify_rm_watch", instance, wd)


def test_masks(kernel: Kernel, instance: int) -> None:
    kernel.write_file("/d/f", b"x")
    wd = watch(kernel, instance, b"/d", notify.IN_CREATE)
    assert watch(kernel, instance, b"/d", notify.IN_DELETE | IN_MASK_ADD) == wd
    kernel.mkdir("/d/sub")
    assert events(kernel, instance) == [(wd, notify.IN_CREATE | notify.IN_ISDIR, b"sub")]
    assert watch(kernel, instance, b"/d", notify.IN_DELETE | IN_ONESHOT) == wd
    kernel.mkdir("/d/other")
    kernel.rmdir("/d/sub")
    kernel.rmdir("/d/other")
    assert events(kernel, instance) == [(wd, notify.IN_DELETE | notify.IN_ISDIR, b"sub"), (wd, IN_IGNORED, b"")]
    only_directory = IN_ALL | IN_ONLYDIR
    for path, mask, name in ((b"/d", 0, "EINVAL"), (b"/d/f", only_directory, "ENOTDIR"), (b"/no", IN_ALL, "ENOENT")):
        with pytest.raises(OSError, match=name):
            watch(kernel, instance, path, mask)
    watch(kernel, instance, b"/d")
    with pytest.raises(OSError, match="EEXIST"):
        watch(kernel, instance, b"/d", IN_ALL | IN_MASK_CREATE)


def test_reading_gives_whole_events(kernel: Kernel, instance: int) -> None:
    watch(kernel, instance, b"/d", notify.IN_CREATE)
    for name in ("a", "a-name-of-20-letters"):
        kernel.mkdir(f"/d/{name}")
    with pytest.raises(OSError, match="EINVAL"):
        kernel.read(instance, 31)
    assert [name for _, _, name in events(kernel, instance, 32 + 47)] == [b"a"]
    assert [name for _, _, name in events(kernel, instance, 48)] == [b"a-name-of-20-letters"]
    assert Call(kernel, "read", instance, bytearray(99), 99).errno == errno.EAGAIN


def test_a_reader_waits(kernel: Kernel, instance: int) -> None:
    watch(kernel, instance, b"/d", notify.IN_CREATE)
    kernel.call("fcntl", instance, 4, 0)
    call = Call(kernel, "read", instance, bytearray(99), 99)
    assert call.wake().is_waiting
    kernel.mkdir("/d/x")
    assert call.wake().result == 32
    kernel.call("fcntl", instance, 4, os.O_NONBLOCK)


def test_repeats_are_one_and_a_full_queue_says_so(
    kernel: Kernel, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sysctl.values, sysctl.INOTIFY_MAX_QUEUED, 3)
    wd = watch(kernel, instance, b"/d", notify.IN_CREATE | notify.IN_ATTRIB)
    kernel.chmod("/d", 0o700)
    kernel.chmod("/d", 0o701)
    for name in "abcd":
        kernel.mkdir(f"/d/{name}")
    assert [(seen, mask) for seen, mask, _ in events(kernel, instance)] == [
        (wd, notify.IN_ATTRIB | notify.IN_ISDIR),
        (wd, notify.IN_CREATE | notify.IN_ISDIR),
        (wd, notify.IN_CREATE | notify.IN_ISDIR),
        (-1, IN_Q_OVERFLOW),
    ]


def test_fast_paths_know_what_is_watched(kernel: Kernel, instance: int) -> None:
    directory = kernel.open("/d", os.O_RDONLY)
    inode = lib.fd_get(kernel.task.c, directory).inode
    wd = watch(kernel, instance, b"/d")
    assert inode.flags & lib.INODE_WATCHED
    kernel.call("inotify_rm_watch", instance, wd)
    assert not inode.flags & lib.INODE_WATCHED
