"""The floor's program answers: two numbers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import floor


def test_the_plainest_variant(tmp_path: Path) -> None:
    program = tmp_path / "floor"
    source = Path(floor.__file__).with_name("floor.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    done = subprocess.run([program, "0", "0", "0"], check=True, capture_output=True, text=True)
    native, trapped = map(float, done.stdout.split())
    assert native > 0
    assert trapped > 0
