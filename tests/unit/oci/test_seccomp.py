"""linux.seccomp as a BPF program: judged call by call with a small interpreter, and by the kernel in a child."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from pysentry.oci.errors import SpecError
from pysentry.oci.seccomp import MOST_INSTRUCTIONS, SeccompError
from pysentry.platform.native import lib
from tests.harness.seccomp_profiles import NUMBERS, arg, install, libc, profile, rule

X86_64, I386 = 0xC000_003E, 0x4000_0003
ALLOW, LOG, KILL_PROCESS, KILL_THREAD, TRAP = 0x7FFF_0000, 0x7FFC_0000, 0x8000_0000, 0, 0x0003_0000


def error(number: int) -> int:
    return 0x0005_0000 | number


def verdict(program: bytes, call: str | int, *args: int, arch: int = X86_64) -> int:
    """What the kernel's interpreter would return."""
    nr = call if isinstance(call, int) else NUMBERS[call]
    data = struct.pack("=IIQ6Q", nr, arch, 0, *(value & (1 << 64) - 1 for value in (*args, *[0] * (6 - len(args)))))
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator = at = 0
    while True:
        op, jt, jf, k = code[at]
        at += 1
        match op:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x15:
                at += jt if accumulator == k else jf
            case 0x25:
                at += jt if accumulator > k else jf
            case 0x35:
                at += jt if accumulator >= k else jf
            case 0x45:
                at += jt if accumulator & k else jf
            case 0x06:
                return int(k)
            case _:
                raise ValueError(f"instruction {op:#x}")


# ---- what is compiled ----------------------------------------------------------------------------------------------


def test_actions() -> None:
    for name, value in (
        ("ALLOW", ALLOW),
        ("LOG", LOG),
        ("KILL", KILL_THREAD),
        ("KILL_THREAD", KILL_THREAD),
        ("KILL_PROCESS", KILL_PROCESS),
        ("TRAP", TRAP),
        ("TRACE", error(errno.ENOSYS)),
        ("ERRNO", error(errno.EPERM)),
    ):
        default = "LOG" if name == "ALLOW" else "ALLOW"
        program = profile(default, rule(name, "getcwd"))
        assert verdict(program, "getcwd") == value, name
        assert verdict(program, "chdir") == {"LOG": LOG, "ALLOW": ALLOW}[default]


def test_errnos() -> None:
    rules = (rule("ERRNO", "getcwd", errnoRet=errno.ENOENT), rule("ALLOW", "uname"))
    program = profile("ERRNO", *rules, defaultErrnoRet=errno.ENOTTY)
    assert verdict(program, "getcwd") == error(errno.ENOENT)
    assert verdict(program, "read") == error(errno.ENOTTY)
    assert verdict(program, "uname") == ALLOW
    # TRACE carries a value for the tracer; without one the kernel answers ENOSYS, whatever the value is.
    assert verdict(profile("ALLOW", rule("TRACE", "getcwd", errnoRet=5)), "getcwd") == error(errno.ENOSYS)


def test_conditions_of_a_rule_hold_together() -> None:
    program = profile("ALLOW", rule("ERRNO", "socket", args=[arg(0, "EQ", 16), arg(2, "NE", 0)]))
    assert verdict(program, "socket", 16, 1, 9) == error(errno.EPERM)
    assert verdict(program, "socket", 16, 1, 0) == ALLOW
    assert verdict(program, "socket", 2, 1, 9) == ALLOW


def test_conditions_on_one_argument_are_rules_of_their_own() -> None:
    program = profile("ALLOW", rule("ERRNO", "socket", args=[arg(0, "EQ", 16), arg(0, "EQ", 17)]))
    assert [verdict(program, "socket", family) for family in (15, 16, 17)] == [ALLOW, *[error(errno.EPERM)] * 2]


@pytest.mark.parametrize(
    ("op", "holds"),
    [
        ("EQ", (False, True, False)),
        ("NE", (True, False, True)),
        ("LT", (True, False, False)),
        ("LE", (True, True, False)),
        ("GT", (False, False, True)),
        ("GE", (False, True, True)),
    ],
)
def test_operators_look_at_64_bits(op: str, holds: tuple[bool, ...]) -> None:
    value = 5 << 32 | 7
    program = profile("ALLOW", rule("ERRNO", "getcwd", args=[arg(1, op, value)]))
    found = [verdict(program, "getcwd", 0, given) != ALLOW for given in (value - 1, value, value + (1 << 32))]
    assert tuple(found) == holds


def test_masked_eq() -> None:
    program = profile("ALLOW", rule("ERRNO", "fchmod", args=[arg(1, "MASKED_EQ", 0o6000, 0o4000)]))
    assert [verdict(program, "fchmod", 3, mode) != ALLOW for mode in (0o755, 0o4755, 0o6755, 0o2755)] == [
        False, True, False, False,
    ]  # fmt: skip


def test_unknown_calls_are_skipped() -> None:
    program = profile("ALLOW", rule("ERRNO", "no_such_call", "socketcall", "getcwd"))
    assert verdict(program, "getcwd") == error(errno.EPERM)


def test_calls_newer_than_the_profile() -> None:
    """An allow list of yesterday: what came later is ENOSYS, so that libc falls back; what it left out is EPERM."""
    program = profile("ERRNO", rule("ALLOW", "read", "openat", "no_such_call"))
    assert verdict(program, "openat") == ALLOW
    assert verdict(program, "mount") == error(errno.EPERM)
    assert verdict(program, "openat2") == error(errno.ENOSYS)
    assert verdict(profile("KILL_PROCESS", rule("ALLOW", "read")), "openat2") == error(errno.ENOSYS)
    assert verdict(profile("ALLOW", rule("ERRNO", "read")), "openat2") == ALLOW
    assert verdict(profile("ERRNO"), "read") == error(errno.EPERM)  # a profile without rules has no newest call


def test_other_architectures() -> None:
    """They are killed by our own filter, before whatever this one says."""
    program = profile("ALLOW", rule("ERRNO", "getcwd"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    assert verdict(program, 183, arch=I386) == KILL_THREAD
    assert verdict(program, NUMBERS["getcwd"] | 0x4000_0000) == KILL_THREAD


def test_calls_of_the_stub_pass() -> None:
    program = profile("KILL_PROCESS", rule("ALLOW", "execve"))
    empty_path = 0x1000
    assert verdict(program, "execveat", lib.STUB_FD, 1, 2, 3, empty_path) == ALLOW
    assert verdict(program, "execveat", lib.STUB_FD, 1, 2, 3, 0) != ALLOW
    assert verdict(program, "execveat", 5, 1, 2, 3, empty_path) != ALLOW
    assert verdict(program, lib.STUB_CALL, 1, 2, lib.STUB_MAGIC) == ALLOW
    for other in (lib.STUB_MAGIC & 0xFFFF_FFFF, lib.STUB_MAGIC ^ 1, lib.STUB_MAGIC ^ 1 << 40):
        assert verdict(program, lib.STUB_CALL, 1, 2, other) != ALLOW
        assert verdict(program, "recvmsg", 1, 2, 3, 4, 5, other) != ALLOW
    for name in ("recvmsg", "dup3", "close"):
        assert verdict(program, name, 1, 2, 3, 4, 5, lib.STUB_MAGIC) == ALLOW
    assert verdict(program, "sendmsg", 1, 2, 3, 4, 5, lib.STUB_MAGIC) != ALLOW


def test_a_rule_for_every_call() -> None:
    names = sorted(NUMBERS)
    conditions = [arg(at, "MASKED_EQ", 1 << 40 | 3, 1) for at in range(3)]
    program = profile("ERRNO", rule("ALLOW", *names[::2]), rule("LOG", *names[1::2], args=conditions))
    assert len(program) % 8 == 0
    for at, name in enumerate(names):
        if NUMBERS[name] < 335:  # what any libseccomp knows
            assert verdict(program, name) == (error(errno.EPERM) if at % 2 else ALLOW), name


@pytest.mark.parametrize(
    ("rules", "more", "message"),
    [
        ([rule("NOTIFY", "getcwd")], {}, "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported"),
        ([], {"defaultAction": "SCMP_ACT_NOTIFY"}, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported"),
        (
            [rule("ALLOW", "read"), rule("KILL", "getcwd", errnoRet=1)],
            {},
            "linux.seccomp.syscalls[1].errnoRet: SCMP_ACT_KILL takes no errno",
        ),
        ([], {"defaultErrnoRet": 1}, "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno"),
        (
            [rule("ERRNO", "getcwd", args=[arg(1, "EQ", value)]) for value in range(0, 9000, 2)],
            {},
            "linux.seccomp: too many rules: ",
        ),
    ],
)
def test_what_cannot_be_had(rules: list[dict[str, Any]], more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        profile("ALLOW", *rules, **more)
    assert str(caught.value).startswith(message)
    assert MOST_INSTRUCTIONS == 4096


def test_without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The container does not start: it would run without its filter."""
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(SeccompError, match="needs pyseccomp and libseccomp"):
        profile("ALLOW")


# ---- the kernel ----------------------------------------------------------------------------------------------------

def under(program: bytes, body: Callable[[], None]) -> int:
    """Runs body in a child with the filter; its wait status. An exception is status 1, with the traceback on stderr."""
    pid = os.fork()
    if pid == 0:
        try:
            install(program)
            body()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def errno_of(nr: int, *args: int) -> int:
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(nr), *map(ctypes.c_long, args)) < 0 else 0


def test_the_kernel_takes_it() -> None:
    program = profile(
        "ALLOW",
        rule("ERRNO", "getppid", errnoRet=errno.ENOTTY),
        rule("ERRNO", "socket", args=[arg(0, "EQ", 16)]),
        rule("TRACE", "getpgrp"),
        rule("LOG", "getuid"),
    )

    def body() -> None:
        assert errno_of(NUMBERS["getppid"]) == errno.ENOTTY
        assert errno_of(NUMBERS["socket"], 16, 3, 0) == errno.EPERM
        assert errno_of(NUMBERS["socket"], 1, 1, 0) == 0
        assert errno_of(NUMBERS["getpgrp"]) == errno.ENOSYS
        assert errno_of(NUMBERS["getuid"]) == 0

    assert under(program, body) == 0


@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"])
def test_the_kernel_kills(action: str) -> None:
    status = under(profile("ALLOW", rule(action, "getppid")), lambda: print(errno_of(NUMBERS["getppid"])))
    assert os.WTERMSIG(status) == signal.SIGSYS


def test_an_allow_list_lets_a_program_run() -> None:
    names = [name for name in NUMBERS if name not in ("getppid", "openat2") and NUMBERS[name] < 400]
    program = profile("ERRNO", rule("ALLOW", *names))

    def body() -> None:
        assert errno_of(NUMBERS["getppid"]) == errno.EPERM
        assert errno_of(NUMBERS["openat2"]) == errno.ENOSYS
        os.execv("/bin/sh", ["sh", "-c", "exit 7"])

    assert os.waitstatus_to_exitcode(under(program, body)) == 7
