"""Where the pysentry under test is: the console script beside the running Python, or $PYSENTRY.

A checkout that an unprivileged user cannot read (below /root, or in a private temporary directory) is copied for them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.harness.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED_ID = 12345


def as_unprivileged() -> dict[str, object]:
    """Arguments of subprocess.Popen that drop to the unprivileged user; none when we are not root ourselves."""
    if os.geteuid() != 0:
        return {}
    return {"user": UNPRIVILEGED_ID, "group": UNPRIVILEGED_ID, "extra_groups": []}


@cache
def command() -> Path:
    """Path of the `pysentry` command. Raises FileNotFoundError with what to do."""
    given = os.environ.get("PYSENTRY")
    path = Path(given) if given else Path(sys.executable).parent / "pysentry"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run `make venv`, or set PYSENTRY")
    return path


def _is_usable_unprivileged(path: Path) -> bool:
    try:
        done = subprocess.run(
            [path, "--version"],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=PATIENCE_S,
            **as_unprivileged(),  # type: ignore[call-overload]
        )
    except OSError:
        return False
    return bool(done.returncode == 0)


def command_for_unprivileged(directory: Path) -> Path:
    """The command as the unprivileged user can run it: a copy of checkout and venv in `directory` if need be."""
    path = command()
    if _is_usable_unprivileged(path):
        return path
    venv = path.parent.parent
    if not venv.is_relative_to(ROOT):
        raise PermissionError(f"{path} cannot be run by uid {UNPRIVILEGED_ID}, and it is outside of {ROOT}")
    copy = directory / "checkout"
    with open(directory / "checkout.lock", "w") as lock:  # two xdist workers want it at the same moment
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            partial = directory / "checkout.partial"
            shutil.copytree(ROOT, partial, symlinks=True, ignore=shutil.ignore_patterns(".git", "tests", "*_cache"))
            _replace_paths(partial, copy, venv.relative_to(ROOT))
            os.rename(partial, copy)
    return copy / path.relative_to(ROOT)


def _replace_paths(directory: Path, copy: Path, venv: Path) -> None:
    """An editable install names the checkout in scripts and .pth files: make those in `directory` name `copy`."""
    old, new = str(ROOT).encode(), str(copy).encode()
    for pattern in ("bin/pysentry", "lib/python*/site-packages/*.pth", "lib/python*/site-packages/__editable__*.py"):
        for file in (directory / venv).glob(pattern):
            file.write_bytes(file.read_bytes().replace(old, new))
