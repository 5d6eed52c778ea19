"""The rows: what is run, in which unit it is measured, and what the project wants to reach.

Pure data made from the fixtures' paths. The targets are those of the issue that asked for this benchmark; they judge
the table and never fail a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench.fixtures import NEEDLE, Fixtures

IMPORTED_MODULES = (
    "asyncio, concurrent.futures, ctypes, decimal, email.mime.multipart, http.server, json, logging.config, "
    "multiprocessing, sqlite3, unittest, urllib.request, xml.dom.minidom, xml.etree.ElementTree, zipfile"
)
MICRO_ROWS = {
    "getuid": "trapped no-op call (getuid)",
    "open_close": "open + close",
    "stat": "stat",
    "fstat": "fstat",
    "read_4k": "pread 4 KiB, cached",
    "read_64k": "pread 64 KiB, cached",
    "pipe_ping_pong": "pipe round trip, two processes",
    "fork_wait": "fork + wait",
    "thread_create_join": "thread create + join",
}


class Kind(Enum):
    """How a row is measured: around the whole command, inside the guest, or as memory at rest."""

    WALL = "wall"
    MICRO = "micro"
    IDLE_PSS = "idle_pss"


@dataclass(frozen=True)
class Row:
    """One line of the table. A limit is None where the project set none; ratios are pysentry's time over another's."""

    name: str
    title: str
    kind: Kind
    argv: tuple[str, ...]
    # Prints something that depends on all that argv reads; run once, unmeasured, where argv's output is thrown away.
    check_argv: tuple[str, ...] | None = None
    is_output_ordered: bool = True
    runsc_limit: float | None = None
    none_limit: float | None = None
    idle_limit_mib: float | None = None
    punts_limit: float | None = None

    @property
    def unit(self) -> str:
        """The unit of samples, medians and deviations of this row."""
        return {Kind.WALL: "ms", Kind.MICRO: "µs", Kind.IDLE_PSS: "MiB"}[self.kind]


def all_rows(fixtures: Fixtures, micro_budget_ms: int) -> list[Row]:
    """Every row in the order of the table. micro_budget_ms is how long one hot loop runs."""
    return [
        *_start_rows(),
        *_tree_rows(fixtures),
        _compile_row(fixtures),
        *_micro_rows(fixtures, micro_budget_ms),
        _idle_row(),
    ]


def _start_rows() -> list[Row]:
    python = "/usr/bin/python3"
    forks = "for i in {1..20}; do /bin/true; done"
    return [
        Row("true", "/bin/true", Kind.WALL, ("/bin/true",), runsc_limit=0.5),
        Row("python_pass", "python3 -c pass", Kind.WALL, (python, "-c", "pass"), runsc_limit=0.5),
        Row(
            "python_import",
            "python3, 15 large imports",
            Kind.WALL,
            (python, "-c", f"import {IMPORTED_MODULES}"),
            runsc_limit=0.25,
        ),
        Row("fork_exec", "bash, 20 x fork+exec", Kind.WALL, ("/bin/bash", "-c", forks), runsc_limit=0.25),
    ]


def _tree_rows(fixtures: Fixtures) -> list[Row]:
    tree, large = str(fixtures.tree), str(fixtures.large_file)
    return [
        # A directory's order is the file system's: the lines are compared sorted.
        Row(
            "find",
            "find, large tree",
            Kind.WALL,
            ("/usr/bin/find", tree),
            is_output_ordered=False,
            runsc_limit=0.5,
            punts_limit=0.05,
        ),
        Row(
            "grep",
            "grep -r, large tree",
            Kind.WALL,
            ("/bin/grep", "-r", NEEDLE, tree),
            is_output_ordered=False,
            runsc_limit=0.5,
            punts_limit=0.05,
        ),
        Row(
            "cat",
            "cat of 100 MB",
            Kind.WALL,
            ("/bin/cat", large),
            check_argv=("/usr/bin/cksum", large),
            runsc_limit=0.5,
        ),
    ]


def _compile_row(fixtures: Fixtures) -> Row:
    program = fixtures.scratch / "program"
    sources = " ".join(str(source) for source in fixtures.sources)
    # bwrap has no writable /tmp. Not in the environment of every run: runsc keeps its state there, for another user.
    script = f"TMPDIR={fixtures.scratch} gcc -O2 -o {program} {sources} && {program}"
    return Row(
        "compile",
        "gcc -O2, 8 files, link, run",
        Kind.WALL,
        ("/bin/sh", "-c", script),
        runsc_limit=0.25,
        punts_limit=0.05,
    )


def _micro_rows(fixtures: Fixtures, budget_ms: int) -> list[Row]:
    return [
        Row(
            name,
            title,
            Kind.MICRO,
            (str(fixtures.micro), name, str(budget_ms), str(fixtures.data_file)),
            runsc_limit=0.5,
            none_limit=40.0 if name == "getuid" else None,
        )
        for name, title in MICRO_ROWS.items()
    ]


def _idle_row() -> Row:
    return Row("idle_pss", "idle sandbox, PSS", Kind.IDLE_PSS, ("/bin/sleep", "5"), idle_limit_mib=30.0)


def select_rows(rows: Sequence[Row], names: Sequence[str] | None) -> list[Row]:
    """The named rows in the table's order; all for None. Raises ValueError for an unknown name."""
    if names is None:
        return list(rows)
    unknown = sorted(set(names) - {row.name for row in rows})
    if unknown:
        raise ValueError(f"no such row: {', '.join(unknown)} (there are: {', '.join(row.name for row in rows)})")
    return [row for row in rows if row.name in names]
