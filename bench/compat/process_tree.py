"""Runs a command and everything it starts to the end, or to its time limit; nothing of it is alive afterwards.

For a process that runs one command at a time and is a child subreaper: whatever is below it belongs to that command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compat.memory_limit import MemoryLimit
from bench.processes import descendants, kill_each, reap

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

TAIL_BYTES = 6000
# How long something that the command left behind may take to end by itself, and after SIGKILL.
GRACE_S = 2.0
KILL_GRACE_S = 10.0


@dataclass(frozen=True)
class Ended:
    """`status` is a shell's: 128+N for death by signal N; None: ended by the time limit."""

    status: int | None
    seconds: float
    output: str
    left_behind: tuple[str, ...] = ()


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    output: Path,
    time_limit_s: float,
    memory: MemoryLimit | None = None,
) -> Ended:
    """Runs argv in `directory`, both streams to the file `output`. Raises OSError (no program)."""

    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]

    def before_exec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # when the whole suite is killed, so is what it runs
        for number in ignored:  # our own doing (Ctrl-C), or nohup's: a test must not inherit it
            signal.signal(number, signal.SIG_DFL)
        if memory is not None:
            memory.join()

    begin = time.monotonic()
    with open(output, "wb") as file:
        process = subprocess.Popen(
            argv,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,
        )
    try:
        code = process.wait(time_limit_s)
    except subprocess.TimeoutExpired:
        end_all(process)
        return Ended(None, time.monotonic() - begin, tail_of(output))
    except BaseException:
        end_all(process)
        raise
    seconds = time.monotonic() - begin
    return Ended(code if code >= 0 else 128 - code, seconds, tail_of(output), end_the_rest())


def end_all(process: subprocess.Popen[bytes]) -> None:
    """Stops the tree first, so that it cannot grow while it is being killed."""
    below = descendants(os.getpid())
    for pid in below:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            continue
    kill_each([process.pid, *below])
    process.wait()
    end_the_rest(grace_s=0)


def end_the_rest(grace_s: float = GRACE_S) -> tuple[str, ...]:
    """Waits for what was left, then kills it. Returns what had to be killed."""
    if not _wait_for_none(grace_s):
        left = tuple(_words(pid) for pid in descendants(os.getpid()))
        deadline = time.monotonic() + KILL_GRACE_S
        while time.monotonic() < deadline:
            kill_each(descendants(os.getpid()))
            if _wait_for_none(0.1):
                break
        return left
    return ()


def _wait_for_none(patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while below := descendants(os.getpid()):
        reap(below)
        if time.monotonic() > deadline:
            return not descendants(os.getpid())
        time.sleep(0.005)
    return True


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return str(pid)


def tail_of(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
