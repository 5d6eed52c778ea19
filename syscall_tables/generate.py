#!/usr/bin/env python3
"""Writes everything that is generated from the rows; `--check` says what is not up to date instead.

    python syscall_tables/generate.py [--check]

Exit status: 0, 1 (--check found a difference), 2 (a row is wrong). Needs Python >= 3.11; writing needs pyseccomp and
libseccomp. `--check` compares the filters byte for byte where the same libseccomp is at hand that compiled them;
elsewhere (libraries of different versions lay the tree out differently) it compares what the filters were made from.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from generator import emit_c, emit_compat, emit_python, handlers, rows, seccomp_filter
from generator.arg_types import RowError

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent


def policy_digest(table: rows.Table) -> str:
    """What the filters depend on: numbers, verdicts and conditions. `fast` or `python` makes no difference to them."""
    policy = []
    for row in table.rows:
        disposition = "trap" if row.disposition in ("fast", "python") else row.disposition
        otherwise = "trap" if row.trapped else row.otherwise
        policy.append((row.nr, disposition, row.errno_name, row.allow, otherwise))
    return hashlib.sha256(repr(policy).encode()).hexdigest()


def plain_outputs(table: rows.Table) -> dict[str, str]:
    """Path -> content of what follows from the rows (and, of one, from the handlers that there are)."""
    return {
        "native/generated/syscall_table.h": emit_c.syscall_table(table),
        "src/pysentry/abi/syscall_nr.py": emit_python.syscall_numbers(table),
        "src/pysentry/abi/syscall_rows.py": emit_python.syscall_rows(table),
        "src/pysentry/syscalls/_decoders.py": emit_python.decoders(table),
        "src/pysentry/syscalls/_modules.py": handlers.handler_modules(table, ROOT / "src/pysentry/syscalls"),
        "src/pysentry/trace/_formats.py": emit_python.trace_formats(table),
        "COMPAT.md": emit_compat.compat(table),
    }


def filter_outputs(table: rows.Table, compiler: str) -> dict[str, str]:
    """Path -> content of the two filters, compiled by the libseccomp that is installed."""
    return {
        filter_path(variant): emit_c.filter_header(
            variant.name, seccomp_filter.compile_filter(table, variant), policy_digest(table), compiler
        )
        for variant in seccomp_filter.VARIANTS
    }


def filter_path(variant: seccomp_filter.Variant) -> str:
    return f"native/generated/filter_{variant.name}.h"


def read(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.exists() else ""


def stale(table: rows.Table) -> list[str]:
    """Paths whose checked-in content is not what the rows say."""
    expected = plain_outputs(table)
    compiler = seccomp_filter.libseccomp_version()
    different = []
    for variant in seccomp_filter.VARIANTS:
        path = filter_path(variant)
        found = read(path)
        compiled_by = re.search(r"compiler libseccomp (\S+)", found)
        if compiler is not None and compiled_by is not None and compiled_by[1] == compiler:
            expected[path] = filter_outputs(table, compiler)[path]
        elif f"policy {policy_digest(table)}\n" not in found:
            different.append(path)
    return different + [path for path, content in expected.items() if read(path) != content]


def write(table: rows.Table) -> None:
    """Writes what has changed. SystemExit without libseccomp."""
    compiler = seccomp_filter.libseccomp_version()
    if compiler is None:
        raise SystemExit("generate.py: writing the filters needs pyseccomp and libseccomp (apt: libseccomp2)")
    for path, content in {**plain_outputs(table), **filter_outputs(table, compiler)}.items():
        if read(path) != content:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(content)
            print(f"wrote {path}")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: generate.py [--check]", file=sys.stderr)
        return 2
    try:
        table = rows.load(FOLDER)
    except RowError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 2
    if not arguments:
        write(table)
        return 0
    different = stale(table)
    for path in different:
        print(f"{path}: not what the rows say; run syscall_tables/generate.py", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
