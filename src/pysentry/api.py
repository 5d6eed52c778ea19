"""What `import pysentry` gives: a sandboxed run as a function call.

Owns how a call becomes a command line. The run is a process of its own, never a fork of the caller: the sentry locks
itself up for good, and a caller's threads, locks and descriptors have no business in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

File = int | IO[bytes] | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a run ended with. stdout and stderr are None unless they were captured. report: the run report's fields.
    changes: ("A", "C" or "D", path) of what was added, changed and deleted, if it was asked for."""

    status: int
    stdout: bytes | None
    stderr: bytes | None
    report: Mapping[str, object] = field(default_factory=dict)
    changes: Sequence[tuple[str, str]] = ()


def run(
    argv: Sequence[str],
    *,
    rootfs: str | os.PathLike[str] | None = None,
    binds: Iterable[tuple[str, str, str]] = (),
    tmpfs: Iterable[str] = (),
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    hostname: str | None = None,
    user: str | None = None,
    timeout_s: float | None = None,
    pids: int | None = None,
    net: str | None = None,
    egress: Iterable[str] = (),
    tty: bool = False,
    platform: str | None = None,
    fast_path: bool = True,
    changes: bool = False,
    export: str | os.PathLike[str] | None = None,
    input: bytes | None = None,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
) -> Result:
    """Runs one program in a new sandbox and waits for it.

    Args:
        argv: the program and its arguments.
        rootfs: root directory; None: the host's, read-only below an overlay in memory.
        binds: (host path, path inside, "ro" or "rw").
        egress: with net="host": the addresses that may be reached, as `--egress` takes them.
        env: variables set on top of the caller's.
        changes: tell what the run changed below `rootfs` (in Result.changes).
        export: a file for what it changed, as a tar archive: a layer of an OCI image.
        timeout_s: seconds; afterwards the whole tree is killed, and the status is 124.
        input: bytes for stdin, instead of `stdin`.
        stdin, stdout, stderr: as for subprocess.run; subprocess.PIPE captures.
        The others are the options of `pysentry run`.

    Returns:
        Result. A sandbox that could not start has status 125, 126 or 127 and its reason on stderr.
    """
    words = [sys.executable, "-m", "pysentry", "run"]
    plain = {"rootfs": rootfs, "cwd": cwd, "hostname": hostname, "user": user, "timeout": timeout_s, "pids": pids}
    plain |= {"net": net, "platform": platform, "fast-path": None if fast_path else "off"}
    plain["export"] = export
    for name, value in plain.items():
        if value is not None:
            words += [f"--{name}", os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
    for source, target, mode in binds:
        words += ["--bind", f"{source}:{target}:{mode}"]
    for rule in egress:
        words += ["--egress", rule]
    for path in tmpfs:
        words += ["--tmpfs", path]
    for name, value in (env or {}).items():
        words += ["--env", f"{name}={value}"]
    if tty:
        words.append("--tty")
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report, tempfile.NamedTemporaryFile("rb") as changed:
        if changes:
            words.append(f"--changes={changed.name}")
        done = subprocess.run(
            [*words, "--", *argv],
            input=input,
            stdin=None if input is not None else stdin,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "PYSENTRY_REPORT": report.name},
            check=False,
        )
        text = report.read()
        found = [_change(line) for line in changed.read().splitlines()]
    return Result(done.returncode, done.stdout, done.stderr, json.loads(text) if text else {}, found)


def _change(line: bytes) -> tuple[str, str]:
    """`A /path`, in which control characters and backslashes are `\\xNN`."""
    path = re.sub(rb"\\x(..)", lambda escape: bytes.fromhex(escape[1].decode()), line[2:])
    return line[:1].decode(), os.fsdecode(path)
