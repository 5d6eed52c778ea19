"""Runs a program in one configuration and holds what must be true of every run.

After each run under pysentry: its report counts no internal error, no process is left, nothing was written to the host
behind the overlay, and nothing lies in TMPDIR. Every run has a time limit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import checkout, leftovers
from tests.harness.configuration import Configuration
from tests.harness.patience import PATIENCE_S

# Not /tmp: inside the sandbox that may be a file system of its own. One directory below it for each pytest session.
BASE = Path("/var/tmp/pysentry-tests")
SESSION_VARIABLE = "PYSENTRY_TEST_SESSION"


def session_directory() -> Path:
    """Where this pytest session (all its xdist workers) keeps what it makes; conftest.py removes it at the end."""
    directory = BASE / os.environ[SESSION_VARIABLE]
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    return directory


class RunTimeout(AssertionError):
    """The program did not end in time; everything it started was killed."""


@dataclass
class Result:
    """What a run gave. `status` is as in a shell: 128+N for death by signal N."""

    argv: list[str]
    status: int
    stdout: str
    stderr: str
    report: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"$ {' '.join(self.argv)}\nstatus {self.status}\n--- stdout\n{self.stdout[-6000:]}\n"
            f"--- stderr\n{self.stderr[-6000:]}\n--- report {self.report}"
        )


@dataclass
class Runner:
    """Runs programs in `configuration`, with `directory` (writable, owned by the user it runs as) as their place."""

    configuration: Configuration
    directory: Path
    command: Path | None = None
    owned: set[int] = field(default_factory=set)  # children that the test itself keeps

    @property
    def is_native(self) -> bool:
        return self.configuration.is_native

    @property
    def work(self) -> Path:
        """The working directory of the programs."""
        return self.directory / "work"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.directory / "tmp"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "SHELL": "/bin/bash",
            "PYTHONDONTWRITEBYTECODE": "1",
            **(extra or {}),
        }

    @property
    def report_path(self) -> Path:
        return self.directory / "report.json"

    def argv(self, argv: Sequence[str | Path], options: Sequence[str] = ()) -> list[str]:
        """The whole command line for the program's own."""
        program = [str(word) for word in argv]
        if self.is_native:
            return program
        assert self.command is not None
        return [str(self.command), "run", *self.configuration.options, *options, "--", *program]

    def user_arguments(self) -> dict[str, Any]:
        return checkout.as_unprivileged() if self.configuration.unprivileged else {}

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> subprocess.Popen[bytes]:
        """Starts the program without waiting; end it with finish(). `arguments` go to Popen."""
        self.report_path.unlink(missing_ok=True)
        environment = self.environment(env)
        if self.is_native:  # a guest that is killed leaves its scratch directory; in the sandbox it goes with it
            environment["GUEST_TMP"] = environment["TMPDIR"]
        else:
            environment["PYSENTRY_REPORT"] = str(self.report_path)
        arguments = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.work,
            "start_new_session": True,
            **self.user_arguments(),
            **arguments,
        }
        process = subprocess.Popen(self.argv(argv, options), env=environment, **arguments)
        self.owned.add(process.pid)
        return process

    def finish(
        self,
        process: subprocess.Popen[bytes],
        stdin: bytes | None = None,
        timeout_s: float = PATIENCE_S,
        *,
        has_report: bool = True,
    ) -> Result:
        """Waits for the end and checks what every run must leave. has_report False: the run may not get that far."""
        try:
            output, errors = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired as expired:
            end_tree(process)
            self.owned.discard(process.pid)
            output, errors = expired.stdout or b"", expired.stderr or b""
            leftovers.end_orphans(self.owned, 1.0)
            raise RunTimeout(
                f"no end after {timeout_s} s: {process.args!r}\n{_text(output)[-4000:]}\n{_text(errors)[-4000:]}"
            ) from None
        self.owned.discard(process.pid)
        code = process.returncode
        result = Result(list(process.args), code if code >= 0 else 128 - code, _text(output), _text(errors))  # type: ignore[arg-type]
        left = leftovers.end_orphans(self.owned, leftovers.GRACE_S if not self.is_native else 1.0)
        if not self.is_native:
            assert not left, f"processes left behind: {left}\n{result}"
            self.check_report(result, has_report)
            assert os.listdir(self.directory / "tmp") == [], f"left in the host's TMPDIR\n{result}"
        return result

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: bytes | None = None,
        timeout_s: float = PATIENCE_S,
        has_report: bool = True,
        **arguments: Any,
    ) -> Result:
        """Runs a program to its end. See start() and finish()."""
        if stdin is not None:
            arguments["stdin"] = subprocess.PIPE
        unchanged = not self.is_native and not any("--bind" in option for option in arguments.get("options", ()))
        before = _snapshot(self.work) if unchanged else None
        result = self.finish(self.start(argv, **arguments), stdin, timeout_s, has_report=has_report)
        if before is not None:
            assert _snapshot(self.work) == before, f"the host's working directory was changed\n{result}"
        return result

    def check_report(self, result: Result, has_report: bool = True) -> None:
        """The run report exists and counts no internal error."""
        # Created at the start, written at the end: it is empty if the sentry was killed in between.
        text = self.report_path.read_text() if self.report_path.exists() else ""
        if not text:
            assert not has_report, f"no run report was written\n{result}"
            return
        result.report = json.loads(text)
        assert result.report["internal_errors"] == 0, f"internal errors were counted\n{result}"


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that we started, with the session it leads; the rest must follow by itself."""
    for kill in (os.killpg, os.kill):
        try:
            kill(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    try:
        process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        for stream in (process.stdout, process.stderr, process.stdin):
            if stream is not None:
                stream.close()
        process.wait(PATIENCE_S)


def _text(data: bytes | None) -> str:
    """Output as text; none for a stream that was not captured."""
    return (data or b"").decode(errors="backslashreplace")


def _snapshot(directory: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for root, directories, files in os.walk(directory):
        for name in directories + files:
            status = os.lstat(os.path.join(root, name))
            found.append((os.path.join(root, name), status.st_mode, status.st_size, status.st_mtime_ns))
    return sorted(found)


@contextmanager
def place_for(configuration: Configuration):  # type: ignore[no-untyped-def]
    """A fresh directory with work/, home/ and tmp/, owned by the user the programs run as; removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=session_directory()))
    try:
        give_away(directory, configuration)
        for name in ("work", "home", "tmp"):
            (directory / name).mkdir()
            give_away(directory / name, configuration)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def give_away(path: Path, configuration: Configuration) -> None:
    """Makes the configuration's user the owner of a file or directory of ours."""
    path.chmod(0o755)
    if configuration.unprivileged and os.geteuid() == 0:
        os.chown(path, checkout.UNPRIVILEGED_ID, checkout.UNPRIVILEGED_ID)
