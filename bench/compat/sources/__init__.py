"""Where tests come from. A source enumerates its cases and knows what an exit status and an output mean.

Owns the list of sources; each is one module with `cases` and `judge`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.compat.case import Case, Verdict
from bench.compat.sources import cpython, guests, ltp, stress_ng


class SourceMissing(Exception):
    """A source that was asked for is not there; the text says what to install or give."""


@dataclass(frozen=True)
class Wanted:
    """What the command line says about sources."""

    ltp: Path | None = None
    has_all_cpython: bool = False
    stress_s: int = 3


@dataclass(frozen=True)
class Source:
    """`cases` raises FileNotFoundError with what is missing. `judge` sees the status of a run that ended by itself."""

    cases: Callable[[Wanted], list[Case]]
    judge: Callable[[int, str], Verdict]


SOURCES = {
    "guests": Source(lambda wanted: guests.cases(), guests.judge),
    "ltp": Source(lambda wanted: ltp.cases(wanted.ltp), ltp.judge),
    "cpython": Source(lambda wanted: cpython.cases(wanted.has_all_cpython), cpython.judge),
    "stress-ng": Source(lambda wanted: stress_ng.cases(wanted.stress_s), stress_ng.judge),
}


def enumerate_cases(names: list[str], wanted: Wanted) -> list[Case]:
    """All cases of the named sources, in their order. Raises SourceMissing."""
    found: list[Case] = []
    for name in names:
        if name not in SOURCES:
            raise SourceMissing(f"no source {name}: there are {', '.join(SOURCES)}")
        try:
            found += SOURCES[name].cases(wanted)
        except FileNotFoundError as error:
            raise SourceMissing(f"{name}: {error}") from None
    return found
