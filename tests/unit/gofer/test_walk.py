"""WALK, OPEN and STATFS on a small tree, as root and unprivileged."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from gofer import protocol
from gofer.client import GoferClient
from gofer.protocol import GoferDied, GoferError, GoferSetupError
from gofer.tree import Tree
from tests.unit.gofer.harness import Gofer, gofer


@pytest.fixture(params=[False, True], ids=["changing", "immutable"])
def immutable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def small_tree(place: Path) -> Path:
    (place / "a/b/c").mkdir(parents=True)
    (place / "a/b/c/file").write_text("content")
    (place / "a/link").symlink_to("b/c")
    (place / "a/dangling").symlink_to("/no/where")
    (place / "a/long").symlink_to("x" * 4000)
    os.mkfifo(place / "a/fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place / "a/sock"))
    return place


def assert_same(attr: protocol.Attr, path: Path) -> None:
    there = os.lstat(path)
    assert (attr.ino, attr.mode, attr.size, attr.nlink) == (there.st_ino, there.st_mode, there.st_size, there.st_nlink)
    assert (attr.mtime_ns, attr.ctime_ns) == (there.st_mtime_ns, there.st_ctime_ns)
    assert os.makedev(attr.dev_major, attr.dev_minor) == there.st_dev
    assert attr.is_valid


def code_of(error: pytest.ExceptionInfo[GoferError]) -> int | None:
    return error.value.errno


def test_walk_answers_every_component(small_tree: Path, uid: int | None, immutable: bool) -> None:
    with gofer(Tree(str(small_tree), immutable=immutable), uid=uid) as client:
        for _ in range(2):  # the second time from the cache
            walk = client.walk(0, b"a/b/c/file")
            assert walk.stop == 0
            assert len(walk.attrs) == 4
            for attr, path in zip(walk.attrs, ("a", "a/b", "a/b/c", "a/b/c/file"), strict=True):
                assert_same(attr, small_tree / path)


def test_walk_from_a_base(small_tree: Path, uid: int | None) -> None:
    with gofer(Tree(str(small_tree)), uid=uid) as client:
        walk = client.walk(0, b"a/b/c/file", 3)
        assert [attr.ino for attr in walk.attrs] == [
            os.stat(small_tree / "a/b/c").st_ino,
            os.stat(small_tree / "a/b/c/file").st_ino,
        ]
        assert_same(client.stat(0, b"a/b"), small_tree / "a/b")
        assert_same(client.stat(0, b""), small_tree)
        assert_same(client.walk(0, b"").attrs[0], small_tree)
        with pytest.raises(GoferError) as error:
            client.walk(0, b"a/b/c", 2)  # not where a component ends
        assert code_of(error) == errno.EINVAL
        with pytest.raises(GoferError) as error:
            client.walk(0, b"a/link/file", 6)
        assert code_of(error) in (errno.ENOTDIR, errno.ELOOP)
        with pytest.raises(GoferError) as error:
            client.walk(0, b"nothing/file", 7)
        assert code_of(error) == errno.ENOENT


@pytest.mark.parametrize(
    ("path", "count", "stop", "target"),
    [
        (b"a/none/x", 1, errno.ENOENT, b""),
        (b"a/none", 1, errno.ENOENT, b""),
        (b"a/link/file", 2, errno.ELOOP, b"b/c"),
        (b"a/link", 2, 0, b"b/c"),
        (b"a/dangling", 2, 0, b"/no/where"),
        (b"a/long/x", 2, errno.ELOOP, b"x" * 4000),
        (b"a/b/c/file/x/y", 4, errno.ENOTDIR, b""),
        (b"a/fifo/x", 2, errno.ENOTDIR, b""),
        (b"a/fifo", 2, 0, b""),
        (b"a/" + b"n" * 256, 1, errno.ENAMETOOLONG, b""),
        (b"a/" + b"n" * 255, 1, errno.ENOENT, b""),
    ],
)
def test_walk_stops(small_tree: Path, immutable: bool, path: bytes, count: int, stop: int, target: bytes) -> None:
    with gofer(Tree(str(small_tree), immutable=immutable)) as client:
        walk = client.walk(0, path)
        assert (len(walk.attrs), walk.stop, walk.target) == (count, stop, target)


def test_walk_of_more_components_than_fit(place: Path) -> None:
    path = b"/".join([b"d"] * 700)
    here = os.open(place, os.O_RDONLY)
    for _ in range(700):
        os.mkdir("d", dir_fd=here)
        here, old = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(old)
    os.close(here)
    with gofer(Tree(str(place))) as client:
        first = client.walk(0, path)
        assert first.stop == errno.E2BIG
        assert len(first.attrs) > 400
        rest = client.walk(0, path, 2 * len(first.attrs) - 1)
        assert rest.stop == 0
        assert len(first.attrs) + len(rest.attrs) == 700


def test_an_immutable_tree_of_more_directories_than_are_cached(place: Path) -> None:
    for i in range(500):
        (place / f"d{i}/e").mkdir(parents=True)
        (place / f"d{i}/e/f").write_text(str(i))
    with gofer(Tree(str(place), immutable=True)) as client:
        for i in [*range(500), *range(0, 500, 7)]:
            assert len(client.walk(0, b"d%d/e/f" % i).attrs) == 3
            fd, _ = client.open(0, b"d%d/e/f" % i, os.O_RDONLY)
            assert os.read(fd, 10) == b"%d" % i
            os.close(fd)


def test_open(small_tree: Path, uid: int | None, immutable: bool) -> None:
    with gofer(Tree(str(small_tree), immutable=immutable), uid=uid) as client:
        fd, attr = client.open(0, b"a/b/c/file", os.O_RDONLY)
        assert os.read(fd, 100) == b"content"
        assert_same(attr, small_tree / "a/b/c/file")
        assert not os.get_inheritable(fd)
        assert not os.get_blocking(fd)
        os.close(fd)
        for path in (b"a/b", b""):
            fd, attr = client.open(0, path, os.O_RDONLY | os.O_DIRECTORY)
            assert stat.S_ISDIR(os.fstat(fd).st_mode)
            assert attr.ino == os.fstat(fd).st_ino
            os.close(fd)


@pytest.mark.parametrize(
    ("path", "flags", "code"),
    [
        (b"a/none", os.O_RDONLY, errno.ENOENT),
        (b"a/link", os.O_RDONLY, errno.ELOOP),
        (b"a/link/file", os.O_RDONLY, errno.ELOOP),
        (b"a/b/c/file/x", os.O_RDONLY, errno.ENOTDIR),
        (b"a/b/c/file", os.O_RDONLY | os.O_DIRECTORY, errno.ENOTDIR),
        (b"a/b/c/file", os.O_WRONLY, errno.EROFS),
        (b"a/b/c/file", os.O_RDONLY | os.O_TRUNC, errno.EROFS),
        (b"a/b/c/file", os.O_RDONLY | os.O_CREAT, errno.EINVAL),
        (b"a/b/c/file", os.O_PATH, errno.EINVAL),
        (b"a/b/c/file", 3, errno.EINVAL),
        (b"a/fifo", os.O_RDONLY, errno.ENXIO),
        (b"a/sock", os.O_RDONLY, errno.ENXIO),
    ],
)
def test_open_refuses(small_tree: Path, immutable: bool, path: bytes, flags: int, code: int) -> None:
    with gofer(Tree(str(small_tree), immutable=immutable)) as client:
        with pytest.raises(GoferError) as error:
            client.open(0, path, flags)
        if path == b"a/link/file":
            assert code_of(error) in (code, errno.ENOTDIR)
        else:
            assert code_of(error) == code


def test_a_tree_can_be_one_file(small_tree: Path, uid: int | None) -> None:
    (small_tree / "a/b/c/file").chmod(0o644)
    process = Gofer([Tree(str(small_tree / "a/b/c/file")), Tree(str(small_tree / "a"))], uid)
    try:
        client = process.client
        owner = 0 if uid is None and os.geteuid() == 0 else protocol.TREE_ONE_OWNER
        assert process.tree_flags == [protocol.TREE_FILE | owner, owner]
        assert_same(client.stat(0, b""), small_tree / "a/b/c/file")
        fd, _ = client.open(0, b"", os.O_RDONLY)
        assert os.read(fd, 100) == b"content"
        os.close(fd)
        for request in (lambda: client.walk(0, b"x"), lambda: client.readdir(0, b""), lambda: client.open(0, b"x", 0)):
            with pytest.raises(GoferError) as error:
                request()
            assert code_of(error) == errno.ENOTDIR
    finally:
        assert process.stop() == 0


def test_statfs(small_tree: Path, uid: int | None) -> None:
    with gofer(Tree(str(small_tree)), uid=uid) as client:
        there = os.statvfs(small_tree)
        here = client.statfs(0, b"a/b")
        assert (here.block_size, here.blocks, here.files) == (there.f_bsize, there.f_blocks, there.f_files)
        assert here.type != 0


def test_ids_of_unmapped_users_read_as_root(small_tree: Path, uid: int | None) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    (small_tree / "mine").touch()
    (small_tree / "roots").touch()
    if uid is not None:
        os.chown(small_tree / "mine", uid, uid)
        os.chown(small_tree / "roots", 0, 0)
    with gofer(Tree(str(small_tree)), uid=uid) as client:
        mine, roots = client.stat(0, b"mine"), client.stat(0, b"roots")
        assert (mine.uid, mine.gid) == (uid or 0, uid or 0)
        assert (roots.uid, roots.gid) == (0, 0)


def test_permissions_are_those_of_whoever_started_it(small_tree: Path, uid: int | None) -> None:
    (small_tree / "secret").write_text("x")
    (small_tree / "secret").chmod(0)
    with gofer(Tree(str(small_tree)), uid=uid) as client:
        if uid is None and os.geteuid() == 0:
            os.close(client.open(0, b"secret", os.O_RDONLY)[0])
        else:
            with pytest.raises(GoferError) as error:
                client.open(0, b"secret", os.O_RDONLY)
            assert code_of(error) == errno.EACCES


@pytest.mark.parametrize(
    ("trees", "step"),
    [
        ([Tree("/no/such/path")], "clone /no/such/path"),
        ([Tree("/"), Tree("/dev/null")], "attach /dev/null"),
    ],
)
def test_set_up_that_fails_says_where(trees: list[Tree], step: str, uid: int | None) -> None:
    with pytest.raises(GoferSetupError) as error:
        Gofer(trees, uid)
    assert error.value.step == step
    assert error.value.errno in (errno.ENOENT, errno.EINVAL)


def test_a_gofer_that_died_is_told_apart(place: Path) -> None:
    process = Gofer([Tree(str(place))])
    process.kill()
    for _ in range(2):
        with pytest.raises(GoferDied):
            process.client.stat(0, b"")
    assert process.transport.c.dead
    assert process.stop() == -9


def test_hello_through_the_client(place: Path) -> None:
    client: GoferClient
    with gofer(Tree(str(place), writable=True), Tree("/", immutable=True)) as client:
        assert client.hello() == [protocol.TREE_WRITABLE, protocol.TREE_IMMUTABLE]


def test_a_terminal(place: Path, uid: int | None) -> None:
    opened: list[int] = []
    with gofer(Tree(str(place)), uid=uid) as client:
        for expected in (0, 1):
            master, slave, index = client.open_pty()
            assert index == expected
            assert os.isatty(slave)
            os.write(slave, b"out\n")
            assert os.read(master, 100) == b"out\r\n"
            opened += [master, slave]
    for fd in opened:
        os.close(fd)


def test_open_many_gives_regular_files_only(small_tree: Path, uid: int | None) -> None:
    names = [f"file{number}" for number in range(14)]
    for name in names:
        (small_tree / "a" / name).write_text(name)
    with gofer(Tree(str(small_tree), immutable=True), uid=uid) as client:
        wanted = [name.encode() for name in names]
        fds = client.open_many(0, b"a", [*wanted, b"fifo", b"b"])
        assert fds[14:] == [-errno.ENXIO, -errno.EISDIR]
        for name, fd in zip(wanted, fds[:14], strict=True):
            assert os.read(fd, 100) == name
            os.close(fd)
        assert client.open_many(0, b"a", [b"none", b"link", b"sock"]) == [-errno.ENOENT, -errno.ELOOP, -errno.ENXIO]
        for bad in (b"b/c", b"..", b"", b"."):
            assert client.open_many(0, b"a", [bad]) == [-errno.EINVAL]
        with pytest.raises(GoferError) as error:
            client.open_many(0, b"a", [b"x"] * 17)
        assert code_of(error) == errno.EPROTO
        with pytest.raises(GoferError) as error:
            client.open_many(0, b"none", [b"x"])
        assert code_of(error) == errno.ENOENT


def test_open_many_in_a_tree_that_changes(small_tree: Path) -> None:
    os.mkfifo(small_tree / "a" / "own-fifo")
    with gofer(Tree(str(small_tree), writable=True)) as client:
        fds = client.open_many(0, b"a/b/c", [b"file", b"missing"])
        assert os.read(fds[0], 100) == b"content"
        os.close(fds[0])
        assert fds[1] == -errno.ENOENT
        assert client.open_many(0, b"a", [b"own-fifo", b"b"]) == [-errno.ENXIO, -errno.EISDIR]


def test_a_walk_that_opens(small_tree: Path, uid: int | None) -> None:
    """One descriptor for a regular file at the end of the path, none for anything else."""
    with gofer(Tree(str(small_tree), immutable=True), uid=uid) as client:

        def walk(path: bytes) -> tuple[int, list[int]]:
            request = protocol.WALK_REQUEST.pack(0, len(path), 0, protocol.WALK_OPEN) + path
            reply, fds = client.transport.call(protocol.WALK, request)
            return protocol.WALK_REPLY.unpack_from(reply)[0], fds

        count, (fd,) = walk(b"a/b/c/file")
        assert count == 4
        assert os.read(fd, 100) == (small_tree / "a/b/c/file").read_bytes()
        os.close(fd)
        for path, expected in ((b"a/b/c", 3), (b"a/link", 2), (b"a/b/none", 2), (b"a/b/c/file/more", 4)):
            assert walk(path) == (expected, []), path
    with gofer(Tree(str(small_tree)), uid=uid) as client, pytest.raises(GoferError) as refused:
        client.transport.call(protocol.WALK, protocol.WALK_REQUEST.pack(0, 1, 0, protocol.WALK_OPEN) + b"a")
    assert refused.value.errno == errno.EINVAL
