"""Scopes of systemd: what it is told and what its answers become. systemd is a thread that speaks D-Bus as it does;
whether the real one agrees is seen on a machine that it runs (CONTRIBUTING.md, "Debian 12 in a virtual machine").
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    Parser,
    new_error,
    new_method_return,
    new_signal,
)

from pysentry.oci import cgroups
from pysentry.oci.cgroups import creation, systemd
from pysentry.oci.cgroups.dbus import Connection
from pysentry.oci.cgroups.files import NO_LIMIT
from pysentry.oci.cgroups.placement import systemd_name
from pysentry.oci.cgroups.systemd import Holder, Scope, limits
from pysentry.oci.cgroups.writes import plan
from pysentry.oci.document import Fields
from pysentry.oci.errors import BusError, CgroupError
from pysentry.oci.spec_resources import Resources
from pysentry.sandbox.hierarchies import UNIFIED, Hierarchy


def resources(**document: Any) -> Resources:
    return Resources(Fields(document, "linux.resources"))


class Systemd:
    """The socket of a manager that answers each call with the next of `answers`: None is success, a pair a D-Bus error
    and its text; bytes are sent as they are, and the last. calls: (method, signature, *values)."""

    def __init__(self, path: Path, *answers: tuple[str, str] | bytes | None) -> None:
        self.path = path
        self.answers = list(answers)
        self.calls: list[tuple[Any, ...]] = []
        self.greeting = b"DATA\r\nOK 0123456789abcdef\r\n"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.serve_one(connection)

    def serve_one(self, connection: socket.socket) -> None:
        begin = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
        assert connection.recv(len(begin), socket.MSG_WAITALL) == begin
        connection.sendall(self.greeting)
        parser = Parser()
        while piece := connection.recv(65536):
            for message in parser.feed(piece):
                fields = message.header.fields
                assert message.header.message_type is MessageType.method_call
                assert fields[HeaderFields.path] == "/org/freedesktop/systemd1"
                assert fields[HeaderFields.interface] == "org.freedesktop.systemd1.Manager"
                self.calls.append((fields[HeaderFields.member], fields.get(HeaderFields.signature, ""), *message.body))
                answer = self.answers.pop(0)
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                    return
                connection.sendall(SIGNAL.serialise(7) + reply(message, answer).serialise(8))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


SIGNAL = new_signal(DBusAddress("/", interface="org.freedesktop.systemd1.Manager"), "UnitNew")
"""systemd sends them to whom they do not concern."""


def reply(call: Message, error: tuple[str, str] | None) -> Message:
    return new_method_return(call) if error is None else new_error(call, error[0], "s", (error[1],))


@pytest.fixture
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The socket of every manager is below it."""
    path = tmp_path / "systemd/private"
    monkeypatch.setattr(systemd, "manager_socket", lambda is_user: str(path))
    return path


# ---- the wire ------------------------------------------------------------------------------------------------------


def test_calls_and_errors(runtime_dir: Path) -> None:
    server = Systemd(runtime_dir, None, ("org.freedesktop.systemd1.UnitExists", "Unit x.scope already exists."))
    connection = Connection(str(runtime_dir))
    connection.call("GetUnit", "s", "x.scope")
    with pytest.raises(BusError, match=r"^Unit x\.scope already exists\.$") as refused:
        connection.call("StartTransientUnit", "ss", "x.scope", "fail")
    assert refused.value.name == "UnitExists"
    connection.close()
    server.close()
    assert server.calls == [("GetUnit", "s", "x.scope"), ("StartTransientUnit", "ss", "x.scope", "fail")]


@pytest.mark.parametrize(
    "answer",
    [
        b"x" + bytes(15),
        struct.pack("<cBBBIII", b"l", 2, 0, 1, 1 << 30, 1, 0),
        struct.pack("<cBBBIII", b"l", 9, 0, 1, 0, 1, 0),
        struct.pack("<cBBBIII", b"l", 2, 0, 1, 0, 1, 8) + b"\5\1s\0\xff\xff\xff\x7f",
        b"",
    ],
    ids=["byte-order", "size", "type", "field", "nothing"],
)
def test_nonsense_is_an_error(runtime_dir: Path, answer: bytes) -> None:
    server = Systemd(runtime_dir, answer)
    connection = Connection(str(runtime_dir))
    with pytest.raises(BusError):
        connection.call("GetUnit", "s", "x.scope")
    connection.close()
    server.close()


def test_nobody_is_there_or_refuses(runtime_dir: Path) -> None:
    with pytest.raises(BusError, match="No such file"):
        Connection(str(runtime_dir))
    server = Systemd(runtime_dir)
    server.greeting = b"REJECTED EXTERNAL\r\n"
    with pytest.raises(BusError, match="refused"):
        Connection(str(runtime_dir))
    server.close()


# ---- what systemd is told ------------------------------------------------------------------------------------------


def test_limits_are_properties() -> None:
    document = resources(
        memory={"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        cpu={"shares": 512, "quota": 50000, "period": 20000, "cpus": "0,9", "mems": "0", "burst": 1},
        pids={"limit": -1},
        blockIO={"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
        unified={"memory.high": "1000", "memory.min": "1G", "misc.max": "x 1"},
    )
    assert dict(limits(plan(document, 2))) == {
        "MemoryMax": ("t", 64 << 20),
        "MemorySwapMax": ("t", 32 << 20),
        "MemoryLow": ("t", 32 << 20),
        "MemoryHigh": ("t", 1000),
        "MemoryMin": ("t", 1 << 30),
        "CPUWeight": ("t", 20),
        "CPUQuotaPerSecUSec": ("t", 2_500_000),
        "CPUQuotaPeriodUSec": ("t", 20000),
        "AllowedCPUs": ("ay", b"\1\2"),
        "AllowedMemoryNodes": ("ay", b"\1"),
        "TasksMax": ("t", NO_LIMIT),
        "IOWeight": ("t", 4950),
    }


def test_no_swap_is_told_or_systemd_would_write_the_old_limit_again() -> None:
    told = dict(limits(plan(resources(memory={"limit": 64 << 20, "swap": 64 << 20}), 2)))
    assert told == {"MemoryMax": ("t", 64 << 20), "MemorySwapMax": ("t", 0)}
    assert limits(plan(resources(unified={"memory.max": "0", "io.weight": "8:0 5", "memory.high": "?"}), 2)) == []


@given(st.integers(1000, 10**7), st.integers(1000, 10**6))
def test_systemd_writes_the_quota_that_was_given(quota: int, period: int) -> None:
    told = dict(limits(plan(resources(cpu={"quota": quota, "period": period}), 2)))
    per_second = told["CPUQuotaPerSecUSec"][1]
    assert isinstance(per_second, int)
    assert per_second * period // 1_000_000 == quota


def test_a_period_alone_and_no_quota() -> None:
    assert limits(plan(resources(cpu={"period": 50000}), 2)) == [("CPUQuotaPeriodUSec", ("t", 50000))]
    lifted = dict(limits(plan(resources(cpu={"quota": -1}, memory={"limit": -1}), 2)))
    assert lifted["CPUQuotaPerSecUSec"] == lifted["MemoryMax"] == lifted["MemorySwapMax"] == ("t", NO_LIMIT)


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pids of all that were started."""
    found: list[int] = []

    class Noted(Holder):
        def __init__(self) -> None:
            super().__init__()
            found.append(self.pid)

    monkeypatch.setattr(systemd, "Holder", Noted)
    return found


@pytest.fixture
def booted(tmp_path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that systemd manages; returns the scope's directory, which every process is in."""
    scope = tmp_path / "cgroup/machine.slice/libpod-box.scope"
    scope.mkdir(parents=True)
    for name in ("cgroup.procs", "pids.max"):
        (scope / name).write_text("")
    hierarchy = Hierarchy((UNIFIED,), str(tmp_path / "cgroup"), "/machine.slice/libpod-box.scope")
    for module in (systemd, creation):
        monkeypatch.setattr(module, "find_hierarchies", lambda pid=0: [hierarchy])
    monkeypatch.setattr(systemd, "BOOTED", str(tmp_path))
    return scope


def is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


PATH = "machine.slice:libpod:box"


def test_a_scope_is_asked_for_and_lives_by_a_process_of_ours(booted: Path, runtime_dir: Path) -> None:
    server = Systemd(runtime_dir, None)
    assert cgroups.plan(PATH, "box").paths == {}  # systemd removes what nobody is in
    cgroup, warnings = cgroups.make(PATH, resources(pids={"limit": 9}), "box")
    server.close()
    assert (warnings, cgroup.paths) == ([], {UNIFIED: str(booted)})
    assert (booted / "pids.max").read_text() == "9"
    ((method, signature, unit, mode, properties, more),) = server.calls
    assert (method, signature, more) == ("StartTransientUnit", "ssa(sv)a(sa(sv))", [])
    assert (unit, mode) == ("libpod-box.scope", "fail")
    assert isinstance(cgroup, Scope)
    holder = cgroup._holder
    assert holder is not None
    for part in (("Slice", ("s", "machine.slice")), ("PIDs", ("au", [holder.pid])), ("Delegate", ("b", True))):
        assert part in properties
    again = cgroups.reopen(cgroup.to_document())
    assert isinstance(again, Scope)
    assert (again.unit, again.paths) == ("libpod-box.scope", cgroup.paths)
    assert is_alive(holder.pid)
    cgroup.release()
    assert not is_alive(holder.pid)
    cgroup.release()


@pytest.mark.parametrize(("slice_name", "told"), [("", {"user.slice", "system.slice"}), ("a-b.slice", {"a-b.slice"})])
def test_slices(booted: Path, runtime_dir: Path, slice_name: str, told: set[str]) -> None:
    server = Systemd(runtime_dir, None)
    cgroup, _ = cgroups.make(f"{slice_name}:libpod:box", None, "box")
    cgroup.release()
    server.close()
    assert dict(server.calls[0][4])["Slice"] in {("s", one) for one in told}


def test_a_unit_that_is_there_is_refused(booted: Path, runtime_dir: Path, holders: list[int]) -> None:
    server = Systemd(runtime_dir, ("org.freedesktop.systemd1.UnitExists", "Unit libpod-box.scope already exists."))
    with pytest.raises(CgroupError, match=r"cannot make cgroup: .*libpod-box\.scope: Unit .* already exists"):
        cgroups.make(PATH, None, "box", is_rootless=False)
    server.close()
    assert [is_alive(pid) for pid in holders] == [False]


def test_a_scope_that_fails_is_not_waited_for(booted: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Hierarchy((UNIFIED,), str(booted), "/session-1.scope")
    monkeypatch.setattr(systemd, "find_hierarchies", lambda pid=0: [elsewhere])
    server = Systemd(runtime_dir, None, None, None, ("org.freedesktop.systemd1.NoSuchUnit", "not loaded"))
    with pytest.raises(CgroupError, match=r"libpod-box\.scope: it failed, and systemd's journal says why"):
        cgroups.make(PATH, None, "box", is_rootless=False)
    server.close()
    assert [call[0] for call in server.calls] == ["StartTransientUnit", "GetUnit", "GetUnit", "GetUnit"]


def test_a_user_without_a_manager_has_no_cgroup(booted: Path, runtime_dir: Path, holders: list[int]) -> None:
    cgroup, warnings = cgroups.make(PATH, None, "box", is_rootless=True)
    assert not cgroup.paths
    assert warnings[0].startswith("no cgroup: systemd does not make libpod-box.scope: ")
    with pytest.raises(CgroupError, match="cannot set limits: no cgroup can be made"):
        cgroups.make(PATH, resources(pids={"limit": 9}), "box", is_rootless=True)
    assert [is_alive(pid) for pid in holders] == [False, False]


def test_a_rejected_limit_leaves_no_holder(booted: Path, runtime_dir: Path, holders: list[int]) -> None:
    server = Systemd(runtime_dir, None)
    (booted / "pids.max").unlink()
    (booted / "pids.max").mkdir()
    with pytest.raises(CgroupError, match=r"pids\.limit"):
        cgroups.make(PATH, resources(pids={"limit": 9}), "box")
    server.close()
    assert [is_alive(pid) for pid in holders] == [False]


def test_without_systemd_they_are_directories(booted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "BOOTED", "/nowhere")
    assert cgroups.plan(PATH, "box").paths == {UNIFIED: str(booted)}
    assert creation.scope_name(PATH) is None


def test_a_path_is_none_of_systemds() -> None:
    assert systemd_name("/a:b/c:d") is None
    assert systemd_name("/a") is None
    assert creation.scope_name("a:b:c.slice") is None


# ---- a scope that there is -----------------------------------------------------------------------------------------


def scope_at(directory: Path) -> Scope:
    return Scope({UNIFIED: str(directory)}, "libpod-box.scope", True)


def test_who_may_not_join_is_put_there_by_systemd(
    booted: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: str) -> None:
        raise PermissionError(13, "")

    scope = scope_at(booted)
    scope.join(77)
    assert (booted / "cgroup.procs").read_text() == "77"
    monkeypatch.setattr(systemd, "write", refuse)
    server = Systemd(runtime_dir, None, None, ("org.freedesktop.DBus.Error.AccessDenied", "no"))
    scope.join(78)
    scope.join()
    with pytest.raises(CgroupError, match=r"cannot put process 79 into libpod-box\.scope: no"):
        scope.join(79)
    server.close()
    wanted = [("libpod-box.scope", "", [pid]) for pid in (78, os.getpid(), 79)]
    assert [call[2:] for call in server.calls] == wanted


def test_an_update_is_told(booted: Path, runtime_dir: Path) -> None:
    server = Systemd(runtime_dir, None)
    assert scope_at(booted).update(resources(pids={"limit": 5})) == []
    server.close()
    assert (booted / "pids.max").read_text() == "5"
    assert server.calls == [("SetUnitProperties", "sba(sv)", "libpod-box.scope", True, [("TasksMax", ("t", 5))])]
    (warning,) = scope_at(booted).update(resources(pids={"limit": 6}))
    assert warning.startswith("systemd does not know of the new limits: ")
    assert (booted / "pids.max").read_text() == "6"


def test_destroying_waits_until_systemd_has_forgotten(
    tmp_path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "box.scope"
    directory.mkdir()
    server = Systemd(runtime_dir, None, None, ("org.freedesktop.systemd1.NoSuchUnit", "not loaded"))
    scope_at(directory).destroy()
    server.close()
    assert not directory.exists()
    assert [call[0] for call in server.calls] == ["StopUnit", "GetUnit", "GetUnit"]
    server = Systemd(runtime_dir.with_name("again"), ("org.freedesktop.systemd1.NoSuchUnit", "not loaded"))
    monkeypatch.setattr(systemd, "manager_socket", lambda is_user: str(server.path))
    scope_at(directory).destroy()  # systemd was first: a unit of this name would be somebody else's
    server.close()
    assert [call[0] for call in server.calls] == ["GetUnit"]


def test_the_holder_ends_with_its_maker_and_holds_nothing() -> None:
    reading, writing = os.pipe()
    maker = os.fork()
    if maker == 0:
        holder = Holder()
        os.write(writing, struct.pack("i", holder.pid))
        os._exit(0)
    os.close(writing)
    (pid,) = struct.unpack("i", os.read(reading, 4))
    assert os.read(reading, 1) == b""  # it has closed our pipe, too
    os.close(reading)
    os.waitpid(maker, 0)
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    assert select.select([pidfd], [], [], 240)[0]
    os.close(pidfd)
