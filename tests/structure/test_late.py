"""Handlers that are imported when one of their calls is first made: by then there are no files to import from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
import pysentry.cli.entry
from pysentry.sandbox import boot, launcher, report, wiring
from pysentry.sandbox.config import RunConfig
from pysentry.syscalls._modules import MODULES

wiring.connect(RunConfig(["x"]))
boot._kernel_file_systems()
early = {name for name in sys.modules if name.startswith("pysentry.syscalls.")}
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "hold")]
sys.path_importer_cache.clear()
assert len(sys.meta_path) == 1, "no pack: run `make build`"
for module in (*(f"syscalls.{family}" for family in MODULES), *wiring.LATE_MODULES):
    __import__(f"pysentry.{module}")
print(len(MODULES), len([name for name in MODULES if f"pysentry.syscalls.{name}" in early]))
"""


def test_late_handlers_come_from_memory_alone() -> None:
    """Whatever they import was imported before, or lies in the pack: nothing is looked for in files."""
    subprocess.run([sys.executable, "-m", "pysentry.cli.pack"], cwd=ROOT, check=True)
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    everything, early = map(int, done.stdout.split())
    assert early < everything - 10
