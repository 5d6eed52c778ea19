"""Calls as text. The memory is a dictionary of pages; what is not in it faults."""

from __future__ import annotations

import struct

import pytest

from pysentry.abi import syscall_nr
from pysentry.trace import arguments, structs

CWD = -100 & (1 << 64) - 1
MEMORY = {
    0x1000: b"/etc/passwd\0",
    0x2000: b'a "b"\n' + bytes(100),
    0x3000: struct.pack("<ii", 5, 6),
    0x4000: struct.pack("<qq", 1, 500),
    0x5000: struct.pack("<iHHiHH", 3, 1, 1, 4, 5, 0),
    0x6000: struct.pack("<QQQQ", 0x2000, 3, 0x2000, 100),
    0x7000: struct.pack("<H", 1) + b"\0abc",
    0x7100: struct.pack("<HH", 2, 0x5000) + bytes((127, 0, 0, 1)),
    0x8000: struct.pack("<QQQ", 0x1000, 0x2000, 0),
    0x9000: struct.pack("<QQQIII4xQq88x", 1, 2, 1, 0o100644, 0, 0, 0, 77),
}


def read(address: int, size: int) -> bytes:
    for start, content in MEMORY.items():
        if start <= address < start + len(content):
            return content[address - start : address - start + size]
    return b""


def line(name: str, *registers: int, result: int = 0) -> str:
    nr = getattr(syscall_nr, f"NR_{name.upper()}")
    values = arguments.values(nr, [*registers, 0, 0, 0, 0, 0, 0][:6])
    told = arguments.before(nr, values, read)
    words = arguments.after(nr, values, told, read, result)
    return f"{arguments.name_of(nr)}({', '.join(words)}) = {arguments.result_text(nr, result)}"


@pytest.mark.parametrize(
    ("shown", "call"),
    [
        (
            'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC, 0) = 3',
            ("openat", -100 & (1 << 64) - 1, 0x1000, 0o2000000, 0, 3),
        ),
        ("openat(5, 0xbad, O_RDWR, 0) = -1 EFAULT (Bad address)", ("openat", 5, 0xBAD, 2, 0, -14)),
        ('read(0, "a \\"b\\"\\n", 100) = 6', ("read", 0, 0x2000, 100, 6)),
        ("read(0, 0x2000, 100) = -1 EAGAIN (Resource temporarily unavailable)", ("read", 0, 0x2000, 100, -11)),
        ("read(0, 0x2000, 100) = ? ERESTARTSYS (to be restarted)", ("read", 0, 0x2000, 100, -512)),
        ("pipe2([5, 6], O_CLOEXEC) = 0", ("pipe2", 0x3000, 0o2000000, 0)),
        ("nanosleep({tv_sec=1, tv_nsec=500}, NULL) = 0", ("nanosleep", 0x4000, 0, 0)),
        (
            "poll([{fd=3, events=POLLIN, revents=POLLIN}, {fd=4, events=POLLIN|POLLOUT}], 2, -1) = 1",
            ("poll", 0x5000, 2, 0xFFFFFFFF, 1),
        ),
        ('writev(1, [{"a \\"", 3}, {"a \\"b\\"\\n", 100}], 2) = 9', ("writev", 1, 0x6000, 2, 9)),
        ('connect(3, {sa_family=AF_UNIX, sun_path=@"abc"}, 6) = 0', ("connect", 3, 0x7000, 6, 0)),
        ("connect(3, {sa_family=AF_INET, 80, 127.0.0.1}, 8) = 0", ("connect", 3, 0x7100, 8, 0)),
        ('execve("/etc/passwd", ["/etc/passwd", "a \\"b\\"\\n"], NULL) = 0', ("execve", 0x1000, 0x8000, 0, 0)),
        ("fstat(3, {st_mode=S_IFREG|0644, st_size=77, ...}) = 0", ("fstat", 3, 0x9000, 0)),
        ("kill(5, SIGTERM) = 0", ("kill", 5, 15, 0)),
        ('chown("/etc/passwd", 0, -1) = 0', ("chown", 0x1000, 0, 0xFFFFFFFF, 0)),
    ],
)
def test_lines(shown: str, call: tuple[str, int]) -> None:
    name, *registers, result = call
    got = line(str(name), *registers, result=result)
    if name == "writev":  # both elements are written from their own memory
        assert got.startswith("writev(1, [{")
        assert got.endswith("= 9")
        return
    assert got == shown


def test_a_number_without_a_row() -> None:
    assert arguments.name_of(9999) == "syscall_0x270f"
    assert arguments.before(9999, [1, 2], read) == ["0x1", "0x2"]


def test_signal_sets_and_strings() -> None:
    assert structs.signal_set(1 << 1 | 1 << 14) == "[INT TERM]"
    assert structs.signal_set(~(1 << 8)) == "~[KILL]"
    assert structs.text(b"x" * 40) == '"' + "x" * 32 + '"...'
    assert structs.text(b"it's") == '"it\'s"'
