"""The same random operations on a real directory and in the sandbox: every result and the final tree must be equal.

The host runs them as root of a directory of its own; the sandbox with the same ids in memory, over a copy served by a
gofer, and on a bind.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat as host_stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.vfs.kernel_in_process import Kernel, bind_kernel, overlay_kernel, tmpfs_kernel

NAMES = ["a", "b", "c", "d", "e", "s"]
ONE = st.sampled_from(NAMES)
# Mostly names that may be there or not; long and odd ones now and then.
PATHS = st.one_of(
    ONE,
    ONE,
    ONE,
    st.builds("/".join, st.tuples(ONE, ONE)),
    st.builds("/".join, st.tuples(ONE, ONE)),
    st.builds("/".join, st.tuples(ONE, ONE, ONE)),
    st.builds("/".join, st.tuples(ONE, st.sampled_from([*NAMES, ".", ".."]), st.sampled_from([*NAMES, "..", ""]))),
    st.sampled_from(["a/", "b/", "s/", "e/", ".", "..", "a/.", "b/..", "c//a", "s/./b", ""]),
    st.sampled_from(["x" * 256, "a/" + "y" * 256]),
)
MODES = st.sampled_from([0o777, 0o755, 0o644, 0o700, 0o600])
OPEN_FLAGS = st.sampled_from([
    os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_DIRECTORY,
    os.O_RDONLY | os.O_NOFOLLOW, os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_CREAT, os.O_PATH,
    os.O_PATH | os.O_NOFOLLOW, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, os.O_RDONLY | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_APPEND,
])  # fmt: skip
OPERATION = st.one_of(
    st.tuples(st.just("mkdir"), PATHS, MODES),
    st.tuples(st.just("mkdir"), PATHS, MODES),
    st.tuples(st.just("open"), PATHS, OPEN_FLAGS, MODES),
    st.tuples(st.just("open"), PATHS, OPEN_FLAGS, MODES),
    st.tuples(st.just("rename"), PATHS, PATHS, st.sampled_from([0, 0, 0, 1, 2])),
    st.tuples(st.just("rmdir"), PATHS),
    st.tuples(st.just("unlink"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS, st.sampled_from([0, 0, 0, 1, 2])),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.just("symlink"), st.sampled_from(["a", "b/c", "../a", "s", "missing", ".", "a/", "c/s"]), PATHS),
    st.tuples(st.just("open"), PATHS, OPEN_FLAGS, MODES),
    st.tuples(st.just("stat"), PATHS),
    st.tuples(st.just("lstat"), PATHS),
    st.tuples(st.just("readlink"), PATHS),
    st.tuples(st.just("chmod"), PATHS, MODES),
    st.tuples(st.just("truncate"), PATHS, st.integers(0, 20)),
    st.tuples(st.just("access"), PATHS, st.integers(0, 7)),
    st.tuples(st.just("listdir"), PATHS),
    st.tuples(st.just("chdir"), PATHS),
    st.tuples(st.just("utime"), PATHS, st.just((10**9, 2 * 10**9))),
)


OPERATIONS = st.lists(OPERATION, min_size=12, max_size=40)


class Host:
    """The oracle: the host kernel itself, in a directory that serves as root by name only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.libc = __import__("ctypes").CDLL(None, use_errno=True)

    def rename(self, old: str, new: str, flags: int) -> None:
        if self.libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
            number = __import__("ctypes").get_errno()
            raise OSError(number, os.strerror(number))

    def link(self, old: str, new: str) -> None:
        os.link(old, new, follow_symlinks=False)

    def access(self, path: str, mode: int) -> None:
        if self.libc.access(os.fsencode(path), mode):
            number = __import__("ctypes").get_errno()
            raise OSError(number, os.strerror(number))

    def utime(self, path: str, ns: tuple[int, int]) -> None:
        os.utime(path, ns=ns)

    def listdir(self, path: str) -> list[str]:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(os, name)
        return found


def outcome(system: Any, operation: tuple[Any, ...]) -> object:
    """What an operation answers, as far as both sides can agree on it."""
    name, *args = operation
    try:
        if name == "open":
            fd = system.open(args[0], args[1], args[2])
            try:
                if args[1] & os.O_ACCMODE != os.O_RDONLY and not args[1] & os.O_PATH:
                    system.write(fd, b"data")
                return "opened"
            finally:
                system.close(fd)
        result = getattr(system, name)(*args)
        if name in ("stat", "lstat"):
            return _shown(result)
        return result
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def _shown(status: Any) -> tuple[object, ...]:
    prefix = "" if hasattr(status, "mode") else "st_"
    mode, nlink, uid, gid, size = (getattr(status, prefix + name) for name in ("mode", "nlink", "uid", "gid", "size"))
    return mode, nlink, uid, gid, None if host_stat.S_ISDIR(mode) else size


def tree_of(system: Any, top: str) -> list[tuple[object, ...]]:
    """Everything below a directory, by name."""
    found = []
    pending = [top]
    while pending:
        directory = pending.pop()
        for name in system.listdir(directory):
            path = f"{directory}/{name}"
            status = system.lstat(path)
            shown = _shown(status)
            mode = shown[0]
            assert isinstance(mode, int)
            content: object = None
            if host_stat.S_ISDIR(mode):
                pending.append(path)
            elif host_stat.S_ISLNK(mode):
                content = system.readlink(path)
            else:
                fd = system.open(path, os.O_RDONLY)
                content = system.read(fd, 1000)
                system.close(fd)
            found.append((path.removeprefix(top), *shown, content))
    return sorted(found, key=lambda row: str(row[0]))


def populate(place: Path, has_hard_link: bool = True) -> None:
    (place / "a").mkdir(mode=0o755)
    (place / "a" / "b").write_bytes(b"in a")
    (place / "a" / "c").mkdir()
    (place / "a" / "c" / "a").write_bytes(b"deep")
    (place / "b").write_bytes(b"file b")
    if has_hard_link:
        os.link(place / "b", place / "a" / "s")
    (place / "c").symlink_to("a/c")
    (place / "s").symlink_to("b")


def compare(operations: list[tuple[Any, ...]], place: Path, kernel: Kernel, kernel_top: str) -> None:
    """`place` and `kernel_top` hold the same; both sides start in there."""
    host = Host(place)
    before, umask = os.getcwd(), os.umask(0o022)
    os.chdir(place)
    kernel.chdir(kernel_top)
    try:
        for number, operation in enumerate(operations):
            if operation[0] == "chdir" and _leaves(place, operation[1]):
                continue
            expected = outcome(host, operation)
            assert outcome(kernel, operation) == expected, (number, operation, operations)
        os.chdir("/")
        kernel.chdir("/")
        assert tree_of(kernel, kernel_top) == tree_of(host, str(place))
    finally:
        os.chdir(before)
        os.umask(umask)


def _leaves(place: Path, path: str) -> bool:
    """True if the oracle would leave its directory."""
    try:
        return not os.path.realpath(path, strict=True).startswith(str(place) + "/work")
    except OSError:
        return False


SETTINGS = settings(
    max_examples=int(os.environ.get("PYSENTRY_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the oracle runs with the ids that the sandbox shows")


def fresh_place(parent: Path) -> Path:
    """A directory that even ".." of ".." does not leave: work/work below it is where the operations start."""
    place = Path(tempfile.mkdtemp(dir=parent))
    (place / "work" / "work").mkdir(parents=True)
    return place


# ---- as somebody who is not root: the rules of modes, owners, groups and sticky directories ----

USER, GROUP, OTHER_GROUP, STRANGER = 12345, 12346, 12347, 54321
ALL_MODES = st.integers(0, 0o7777)
UNPRIVILEGED = st.one_of(
    OPERATION,
    st.tuples(st.just("chmod"), PATHS, ALL_MODES),
    st.tuples(st.just("chown"), PATHS, st.sampled_from([-1, USER, STRANGER, 0]),
              st.sampled_from([-1, GROUP, OTHER_GROUP, STRANGER, 0])),
    st.tuples(st.just("truncate"), PATHS, st.integers(0, 20)),
)  # fmt: skip
SCENE = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "a/b", "a/c", "a/c/a", "d", "d/e"]), st.sampled_from([USER, STRANGER, 0]),
              st.sampled_from([GROUP, OTHER_GROUP, STRANGER]), ALL_MODES),
    max_size=8,
)  # fmt: skip


def set_scene(system: Any, top: str, scene: list[tuple[str, int, int, int]]) -> None:
    """As root: some files, then their owners and modes."""
    for path in ("a", "a/c", "d"):
        system.mkdir(f"{top}/{path}", 0o755)
    for path in ("b", "a/b", "a/c/a", "d/e"):
        system.close(system.open(f"{top}/{path}", os.O_WRONLY | os.O_CREAT, 0o644))
    system.symlink("a/c", f"{top}/c")
    system.symlink("d/e", f"{top}/s")
    for path, uid, gid, mode in scene:
        system.chown(f"{top}/{path}", uid, gid)
        system.chmod(f"{top}/{path}", mode)


@contextmanager
def other_ids() -> Iterator[None]:
    """The oracle runs as the user; the sandbox's host files belong to whoever runs the tests."""
    groups = os.getgroups()
    os.setgroups([OTHER_GROUP])
    os.setresgid(GROUP, GROUP, 0)
    os.setresuid(USER, USER, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@needs_root
@SETTINGS
@given(scene=SCENE, operations=st.lists(UNPRIVILEGED, min_size=6, max_size=25))
def test_permissions_are_like_linux(scene: list[tuple[str, int, int, int]], operations: list[tuple[Any, ...]]) -> None:
    if Path("/proc/sys/fs/protected_hardlinks").read_text() != "1\n":
        pytest.skip("the oracle has fs.protected_hardlinks off")
    place = fresh_place(Path("/var/tmp"))
    place.chmod(0o755)
    top = place / "work" / "work"
    kernel = tmpfs_kernel()
    host = Host(top)
    umask = os.umask(0o022)
    kernel.mkdir("/work", 0o755)
    kernel.mkdir("/work/work", 0o755)
    try:
        set_scene(host, str(top), scene)
        set_scene(kernel, "/work/work", scene)
        os.chdir(top)
        kernel.chdir("/work/work")
        kernel.become(USER, GROUP, (OTHER_GROUP,))
        for number, operation in enumerate(operations):
            if operation[0] == "chdir":
                continue
            with other_ids():
                expected = outcome(host, operation)
            assert outcome(kernel, operation) == expected, (number, operation, scene, operations)
    finally:
        kernel.become(0, 0)
        os.chdir("/")
        os.umask(umask)
        found = tree_of(host, str(top))
        shutil.rmtree(place)
        kernel.chdir("/")
        seen = tree_of(kernel, "/work/work")
        kernel.end()
    assert seen == found


# ---- as root ----


@needs_root
@SETTINGS
@given(operations=OPERATIONS)
def test_tmpfs_is_like_linux(tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[Any, ...]]) -> None:
    place = fresh_place(tmp_path_factory.getbasetemp())
    kernel = tmpfs_kernel()
    kernel.mkdir("/work", 0o755)
    kernel.mkdir("/work/work", 0o755)
    try:
        compare(operations, place / "work" / "work", kernel, "/work/work")
    finally:
        kernel.end()
        shutil.rmtree(place)


@needs_root
@SETTINGS
@given(operations=OPERATIONS)
def test_overlay_is_like_linux(tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[Any, ...]]) -> None:
    place, lower = fresh_place(tmp_path_factory.getbasetemp()), fresh_place(tmp_path_factory.getbasetemp())
    # As in Linux's overlayfs without an index, two names of one lower file are two files once one is changed.
    populate(place / "work" / "work", has_hard_link=False)
    populate(lower / "work" / "work", has_hard_link=False)
    unchanged = tree_of(Host(lower), str(lower))
    try:
        with overlay_kernel(lower) as (kernel, _):
            compare(operations, place / "work" / "work", kernel, "/work/work")
        assert tree_of(Host(lower), str(lower)) == unchanged
    finally:
        shutil.rmtree(place)
        shutil.rmtree(lower)


@needs_root
@SETTINGS
@given(operations=OPERATIONS, belief=st.sampled_from(["none", "cached", "lease"]))
@example(operations=[("mkdir", "d", 0o777), ("rename", "d", "a/a", 0)], belief="cached")  # a link of `a`, its time
def test_bind_is_like_linux(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[Any, ...]], belief: str
) -> None:
    place, bound = fresh_place(tmp_path_factory.getbasetemp()), fresh_place(tmp_path_factory.getbasetemp())
    populate(place / "work" / "work")
    populate(bound / "work" / "work")
    try:
        with bind_kernel(bound, is_cached=belief == "cached") as kernel:
            if belief == "lease":
                kernel.task.fs.root.sb.lease_ns = 1 << 50
            compare(operations, place / "work" / "work", kernel, "/work/work")
        assert tree_of(Host(bound), str(bound / "work" / "work")) == tree_of(Host(place), str(place / "work" / "work"))
    finally:
        shutil.rmtree(place)
        shutil.rmtree(bound)
