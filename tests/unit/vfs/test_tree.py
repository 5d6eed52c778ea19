"""The tree file system: in memory, and over a host directory that must never change."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysentry.platform.native import lib
from tests.unit.vfs.kernel_in_process import Kernel, overlay_kernel, tmpfs_kernel

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def fails(number: int) -> pytest.RaisesContext[OSError]:  # type: ignore[name-defined]
    return pytest.raises(OSError, match=errno.errorcode[number])


@pytest.fixture
def k() -> Iterator[Kernel]:
    kernel = tmpfs_kernel()
    yield kernel
    kernel.end()


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    """A host directory with a bit of everything."""
    tmp_path.chmod(0o755)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"lower f")
    (tmp_path / "d" / "g").write_bytes(b"lower g")
    (tmp_path / "d" / "sub").mkdir()
    (tmp_path / "d" / "sub" / "deep").write_bytes(b"deep")
    (tmp_path / "link").symlink_to("d/f")
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path


@pytest.fixture
def o(lower: Path) -> Iterator[Kernel]:
    before = {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in sorted(lower.rglob("*"))}
    with overlay_kernel(lower) as (kernel, _):
        yield kernel
    assert {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in sorted(lower.rglob("*"))} == before


def test_create_write_read(k: Kernel) -> None:
    k.write_file("/f", b"hello", 0o640)
    assert k.read_file("/f") == b"hello"
    status = k.stat("/f")
    assert (status.mode, status.size, status.nlink) == (0o100640 & ~0o022, 5, 1)
    assert k.listdir("/") == ["f"]


def test_append_uses_the_end(k: Kernel) -> None:
    k.write_file("/f", b"one")
    first = k.open("/f", os.O_WRONLY | os.O_APPEND)
    second = k.open("/f", os.O_WRONLY | os.O_APPEND)
    k.write(first, b"A")
    k.write(second, b"B")
    k.write(first, b"C")
    assert k.read_file("/f") == b"oneABC"


def test_descriptions_have_their_own_positions(k: Kernel) -> None:
    k.write_file("/f", b"abcdef")
    first, second = k.open("/f", os.O_RDONLY), k.open("/f", os.O_RDONLY)
    assert k.read(first, 3) == b"abc"
    assert k.read(second, 2) == b"ab"
    shared = k.call("dup", first)
    assert k.read(shared, 2) == b"de"
    assert k.read(first, 2) == b"f"


def test_unlinked_file_lives_while_open(k: Kernel) -> None:
    k.write_file("/f", b"data")
    fd = k.open("/f", os.O_RDWR)
    k.unlink("/f")
    assert k.fstat(fd).nlink == 0
    assert k.read(fd, 4) == b"data"
    with fails(errno.ENOENT):
        k.stat("/f")


def test_removed_directory(k: Kernel) -> None:
    k.mkdir("/d")
    k.chdir("/d")
    k.rmdir("/d")
    with fails(errno.ENOENT):
        k.getcwd()
    with fails(errno.ENOENT):
        k.write_file("f", b"")
    with fails(errno.ENOENT):
        k.listdir(".")
    k.chdir("..")
    assert k.getcwd() == "/"


def test_tmpfile_may_be_linked_unless_exclusive(k: Kernel) -> None:
    k.mkdir("/d")
    fd = k.open("/d", os.O_TMPFILE | os.O_RDWR, 0o600)
    assert k.listdir("/d") == []
    k.write(fd, b"x")
    k.call("linkat", fd, b"", -100, "/d/named", 0x1000)
    assert k.read_file("/d/named") == b"x"
    assert k.stat("/d/named").nlink == 1
    exclusive = k.open("/d", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    with fails(errno.ENOENT):
        k.call("linkat", exclusive, b"", -100, "/d/other", 0x1000)


def test_exchange(k: Kernel) -> None:
    k.mkdir("/a")
    k.mkdir("/a/x")
    k.write_file("/b", b"B")
    k.rename("/a/x", "/b", RENAME_EXCHANGE)
    assert k.read_file("/a/x") == b"B"
    assert k.listdir("/b") == []
    assert k.stat("/a").nlink == 2
    assert k.stat("/").nlink == 4


def test_size_limit() -> None:
    kernel = tmpfs_kernel(size_bytes=16384)
    for number in range(4):
        kernel.write_file(f"/{number}", b"x" * 4096)
    with fails(errno.ENOSPC):
        kernel.write_file("/more", b"x")
    kernel.unlink("/0")
    kernel.write_file("/more", b"x")
    kernel.end()


def test_getdents_in_small_pieces_and_seek(k: Kernel) -> None:
    names = [f"name-{number}" for number in range(50)]
    for name in names:
        k.write_file("/" + name, b"")
    listed = k.scandir("/", room=64)
    assert sorted(name for name, _, _ in listed) == sorted([*names, ".", ".."])
    with fails(errno.EINVAL):
        k.scandir("/", room=8)


def test_xattrs(k: Kernel) -> None:
    k.write_file("/f", b"")
    k.call("setxattr", "/f", "user.a", b"value", 5, 0)
    buffer = bytearray(64)
    assert bytes(buffer[: k.call("getxattr", "/f", "user.a", buffer, 64)]) == b"value"
    with fails(errno.EEXIST):
        k.call("setxattr", "/f", "user.a", b"value", 5, 1)
    with fails(errno.ENODATA):
        k.call("setxattr", "/f", "user.b", b"value", 5, 2)
    with fails(errno.ERANGE):
        k.call("getxattr", "/f", "user.a", buffer, 2)
    with fails(errno.EOPNOTSUPP):
        k.call("setxattr", "/f", "system.posix_acl_access", b"value", 5, 0)
    k.call("removexattr", "/f", "user.a")
    assert k.call("listxattr", "/f", buffer, 64) == 0


# ---- over a host directory ----------------------------------------------------------------------------------------


def test_lower_files_are_seen(o: Kernel, lower: Path) -> None:
    assert o.listdir("/d") == ["f", "g", "sub"]
    assert o.read_file("/link") == b"lower f"
    host = (lower / "d" / "f").stat()
    seen = o.stat("/d/f")
    assert (seen.ino, seen.dev, seen.size, seen.mtime_ns) == (host.st_ino, host.st_dev, 7, host.st_mtime_ns)
    with fails(errno.ENOENT):
        o.stat("/d/missing")


def test_copy_up_keeps_the_inode(o: Kernel, lower: Path) -> None:
    reader = o.open("/d/f", os.O_RDONLY)
    assert o.read(reader, 3) == b"low"
    number = o.stat("/d/f").ino
    fd = o.open("/d/f", os.O_RDWR)
    o.write(fd, b"UPPER")
    assert o.stat("/d/f").ino == number
    assert o.read_file("/d/f") == b"UPPER f"
    assert o.read(reader, 10) == b"ER f"  # who was reading sees the write
    assert (lower / "d" / "f").read_bytes() == b"lower f"


def test_truncating_open_copies_nothing(o: Kernel) -> None:
    o.write_file("/file", b"new")
    assert o.read_file("/file") == b"new"
    o.truncate("/d/g", 5)
    assert o.read_file("/d/g") == b"lower"


def test_whiteouts(o: Kernel) -> None:
    o.unlink("/d/f")
    assert o.listdir("/d") == ["g", "sub"]
    with fails(errno.ENOENT):
        o.read_file("/link")
    o.write_file("/d/f", b"again")
    assert o.read_file("/link") == b"again"
    with fails(errno.ENOTEMPTY):
        o.rmdir("/d")
    for name in ("/d/f", "/d/g", "/d/sub/deep"):
        o.unlink(name)
    o.rmdir("/d/sub")
    o.rmdir("/d")
    assert o.listdir("/") == ["file", "link"]
    o.mkdir("/d")
    assert o.listdir("/d") == []  # nothing of the lower directory shines through


def test_moved_lower_directory(o: Kernel) -> None:
    o.rename("/d", "/moved")
    assert o.listdir("/") == ["file", "link", "moved"]
    assert o.read_file("/moved/sub/deep") == b"deep"
    assert o.listdir("/moved") == ["f", "g", "sub"]
    o.mkdir("/new")
    o.rename("/moved/sub", "/new/sub")
    o.write_file("/new/sub/deep", b"DEEP")
    assert o.listdir("/moved") == ["f", "g"]
    o.rename("/moved", "/d")
    assert o.read_file("/link") == b"lower f"
    assert o.read_file("/new/sub/deep") == b"DEEP"


def test_attributes_of_lower_entries(o: Kernel, lower: Path) -> None:
    o.chmod("/file", 0o4711)
    o.chown("/file", 1234, 5678)
    o.utime("/file", (10**9, 2 * 10**9))
    seen = o.stat("/file")
    assert (seen.mode & 0o7777, seen.uid, seen.gid, seen.mtime_ns) == (0o711, 1234, 5678, 2 * 10**9)
    o.call("setxattr", "/file", "user.x", b"1", 1, 0)
    fd = o.open("/file", os.O_RDWR)
    assert o.fstat(fd).mtime_ns == 2 * 10**9
    assert o.fstat(fd).uid == 1234


def test_link_to_a_lower_file(o: Kernel) -> None:
    o.link("/file", "/d/again")
    assert o.stat("/file").nlink == 2
    o.unlink("/file")
    o.rename("/d/again", "/third")
    assert o.read_file("/third") == b"content"
    o.write_file("/third", b"more")
    assert o.stat("/third").nlink == 1


def test_dentries_are_given_back(o: Kernel) -> None:
    before = lib.dentry_count()
    for number in range(20):
        o.write_file(f"/d/{number}", b"")
        o.unlink(f"/d/{number}")
    assert lib.dentry_count() <= before + 25  # whiteouts stay, and what was looked up


def test_what_needs_no_content_need_not_be_readable(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "lock").touch(0o600)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "secret").chmod(0o600)
    uid = 12345 if os.geteuid() == 0 else None
    if uid is None:
        pytest.skip("only root can start a gofer that may not read its own files")
    place = Path("/var/tmp") / f"pysentry-unreadable-{os.getpid()}"
    tmp_path.rename(place)
    try:
        with overlay_kernel(place, uid) as (kernel, _):
            fd = kernel.open("/lock", os.O_RDWR)
            kernel.write(fd, b"mine")
            assert kernel.read_file("/lock") == b"mine"
            with fails(errno.EACCES):
                kernel.open("/secret", os.O_RDWR)
            kernel.write_file("/secret", b"replaced")
            assert kernel.read_file("/secret") == b"replaced"
            assert kernel.stat("/secret").mode & 0o777 == 0o600
    finally:
        place.rename(tmp_path)
    assert (tmp_path / "secret").read_bytes() == b"secret"
