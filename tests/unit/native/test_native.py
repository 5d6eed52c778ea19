"""Runs the C tests of native/vfs and native/fast, each in a process of its own, under the address and UB sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
NATIVE = ROOT / "native"
HERE = Path(__file__).resolve().parent
BUILD = ROOT / "tests" / ".build"
PROGRAM = BUILD / "native_tests"
SOURCES = [
    *sorted(HERE.glob("*.c")),
    *sorted((NATIVE / "vfs").glob("*.c")),
    *[NATIVE / "fast" / f"{name}.c" for name in
      ("path", "open", "lower", "reopen", "stat", "dir", "names", "rename", "attr", "io", "copy", "seek", "fcntl",
       "identity", "ioctl", "memory")
      if (NATIVE / "fast" / f"{name}.c").exists()],
    *[NATIVE / "engine" / f"{name}.c" for name in ("clock", "epoll_members", "files", "memory")],
    *sorted((NATIVE / "gofer").glob("*.c")),
]  # fmt: skip
FLAGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", f"-I{NATIVE}", f"-I{HERE}"]  # fmt: skip


def build() -> Path:
    """Compiles the test program if a source is newer."""
    newest = max(path.stat().st_mtime for path in [*SOURCES, *NATIVE.glob("**/*.h"), *HERE.glob("*.h")])
    if not PROGRAM.exists() or PROGRAM.stat().st_mtime < newest:
        BUILD.mkdir(exist_ok=True)
        fresh = PROGRAM.with_suffix(f".{os.getpid()}")
        compiled = subprocess.run(["gcc", *FLAGS, "-o", str(fresh), *map(str, SOURCES)], capture_output=True, text=True)
        if compiled.returncode:
            pytest.exit(compiled.stderr, returncode=1)
        fresh.replace(PROGRAM)
    return PROGRAM


@pytest.fixture(scope="module")
def program() -> Path:
    return build()


def names() -> list[str]:
    """Read from the sources, so that collecting the tests compiles nothing."""
    return [line.split('"')[1] for path in sorted(HERE.glob("test_*.c")) for line in path.read_text().splitlines()
            if line.startswith('    {"')]  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_native(program: Path, name: str) -> None:
    # Whole-program structs (task, superblocks) live as long as the process: leaks are not looked for.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    result = subprocess.run([str(program), name], capture_output=True, text=True, timeout=PATIENCE_S, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
