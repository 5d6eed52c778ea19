"""A container's own seccomp filter, on top of ours: as on Linux, for calls that the host answers and for those of the
sentry, on both platforms."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.harness.guest_programs import build, names_of
from tests.harness.runner import session_directory
from tests.harness.seccomp_profiles import NUMBERS, arg, install, profile, rule
from tests.harness.sentry import Sentry, process

PYTHON = "/usr/bin/python3"
PROFILE = (
    rule("ERRNO", "getppid", errnoRet=25),  # the host answers it
    rule("ERRNO", "mkdir", "mkdirat", errnoRet=28),  # the sentry does
    rule("ERRNO", "socket", args=[arg(0, "EQ", 16)]),
    rule("ERRNO", "fchmod", args=[arg(1, "MASKED_EQ", 0o4000, 0o4000)]),
    rule("TRACE", "getpgrp", "uname"),
    rule("LOG", "getuid", "getpid"),
)
# Calls by number: what libc makes of a name is not the question.
PROGRAM = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    result = libc.syscall(ctypes.c_long(nr), *args)
    return ctypes.get_errno() if result < 0 else 0
fd = os.memfd_create("x")
print(
    call({NUMBERS["getppid"]}), call({NUMBERS["mkdir"]}, b"/dev/shm/x", 0o755), call({NUMBERS["socket"]}, 16, 3, 0),
    call({NUMBERS["socket"]}, 1, 1, 0), call({NUMBERS["fchmod"]}, fd, 0o4755), call({NUMBERS["fchmod"]}, fd, 0o755),
    call({NUMBERS["getpgrp"]}), call({NUMBERS["uname"]}, 0), call({NUMBERS["getuid"]}), call({NUMBERS["getpid"]}),
    call({NUMBERS["openat2"]}, -100, b"/", 0, 0), flush=True,
)
os.execv("/bin/sh", ["sh", "-c", "exit 7"])
"""


@pytest.fixture(params=["seccomp", "ptrace"])
def sentry(request: pytest.FixtureRequest) -> Iterator[Sentry]:
    started = Sentry(
        session_directory() / f"seccomp-{os.getpid()}-{time.monotonic_ns()}", request.param, process("sleep", "1000")
    )
    started.start()
    yield started
    started.close()


def native(program: bytes, *argv: str) -> tuple[str, int]:
    """What a program prints under a filter without us, and its wait status."""
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: install(program))
    text, _ = child.communicate()
    code = child.returncode
    return text, -code if code < 0 else code << 8


def everything_but(*names: str) -> bytes:
    """An allow list of what there was before Linux 5.2."""
    return profile("ERRNO", rule("ALLOW", *(name for name, nr in NUMBERS.items() if name not in names and nr < 428)))


def test_answers_are_those_of_linux(sentry: Sentry) -> None:
    program = profile("ALLOW", *PROFILE)
    expected = native(program, PYTHON, "-c", PROGRAM)
    assert expected == ("25 28 1 0 1 0 38 38 0 0 22\n", 7 << 8)
    assert sentry.output(PYTHON, "-c", PROGRAM, seccomp=program) == expected


def test_an_allow_list(sentry: Sentry) -> None:
    program = everything_but("getppid", "uname", "mkdir")
    expected = native(program, PYTHON, "-c", PROGRAM)
    assert expected == ("1 1 0 0 0 0 0 1 0 0 38\n", 7 << 8)  # the last is newer than the list
    assert sentry.output(PYTHON, "-c", PROGRAM, seccomp=program) == expected


@pytest.mark.parametrize("action", ["KILL", "KILL_PROCESS", "TRAP"])
@pytest.mark.parametrize("name", ["getppid", "uname"])
def test_a_killed_program(sentry: Sentry, action: str, name: str) -> None:
    program = profile("ALLOW", rule(action, name))
    line = f"import ctypes; ctypes.CDLL(None).syscall({NUMBERS[name]}, 0)"
    assert native(program, PYTHON, "-c", line) == ("", signal.SIGSYS)
    assert sentry.output(PYTHON, "-c", line, seccomp=program)[1] & 0x7F == signal.SIGSYS


def test_an_exec_is_judged_by_the_call_that_the_program_made(sentry: Sentry) -> None:
    """Ours in its place is an execveat, and a dup3."""
    line = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall({NUMBERS["execveat"]}, -100, b"/bin/true", None, None, 0)
print(ctypes.get_errno(), flush=True)
os.execv("/bin/echo", ["echo", "yes"])
"""
    program = profile("ALLOW", rule("ERRNO", "execveat", "dup3", errnoRet=5))
    expected = native(program, PYTHON, "-c", line)
    assert expected == ("5\nyes\n", 0)
    assert sentry.output(PYTHON, "-c", line, seccomp=program) == expected


def test_children_and_threads_have_it(sentry: Sentry) -> None:
    program = profile("ALLOW", rule("ERRNO", "uname", errnoRet=13))
    line = "import os, threading\ndef f():\n try: os.uname()\n except OSError as e: print(e.errno, flush=True)\n"
    line += "t = threading.Thread(target=f); t.start(); t.join()\nif os.fork() == 0: f()\nelse: os.wait()"
    expected = native(program, PYTHON, "-c", line)
    assert expected == ("13\n13\n", 0)
    assert sentry.output(PYTHON, "-c", line, seccomp=program) == expected


def test_others_do_not_have_it(sentry: Sentry) -> None:
    assert sentry.output("uname", seccomp=profile("ALLOW", rule("KILL_PROCESS", "uname")))[1] == signal.SIGSYS
    assert sentry.output("uname") == ("Linux\n", 0)


def test_the_first_program_has_it() -> None:
    for platform in ("seccomp", "ptrace"):
        directory = session_directory() / f"seccomp-{os.getpid()}-{time.monotonic_ns()}"
        first = process("sh", "-c", "uname || exit 9", seccomp=profile("ALLOW", rule("ERRNO", "uname")))
        started = Sentry(directory, platform, first)
        started.start()
        assert started.wait() == 9
        started.close()


def test_a_user_without_privilege_has_it(sentry: Sentry) -> None:
    """It is the container's: what seccomp(2) asks of the program itself is not asked."""
    program = profile("ALLOW", rule("ERRNO", "uname", errnoRet=13))
    fields = {"uid": 12, "gid": 34, "no_new_privs": False, "seccomp": program}
    line = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nfprog = b'\\1' + bytes(15)\n"
    line += f"libc.syscall({NUMBERS['seccomp']}, 1, 0, ctypes.create_string_buffer(fprog))\n"
    line += "print(os.getuid(), ctypes.get_errno(), flush=True)\ntry: os.uname()\nexcept OSError as e: print(e.errno)"
    assert sentry.output(PYTHON, "-c", line, **fields) == ("12 13\n13\n", 0)  # EACCES for one more


@pytest.mark.parametrize("platform", ["seccomp", "ptrace"])
def test_programs_that_join_have_the_first_ones(platform: str) -> None:
    """`exec` doesn't send a filter: the sentry keeps the container's."""
    first = process("sleep", "1000", seccomp=profile("ALLOW", rule("ERRNO", "uname", errnoRet=13)))
    started = Sentry(session_directory() / f"seccomp-{os.getpid()}-{time.monotonic_ns()}", platform, first)
    started.start()
    line = "import os\ntry: os.uname()\nexcept OSError as e: print(e.errno)"
    assert started.output(PYTHON, "-c", line) == ("13\n", 0)
    started.close()


@pytest.mark.parametrize("sentry", ["seccomp"], indirect=True)
@pytest.mark.parametrize("family", ["ptrace", "ptrace_stops"])
def test_programs_trace_each_other_under_one(sentry: Sentry, family: str) -> None:
    """The stops that a tracer asks for are made at traps, which a filter of the container's may not swallow."""
    program = profile("ALLOW", rule("ERRNO", "uname", errnoRet=13), rule("LOG", "ptrace", "getppid", "getpid"))
    somewhere_to_write = 'mount -t tmpfs tmpfs /tmp && exec "$0"'
    text, status = sentry.output("sh", "-c", somewhere_to_write, str(build(family)), seccomp=program)
    assert status == 0, text
    assert text.count("\nok ") + text.startswith("ok ") == len(names_of(family)), text
