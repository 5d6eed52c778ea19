"""What a container's mount namespace shows to privileged processes of the host, and what its processes have of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.harness.bundles import Config, make_rootfs
from tests.harness.configuration import is_root
from tests.harness.entering import entering
from tests.harness.raw_runtime import WAITS, RawRuntime

pytestmark = pytest.mark.skipif(not is_root(), reason="only privileged processes can enter a mount namespace")


def mounts_of(pid: int) -> list[list[str]]:
    """(mount point, options, type) as the process sees them."""
    rows = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return [[row[4], row[5], row[row.index("-") + 1]] for row in rows]


def test_files_are_there_for_who_enters(raw: RawRuntime, tmp_path: Path) -> None:
    raw.rootfs = make_rootfs(tmp_path / "own")
    volume = tmp_path / "volume"
    volume.mkdir()

    def change(document: Config) -> None:
        document["mounts"].append(
            {"destination": "/made/here", "type": "bind", "source": str(volume), "options": ["rbind"]}
        )

    before = Path("/proc/self/mountinfo").read_text()
    container = raw.create(*WAITS, change=change)
    assert entering(container.pid, lambda: os.listdir("/bin")) == os.listdir(raw.rootfs / "bin")
    assert entering(container.pid, lambda: Path("/made/here/file").write_text("kept")) == 4
    assert (volume / "file").read_text() == "kept"
    container.call("start")
    assert entering(container.pid, lambda: Path("/proc/1/cmdline").read_text()) == "sleep\x001000\x00"
    assert Path("/proc/self/mountinfo").read_text() == before
    container.end()


def test_a_read_only_root_is_read_only_for_them_too(raw: RawRuntime) -> None:
    def change(document: Config) -> None:
        document["root"]["readonly"] = True

    container = raw.start(*WAITS, change=change)
    read_only = 30
    assert entering(container.pid, lambda: Path("/etc/new").write_text("x")) == read_only
    assert "passwd" in str(entering(container.pid, lambda: os.listdir("/etc")))


def test_the_containers_processes_have_an_empty_root(raw: RawRuntime) -> None:
    container = raw.start(*WAITS)
    if not raw.is_ours:
        pytest.skip("of others the pid is the program's")
    (program,) = json.loads(container.call("ps", "--format=json").stdout)[1:]
    for pid in (container.pid, program):
        ((at, options, kind),) = mounts_of(pid)
        assert (at, kind) == ("/", "tmpfs")
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
        assert os.listdir(f"/proc/{pid}/root") == []
        assert os.path.samefile(f"/proc/{pid}/cwd", f"/proc/{pid}/root")
    assert entering(program, lambda: os.listdir("/")) == []
    directories = [link.path for link in os.scandir(f"/proc/{container.pid}/fd") if os.path.isdir(link.path)]
    assert directories  # its procfs, and places for FIFOs and files in memory
    for path in directories:
        assert os.readlink(path) == "/"
        assert os.path.samefile(path, path + "/.."), "mounted nowhere: it has no parent"


def test_with_an_overlay_the_root_is_not_shown(raw: RawRuntime, tmp_path: Path) -> None:
    """It is memory. Processes, and the binds at their places, are shown."""
    if not raw.is_ours:
        pytest.skip("an option of ours")
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "file").write_text("bound")

    def change(document: Config) -> None:
        for target, source in (("/made/here", volume), ("/made/file", tmp_path / "file")):
            document["mounts"].append(
                {"destination": target, "type": "bind", "source": str(source), "options": ["rbind"]}
            )

    raw.options.append("--overlay")
    container = raw.start(*WAITS, change=change)
    assert sorted(entering(container.pid, lambda: os.listdir("/"))) == ["made", "proc"]  # type: ignore[call-overload]
    assert entering(container.pid, lambda: Path("/proc/1/cmdline").read_text()) == "sleep\x001000\x00"
    assert entering(container.pid, lambda: Path("/made/file").read_text()) == "bound"
    assert entering(container.pid, lambda: Path("/made/here/new").write_text("kept")) == 4
    assert (volume / "new").read_text() == "kept"
    read_only = 30
    assert entering(container.pid, lambda: Path("/new").write_text("x")) == read_only
    assert entering(container.pid, lambda: Path("/made/new").write_text("x")) == read_only
    assert container.call("exec", "ls", "/made").stdout.split() == ["file", "here"]
