"""A machine of its own for container engines: pid, mount, ipc and network namespaces that end with everything in them.

Engines keep state in /run and /var/lib, daemonize, make bridges, firewall rules and mounts. Here they find their
default paths empty and private, and an init that reaps at once; when the machine ends, so does all they started. What
namespaces don't cover is cgroups: they go below one of ours (`EngineHost.cgroup`), which is removed. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness import leftovers
from tests.harness.patience import PATIENCE_S, wait_until
from tests.harness.runner import Result

INIT = Path(__file__).with_name("engine_init.py")
PRIVATE = ("/var/lib/cni", "/var/lib/containers", "/var/lib/containerd", "/var/lib/docker")
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = ["--mount", "--net", "--ipc", "--pid"]
NEW_NAMESPACES = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--propagation", "private", "--"]
CLONE_NEWNET = 0x40000000


class EngineHost:
    """Namespaces and a directory (`directory`: the same path inside) for one set of engines."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cgroup = f"/pysentry-engines-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.before = _cgroups_by_engines()
        self.process = subprocess.Popen(
            [*NEW_NAMESPACES, sys.executable, "-I", "-S", str(INIT), *PRIVATE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        leftovers.LASTING.add(self.process)
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], PATIENCE_S)[0]:
            self.close()
            raise AssertionError("the engines' machine did not come up")
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError("the engines' machine did not come up: see stderr")
        self.pid = int(line)
        self.base = self.processes()

    def root(self, path: str | Path) -> Path:
        """Where a path of the machine is reached from the tests' own mount namespace."""
        return Path(f"/proc/{self.pid}/root{path}")

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", *NAMESPACES, "--", *map(str, argv)]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            **(extra or {}),
        }

    def start(
        self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **arguments: Any
    ) -> subprocess.Popen[bytes]:
        """Starts a program on the machine. `arguments` go to Popen."""
        arguments.setdefault("start_new_session", True)
        process = subprocess.Popen(self.argv(argv), env=self.environment(env), cwd="/", **arguments)
        leftovers.LASTING.add(process)
        return process

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: bytes | None = None,
        status: int | None = 0,
        timeout_s: float = PATIENCE_S,
        env: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Result:
        """Runs a program to its end and the end of its output; asserts its status unless that is None."""
        arguments.setdefault("stdin", subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        process = self.start(argv, env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **arguments)
        try:
            output, errors = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired as expired:
            end(process)
            output, errors = _rest(process)
            raise AssertionError(
                f"no end after {timeout_s} s: {' '.join(map(str, argv))}\n"
                f"{(expired.stdout or b'') + output!r}\n{(expired.stderr or b'') + errors!r}\nprocesses:\n"
                + "\n".join(self.describe(pid) for pid in sorted(self.processes() - self.base))
            ) from None
        code = process.returncode
        result = Result(
            [str(word) for word in argv],
            code if code >= 0 else 128 - code,
            output.decode(errors="backslashreplace"),
            errors.decode(errors="backslashreplace"),
        )
        assert status is None or result.status == status, f"status {status} was expected\n{result}"
        return result

    def processes(self) -> set[int]:
        """Pids on the machine, as it numbers them."""
        return {int(entry) for entry in os.listdir(self.root("/proc")) if entry.isdigit()}

    def describe(self, pid: int) -> str:
        try:
            entry = self.root(f"/proc/{pid}")
            command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = entry.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            return f"{pid} [{state}] {command[:300]}"
        except OSError:
            return f"{pid} (gone)"

    def mounts(self) -> set[str]:
        return {line.split()[4] for line in self.root("/proc/1/mountinfo").read_text().splitlines()}

    def container_cgroups(self, pattern: str = "*") -> set[str]:
        """Cgroups below ours with such a name, each hierarchy by itself; without those of conmon, which stay now and
        then whatever the runtime (CRI-O's when a create has failed or the daemon has crashed)."""
        tops = [hierarchy / self.cgroup.lstrip("/") for hierarchy in _hierarchies()]
        found = {path for top in tops for path in top.rglob(pattern) if path.is_dir()}
        return {str(path) for path in found if not path.name.removeprefix("crio-").startswith("conmon")}

    def assert_nothing_left(
        self, mounts: Collection[str], cgroups: Callable[[], set[str]], tell: Callable[[], str] = str
    ) -> None:
        """Waits until only `base` runs, only `mounts` are mounted and no `cgroups` are left. `tell`: for the error."""
        gone: dict[str, Callable[[], set[Any]]] = {
            "processes": lambda: self.processes() - self.base,
            "mounts": lambda: self.mounts().difference(mounts),
            "cgroups": cgroups,
        }
        for what, left in gone.items():
            try:
                wait_until(lambda left=left: not left(), f"no {what} are left")  # type: ignore[misc]
            except AssertionError:
                shown = [self.describe(one) if isinstance(one, int) else str(one) for one in left()]
                raise AssertionError(f"{what} left behind: {shown}\n{tell()}") from None

    def socket(self) -> socket.socket:
        """A TCP socket of the machine's network namespace, not connected."""
        made: list[socket.socket] = []

        def make() -> None:  # setns(2) is of a thread: this one ends
            with open(f"/proc/{self.pid}/ns/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def close(self) -> None:
        """Ends the machine: every process, mount and interface of it; then removes its cgroups and directory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        for top in {str(hierarchy) + self.cgroup for hierarchy in _hierarchies()} | (
            _cgroups_by_engines() - self.before
        ):
            remove_cgroups(Path(top))
        shutil.rmtree(self.directory, ignore_errors=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills a program that start() gave. nsenter forked it, reaps it, and ends as it did: so it is what is killed."""
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE_S)
        return
    process.kill()


def _rest(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=5)
    except subprocess.TimeoutExpired as expired:  # a stream is held by a process that lives on
        return expired.stdout or b"", expired.stderr or b""


def _hierarchies() -> list[Path]:
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _cgroups_by_engines() -> set[str]:
    """Engines' own parents, made where no cgroup parent can be asked for."""
    names = ("libpod_parent", "default", "k8s.io", "docker", "buildah", "conmon", "machine.slice")
    return {str(path / name) for path in _hierarchies() for name in names if (path / name).is_dir()}


def remove_cgroups(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        # A process that was killed a moment ago may still count.
        for _ in range(100):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break
