"""The seccomp program, run by hand on every number."""

from __future__ import annotations

from struct import pack, unpack_from

import pytest

from gofer.filter import CONDITIONS, READ_CALLS, WRITE_CALLS, build_filter
from gofer.syscalls import NUMBERS

X86_64, I386 = 0xC000003E, 0x40000003
ALLOW, KILL = 0x7FFF0000, 0x80000000


def verdict(program: bytes, nr: int, arguments: tuple[int, ...] = (0,) * 6, arch: int = X86_64) -> int:
    data = pack("<IIQ6Q", nr, arch, 0, *arguments)
    accumulator = 0
    at = 0
    while True:
        code, if_true, if_false, constant = unpack_from("<HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            accumulator = unpack_from("<I", data, constant)[0]
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x15:
            at += if_true if accumulator == constant else if_false
        else:
            assert code == 0x06
            return int(constant)


@pytest.mark.parametrize("is_writable", [False, True])
def test_only_the_list_is_allowed(is_writable: bool) -> None:
    program = build_filter(is_writable)
    allowed = {NUMBERS[name] for name in READ_CALLS + (WRITE_CALLS if is_writable else ())}
    conditional = {NUMBERS[name] for name in CONDITIONS}
    for nr in range(700):
        if nr not in conditional:
            assert verdict(program, nr) == (ALLOW if nr in allowed else KILL), nr
        assert verdict(program, nr, arch=I386) == KILL
        assert verdict(program, nr | 0x40000000) == KILL


def test_conditions_on_arguments() -> None:
    program = build_filter(False)
    mmap, fcntl, ioctl, affinity = (NUMBERS[name] for name in ("mmap", "fcntl", "ioctl", "sched_setaffinity"))
    assert verdict(program, mmap, (0, 4096, 3, 0x22, 0, 0)) == ALLOW
    assert verdict(program, mmap, (0, 4096, 7, 0x22, 0, 0)) == KILL
    assert verdict(program, fcntl, (3, 1030, 3, 0, 0, 0)) == ALLOW
    assert verdict(program, fcntl, (3, 4, 0, 0, 0, 0)) == KILL
    assert verdict(program, ioctl, (3, 0x5441, 0, 0, 0, 0)) == ALLOW
    assert verdict(program, ioctl, (3, 0x5412, 0, 0, 0, 0)) == KILL  # TIOCSTI
    assert verdict(program, affinity, (0, 128, 0, 0, 0, 0)) == ALLOW
    assert verdict(program, affinity, (1, 128, 0, 0, 0, 0)) == KILL
