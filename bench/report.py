"""The result of a run as one JSON document: every sample, so that others can compute what we did not.

Owns the schema (raise SCHEMA_VERSION when a key changes its meaning) and what is told about the machine.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.fixtures import FIXTURE_VERSION
from bench.measure import Cell
from bench.rows import Row
from bench.runtimes import Runtime
from bench.summary import summarize
from bench.targets import NATIVE, ratio, verdicts

SCHEMA_VERSION = 1


def describe_machine() -> dict[str, Any]:
    """What the numbers depend on, as far as the machine says it."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", "")
        if Path("/etc/os-release").exists()
        else "",
        "processor": _first_value(Path("/proc/cpuinfo"), "model name"),
        "processors": os.cpu_count(),
        "memory_kib": int(_first_value(Path("/proc/meminfo"), "MemTotal").split()[0] or 0),
        "is_root": os.geteuid() == 0,
    }


def _first_value(path: Path, key: str) -> str:
    """The value after `key:` in a /proc file of such lines; "0" when it is not there."""
    for line in path.read_text(errors="replace").splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == key:
            return value.strip()
    return "0"


def document(
    rows: Sequence[Row],
    runtimes: Sequence[Runtime],
    measured: Mapping[str, Mapping[str, Cell]],
    circumstances: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole document. `circumstances`: when, settings, load; taken over as they are."""
    return {
        "schema": SCHEMA_VERSION,
        "fixtures": FIXTURE_VERSION,
        "machine": describe_machine(),
        **circumstances,
        "runtimes": {
            runtime.name: {
                "command": [*runtime.prefix, "CMD"],
                "version": runtime.version,
                "is_available": runtime.missing is None,
                "missing": runtime.missing,
            }
            for runtime in runtimes
        },
        "rows": [_row_document(row, measured[row.name]) for row in rows if row.name in measured],
    }


def _row_document(row: Row, cells: Mapping[str, Cell]) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "unit": row.unit,
        "command": list(row.argv),
        "runtimes": {name: _cell_document(name, cell, cells) for name, cell in cells.items()},
        "targets": [
            {"what": verdict.what, "limit": verdict.limit, "value": verdict.value, "is_reached": verdict.is_reached}
            for verdict in verdicts(row, cells)
        ],
    }


def _cell_document(name: str, cell: Cell, cells: Mapping[str, Cell]) -> dict[str, Any]:
    summary = summarize(cell.samples)
    counts = cell.call_counts
    return {
        "samples": {str(repetition): value for repetition, value in cell.samples.items()},
        "median": summary.median if summary else None,
        "mad": summary.mad if summary else None,
        "ratio_to_none": ratio(cells, name, NATIVE),
        "errors": cell.errors,
        **({"calls": counts.calls, "punts": counts.punts, "punts_share": counts.punts_share} if counts else {}),
        **({"idle_processes_kib": cell.idle_processes} if cell.idle_processes else {}),
    }
