"""Ids, the lock, state.json: who may have an id, what is read back, and what status follows."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysentry.oci.errors import ContainerExistsError, InvalidIdError, NoSuchContainerError, OciError
from pysentry.oci.host_process import HostProcess, ourselves, remember, start_time
from pysentry.oci.state import CREATED, CREATING, PAUSED, RUNNING, STARTING, STOPPED, Record, Store, check_id


def never() -> bool:
    raise AssertionError("not to be asked")


def record(identity: str = "one") -> Record:
    return Record(identity, ourselves())


# ---- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", ["a", "A-b_c+d.e", "..a", "-", "x" * 1024, "1"])
def test_ids(identity: str) -> None:
    assert check_id(identity) == identity


@pytest.mark.parametrize("identity", ["", ".", "..", "../x", "a/b", "a b", "a\0", "ä", "x" * 1025, "a\n", "a:b", "a,b"])
def test_bad_ids(identity: str) -> None:
    with pytest.raises(InvalidIdError):
        check_id(identity)


@given(st.text(max_size=20))
def test_an_id_is_one_directory(identity: str) -> None:
    try:
        check_id(identity)
    except InvalidIdError:
        return
    assert os.path.normpath(f"/root/{identity}") == f"/root/{identity}"


def test_a_name_that_the_file_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(OciError, match="name too long"):
        Store(str(tmp_path)).claim("x" * 300)


# ---- directories ---------------------------------------------------------------------------------------------------


def test_who_has_the_id(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "deep/root"))
    with pytest.raises(NoSuchContainerError):
        store.look("one")
    with store.claim("one") as first:
        with pytest.raises(ContainerExistsError):  # the lock
            store.claim("one")
        first.save(record())
    with pytest.raises(ContainerExistsError):  # the state
        store.claim("one")
    assert list(store.identities()) == ["one"]
    with store.locked("one") as locked:
        assert locked.load().identity == "one"
        locked.remove()
        assert not locked.is_linked
    assert list(store.identities()) == []
    assert os.listdir(store.root) == []


def test_an_empty_directory_is_nobodys(tmp_path: Path) -> None:
    """`create` died between making it and writing into it."""
    (tmp_path / "one").mkdir()
    store = Store(str(tmp_path))
    with store.look("one") as directory, pytest.raises(NoSuchContainerError):
        directory.load()
    with store.claim("one") as directory:
        directory.save(record())


def test_whoever_waited_for_a_removed_one_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first = store.claim("one")
    first.save(record())
    waiting = store.look("one")
    first.remove()
    first.close()
    assert not waiting.is_linked
    with store.claim("one") as second:  # another of this name
        second.save(record())
        assert not waiting.is_linked
    waiting.close()


def test_writing_replaces_all_or_nothing(tmp_path: Path) -> None:
    with Store(str(tmp_path)).claim("one") as directory:
        directory.write("file", b"first")
        (tmp_path / "one/.file.new").mkdir()
        with pytest.raises(OSError, match="directory"):
            directory.write("file", b"second")
        assert directory.read("file") == b"first"
        assert directory.read("none") is None


def test_symlinks_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("/etc")
    store = Store(str(tmp_path))
    with pytest.raises(NoSuchContainerError):
        store.look("one")
    with pytest.raises(ContainerExistsError):
        store.claim("one")


def test_everything_is_read_back(tmp_path: Path) -> None:
    one = record()
    one.stored, one.is_paused, one.sentry = RUNNING, True, HostProcess(5, 6)
    one.annotations, one.hooks, one.cgroup = {"a": "b"}, {"poststop": [{"path": "/x"}]}, {"version": 1}
    one.bundle = os.fsdecode(b"/b\xff")
    with Store(str(tmp_path)).claim("one") as directory:
        directory.save(one)
        other = directory.load()
    assert other.to_document() == one.to_document()
    assert other.hooks_of("poststop") == [{"path": "/x"}]
    assert other.hooks_of("prestart") == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b'{"creator": 5}'])
def test_what_is_no_state(tmp_path: Path, data: bytes) -> None:
    with Store(str(tmp_path)).claim("one") as directory:
        directory.write("state.json", data)
        with pytest.raises(OciError, match="cannot be read"):
            directory.load()


# ---- status --------------------------------------------------------------------------------------------------------


def status(one: Record, *, started: bool | None = None, frozen: bool = False) -> str:
    return one.status(never if started is None else lambda: bool(started), lambda: frozen)


def test_status_of_the_living() -> None:
    one = record()
    assert one.status(never, never) == CREATING
    one.stored, one.sentry = CREATED, ourselves()
    assert status(one) == CREATED
    one.stored = RUNNING
    assert status(one) == RUNNING
    assert status(one, frozen=True) == PAUSED
    one.is_paused = True
    assert one.status(never, never) == PAUSED


def test_status_when_start_did_not_come_to_its_end() -> None:
    one = record()
    one.stored, one.sentry = STARTING, ourselves()
    assert status(one, started=True) == RUNNING
    assert status(one, started=False) == CREATED


@pytest.mark.parametrize("stored", [CREATING, CREATED, STARTING, RUNNING])
def test_status_of_the_dead(stored: str) -> None:
    one = record()
    one.stored = stored
    one.sentry = one.creator = HostProcess(os.getpid(), 1)  # our pid, used before by another process
    assert one.status(never, never) == STOPPED


# ---- processes -----------------------------------------------------------------------------------------------------


def test_a_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    process = HostProcess(pid, start_time(pid) or 0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert start_time(pid) is None
    assert not process.is_alive
    assert process.wait_dead(0)
    os.waitpid(pid, 0)
    assert not process.signal(0)


def test_signals_reach_only_whom_they_are_for() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    process = remember(pid)
    stranger = HostProcess(pid, process.start + 1)
    assert not stranger.signal(signal.SIGKILL)
    assert stranger.wait_dead(0)
    assert process.is_alive
    assert not process.wait_dead(0)
    assert process.signal(signal.SIGKILL)
    assert process.wait_dead(60)
    os.waitpid(pid, 0)


def test_nobody() -> None:
    assert not HostProcess(0, 0).is_alive
    assert not HostProcess(0, 0).signal(9)
