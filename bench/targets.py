"""What the project wants to reach, judged on measured cells. A missed target is a line in the table, no failure."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import Cell
from bench.rows import Kind, Row
from bench.summary import paired_ratio, summarize

PYSENTRY = "pysentry"
COMPARED = "runsc"
NATIVE = "none"


@dataclass(frozen=True)
class Verdict:
    """One target of one row. `value` is None when it could not be measured; then `is_reached` is None too."""

    what: str
    limit: float
    value: float | None
    is_strict: bool = False  # "under", where the others are "at most"

    @property
    def is_reached(self) -> bool | None:
        """None: not measured."""
        if self.value is None:
            return None
        return self.value < self.limit if self.is_strict else self.value <= self.limit


def ratio(cells: Mapping[str, Cell], runtime: str, base: str) -> float | None:
    """runtime / base over paired repetitions; None if either is missing or went wrong."""
    if runtime not in cells or base not in cells or cells[runtime].errors or cells[base].errors:
        return None
    return paired_ratio(cells[runtime].samples, cells[base].samples)


def verdicts(row: Row, cells: Mapping[str, Cell]) -> list[Verdict]:
    """The row's targets in a fixed order: against runsc, against no sandbox, memory, punts."""
    pysentry = cells.get(PYSENTRY, Cell())
    found: list[Verdict] = []
    if row.runsc_limit is not None:
        found.append(Verdict("pysentry/runsc", row.runsc_limit, ratio(cells, PYSENTRY, COMPARED)))
    if row.none_limit is not None:
        found.append(Verdict("pysentry/none", row.none_limit, ratio(cells, PYSENTRY, NATIVE)))
    if row.kind is Kind.IDLE_PSS and row.idle_limit_mib is not None:
        summary = summarize(pysentry.samples)
        found.append(Verdict("PSS in MiB", row.idle_limit_mib, summary.median if summary else None))
    if row.punts_limit is not None:
        counts = pysentry.call_counts
        found.append(Verdict("punts share", row.punts_limit, counts.punts_share if counts else None, is_strict=True))
    return found
