"""Generated files (proc, sys): content made at each read from the start, writes handed over, names looked up anew."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysentry.abi.errno import EINVAL
from pysentry.kernel.task import Task
from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystems import sys_root
from pysentry.vfs.filesystems.generated import Directory, File, GeneratedFileSystem, Link, Node, constant
from pysentry.vfs.filesystems.proc_sys import make_sys_directory
from pysentry.vfs.filesystems.sys import make_sys
from tests.unit.vfs.kernel_in_process import Kernel

S_IFREG, S_IFDIR, S_IFLNK = 0o100000, 0o040000, 0o120000
DT_DIR, DT_REG, DT_LNK = 4, 8, 10


def kernel_of(root: Directory) -> Kernel:
    sb = lib.sb_new(lib.FS_PROC, 0, -1, os.makedev(0, 77))
    GeneratedFileSystem(sb, root)
    lib.mount_attach(ffi.NULL, sb)
    return Kernel(sb.root)


def fails(number: int) -> pytest.RaisesContext[OSError]:  # type: ignore[name-defined]
    return pytest.raises(OSError, match=errno.errorcode[number])


class Counting:
    """Content that tells how often it was made; what is stored."""

    def __init__(self) -> None:
        self.made = 0
        self.stored: list[bytes] = []

    def content(self) -> bytes:
        self.made += 1
        return b"content %d\n" % self.made

    def store(self, task: Task, data: bytes) -> None:
        if data == b"bad":
            raise EINVAL("bad")
        self.stored.append(data)


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def k(counting: Counting) -> Iterator[Kernel]:
    entries: dict[bytes, Node] = {
        b"file": File(counting.content),
        b"setting": File(counting.content, 0o644, counting.store),
        b"d": Directory({b"inner": File(constant(b"x" * 10000))}),
        b"link": Link(lambda task: b"d/inner"),
    }
    kernel = kernel_of(Directory(entries))
    yield kernel
    kernel.end()


def test_content_is_made_when_read_from_the_start(k: Kernel, counting: Counting) -> None:
    fd = k.open("/file", os.O_RDONLY)
    assert counting.made == 0
    assert k.read(fd, 4) == b"cont"
    assert k.read(fd, 100) == b"ent 1\n"
    assert k.read(fd, 100) == b""
    assert k.call("lseek", fd, 0, os.SEEK_SET) == 0
    assert k.read(fd, 100) == b"content 2\n"
    buffer = bytearray(3)
    assert k.call("pread64", fd, buffer, 3, 8) == 2
    assert counting.made == 2


def test_size_is_not_known(k: Kernel) -> None:
    fd = k.open("/d/inner", os.O_RDONLY)
    assert k.fstat(fd).size == k.stat("/d/inner").size == 0
    with fails(errno.EINVAL):
        k.call("lseek", fd, 0, os.SEEK_END)
    assert len(k.read_file("/d/inner")) == 10000


def test_writes_are_handed_over(k: Kernel, counting: Counting) -> None:
    fd = k.open("/setting", os.O_WRONLY | os.O_TRUNC)
    assert k.write(fd, b"5\n") == 2
    assert counting.stored == [b"5\n"]
    with fails(errno.EINVAL):
        k.write(fd, b"bad")
    k.call("ftruncate", fd, 0)


def test_modes_are_kept(k: Kernel) -> None:
    k.become(1000, 1000)
    for path in ("/file", "/setting"):
        with fails(errno.EACCES):
            k.open(path, os.O_WRONLY)
    k.become(0, 0)
    with fails(errno.EINVAL):
        k.write(k.open("/file", os.O_WRONLY), b"x")


def test_nothing_can_be_made_or_taken_away(k: Kernel) -> None:
    for make in (lambda: k.open("/new", os.O_CREAT | os.O_WRONLY), lambda: k.mkdir("/new"), lambda: k.unlink("/file")):
        with pytest.raises(OSError, match=r"E(PERM|ROFS|ACCES|NOENT)"):
            make()
    with fails(errno.ENOTDIR):
        k.open("/file/x", os.O_RDONLY)


def test_readdir_and_stat_agree(k: Kernel) -> None:
    listed = {name: (ino, kind) for name, ino, kind in k.scandir("/") if name not in (".", "..")}
    assert {name: kind for name, (_, kind) in listed.items()} == {
        "file": DT_REG, "setting": DT_REG, "d": DT_DIR, "link": DT_LNK,
    }  # fmt: skip
    for name, (ino, _) in listed.items():
        assert k.lstat(f"/{name}").ino == ino
    assert k.readlink("/link") == "d/inner"
    assert k.stat("/link").ino == k.stat("/d/inner").ino


class Mortal(File):
    __slots__ = ("alive",)

    def is_valid(self) -> bool:
        return self.alive


class Cemetery(Directory):
    """Each lookup makes a new entry."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Mortal] = []

    def lookup(self, task: Task | None, name: bytes) -> Node | None:
        node = Mortal(constant(b"%d" % len(self.made)))
        node.alive = True
        self.made.append(node)
        return node


def test_what_is_gone_is_looked_up_anew() -> None:
    directory = Cemetery()
    kernel = kernel_of(directory)
    assert kernel.read_file("/a") == kernel.read_file("/a") == b"0"
    directory.made[0].alive = False
    assert kernel.read_file("/a") == b"1"
    kernel.end()


def test_sys_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys_root, "read_host_path", lambda path: Path("/proc", path).read_bytes())
    sys = make_sys(os.makedev(0, 78))
    lib.mount_attach(ffi.NULL, sys.sb)
    kernel = Kernel(sys.sb.root)
    count = os.cpu_count() or 1
    assert kernel.read_file("/devices/system/cpu/online") == (b"0-%d\n" % (count - 1) if count > 1 else b"0\n")
    assert "lo" in kernel.listdir("/class/net")
    assert kernel.read_file("/class/net/lo/mtu") == b"65536\n"
    assert kernel.read_file("/devices/system/node/node0/cpu0/online") == b"1\n"
    with pytest.raises(OSError, match=r"E(PERM|ROFS|ACCES)"):
        kernel.open("/new", os.O_CREAT | os.O_WRONLY)
    every_file(kernel, "")
    kernel.end()


def test_settings() -> None:
    kernel = kernel_of(Directory({b"sys": make_sys_directory()}))
    every_file(kernel, "")
    path = "/sys/vm/swappiness"
    kernel.write_file(path, b"10\n")
    assert kernel.read_file(path) == b"10\n"
    for wrong in (b"ten", b"1 2", b""):
        fd = kernel.open(path, os.O_WRONLY)
        if wrong:
            with fails(errno.EINVAL):
                kernel.write(fd, wrong)
    with fails(errno.EINVAL):
        kernel.write(kernel.open("/sys/kernel/ostype", os.O_WRONLY), b"1")
    kernel.write_file("/sys/kernel/hostname", b"elsewhere\n")
    assert kernel.read_file("/sys/kernel/hostname") == b"elsewhere\n"
    first, second = (kernel.read_file("/sys/kernel/random/uuid") for _ in range(2))
    assert len(first) == 37
    assert first != second
    assert kernel.read_file("/sys/kernel/random/boot_id") == kernel.read_file("/sys/kernel/random/boot_id")
    kernel.become(1000, 1000)
    with fails(errno.EACCES):
        kernel.open(path, os.O_WRONLY)
    kernel.end()


def every_file(kernel: Kernel, path: str) -> None:
    """Everything can be listed, looked at and read."""
    for name, _, kind in kernel.scandir(path or "/"):
        if name in (".", ".."):
            continue
        at = f"{path}/{name}"
        if kind == DT_DIR:
            every_file(kernel, at)
        elif kind == DT_REG:
            text = kernel.read_file(at)
            assert not text or text.endswith(b"\n"), at
        else:
            kernel.stat(at)
