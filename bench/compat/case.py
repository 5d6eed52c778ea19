"""What a test is and what became of it: plain data that goes to worker processes and into result files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

NATIVE = "native"
PASS, FAIL, SKIP = "pass", "fail", "skip"
OUTCOMES = (PASS, FAIL, SKIP)

SUPERUSER = 0
UNPRIVILEGED = 12345


@dataclass(frozen=True)
class Case:
    """One test of one source. `{place}` in argv and environment becomes the run's own writable directory.

    `syscalls` are the calls it is about, as far as the source tells; `family` is theirs, or the source's own word.
    """

    source: str
    name: str
    family: str
    argv: tuple[str, ...]
    time_limit_s: float
    syscalls: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = SUPERUSER
    is_read: tuple[str, ...] = ()
    """Paths that the test needs beside the system's own, for runtimes that show only what they are told to."""

    @property
    def key(self) -> str:
        return f"{self.source}:{self.name}"


@dataclass(frozen=True)
class Verdict:
    """What a source makes of an exit status and an output. `cause` is a few words; empty for a plain pass."""

    outcome: str
    cause: str = ""


@dataclass(frozen=True)
class Result:
    """One run of one case. `tail` is the end of its output, kept unless it passed."""

    key: str
    runtime: str
    outcome: str
    cause: str = ""
    status: int | None = None
    seconds: float = 0.0
    tail: str = ""
    internal_errors: int = 0

    def as_json(self) -> dict[str, Any]:
        """Only what says something."""
        return {name: value for name, value in asdict(self).items() if value or name in ("status", "outcome")}

    @staticmethod
    def of_json(record: Mapping[str, Any]) -> Result:
        return Result(**record)
