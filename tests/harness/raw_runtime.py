"""An OCI runtime called by its command line, as an engine's monitor does it: we are the subreaper that its containers
are left to, their stdio are files, and what they end with is what waitpid(2) says.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.bundles import Config, config, write_bundle
from tests.harness.patience import PATIENCE_S, wait_until

WAITS = ("sleep", "1000")
ENDS_ON_TERM = ("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done")
Status = tuple[str, int]
"""("exited", code) or ("killed", signal)."""


class RawRuntime:
    """One runtime with a --root of its own. Containers that a test leaves are removed by close().

    as_user: arguments of Popen, for another user.
    """

    def __init__(
        self, name: str, path: Path, directory: Path, rootfs: Path, as_user: dict[str, Any] | None = None
    ) -> None:
        self.as_user = as_user or {}
        self.name = name
        self.path = path
        self.directory = directory
        self.rootfs = rootfs
        self.root = directory / "root"
        self.log = directory / "log"
        self.identities: set[str] = set()
        self.options: list[str] = []
        """Global ones, of every call."""

    @property
    def is_ours(self) -> bool:
        return self.name == "pysentry"

    # ---- calls

    def words(self, *words: str) -> list[str]:
        return [str(self.path), "--root", str(self.root), *self.options, *words]

    def start_call(self, *words: str, **arguments: Any) -> subprocess.Popen[str]:
        arguments.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.words(*words), text=True, **self.as_user, **arguments)

    def call(self, *words: str, status: int | None = 0, **arguments: Any) -> subprocess.CompletedProcess[str]:
        """A verb whose output we read: not one that leaves a process with our pipes behind."""
        arguments.setdefault("stdin", subprocess.DEVNULL if "input" not in arguments else None)
        if arguments["stdin"] is None:
            del arguments["stdin"]
        done = subprocess.run(
            self.words(*words),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            **self.as_user,
            **arguments,
        )
        assert status is None or done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done

    def leave(self, *words: str, status: int | None = 0, **arguments: Any) -> tuple[int, str]:
        """A verb that leaves a process with our stdout and stderr, which are files: (status, stderr so far)."""
        output = arguments.pop("output", None) or self.directory / f"output-{uuid.uuid4().hex[:8]}"
        errors = self.directory / f"errors-{uuid.uuid4().hex[:8]}"
        with output.open("w") as stdout, errors.open("w") as stderr:
            returned = self.start_call(*words, stdout=stdout, stderr=stderr, **arguments).wait(PATIENCE_S)
        told = errors.read_text()
        assert status is None or returned == status, (words, returned, told)
        return returned, told

    # ---- containers

    def identity(self) -> str:
        identity = f"t{uuid.uuid4().hex[:10]}"
        self.identities.add(identity)
        return identity

    def bundle(self, *args: str, change: Callable[[Config], None] | None = None) -> Path:
        name = uuid.uuid4().hex[:8]
        document = config(*args, cgroup=f"/pysentry-test-{name}")
        if change is not None:
            change(document)
        return write_bundle(self.directory / f"bundle-{name}", self.rootfs, document)

    def create(self, *args: str, change: Callable[[Config], None] | None = None, **arguments: Any) -> Container:
        """A created container that will run a program."""
        identity = self.identity()
        output = self.directory / f"output-{identity}"
        pid_file = self.directory / f"pid-{identity}"
        bundle = self.bundle(*args, change=change)
        words = ["create", "--bundle", str(bundle), "--pid-file", str(pid_file), *arguments.pop("options", ())]
        self.leave(*words, identity, output=output, **arguments)
        return Container(self, identity, bundle, int(pid_file.read_text()), output)

    def start(self, *args: str, **arguments: Any) -> Container:
        container = self.create(*args, **arguments)
        container.call("start")
        return container

    def state(self, identity: str) -> dict[str, Any]:
        found = json.loads(self.call("state", identity).stdout)
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        for identity in self.identities:
            self.call("delete", "--force", identity, status=None)
        assert not [name for name in os.listdir(self.root) if self.is_ours] if self.root.exists() else True


class Container:
    """One container of a RawRuntime, created by the test process."""

    def __init__(self, runtime: RawRuntime, identity: str, bundle: Path, pid: int, output: Path) -> None:
        self.runtime = runtime
        self.identity = identity
        self.bundle = bundle
        self.pid = pid
        self.output = output

    def call(
        self, verb: str, *words: str, status: int | None = 0, **arguments: Any
    ) -> subprocess.CompletedProcess[str]:
        """A verb with this container's id, after options and before other words."""
        options = [word for word in words if word.startswith("-")]
        rest = [word for word in words if not word.startswith("-")]
        return self.runtime.call(verb, *options, self.identity, *rest, status=status, **arguments)

    @property
    def status(self) -> str:
        return str(self.runtime.state(self.identity)["status"])

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.call("kill", str(int(number)))

    def wait(self) -> Status:
        """As a subreaper's waitpid: how the container ended."""
        return wait_for(self.pid)

    def wait_output(self, text: str) -> None:
        wait_until(lambda: text in self.output.read_text(), f"{text!r} in the output")

    def end(self) -> None:
        self.call("delete", "--force")
        self.runtime.identities.discard(self.identity)


def cgroups_of(bundle: Path) -> list[Path]:
    """What is there of a bundle()'s container, in whatever hierarchy."""
    name = f"pysentry-test-{bundle.name.removeprefix('bundle-')}"
    mounts = Path("/sys/fs/cgroup")  # v2's mount, or where those of v1 are
    return [path / name for path in (mounts, *mounts.iterdir()) if (path / name).exists()]


def wait_for(pid: int) -> Status:
    """waitpid(2) with a time limit: a pidfd says when."""
    pidfd = os.pidfd_open(pid)
    try:
        import select

        assert select.select([pidfd], [], [], PATIENCE_S)[0], f"{pid} does not end"
    finally:
        os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    return ("killed", os.WTERMSIG(status)) if os.WIFSIGNALED(status) else ("exited", os.WEXITSTATUS(status))


def process(field: str, value: object) -> Callable[[Config], None]:
    """A change of config.json: one field of its process."""

    def change(document: Config) -> None:
        document["process"][field] = value

    return change
