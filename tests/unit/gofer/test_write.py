"""Requests that change a writable tree, as root and unprivileged; and that a read-only tree refuses them all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gofer.client import GoferClient
from gofer.protocol import GoferError
from gofer.tree import Tree
from tests.unit.gofer.harness import gofer

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
XATTR_CREATE = 1


def writable(place: Path) -> Tree:
    return Tree(str(place), writable=True)


def fails(code: int, request: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(GoferError) as error:
        request(*arguments)
    assert error.value.errno == code


def test_create(place: Path, uid: int | None) -> None:
    with gofer(writable(place), uid=uid) as client:
        fd, attr = client.create(0, b"new", os.O_RDWR, 0o4755)
        os.write(fd, b"written")
        os.close(fd)
        assert (place / "new").read_text() == "written"
        assert stat.S_IMODE(os.stat(place / "new").st_mode) == 0o4755
        assert attr.mode == stat.S_IFREG | 0o4755
        assert attr.uid == (uid or 0)
        fails(errno.EEXIST, lambda: client.create(0, b"new", os.O_RDWR, 0o644))
        fails(errno.EEXIST, lambda: client.create(0, b"", os.O_RDWR, 0o644))
        fails(errno.ENOENT, lambda: client.create(0, b"none/new", os.O_RDWR, 0o644))
        fails(errno.EINVAL, lambda: client.create(0, b"x", os.O_RDWR | os.O_TMPFILE, 0o644))
        fails(errno.EINVAL, lambda: client.create(0, b"x", os.O_RDWR, 0o100644))


def test_open_for_writing(place: Path, uid: int | None) -> None:
    (place / "file").write_text("before")
    (place / "file").chmod(0o666)
    with gofer(writable(place), uid=uid) as client:
        fd, _ = client.open(0, b"file", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b" after")
        os.close(fd)
        assert (place / "file").read_text() == "before after"
        fd, attr = client.open(0, b"file", os.O_RDWR | os.O_TRUNC)
        os.close(fd)
        assert attr.size == 0
        fails(errno.EISDIR, lambda: client.open(0, b"", os.O_RDWR))


def test_directories_and_names(place: Path, uid: int | None) -> None:
    with gofer(writable(place), uid=uid) as client:
        assert client.mkdir(0, b"dir", 0o1777).mode == stat.S_IFDIR | 0o1777
        assert client.mkdir(0, b"dir/sub", 0o700).mode == stat.S_IFDIR | 0o700
        assert client.symlink(0, b"dir/link", b"../anywhere").size == 11
        assert os.readlink(place / "dir/link") == "../anywhere"
        fd, _ = client.create(0, b"dir/file", os.O_RDWR, 0o644)
        os.close(fd)
        assert client.link(0, b"dir/file", b"second").nlink == 2
        assert client.link(0, b"dir/link", b"link2").mode & 0o170000 == stat.S_IFLNK
        client.rename(0, b"second", b"dir/third")
        assert sorted(os.listdir(place / "dir")) == ["file", "link", "sub", "third"]
        fails(errno.EEXIST, lambda: client.rename(0, b"dir/file", b"dir/sub", RENAME_NOREPLACE))
        client.rename(0, b"dir/file", b"dir/sub", RENAME_EXCHANGE)
        assert (place / "dir/file").is_dir()
        fails(errno.ENOTEMPTY, lambda: client.rmdir(0, b"dir"))
        fails(errno.EISDIR, lambda: client.unlink(0, b"dir"))
        fails(errno.ENOTDIR, lambda: client.rmdir(0, b"dir/link"))
        client.rmdir(0, b"dir/file")
        for name in (b"dir/sub", b"dir/link", b"dir/third", b"link2"):
            client.unlink(0, name)
        client.rmdir(0, b"dir")
        assert os.listdir(place) == []


def test_the_root_itself_stays(place: Path) -> None:
    with gofer(writable(place)) as client:
        fails(errno.EBUSY, lambda: client.rmdir(0, b""))
        fails(errno.EBUSY, lambda: client.rename(0, b"", b"x"))
        fails(errno.EBUSY, lambda: client.mkdir(0, b"", 0o755))


def test_mknod_makes_placeholders_only(place: Path, uid: int | None) -> None:
    with gofer(writable(place), uid=uid) as client:
        assert client.mknod(0, b"fifo", stat.S_IFIFO | 0o640).mode == stat.S_IFIFO | 0o640
        assert client.mknod(0, b"sock", stat.S_IFSOCK | 0o600).mode == stat.S_IFSOCK | 0o600
        assert client.mknod(0, b"file", stat.S_IFREG | 0o600).mode == stat.S_IFREG | 0o600
        fails(errno.ENXIO, lambda: client.open(0, b"fifo", os.O_RDWR))
        whiteout = client.mknod(0, b"whiteout", stat.S_IFCHR)
        assert (whiteout.mode, whiteout.rdev_major, whiteout.rdev_minor) == (stat.S_IFCHR, 0, 0)
        for kind in (stat.S_IFBLK, stat.S_IFDIR, stat.S_IFLNK, 0):
            fails(errno.EINVAL, client.mknod, 0, b"other", kind | 0o600)


def test_what_is_made_has_its_owner_at_once(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    with gofer(writable(place), id_ranges=([(0, 100000, 1000), (1000, 5, 1)], [(0, 200000, 65536)])) as client:
        fd, attr = client.create(0, b"file", os.O_RDWR, 0o4755, 7, 8)
        os.close(fd)
        assert (attr.uid, attr.gid, attr.mode) == (7, 8, stat.S_IFREG | 0o4755)
        assert (place / "file").stat().st_uid == 100007
        assert (place / "file").stat().st_gid == 200008
        assert client.mkdir(0, b"dir", 0o2770, 1000, 0).mode == stat.S_IFDIR | 0o2770
        assert (place / "dir").stat().st_uid == 5
        for made in (client.mknod(0, b"fifo", stat.S_IFIFO, 1, 2), client.symlink(0, b"link", b"x", 1, 2)):
            assert (made.uid, made.gid) == (1, 2)
        (place / "others").write_text("")
        attr = client.stat(0, b"others")
        assert (attr.uid, attr.gid) == (65534, 65534)
        fails(errno.EINVAL, lambda: client.create(0, b"no", os.O_RDWR, 0o600, 1001, 0))
        fails(errno.EINVAL, client.mkdir, 0, b"no", 0o700, 0, 65536)
        fails(errno.EINVAL, lambda: client.setattr(0, b"file", uid=2000))
        assert not (place / "no").exists()


def test_setattr(place: Path, uid: int | None) -> None:
    with gofer(writable(place), uid=uid) as client:
        os.close(client.create(0, b"file", os.O_RDWR, 0o644)[0])
        attr = client.setattr(0, b"file", mode=0o2710, size=12345, atime_ns=-1, mtime_ns=5 * 10**9 + 7)
        assert (attr.mode & 0o7777, attr.size, attr.atime_ns, attr.mtime_ns) == (0o2710, 12345, -1, 5 * 10**9 + 7)
        attr = client.setattr(0, b"file", is_atime_now=True)
        assert attr.atime_ns > 10**18
        assert attr.mtime_ns == 5 * 10**9 + 7
        if uid is None and os.geteuid() == 0:
            client.setattr(0, b"file", mode=0o4755)
            attr = client.setattr(0, b"file", uid=1000, gid=1001, mode=0o4755)
            assert (attr.uid, attr.gid, attr.mode & 0o7777) == (1000, 1001, 0o4755)
        else:
            fails(errno.EINVAL, lambda: client.setattr(0, b"file", uid=1000))  # no mapping for it
        client.mkdir(0, b"dir", 0o755)
        assert client.setattr(0, b"dir", mode=0o711).mode & 0o7777 == 0o711
        fails(errno.EINVAL, lambda: client.setattr(0, b"dir", size=0))
        fails(errno.EINVAL, lambda: client.setattr(0, b"file", mode=0o10000))
        fails(errno.ENOENT, lambda: client.setattr(0, b"none", mode=0o700))


def test_setattr_of_a_symlink_is_its_own(place: Path) -> None:
    (place / "target").touch(0o600)
    os.utime(place / "target", (1, 1))
    (place / "link").symlink_to("target")
    with gofer(writable(place)) as client:
        attr = client.setattr(0, b"link", mtime_ns=77)
        assert attr.mtime_ns == 77
        fails(errno.EOPNOTSUPP, lambda: client.setattr(0, b"link", mode=0o777))
        fails(errno.EINVAL, lambda: client.setattr(0, b"link", size=1))
    there = os.stat(place / "target")
    assert (there.st_mtime, stat.S_IMODE(there.st_mode)) == (1, 0o600)


def test_extended_attributes(place: Path, uid: int | None) -> None:
    with gofer(writable(place), uid=uid) as client:
        os.close(client.create(0, b"file", os.O_RDWR, 0o644)[0])
        try:
            client.setxattr(0, b"file", b"user.a", b"value\0with NUL")
        except GoferError as error:
            if error.errno == errno.EOPNOTSUPP:
                pytest.skip("the file system keeps none")
            raise
        assert client.getxattr(0, b"file", b"user.a") == b"value\0with NUL"
        assert client.listxattr(0, b"file") == [b"user.a"]
        fails(errno.EEXIST, lambda: client.setxattr(0, b"file", b"user.a", b"", XATTR_CREATE))
        fails(errno.ENODATA, lambda: client.getxattr(0, b"file", b"user.b"))
        client.removexattr(0, b"file", b"user.a")
        assert client.listxattr(0, b"file") == []
        for name in (b"security.capability", b"trusted.overlay.opaque", b"system.posix_acl_access", b"user.a\0b"):
            fails(errno.EOPNOTSUPP, client.setxattr, 0, b"file", name, b"x")
            fails(errno.EOPNOTSUPP, client.removexattr, 0, b"file", name)


def changes(client: GoferClient) -> list[Callable[[], object]]:
    return [
        lambda: client.create(0, b"new", os.O_RDWR, 0o644),
        lambda: client.open(0, b"file", os.O_RDWR),
        lambda: client.mkdir(0, b"new", 0o755),
        lambda: client.mknod(0, b"new", stat.S_IFREG),
        lambda: client.symlink(0, b"new", b"x"),
        lambda: client.link(0, b"file", b"new"),
        lambda: client.rename(0, b"file", b"new"),
        lambda: client.unlink(0, b"file"),
        lambda: client.rmdir(0, b"dir"),
        lambda: client.setattr(0, b"file", mode=0o600),
        lambda: client.setxattr(0, b"file", b"user.a", b"x"),
        lambda: client.removexattr(0, b"file", b"user.a"),
    ]


def test_a_read_only_tree_refuses_every_change(place: Path, uid: int | None) -> None:
    (place / "file").touch()
    (place / "dir").mkdir()
    (place / "own").mkdir(mode=0o777)
    # Next to a writable tree, so that neither filter nor capabilities are what refuses.
    with gofer(Tree(str(place)), writable(place / "own"), uid=uid) as client:
        for request in changes(client):
            fails(errno.EROFS, request)
    assert sorted(os.listdir(place)) == ["dir", "file", "own"]


def test_a_gofer_without_writable_trees_answers_the_same(place: Path) -> None:
    (place / "file").touch()
    with gofer(Tree(str(place))) as client:
        for request in changes(client):
            fails(errno.EROFS, request)


def test_no_descriptor_leaks_over_many_changes(place: Path) -> None:
    with gofer(writable(place)) as client:
        for _ in range(700):
            client.mkdir(0, b"old", 0o755)
            fails(errno.EEXIST, client.mkdir, 0, b"old", 0o755)
            client.rename(0, b"old", b"new")
            client.setattr(0, b"new", mode=0o700)
            fails(errno.EINVAL, lambda: client.setattr(0, b"new", size=0))
            client.rmdir(0, b"new")
