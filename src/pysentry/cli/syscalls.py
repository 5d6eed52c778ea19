"""`pysentry syscalls [NAME]...`: the table of system calls, as generated from syscall_tables/."""

from __future__ import annotations

from collections.abc import Mapping

import click

from pysentry.abi.syscall_rows import ROWS
from pysentry.sandbox.errors import ConfigError

DISPOSITIONS = ("host", "fast", "python", "control", "error")
SUPPORT = ("full", "partial", "stub", "none")


def syscalls(options: Mapping[str, object], names: list[str]) -> int:
    """Prints the rows that fit the options. A row may have two dispositions, by its arguments: `host, else fast`."""
    wanted = _choices(options, "disposition", DISPOSITIONS)
    complete = _choices(options, "support", SUPPORT)
    unknown = set(names) - {row[1] for row in ROWS}
    if unknown:
        raise ConfigError(f"no such system call: {', '.join(sorted(unknown))}")
    rows = [
        row
        for row in ROWS
        if (not names or row[1] in names)
        and (
            not wanted
            or wanted & {part.split()[-1] if "else" in part else part.split()[0] for part in row[3].split(", ")}
        )
        and (not complete or row[4] in complete)
    ]
    if options.get("json"):
        import json

        keys = ("number", "name", "family", "disposition", "support", "note")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
        return 0
    for number, name, family, disposition, support, note in rows:
        click.echo(f"{number:>3}  {name:<24}{family:<10}{disposition:<20}{support:<9}{note}".rstrip())
    click.echo(f"{len(rows)} of {len(ROWS)} system calls")
    return 0


def _choices(options: Mapping[str, object], key: str, allowed: tuple[str, ...]) -> set[str]:
    given = options.get(key, [])
    assert isinstance(given, list)
    for value in given:
        if value not in allowed:
            raise ConfigError(f"--{key} {value}: expected one of {', '.join(allowed)}")
    return set(given)
