"""Rows as data: reads x86_64.tbl and linux/*.toml and refuses what contradicts itself.

Owns: the Row, and every rule that a row must keep. Does not own: what is written
from rows (emit_*.py, seccomp_filter.py).
"""

from __future__ import annotations

import errno
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .arg_types import Argument, RowError, parse_argument
from .conditions import Alternative, any_holds, parse_alternative
from .constants import Constants

DISPOSITIONS = ("host", "fast", "python", "control", "error")
SUPPORTS = ("full", "partial", "stub", "none")
RETURNS = ("int", "ptr", "mode")
TRAPPED = ("fast", "python", "control")
_KEYS = frozenset({"args", "disposition", "support", "note", "errno", "allow_if", "else", "returns", "why"})
MAX_ARGS = 6


@dataclass(frozen=True)
class Row:
    """One system call: its number, its shape, who answers it, how complete the answer is."""

    nr: int
    name: str
    family: str
    args: tuple[Argument, ...]
    returns: str
    disposition: str
    support: str
    note: str
    why: str  # `host` rows: why the host kernel may answer
    errno_name: str  # `error` rows
    allow_text: tuple[str, ...]  # conditional `host` rows: the conditions as written ...
    allow: tuple[Alternative, ...]  # ... and parsed
    otherwise: str  # ... and what a call that meets none of them gets: fast, python or an errno name

    @property
    def trapped(self) -> str:
        """What the sentry does if the call reaches it: fast, python, control, or "" when it never does."""
        if self.disposition in TRAPPED:
            return self.disposition
        return self.otherwise if self.otherwise in TRAPPED else ""

    def verdict(self, raw_args: tuple[int, ...]) -> str:
        """What the row demands of a filter for six raw registers: ALLOW, TRAP, TRACE or an errno name."""
        if self.disposition == "host":
            if not self.allow or any_holds(self.allow, raw_args):
                return "ALLOW"
            return "TRAP" if self.otherwise in TRAPPED else self.otherwise
        if self.disposition == "error":
            return self.errno_name
        return "TRACE" if self.disposition == "control" else "TRAP"


@dataclass(frozen=True)
class Table:
    """Every row, by number, with what the rows refer to."""

    rows: tuple[Row, ...]
    constants: Constants

    def by_family(self) -> dict[str, list[Row]]:
        families: dict[str, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: (row.family, row.nr)):
            families.setdefault(row.family, []).append(row)
        return families


def load(folder: Path) -> Table:
    """Reads `folder` (syscall_tables/). RowError, naming file and row, for the first thing that is wrong."""
    number_file, constants_file = folder / "x86_64.tbl", folder / "constants.toml"
    family_files = sorted((folder / "linux").glob("*.toml"))
    numbers = load_numbers(number_file)
    constants = Constants.load(constants_file)
    rows: dict[str, Row] = {}
    for path in family_files:
        for name, fields in tomllib.loads(path.read_text()).items():
            try:
                if name not in numbers:
                    raise RowError("no such call in x86_64.tbl")
                if name in rows:
                    raise RowError(f"also has a row in {rows[name].family}.toml")
                rows[name] = parse_row(numbers[name], name, path.stem, fields, constants)
            except RowError as error:
                raise RowError(f"linux/{path.name} [{name}]: {error}") from None
    missing = sorted(numbers.keys() - rows.keys())
    if missing:
        raise RowError(f"no row for {', '.join(missing)}")
    return Table(tuple(sorted(rows.values(), key=lambda row: row.nr)), constants)


def load_numbers(path: Path) -> dict[str, int]:
    """x86_64.tbl -> {name: number}; RowError for a number or name given twice."""
    numbers: dict[str, int] = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            number, name = line.split()
            if name in numbers or int(number) in numbers.values():
                raise RowError(f"{path.name}: {line!r} repeats a name or a number")
            numbers[name] = int(number)
    return numbers


def parse_row(nr: int, name: str, family: str, fields: dict[str, Any], constants: Constants) -> Row:
    """One TOML table -> Row. RowError says which rule it breaks."""
    if unknown := fields.keys() - _KEYS:
        raise RowError(f"unknown key {sorted(unknown)[0]!r}")
    args = tuple(parse_argument(text) for text in fields["args"])
    allow_text = tuple(fields.get("allow_if", ()))
    row = Row(
        nr=nr,
        name=name,
        family=family,
        args=args,
        returns=fields.get("returns", "int"),
        disposition=fields["disposition"],
        support=fields.get("support", "full"),
        note=fields.get("note", ""),
        why=fields.get("why", ""),
        errno_name=fields.get("errno", ""),
        allow_text=allow_text,
        allow=tuple(parse_alternative(text, args, constants) for text in allow_text),
        otherwise=fields.get("else", ""),
    )
    _check_arguments(row, constants)
    _check_behaviour(row)
    return row


def _check_arguments(row: Row, constants: Constants) -> None:
    names = [arg.name for arg in row.args]
    if len(names) > MAX_ARGS or len(set(names)) != len(names):
        raise RowError("more than six arguments, or two of one name")
    for arg in row.args:
        if arg.size_from and arg.size_from not in names:
            raise RowError(f"{arg.name}: its size is in {arg.size_from!r}, which is no argument")
        constants.members(arg.choices + arg.bits_named)


def _check_behaviour(row: Row) -> None:
    if row.disposition not in DISPOSITIONS or row.support not in SUPPORTS or row.returns not in RETURNS:
        raise RowError("unknown disposition, support or returns")
    if row.support != "full" and not row.note:
        raise RowError(f"support {row.support!r} needs a note")
    is_error = row.disposition == "error"
    if is_error != bool(row.errno_name) or (row.support == "none" and not is_error):
        raise RowError("`errno` and support = 'none' belong to `error` rows, and only to them")
    if is_error and row.support != "none" and (row.support != "full" or row.errno_name != "ENOSYS" or not row.note):
        raise RowError("an `error` row is 'none', or 'full' where Linux itself answers ENOSYS and the note says so")
    if (row.disposition == "host") != bool(row.why):
        raise RowError("`why` belongs to `host` rows, and each needs one")
    if bool(row.allow) != bool(row.otherwise) or (row.allow and row.disposition != "host"):
        raise RowError("`allow_if` and `else` go together, on `host` rows only")
    if row.otherwise == "control":
        raise RowError("a conditional host row cannot fall through to the tracer")
    for name in (row.errno_name, row.otherwise):
        if name and name not in TRAPPED and not hasattr(errno, name):
            raise RowError(f"{name!r} is no errno")
    if row.otherwise and row.otherwise not in TRAPPED and row.support == "full":
        raise RowError("a host row that refuses some arguments is not 'full'")
