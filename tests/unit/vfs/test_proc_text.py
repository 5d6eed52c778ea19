"""What /proc makes of the host's texts: names and numbers of the sandbox, nothing of the host's."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from pysentry.platform.native import ffi, lib
from pysentry.vfs.filesystems import proc_maps, proc_mounts, proc_net, proc_stat, proc_system

MAPS = b"""\
480000000000-480000001000 r-xp 00000000 00:01 1037                       /memfd:pysentry-stub (deleted)
480000002000-480000005000 rw-p 00000000 00:00 0 
48001416f000-480014190000 rw-p 00000000 00:00 0                          [heap]
55a6c2691000-55a6c2693000 r--p 00000000 fe:01 260386                     /host/upper/usr/bin/head
7f0000000000-7f0000001000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
7f0000002000-7f0000003000 r--p 00001000 00:01 78                         /memfd:secret of the sentry (deleted)
7f0000004000-7f0000005000 r--p 00000000 fe:01 99                         /host/home/user/notes.txt
7ffd2b676000-7ffd2b697000 rw-p 00000000 00:00 0                          [stack]
"""  # noqa: W291


@pytest.fixture
def subject() -> Any:
    table = SimpleNamespace(capacity=0, slots=[])
    c = SimpleNamespace(files=table, group=SimpleNamespace(exe=ffi.NULL))
    return SimpleNamespace(c=c, read_host=lambda name: MAPS)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """One mapped file has a name in the sandbox."""
    inode = SimpleNamespace(dev=os.makedev(0, 40), ino=5)
    dentry = SimpleNamespace(inode=inode)
    found = {(os.makedev(0xFE, 1), 260386): dentry}
    fake = SimpleNamespace(
        STUB_ADDRESS=lib.STUB_ADDRESS, dentry_of_host_file=lambda dev, ino: found.get((dev, ino), ffi.NULL)
    )
    monkeypatch.setattr(proc_maps, "lib", fake)
    monkeypatch.setattr(proc_maps, "path_of", lambda dentry: b"/usr/bin/head\nwith a newline")


@pytest.mark.usefixtures("known")
def test_maps(subject: Any) -> None:
    lines = proc_maps.maps(subject).splitlines()
    assert lines[0].endswith(b"[heap]")
    assert lines[1] == (
        b"55a6c2691000-55a6c2693000 r--p 00000000 00:28 5".ljust(73) + b"/usr/bin/head\\012with a newline"
    )
    assert lines[2].endswith(b"/dev/zero (deleted)")
    assert lines[3].split()[4:] == [b"78", b"/memfd:", b"(deleted)"]
    assert lines[4].endswith(b"/ (deleted)")
    assert lines[5].endswith(b"[stack]")
    text = b"\n".join(lines)
    assert not any(word in text for word in (b"host", b"stub", b"secret", b"notes"))


@pytest.mark.usefixtures("known")
def test_smaps_hides_the_counts_too(subject: Any) -> None:
    subject.read_host = lambda name: b"".join(
        line + b"Size:                  4 kB\nVmFlags: rd ex mr mw\n" for line in MAPS.splitlines(keepends=True)
    )
    text = proc_maps.smaps(subject)
    assert text.count(b"Size:") == text.count(b"VmFlags:") == 6
    assert text.startswith(b"48001416f000-")


TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1FBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 1456000 1 00000000aeac1c45 1
   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18000 1 00000000aeac1c45 100
"""
UNIX = b"""\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 16999 /run/systemd/private
0000000000000000: 00000003 00000000 00000000 0001 03 16998
0000000000000000: 00000002 00000000 00010000 0001 01 16997 @host-abstract
"""


def test_only_sockets_of_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"tcp": TCP, "unix": UNIX}
    monkeypatch.setattr(proc_net, "_host", lambda name: texts[name])
    monkeypatch.setattr(proc_net, "_sockets", lambda: {b"1456000": 1, b"16998": 2, b"16997": 3})
    monkeypatch.setattr(proc_net, "description_of", lambda c: SimpleNamespace(name={3: b"\0ours\0x"}.get(c, b"")))
    lines = proc_net._inet_table("tcp")().splitlines()
    assert len(lines) == 2
    assert b" 00000000     0        0 1456000 " in lines[1]
    assert len(lines[1]) == len(TCP.splitlines()[1])
    lines = proc_net._unix_table().splitlines()
    assert [line.split()[6:] for line in lines[1:]] == [[b"16998"], [b"16997", b"@ours@x"]]


def test_unreadable_tables_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc_net, "_host", lambda name: b"")
    monkeypatch.setattr(proc_net, "_sockets", dict)
    assert proc_net._inet_table("udp")() == b""
    assert proc_net._unix_table().startswith(b"Num")


@pytest.mark.parametrize(
    ("state", "is_stopped", "host", "shown"),
    [
        (lib.TASK_PARKED, 0, b"D", b"S"),
        (lib.TASK_TRAPPED, 0, b"D", b"R"),
        (lib.TASK_RUNNING, 0, b"S", b"S"),
        (lib.TASK_RUNNING, 0, b"R", b"R"),
        (lib.TASK_RUNNING, 1, b"t", b"T"),
        (lib.TASK_RUNNING, 0, b"t", b"R"),
    ],
)
def test_state(state: int, is_stopped: int, host: bytes, shown: bytes) -> None:
    assert proc_stat.state_letter(state, bool(is_stopped), host) == shown


def test_stat_leaves_the_host_out(monkeypatch: pytest.MonkeyPatch) -> None:
    host = (
        b"cpu  1 2 3\ncpu0 1 2 3\nintr 500 1 2 3 4\nctxt 9\nbtime 7\nprocesses 99999\nprocs_running 12\nsoftirq 1 2\n"
    )
    monkeypatch.setattr(proc_system, "_host", lambda name: host)
    text = proc_system._stat()
    assert text.startswith(b"cpu  1 2 3\ncpu0 1 2 3\nintr 500\nctxt 9\nbtime 7\nprocesses ")
    assert b"99999" not in text
    assert b"procs_running 12" not in text


def test_escapes() -> None:
    assert proc_mounts.escape(b"a b\tc\\d\ne#") == b"a\\040b\\011c\\134d\\012e\\043"
    assert proc_stat.escape_name(b"a\\b\nc") == b"a\\\\b\\nc"
