"""Handlers that are imported when one of their calls is first made: by then there are no files to import from."""

from __future__ import annotations

import ast
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


WITHOUT_PACK = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not hasattr(finder, "hold")]
from pysentry.sandbox import boot, wiring
from pysentry.sandbox.config import RunConfig

wiring.connect(RunConfig(["x"]))
boot._kernel_file_systems()
print(*sys.modules)
"""
AFTER_THE_LOCK_UP = ("abi", "kernel", "loader", "net", "platform", "syscalls", "vfs")
OF_CONTAINERS = "pysentry.vfs.container_root"  # imported before the lock-up, but for containers only


def _imported_in_functions(path: Path) -> set[str]:
    """Modules that a file imports when a function runs."""
    found = set()
    nodes = list(ast.walk(ast.parse(path.read_text())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in below if (ROOT / "src" / f"{name.replace('.', '/')}.py").exists()}
            found.add(node.module)
    return found


def test_without_a_pack_what_is_imported_late_is_imported_before_the_lock_up() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PACK], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = [path for folder in AFTER_THE_LOCK_UP for path in (ROOT / "src/pysentry" / folder).rglob("*.py")]
    wanted = set().union(*map(_imported_in_functions, files)) - {OF_CONTAINERS}
    assert len(wanted) > 5
    assert wanted - set(done.stdout.split()) == set()
