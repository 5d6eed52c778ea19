"""`python -m bench`: options in, a JSON file, a Markdown file and a table out.

Exit status: 0; 1 if a run went wrong or pysentry itself was asked for and is missing, never for a time; 2 for bad
options.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.fixtures import FixtureError, default_cache, prepare
from bench.measure import Cell, Settings, measure_rows
from bench.processes import become_subreaper, descendants, kill_each
from bench.report import document
from bench.rows import all_rows, select_rows
from bench.runtimes import DEFAULT_RUNTIMES, Runtime, find_runtimes
from bench.table import LEGEND, footnotes, markdown, table_lines, terminal

_RESULTS = Path(__file__).parent / "results"


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of `python -m bench`. Exits with status 2 on a bad one, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="pysentry and others on the same work, in one run"
    )
    parser.add_argument("--rows", type=_names, help="only these rows, comma-separated (see --list)")
    parser.add_argument(
        "--runtimes",
        type=_names,
        default=list(DEFAULT_RUNTIMES),
        help=f"which to compare (default: {','.join(DEFAULT_RUNTIMES)}; also: pysentry-ptrace)",
    )
    parser.add_argument(
        "--program",
        action="append",
        type=_program,
        default=[],
        metavar="RUNTIME=PATH",
        help="use this program for a runtime, for instance a newer runsc",
    )
    parser.add_argument("--repeat", type=_positive, help="repetitions (default: 7, with --quick 3)")
    parser.add_argument("--quick", action="store_true", help="smaller tree, shorter loops, fewer repetitions")
    parser.add_argument(
        "--json",
        type=Path,
        help="where the result goes; the table goes beside it as .md (default: bench/results/TIME.json)",
    )
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="where generated files are kept (%(default)s)"
    )
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds for one run (default: 180)")
    parser.add_argument("--no-install", action="store_true", help="do not apt-get install missing runtimes")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _program(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not RUNTIME=PATH")
    return name, path


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def clean_environment() -> dict[str, str]:
    """The same small environment for every run: the caller's locale or PYTHON* would change what is measured."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
    }


def main(arguments: Sequence[str]) -> int:
    """Measure and write. Returns the exit status."""
    options = parse_options(arguments)
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        become_subreaper()
        fixtures = prepare(options.cache.absolute(), tree_files=2_000 if options.quick else 20_000)
        rows = all_rows(fixtures, micro_budget_ms=50 if options.quick else 200)
        if options.list:
            print("".join(f"{row.name:20} {row.title}\n" for row in rows), end="")
            return 0
        rows = select_rows(rows, options.rows)
        environment = clean_environment()
        runtimes = find_runtimes(
            options.runtimes, dict(options.program), fixtures.scratch, environment, may_install=not options.no_install
        )
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except (FixtureError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    settings = Settings(options.repeat or (3 if options.quick else 7), 60.0, options.timeout, environment)
    circumstances = _begin(options, settings)
    try:
        measured = measure_rows(rows, [runtime for runtime in runtimes if runtime.missing is None], settings)
    finally:
        kill_each(descendants(os.getpid()))  # when interrupted in the middle of a run
    circumstances |= {"finished": _now(), "load_after": os.getloadavg()[0]}
    result = document(rows, runtimes, measured, circumstances)
    _write(
        options.json or _RESULTS / f"{result['started'].replace(':', '').replace('-', '')}.json",
        result,
        table_lines(rows, runtimes, measured),
        footnotes(runtimes, measured),
    )
    return exit_status(runtimes, measured)


def _interrupt(_number: int, _frame: object) -> None:
    """SIGTERM ends as Ctrl-C does: through `finally`, which kills what is running."""
    raise KeyboardInterrupt


def exit_status(runtimes: Sequence[Runtime], measured: Mapping[str, Mapping[str, Cell]]) -> int:
    """1 if a run went wrong, or if pysentry was asked for and can't be used; a missing other runtime is only told."""
    has_errors = any(cell.errors for cells in measured.values() for cell in cells.values())
    is_pysentry_missing = any(runtime.name == "pysentry" and runtime.missing is not None for runtime in runtimes)
    return 1 if has_errors or is_pysentry_missing else 0


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _begin(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    return {
        "started": _now(),
        "settings": {"repetitions": settings.repetitions, "is_quick": options.quick},
        "load_before": os.getloadavg()[0],
    }


def _write(path: Path, result: Mapping[str, Any], lines: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    machine = result["machine"]
    heading = (
        f"{machine['processor']}, {machine['processors']} processors, Linux {machine['kernel']}, {result['started']}, "
        f"load {result['load_before']:.1f} → {result['load_after']:.1f}"
        + (", quick" if result["settings"]["is_quick"] else "")
    )
    told = [f"{name} {runtime['version']}" for name, runtime in result["runtimes"].items() if runtime["version"]]
    below = [LEGEND, *notes]
    path.with_suffix(".md").write_text(
        f"{heading}\n\n{'; '.join(told)}\n\n{markdown(lines)}\n" + "".join(f"- {note}\n" for note in below)
    )
    print(f"{heading}\n{'; '.join(told)}\n\n{terminal(lines)}\n" + "".join(f"{note}\n" for note in below))
    print(f"written: {path}, {path.with_suffix('.md')}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
