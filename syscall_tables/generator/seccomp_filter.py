"""Rows -> the two BPF programs (user notification, pure ptrace).

libseccomp compiles what depends on numbers alone: the architecture and x32 checks and a binary tree over the numbers.
A conditional row gets a marker verdict there; each `return marker` is then turned into a jump to a block of our own
behind the program (bpf.py). Numbers without a row trap: the sentry answers ENOSYS and counts them.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from .bpf import (
    JMP_JA,
    RET_ALLOW,
    RET_ERRNO,
    RET_K,
    RET_KILL_PROCESS,
    RET_TRACE,
    RET_USER_NOTIF,
    Instruction,
    judge_arguments,
    otherwise_verdict,
    unpack,
)
from .rows import Row, Table

TRACE_TRAP = 1  # SECCOMP_RET_DATA of a call for the sentry, in the ptrace variant
TRACE_CONTROL = 2  # ... of a `control` row, in both
_MARKER = 0x4000  # SECCOMP_RET_DATA of a placeholder: _MARKER + nr
_BINARY_TREE = 2  # SCMP_FLTATR_CTL_OPTIMIZE


@dataclass(frozen=True)
class Variant:
    """One of the two filters: its file and array name, and how a call reaches the sentry in it."""

    name: str
    trap: int


VARIANTS = (
    Variant("notify", RET_USER_NOTIF),
    Variant("ptrace", RET_TRACE | TRACE_TRAP),
)


def libseccomp_version() -> str | None:
    """Version of the library that would compile, or None where there is none (or no pyseccomp)."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError):
        return None
    import ctypes

    class Version(ctypes.Structure):
        _fields_ = [("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint)]

    function = pyseccomp._libseccomp.seccomp_version
    function.restype = ctypes.POINTER(Version)
    found = function().contents
    return f"{found.major}.{found.minor}.{found.micro}"


def compile_filter(table: Table, variant: Variant) -> list[Instruction]:
    """The whole program for one variant. ImportError without pyseccomp."""
    return _append_tails(table, variant, unpack(_compile_numbers(table, variant)))


def _compile_numbers(table: Table, variant: Variant) -> bytes:
    import pyseccomp

    numbers = pyseccomp.SyscallFilter(variant.trap)
    numbers.set_attr(pyseccomp.Attr.ACT_BADARCH, RET_KILL_PROCESS)
    numbers.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    for row in table.rows:
        verdict = _number_verdict(row, variant)
        if verdict != variant.trap:
            numbers.add_rule(verdict, row.nr)
    return _export(numbers)


def _number_verdict(row: Row, variant: Variant) -> int:
    if row.allow:
        return RET_TRACE | (_MARKER + row.nr)
    if row.disposition == "host":
        return RET_ALLOW
    if row.disposition == "error":
        return RET_ERRNO | int(getattr(errno, row.errno_name))
    if row.disposition == "control":
        return RET_TRACE | TRACE_CONTROL
    return variant.trap


def _export(compiled: object) -> bytes:
    import tempfile

    with tempfile.TemporaryFile() as file:
        compiled.export_bpf(file)  # type: ignore[attr-defined]
        file.seek(0)
        return file.read()


def _append_tails(table: Table, variant: Variant, program: list[Instruction]) -> list[Instruction]:
    for row in table.rows:
        if not row.allow:
            continue
        marker = Instruction(RET_K, 0, 0, RET_TRACE | (_MARKER + row.nr))
        places = [at for at, instruction in enumerate(program) if instruction == marker]
        assert places, f"libseccomp left {row.name} out"
        for at in places:
            program[at] = Instruction(JMP_JA, 0, 0, len(program) - at - 1)
        program.extend(judge_arguments(row.allow, otherwise_verdict(row, variant.trap)))
    return program
