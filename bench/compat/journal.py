"""The result file: JSON lines, one as soon as it is known, so that a run that was killed goes on where it was.

The first line of each session says what was run with; every other line is one result, and of two for the same test and
runtime the later one counts. A last line that was torn by a kill is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from bench.compat.case import Result

Results = dict[tuple[str, str], Result]


class Journal:
    """Append-only; use as a context manager. `results` is what is known, by test and runtime."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: Results = {}
        self.sessions: list[dict[str, Any]] = []
        self._file: TextIO | None = None
        self._next_session: Mapping[str, Any] | None = None

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            os.truncate(self.path, self._read())
        self._file = open(self.path, "a")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> int:
        """Takes in what is there; returns the length of the whole lines."""
        good = 0
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    self._take(json.loads(line))
                except (ValueError, TypeError):
                    raise ValueError(f"{self.path}: not a line of a result file: {line[:80]!r}") from None
                good += len(line)
        return good

    def _take(self, record: Mapping[str, Any]) -> None:
        if "session" in record:
            self.sessions.append(record["session"])
        else:
            result = Result.of_json(record)
            self.results[result.key, result.runtime] = result

    def begin(self, session: Mapping[str, Any]) -> None:
        """What is run with from now on; written with the first result. `runtimes` are versions by name."""
        self._next_session = session

    def add(self, result: Result) -> None:
        if self._next_session is not None:
            self._write({"session": dict(self._next_session)})
            self._next_session = None
        self._write(result.as_json())

    def versions(self, runtime: str) -> str:
        """All that the file's results may be of."""
        known = (session["runtimes"].get(runtime) for session in self.sessions)
        return ", ".join(dict.fromkeys(version for version in known if version))

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._take(record)
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()

    def forget(self, keys: Iterable[tuple[str, str]]) -> None:
        """These are to be run again. The file keeps the old lines until new ones follow."""
        for key in keys:
            self.results.pop(key, None)


def read(path: Path) -> Journal:
    """A saved run, only to look at. Raises OSError."""
    journal = Journal(path)
    journal._read()
    return journal
