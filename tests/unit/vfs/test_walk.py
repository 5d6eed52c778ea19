"""The path walk: symlinks, dots, mounts, limits, openat2's RESOLVE_* and where O_PATH descriptors lead."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from struct import Struct

import pytest

from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystems.tree import make_tree
from pysentry.vfs.walk import resolve
from tests.unit.vfs.kernel_in_process import Kernel, tmpfs_kernel

AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
O_PATH, O_NOFOLLOW = os.O_PATH, os.O_NOFOLLOW
NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT, CACHED = 1, 2, 4, 8, 16, 32
OPEN_HOW = Struct("<QQQ")


def fails(number: int) -> pytest.RaisesContext[OSError]:  # type: ignore[name-defined]
    return pytest.raises(OSError, match=errno.errorcode[number])


@pytest.fixture
def k() -> Iterator[Kernel]:
    """/d/sub/f, /f, links: /l -> d/sub, /abs -> /d/f2, /up -> .., /d/out -> ../f; a tmpfs on /m with /m/in."""
    kernel = tmpfs_kernel()
    for path in ("/d", "/d/sub", "/m"):
        kernel.mkdir(path)
    for path in ("/f", "/d/sub/f", "/d/f2"):
        kernel.write_file(path, path.encode())
    kernel.symlink("d/sub", "/l")
    kernel.symlink("/d/f2", "/abs")
    kernel.symlink("..", "/up")
    kernel.symlink("../f", "/d/out")
    kernel.symlink("loop2", "/loop")
    kernel.symlink("loop", "/loop2")
    kernel.symlink("nowhere", "/dangling")
    mounted = make_tree(0, os.makedev(0, 97))
    lib.mount_attach(resolve(kernel.task, AT_FDCWD, b"/m").require(), mounted.sb)
    kernel.write_file("/m/in", b"mounted")
    yield kernel
    kernel.end()


def openat2(k: Kernel, path: str, resolve_flags: int, flags: int = os.O_RDONLY, dir_fd: int = AT_FDCWD) -> int:
    how = bytearray(OPEN_HOW.pack(flags, 0, resolve_flags))
    return k.call("openat2", dir_fd, path, how, len(how))


def test_symlinks(k: Kernel) -> None:
    assert k.read_file("/l/f") == b"/d/sub/f"
    assert k.read_file("/abs") == b"/d/f2"
    assert k.read_file("/d/out") == b"/f"
    assert k.lstat("/l").mode & 0o170000 == 0o120000
    assert k.lstat("/l/").mode & 0o170000 == 0o040000  # a trailing slash follows
    with fails(errno.ELOOP):
        k.stat("/loop")
    with fails(errno.ENOENT):
        k.stat("/dangling")
    with fails(errno.ENOTDIR):
        k.stat("/abs/")


def test_forty_symlinks_and_no_more(k: Kernel) -> None:
    k.symlink("f", "/link0")
    for number in range(1, 41):
        k.symlink(f"link{number - 1}", f"/link{number}")
    assert k.read_file("/link39") == b"/f"
    with fails(errno.ELOOP):
        k.stat("/link40")


def test_dots(k: Kernel) -> None:
    assert k.read_file("/d/../f") == b"/f"
    assert k.read_file("/../../f") == b"/f"
    assert k.read_file("/l/../f2") == b"/d/f2"  # ".." of where the link leads
    k.chdir("/d/sub")
    assert k.read_file("../../up/../f") == b"/f"
    with fails(errno.ENOTDIR):
        k.stat("/f/..")
    with fails(errno.ENOTDIR):
        k.stat("/f/.")


def test_mounts_are_crossed_both_ways(k: Kernel) -> None:
    assert k.read_file("/m/in") == b"mounted"
    assert k.read_file("/m/../f") == b"/f"
    k.chdir("/m")
    assert k.getcwd() == "/m"
    assert k.read_file("../f") == b"/f"
    with fails(errno.EXDEV):
        k.rename("/f", "/m/f")
    with fails(errno.EXDEV):
        k.link("/f", "/m/f")
    with fails(errno.EBUSY):
        k.rmdir("/m")
    with fails(errno.EBUSY):
        k.rename("/m", "/elsewhere")


def test_limits(k: Kernel) -> None:
    with fails(errno.ENAMETOOLONG):
        k.stat("/" + "x" * 256)
    with fails(errno.ENOENT):
        k.stat("/" + "x" * 255)
    with fails(errno.ENAMETOOLONG):
        k.stat("/d/" + "./" * 2048)
    assert k.stat("/d/" + "./" * 2040).mode & 0o170000 == 0o040000
    with fails(errno.ENOENT):
        k.stat("")


def test_starting_points(k: Kernel) -> None:
    directory, file = k.open("/d", os.O_RDONLY), k.open("/f", os.O_RDONLY)
    assert k.read(k.open("sub/f", os.O_RDONLY, dir_fd=directory), 10) == b"/d/sub/f"
    assert k.read(k.open("/f", os.O_RDONLY, dir_fd=99), 10) == b"/f"  # an absolute path does not look at it
    with fails(errno.EBADF):
        k.open("f", os.O_RDONLY, dir_fd=99)
    with fails(errno.ENOTDIR):
        k.open("f", os.O_RDONLY, dir_fd=file)
    place = k.open("/d", O_PATH)
    assert k.read(k.open("f2", os.O_RDONLY, dir_fd=place), 10) == b"/d/f2"
    with fails(errno.EBADF):
        k.call("getdents64", place, bytearray(100), 100)
    link = k.open("/l", O_PATH | O_NOFOLLOW)
    buffer = bytearray(20)
    assert bytes(buffer[: k.call("readlinkat", link, b"", buffer, 20)]) == b"d/sub"


def test_search_permission(k: Kernel) -> None:
    k.chmod("/d", 0o700)
    k.chmod("/d/sub", 0o777)
    k.become(1000, 1000)
    with fails(errno.EACCES):
        k.stat("/d/sub")
    with fails(errno.EACCES):
        k.stat("/l/f")
    assert k.stat("/d").mode & 0o777 == 0o700
    k.become(0, 0)
    k.chdir("/d/sub")
    k.become(1000, 1000)
    assert k.read_file("f") == b"/d/sub/f"  # being there needs nothing of what is above
    with fails(errno.EACCES):
        k.stat("../f2")


def test_chroot_cannot_be_left(k: Kernel) -> None:
    k.call("chroot", "/d")
    k.chdir("/")
    assert k.getcwd() == "/"
    assert k.read_file("/../f2") == b"/d/f2"
    assert k.listdir("..") == ["f2", "out", "sub"]
    with fails(errno.ENOENT):
        k.stat("/out")  # ../f of the new root
    k.become(1000, 1000)
    with fails(errno.EPERM):
        k.call("chroot", "/sub")


@pytest.mark.parametrize(
    ("path", "flags", "number"),
    [
        ("l/f", NO_SYMLINKS, errno.ELOOP),
        ("d/sub/f", NO_SYMLINKS, 0),
        ("m/in", NO_XDEV, errno.EXDEV),
        ("d/../f", NO_XDEV, 0),
        ("/f", BENEATH, errno.EXDEV),
        ("abs", BENEATH, errno.EXDEV),
        ("../f", BENEATH, errno.EXDEV),
        ("d/../f", BENEATH, 0),
        ("d/out", BENEATH, 0),
        ("l/f", BENEATH | NO_MAGICLINKS, 0),
        ("/f", IN_ROOT, 0),
        ("../../f", IN_ROOT, 0),
        ("f", CACHED, errno.EAGAIN),
        ("f", BENEATH | IN_ROOT, errno.EINVAL),
        ("f", 64, errno.EINVAL),
    ],
)
def test_openat2_resolve(k: Kernel, path: str, flags: int, number: int) -> None:
    if number:
        with fails(number):
            openat2(k, path, flags)
    else:
        k.close(openat2(k, path, flags))


def test_openat2_in_root_of_a_descriptor(k: Kernel) -> None:
    directory = k.open("/d", O_PATH)
    assert k.read(openat2(k, "/sub/../../../f2", IN_ROOT, dir_fd=directory), 10) == b"/d/f2"
    with fails(errno.ENOENT):
        openat2(k, "out", IN_ROOT, dir_fd=directory)  # ../f, where .. is the root itself
    with fails(errno.EXDEV):
        openat2(k, "out", BENEATH, dir_fd=directory)


def test_openat2_how(k: Kernel) -> None:
    with fails(errno.EINVAL):
        k.call("openat2", AT_FDCWD, "f", bytearray(24), 16)
    with fails(errno.E2BIG):
        k.call("openat2", AT_FDCWD, "f", bytearray(b"\0" * 24 + b"\1" + b"\0" * 7), 32)
    k.close(k.call("openat2", AT_FDCWD, "f", bytearray(32), 32))
    with fails(errno.EINVAL):
        k.call("openat2", AT_FDCWD, "f", bytearray(OPEN_HOW.pack(os.O_RDONLY, 0o644, 0)), 24)
    with fails(errno.EINVAL):
        k.call("openat2", AT_FDCWD, "f", bytearray(OPEN_HOW.pack(1 << 40, 0, 0)), 24)
    with fails(errno.EINVAL):
        k.call("openat2", AT_FDCWD, "f", bytearray(OPEN_HOW.pack(O_PATH | os.O_RDWR, 0, 0)), 24)


def test_descriptor_numbers_are_given_back(k: Kernel) -> None:
    for path, flags in (("/missing", 0), ("/d", os.O_WRONLY), ("/loop", 0)):
        with pytest.raises(OSError):
            k.open(path, flags)
    assert k.task.fd_table.open_fds() == []
    assert k.open("/f", os.O_RDONLY) == 0
    k.task.group.c.rlimit_cur[7] = 1
    with fails(errno.EMFILE):
        k.open("/new", os.O_WRONLY | os.O_CREAT)
    k.task.group.c.rlimit_cur[7] = 100
    assert "new" not in k.listdir("/")


def test_a_dentry_without_a_place(k: Kernel) -> None:
    fd = k.open("/f", os.O_RDONLY)
    k.unlink("/f")
    buffer = ffi.new("char[]", 100)
    description = k.task.fd_table.get(fd)
    assert lib.dentry_path(k.task.fs.root, description.dentry, buffer, 100) > 0
    assert k.fstat(fd).nlink == 0
    with fails(errno.ENOENT):
        k.call("linkat", fd, b"", AT_FDCWD, "/again", AT_EMPTY_PATH)
