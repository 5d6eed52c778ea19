"""Ways out of the sandbox (attempts.c), each tried inside, each of which must fail; then the host is looked at.

"Held" is not believed on the program's word alone where the host can be asked: files are compared, sockets wait for a
connection that must not come, processes must still be alive.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.checkout import as_unprivileged
from tests.harness.guest_programs import BINARIES
from tests.harness.runner import Result, Runner, give_away

pytestmark = pytest.mark.configs("seccomp", "ptrace", "user")

SOURCE = Path(__file__).with_name("attempts.c")
SIGSYS_STATUS = 128 + 31
ALONE = (
    "unknown_numbers",
    "kernel_interfaces",
    "untraced_child",
    "new_namespaces",
    "signal_everybody",
    "own_namespace_links",
    "page_frames",
    "own_seccomp_filter",
    "privileges",
    "stray_descriptors",
    "bad_pointers",
    "terminal_injection",
    "calls_of_a_tracee",
    "steps_through_an_exec",
)


@pytest.fixture(scope="session")
def attempts() -> Path:
    """The compiled program, readable by everybody."""
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-nonnull", "-pthread", "-static"]
    read = b"".join(path.read_bytes() for path in (SOURCE, SOURCE.with_name("attempts_tracing.h")))
    digest = hashlib.sha256(read + " ".join(flags).encode()).hexdigest()[:16]
    binary = BINARIES / f"attempts-{digest}"
    if not binary.exists():
        BINARIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = binary.with_name(f"{binary.name}.{os.getpid()}")
        subprocess.run(["gcc", *flags, "-o", str(partial), str(SOURCE)], check=True)
        partial.rename(binary)
    return binary


def must_hold(result: Result) -> None:
    assert "ESCAPED" not in result.stdout, result
    assert "held" in result.stdout, result
    assert result.status == 0, result


@pytest.fixture
def victim(runner: Runner) -> Iterator[subprocess.Popen[bytes]]:
    """A host process of the user that runs the sandbox; it must survive."""
    with subprocess.Popen(["sleep", "600"], **runner.user_arguments()) as process:
        runner.owned.add(process.pid)
        try:
            yield process
            assert process.poll() is None, "the sandbox ended a host process"
        finally:
            process.kill()
            runner.owned.discard(process.pid)


@pytest.mark.parametrize("name", ALONE)
def test_attempt(runner: Runner, attempts: Path, victim: subprocess.Popen[bytes], name: str) -> None:
    must_hold(runner.run([attempts, name]))


@pytest.mark.parametrize("name", ["i386_entry", "x32_entry"])
def test_other_entries_kill(runner: Runner, attempts: Path, name: str) -> None:
    result = runner.run([attempts, name])
    assert "ESCAPED" not in result.stdout, result
    assert result.status == SIGSYS_STATUS, result


def test_host_processes_have_no_number_inside(runner: Runner, attempts: Path, victim: subprocess.Popen[bytes]) -> None:
    # A pid that no process of the sandbox can have by accident.
    assert victim.pid > 100
    must_hold(runner.run([attempts, "host_pids", str(victim.pid)]))


def test_proc_does_not_show_sentry_and_gofer(runner: Runner, attempts: Path) -> None:
    process = runner.start(["sh", "-c", f"read go; exec {attempts} proc_of_others $go"], stdin=subprocess.PIPE)
    sentry = process.pid
    gofers = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent_of(pid) == sentry]
    result = runner.finish(process, f"{sentry} {' '.join(map(str, gofers))}\n".encode())
    must_hold(result)


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


# -- paths


@pytest.fixture
def secret(runner: Runner) -> Path:
    """A host file that everybody may read, outside of what the sandbox is given."""
    path = runner.directory / "secret"
    path.write_text("secret of the host")
    give_away(path, runner.configuration)
    return path


@pytest.fixture
def rootfs(runner: Runner, attempts: Path) -> Path:
    """A root that holds nothing but the program."""
    root = runner.directory / "root"
    for name in ("", "tmp", "proc", "dev", "bin"):
        (root / name).mkdir()
        give_away(root / name, runner.configuration)
    (root / "bin/attempts").write_bytes(attempts.read_bytes())
    give_away(root / "bin/attempts", runner.configuration)
    return root


@pytest.mark.parametrize("name", ["dot_dot", "chroot_escape"])
def test_paths_end_at_the_root(runner: Runner, rootfs: Path, secret: Path, name: str) -> None:
    options = ["--rootfs", str(rootfs), "--user", "0"]
    must_hold(runner.run(["/bin/attempts", name, secret], options=options))


def test_a_symlink_in_a_bind_leads_into_the_sandbox(runner: Runner, rootfs: Path, secret: Path) -> None:
    shared = runner.directory / "shared"
    shared.mkdir()
    give_away(shared, runner.configuration)
    (shared / "link").symlink_to(secret)
    (shared / "up").symlink_to("../secret")
    options = ["--rootfs", str(rootfs), f"--bind={shared}:/shared:rw"]
    for link in ("/shared/link", "/shared/up"):
        must_hold(runner.run(["/bin/attempts", "bind_symlink", link], options=options))


def test_a_read_only_bind_stays_as_it_is(runner: Runner, attempts: Path) -> None:
    shared = runner.directory / "shared"
    shared.mkdir()
    file = shared / "file"
    file.write_text("as it was")
    give_away(file, runner.configuration)
    give_away(shared, runner.configuration)
    before = file.stat()
    result = runner.run([attempts, "read_only_bind", "/mnt/file"], options=[f"--bind={shared}:/mnt:ro", "--user=0"])
    must_hold(result)
    assert file.read_text() == "as it was"
    after = file.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_uid) == (before.st_mtime_ns, before.st_mode, before.st_uid)
    assert os.listdir(shared) == ["file"]


def test_a_path_that_changes_during_the_call(runner: Runner, attempts: Path) -> None:
    for name, content in (("rw", "R"), ("ro", "R")):
        (runner.directory / name).mkdir()
        (runner.directory / name / "file").write_text(content)
        give_away(runner.directory / name / "file", runner.configuration)
        give_away(runner.directory / name, runner.configuration)
    options = [f"--bind={runner.directory}/rw:/mnt/rw:rw", f"--bind={runner.directory}/ro:/mnt/ro:ro"]
    must_hold(runner.run([attempts, "changing_path", "/mnt/rw/file", "/mnt/ro/file"], options=options))
    assert (runner.directory / "ro/file").read_text() == "R"
    assert (runner.directory / "rw/file").read_text() == "W", "nothing was written at all: the attempt is void"


def test_a_setuid_program_gives_nothing(runner: Runner, attempts: Path) -> None:
    program = runner.directory / "setuid"
    program.write_bytes(attempts.read_bytes())
    program.chmod(0o4755)
    must_hold(runner.run([program, "privileges"]))


# -- sockets: somebody on the host listens; nobody may come


def refuse_connections(listener: socket.socket) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_hosts_abstract_sockets(runner: Runner, attempts: Path) -> None:
    name = f"pysentry-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        must_hold(runner.run([attempts, "abstract_socket", name]))
        refuse_connections(listener)


@pytest.mark.parametrize("net", ["none", "host"])
def test_the_hosts_unix_sockets(runner: Runner, attempts: Path, net: str) -> None:
    shared = runner.directory / "s"
    shared.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(shared / "socket"))
        listener.listen()
        (shared / "socket").chmod(0o777)
        give_away(shared, runner.configuration)
        options = [f"--bind={shared}:/mnt:rw", f"--net={net}"]
        must_hold(runner.run([attempts, "path_socket", "/mnt/socket"], options=options))
        must_hold(runner.run([attempts, "path_socket", shared / "socket"], options=[f"--net={net}"]))
        refuse_connections(listener)


def test_the_hosts_loopback(runner: Runner, attempts: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        must_hold(runner.run([attempts, "host_loopback", str(listener.getsockname()[1])]))
        refuse_connections(listener)


def test_unprivileged_arguments_are_what_they_say() -> None:
    """The `user` configuration is one: a test of the tests."""
    done = subprocess.run(["id", "-u"], capture_output=True, text=True, check=True, **as_unprivileged())  # type: ignore[call-overload]
    assert done.stdout.strip() != "0"


ADD_KEY, KEYCTL, INVALIDATE, USER_KEYRING = 248, 250, 21, -4


@pytest.mark.skipif(os.geteuid() != 0, reason="the keyring is the host's root's")
def test_host_keys(runner: Runner, attempts: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    name = f"pysentry-test-{os.getpid()}"
    number = libc.syscall(ADD_KEY, b"user", name.encode(), b"secret", ctypes.c_size_t(6), USER_KEYRING)
    if number < 0:
        pytest.skip(f"the host gives no key: {os.strerror(ctypes.get_errno())}")
    try:
        must_hold(runner.run([attempts, "host_keys", name, str(number)]))
    finally:
        libc.syscall(KEYCTL, INVALIDATE, number)
