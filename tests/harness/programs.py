"""Real programs: the same command on the host and in a configuration gives the same output and exit status.

Owns the comparison, copying inputs to where both run, and installing Debian packages that a test needs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.harness.runner import Result, Runner, give_away, session_directory

SCRIPTS = Path(__file__).resolve().parents[1] / "programs" / "scripts"


@dataclass
class Comparison:
    """Runs a command natively and under `runner`, each in its own directory with the same inputs."""

    runner: Runner
    native: Runner

    def put(self, *sources: Path) -> None:
        """Copies files or directories into both working directories."""
        for runner in (self.runner, self.native):
            for source in sources:
                target = runner.work / source.name
                if source.is_dir():
                    shutil.copytree(source, target, symlinks=True)
                    for path in [target, *target.rglob("*")]:
                        _own(path, runner)
                else:
                    shutil.copyfile(source, target)
                    _own(target, runner)

    def script(self, name: str) -> None:
        self.put(SCRIPTS / name)

    def same(self, argv: Sequence[str | Path], *, is_ordered: bool = True, **arguments: Any) -> Result:
        """Runs both and asserts the same status, stdout and stderr; returns the runner's result.

        The path of the working directory counts as the same; is_ordered False compares sorted lines.
        """
        expected = self.native.run(argv, **{key: value for key, value in arguments.items() if key != "options"})
        if self.runner.is_native:
            return expected
        result = self.runner.run(argv, **arguments)
        for name in ("status", "stdout", "stderr"):
            got, wanted = (
                _comparable(run, name, is_ordered) for run in ((result, self.runner), (expected, self.native))
            )
            assert got == wanted, f"{name} differs from the native run\n{result}\n=== native\n{expected}"
        return result


def script(runner: Runner, name: str) -> Path:
    """A script of tests/programs, where the runner's programs see it (the checkout may lie below /tmp)."""
    copied = runner.work / name
    shutil.copyfile(SCRIPTS / name, copied)
    _own(copied, runner)
    return copied


def _own(path: Path, runner: Runner) -> None:
    if not path.is_symlink():
        give_away(path, runner.configuration)


def _comparable(run: tuple[Result, Runner], name: str, is_ordered: bool) -> object:
    result, runner = run
    value = getattr(result, name)
    if not isinstance(value, str):
        return value
    lines = value.replace(str(runner.directory), "DIRECTORY").splitlines()
    return lines if is_ordered else sorted(lines)


@cache
def install(*packages: str) -> str | None:
    """Installs those Debian packages that are missing; returns why that failed, or None.

    One xdist worker at a time, and it waits for a dpkg that somebody else has locked.
    """
    with open(session_directory() / "apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [package for package in packages if not is_installed(package)]
        if not missing:
            return None
        if os.geteuid() != 0:
            return f"{', '.join(missing)} not installed, and only root can install"
        reason = None
        for attempt in range(2):
            reason = _apt("install", "-y", "--no-install-recommends", *missing)
            if reason is None or attempt == 1:
                break
            _apt("update")  # a list that is missing or out of date is the usual reason
        return reason


def is_installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"


def _apt(*words: str) -> str | None:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Acquire::Retries=2", *words]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else f"apt-get {words[0]} failed: {done.stderr.strip()[-300:]}"


def need(program: str, package: str) -> Path:
    """Path of a program in the host's PATH, installed from `package` if missing; skips the test if that cannot be."""
    for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"):
        if os.access(f"{directory}/{program}", os.X_OK):
            return Path(directory, program)
    reason = install(package)
    if reason is None and (found := shutil.which(program)):
        return Path(found)
    pytest.skip(f"needs {program} ({package}): {reason}")


def made_once(name: str, make: Any) -> Path:
    """A directory that all tests of the session share, filled by make(directory) under a lock the first time."""
    directory = session_directory() / name
    with open(session_directory() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            partial = directory.with_suffix(".partial")
            partial.mkdir()
            make(partial)
            partial.chmod(0o755)
            os.rename(partial, directory)
    return directory


def write_tree(directory: Path, files: Iterable[tuple[str, str]]) -> None:
    """Writes (relative path, content) pairs."""
    for name, content in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
