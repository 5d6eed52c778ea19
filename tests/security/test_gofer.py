"""A sentry that turned hostile, against the gofer: names that lead out, and what a gofer has left to give away if those
failed to hold. Messages that are none: test_gofer_messages.py."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gofer import protocol
from gofer._native import lib
from gofer.protocol import GoferError
from gofer.tree import Tree
from tests.security.gofer_requests import requests_with
from tests.unit.gofer.harness import MORTAL, Gofer, gofer, open_directory

SECRET = "what no sentry may read"
is_root = os.geteuid() == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A served tree, and next to it a secret that a path might lead to."""
    with open_directory() as path:
        (path / "secret").write_text(SECRET)
        (path / "tree/dir/sub").mkdir(parents=True)
        (path / "tree/dir/sub/file").write_text("public")
        (path / "tree/out").symlink_to(path)
        (path / "tree/up").symlink_to("..")
        (path / "tree/root").symlink_to("/")
        os.mkfifo(path / "tree/fifo")
        yield path


# --- names ---

NAMES_THAT_LEAD_OUT = [
    b"..", b"../secret", b"dir/../../secret", b"dir/..", b"/", b"/etc/passwd", b"//etc/passwd", b"dir//sub", b"dir/",
    b".", b"./dir", b"dir/./sub", b"dir\0", b"\0", b"dir/\0../../secret", b"dir/sub/../../../secret",
]  # fmt: skip


def tree_state(path: Path) -> list[tuple[str, int, int]]:
    found = [path, *sorted(path.rglob("*"))]
    return [(str(name), os.lstat(name).st_mode, os.lstat(name).st_nlink) for name in found]


@pytest.mark.parametrize("writable", [False, True], ids=["read-only", "writable"])
def test_names_that_lead_out_are_invalid_everywhere(place: Path, writable: bool) -> None:
    before = tree_state(place)
    with gofer(Tree(str(place / "tree"), writable=writable)) as client:
        for path in NAMES_THAT_LEAD_OUT:
            for op, payload in requests_with(path):
                with pytest.raises(GoferError) as error:
                    client.transport.call(op, payload)
                # A read-only tree may say so first.
                assert error.value.errno in (errno.EINVAL, errno.EROFS), (op, path)
    assert tree_state(place) == before


@pytest.mark.parametrize("immutable", [False, True])
@pytest.mark.parametrize("link", [b"out", b"up", b"root"])
def test_symlinks_are_never_followed(place: Path, link: bytes, immutable: bool) -> None:
    before = tree_state(place)
    with gofer(Tree(str(place / "tree"), immutable=immutable, writable=not immutable)) as client:
        for rest in (b"/secret", b"/etc/passwd", b"/new", b"/tree/dir"):
            for op, payload in requests_with(link + rest):
                if op == protocol.WALK and payload.startswith(protocol.WALK_REQUEST.pack(0, len(link + rest), 0, 0)):
                    walk = client.walk(0, link + rest)
                    assert (walk.stop, len(walk.attrs)) == (errno.ELOOP, 1)
                    continue
                with pytest.raises(GoferError) as error:
                    client.transport.call(op, payload)
                allowed = {errno.ELOOP, errno.ENOTDIR, errno.EROFS}
                assert error.value.errno in allowed, (op, link + rest)
    assert tree_state(place) == before


def test_a_symlink_itself_is_never_opened(place: Path) -> None:
    with gofer(Tree(str(place / "tree"))) as client:
        for link in (b"out", b"up", b"root"):
            with pytest.raises(GoferError) as error:
                client.open(0, link, os.O_RDONLY)
            assert error.value.errno == errno.ELOOP


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[None]:
    """Does something again and again in another thread."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def swapping(one: Path, other: Path) -> AbstractContextManager[None]:
    """Exchanges two names as fast as it can."""
    names = os.fsencode(one), os.fsencode(other)
    return meanwhile(lambda: lib.gofer_renameat2(-100, names[0], -100, names[1], 2))


def test_a_directory_swapped_with_a_symlink(place: Path) -> None:
    """Whatever the moment: what is opened lies in the tree, and attributes belong to it."""
    (place / "elsewhere").mkdir()
    (place / "elsewhere/file").write_text(SECRET)
    (place / "tree/swap").symlink_to(place / "elsewhere")
    secret = os.stat(place / "elsewhere/file").st_ino
    answers: set[int | None] = set()
    with (
        gofer(Tree(str(place / "tree"), writable=True)) as client,
        swapping(place / "tree/swap", place / "tree/dir/sub"),
    ):
        for i in range(3000):
            path = b"dir/sub/file"
            try:
                if i % 3 == 0:
                    fd, attr = client.open(0, path, os.O_RDONLY)
                    content = os.read(fd, 100)
                    os.close(fd)
                    assert content == b"public"
                elif i % 3 == 1:
                    attr = client.stat(0, path)
                else:
                    walk = client.walk(0, path)
                    attr = walk.attrs[-1]
                    assert (walk.target == b"") == (not stat.S_ISLNK(attr.mode))
                assert attr.ino != secret
                answers.add(0)
            except GoferError as error:
                answers.add(error.errno)
    assert 0 in answers
    assert answers & {errno.ELOOP, errno.ENOTDIR}  # the race was there
    assert answers <= {0, errno.ELOOP, errno.ENOTDIR}


def test_a_file_swapped_with_a_fifo_is_never_opened(place: Path) -> None:
    """A writer that does not wait gets in only while somebody has the FIFO open for reading."""
    (place / "tree/plain").write_text("public")
    os.link(place / "tree/fifo", place / "the-same-fifo")
    writes: set[int | None] = set()

    def write() -> None:
        try:
            os.close(os.open(place / "the-same-fifo", os.O_WRONLY | os.O_NONBLOCK))
            writes.add(0)
        except OSError as error:
            writes.add(error.errno)

    outcomes: set[int | None] = set()
    tree = Tree(str(place / "tree"))
    with gofer(tree) as client, swapping(place / "tree/plain", place / "tree/fifo"), meanwhile(write):
        for _ in range(3000):
            try:
                fd, _ = client.open(0, b"plain", os.O_RDONLY)
                assert stat.S_ISREG(os.fstat(fd).st_mode)
                os.close(fd)
                outcomes.add(0)
            except GoferError as error:
                outcomes.add(error.errno)
    assert outcomes == {0, errno.ENXIO}
    assert writes == {errno.ENXIO}


def test_fifos_sockets_and_devices_are_refused(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place / "tree/sock"))
    names = [b"fifo", b"sock"]
    if is_root:
        os.mknod(place / "tree/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(place / "tree/disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
        names += [b"null", b"disk"]
    for tree in (
        Tree(str(place / "tree")),
        Tree(str(place / "tree"), immutable=True),
        Tree(str(place / "tree"), writable=True),
    ):
        with gofer(tree) as client:
            for name in names:
                for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR) if tree.writable else (os.O_RDONLY,):
                    with pytest.raises(GoferError) as error:
                        client.open(0, name, flags)
                    assert error.value.errno == errno.ENXIO


def test_kernel_file_systems_of_the_host_are_covered() -> None:
    with gofer(Tree("/", immutable=True)) as client:
        for path in (b"proc", b"sys"):
            assert client.list_directory(0, path) == []
        for path in (b"proc/self/environ", b"proc/1/root/etc/passwd", b"proc/kcore", b"sys/kernel", b"dev/kmsg"):
            assert client.walk(0, path).stop == errno.ENOENT
            with pytest.raises(GoferError) as error:
                client.open(0, path, os.O_RDONLY)
            assert error.value.errno == errno.ENOENT


# --- what is left to a gofer ---


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


READ_ONLY_CAPABILITIES, WRITING_CAPABILITIES = 1 << 2, 0b11111


@pytest.mark.skipif(not is_root, reason="only root may look at a process that is not dumpable")
@pytest.mark.parametrize(
    ("uid", "writable", "capabilities"),
    [
        (None, False, READ_ONLY_CAPABILITIES),
        (None, True, WRITING_CAPABILITIES),
        (MORTAL, False, 0),
        (MORTAL, True, 0),
    ],
    ids=["root-ro", "root-rw", "user-ro", "user-rw"],
)
def test_posture(place: Path, uid: int | None, writable: bool, capabilities: int) -> None:
    process = Gofer([Tree("/", immutable=True), Tree(str(place / "tree"), writable=writable)], uid)
    try:
        close_all(process.client.open_pty()[:2])
        status = status_of(process.pid)
        for key in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[key], 16) == capabilities, key
        for key in ("CapInh", "CapAmb"):
            assert int(status[key], 16) == 0, key
        assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
        ignored = int(status["SigIgn"], 16)
        for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP, signal.SIGPIPE):
            assert ignored >> (sig - 1) & 1
        assert int(status["SigCgt"], 16) & ~(0b11 << 31) == 0  # 32 and 33 are the C library's own
        assert os.stat(f"/proc/{process.pid}/mem").st_uid == 0  # not dumpable
        limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        assert [line.split()[4:6] for line in limits if line.startswith("Max core")] == [["0", "0"]]
        assert_only_expected_mounts(process.pid, writable)
        process.client.stat(0, b"")
        assert_only_expected_descriptors(process.pid)
    finally:
        assert process.stop() == 0


def assert_only_expected_mounts(pid: int, writable: bool) -> None:
    lines = [line.split(" ") for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    options = {fields[4]: set(fields[5].split(",")) for fields in lines}
    outside = {point for point in options if not point.startswith("/0/")}
    assert outside == {"/", "/0", "/1", "/pts"}
    for point, set_options in options.items():
        assert "nosuid" in set_options, point
        if point != "/pts":
            assert "nodev" in set_options, point
        if point != "/pts" and not (point == "/1" and writable):
            assert "ro" in set_options, point
    assert {"noexec"} <= options["/"] & options["/pts"]
    for fields in lines:  # what kernel file systems there are lie below an empty directory
        if fields[fields.index("-") + 1] in ("proc", "sysfs", "devtmpfs", "cgroup2"):
            covers = [other[4] for other in lines if other[3] in ("/empty", "/empty-file")]
            assert any((fields[4] + "/").startswith(cover + "/") for cover in covers), fields


def assert_only_expected_descriptors(pid: int) -> None:
    """To be called after an answer without descriptors: those of one with are closed only after it was sent."""
    links = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert [links.pop(fd) for fd in (0, 1, 2)] == ["/", "/", "/"]
    for fd in (0, 1, 2):
        flags = int(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
        assert flags & os.O_PATH
    assert links.pop(3).startswith("socket:")
    assert sorted(links.values()) == sorted(["/0", "/1", "/pts", f"/proc/{pid}/fd"])


@pytest.mark.skipif(not is_root, reason="only root may look")
def test_no_descriptor_of_the_launcher_is_left(place: Path) -> None:
    extra = [os.dup(0) for _ in range(20)]
    os.set_inheritable(extra[-1], True)
    process = Gofer([Tree("/"), Tree(str(place / "tree"))])
    try:
        close_all(process.client.open_pty()[:2])
        process.client.stat(0, b"")
        assert_only_expected_descriptors(process.pid)
    finally:
        assert process.stop() == 0
        for fd in extra:
            os.close(fd)


def test_signals_of_the_terminal_do_not_end_it(place: Path) -> None:
    process = Gofer([Tree(str(place / "tree"))])
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE):
        os.kill(process.pid, sig)
        assert process.client.stat(0, b"dir")
    assert process.stop() == 0


def test_a_call_off_the_list_kills_it(place: Path) -> None:
    """In a gofer, but before it serves: what a sentry that took it over could try."""
    for forbidden in (lambda: socket.socket(), os.fork, lambda: os.kill(1, 0)):
        pid = os.fork()
        if pid == 0:
            try:
                from gofer.lockdown import enter

                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.detach()
                enter([Tree(str(place / "tree"))], theirs.detach())
                forbidden()
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSYS


def test_a_donated_directory_leads_nowhere_without_openat(place: Path) -> None:
    """What a sentry without its own filter could reach from a directory's descriptor: the gofer's root, no further."""
    with gofer(Tree(str(place / "tree"))) as client:
        fd, _ = client.open(0, b"dir", os.O_RDONLY | os.O_DIRECTORY)
        top = os.open("../../../../../..", os.O_RDONLY, dir_fd=fd)
        assert set(os.listdir(top)) <= {"0", "pts", "empty", "empty-file", "tree", "dir", "sub"} | set(os.listdir("/"))
        with pytest.raises(FileNotFoundError):
            os.open("../../secret", os.O_RDONLY, dir_fd=fd)
        os.close(top)
        os.close(fd)


@pytest.mark.skipif(not is_root, reason="only root gives files away")
def test_nothing_but_what_was_made_is_given_away(place: Path) -> None:
    """Somebody on the host puts another name of root's file where the gofer has just made one."""
    secret, new, spare = place / "secret", place / "tree/new", place / "spare"

    def swap() -> None:
        spare.unlink(missing_ok=True)  # a rename between two names of one file leaves both
        os.link(secret, spare)
        os.rename(spare, new)

    outcomes: set[int | None] = set()
    with gofer(Tree(str(place / "tree"), writable=True)) as client, meanwhile(swap):
        for _ in range(2000):
            try:
                client.mknod(0, b"new", stat.S_IFREG | 0o644, 1000, 1000)
                outcomes.add(0)
            except GoferError as error:
                outcomes.add(error.errno)
            new.unlink(missing_ok=True)
    assert secret.stat().st_uid == 0
    assert outcomes <= {0, errno.EEXIST, errno.ESTALE, errno.ENOENT}


def test_no_device_is_ever_made(place: Path) -> None:
    """The protocol has no place for a device number: what it can name is 0:0, which is none."""
    with gofer(Tree(str(place / "tree"), writable=True)) as client:
        made = client.mknod(0, b"white", stat.S_IFCHR | 0o666)
        assert (made.rdev_major, made.rdev_minor) == (0, 0)
        with pytest.raises(GoferError) as error:
            client.open(0, b"white", os.O_RDONLY)
        assert error.value.errno == errno.ENXIO
        with pytest.raises(GoferError) as error:
            client.mknod(0, b"disk", stat.S_IFBLK | 0o666)
        assert error.value.errno == errno.EINVAL


@pytest.mark.skipif(not is_root, reason="only root may mount a kernel interface writable")
def test_settings_of_the_kernel_are_never_writable() -> None:
    with gofer(Tree("/proc/sys/kernel", writable=True)) as client:
        with pytest.raises(GoferError) as error:
            client.open(0, b"printk", os.O_WRONLY)
        assert error.value.errno == errno.EROFS
        fd, _ = client.open(0, b"printk", os.O_RDONLY)
        os.close(fd)
