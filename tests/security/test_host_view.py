"""A container's files in the sentry's mount namespace: there for privileged processes of the host that enter it, out of
the sentry's reach. What engines do with them: tests/oci/test_podman_life.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from gofer.tree import Tree
from gofer.view import View
from tests.harness import checkout
from tests.harness.configuration import is_root
from tests.harness.entering import entering, stay

pytestmark = pytest.mark.skipif(not is_root(), reason="only privileged processes can enter a mount namespace")

# A process that goes the sentry's way, then looks for a way out. Its filter would stop most of this; here it has none.
STAND_IN = """
import ctypes, json, os, sys
from pysentry.platform.native import lib
from pysentry.sandbox.config import RunConfig
from pysentry.sandbox.namespaces import empty_root, enter_namespaces, leave_view

libc = ctypes.CDLL(None, use_errno=True)
proc = enter_namespaces(RunConfig(["true"])).proc_fd
empty_root()
leave_view()
lib.sandbox_no_new_privs()
lib.sandbox_drop_capabilities()
print("ready", flush=True)
entered = sys.stdin.readline().strip()
root = os.open("/", os.O_RDONLY)
here = os.open(".", os.O_PATH)


def attempt(function, *words, **named):
    try:
        return repr(function(*words, **named))
    except OSError as error:
        return error.errno


def call(function, *words):
    return 0 if function(*words) == 0 else ctypes.get_errno()


found = {}
for path in ("/", ".", "..", "/..", "../..", "/../..", "../view", "/view", "/jail", "/../dev", "/../etc", "../../etc"):
    for name, directory in (("", None), ("root:", root), ("here:", here)):
        fd = attempt(os.open, path, os.O_RDONLY, dir_fd=directory)
        found[name + path] = fd if isinstance(fd, int) else attempt(os.listdir, int(fd))
for path in ("self/root", "self/root/..", "self/cwd", "self/cwd/..", "self/task/%d/root/.." % os.getpid(),
             "self/fd/%d/.." % root, "self/fd/%d/.." % here, *(entered + end for end in ("/root", "/cwd", "/fd/9"))):
    fd = attempt(os.open, path, os.O_RDONLY, dir_fd=proc)
    found["proc:" + path] = fd if isinstance(fd, int) else attempt(os.listdir, int(fd))
refused = {
    "chroot": attempt(os.chroot, ".."),
    "unshare user": call(libc.unshare, 0x10000000),
    "setns": call(libc.setns, os.open("self/ns/mnt", os.O_RDONLY, dir_fd=proc), 0x20000),
    "setns of who entered": attempt(os.open, entered + "/ns/mnt", os.O_RDONLY, dir_fd=proc),
    "unmount": call(libc.umount2, b"/", 2),
    "mounts seen": len(os.read(os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc), 65536).splitlines()),
}
print(json.dumps([found, refused]), flush=True)
"""


@pytest.fixture
def stand_in() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", STAND_IN]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=checkout.ROOT) as process:
        try:
            assert _stdout(process).readline() == "ready\n"
            yield process
        finally:
            process.kill()


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """What a container would have: a file, a place for processes, a link that leads out."""
    root = tmp_path / "root"
    for name in ("etc", "proc", "dev", "sys", "data", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "etc/kept").write_text("kept")
    (root / "program").write_bytes(Path("/bin/true").read_bytes())
    (root / "program").chmod(0o4755)
    (root / "out").symlink_to("/../../../.." + str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/inside").write_text("inside")
    return root


def show(process: subprocess.Popen[str], served: Path) -> None:
    with View(Tree(str(served), writable=True)) as view:
        view.add_processes("/proc")
        view.add_hidden("/dev")
        view.add_hidden("/sys")
        view.add_tree(Tree(str(served.parent / "volume"), writable=False), "/data")
        view.add_hidden("/out")
        view.add_hidden("/missing")
        view.show(process.pid, os.getpid())


def test_who_enters_sees_the_files(stand_in: subprocess.Popen[str], served: Path) -> None:
    pid = stand_in.pid
    assert entering(pid, lambda: sorted(os.listdir("/"))) == ["dev", "jail", "view"]
    show(stand_in, served)
    names = sorted(["etc", "proc", "dev", "sys", "data", "tmp", "program", "out"])
    assert entering(pid, lambda: sorted(os.listdir("/"))) == names
    assert entering(pid, lambda: sorted(os.listdir("/.."))) == names
    assert entering(pid, lambda: Path("/etc/kept").read_text()) == "kept"
    assert entering(pid, lambda: str(os.getpid()) in os.listdir("/proc"))
    assert entering(pid, lambda: os.listdir("/data")) == ["inside"]
    assert entering(pid, lambda: [os.listdir("/dev"), os.listdir("/dev/pts"), os.listdir("/sys")]) == [["pts"], [], []]
    assert entering(pid, lambda: Path("/tmp/put").write_text("put")) == 3
    assert (served / "tmp/put").read_text() == "put"
    assert not list((served.parent / "outside").iterdir())


def test_nothing_in_it_is_executed_or_changed_that_must_not_be(
    stand_in: subprocess.Popen[str], served: Path
) -> None:
    show(stand_in, served)
    permission_denied, read_only = 13, 30
    assert entering(stand_in.pid, lambda: os.execv("/program", ["program"])) == permission_denied
    for path in ("/data/new", "/dev/new", "/sys/new", "/proc/sys/kernel/hostname"):
        assert entering(stand_in.pid, lambda path=path: Path(path).write_text("x")) == read_only, path
    table = entering(stand_in.pid, lambda: Path("/proc/self/mountinfo").read_text())
    assert isinstance(table, str)
    for line in table.splitlines():
        options = line.split()[5].split(",")
        assert {"nosuid", "nodev", "noexec"} <= set(options), line
        assert "shared" not in line
        assert "master" not in line


def test_the_host_gets_none_of_its_mounts(stand_in: subprocess.Popen[str], served: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    show(stand_in, served)
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_sentry_finds_no_way_there(stand_in: subprocess.Popen[str], served: Path) -> None:
    show(stand_in, served)
    # Somebody who has entered, as podman while it copies: with a directory of the view open.
    entered = stay(stand_in.pid)
    try:
        assert stand_in.stdin is not None
        stand_in.stdin.write(f"{entered}\n")
        stand_in.stdin.flush()
        found, refused = json.loads(_stdout(stand_in).readline())
    finally:
        os.kill(entered, 9)
        os.waitpid(entered, 0)
    assert found["/"] == found[".."] == "[]"
    seen = {path: what for path, what in found.items() if not isinstance(what, int) and what != "[]"}
    assert not seen
    assert all(isinstance(found[f"proc:{entered}{end}"], int) for end in ("/root", "/cwd", "/fd/9"))
    not_permitted, no_entry = 1, 2
    assert refused.pop("setns of who entered") in (not_permitted, no_entry, 13)
    assert refused.pop("mounts seen") == 1
    assert set(refused.values()) <= {not_permitted}, refused
