"""Our own guest programs: each TEST of tests/guests/*.c is a case. They also run, under pytest, in tests/syscalls."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bench.compat import calls
from bench.compat.case import FAIL, PASS, SKIP, Case, Verdict
from tests.harness import guest_programs

TIME_LIMIT_S = 60.0
_TEST = re.compile(r"^TEST\((\w+)\)", re.MULTILINE)
_FUNCTION = re.compile(r"^static [^;={]*?\b(\w+)\([^;{]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def cases() -> list[Case]:
    found = []
    for family in guest_programs.families():
        binary = str(guest_programs.build(family))
        # "", name, body, name, body, ...
        text = (guest_programs.SOURCES / f"{family}.c").read_text()
        functions = {name: calls.of_source(body) for name, body in _FUNCTION.findall(text)}
        parts = _TEST.split(text)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            found.append(
                Case(
                    "guests",
                    f"{family}.{name}",
                    family,
                    (binary, name),
                    TIME_LIMIT_S,
                    syscalls=_calls_of(body, functions),
                    is_read=(str(guest_programs.BINARIES),),
                )
            )
    return found


def _calls_of(body: str, functions: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What a test calls itself and through the functions of its file, one level deep."""
    used = [functions[word] for word in re.findall(r"\b(\w+)\(", body) if word in functions]
    return tuple(sorted({*calls.of_source(body), *(call for through in used for call in through)}))


def judge(status: int, output: str) -> Verdict:
    """guest.h: TAP, and 77 for a skip."""
    if status == guest_programs.SKIPPED:
        reasons = re.findall(r"^# SKIP (.*)$", output, re.MULTILINE)
        return Verdict(SKIP, reasons[0] if reasons else "no reason given")
    if status != 0:
        return Verdict(FAIL, f"status {status}")
    return Verdict(PASS) if re.search(r"^ok 1 - ", output, re.MULTILINE) else Verdict(FAIL, "ended early")
