"""How the sandbox's tree is put together from a RunConfig."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gofer.tree import Tree
from pysentry.sandbox.config import RunConfig
from pysentry.vfs import mounts
from pysentry.vfs.mounts import MountError, build_root, mount_table, working_directory
from tests.unit.gofer.harness import Gofer
from tests.unit.vfs.kernel_in_process import Kernel, use_gofer


@contextmanager
def sandbox(config: RunConfig) -> Iterator[Kernel]:
    trees = [Tree(config.rootfs)] + [Tree(source, writable=not is_ro) for source, _, is_ro in config.binds]
    gofer = Gofer(trees)
    use_gofer(gofer)
    devices = {name: os.open(b"/dev/" + name, os.O_RDWR) for name in (b"null", b"zero", b"full")}
    mounts._mounts.clear()
    try:
        kernel = Kernel(build_root(config, gofer.client, gofer.tree_flags, devices))
        yield kernel
        kernel.end()
    finally:
        for fd in devices.values():
            os.close(fd)
        gofer.stop()


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("etc", "tmp", "srv"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "passwd").write_text("root")
    (root / "srv" / "link").symlink_to("../etc")
    return root


def config_for(rootfs: Path) -> RunConfig:
    config = RunConfig(["true"])
    config.rootfs = str(rootfs)
    return config


def test_devices_and_mount_points_that_the_root_lacks(rootfs: Path) -> None:
    config = config_for(rootfs)
    config.tmpfs = ["/run/deep/place"]
    with sandbox(config) as k:
        assert k.listdir("/") == ["dev", "etc", "run", "srv", "tmp"]
        zero = k.open("/dev/zero", os.O_RDONLY)
        assert k.read(zero, 4) == b"\0" * 4
        assert k.stat("/dev/null").rdev == os.makedev(1, 3)
        assert k.stat("/dev/null").mode == 0o020666
        assert k.readlink("/dev/fd") == "/proc/self/fd"
        assert k.stat("/dev/shm").mode & 0o7777 == 0o1777
        k.write_file("/dev/shm/x", b"shared")
        k.write_file("/run/deep/place/x", b"1")
        root = k._c.fs.root
        table = [(row.mountpoint_below(root), row.file_system.type_name, row.source) for row in mount_table(root)]
        assert table == [
            (b"/", "overlay", "overlay"),
            (b"/dev", "devtmpfs", "dev"),
            (b"/dev/pts", "devpts", "devpts"),
            (b"/dev/mqueue", "mqueue", "mqueue"),
            (b"/dev/shm", "tmpfs", "shm"),
            (b"/run/deep/place", "tmpfs", "tmpfs"),
        ]
        assert k.listdir("/dev/pts") == ["ptmx"]
    assert not (rootfs / "run").exists()
    assert not (rootfs / "dev").exists()


def test_binds(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "f").write_text("f")
    (tmp_path / "file").write_text("one file")
    config = config_for(rootfs)
    config.binds = [
        (str(tmp_path / "shared"), "/data", False),
        (str(tmp_path / "shared"), "/srv/link/inner", True),
        (str(tmp_path / "file"), "/etc/passwd", True),
        (str(tmp_path / "file"), "/data/below/it", True),
    ]
    with sandbox(config) as k:
        assert k.read_file("/etc/passwd") == b"one file"
        assert k.listdir("/etc") == ["inner", "passwd"]
        k.write_file("/data/new", b"written")
        assert k.read_file("/etc/inner/new") == b"written"
        with pytest.raises(OSError, match="EROFS"):
            k.write_file("/etc/inner/other", b"")
        assert k.read_file("/data/below/it") == b"one file"
        assert "below" in k.listdir("/data")
        (tmp_path / "shared" / "f").write_text("changed")
        (tmp_path / "shared" / "appeared").write_text("")
        assert k.read_file("/data/f") == b"changed"
        assert k.stat("/data/f").size == 7
        assert k.listdir("/data") == ["appeared", "below", "f", "new"]
        (tmp_path / "shared" / "f").unlink()
        with pytest.raises(OSError, match="ENOENT"):
            k.stat("/data/f")
        with pytest.raises(OSError, match="EXDEV"):
            k.rename("/data/new", "/etc/new")
    assert (tmp_path / "shared" / "new").read_text() == "written"
    assert not (tmp_path / "shared" / "below").exists()


def test_what_is_shared_may_be_replaced_under_us(rootfs: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "d").mkdir(parents=True)
    (shared / "d" / "f").write_text("old")
    config = config_for(rootfs)
    config.binds = [(str(shared), "/data", False)]
    with sandbox(config) as k:
        k.chdir("/data/d")
        fd = k.open("f", os.O_RDONLY)
        (shared / "d").rename(shared / "moved")
        (shared / "d").mkdir()
        (shared / "d" / "f").write_text("new")
        assert k.read_file("/data/d/f") == b"new"
        assert k.read(fd, 10) == b"old"
        (shared / "d" / "f").unlink()
        (shared / "d").rmdir()
        (shared / "d").write_text("a file now")
        assert k.read_file("/data/d") == b"a file now"
        k.chdir("/data/moved")
        assert k.read_file("f") == b"old"


def test_a_mount_point_behind_a_symlink_stays_inside(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("names")
    (rootfs / "etc" / "resolv.conf").symlink_to("../../../../run/resolved/conf")
    config = config_for(rootfs)
    config.binds = [(str(tmp_path / "file"), "/etc/resolv.conf", True)]
    with sandbox(config) as k:
        assert k.read_file("/etc/resolv.conf") == b"names"
        assert k.read_file("/run/resolved/conf") == b"names"
    assert not (rootfs / "run").exists()


def test_a_fresh_tmp_shows_only_the_working_directory(tmp_path: Path) -> None:
    config = RunConfig(["true"])
    config.cwd = str(tmp_path)
    if not config.cwd.startswith("/tmp/"):
        pytest.skip("the tests' own directory is not below /tmp")
    (tmp_path / "f").write_text("host")
    with sandbox(config) as k:
        first = config.cwd.split("/")[2]
        assert k.listdir("/tmp") == [first]
        assert working_directory(k.task.fs.root, os.fsencode(config.cwd)).inode.ino == tmp_path.stat().st_ino
        assert k.read_file(f"{config.cwd}/f") == b"host"
        k.write_file(f"{config.cwd}/f", b"sandbox")
        k.write_file("/tmp/other", b"")
        assert k.read_file(f"{config.cwd}/f") == b"sandbox"
    assert (tmp_path / "f").read_text() == "host"
    assert not Path("/tmp/other").exists()


@pytest.mark.parametrize(
    ("target", "is_file", "message"),
    [
        ("/etc/passwd", False, "a directory cannot be mounted on a file"),
        ("/etc", True, "a file cannot be mounted on a directory"),
        ("/etc/passwd/below", False, "passwd is not a directory"),
        ("/srv/loop", False, "loop"),
    ],
)
def test_mount_points_that_cannot_be(rootfs: Path, tmp_path: Path, target: str, is_file: bool, message: str) -> None:
    (rootfs / "srv" / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    config = config_for(rootfs)
    config.binds = [(str(tmp_path / "file") if is_file else str(tmp_path), target, True)]
    with pytest.raises(MountError, match=message), sandbox(config):
        pass
