"""Seccomp profiles as config.json has them, compiled by us; and how a process takes one natively."""

from __future__ import annotations

import ctypes
from typing import Any

from pysentry.abi import syscall_nr
from pysentry.oci.document import Fields
from pysentry.oci.seccomp import compile_seccomp
from pysentry.oci.spec_linux import Seccomp

NUMBERS = {name[3:].lower(): nr for name, nr in vars(syscall_nr).items() if name.startswith("NR_")}


def profile(default: str, *rules: dict[str, Any], **more: Any) -> bytes:
    syscalls = [{"action": f"SCMP_ACT_{rule['action']}"} | rule["fields"] for rule in rules]
    document = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": syscalls} | more
    return compile_seccomp(Seccomp(Fields(document, "linux.seccomp")))


def rule(action: str, *names: str, **fields: Any) -> dict[str, Any]:
    return {"action": action, "fields": {"names": list(names)} | fields}


def arg(index: int, op: str, value: int, value_two: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


libc = ctypes.CDLL(None, use_errno=True)
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2


def install(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    filled = Program(len(program) // 8, program)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(filled), 0, 0) == 0
