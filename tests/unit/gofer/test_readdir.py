"""READDIR: whole directories with attributes, page by page."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gofer.protocol import GoferError
from gofer.tree import Tree
from tests.unit.gofer.harness import gofer, open_directory

DT_DIR, DT_REG, DT_LNK, DT_FIFO = 4, 8, 10, 1


@pytest.fixture(scope="module")
def large() -> Iterator[Path]:
    with open_directory() as path:
        fill(path, 5000)
        yield path


def fill(directory: Path, count: int) -> None:
    for i in range(count):
        (directory / f"entry-{i:04}-{'n' * (i % 200)}").touch()


def test_kinds_and_targets(place: Path, uid: int | None) -> None:
    (place / "dir").mkdir()
    (place / "file").write_text("12345")
    (place / "link").symlink_to("dir/../file")
    (place / "dangling").symlink_to("t" * 4095)
    (place / ("m" * 255)).touch()
    os.mkfifo(place / "fifo")
    with gofer(Tree(str(place)), uid=uid) as client:
        page = client.readdir(0, b"")
        assert page.is_last
        assert page.directory.ino == os.stat(place).st_ino
        entries = {entry.name: entry for entry in page.entries}
        assert set(entries) == {os.fsencode(name) for name in os.listdir(place)}
        assert {name: entry.type for name, entry in entries.items() if len(name) < 100} == {
            b"dir": DT_DIR,
            b"file": DT_REG,
            b"link": DT_LNK,
            b"dangling": DT_LNK,
            b"fifo": DT_FIFO,
        }
        assert entries[b"link"].target == b"dir/../file"
        assert entries[b"dangling"].target == b"t" * 4095
        assert entries[b"file"].attr.size == 5
        for name, entry in entries.items():
            assert entry.attr.is_valid
            assert entry.attr.ino == os.lstat(os.path.join(os.fsencode(place), name)).st_ino
        assert client.list_directory(0, b"dir") == []


def test_five_thousand_entries(large: Path, uid: int | None) -> None:
    with gofer(Tree(str(large)), uid=uid) as client:
        entries = client.list_directory(0, b"")
        assert len(entries) == 5000
        assert {os.fsdecode(entry.name) for entry in entries} == set(os.listdir(large))


def test_two_listings_at_once(large: Path) -> None:
    """Only one unfinished listing is kept open; the other goes on by its cookie alone."""
    with gofer(Tree(str(large)), Tree(str(large))) as client:
        names: list[list[bytes]] = [[], []]
        cookies = [0, 0]
        is_last = [False, False]
        while not all(is_last):
            for tree in (0, 1):
                if not is_last[tree]:
                    page = client.readdir(tree, b"", cookies[tree])
                    names[tree] += [entry.name for entry in page.entries]
                    cookies[tree], is_last[tree] = page.next_cookie, page.is_last
        for listed in names:
            assert len(listed) == len(set(listed)) == 5000


def test_going_on_after_any_entry(large: Path) -> None:
    with gofer(Tree(str(large))) as client:
        entries = client.list_directory(0, b"")
        for at in (0, 1, 777, 4998):
            page = client.readdir(0, b"", entries[at].cookie)
            assert page.entries[0].name == entries[at + 1].name
        assert client.readdir(0, b"", entries[-1].cookie).entries == []


def test_a_directory_that_changes_between_pages(place: Path) -> None:
    """What stays throughout is listed once; what goes is not invented."""
    fill(place, 1500)
    with gofer(Tree(str(place))) as client:
        page = client.readdir(0, b"")
        seen = [entry.name for entry in page.entries]
        gone = [name for name in os.listdir(os.fsencode(place)) if name not in set(seen)][::2]
        for name in gone:
            os.unlink(os.path.join(os.fsencode(place), name))
        while not page.is_last:
            page = client.readdir(0, b"", page.next_cookie)
            seen += [entry.name for entry in page.entries]
        assert len(seen) == len(set(seen)) == 1500 - len(gone)
        assert not set(seen) & set(gone)


def test_many_listings_leave_no_descriptor_behind(large: Path) -> None:
    with gofer(Tree(str(large))) as client:
        for _ in range(1500):  # more than RLIMIT_NOFILE allows to leak
            assert not client.readdir(0, b"").is_last


@pytest.mark.parametrize(("path", "code"), [(b"none", errno.ENOENT), (b"file", errno.ENOTDIR)])
def test_what_is_no_directory(place: Path, path: bytes, code: int) -> None:
    (place / "file").touch()
    with gofer(Tree(str(place))) as client, pytest.raises(GoferError) as error:
        client.readdir(0, path)
    assert error.value.errno == code


def test_names_alone(large: Path) -> None:
    with gofer(Tree(str(large))) as client:
        listed = list(client.list_names(0, b""))
        assert [name for name, _, _ in listed if name not in (b".", b"..")] == [
            entry.name for entry in client.list_directory(0, b"")
        ]
        assert {name: ino for name, ino, _ in listed if name != b".."} == {
            name: os.lstat(os.path.join(os.fsencode(large), name)).st_ino for name, _, _ in listed if name != b".."
        }
        with pytest.raises(GoferError) as error:
            list(client.list_names(0, listed[2][0]))
        assert error.value.errno == errno.ENOTDIR
