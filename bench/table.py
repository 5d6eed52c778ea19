"""The result as a table for people: aligned for a terminal, or Markdown.

Owns only the looks. One list of cells, two ways to put lines and bars between them.
"""

import unicodedata
from collections.abc import Mapping, Sequence

from bench.measure import Cell
from bench.rows import Row
from bench.runtimes import Runtime
from bench.summary import summarize
from bench.targets import COMPARED, NATIVE, PYSENTRY, Verdict, ratio, verdicts


def format_value(value: float) -> str:
    """Three significant digits without an exponent: 0.0712, 3.14, 27.5, 1234."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:.0f}"
    digits = 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    return f"{value:.{digits}f}"


def format_cell(name: str, cells: Mapping[str, Cell]) -> str:
    """`median ±spread xratio-to-none`; the spread is MAD / median in percent."""
    cell = cells[name]
    if cell.errors:
        return "error"
    summary = summarize(cell.samples)
    if summary is None:
        return "-"
    text = format_value(summary.median)
    if summary.count > 1 and summary.median > 0:
        text += f" ±{100 * summary.mad / summary.median:.0f}%"
    to_none = ratio(cells, name, NATIVE) if name != NATIVE else None
    return text if to_none is None else f"{text} x{format_value(to_none)}"


def format_verdict(verdict: Verdict) -> str:
    """One target: what, the limit, what it came to, and whether that is enough."""
    answer = {None: "not measured", True: "yes", False: "NO"}[verdict.is_reached]
    is_share = verdict.what == "punts share"
    value = "" if verdict.value is None else f" {_percent(verdict.value) if is_share else format_value(verdict.value)}"
    limit = _percent(verdict.limit) if is_share else f"{verdict.limit:g}"
    name = {"pysentry/runsc": "", "pysentry/none": "x none ", "PSS in MiB": "MiB ", "punts share": "punts "}[
        verdict.what
    ]
    return f"{name}{'<' if verdict.is_strict else '≤'}{limit}:{value} {answer}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


def table_lines(
    rows: Sequence[Row], runtimes: Sequence[Runtime], measured: Mapping[str, Mapping[str, Cell]]
) -> list[list[str]]:
    """The header and one list of cells for each measured row, unformatted."""
    names = [runtime.name for runtime in runtimes if runtime.missing is None]
    lines = [["", "unit", *names, f"{PYSENTRY}/{COMPARED}", "targets"]]
    for row in rows:
        cells = measured.get(row.name)
        if cells is None:
            continue
        against = ratio(cells, PYSENTRY, COMPARED)
        lines.append(
            [
                row.title,
                row.unit,
                *(format_cell(name, cells) for name in names),
                "-" if against is None else format_value(against),
                ", ".join(format_verdict(verdict) for verdict in verdicts(row, cells)),
            ]
        )
    return lines


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def terminal(lines: Sequence[Sequence[str]]) -> str:
    """Columns padded to the same width; the first left-aligned, and the last; numbers to the right."""
    widths = [max(_width(line[column]) for line in lines) for column in range(len(lines[0]))]
    last = len(widths) - 1
    shown = []
    for line in lines:
        padded = [
            text + " " * (width - _width(text)) if column in (0, 1, last) else " " * (width - _width(text)) + text
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("  ".join(padded).rstrip())
    return "\n".join(shown) + "\n"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A GitHub table. Bars inside cells are escaped."""
    last = len(lines[0]) - 1
    rule = [":--" if column in (0, 1, last) else "--:" for column in range(len(lines[0]))]
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "".join("| " + " | ".join(line) + " |\n" for line in [escaped[0], rule, *escaped[1:]])


def footnotes(runtimes: Sequence[Runtime], measured: Mapping[str, Mapping[str, Cell]]) -> list[str]:
    """What the table can't hold: runtimes that were missing, and the errors behind its `error` cells."""
    notes = [f"{runtime.name} is missing: {runtime.missing}" for runtime in runtimes if runtime.missing is not None]
    for row_name, cells in measured.items():
        notes += [f"{row_name}, {name}: {error}" for name, cell in cells.items() for error in cell.errors]
    return notes


LEGEND = (
    f"Each cell: median ±MAD, x the time without a sandbox. Ratios are medians of the ratios within one repetition. "
    f"Targets without a name are {PYSENTRY}/{COMPARED}."
)
