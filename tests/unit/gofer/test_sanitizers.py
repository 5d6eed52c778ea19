"""The C of both sides under the address and undefined-behaviour sanitizers, through the other tests of the gofer.

A sanitizer that finds something ends the process: the gofer then dies of a signal or with a status that no test
expects, the client takes pytest along.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S
from tests.harness.runner import session_directory

ROOT = Path(__file__).resolve().parents[3]
SANITIZERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
TESTS = ["tests/security/test_gofer.py", "tests/security/test_gofer_messages.py", "tests/unit/gofer"]


def library(name: str) -> str:
    path = subprocess.run(["cc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"no {name}")
    return path


@pytest.mark.skipif("GOFER_SANITIZED" in os.environ, reason="this is the run inside")
def test_all_others_with_sanitizers(tmp_path: Path) -> None:
    # stdc++ along with it: the sanitizer looks for its exceptions when it starts.
    preload = [library("libasan.so"), library("libstdc++.so.6")]
    package = tmp_path / "gofer"
    shutil.copytree(ROOT / "src/gofer", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    build = [sys.executable, "native/gofer/build.py", str(package), *SANITIZERS]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "LD_PRELOAD": ":".join(preload),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # Python's own leaks are not ours
        "PYTHONMALLOC": "malloc",
        "GOFER_SANITIZED": "1",
    }
    # test_imports starts a Python of its own; large directories take long and go through the same lines.
    options = ["-q", "-x", "-p", "no:cacheprovider", "--ignore=tests/unit/gofer/test_imports.py"]
    command = [sys.executable, "-m", "pytest", *options, "-k", "not thousand and not many", *TESTS]
    where = subprocess.run(
        [sys.executable, "-c", "import gofer; print(gofer.__file__)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(package)), where
    kept = session_directory() / "kept"
    kept.touch()
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert run.returncode == 0, (run.stdout + run.stderr)[-5000:]
    assert kept.exists(), "the run inside removed what the tests beside it use"
