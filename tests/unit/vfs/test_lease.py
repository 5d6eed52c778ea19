"""Trees with a lease: what we change is seen at once, what the host changes when the lease is over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysentry.platform.native import lib
from pysentry.vfs import namei
from tests.unit.vfs.kernel_in_process import Kernel, bind_kernel

LONG_NS = 1 << 50
SHORT_NS = 1


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "f").write_text("one")
    return root


@pytest.fixture
def kernel(place: Path) -> Iterator[Kernel]:
    with bind_kernel(place) as kernel:
        kernel.task.fs.root.sb.lease_ns = LONG_NS
        yield kernel


def calls() -> int:
    return int(lib.engine_gofer_calls())


def test_within_the_lease_nothing_is_asked_again(kernel: Kernel) -> None:
    kernel.stat("/d/f")
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/missing")
    before = calls()
    assert kernel.stat("/d/f").size == 3
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/missing")
    assert calls() == before


def test_what_we_change_is_seen_at_once(kernel: Kernel, place: Path) -> None:
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/new")
    links = kernel.stat("/d").nlink
    fd = kernel.open("/d/new", os.O_WRONLY | os.O_CREAT, 0o644)
    for size in (3, 6, 9):
        kernel.write(fd, b"abc")
        assert kernel.stat("/d/new").size == size
    kernel.close(fd)
    assert kernel.stat("/d/new").size == 9
    kernel.link("/d/new", "/d/other")
    assert kernel.stat("/d/new").nlink == kernel.stat("/d/other").nlink == 2
    assert kernel.stat("/d/new").ino == kernel.stat("/d/other").ino
    kernel.write_file("/d/other", b"longer than before")
    assert kernel.stat("/d/new").size == 18
    kernel.rename("/d/new", "/d/f")
    assert kernel.read_file("/d/f") == b"longer than before"
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/new")
    kernel.mkdir("/d/sub", 0o755)
    assert kernel.stat("/d").nlink == links + 1
    assert kernel.listdir("/d") == ["e", "f", "other", "sub"]
    assert (place / "d/f").read_text() == "longer than before"


def test_two_names_that_were_there_before(kernel: Kernel, place: Path) -> None:
    os.link(place / "d/f", place / "d/g")
    assert kernel.stat("/d/f").ino == kernel.stat("/d/g").ino
    kernel.write_file("/d/f", b"12345")
    assert kernel.stat("/d/g").size == 5


def test_what_the_host_changes_is_seen_when_the_lease_is_over(kernel: Kernel, place: Path) -> None:
    kernel.stat("/d/f")
    kernel.listdir("/d")
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/new")
    (place / "d/f").write_text("four")
    (place / "d/new").write_text("")
    (place / "d/e").rmdir()
    kernel.task.fs.root.sb.lease_ns = SHORT_NS
    assert kernel.stat("/d/f").size == 4
    assert kernel.stat("/d/new").size == 0
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/e")
    assert kernel.listdir("/d") == ["f", "new"]


def test_an_open_is_right_even_within_the_lease(kernel: Kernel, place: Path) -> None:
    """Opening asks the gofer, so it sees what was replaced, removed or made."""
    kernel.stat("/d/f")
    (place / "other").write_text("replaced")
    os.rename(place / "other", place / "d/f")
    fd = kernel.open("/d/f", os.O_RDWR)
    assert kernel.read(fd, 100) == b"replaced"
    assert kernel.fstat(fd).ino == (place / "d/f").stat().st_ino
    kernel.close(fd)
    (place / "d/f").unlink()
    with pytest.raises(OSError, match="ENOENT"):
        kernel.open("/d/f", os.O_RDWR)
    with pytest.raises(OSError, match="ENOENT"):
        kernel.stat("/d/made")
    (place / "d/made").write_text("by the host")
    fd = kernel.open("/d/made", os.O_RDWR | os.O_CREAT, 0o600)
    assert kernel.read(fd, 100) == b"by the host"
    kernel.close(fd)


def test_attributes_of_a_file_that_lost_the_name_it_was_opened_by(kernel: Kernel, place: Path) -> None:
    """fchmod goes to another name that is known; without any only its holders can ever see what changed."""
    fd = kernel.open("/d/f", os.O_RDWR)
    kernel.link("/d/f", "/d/g")
    kernel.unlink("/d/f")
    kernel.call("fchmod", fd, 0o604)
    assert (place / "d/g").stat().st_mode & 0o7777 == 0o604
    kernel.unlink("/d/g")
    kernel.call("fchmod", fd, 0o640)
    assert kernel.fstat(fd).mode & 0o7777 == 0o640
    kernel.close(fd)


def test_the_directories_of_a_rename_are_held(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks the old name up again may find that the host put another directory there, above the new name's."""
    directories, references = [], []
    real_parent, real_last = namei.resolve_parent, namei.lookup_last

    def resolve_parent(*args):  # type: ignore[no-untyped-def]
        walk = real_parent(*args)
        directories.append(walk.parent)
        return walk

    def lookup_last(*args):  # type: ignore[no-untyped-def]
        references.append([directory.refs for directory in directories])
        return real_last(*args)

    monkeypatch.setattr(namei, "resolve_parent", resolve_parent)
    monkeypatch.setattr(namei, "lookup_last", lookup_last)
    with pytest.raises(OSError, match="EINVAL"):
        kernel.rename("/d", "/d/e/new")
    assert len(references) == 2
    assert all(len(counts) == 2 and all(counts) for counts in references)
