"""Writes the console script once more, for a faster start: `python -m pysentry.cli.script`, a step of the build.

An interpreter begins by reading pyvenv.cfg, listing site-packages and executing what .pth files there say: 3 ms of each
start, for modules that are found without. This script says -I -S and names the directories itself; so what the caller's
environment tells Python (PYTHONPATH, ...) is not heard either. pip cannot write it: it replaces the first line.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

LONGEST_FIRST_LINE = 127  # of a script, bytes, for any Linux
OURS = str(Path(__file__).resolve().parents[2])
TEMPLATE = """#!{python} -IS
import sys

sys.path[:0] = [{ours!r}]
sys.path += {others!r}
from pysentry.cli.entry import main

raise SystemExit(main())
"""


def text() -> str:
    """The script of this interpreter's installation."""
    known = {*_search_path("-IS"), OURS}
    others = [path for path in _search_path("-I") if path not in known]
    return TEMPLATE.format(python=sys.executable, ours=OURS, others=others)


def _search_path(flags: str) -> list[str]:
    words = [sys.executable, flags, "-c", "import sys; print(sys.path)"]
    found: list[str] = ast.literal_eval(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    return found


def write(path: Path) -> None:
    """Replaces what pip installed at `path`, if it is not this already. FileNotFoundError: nothing is installed."""
    before, after = path.read_text(), text()
    first = after.partition("\n")[0]
    if before == after or len(first) > LONGEST_FIRST_LINE or first.count(" ") > 1:  # pip's own way around that stays
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(after)
    partial.chmod(path.stat().st_mode & 0o7777)
    partial.rename(path)


if __name__ == "__main__":
    write(Path(sysconfig.get_path("scripts")) / "pysentry")
