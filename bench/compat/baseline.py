"""What is known: the baseline (what passed in a saved run) and the block lists (what fails, and why).

A block list is a TOML file for each source. Its tables are `pysentry` (all of its configurations), the name of one
runtime, or `left_out` (not run at all); each line is a test and the reason.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.compat.journal import Results

BASELINE = Path(__file__).with_name("baseline.json")
BLOCK_LISTS = Path(__file__).with_name("block_lists")
LEFT_OUT = "left_out"
ALL_OF_PYSENTRY = "pysentry"


class BadBlockList(Exception):
    """A block list that says nothing useful: no reason, or no such table."""


@dataclass
class Baseline:
    """Outcome by test and runtime, and by source which versions of the runtimes they are from."""

    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], str] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> Baseline:
        """An absent file is an empty baseline: nothing can regress. A result file serves as well."""
        if not path.exists():
            return Baseline()
        if path.suffix == ".jsonl":
            from bench.compat import journal

            saved = journal.read(path)
            outcomes = {key: result.outcome for key, result in saved.results.items()}
            return Baseline(outcomes=outcomes)
        document = json.loads(path.read_text())
        runtimes = document["runtimes"]
        outcomes = {
            (test, runtime): outcome
            for test, row in document["tests"].items()
            for runtime, outcome in zip(runtimes, row.split(), strict=True)
            if outcome != "-"
        }
        return Baseline(document["versions"], outcomes)

    def update(self, results: Results, versions: Mapping[str, str]) -> None:
        """Takes over what was run; what was not run stays."""
        for key, result in results.items():
            self.outcomes[key] = result.outcome
            self.versions.setdefault(key[0].split(":")[0], {})[key[1]] = versions[key[1]]

    def save(self, path: Path) -> None:
        """One line a test, so that a change of the file reads as a change of tests."""
        runtimes = sorted({runtime for _, runtime in self.outcomes}, key=lambda name: (name != "native", name))
        tests = {
            test: " ".join(self.outcomes.get((test, runtime), "-") for runtime in runtimes)
            for test in sorted({test for test, _ in self.outcomes})
        }
        document = {"runtimes": runtimes, "versions": self.versions, "tests": tests}
        path.write_text(json.dumps(document, indent=1) + "\n")


@dataclass(frozen=True)
class BlockList:
    """Known failures. `reasons` by table, then by test (`source:name`)."""

    reasons: Mapping[str, Mapping[str, str]]

    @property
    def left_out(self) -> Mapping[str, str]:
        return self.reasons.get(LEFT_OUT, {})

    def reason(self, test: str, runtime: str, is_pysentry: bool) -> str | None:
        for table in (runtime, ALL_OF_PYSENTRY if is_pysentry else ""):
            if test in self.reasons.get(table, {}):
                return self.reasons[table][test]
        return None

    def listed(self, runtime: str, is_pysentry: bool) -> set[str]:
        tables = [runtime, *([ALL_OF_PYSENTRY] if is_pysentry else [])]
        return {test for table in tables for test in self.reasons.get(table, {})}


def load_block_lists(directory: Path, runtimes: Iterable[str]) -> BlockList:
    """Raises BadBlockList."""
    known = {LEFT_OUT, ALL_OF_PYSENTRY, *runtimes}
    merged: dict[str, dict[str, str]] = {}
    for path in sorted(directory.glob("*.toml")):
        tables: dict[str, Any] = tomllib.loads(path.read_text())
        for table, lines in tables.items():
            if table not in known:
                raise BadBlockList(f"{path.name}: no runtime {table}: there are {', '.join(sorted(known))}")
            for name, reason in lines.items():
                if not isinstance(reason, str) or not reason.strip():
                    raise BadBlockList(f"{path.name}: {name} has no reason")
                merged.setdefault(table, {})[f"{path.stem}:{name}"] = reason
    return BlockList(merged)
