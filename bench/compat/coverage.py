"""`python -m bench.compat.coverage`: what of each row no guest test tries: calls, flags and choices, documented errnos.

Runs every test of tests/guests natively under strace(1) and holds what it saw against the rows (which calls, flags and
choices there are) and against the manual pages (which errnos a call documents). tests/guests/untried.toml lists what
cannot be tried, with reasons. It proves no behaviour: the tests do that. Of a structure (openat2, mount_setattr) it
sees the address alone. A guest that traces cannot do so under strace: what its text names counts as tried.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import gzip
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.compat import calls
from bench.compat.attempt import a_place
from bench.compat.case import ROOT, Case
from bench.compat.runtimes import Runtime
from bench.compat.sources import Wanted, enumerate_cases
from tests.harness.guest_programs import NOT_ON_PTRACE, SOURCES

sys.path.insert(0, str(ROOT / "syscall_tables"))

from generator import rows
from generator.arg_types import Argument

MANUAL = Path("/usr/share/man/man2")
LIMIT_S = 120.0
# "pipe2(0x7ffd, 0x80000) = 0", "read(0, 0x1, 0x2) = -1 EFAULT (Bad address)", "pause() = ? ERESTARTNOHAND (To ...)"
_CALL = re.compile(r"^(\w+)\((.*?)\)\s+= (\S+)(?: (E[A-Z0-9_]+))?", re.MULTILINE)
# The kernel's own words for a call that a signal interrupted, and one number's two names.
_ALSO = {"ERESTARTSYS": "EINTR", "ERESTARTNOHAND": "EINTR", "ERESTARTNOINTR": "EINTR", "ERESTART_RESTARTBLOCK": "EINTR"}
_ALSO |= {"EWOULDBLOCK": "EAGAIN", "ENOTSUP": "EOPNOTSUPP", "EDEADLOCK": "EDEADLK"}
_UNNAMED = re.compile(r"syscall_(0x[0-9a-f]+|\d+)")
_ERRORS = re.compile(r'^\.SH "?ERRORS"?\n(.*?)(?=^\.SH)', re.MULTILINE | re.DOTALL)
_ERRNO = re.compile(r"^\.(?:B|BR|RB) (E[A-Z0-9]{2,})\b", re.MULTILINE)
UNTRIED = ROOT / "tests/guests/untried.toml"
TRACING_GUESTS = frozenset(NOT_ON_PTRACE)


@dataclass
class Seen:
    """What the guests did with one call."""

    times: int = 0
    results: Counter[str] = field(default_factory=Counter)  # "ok" or an errno
    values: dict[int, Counter[tuple[int, str]]] = field(default_factory=lambda: defaultdict(Counter))
    """Of each argument that has named values: how often a value came with a result."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 if something is untried and not listed, or listed and tried."""
    parser = argparse.ArgumentParser(prog="python -m bench.compat.coverage", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--family", action="append", help="only the rows of this file in syscall_tables/linux")
    parser.add_argument("--guest", action="append", help="count only what this file of tests/guests tries")
    parser.add_argument("--no-errnos", action="store_true", help="calls, flags and choices only")
    options = parser.parse_args(arguments)
    try:
        complaints = untried(options.family, options.guest, not options.no_errnos)
    except FileNotFoundError as error:
        print(f"coverage: {error.filename or error} is needed (strace; gcc for the guests)", file=sys.stderr)
        return 2
    print("\n".join(complaints))
    return 1 if complaints else 0


def untried(
    families: Sequence[str] | None = None, guests: Sequence[str] | None = None, with_errnos: bool = True
) -> list[str]:
    """One line for each row with gaps that untried.toml does not list, and for each line of it that is not true."""
    table = rows.load(ROOT / "syscall_tables")
    known = {call: set(reasons) for call, reasons in tomllib.loads(UNTRIED.read_text()).items()}
    everywhere = known.pop("any", set())
    seen = watch(table, guests)
    named = frozenset(word for path in SOURCES.glob("*.c") for word in calls.of_source(path.read_text()))
    tracing = frozenset(re.findall(r"\w+", "".join((SOURCES / f"{family}.c").read_text() for family in TRACING_GUESTS)))
    at_start = frozenset(_calls_at_start())
    complaints = []
    for row in table.rows:
        listed = known.pop(row.name, set())
        if row.disposition == "error" or (families and row.family not in families):
            continue
        is_tried = seen[row.name].times and (row.name not in at_start or row.name in named)
        missing = gaps_of(row, seen[row.name], table, with_errnos) if is_tried else ["call"]
        if row.name == "ptrace":
            missing = [gap for gap in missing if gap not in tracing]
        if unlisted := [gap for gap in missing if gap not in listed | everywhere]:
            complaints.append(f"{row.name}: nobody tries {' '.join(unlisted)}")
        judged = {gap for gap in listed if with_errnos or not hasattr(errno, gap)} if not guests else set()
        if tried := sorted(judged - set(missing)):
            complaints.append(f"{row.name}: {UNTRIED.name} lists what is tried, or does not exist: {' '.join(tried)}")
    return complaints + [f"{UNTRIED.name}: no such call: {call}" for call in known]


def watch(table: rows.Table, guests: Sequence[str] | None = None) -> dict[str, Seen]:
    """Runs the guests, each test in namespaces of its own. What the C library does by itself counts, too."""
    by_number = {row.nr: row for row in table.rows}
    by_name = {row.name: row for row in table.rows}
    cases = enumerate_cases(["guests"], Wanted(None, False, 0))
    cases = [case for case in cases if case.family not in TRACING_GUESTS and (not guests or case.family in guests)]
    seen: dict[str, Seen] = defaultdict(Seen)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines in pool.map(_trace, cases):
            for name, given, result in lines:
                number = _UNNAMED.fullmatch(name)
                row = by_number.get(int(number[1], 0)) if number else by_name.get(name)
                if row is not None:
                    _note(seen[row.name], row, given, result)
    return seen


def _trace(case: Case) -> list[tuple[str, str, str]]:
    """Each call that a test made, as (name, arguments in hexadecimal, "ok" or an errno)."""
    with a_place(case.user) as place:
        work = place / "work"
        strace = ["strace", "-ff", "-qq", "-e", "raw=all", "-e", "signal=none", "-o", str(work / "trace"), *case.argv]
        prepared = Runtime("native", "native").prepare(case, strace, {}, place)
        try:
            subprocess.run(
                prepared.argv, cwd=work, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"{case.name}: not done in {LIMIT_S:g} s under strace", file=sys.stderr)
        text = "\n".join(path.read_text(errors="replace") for path in work.glob("trace.*"))
    return [
        (name, given, _ALSO.get(error, error) or ("?" if returned == "?" else "ok"))
        for name, given, returned, error in _CALL.findall(text)
    ]


def _calls_at_start() -> set[str]:
    """What the C library calls before main: a guest that lists its tests does nothing else."""
    case = enumerate_cases(["guests"], Wanted(None, False, 0))[0]
    return {name for name, _, _ in _trace(dataclasses.replace(case, argv=(case.argv[0], "--list")))}


def _note(seen: Seen, row: rows.Row, given: str, result: str) -> None:
    seen.times += 1
    seen.results[result] += 1
    for index, (argument, text) in enumerate(zip(row.args, given.split(", "), strict=False)):
        if (argument.choices or argument.bits_named) and text.startswith("0"):
            seen.values[index][int(text, 16) & (1 << argument.bits) - 1, result] += 1


def gaps_of(row: rows.Row, seen: Seen, table: rows.Table, with_errnos: bool = True) -> list[str]:
    """Flags and choices never passed, or only beside a bad pointer or descriptor; then errnos never met."""
    if set(seen.results) == {"ENOSYS"}:  # newer than this kernel: a guest asks once, and is skipped
        return []
    missing = []
    for index, argument in enumerate(row.args):
        given = seen.values.get(index, Counter())
        for name, is_given in _named(argument, table):
            if {result for value, result in given if is_given(value)} <= {"EFAULT", "EBADF"}:
                missing.append(name)
    if with_errnos:
        missing += [error for error in sorted(documented(row.name) - _of_other_calls(row)) if error not in seen.results]
    return missing


def _of_other_calls(row: rows.Row) -> set[str]:
    """What a page that several calls share says of those alone that take a path, or a descriptor."""
    kinds = {argument.kind for argument in row.args}
    without_path = {"ELOOP", "ENAMETOOLONG", "ENOTDIR"} if "path" not in kinds else set()
    return without_path | ({"EBADF"} if not kinds & {"fd", "dirfd"} else set())


def _named(argument: Argument, table: rows.Table) -> Iterator[tuple[str, Callable[[int], bool]]]:
    """Each name that an argument can be given by, with how to know it in a register."""
    mask = (1 << argument.bits) - 1
    bits = table.constants.members(argument.bits_named)
    rest = mask
    for _, value in bits:
        rest &= ~value
    for name, value in table.constants.members(argument.choices):
        yield name, partial(_is_choice, value & rest, rest)
    for name, value in bits:
        if value:
            yield name, partial(_is_choice, value & mask, value & mask)


def _is_choice(value: int, mask: int, given: int) -> bool:
    return given & mask == value


def documented(name: str) -> set[str]:
    """The errnos of a manual page's ERRORS section, by the names that the kernel's headers prefer."""
    path = MANUAL / f"{name}.2.gz"
    if not path.exists():
        return set()
    text = gzip.decompress(path.read_bytes()).decode(errors="replace")
    if include := re.match(r"\.so man2/(\S+)\.2", text):
        return documented(include[1])
    found = _ERRNO.findall("\n".join(_ERRORS.findall(text + "\n.SH")))
    return {_ALSO.get(error, error) for error in found if hasattr(errno, error)}


if __name__ == "__main__":
    sys.exit(main())
